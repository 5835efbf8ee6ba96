"""The Celery application: what the workers, the beat and the API agree on."""

import ssl
from pathlib import Path
from typing import Any

from celery import Celery, signals
from kombu.transport import TRANSPORT_ALIASES
from sqlalchemy import Engine, event

from ..logging import request_id
from . import tasks
from .base import ServiceTask
from .beat import Scheduler
from .heartbeat import Heartbeat
from .settings import OF_REDIS, SERVICE, CelerySettings, make_folder

# Modules with tasks; add yours.
TASKS = [tasks.__name__]
# Seconds, longer than a task waits to be tried again: see ServiceTask.
SPARE = 60.0
NEVER_ENDING = float("inf")
ONCE = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}


def create_celery(settings: CelerySettings, *, patient: bool) -> Celery:
    """The application; nothing connects yet.

    Workers are patient: they try for ever to reach the broker and to store a result. A request must
    have its answer within seconds.
    """
    # As kombu has them, files and Redis lose messages.
    TRANSPORT_ALIASES.update(dict.fromkeys(OF_REDIS, f"{__package__}.redis_broker:Transport"))
    TRANSPORT_ALIASES["filesystem"] = f"{__package__}.file_broker:Transport"
    on_files = settings.broker.scheme == "filesystem"
    # The folder is an option; kombu warns of a URL without host.
    url = "filesystem://localhost" if on_files else settings.broker_url.get_secret_value()
    app: Celery = Celery(SERVICE, task_cls=ServiceTask, include=TASKS, set_as_current=False)
    app.set_default()
    app.conf.update(
        broker_read_url=url,
        broker_write_url=url,
        broker_transport_options=_transport_options(settings, patient=patient),
        broker_use_ssl=_tls(settings),
        broker_connection_timeout=settings.broker_connection_timeout,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        task_default_queue=settings.task_default_queue,
        accept_content=["json"],
        task_serializer="json",
        result_serializer="json",
        timezone="UTC",
        # A message is acknowledged when its task has ended, and a worker takes no more than it
        # runs: whatever happens to it, another worker gets them.
        task_acks_late=True,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        worker_deduplicate_successful_tasks=True,
        # One that kills its process is tried again, but not for ever.
        task_retry_on_worker_lost=True,
        worker_lost_wait=2,
        task_soft_time_limit=settings.task_soft_time_limit,
        task_time_limit=settings.task_time_limit,
        beat_schedule=tasks.SCHEDULE,
        beat_scheduler=Scheduler,
        beat_schedule_filename=str(settings.state_folder / "beat"),
    )
    if settings.broker.scheme in {"amqp", "amqps"}:
        # Exchanges of type topic let the broker keep what is to be tried later, not the workers.
        app.conf.update(
            task_default_queue_type="quorum",
            task_default_exchange_type="topic",
            task_create_missing_queue_type="quorum",
            task_create_missing_queue_exchange_type="topic",
        )
    if not patient:
        app.conf.task_publish_retry_policy = ONCE
    app.conf.update(_results(settings, patient=patient))
    app.steps["worker"].add(Heartbeat)
    signals.before_task_publish.connect(_name_request)
    return app


def _name_request(headers: dict[str, Any], **_details: object) -> None:
    """Messages carry the id of the request that they are sent for."""
    headers["request_id"] = request_id.get()


def _transport_options(settings: CelerySettings, *, patient: bool) -> dict[str, Any]:
    """What the broker of `settings` needs to be told."""
    seconds = None if patient else settings.broker_connection_timeout
    if settings.broker.scheme == "filesystem":
        # As in URLs of SQLite: one slash more makes it absolute.
        folder = make_folder(Path(settings.broker.path.removeprefix("/")), "BROKER_URL")
        return {
            "data_folder_in": str(folder),
            "data_folder_out": str(folder),
            "control_folder": str(make_folder(folder / "control", "BROKER_URL")),
            "polling_interval": 0.1,
        }
    if settings.broker.scheme in OF_REDIS:
        return {
            # A task that runs longer would be given to another worker as well.
            "visibility_timeout": settings.task_time_limit + SPARE,
            "unacked_restore_throttle": 1,
            "unacked_mutex_expire": 30,
            "priority_steps": [0],
            "socket_connect_timeout": settings.broker_connection_timeout,
            "socket_timeout": seconds,
        }
    # A message counts as sent when the broker has written it down.
    return {"confirm_publish": True, "read_timeout": seconds, "write_timeout": seconds}


def _tls(settings: CelerySettings) -> dict[str, Any] | None:
    """Servers show certificates that this machine trusts."""
    if settings.broker.scheme == "rediss":
        return {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    if settings.broker.scheme == "amqps":
        return {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": settings.broker.hostname}
    return None


def _results(settings: CelerySettings, *, patient: bool) -> dict[str, Any]:
    seconds = settings.broker_connection_timeout
    scheme, _, place = settings.results_url.partition("://")
    options: dict[str, object] = {
        "result_backend": settings.results_url,
        "result_expires": settings.result_expires,
        "result_backend_always_retry": patient,
        "result_backend_max_retries": NEVER_ENDING if patient else 1,
    }
    if scheme == "db+sqlite":
        is_named = settings.result_backend is not None
        variable = "RESULT_BACKEND" if is_named else "STATE_FOLDER"
        make_folder(Path(place.removeprefix("/")).parent, variable)
        # It waits that long for whoever is writing.
        wait = {"timeout": 30.0 if patient else seconds}
        options |= {
            "database_engine_options": {"connect_args": wait},
            "database_engine_callback": _prepare,
        }
    elif scheme == "db+postgresql":
        wait = {"connect_timeout": max(1, int(seconds))}
        options |= {"database_engine_options": {"connect_args": wait}}
    else:
        if scheme == "rediss":
            options |= {"redis_backend_use_ssl": {"ssl_cert_reqs": ssl.CERT_REQUIRED}}
        options |= {"redis_socket_connect_timeout": seconds}
        if not patient:
            options |= {
                "redis_socket_timeout": seconds,
                "result_backend_transport_options": {"retry_policy": ONCE},
            }
    return options


def _prepare(engine: Engine) -> None:
    """Readers of a SQLite file do not wait for who writes."""

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _entry: object) -> None:  # noqa: ANN401
        connection.execute("PRAGMA journal_mode = WAL")

"""Celery, and the messages: each has the id of a job that a worker can begin.

They may be lost, late or doubled without harm: what counts is the row.
"""

import os
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import UUID

import structlog
from celery import Celery
from kombu import Producer

from ..settings import InvalidSettings
from .settings import SERVICE, CelerySettings

logger = structlog.get_logger(__name__)

SECONDS = 5  # to wait for a broker
# Notices within a minute that a connection has gone silent.
KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 60_000}
REDIS = {
    "socket_timeout": SECONDS,
    "socket_connect_timeout": SECONDS,
    "socket_keepalive": True,
    "health_check_interval": 2 * SECONDS,  # twice that, and a worker connects anew
    "socket_keepalive_options": {
        getattr(socket, name): value for name, value in KEEPALIVE.items() if hasattr(socket, name)
    },
}
# Celery would heed these variables rather than `app.conf`.
FOREIGN = [
    "CELERY_BROKER_READ_URL",
    "CELERY_BROKER_WRITE_URL",
    "CELERY_CONFIG_MODULE",
    "CELERY_RESULT_BACKEND",
]
# Workers also import the second, which no router imports; add modules with jobs of your own.
app: Celery = Celery(SERVICE, loader="app", include=[f"{SERVICE}.main", f"{__package__}.tasks"])
app.conf.update(
    broker_connection_timeout=SECONDS,
    broker_connection_max_retries=None,
    broker_connection_retry_on_startup=True,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    task_ignore_result=True,
    result_expires=None,
    timezone="UTC",
    beat_scheduler=f"{__package__}.relay:Relay",
)


def configure(settings: CelerySettings) -> None:
    """Set up `app`; nothing connects yet. Raises InvalidSettings."""
    for variable in FOREIGN:
        os.environ.pop(variable, None)
    broker, url = settings.broker, settings.broker_url.get_secret_value()
    queue = {"task_default_queue": settings.task_default_queue}
    options: dict[str, Any] = {}
    verify: dict[str, object] = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    if broker.scheme == "filesystem":
        folder = Path(broker.path.removeprefix("/"))  # as in URLs of SQLite: `//` is absolute
        try:
            (folder / "control").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidSettings(f"CELERY_BROKER_URL: {folder}: {error.strerror}") from None
        options = dict.fromkeys(["data_folder_in", "data_folder_out"], str(folder))
        options |= {"control_folder": str(folder / "control"), "polling_interval": 0.1}
        url = "filesystem://localhost"  # kombu warns of one without host
        app.conf.worker_pool = f"{__package__}.running:Pool"  # forked processes can hang on files
    elif broker.scheme in {"redis", "rediss"}:
        options = REDIS
    else:
        queue |= {"task_default_queue_type": "quorum", "task_default_exchange_type": "topic"}
        verify = {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": broker.hostname}
    is_tls = broker.scheme in {"rediss", "amqps"}
    urls = {"broker_read_url": url, "broker_write_url": url}  # BROKER_URL cannot override them
    app.conf.update(broker_transport_options=options, **urls, **queue)
    app.conf.broker_use_ssl = verify if is_tls else None


def send(producer: Producer, job_id: UUID, task: str) -> None:
    """Send what version 2 of Celery's protocol requires, for half of what `send_task` takes.

    See https://docs.celeryq.dev/en/stable/internals/protocol.html
    """
    queue = app.amqp.queues[app.conf.task_default_queue]
    producer.publish(
        [[], {}, {}],
        headers={"lang": "py", "task": task, "id": str(job_id)},
        correlation_id=str(job_id),
        serializer="json",
        routing_key=queue.name,  # without an exchange, whose bindings Redis would be asked for
        declare=[queue],
        retry=True,
        retry_policy={"max_retries": 1},
    )


class Sender:
    """Sends in a thread of its own, for which no request waits; what it cannot send, beat does."""

    def __init__(self, settings: CelerySettings) -> None:
        """Raises InvalidSettings."""
        configure(settings)
        self.grace = settings.grace
        self._thread = ThreadPoolExecutor(1, "jobs")
        # While there are no jobs, nobody would send heartbeats.
        self._connection = app.connection_for_write(heartbeat=0)
        self._away_until = 0.0

    def close(self) -> None:
        """Send what waits; blocks."""
        self._thread.shutdown()
        self._connection.release()

    def send(self, job_id: UUID, task: str) -> None:
        """Have a job sent soon."""
        self._thread.submit(self._send, job_id, task)

    def _send(self, job_id: UUID, task: str) -> None:
        if monotonic() < self._away_until:
            return
        try:
            self._connection.ensure_connection(max_retries=1, interval_start=0)
            send(self._connection.Producer(), job_id, task)
        except Exception as error:  # whatever it is: the row is there
            logger.warning("the broker takes no messages", reason=repr(error))
            self._away_until = monotonic() + 1

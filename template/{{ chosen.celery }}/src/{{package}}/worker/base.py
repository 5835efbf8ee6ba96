"""What all tasks have in common: they are logged, followed, and tried again."""

import time
from contextvars import ContextVar
from typing import Any

import structlog
from celery import Task
from celery.exceptions import Ignore
from celery.states import REVOKED, STARTED
from structlog.contextvars import bind_contextvars, clear_contextvars

from ..logging import request_id
from .claims import count

logger = structlog.get_logger(__name__)

# The header of messages whose job has been recorded, so that somebody may ask for it.
RECORDED = "recorded"
# So many workers may be lost with a task before it has failed.
LOST_AT_MOST = 10
_started: ContextVar[float] = ContextVar("started")


class TooManyWorkersLost(Exception):
    """A task has failed that took its worker along again and again."""


class ServiceTask(Task[..., Any]):
    """The base of all tasks.

    What may go better next time is tried again: three times, after 1 second, up to 2, and up to 4.
    """

    abstract = True
    autoretry_for = (ConnectionError, TimeoutError)
    max_retries = 3
    retry_backoff = True
    retry_backoff_max = 30
    retry_jitter = True
    # Seconds until a task is tried again whose process was killed.
    default_retry_delay = 2

    def retry(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401  as Celery has it
        """Celery's, but never at once.

        Celery first sends the task and then stores that it is tried again, which must not come to
        be written over what the next try has stored.
        """
        if options.get("eta") is None:
            asked = options.get("countdown")
            options["countdown"] = max(1, self.default_retry_delay if asked is None else asked)
        return super().retry(*args, **options)

    def __call__(self, *args: object, **kwargs: object) -> Any:  # noqa: ANN401  as Celery has it
        try:
            return self.run(*args, **kwargs)
        except MemoryError as error:
            # Celery would end the whole worker, which may well go on.
            raise RuntimeError("There was not enough memory.") from error

    def before_start(self, task_id: str, args: object, kwargs: object) -> None:
        """Celery calls it in the process that runs the task; a revoked one does not start."""
        clear_contextvars()
        bind_contextvars(task=self.name, task_id=task_id)
        request_id.set(self.request.get("request_id"))
        _started.set(time.perf_counter())
        # Celery counts processes that are lost, but not workers that go down as a whole.
        again = (self.request.delivery_info or {}).get("redelivered")
        if again and not count(self.app, f"{task_id} lost its worker", LOST_AT_MOST):
            raise TooManyWorkersLost(f"{LOST_AT_MOST} workers were lost with it.")
        if self.request.get(RECORDED):
            if self.backend.get_task_meta(task_id, cache=False)["status"] == REVOKED:
                raise Ignore
            self.backend.store_result(task_id, None, STARTED, request=self.request)

    def after_return(self, status: str, *_details: object) -> None:
        """Celery calls it in the end, whatever that was: the line of the task."""
        milliseconds = (time.perf_counter() - _started.get()) * 1000
        logger.info("task", state=status, duration_ms=round(milliseconds, 3))
        clear_contextvars()

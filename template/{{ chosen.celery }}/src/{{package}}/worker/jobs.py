"""Jobs: tasks that somebody can ask for, by an id that all processes know."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, TypeVar
from uuid import UUID, uuid4

import structlog
from anyio import CapacityLimiter, to_thread
from celery import Celery, states
from celery.canvas import Signature
from celery.exceptions import BackendError, SoftTimeLimitExceeded, TimeLimitExceeded
from fastapi import Depends, Request
from kombu.exceptions import KombuError
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from ..errors import Problem, ServiceError
from .base import RECORDED
from .claims import CLAIMED
from .schemas import ENDED, JobCreated, JobRead, JobState
from .tasks import PROGRESS, Done

logger = structlog.get_logger(__name__)

QUEUED = "QUEUED"
# All others, a task's own too, are those of one that runs.
STATES: dict[str, JobState] = {
    QUEUED: "queued",
    states.RETRY: "queued",
    states.SUCCESS: "succeeded",
    states.FAILURE: "failed",
    states.REJECTED: "failed",
    states.REVOKED: "revoked",
}
UNREACHABLE = (BackendError, KombuError, OSError, RedisError, SQLAlchemyError)
TOO_LONG = (SoftTimeLimitExceeded, TimeLimitExceeded)
AT_ONCE = 20  # threads, each with a connection of its own
POLL_SECONDS = 0.5
Answer = TypeVar("Answer")


class JobNotFound(ServiceError):
    status = HTTPStatus.NOT_FOUND


class JobHasEnded(ServiceError):
    status = HTTPStatus.CONFLICT


class JobsUnavailable(ServiceError):
    """The broker, or where results are kept, does not answer in time."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


class Jobs:
    """Enqueues and follows jobs; Celery blocks, so threads do what asks the broker."""

    def __init__(self, app: Celery, seconds: float) -> None:
        """Requests wait no longer than `seconds`."""
        self.app = app
        self._seconds = seconds
        self._threads = CapacityLimiter(AT_ONCE)

    async def reach(self) -> None:
        """Raises JobsUnavailable if the broker does not answer."""
        await self.call(self._connect)

    def _connect(self) -> None:
        with self.app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)

    async def enqueue(self, task: Signature[Any]) -> JobCreated:
        """Have a worker do `task`, such as `take_steps.si(Steps(steps=3))`.

        Raises JobsUnavailable: then it may run all the same, but nobody can ask for it.
        """
        job = await self.record()
        await self.publish(task, job)
        return job

    async def record(self) -> JobCreated:
        """A new job, whose id is known from now on; raises JobsUnavailable."""
        job = JobCreated(id=uuid4(), state="queued")
        await self.call(self.app.backend.store_result, str(job.id), None, QUEUED)
        return job

    async def publish(self, task: Signature[Any], job: JobCreated) -> None:
        """Have `task` done as the recorded `job`; raises JobsUnavailable."""
        options = {**task.options, "task_id": str(job.id), "headers": {RECORDED: "yes"}}
        send = self.app.tasks[str(task.task)].apply_async
        try:
            await self.call(partial(send, task.args, task.kwargs, **options))
        except JobsUnavailable:
            await self.forget(job)
            raise

    async def forget(self, job: JobCreated) -> None:
        """Nobody can ask for `job` any more, if that can be noted."""
        with suppress(JobsUnavailable):
            await self.call(self.app.backend.forget, str(job.id))

    async def find(self, job_id: UUID) -> JobRead:
        """Raises JobNotFound or JobsUnavailable."""
        get: Callable[..., dict[str, Any]] = self.app.backend.get_task_meta
        meta = await self.call(partial(get, cache=False), str(job_id))
        if meta["status"] in {states.PENDING, CLAIMED}:
            raise JobNotFound(f"There is no job {job_id}.")
        job = JobRead(id=job_id, state=STATES.get(meta["status"], "running"))
        if meta["status"] == PROGRESS:
            job.progress = Done.model_validate(meta["result"])
        elif job.state == "succeeded":
            job.result = meta["result"]
        elif job.state == "failed":
            job.problem = _problem(meta["result"])
        return job

    async def revoke(self, job_id: UUID) -> None:
        """See that a job does not run, or no longer; raises JobNotFound or JobHasEnded."""
        job = await self.find(job_id)
        if job.state == "revoked":
            return
        if job.state in ENDED:
            raise JobHasEnded(f"The job {job_id} has ended.")
        await self.call(self._revoke, str(job_id))

    def _revoke(self, job_id: str) -> None:
        # Workers that are there stop it, others see the mark before they start it.
        self.app.backend.mark_as_revoked(job_id)
        self.app.control.revoke(job_id, terminate=True)

    async def follow(self, job_id: UUID, stopping: asyncio.Event) -> AsyncIterator[JobRead]:
        """The job whenever it has changed, until it has ended, or nobody can be asked any more."""
        before = None
        while not stopping.is_set():
            try:
                job = await self.find(job_id)
            except JobsUnavailable:
                return  # it is in the log; browsers ask again
            if job != before:
                yield job
            if job.state in ENDED:
                return
            before = job
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), POLL_SECONDS)

    async def call(self, function: Callable[..., Answer], *arguments: object) -> Answer:
        """What `function` returns, in a thread; raises JobsUnavailable."""
        try:
            async with asyncio.timeout(self._seconds):
                return await to_thread.run_sync(
                    partial(function, *arguments), abandon_on_cancel=True, limiter=self._threads
                )
        except (TimeoutError, *UNREACHABLE) as error:
            logger.warning(
                "jobs unavailable",
                CELERY_BROKER_URL=self.app.connection_for_write().as_uri(),
                CELERY_RESULT_BACKEND=self.app.backend.as_uri(),
                reason=f"{type(error).__name__}: {error}",
            )
            raise JobsUnavailable("Jobs are temporarily unavailable.") from error


async def get_jobs(request: Request) -> Jobs:
    """What the lifespan of the router has opened."""
    jobs: Jobs = request.state.jobs
    return jobs


Opened = Annotated[Jobs, Depends(get_jobs)]


def _problem(error: object) -> Problem:
    """Why a job failed: in the words of a ServiceError, and nothing of any other exception."""
    if isinstance(error, ServiceError):
        return Problem(title=error.status.phrase, status=error.status, detail=error.detail)
    failed = HTTPStatus.INTERNAL_SERVER_ERROR
    detail = "It took too long." if isinstance(error, TOO_LONG) else None
    return Problem(title=failed.phrase, status=failed, detail=detail)

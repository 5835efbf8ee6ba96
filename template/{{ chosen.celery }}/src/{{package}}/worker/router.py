from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Annotated, TypedDict
from uuid import UUID

from celery.result import denied_join_result
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from .app import create_celery
from .jobs import Jobs, JobsUnavailable, Opened
from .schemas import JobCreated, JobRead
from .settings import CelerySettings
from .tasks import Steps, take_steps


class State(TypedDict):
    jobs: Jobs


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[State]:
    """Open the jobs; raises InvalidSettings."""
    settings = CelerySettings.load()
    celery = create_celery(settings, patient=False)
    # Nobody waits for results here: Celery would subscribe to each on Redis.
    with denied_join_result():
        jobs = Jobs(celery, settings.broker_connection_timeout * 2)
        with suppress(JobsUnavailable):  # it is in the log, and may be over soon
            await jobs.reach()
        yield {"jobs": jobs}
    celery.close()


reads = APIRouter(prefix="/jobs", tags=["jobs"], lifespan=lifespan)
writes = APIRouter(prefix="/jobs", tags=["jobs"])


@writes.post("", status_code=HTTPStatus.ACCEPTED)
async def create_job(work: Steps, jobs: Opened, answer: Response) -> JobCreated:
    job = await jobs.enqueue(take_steps.si(work))
    answer.headers["Location"] = f"/api/v1/jobs/{job.id}"
    return job


@writes.delete("/{job_id:uuid}", status_code=HTTPStatus.NO_CONTENT)
async def revoke_job(job_id: UUID, jobs: Opened) -> None:
    await jobs.revoke(job_id)


@reads.get("/{job_id:uuid}")
async def read_job(job_id: UUID, jobs: Opened) -> JobRead:
    return await jobs.find(job_id)


async def _exists(job_id: UUID, jobs: Opened) -> UUID:
    await jobs.find(job_id)
    return job_id


@reads.get("/{job_id:uuid}/events", response_class=EventSourceResponse)
async def follow_job(
    request: Request, job_id: Annotated[UUID, Depends(_exists)], jobs: Opened
) -> AsyncIterable[ServerSentEvent]:
    """The job, now and whenever it has changed, until it has ended."""
    async for job in jobs.follow(job_id, request.state.stopping):
        yield ServerSentEvent(event=job.state, data=job)


# Apart until here, for those who let fewer people write than read.
router = APIRouter()
router.include_router(reads)
router.include_router(writes)

"""What becomes of jobs: for whoever has their ids or, in auth/, for users."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Annotated, TypedDict
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlalchemy import null, select, update

from ..database.clock import from_now
from ..database.session import DatabaseUnavailable, SessionMaker, Sessions, transaction
from ..errors import ServiceError
from .jobs import sending
from .models import Job
from .sample import add_sample
from .schemas import GetViewer, JobRead, Viewer

ENDED = {"succeeded", "failed", "revoked"}
POLL_SECONDS = 0.5


class JobNotFound(ServiceError):
    status = HTTPStatus.NOT_FOUND


class JobHasEnded(ServiceError):
    status = HTTPStatus.CONFLICT


class Followers:
    """Those who follow jobs in this process: one query asks for all."""

    def __init__(self) -> None:
        self._followed: Counter[UUID] = Counter()
        self._found: dict[UUID, JobRead] = {}
        self._asking: asyncio.Task[None] | None = None

    async def follow(
        self, job: JobRead, sessions: SessionMaker, stopping: asyncio.Event
    ) -> AsyncIterator[JobRead]:
        """The job, now and whenever it has changed, until it has ended."""
        self._followed[job.id] += 1
        try:
            yield job
            while job.state not in ENDED and not stopping.is_set():
                if self._asking is None or self._asking.done():
                    self._asking = asyncio.create_task(self._ask(sessions))
                await asyncio.shield(self._asking)
                if (found := self._found.get(job.id, job)) != job:
                    yield (job := found)
        except DatabaseUnavailable:
            return  # browsers ask again
        finally:
            self._followed -= Counter([job.id])

    async def _ask(self, sessions: SessionMaker) -> None:
        await asyncio.sleep(POLL_SECONDS)
        async with transaction(sessions) as session:
            rows = await session.scalars(select(Job).where(Job.id.in_(list(self._followed))))
            self._found = {row.id: JobRead.model_validate(row) for row in rows}


class State(TypedDict):
    followers: Followers


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[State]:
    """Send jobs, and follow them; raises InvalidSettings."""
    async with sending():
        yield {"followers": Followers()}


def job_routes(reader: GetViewer, writer: GetViewer) -> APIRouter:
    """The routes for those whom the dependencies `reader` and `writer` let pass."""
    router = APIRouter(prefix="/jobs", tags=["jobs"], lifespan=lifespan)
    add_sample(router, writer)  # delete this line with sample.py

    async def find(
        job_id: UUID, sessions: Sessions, viewer: Annotated[Viewer, Depends(reader)]
    ) -> JobRead:
        async with transaction(sessions) as session:
            job = await session.get(Job, job_id)
        if job is None or not (viewer.sees_all or job.owner == viewer.id):
            raise JobNotFound(f"There is no job {job_id}.")
        return JobRead.model_validate(job)

    @router.get("/{job_id:uuid}")
    async def read_job(job: Annotated[JobRead, Depends(find)]) -> JobRead:
        """The job, as far as it is."""
        return job

    @router.get(
        "/{job_id:uuid}/events",
        response_class=EventSourceResponse,
        responses={200: {"model": JobRead}},
    )
    async def follow_job(
        request: Request, job: Annotated[JobRead, Depends(find)], sessions: Sessions
    ) -> AsyncIterable[ServerSentEvent]:
        """The job, now and whenever it has changed, until it has ended."""
        followers: Followers = request.state.followers
        async for each in followers.follow(job, sessions, request.state.stopping):
            yield ServerSentEvent(event=each.state, data=each)

    @router.delete("/{job_id:uuid}", status_code=HTTPStatus.NO_CONTENT)
    async def revoke_job(
        job_id: UUID, sessions: Sessions, viewer: Annotated[Viewer, Depends(writer)]
    ) -> None:
        """End the job: what runs is told to stop, and its result dropped."""
        job = await find(job_id, sessions, viewer)
        end = {"state": "revoked", "ended_at": from_now(0), "wake_at": null()}
        open_job = update(Job).where(Job.id == job_id, Job.wake_at.is_not(None)).values(end)
        async with transaction(sessions) as session:
            revoked = await session.scalar(open_job.returning(Job.id))
        if not revoked and job.state != "revoked":
            raise JobHasEnded(f"The job {job_id} has ended.")

    return router


async def everybody() -> Viewer:
    """Where there are no users."""
    return Viewer()


router = job_routes(everybody, everybody)

"""The database in tasks, and jobs that begin when what they are about has been committed."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import lru_cache
from typing import Annotated, Any

import sqlalchemy
from celery.canvas import Signature
from fastapi import Depends
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, sessionmaker

from ..database import session as sessions_of_requests
from ..database.engine import arguments, prepare
from ..database.settings import DatabaseSettings
from .jobs import Jobs, Opened
from .schemas import JobCreated

UNREACHABLE = (InterfaceError, OperationalError)


@contextmanager
def transaction() -> Iterator[Session]:
    """A session for a task: it commits unless an error is raised.

    Raises ConnectionError, for which tasks are tried again, if the database is not to be had.
    """
    try:
        with _sessions().begin() as session:
            yield session
    except UNREACHABLE as error:
        raise ConnectionError(str(error.orig)) from error


@lru_cache
def _sessions() -> sessionmaker[Session]:
    """Made by each process of a worker for itself: connections do not survive a fork."""
    settings = DatabaseSettings.load()
    address = settings.address
    if address.get_backend_name() == "sqlite":
        address = address.set(drivername="sqlite")
    engine = sqlalchemy.create_engine(address, **arguments(settings))
    prepare(engine)
    return sessionmaker(engine.execution_options(writes=True), expire_on_commit=False)


class SessionThenJobs:
    """The session of a request, and the jobs that wait for its commit."""

    def __init__(self, session: AsyncSession, jobs: Jobs) -> None:
        self.session = session
        self._jobs = jobs
        self._waiting: list[tuple[Signature[Any], JobCreated]] = []

    async def enqueue(self, task: Signature[Any]) -> JobCreated:
        """Have a worker do `task` once the session is committed; raises JobsUnavailable."""
        job = await self._jobs.record()
        self._waiting.append((task, job))
        return job

    async def publish(self) -> None:
        """Send what waits; raises JobsUnavailable."""
        while self._waiting:
            task, job = self._waiting.pop(0)
            await self._jobs.publish(task, job)

    async def forget(self) -> None:
        """Nobody knows of what was not sent."""
        for _, job in self._waiting:
            await self._jobs.forget(job)


async def get_session_then_jobs(
    sessions: sessions_of_requests.Sessions, jobs: Opened
) -> AsyncGenerator[SessionThenJobs]:
    """Commits, and then sends the jobs; neither happens if the request fails.

    Should the broker go away in between, the answer is 503 although the session is committed: what
    must not miss its job then needs a table of jobs to be sent, written in the same session.
    """
    async with AsyncExitStack() as after:
        async with sessions_of_requests.transaction(sessions) as session:
            both = SessionThenJobs(session, jobs)
            after.push_async_callback(both.forget)
            yield both
        await both.publish()


# Of scope "function", as Session is.
Committing = Annotated[SessionThenJobs, Depends(get_session_then_jobs, scope="function")]

"""Sessions: one for each request, committed before the answer leaves."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import Annotated, TypedDict

import structlog
from anyio import CancelScope
from fastapi import Depends, FastAPI
from sqlalchemy.exc import DBAPIError, TimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from starlette.requests import HTTPConnection

from ..errors import ServiceError
from ..settings import InvalidSettings
from .codes import is_conflict, is_unavailable
from .engine import create_engine
from .settings import DatabaseSettings

logger = structlog.get_logger(__name__)

SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE"}
SessionMaker = async_sessionmaker[AsyncSession]


class Conflict(ServiceError):
    """What was asked for does not fit to what is stored."""

    status = HTTPStatus.CONFLICT


class DatabaseUnavailable(ServiceError):
    """The database does not answer, or not in time."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


class State(TypedDict):
    """What `request.state` has."""

    engine: AsyncEngine
    readers: SessionMaker
    writers: SessionMaker


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[State]:
    """Open the engine; raises InvalidSettings if the database cannot be reached."""
    try:
        engine = create_engine(DatabaseSettings.load())
        async with engine.connect():
            pass
    except (DBAPIError, OSError) as error:
        raise InvalidSettings(f"DATABASE_URL: {getattr(error, 'orig', error)}") from None
    writing = engine.execution_options(writes=True)
    try:
        yield {
            "engine": engine,
            "readers": async_sessionmaker(engine, expire_on_commit=False),
            "writers": async_sessionmaker(writing, expire_on_commit=False),
        }
    finally:
        await engine.dispose()


# Of an HTTPConnection, which a WebSocket is too; a plain function would get a thread.
async def get_sessions(connection: HTTPConnection) -> SessionMaker:
    """Makes sessions that write, but for methods that only read."""
    only_reads = connection.scope.get("method") in SAFE_METHODS
    sessions: SessionMaker = connection.state.readers if only_reads else connection.state.writers
    return sessions


Sessions = Annotated[SessionMaker, Depends(get_sessions)]


@asynccontextmanager
async def transaction(sessions: SessionMaker) -> AsyncGenerator[AsyncSession]:
    """A session that commits unless an error is raised; for what should not last a whole request.

    On SQLite, a transaction that writes holds up every other one until it ends.
    """
    with translated_errors():
        async with sessions.begin() as session:
            yield session


async def get_session(sessions: Sessions) -> AsyncGenerator[AsyncSession]:
    """A session that commits unless the request fails."""
    async with transaction(sessions) as session:
        yield session


# Of scope "function": a commit that fails changes the answer, which has not left yet.
Session = Annotated[AsyncSession, Depends(get_session, scope="function")]


async def get_streaming_session(sessions: Sessions) -> AsyncGenerator[AsyncSession]:
    """A session to read from, open until a streamed answer has left.

    When its client goes away, the task of a stream is cancelled, again and again. That must not cut
    off a statement, which would cost the connection: wait for each in a scope with a shield.
    """
    session = sessions()
    try:
        with translated_errors():
            await session.connection()  # fails while there can be another answer
        yield session
    finally:
        with CancelScope(shield=True):
            await session.close()


StreamingSession = Annotated[AsyncSession, Depends(get_streaming_session)]


@contextmanager
def translated_errors() -> Iterator[None]:
    """Put errors of the database into words for clients, which see nothing of its own.

    These are SQLAlchemy's, which nothing but calls of the database raises. Whatever is neither a
    conflict nor a database that is away is a bug, and stays what it is: a 500.
    """
    try:
        yield
    except TimeoutError as error:
        raise _unavailable() from error
    except DBAPIError as error:
        if is_unavailable(error):
            raise _unavailable() from error
        # What PostgreSQL says below the first line repeats the row, which no log should have.
        for each in filter(None, (error, error.orig)):
            each.args = (str(each.args[0] if each.args else "").partition("\n")[0],)
        if is_conflict(error):
            logger.info("conflict", reason=str(error.orig))
            raise Conflict("It conflicts with what is stored.") from error
        raise


def _unavailable() -> DatabaseUnavailable:
    logger.warning("database unavailable", exc_info=True)
    return DatabaseUnavailable("The database does not answer.")

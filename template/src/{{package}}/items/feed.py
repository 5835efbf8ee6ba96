"""The change feed: what happens to items, for everyone who keeps a connection open."""

import asyncio
import signal
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import FrameType
from typing import TypedDict

from anyio import CancelScope
from fastapi import FastAPI
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from ..database.session import SessionMaker
from .models import ItemChange

POLL_SECONDS = 1.0
AT_ONCE = 100


class State(TypedDict):
    stopping: asyncio.Event


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[State]:
    """Tell the open streams when the server is asked to stop: it waits for them before it does."""
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()

    def stop(number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stopping.set)
        signal.signal(number, previous[number])
        signal.raise_signal(number)

    is_main = threading.current_thread() is threading.main_thread()  # it alone gets signals
    signals: list[int] = [signal.SIGINT, signal.SIGTERM] if is_main else []
    previous = {each: signal.signal(each, stop) for each in signals}
    try:
        yield {"stopping": stopping}
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)


async def newest(session: AsyncSession) -> int:
    """The number of the last change, 0 before the first."""
    return await session.scalar(select(func.max(ItemChange.id))) or 0


async def follow(
    sessions: SessionMaker, after: int, stopping: asyncio.Event
) -> AsyncIterator[ItemChange]:
    """The changes behind number `after`, and those to come, until the service stops."""
    while not stopping.is_set():
        statement = select(ItemChange).where(ItemChange.id > after).order_by(ItemChange.id)
        # No connection is held while nothing happens; the shield: see StreamingSession.
        with CancelScope(shield=True):
            async with sessions() as session:
                changes = list(await session.scalars(statement.limit(AT_ONCE)))
        for change in changes:
            yield change
            after = change.id
        if not changes:
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), POLL_SECONDS)

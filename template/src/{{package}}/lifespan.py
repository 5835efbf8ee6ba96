"""What starts and stops with the service, whatever else it has."""

import asyncio
import signal
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from types import FrameType
from typing import TypedDict

from fastapi import FastAPI

from . import logging
from .settings import Settings


class State(TypedDict):
    """What `request.state` has: streams end when `stopping` is set."""

    stopping: asyncio.Event


def lifespan(settings: Settings) -> Callable[[FastAPI], AbstractAsyncContextManager[State]]:
    """Logging is set up when the service starts, not when it is imported."""

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncGenerator[State]:
        logging.configure(settings)
        with _told_to_stop() as stopping:
            yield {"stopping": stopping}

    return running


@contextmanager
def _told_to_stop() -> Iterator[asyncio.Event]:
    """Set when the server is asked to stop: it waits for open streams before it does."""
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()

    def stop(number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stopping.set)
        signal.signal(number, previous[number])
        signal.raise_signal(number)

    is_main = threading.current_thread() is threading.main_thread()  # it alone gets signals
    signals: list[int] = [signal.SIGINT, signal.SIGTERM] if is_main else []
    previous = {each: signal.signal(each, stop) for each in signals}
    try:
        yield stopping
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)

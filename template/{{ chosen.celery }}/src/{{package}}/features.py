"""What features open with the service, for processes that serve no requests."""

import asyncio
from importlib import import_module
from typing import Any

from starlette.datastructures import State

from .settings import InvalidSettings


class Features:
    """Opens them once, on one event loop, and keeps them open from call to call."""

    def __init__(self) -> None:
        self._keeping: asyncio.Task[None] | None = None

    async def open(self) -> State:
        """What `request.state` is in routes; raises what a lifespan raises."""
        if self._keeping is None:
            self._state: asyncio.Future[State] = asyncio.Future()
            self._keeping = asyncio.create_task(self._keep())
        both: set[asyncio.Future[Any]] = {self._keeping, self._state}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if self._keeping.done():
            failed, self._keeping = self._keeping, None
            failed.result()
        return self._state.result()

    async def close(self) -> None:
        """Close what is open."""
        if self._keeping is not None:
            self._ending.set()
            await self._keeping

    async def _keep(self) -> None:
        """In one task from beginning to end, as lifespans expect."""
        app = import_module(f"{__package__}.main").app  # which may import this
        try:
            async with app.router.lifespan_context(app) as state:
                self._ending = asyncio.Event()
                self._state.set_result(State(dict(state)))
                await self._ending.wait()
        except InvalidSettings as invalid:  # the loop would log a traceback of a task's
            self._state.set_exception(invalid)

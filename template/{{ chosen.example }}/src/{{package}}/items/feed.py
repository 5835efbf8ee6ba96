"""The change feed: what happens to items, for everyone who keeps a connection open."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from anyio import CancelScope
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from ..database.session import SessionMaker
from .models import ItemChange

POLL_SECONDS = 1.0
AT_ONCE = 100


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

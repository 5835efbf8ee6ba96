from collections.abc import AsyncIterator
from http import HTTPStatus
from uuid import UUID

from anyio import CancelScope
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from ..database.session import SessionMaker, transaction
from ..errors import ServiceError
from .models import Change, Item, ItemChange
from .pages import behind, cursor_of
from .schemas import ItemPatch, ItemQuery, ItemWrite

AT_ONCE = 500
FEED_LOCK = 0x6974656D  # any number that nothing else in this database locks


class ItemNotFound(ServiceError):
    status = HTTPStatus.NOT_FOUND


class ItemHasChanged(ServiceError):
    status = HTTPStatus.PRECONDITION_FAILED


async def create(session: AsyncSession, new: ItemWrite) -> Item:
    item = Item(**new.model_dump())
    session.add(item)
    return await _record(session, item, "created")


async def find(session: AsyncSession, item_id: UUID, *, lock: bool = False) -> Item:
    """Raises ItemNotFound. A lock waits for whoever has it, and lasts until the commit."""
    item = await session.get(Item, item_id, with_for_update=lock)
    if item is None:
        raise ItemNotFound(f"There is no item {item_id}.")
    return item


async def find_to_change(session: AsyncSession, item_id: UUID, if_match: str | None) -> Item:
    """Raises ItemNotFound, or ItemHasChanged if none of the entity tags in `if_match` is its."""
    item = await find(session, item_id, lock=True)
    if if_match is not None and not {"*", etag(item)} & set(if_match.replace(",", " ").split()):
        raise ItemHasChanged("The item has changed since you read it.")
    return item


def etag(item: Item) -> str:
    """The entity tag (RFC 9110, section 8.8.3): another one after each change."""
    return f'"{item.version}"'


async def change(session: AsyncSession, item: Item, new: ItemWrite | ItemPatch) -> Item:
    for name, value in new.model_dump(exclude_none=True).items():
        setattr(item, name, value)
    return await _record(session, item, "changed")


async def delete(session: AsyncSession, item: Item) -> None:
    await session.delete(item)
    await _record(session, item, "deleted")


async def _record(session: AsyncSession, item: Item, change: Change) -> Item:
    """Note a change for the feed, whose readers must see its numbers appear in their order.

    On PostgreSQL, those who change something take turns for that; SQLite has one writer anyway.
    """
    await session.flush()
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(select(func.pg_advisory_xact_lock(FEED_LOCK)))
    session.add(ItemChange(item_id=item.id, change=change))
    await session.flush()
    return item


async def read_batch(sessions: SessionMaker, after: UUID | None = None) -> list[Item]:
    """Some hundreds of items, the oldest, or those behind the one with the id `after`."""
    statement = select(Item).order_by(Item.id).limit(AT_ONCE)
    if after is not None:
        statement = statement.where(Item.id > after)
    with CancelScope(shield=True):  # see StreamingSession
        async with transaction(sessions) as session:
            batch = list(await session.scalars(statement))
    return batch


async def stream_all(sessions: SessionMaker, batch: list[Item]) -> AsyncIterator[Item]:
    """The items of `batch` and all behind them; memory stays small however many there are.

    No connection is held while a client reads them: slow ones would soon have all that there are.
    """
    while batch:
        for item in batch:
            yield item
        batch = await read_batch(sessions, batch[-1].id)


async def list_page(session: AsyncSession, query: ItemQuery) -> tuple[list[Item], str | None]:
    """Items, and the cursor of the next page if there is one; raises InvalidCursor."""
    statement = select(Item)
    if query.name_contains is not None:
        statement = statement.where(Item.name.icontains(query.name_contains, autoescape=True))
    statement = behind(statement, query.sort, query.cursor).limit(query.limit + 1)
    items = list(await session.scalars(statement))
    if len(items) <= query.limit:
        return items, None
    return items[:-1], cursor_of(items[-2], query.sort)

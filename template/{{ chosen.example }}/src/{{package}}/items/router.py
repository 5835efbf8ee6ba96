from collections.abc import AsyncIterable
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from ..database.session import Session, Sessions
from . import feed, service
from .models import Item
from .schemas import ItemChangeRead, ItemPage, ItemPatch, ItemQuery, ItemRead, ItemWrite

reads = APIRouter(prefix="/items", tags=["items"])
writes = APIRouter(prefix="/items", tags=["items"])

IfMatch = Annotated[str | None, Header()]
Number = Annotated[int | None, Header(ge=0, lt=2**63)]


@writes.post("", status_code=HTTPStatus.CREATED)
async def create_item(
    new: ItemWrite, session: Session, request: Request, answer: Response
) -> ItemRead:
    """Make an item; `Location` is its path."""
    item = await service.create(session, new)
    answer.headers["Location"] = request.url_for("read_item", item_id=item.id).path
    return _answer(item, answer)


@reads.get("")
async def list_items(query: Annotated[ItemQuery, Query()], session: Session) -> ItemPage:
    """A page of items; `next` is the cursor of the one after it."""
    items, following = await service.list_page(session, query)
    return ItemPage.model_validate({"items": items, "next": following})


async def _first(sessions: Sessions) -> list[Item]:
    return await service.read_batch(sessions)  # fails while there can be another answer


@reads.get("/export")
async def export_items(
    sessions: Sessions, first: Annotated[list[Item], Depends(_first)]
) -> AsyncIterable[ItemRead]:
    """All items as JSON Lines, read from the database as fast as the client takes them."""
    async for item in service.stream_all(sessions, first):
        yield ItemRead.model_validate(item)


async def _after(session: Session, last_event_id: Number = None) -> int:
    return await feed.newest(session) if last_event_id is None else last_event_id


@reads.get(
    "/changes", response_class=EventSourceResponse, responses={200: {"model": ItemChangeRead}}
)
async def follow_items(
    request: Request, sessions: Sessions, after: Annotated[int, Depends(_after, scope="function")]
) -> AsyncIterable[ServerSentEvent]:
    """What happens from now on, or after the event that `Last-Event-ID` names."""
    async for change in feed.follow(sessions, after, request.state.stopping):
        data = ItemChangeRead.model_validate(change)
        yield ServerSentEvent(id=str(change.id), event=change.change, data=data)


@reads.get("/{item_id:uuid}")
async def read_item(item_id: UUID, session: Session, answer: Response) -> ItemRead:
    """An item; `ETag` is its version."""
    return _answer(await service.find(session, item_id), answer)


@writes.put("/{item_id:uuid}")
async def replace_item(
    item_id: UUID, new: ItemWrite, session: Session, answer: Response, if_match: IfMatch = None
) -> ItemRead:
    """Set all fields of an item; with `If-Match`, only of that version."""
    item = await service.find_to_change(session, item_id, if_match)
    return _answer(await service.change(session, item, new), answer)


@writes.patch("/{item_id:uuid}")
async def change_item(
    item_id: UUID, new: ItemPatch, session: Session, answer: Response, if_match: IfMatch = None
) -> ItemRead:
    """Set some fields of an item; with `If-Match`, only of that version."""
    item = await service.find_to_change(session, item_id, if_match)
    return _answer(await service.change(session, item, new), answer)


@writes.delete("/{item_id:uuid}", status_code=HTTPStatus.NO_CONTENT)
async def delete_item(item_id: UUID, session: Session, if_match: IfMatch = None) -> None:
    """Delete an item; with `If-Match`, only that version."""
    await service.delete(session, await service.find_to_change(session, item_id, if_match))


def _answer(item: Item, answer: Response) -> ItemRead:
    answer.headers["ETag"] = service.etag(item)
    return ItemRead.model_validate(item)


# Apart until here, for those who let fewer people write than read.
router = APIRouter()
router.include_router(reads)
router.include_router(writes)

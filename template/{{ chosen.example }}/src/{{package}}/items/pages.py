"""Keyset pagination: a page begins behind the last row of the one before.

However far one reads, a page costs the same, and rows that come or go move none to another page.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from http import HTTPStatus
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from pydantic_core import to_json
from sqlalchemy import Select, tuple_

from ..errors import ServiceError
from .models import Item
from .schemas import Name, Quantity

# What a page may be sorted by, and the key of its last row. A key is unique: the id completes it.
_KEYS: dict[str, tuple[tuple[Any, ...], TypeAdapter[tuple[Any, ...]]]] = {
    "id": ((Item.id,), TypeAdapter(tuple[UUID])),
    "name": ((Item.name, Item.id), TypeAdapter(tuple[Name, UUID])),
    "quantity": ((Item.quantity, Item.id), TypeAdapter(tuple[Quantity, UUID])),
}


class InvalidCursor(ServiceError):
    status = HTTPStatus.UNPROCESSABLE_ENTITY


def behind(statement: Select[Item], sort: str, cursor: str | None) -> Select[Item]:
    """`statement` sorted, and from `cursor` on; raises InvalidCursor."""
    columns, adapter = _KEYS[sort.removeprefix("-")]
    descending = sort.startswith("-")
    statement = statement.order_by(*(each.desc() if descending else each for each in columns))
    if cursor is None:
        return statement
    try:
        last = adapter.validate_json(urlsafe_b64decode(cursor))
    except ValueError:  # which a ValidationError is, too
        raise InvalidCursor("The cursor does not belong to a page with this order.") from None
    key = tuple_(*columns)
    return statement.where(key < last if descending else key > last)


def cursor_of(item: Item, sort: str) -> str:
    """The cursor of the page that begins behind `item`."""
    columns, _ = _KEYS[sort.removeprefix("-")]
    return urlsafe_b64encode(to_json([getattr(item, each.key) for each in columns])).decode()

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, Field

from ..strict import Strict
from .models import Change


def _whole(value: object) -> object:
    """In JSON, 1.0 is an integer as well."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# A database has its limits: PostgreSQL stores no NUL character, and its integers end.
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00]*$")]
Note = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")]
Quantity = Annotated[int, Field(ge=0, le=1_000_000_000, strict=True), BeforeValidator(_whole)]


class ItemWrite(Strict):
    """An item as a client sends it."""

    name: Name
    note: Note = ""
    quantity: Quantity = 0


class ItemPatch(Strict):
    """What to change of an item; null leaves a field as it is."""

    name: Name | None = None
    note: Note | None = None
    quantity: Quantity | None = None


class ItemRead(BaseModel, from_attributes=True):
    """An item as the service answers it."""

    id: UUID
    name: str
    note: str
    quantity: int
    version: int
    created_at: datetime
    updated_at: datetime


class ItemQuery(Strict):
    """Which items to list; ids sort by age. `cursor` is `next` of the page before."""

    name_contains: Name | None = None
    sort: Literal["id", "-id", "name", "-name", "quantity", "-quantity"] = "id"
    limit: int = Field(default=50, ge=1, le=100)
    cursor: str | None = Field(default=None, max_length=1000)


class ItemPage(BaseModel, from_attributes=True):
    """Some items and the cursor of the next page. There is no total: counting reads every row."""

    items: list[ItemRead]
    next: str | None


class ItemChangeRead(BaseModel, from_attributes=True):
    """What happened to an item."""

    item_id: UUID
    change: Change
    at: datetime

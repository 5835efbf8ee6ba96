from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from ..database.models import Base, IdentityKey, Stamped, UUIDKey, now

Change = Literal["created", "changed", "deleted"]


class Item(Stamped, Base):
    __tablename__ = "items"
    # For pages in the order of the quantity.
    __table_args__ = (Index(None, "quantity", "id"),)

    id: Mapped[UUIDKey]
    name: Mapped[str] = mapped_column(String(100), unique=True)
    note: Mapped[str] = mapped_column(String(1000))
    quantity: Mapped[int]
    version: Mapped[int] = mapped_column()

    # SQLAlchemy counts the version up with each change.
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012  SQLAlchemy's way


class ItemChange(Base):
    """One line of the change feed; it outlives its item."""

    __tablename__ = "item_changes"

    id: Mapped[IdentityKey]
    item_id: Mapped[UUID]
    change: Mapped[Change] = mapped_column(String(10))
    at: Mapped[datetime] = mapped_column(default=now)

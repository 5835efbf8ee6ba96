from datetime import datetime
from typing import Any, cast

from sqlalchemy import JSON, ColumnElement, Index, String, Table, Text
from sqlalchemy.orm import Mapped, mapped_column

from ..database.clock import from_now
from ..database.models import Base, UUIDKey

JSON_OR_NULL = JSON(none_as_null=True)


class Job(Base):
    """A job. A worker changes its row during its own try alone: `tries` is the fence."""

    __tablename__ = "jobs"

    id: Mapped[UUIDKey]
    task: Mapped[str] = mapped_column(String(255))
    arguments: Mapped[dict[str, object]] = mapped_column(JSON)
    key: Mapped[str | None] = mapped_column(String(255), unique=True)
    owner: Mapped[str | None] = mapped_column(Text)
    request_id: Mapped[str | None] = mapped_column(String(128))
    state: Mapped[str] = mapped_column(String(10), default="queued")
    created_at: Mapped[datetime] = mapped_column(default=from_now(0))
    due_at: Mapped[datetime | None]  # null is at once
    wake_at: Mapped[datetime | None]  # when beat looks at it; null once it has ended
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    sends: Mapped[int] = mapped_column(default=0)
    tries: Mapped[int] = mapped_column(default=0)
    max_tries: Mapped[int]
    worker: Mapped[str | None] = mapped_column(Text)
    progress: Mapped[object | None] = mapped_column(JSON_OR_NULL)
    result: Mapped[object | None] = mapped_column(JSON_OR_NULL)
    problem: Mapped[dict[str, object] | None] = mapped_column(JSON_OR_NULL)


TABLE = cast("Table", Job.__table__)


def _index(*columns: Mapped[Any], only: ColumnElement[bool]) -> None:
    Index(None, *columns, postgresql_where=only, sqlite_where=only)


_index(Job.wake_at, only=Job.wake_at.is_not(None))  # however many have ended, they cost nothing
_index(Job.task, Job.due_at, only=Job.key.is_not(None))  # the periodic ones

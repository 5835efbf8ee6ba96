"""How fast the example resource is on PostgreSQL, beside the least with the same statements."""

import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from measure import Pair, Ratio, in_turns
from new_service.system.variables import chosen
from service import BIN, ROOT, Server, create, load, served

sys.path.insert(0, str(ROOT / "tests"))
from conftest import find_postgresql, own_postgresql

ROWS = 20_000
ITEMS = "/api/v1/items"
FILL = """
INSERT INTO items SELECT lpad(to_hex(i), 32, '0')::uuid, 'item ' || i, 'a note', i, 1, now(), now()
FROM generate_series(1, 20000) i
"""
POST = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
math.randomseed(os.time() + tonumber(tostring({}):sub(8), 16) % 1000000)
local stamp = string.format("%d-%d", os.time(), math.random(1e9))
local count = 0
request = function()
  count = count + 1
  return wrk.format(nil, nil, nil, string.format('{"name": "%s-%d"}', stamp, count))
end
"""
BARE = """
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from os import environ
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel
from sqlalchemy import BigInteger, DateTime, Identity, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Stamp = Annotated[
    datetime, mapped_column(DateTime(timezone=True), default=lambda: datetime.now(UTC))
]


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "items"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    note: Mapped[str]
    quantity: Mapped[int]
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[Stamp]
    updated_at: Mapped[Stamp]


class ItemChange(Base):
    __tablename__ = "item_changes"
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    item_id: Mapped[UUID]
    change: Mapped[str]
    at: Mapped[Stamp]


class ItemWrite(BaseModel):
    name: str
    note: str = ""
    quantity: int = 0


class ItemRead(BaseModel, from_attributes=True):
    id: UUID
    name: str
    note: str
    quantity: int
    version: int
    created_at: datetime
    updated_at: datetime


class Page(BaseModel):
    items: list[ItemRead]
    next: str | None


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[dict[str, object]]:
    engine = create_async_engine(environ["DATABASE_URL"], pool_size=10, pool_pre_ping=True)
    yield {"sessions": async_sessionmaker(engine, expire_on_commit=False)}
    await engine.dispose()


async def open_session(request: Request) -> AsyncGenerator[AsyncSession]:
    async with request.state.sessions.begin() as session:
        yield session


Session = Annotated[AsyncSession, Depends(open_session, scope="function")]
router = APIRouter(prefix="/api/v1/items")


@router.post("", status_code=201)
async def create_item(new: ItemWrite, session: Session) -> ItemRead:
    item = Item(**new.model_dump())
    session.add(item)
    await session.flush()
    await session.execute(select(func.pg_advisory_xact_lock(1)))
    session.add(ItemChange(item_id=item.id, change="created"))
    await session.flush()
    return ItemRead.model_validate(item)


@router.get("")
async def list_items(session: Session, limit: int = 50) -> Page:
    items = list(await session.scalars(select(Item).order_by(Item.id).limit(limit + 1)))
    return Page(items=[ItemRead.model_validate(item) for item in items[:limit]], next="x")


@router.get("/export")
async def export_items(
    session: Annotated[AsyncSession, Depends(open_session)],
) -> AsyncIterable[ItemRead]:
    items = select(Item).order_by(Item.id).execution_options(yield_per=500)
    async for item in await session.stream_scalars(items):
        yield ItemRead.model_validate(item)


@router.get("/{item_id}")
async def read_item(item_id: UUID, session: Session) -> ItemRead:
    item = await session.get(Item, item_id)
    if item is None:
        raise HTTPException(404)
    return ItemRead.model_validate(item)


app = FastAPI(lifespan=lifespan)
app.include_router(router)
"""


def items() -> list[Ratio]:
    """Requests per second of read-one, list-50 and create, and exported rows per second."""
    programs = find_postgresql()
    if programs is None:
        sys.exit("PostgreSQL is not installed: apt-get install postgresql")
    with tempfile.TemporaryDirectory() as folder, own_postgresql(programs) as postgresql:
        project = Path(folder, "shop")
        create(project, "--with", "database,example")
        (project / "bare.py").write_text(BARE)
        script = Path(folder, "post.lua")
        script.write_text(POST)
        urls = postgresql.new_database(), postgresql.new_database()
        for url in urls:
            subprocess.run(
                [BIN / "uv", "run", "--quiet", "poe", "-q", "migrate"],
                cwd=project, check=True, env={**chosen(os.environ), "DATABASE_URL": url},
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
            postgresql.ask(url, FILL)
        with (
            served(project, "shop.main:app", DATABASE_URL=urls[0]) as ours,
            served(project, "bare:app", DATABASE_URL=urls[1]) as theirs,
        ):

            def pairs(measure: Callable[[Server], float], rounds: int = 12) -> list[Pair]:
                return in_turns(lambda: measure(ours), lambda: measure(theirs), rounds)

            one = f"{ITEMS}/00000000-0000-0000-0000-000000000007"
            measured = {
                "read one item": pairs(lambda server: load(server, one)),
                "list 50 items": pairs(lambda server: load(server, f"{ITEMS}?limit=50")),
                "create an item": pairs(lambda server: load(server, ITEMS, "--script", script)),
            }
            rows = pairs(_exported, rounds=7)
    ratios = [
        Ratio.of(name, pairs, "req/s", 0.85 if "create" in name else 0.9, at_least=True)
        for name, pairs in measured.items()
    ]
    return [*ratios, Ratio.of("export items", rows, "rows/s", 0.85, at_least=True)]


def _exported(server: Server) -> float:
    """Rows per second of the export."""
    started = perf_counter()
    with urllib.request.urlopen(f"http://127.0.0.1:{server[1]}{ITEMS}/export") as export:
        rows = export.read().count(b"\n")
    assert rows >= ROWS
    return float(rows) / (perf_counter() - started)

"""The types of columns that an owner needs, on both databases, through migrations and requests."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from conftest import COMMAND, UV, on_postgresql, on_sqlite, run
from migrating import Shop

pytestmark = pytest.mark.xdist_group("columns")  # one service

MODELS = """
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from ..database.models import Base, Money, UUIDKey
from ..database.session import Session


class Status(StrEnum):
    PLACED = "is placed"
    PAID = "is paid"


class Colour(Enum):
    RED = "dark red"


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[UUIDKey]
    status: Mapped[Status]
    colour: Mapped[Colour | None]
    kind: Mapped[Literal["gift", "sale"]]
    total: Mapped[Money]
    discount: Mapped[Money] = mapped_column(default=0)
    plain: Mapped[Decimal | None]
    label: Mapped[str] = mapped_column(String(20), server_default="none")
    due: Mapped[date]
    opens: Mapped[time]
    lasts: Mapped[timedelta]
    at: Mapped[datetime]
    details: Mapped[dict[str, Any]]
    tags: Mapped[list[str]]


class New(BaseModel):
    status: Status
    colour: Colour | None = None
    kind: Literal["gift", "sale"] = "gift"
    total: Money
    plain: Decimal | None = None
    due: date = date(2030, 2, 28)
    opens: time = time(8, 30)
    lasts: timedelta = timedelta(days=1, microseconds=5)
    at: datetime
    details: dict[str, Any] = {}
    tags: list[str] = []


class Read(New, from_attributes=True):
    id: UUID
    discount: Decimal
    label: str


router = APIRouter(prefix="/orders")


@router.post("")
async def create_order(new: New, session: Session) -> Read:
    session.add(order := Order(**new.model_dump()))
    await session.flush()
    return Read.model_validate(order)


@router.get("/{order_id}")
async def read_order(order_id: UUID, session: Session) -> Read:
    return Read.model_validate(await session.get_one(Order, order_id))


@router.patch("/{order_id}")
async def change_order(order_id: UUID, total: Decimal, session: Session) -> Read:
    order = await session.get_one(Order, order_id)
    order.total = total
    order.tags.append("changed")
    order.details["changed"] = True
    return Read.model_validate(order)
"""
ASK = """
import json, sys, warnings
from fastapi.testclient import TestClient
from shop.main import app

warnings.simplefilter("error")
with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
    answers, known = [], ""
    for method, path, body in json.loads(sys.argv[1]):
        answer = client.request(method, f"/api/v1/orders{path.replace('ID', known)}", json=body)
        answers.append([answer.status_code, answer.json()])
        known = answers[-1][1].get("id", known)
print(json.dumps(answers))
"""
ORDER = {
    "status": "is placed",
    "colour": "dark red",
    "total": "0.1",
    "plain": "3",
    "at": "2030-01-01T12:00:00+02:00",
    "details": {"a": [1, None]},
    "tags": ["x"],
}
Answer = tuple[int, dict[str, object]]


@pytest.fixture(scope="module")
def made(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service with orders of each type and their migration, written on SQLite. Not to change."""
    folder = tmp_path_factory.mktemp("made")
    run(
        COMMAND, "create", "shop", "--yes", "--with", "database", "--template", template, cwd=folder
    )
    run(UV, "sync", "--quiet", "--frozen", cwd=folder / "shop")
    shop = Shop(
        folder / "shop", folder / "shop/.venv/bin/python", f"sqlite:///{folder / 'made.db'}"
    )
    shop.add_orders(MODELS)
    return folder / "shop"


@pytest.fixture
def shop(made: Path, tmp_path: Path, url: str) -> Shop:
    """A copy of that service, and its owner at an empty database."""
    shutil.copytree(made, tmp_path / "shop", ignore=shutil.ignore_patterns(".venv"))
    return Shop(tmp_path / "shop", made / ".venv" / "bin" / "python", url)


def ask(shop: Shop, *requests: tuple[str, str, object]) -> list[Answer]:
    """What the service answers; ID in a path stands for the order that the last answer had."""
    (shop.folder / "src" / "ask.py").write_text(ASK)
    lines = shop.run("ask", json.dumps(requests)).stdout.splitlines()
    return [(status, body) for status, body in json.loads(lines[-1])]


def edit_models(shop: Shop, *changes: tuple[str, str]) -> None:
    router = shop.folder / "src/shop/orders/router.py"
    text = router.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    router.write_text(text)


def test_answers_agree_and_values_survive_up_and_down(shop: Shop) -> None:
    shop.migrate()
    (created, body), read, (_, changed), (_, last) = ask(
        shop,
        ("POST", "", ORDER),
        ("GET", "/ID", None),
        ("PATCH", "/ID?total=2.345", None),
        ("GET", "/ID", None),
    )
    assert created == 200, body
    assert read == (200, body)
    assert {name: body[name] for name in ORDER} == {
        **ORDER,
        "total": "0.10",
        "plain": "3.00",
        "at": "2030-01-01T10:00:00Z",
    }
    assert (body["discount"], body["label"]) == ("0.00", "none")
    assert changed == last
    assert (last["total"], last["tags"], last["details"]) == (
        "2.35",
        ["x", "changed"],
        {"a": [1, None], "changed": True},
    )
    stored = shop.execute("SELECT status, colour, kind FROM orders")
    assert stored == [("is placed", "dark red", "gift")]

    edit_models(
        shop,
        ("plain: Mapped[Decimal | None]", "rate: Mapped[Decimal | None]"),
        ("plain: Decimal", "rate: Decimal"),
        ("String(20)", "String(40)"),
    )
    shop.revise("other columns")
    assert "up " in shop.migrate()
    shop.check()
    (head,) = shop.execute("SELECT version_num FROM alembic_shop")[0]
    shop.run("shop.database", "downgrade", f"{head}@-1")
    assert "up " in shop.migrate()
    shop.check()
    ((_, after),) = ask(shop, ("GET", f"/{body['id']}", None))
    assert {**after, "plain": None} == {**last, "plain": None, "rate": None}


def test_a_new_value_needs_no_migration_and_an_unknown_one_is_named(shop: Shop) -> None:
    shop.migrate()
    edit_models(shop, ('"is paid"', '"is paid"\n    LOST = "is lost"'))

    assert "nothing has changed" in shop.revise("a value")
    lost = ORDER | {"status": "is lost"}
    (_, order), read = ask(shop, ("POST", "", lost), ("GET", "/ID", None))
    assert read == (200, order)
    edit_models(shop, ('\n    LOST = "is lost"', ""))
    assert ask(shop, ("GET", f"/{order['id']}", None))[0][0] == 500
    assert ask(shop, ("POST", "", lost))[0][0] == 422


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("total: Mapped[Money]", "total: Mapped[Decimal] = mapped_column(Exact(14, 2))"),
        ("total: Mapped[Money]", "total: Mapped[Decimal] = mapped_column(Exact(12, 3))"),
        ("String(20)", "String(30)"),
        ('server_default="none"', 'server_default="other"'),
        (', server_default="none"', ""),
    ],
    ids=["precision", "scale", "length", "default", "no default"],
)
@on_sqlite
def test_a_changed_column_is_noticed(before: str, after: str, shop: Shop) -> None:
    shop.migrate()
    edit_models(shop, ("import Base, Money", "import Base, Exact, Money"), (before, after))

    found = shop.run("alembic", "check", check=False)

    assert "New upgrade operations detected" in found.stdout + found.stderr


def test_an_amount_that_no_column_holds_is_refused(shop: Shop) -> None:
    shop.migrate()

    (much, _), (fine, _), _, (created, _) = ask(
        shop,
        ("POST", "", ORDER | {"total": "10000000000"}),
        ("POST", "", ORDER | {"total": "0.001"}),
        ("POST", "", ORDER | {"plain": "123456789012"}),
        ("POST", "", ORDER | {"plain": "1234567890.125"}),
    )

    assert (much, fine, created) == (422, 422, 200)


@on_postgresql
def test_a_drop_that_was_written_on_sqlite_runs_on_postgresql(shop: Shop, tmp_path: Path) -> None:
    main = shop.folder / "src/shop/main.py"
    lines = main.read_text().splitlines(keepends=True)
    main.write_text("".join(line for line in lines if "orders" not in line))
    there = Shop(shop.folder, shop.python, f"sqlite:///{tmp_path / 'database.db'}")
    there.migrate()
    there.revise("drop orders")

    shop.migrate()
    shop.check()
    shop.run("shop.database", "downgrade", "base")
    assert shop.migrate().count("up ") == 2

"""A service with its owner, who changes models and migrates."""

from __future__ import annotations

import sqlite3
import subprocess
import warnings
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from copier import VcsRef, run_update
from copier.errors import MissingFileWarning

from conftest import repository, run

ORDERS = """
from uuid import UUID

from fastapi import APIRouter
from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from ..database.models import Base, UUIDKey

router = APIRouter(prefix="/orders")


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[UUIDKey]
    amount: Mapped[int]
"""
REFERENCE = """\
    item_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("items.id", ondelete="CASCADE")
    )
"""


@dataclass
class Shop:
    """A service with its owner: what they do, on one database."""

    folder: Path
    python: Path
    url: str

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A module of Python, in the environment of the service."""
        env = {"DATABASE_URL": self.url, "PYTHONPATH": str(self.folder / "src")}
        return run(self.python, "-m", *command, cwd=self.folder, env=env, check=check)

    def alembic(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("alembic", *command, check=check)

    def migrate(self) -> str:
        """What `poe migrate` runs, and what that prints."""
        return self.run("shop.database", "upgrade").stdout

    def revise(self, message: str) -> str:
        """What `poe migration` runs, and what that prints."""
        return self.run("shop.database", "revision", message).stdout

    def refused(self, *command: str) -> str:
        """The one line that a command of the database ends with."""
        done = self.run("shop.database", *command, check=False)
        assert done.returncode == 1, done.stdout + done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
        return done.stderr

    def commit(self) -> None:
        if run("git", "status", "--porcelain", cwd=self.folder).stdout:
            repository(self.folder)

    def update(self, modules: list[str], version: str | VcsRef = VcsRef.CURRENT) -> None:
        """What plain Copier does; the owner commits before and after."""
        self.commit()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MissingFileWarning)
            run_update(
                self.folder, {"modules": modules}, defaults=True, overwrite=True, quiet=True,
                vcs_ref=version,
            )  # fmt: skip
        assert run("git", "diff", "--check", cwd=self.folder, check=False).stdout == ""

    def add_orders(self, router: str = ORDERS) -> None:
        package = self.folder / "src" / "shop"
        (package / "orders").mkdir()
        (package / "orders" / "__init__.py").touch()
        (package / "orders" / "router.py").write_text(router)
        main = package / "main.py"
        text = main.read_text()
        text = text.replace(
            "    # Your own routers: api.include_router(...)\n", "    api.include_router(orders)\n"
        )
        text = text.replace(
            "from .settings", "from .orders.router import router as orders\nfrom .settings"
        )
        main.write_text(text)
        self.revise("add orders")
        self.migrate()

    def refer(self) -> None:
        """Give orders a foreign key to items."""
        router = self.folder / "src" / "shop" / "orders" / "router.py"
        router.write_text(router.read_text() + REFERENCE)
        self.revise("orders have an item")
        self.migrate()

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        if self.url.startswith("sqlite"):
            path = self.url.removeprefix("sqlite:///")
            with closing(sqlite3.connect(path)) as database, database:
                return database.execute(statement).fetchall()
        answer = run("psql", self.url, "-qAtc", statement).stdout
        return [tuple(line.split("|")) for line in answer.splitlines()]

    def check(self) -> None:
        """All has run, in one line, and the models say the same."""
        self.alembic("upgrade", "head")  # which fails where there are two
        assert "No new upgrade operations" in self.alembic("check").stdout

"""Migrations of modules and of a service's owner, in whatever order they come."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from conftest import COMMAND, UV, copy_template, on_sqlite, repository, run
from migrating import REFERENCE, Shop

SECOND = '''"""add a colour"""

import sqlalchemy as sa
from alembic import op

revision = "items_0002"
down_revision = "items_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # SQLite gets another table in place of this one.
    with op.batch_alter_table("items") as batch:
        batch.alter_column("name", existing_type=sa.String(100), type_=sa.String(200))
        batch.add_column(sa.Column("colour", sa.String(length=20), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("items") as batch:
        batch.drop_column("colour")
'''
WRITTEN = "src/shop/database/migrations"
ORDER = "INSERT INTO orders VALUES ('00000000000000000000000000000001', 7)"
ITEM = """
INSERT INTO items VALUES
('00000000000000000000000000000002', 'pen', '', 1, 1, '2030-01-01', '2030-01-01')"""
ORDER_OF_ITEM = """
INSERT INTO orders VALUES
('00000000000000000000000000000003', 9, '00000000000000000000000000000002')"""


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template, and a later version of it that changes the tables of `example`."""
    folder = repository(copy_template(tmp_path_factory.mktemp("t") / "template"), tag="v1.0.0")
    package = folder / "template" / "{{ chosen.example }}" / "src" / "{{package}}"
    migrations = package / "database" / "migrations" / "versions"
    (migrations / "items_0002_add_a_colour.py").write_text(SECOND)
    models = package / "items" / "models.py"
    column = "    colour: Mapped[str | None] = mapped_column(String(20))\n"
    text = models.read_text()
    text = text.replace("    version: Mapped[int]", f"{column}    version: Mapped[int]")
    models.write_text(text.replace("String(100)", "String(200)"))
    return repository(folder, tag="v1.1.0")


@pytest.fixture(scope="module")
def made(versions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service with a database, its environment installed. Not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    options = ("--with", "database", "--template-version", "1.0.0", "--template", versions)
    run(COMMAND, "create", "shop", "--yes", *options, cwd=folder)
    run(UV, "sync", "--quiet", "--frozen", cwd=folder / "shop")
    # What the module auth needs, for the tests that add it.
    more = ("joserfc", "limits[redis]", "pwdlib[argon2]", "zxcvbn")
    run(UV, "pip", "install", "--quiet", *more, cwd=folder / "shop")
    return folder / "shop"


@pytest.fixture
def fresh(made: Path, tmp_path: Path, url: str) -> Shop:
    """A copy of that service, in the environment of the first."""
    shutil.copytree(made, tmp_path / "shop", ignore=shutil.ignore_patterns(".venv"))
    return Shop(tmp_path / "shop", made / ".venv" / "bin" / "python", url)


@pytest.fixture
def shop(fresh: Shop) -> Shop:
    """The service after its owner has added orders."""
    fresh.add_orders()
    fresh.execute(ORDER)
    return fresh


def test_accounts_come_after_migrations_and_data_of_the_owner(shop: Shop) -> None:
    shop.update(["database", "auth"])
    shop.migrate()
    shop.revise("join")
    shop.check()
    shop.update(["database"])
    shop.revise("drop accounts")

    shop.check()
    assert [str(row[0]) for row in shop.execute("SELECT amount FROM orders")] == ["7"]


def test_a_module_comes_after_migrations_of_the_owner_and_its_tables_are_dropped_by_them(
    shop: Shop,
) -> None:
    shop.update(["database", "example"])
    shop.migrate()
    shop.refer()
    shop.check()
    router = shop.folder / "src" / "shop" / "orders" / "router.py"
    router.write_text(router.read_text().replace(REFERENCE, ""))
    shop.update(["database"])

    versions = shop.folder / "src" / "shop" / "database" / "migrations" / "versions"
    assert (versions / "items_0001_create_items.py").is_file()
    # Copier itself leaves what Python compiled; `new-service remove` does not.
    assert not list((shop.folder / "src" / "shop" / "items").rglob("*.py"))
    shop.migrate()
    shop.revise("drop items")
    shop.check()
    assert [str(row[0]) for row in shop.execute("SELECT amount FROM orders")] == ["7"]


@on_sqlite
def test_a_module_comes_back(shop: Shop) -> None:
    shop.update(["database", "example"])
    shop.migrate()
    shop.update(["database"])
    shop.update(["database", "example"])

    shop.revise("nothing new")
    shop.check()


def test_a_new_version_changes_a_table_of_a_module(shop: Shop) -> None:
    shop.update(["database", "example"])
    shop.migrate()
    shop.refer()
    shop.execute(ITEM)
    shop.execute(ORDER_OF_ITEM)
    shop.update(["database", "example"], "v1.1.0")
    shop.migrate()
    shop.revise("join")

    shop.check()
    rows = shop.execute("SELECT amount FROM orders ORDER BY amount")
    assert [str(row[0]) for row in rows] == ["7", "9"]


@on_sqlite
def test_a_new_version_leaves_migrations_that_the_owner_changed(shop: Shop) -> None:
    shop.update(["database", "example"])
    versions = shop.folder / "src" / "shop" / "database" / "migrations" / "versions"
    first = versions / "items_0001_create_items.py"
    first.write_text(first.read_text() + "# The owner's line.\n")
    shop.update(["database", "example"], "v1.1.0")

    assert first.read_text().endswith("# The owner's line.\n")
    assert (versions / "items_0002_add_a_colour.py").is_file()


@on_sqlite
def test_what_the_owner_generates_is_formatted_linted_and_typed(shop: Shop) -> None:
    shop.update(["database", "example"])
    shop.migrate()
    shop.refer()

    for check in (("ruff", "check"), ("ruff", "format", "--check", WRITTEN), ("mypy",)):
        run(shop.python, "-m", *check, cwd=shop.folder)


def test_a_migration_that_fails_leaves_nothing_behind(shop: Shop) -> None:
    versions = shop.folder / "src" / "shop" / "database" / "migrations" / "versions"
    shop.run("shop.database", "revision", "--empty", "broken")
    broken = next(versions.glob("*_broken.py"))
    text = broken.read_text()
    steps = "    op.create_table('half', sa.Column('id', sa.Integer()))\n    raise RuntimeError\n"
    text = text.replace("def upgrade() -> None:\n", f"def upgrade() -> None:\n{steps}")
    broken.write_text(f"import sqlalchemy as sa\nfrom alembic import op\n{text}")
    done = shop.alembic("upgrade", "heads", check=False)

    assert done.returncode != 0
    assert "RuntimeError" in done.stderr
    broken.unlink()
    shop.execute("CREATE TABLE half (id INTEGER)")

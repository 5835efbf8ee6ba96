"""Migrations of modules and of a service's owner, in whatever order they come."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import COMMAND, UV, copy_template, on_sqlite, repository, run
from migrating import ORDERS, REFERENCE, Shop

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


def versions_of(shop: Shop) -> Path:
    return shop.folder / "src" / "shop" / "database" / "migrations" / "versions"


def plan(shop: Shop, revision: str, above: str | None = None) -> None:
    """A migration that makes a table of its name, above another or on a line of its own."""
    text = PLANNED.replace("REVISION", revision).replace("ABOVE", repr(above))
    (versions_of(shop) / f"{revision}.py").write_text(text)


PLANNED = """
import sqlalchemy as sa
from alembic import op

revision = "REVISION"
down_revision = ABOVE


def upgrade() -> None:
    op.create_table("table_REVISION", sa.Column("id", sa.Integer(), primary_key=True))


def downgrade() -> None:
    op.drop_table("table_REVISION")
"""


def test_of_three_that_migrate_at_once_one_does_and_all_succeed(fresh: Shop) -> None:
    plan(fresh, "0001")
    plan(fresh, "0002", "0001")
    plan(fresh, "0003")

    with ThreadPoolExecutor(3) as threads:
        said = [each.result() for each in [threads.submit(fresh.migrate) for _ in range(3)]]

    ups = [[line for line in each.splitlines() if line.startswith("up ")] for each in said]
    assert sorted(map(len, ups)) == [0, 0, 3]


def test_what_an_earlier_version_recorded_is_taken_over(fresh: Shop) -> None:
    plan(fresh, "0001")
    plan(fresh, "0002")
    fresh.migrate()
    fresh.execute("CREATE TABLE alembic_version AS SELECT * FROM alembic_shop")
    fresh.execute("DROP TABLE alembic_shop")

    assert fresh.migrate() == ""
    assert fresh.execute("SELECT count(*) FROM alembic_shop") in ([(2,)], [("2",)])


def test_another_service_in_the_same_database_is_left_alone(fresh: Shop) -> None:
    plan(fresh, "0001")
    for table in ("alembic_version", "alembic_other"):
        fresh.execute(f"CREATE TABLE {table} (version_num VARCHAR(32))")
        fresh.execute(f"INSERT INTO {table} VALUES ('ffff')")  # noqa: S608

    assert "up 0001" in fresh.migrate()
    fresh.revise("drop what no model has")
    (written,) = versions_of(fresh).glob("*drop*.py")
    assert "alembic" not in written.read_text().partition("def upgrade")[2].replace("Alembic", "")
    assert fresh.execute("SELECT version_num FROM alembic_version") == [("ffff",)]


def test_what_prevents_a_migration_is_told_in_one_line(fresh: Shop) -> None:
    plan(fresh, "0001")
    assert "run first: uv run poe migrate" in fresh.refused("revision", "too early")
    assert "no migration ffff" in fresh.refused("downgrade", "ffff")
    fresh.migrate()
    fresh.execute("INSERT INTO alembic_shop VALUES ('ffff')")
    assert "no migration ffff" in fresh.refused("upgrade")
    fresh.url = "postgresql://u:hunter2@127.0.0.1:1/x"
    away = fresh.refused("upgrade")
    assert "DATABASE_URL" in away
    assert "hunter2" not in away


@on_sqlite
def test_where_nothing_changed_nothing_is_written(fresh: Shop) -> None:
    assert "nothing has changed" in fresh.revise("nothing")

    assert [each.name for each in versions_of(fresh).glob("*.py")] == ["__init__.py"]


@on_sqlite
def test_the_last_migration_of_one_line_is_taken_back(fresh: Shop) -> None:
    for revision, above in (("0001", None), ("0002", "0001"), ("0003", None)):
        plan(fresh, revision, above)
    fresh.migrate()

    assert fresh.run("shop.database", "downgrade", "0002@-1").stdout == "down 0002\n"
    refused = fresh.run("shop.database", "downgrade", "-1", check=False)
    assert "of which line" in refused.stderr
    assert "up 0002" in fresh.migrate()


@on_sqlite
def test_the_package_migrates_without_its_checkout(fresh: Shop, tmp_path: Path) -> None:
    plan(fresh, "0001")
    installed = tmp_path / "installed"
    run(UV, "pip", "install", "--quiet", "--no-deps", "--target", installed, fresh.folder)
    shutil.rmtree(fresh.folder)
    tmp_path.joinpath("elsewhere").mkdir()

    env = {"DATABASE_URL": fresh.url, "PYTHONPATH": str(installed)}
    done = run(fresh.python, "-m", "shop.database", "upgrade", cwd=tmp_path / "elsewhere", env=env)

    assert "up 0001" in done.stdout


def test_models_may_have_a_schema(fresh: Shop) -> None:
    router = ORDERS + '    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))\n'
    router = router.replace('"orders"\n', '"orders"\n    __table_args__ = {"schema": "sales"}\n')
    fresh.add_orders(router + ACCOUNT)
    fresh.check()

    assert [str(row[0]) for row in in_sales(fresh)] == ["0"]
    (head,) = fresh.execute("SELECT version_num FROM alembic_shop")[0]
    fresh.run("shop.database", "downgrade", f"{head}@-1")
    assert "up " in fresh.migrate()


def in_sales(shop: Shop) -> list[tuple[object, ...]]:
    if shop.url.startswith("sqlite"):
        return Shop(shop.folder, shop.python, f"{shop.url}.sales").execute(COUNT)
    return shop.execute(COUNT.replace("orders", "sales.orders"))


COUNT = "SELECT count(*) FROM orders"
ACCOUNT = """

class Account(Base):
    __tablename__ = "accounts"

    id: Mapped[UUIDKey]
"""

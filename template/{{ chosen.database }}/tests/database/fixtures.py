"""A migrated scratch database for all tests, on SQLite or on the server of TEST_DATABASE_URL."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from fastapi.testclient import TestClient
from psycopg import sql
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, async_sessionmaker

ON_POSTGRESQL = pytest.param(
    "postgresql",
    marks=pytest.mark.skipif(
        not os.environ.get("TEST_DATABASE_URL"),
        reason="TEST_DATABASE_URL names no PostgreSQL server",
    ),
)
ALEMBIC = Config(toml_file=Path(__file__).parents[2] / "pyproject.toml")


@contextmanager
def empty_database(dialect: str, folder: Path) -> Iterator[str]:
    """The URL of a new database: a file in `folder`, or one on the server, dropped afterwards."""
    if dialect == "sqlite":
        yield f"sqlite:///{folder / 'database.db'}"
        return
    server = make_url(os.environ["TEST_DATABASE_URL"])
    name = f"test_{uuid4().hex}"
    address = server.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield server.set(database=name).render_as_string(hide_password=False)
        drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
        connection.execute(drop)


@pytest.fixture(scope="session", autouse=True)
def database(unconfigured: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What DATABASE_URL names in the tests: every migration has run."""
    dialect = "postgresql" if os.environ.get("TEST_DATABASE_URL") else "sqlite"
    with (
        empty_database(dialect, tmp_path_factory.mktemp("database")) as url,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("DATABASE_URL", url)
        command.upgrade(ALEMBIC, "heads")
        yield


@pytest.fixture(autouse=True)
def rollback(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test with `client` writes is rolled back: its commits end savepoints."""
    if "client" not in request.fixturenames:
        yield
        return
    client: TestClient = request.getfixturevalue("client")
    assert client.portal is not None
    engine: AsyncEngine = client.app_state["engine"]
    connection = client.portal.call(_begin, engine)
    sessions = async_sessionmaker(
        connection, expire_on_commit=False, join_transaction_mode="create_savepoint"
    )
    client.app_state.update(readers=sessions, writers=sessions)
    yield
    client.portal.call(connection.close)


async def _begin(engine: AsyncEngine) -> AsyncConnection:
    connection = await engine.connect()
    await connection.begin()
    return connection

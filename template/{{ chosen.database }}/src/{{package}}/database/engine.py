import logging
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from .models import Base
from .settings import DatabaseSettings


def create_engine(settings: DatabaseSettings, **options: Any) -> AsyncEngine:  # noqa: ANN401
    """An engine for the database of `settings`, which `options` change; nothing connects yet."""
    engine = create_async_engine(settings.address, **(arguments(settings) | options))
    prepare(engine.sync_engine)
    event.listen(engine.sync_engine, "begin", partial(_on_begin, settings.statement_timeout))
    return engine


def arguments(settings: DatabaseSettings) -> dict[str, Any]:
    """How engines are made, those that block too."""
    on_sqlite = settings.address.get_backend_name() == "sqlite"
    return {
        # The driver begins no transaction: those of SQLite would begin too late for savepoints and
        # for DDL, and those of PostgreSQL take another round trip for their settings.
        "isolation_level": "AUTOCOMMIT",
        "hide_parameters": True,  # the logs are no place for what a client sent
        # Notices a connection that the server has closed before a request gets it.
        "pool_pre_ping": not on_sqlite,
        "pool_size": settings.pool_size,
        "pool_timeout": settings.pool_timeout,
        "connect_args": _sqlite(settings) if on_sqlite else _postgresql(settings),
    }


def prepare(engine: Engine) -> None:
    """See that SQLite behaves as PostgreSQL does."""
    if engine.dialect.name != "sqlite":
        return
    # At debug it would log statements with their parameters.
    logging.getLogger("aiosqlite").setLevel(logging.INFO)
    Path(engine.url.database or "").parent.mkdir(parents=True, exist_ok=True)
    event.listen(engine, "connect", partial(_attach_schemas, engine.url.database))
    event.listen(engine, "connect", _on_connect)


def _sqlite(settings: DatabaseSettings) -> dict[str, object]:
    # What a statement waits for here is the one writer before it.
    return {"timeout": settings.statement_timeout}


def _postgresql(settings: DatabaseSettings) -> dict[str, object]:
    return {
        "connect_timeout": settings.connect_timeout,
        "prepare_threshold": 5 if settings.prepared_statements else None,
    }


def _on_connect(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _attach_schemas(
    file: str | None, connection: DBAPIConnection, _entry: ConnectionPoolEntry
) -> None:
    """Give each schema that models name a file of its own, beside that of the others."""
    cursor = connection.cursor()
    for schema in Base.schemas():
        cursor.execute(f'ATTACH DATABASE ? AS "{schema}"', (f"{file}.{schema}",))
    cursor.close()


def _on_begin(seconds: float, connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get("isolation_level") == "AUTOCOMMIT":
        return
    if connection.dialect.name == "sqlite":
        # A transaction that reads first and writes later fails at once if another wrote meanwhile,
        # so those that will write take the lock when they begin, and wait for it.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writes") else "BEGIN")
        return
    # A pooler such as PgBouncer refuses settings at start-up, and gives those of a session to
    # whoever gets the connection next: these end with the transaction.
    limit = int(options.get("statement_timeout", seconds) * 1000)
    connection.exec_driver_sql(
        f"BEGIN; SET LOCAL timezone = 'UTC'; SET LOCAL statement_timeout = {limit}"
    )

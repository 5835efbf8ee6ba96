"""How migrations are made and run; Alembic's options are in pyproject.toml.

Modules of this service may ship migrations that begin a line of their own, so that they fit to
whatever there is. `upgrade heads` runs them all, and your next migration joins the lines.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping
from graphlib import TopologicalSorter
from typing import Any, Literal
from zlib import crc32

from alembic import context
from alembic.autogenerate.api import AutogenContext
from alembic.migration import MigrationContext, MigrationInfo
from alembic.operations import ops
from alembic.util import rev_id
from alembic.util.exc import CommandError
from sqlalchemy import (
    Connection,
    DateTime,
    Enum,
    ForeignKeyConstraint,
    Identity,
    String,
    Table,
    TypeDecorator,
    Uuid,
    event,
    func,
    inspect,
    select,
    text,
)
from sqlalchemy.engine import Inspector
from sqlalchemy.engine.interfaces import DBAPIConnection, ReflectedColumn
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.schema import CreateSchema

from .. import main  # noqa: F401  the models come with the routers
from .engine import create_engine
from .migrations import VERSION_TABLE, recorded
from .models import Base
from .settings import DatabaseSettings

A_DAY = 86_400.0
# What SQLite calls these; nothing else here is called so.
BY_ANOTHER_NAME = (Uuid(), DateTime(timezone=True))


def run() -> None:
    """Run the command that Alembic was called with."""
    settings = DatabaseSettings.load()
    if context.is_offline_mode():
        _configure(url=settings.address, literal_binds=True)
    else:
        asyncio.run(_run_online(settings))


async def _run_online(settings: DatabaseSettings) -> None:
    # A statement may take long, and on SQLite the migrations of another process before it.
    settings = settings.model_copy(update={"statement_timeout": A_DAY, "pool_size": 2})
    try:
        engine = create_engine(settings)
        if engine.name == "sqlite":
            event.listen(engine.sync_engine, "connect", _ignore_references)
        lock = await engine.connect()
    except (DBAPIError, OSError) as error:
        raise CommandError(f"DATABASE_URL: {getattr(error, 'orig', error)}") from None
    try:
        await _wait_for_turn(lock)
        async with engine.execution_options(writes=True).connect() as connection:
            await connection.run_sync(lambda connection: _configure(connection=connection))
    finally:
        await lock.close()
        await engine.dispose()


def _ignore_references(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # SQLite changes a table by making it anew, and would delete what refers to the old one.
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = OFF")
    cursor.close()


async def _wait_for_turn(lock: AsyncConnection) -> None:
    """Wait until no other process migrates; on SQLite, its transaction holds up this one.

    The lock ends with its transaction, so that it works through a pooler. Who waits keeps none
    open: `CREATE INDEX CONCURRENTLY` would wait for it.
    """
    if lock.dialect.name != "postgresql":
        return
    take = select(func.pg_try_advisory_xact_lock(crc32(VERSION_TABLE.encode())))
    told = False
    while not await lock.scalar(take):
        await lock.rollback()
        if not told:
            print("another process is migrating; waiting for it")
        told = True
        await asyncio.sleep(0.2)
    await lock.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


def _configure(connection: Connection | None = None, **target: Any) -> None:  # noqa: ANN401
    on_sqlite = connection is not None and connection.dialect.name == "sqlite"
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        version_table=VERSION_TABLE,
        transactional_ddl=True,
        render_as_batch=True,
        compare_server_default=_compare_default if on_sqlite else True,
        include_schemas=True,
        include_name=_is_ours,
        include_object=_is_here,
        render_item=_render,
        process_revision_directives=_plan,
        on_version_apply=_tell,
        **target,
    )
    with context.begin_transaction():
        if connection is not None:
            _prepare(connection)
        context.run_migrations()


def _prepare(connection: Connection) -> None:
    """Make the schemas, and go on from what an earlier version of this service recorded."""
    inspector = inspect(connection)
    for schema in set(Base.schemas()) - set(inspector.get_schema_names()):
        connection.execute(CreateSchema(schema))
    known = {each.revision for each in context.script.walk_revisions()}
    done = recorded(connection)
    if done and not inspector.has_table(VERSION_TABLE) and done <= known:
        for revision in done:
            context.get_context().stamp(context.script, revision)


def _is_ours(name: str | None, kind: str, _parents: Mapping[Any, str | None]) -> bool:
    """Other schemas, and what other services record, are not for this one to drop."""
    if kind == "schema":
        return name is None or name in Base.schemas()
    return kind != "table" or not str(name).startswith("alembic_")


def _is_here(item: object, _name: object, _kind: str, _reflected: bool, _other: object) -> bool:
    """SQLite has no references from one schema to another."""
    return not (
        isinstance(item, ForeignKeyConstraint)
        and item.table.schema != item.referred_table.schema
        and context.get_context().dialect.name == "sqlite"
    )


def _compare_default(*given: object) -> bool | None:
    """SQLite numbers rows without the identity of their column; None leaves others to Alembic."""
    return False if any(isinstance(each, Identity) for each in given) else None


@event.listens_for(Table, "column_reflect")
def _generalise(inspector: Inspector, _table: Table, column: ReflectedColumn) -> None:
    """Migrations name what they found in one database as every database knows it."""
    found, dialect = column["type"], inspector.dialect
    try:
        candidates = (*BY_ANOTHER_NAME, found.as_generic())
    except NotImplementedError:  # a type that only this database has
        return
    name = found.compile(dialect)
    column["type"] = next((each for each in candidates if each.compile(dialect) == name), found)
    if column["default"]:
        column["default"] = re.sub(r"^('.*')::[\w ]+(\(\d+\))?$", r"\1", column["default"])


def _render(kind: str, item: object, _context: AutogenContext) -> str | Literal[False]:
    """Migrations stand by themselves: they do not import what may change later."""
    ours = not type(item).__module__.startswith("sqlalchemy.")
    if kind == "type" and ours and isinstance(item, TypeDecorator):
        return f"sa.{item.impl_instance!r}"
    if kind == "type" and isinstance(item, Enum) and not item.native_enum:
        return f"sa.{String(item.length)!r}"
    return False


def _plan(
    _context: MigrationContext,
    _revision: str | Iterable[str | None] | Iterable[str],
    directives: list[ops.MigrationScript],
) -> None:  # pragma: no cover  it writes files, which no test should
    """Order the tables that a new migration drops, and join the lines below it."""
    script = directives[0]
    if script.upgrade_ops is not None and script.downgrade_ops is not None:
        script.upgrade_ops.ops = _drops_last(script.upgrade_ops.ops)
        script.upgrade_ops.reverse_into(script.downgrade_ops)
        compares = getattr(context.config.cmd_opts, "autogenerate", False)
        if compares and script.upgrade_ops.is_empty():
            print("nothing has changed in the models; --empty writes a migration to fill in")
            directives.clear()
    if len(context.script.get_heads()) > 1 and script.head in {None, "head"}:
        join = ops.MigrationScript(
            rev_id(), ops.UpgradeOps(), ops.DowngradeOps(), message="join heads", head="heads"
        )
        directives.insert(0, join)


def _drops_last(
    steps: list[ops.MigrateOperation],
) -> list[ops.MigrateOperation]:  # pragma: no cover  as above
    """Autogenerate drops tables in any order; one that refers to another has to go before it."""
    drops = {step.to_table().key: step for step in steps if isinstance(step, ops.DropTableOp)}
    referred = {
        name: {key.target_fullname.rsplit(".", 1)[0] for key in step.to_table().foreign_keys}
        & (drops.keys() - {name})
        for name, step in drops.items()
    }
    order = reversed(list(TopologicalSorter(referred).static_order()))
    others = [step for step in steps if not isinstance(step, ops.DropTableOp)]
    return [*others, *(drops[name] for name in order)]


def _tell(ctx: MigrationContext, step: MigrationInfo, heads: object, run_args: object) -> None:
    print("up" if step.is_upgrade else "down", *step.up_revision_ids)

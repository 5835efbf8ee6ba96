"""How migrations are made and run; Alembic's options are in pyproject.toml.

Modules of this service may ship migrations that begin a line of their own, so that they fit to
whatever there is. `upgrade heads` runs them all, and your next migration joins the lines.
"""

import asyncio
from collections.abc import Iterable
from graphlib import TopologicalSorter
from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from alembic.migration import MigrationContext, MigrationInfo
from alembic.operations import ops
from alembic.util import rev_id
from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from .. import main  # noqa: F401  the models come with the routers
from .engine import create_engine
from .models import Base, UTCDateTime
from .settings import DatabaseSettings


def run() -> None:
    """Run the command that Alembic was called with."""
    settings = DatabaseSettings.load()
    if context.is_offline_mode():
        _configure(url=settings.address, literal_binds=True)
    else:
        asyncio.run(_run_online(settings))


async def _run_online(settings: DatabaseSettings) -> None:
    engine = create_engine(settings)
    if engine.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _on_connect)
    migrating = engine.execution_options(writes=True, statement_timeout=0)
    async with migrating.connect() as connection:
        await connection.run_sync(lambda connection: _configure(connection=connection))
    await engine.dispose()


def _on_connect(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # It changes a table by making it anew, and would delete what refers to the old one.
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = OFF")
    cursor.close()


def _configure(**target: Any) -> None:  # noqa: ANN401  Alembic takes a connection or a URL
    context.configure(
        target_metadata=Base.metadata,
        transactional_ddl=True,
        render_as_batch=True,
        render_item=_render,
        process_revision_directives=_plan,
        on_version_apply=_tell,
        **target,
    )
    with context.begin_transaction():
        context.run_migrations()


def _tell(ctx: MigrationContext, step: MigrationInfo, heads: object, run_args: object) -> None:
    print("up" if step.is_upgrade else "down", *step.up_revision_ids)


def _render(kind: str, item: object, _context: AutogenContext) -> str | Literal[False]:
    """Migrations stand by themselves: they do not import what may change later."""
    is_ours = kind == "type" and isinstance(item, UTCDateTime)
    return "sa.DateTime(timezone=True)" if is_ours else False


def _plan(
    _context: MigrationContext,
    _revision: str | Iterable[str | None] | Iterable[str],
    directives: list[ops.MigrationScript],
) -> None:
    """Order the tables that a new migration drops, and join the lines below it."""
    script = directives[0]
    if script.upgrade_ops is not None and script.downgrade_ops is not None:
        script.upgrade_ops.ops = _drops_last(script.upgrade_ops.ops)
        script.upgrade_ops.reverse_into(script.downgrade_ops)
    if len(context.script.get_heads()) > 1 and script.head in {None, "head"}:
        join = ops.MigrationScript(
            rev_id(), ops.UpgradeOps(), ops.DowngradeOps(), message="join heads", head="heads"
        )
        directives.insert(0, join)


def _drops_last(steps: list[ops.MigrateOperation]) -> list[ops.MigrateOperation]:
    """Autogenerate drops tables in any order; one that refers to another has to go before it."""
    drops = {step.table_name: step for step in steps if isinstance(step, ops.DropTableOp)}
    referred = {
        name: {key.target_fullname.rsplit(".", 1)[0] for key in step.to_table().foreign_keys}
        & (drops.keys() - {name})
        for name, step in drops.items()
    }
    order = reversed(list(TopologicalSorter(referred).static_order()))
    others = [step for step in steps if not isinstance(step, ops.DropTableOp)]
    return [*others, *(drops[name] for name in order)]

from functools import lru_cache

from alembic.config import Config
from alembic.script import ScriptDirectory
from fastapi import Request
from sqlalchemy import text

from ..health.probes import Probe
from .migrations import configured, recorded


async def answers(request: Request) -> None:
    """Raises if the database does not."""
    async with request.state.engine.connect() as connection:
        await connection.execute(text("SELECT 1"))


async def migrated(request: Request) -> None:
    """Raises if a migration of this version has not run."""
    async with request.state.engine.connect() as connection:
        missing = _expected() - await connection.run_sync(recorded)
    if missing:
        raise LookupError(f"migrations that have not run, see poe migrate: {', '.join(missing)}")


@lru_cache
def _expected() -> frozenset[str]:
    return frozenset(ScriptDirectory.from_config(configured(Config())).get_heads())


probes = [Probe("database", answers), Probe("migrations", migrated)]

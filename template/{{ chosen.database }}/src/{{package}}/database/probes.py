import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import TypedDict

from fastapi import FastAPI, Request
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from ..health.probes import Probe
from .engine import create_engine
from .migrations import configured, recorded
from .settings import DatabaseSettings


class State(TypedDict):
    probing: AsyncEngine


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[State]:
    """Keep one connection for the probes: that requests have all others is no outage."""
    engine = create_engine(DatabaseSettings.load(), pool_size=1, max_overflow=0)
    yield {"probing": engine}
    await engine.dispose()


async def answers(request: Request) -> None:
    """Raises if the database does not."""
    async with request.state.probing.connect() as connection:
        await connection.execute(text("SELECT 1"))


async def migrated(request: Request) -> None:
    """Raises if a migration of this version has not run."""
    async with request.state.probing.connect() as connection:
        missing = _expected() - await connection.run_sync(recorded)
    if missing:
        raise LookupError(f"migrations that have not run, see poe migrate: {', '.join(missing)}")


@lru_cache
def _expected() -> frozenset[str]:
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)  # it would list them
    from alembic.config import Config  # which takes long to import
    from alembic.script import ScriptDirectory

    return frozenset(ScriptDirectory.from_config(configured(Config())).get_heads())


probes = [Probe("database", answers), Probe("migrations", migrated)]

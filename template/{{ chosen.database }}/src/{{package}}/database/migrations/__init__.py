"""Where Alembic finds the migrations of this service, and where it records those that have run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, column, inspect, select, table

if TYPE_CHECKING:
    from alembic.config import Config  # which takes long to import

SERVICE, _, _ = __name__.partition(".")
# Services that share a database each have a table of their own; earlier versions had the other one.
VERSION_TABLE, EARLIER_TABLE = f"alembic_{SERVICE}", "alembic_version"


def configured(config: Config) -> Config:
    """`config`, which may come from pyproject.toml, made to work without a checkout."""
    config.set_main_option("script_location", __name__.replace(".migrations", ":migrations"))
    return config


def recorded(connection: Connection) -> set[str]:
    """The last migration of each line that has run."""
    for name in (VERSION_TABLE, EARLIER_TABLE):
        if inspect(connection).has_table(name):
            return set(connection.scalars(select(column("version_num")).select_from(table(name))))
    return set()

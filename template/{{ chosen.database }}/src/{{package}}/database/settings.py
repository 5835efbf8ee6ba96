from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from ..settings import EnvironmentSettings

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg"}

UNREADABLE = (ArgumentError, ValueError)


def _address(url: str) -> URL:
    """The URL with the driver that this service uses; errors never repeat it: it has a password."""
    try:
        address = make_url(url.replace("postgres://", "postgresql://", 1))
    except UNREADABLE:
        raise ValueError("it is no URL like postgresql://user:password@host/name") from None
    dialect = address.get_backend_name()
    if dialect not in DRIVERS:
        raise ValueError(f"{dialect} is not supported; use one of {', '.join(DRIVERS)}")
    if dialect == "sqlite" and address.database in {None, "", ":memory:"}:
        raise ValueError("SQLite needs a file here, as in sqlite:///data/database.db")
    return address.set(drivername=DRIVERS[dialect])


def _check(url: SecretStr) -> SecretStr:
    _address(url.get_secret_value())
    return url


class DatabaseSettings(EnvironmentSettings, env_prefix="DATABASE_"):
    """Where the database is, and how long to wait for it, in seconds."""

    url: Annotated[SecretStr, AfterValidator(_check)] = SecretStr("sqlite:///data/database.db")
    pool_size: int = Field(default=10, gt=0)
    pool_timeout: float = Field(default=10, gt=0)
    connect_timeout: int = Field(default=5, gt=0)
    statement_timeout: float = Field(default=30, gt=0)

    @property
    def address(self) -> URL:
        """The URL as SQLAlchemy takes it."""
        return _address(self.url.get_secret_value())

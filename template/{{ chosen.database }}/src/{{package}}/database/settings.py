import re
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from ..settings import EnvironmentSettings

FORM = re.compile(r"(?P<dialect>\w+)(\+\w+)?:(?P<rest>//.*)")
UNREADABLE = (ArgumentError, ValueError)
NO_URL = "it is no URL like postgresql://user:password@host/name"


def _address(url: str) -> URL:
    """The URL as SQLAlchemy takes it; errors never repeat it: it has a password."""
    if (form := FORM.fullmatch(url)) is None:
        raise ValueError(NO_URL)
    match form["dialect"]:
        case "sqlite":
            return _sqlite(form["rest"])
        case "postgresql" | "postgres":
            return _postgresql(form["rest"])
    raise ValueError(f"{form['dialect']} is not supported; use one of sqlite, postgresql")


def _sqlite(rest: str) -> URL:
    try:
        address = make_url(f"sqlite+aiosqlite:{rest}")
    except UNREADABLE:
        raise ValueError("it is no URL like sqlite:///data/database.db") from None
    if address.database in {None, "", ":memory:"}:
        raise ValueError("SQLite needs a file here, as in sqlite:///data/database.db")
    return address


def _postgresql(rest: str) -> URL:
    """As libpq reads it, which knows several hosts, `sslmode` and all else that servers want."""
    from psycopg import ProgrammingError, conninfo  # it takes long to import

    try:
        parts = conninfo.conninfo_to_dict(f"postgresql:{rest}")
    except ProgrammingError:
        raise ValueError(NO_URL) from None
    query = {name: str(value) for name, value in parts.items()}
    if not re.fullmatch(r"[\d,]*", query.get("port", "")):
        raise ValueError(NO_URL)
    user, password, database = (query.pop(key, None) for key in ("user", "password", "dbname"))
    return URL.create("postgresql+psycopg", user, password, database=database, query=query)


def _check(url: SecretStr) -> SecretStr:
    _address(url.get_secret_value())
    return url


class DatabaseSettings(EnvironmentSettings, env_prefix="DATABASE_"):
    """Where the database is, and how long to wait for it, in seconds."""

    needed_in_production = ("url",)
    url: Annotated[SecretStr, AfterValidator(_check)] = SecretStr("sqlite:///data/database.db")
    pool_size: int = Field(default=10, gt=0)
    pool_timeout: float = Field(default=10, gt=0)
    connect_timeout: int = Field(default=5, gt=0)
    statement_timeout: float = Field(default=30, gt=0)
    prepared_statements: bool = True

    @property
    def address(self) -> URL:
        """The URL as SQLAlchemy takes it."""
        return _address(self.url.get_secret_value())

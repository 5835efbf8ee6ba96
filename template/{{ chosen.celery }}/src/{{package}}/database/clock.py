"""The database's clock, and how sure it has to be: for statements, whatever the database."""

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from .models import UTCDateTime


class from_now(FunctionElement[datetime]):
    """The database's own time, so many seconds from now."""

    type = UTCDateTime()
    inherit_cache = True


@compiles(from_now, "postgresql")
def _on_postgresql(element: from_now, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401
    return f"now() + make_interval(secs => {compiler.process(element.clauses, **options)})"


@compiles(from_now, "sqlite")
def _on_sqlite(element: from_now, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401
    seconds = compiler.process(element.clauses, **options)
    # In brackets: || binds closer than arithmetic.
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', ({seconds}) || ' seconds') || '000')"


class unflushed(FunctionElement[bool]):
    """True, for a WHERE: PostgreSQL does not wait until what the statement does is on its disk.

    A crash of the server may undo it; SQLite never waits as long.
    """

    type = Boolean()
    inherit_cache = True


@compiles(unflushed, "postgresql")
def _unflushed(_element: unflushed, _compiler: SQLCompiler, **_options: Any) -> str:  # noqa: ANN401
    return "set_config('synchronous_commit', 'off', true) = 'off'"


@compiles(unflushed, "sqlite")
def _true(_element: unflushed, _compiler: SQLCompiler, **_options: Any) -> str:  # noqa: ANN401
    return "true"

"""What errors of the database mean: by PostgreSQL's SQLSTATE, or SQLite's name of the error."""

from sqlalchemy.exc import DBAPIError, OperationalError

CONFLICT = (
    "23505",  # unique
    "23503",  # foreign key
    "23001",  # foreign key, RESTRICT
    "SQLITE_CONSTRAINT_UNIQUE",
    "SQLITE_CONSTRAINT_PRIMARYKEY",
    "SQLITE_CONSTRAINT_FOREIGNKEY",
)
RESTRICTED = "FOREIGN KEY constraint failed"  # SQLite has no code for RESTRICT but a trigger's
UNAVAILABLE = (
    "08",  # connections
    "53300",  # too many of them
    "53100",  # the disk is full
    "57P",  # the server is going down or coming up
    "40001",  # a serializable transaction has to be tried again
    "40P01",  # deadlock
    "55P03",  # lock not available
    "57014",  # statement_timeout
    "25P03",  # idle_in_transaction_session_timeout
    "25P04",  # transaction_timeout
    "SQLITE_BUSY",
    "SQLITE_LOCKED",
    "SQLITE_PROTOCOL",  # so many want the lock that it was not got
    "SQLITE_CANTOPEN",
    "SQLITE_FULL",
)


def is_conflict(error: DBAPIError) -> bool:
    """Whether a unique or a foreign key refused it."""
    return _code(error).startswith(CONFLICT) or str(error.orig) == RESTRICTED


def is_unavailable(error: DBAPIError) -> bool:
    """Whether a connection, a lock, a limit or a full disk failed it: it may succeed later."""
    return error.connection_invalidated or _code(error).startswith(UNAVAILABLE)


def _code(error: DBAPIError) -> str:
    code = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", None)
    # libpq has no SQLSTATE for a connection that it did not get, or lost.
    is_lost = isinstance(error, OperationalError) and hasattr(error.orig, "sqlstate")
    return code or ("08000" if is_lost else "")

"""Single statements by processes that serve no requests; each is a transaction of its own.

They have no time limit: it would be a setting of the session, which poolers hand on.
"""

from collections.abc import Mapping
from time import monotonic, sleep
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Executable, Row
from sqlalchemy.exc import DBAPIError

from .codes import is_unavailable
from .engine import arguments, prepare
from .settings import DatabaseSettings

LONGEST_PAUSE = 5.0


class Statements:
    """Runs them, and blocks meanwhile. Each process makes its own: connections outlive no fork."""

    def __init__(self, settings: DatabaseSettings) -> None:
        """Nothing connects yet."""
        address = settings.address
        if address.get_backend_name() == "sqlite":
            address = address.set(drivername="sqlite")
        options = {**arguments(settings), "pool_pre_ping": False}  # `run` tries again by itself
        self._engine = sqlalchemy.create_engine(address, **options)
        prepare(self._engine)

    def connect(self) -> Connection:
        """A connection on which every statement commits by itself."""
        return self._engine.connect()

    def run(
        self, statement: Executable, values: Mapping[str, object], seconds: float = 15
    ) -> Row[Any] | None:
        """The first row that a statement returns; waits so long for a database that is away.

        Raises DBAPIError: after that, or at once if it is for another reason.
        """
        end, pause = monotonic() + seconds, 0.1
        while True:
            try:
                with self.connect() as connection:
                    return connection.execute(statement, dict(values)).first()
            except DBAPIError as error:
                if monotonic() > end or not is_unavailable(error):
                    raise
                self._engine.dispose()
                sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

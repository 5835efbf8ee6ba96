"""What happens after the commit of a session, and only then."""

from collections.abc import Callable

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransaction


def after_commit(session: AsyncSession, function: Callable[[], None]) -> None:
    """Call `function`, which must not wait, once `session` has committed; never if it does not."""
    session.sync_session.info.setdefault(after_commit, []).append(function)


@event.listens_for(Session, "after_commit")
def _committed(session: Session) -> None:
    if not session.in_nested_transaction():  # it is told of savepoints too
        for function in session.info.pop(after_commit, ()):
            function()


@event.listens_for(Session, "after_soft_rollback")
def _rolled_back(session: Session, previous: SessionTransaction) -> None:
    if previous.parent is None:
        session.info.pop(after_commit, None)

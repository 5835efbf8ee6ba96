"""Jobs, for whoever has one done: declare it, and enqueue it in a transaction."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from functools import cached_property, partial
from inspect import Parameter, iscoroutinefunction, signature
from typing import Any, ParamSpec, TypeVar, cast, get_type_hints
from uuid import UUID

from celery import Task
from celery.schedules import BaseSchedule
from pydantic import BaseModel, ConfigDict, create_model
from pydantic_core import to_json
from sqlalchemy import bindparam, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.datastructures import State

from ..database.clock import from_now
from ..database.commits import after_commit
from ..database.models import now, uuid7
from ..database.session import transaction
from ..logging import request_id
from . import running
from .app import Sender
from .app import app as celery
from .models import TABLE, Job
from .settings import CelerySettings

TryAgain = running.TryAgain
P = ParamSpec("P")
R = TypeVar("R", covariant=True)
SPARE = 30  # seconds that an async job has to end after its limit
NEW = {"wake_at": from_now(bindparam("seconds"))}
# Without the unit of work, which takes longer. Where its key is already, no row is added.
ADD = {
    name: insert(TABLE).values(NEW).on_conflict_do_nothing().returning(TABLE.c.id)
    for name, insert in (("postgresql", postgresql.insert), ("sqlite", sqlite.insert))
}


class JobTask(Task[P, R]):
    """A task of Celery's whose messages say which row; a second one does no harm."""

    abstract = True
    max_tries: int
    seconds: float
    schedule: BaseSchedule | None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here and now, or, in a worker, the job of a message."""
        if self.request.called_directly:
            return self.run(*args, **kwargs)
        if self.request.origin:  # Celery names it, `send` does not
            running.logger.warning("a message of an earlier version was dropped", task=self.name)
        else:
            running.process(os.getpid()).perform(self, UUID(self.request.id))
        return cast("R", None)

    @cached_property
    def _arguments(self) -> type[BaseModel]:
        hints = get_type_hints(self.run, include_extras=True)
        fields: dict[str, Any] = {
            name: (hints[name], ... if each.default is Parameter.empty else each.default)
            for name, each in signature(self.run).parameters.items()
        }
        config = ConfigDict(extra="forbid", hide_input_in_errors=True)
        return create_model(self.name, __config__=config, **fields)

    def dump(self, arguments: Mapping[str, object]) -> object:
        """`arguments` as JSON; raises TypeError if they are not the function's, or not JSON."""
        try:
            return running.encode(self._arguments.model_validate(arguments))
        except ValueError as error:
            raise TypeError(f"{self.name} does not take these arguments: {error}") from error

    def load(self, arguments: object) -> dict[str, Any]:
        """What `dump` was given; raises ValidationError if the function takes others by now."""
        return dict(self._arguments.model_validate_json(to_json(arguments)))


def job(
    *, max_tries: int = 3, time_limit: float = 300, schedule: BaseSchedule | None = None
) -> Callable[[Callable[P, R]], JobTask[P, R]]:
    """Make a function, async or plain, a job: `@job()`.

    It begins `max_tries` times at most, if its worker is lost or it raises TryAgain, and has
    failed after `time_limit` seconds. Beat enqueues it by a `schedule`, such as
    `crontab(hour=3, minute=0)`.
    """

    def declare(function: Callable[P, R]) -> JobTask[P, R]:
        options: dict[str, Any] = {"max_tries": max_tries, "seconds": time_limit}
        # Celery's limit kills the process, so async jobs have their own before.
        hard = time_limit + SPARE * iscoroutinefunction(function)
        options |= {"schedule": schedule, "time_limit": hard, "base": JobTask}
        return cast("JobTask[P, R]", celery.task(**options)(function))

    return declare


def report_progress(progress: object) -> None:
    """Tell whoever follows the job that runs here how far it is; it takes a statement.

    Raises asyncio.CancelledError if the job has been revoked.
    """
    if report := running.REPORT.get(None):
        report(running.encode(progress))


def state() -> State:
    """In an async job, what `request.state` is in routes: what features open once."""
    return running.STATE.get()


def job_session() -> AbstractAsyncContextManager[AsyncSession]:
    """In an async job, a transaction as routes have it: it commits unless an error is raised."""
    return transaction(state().writers)


senders: list[Sender] = []  # that of this process, while it is open


@asynccontextmanager
async def sending() -> AsyncGenerator[None]:
    """Send jobs after their commit; raises InvalidSettings. Without it, beat sends them."""
    senders.append(sender := Sender(CelerySettings.load()))
    try:
        yield
    finally:
        senders.remove(sender)
        await asyncio.to_thread(sender.close)


async def enqueue(
    session: AsyncSession,
    task: JobTask[..., Any],
    arguments: Mapping[str, object] | None = None,
    *,
    due_at: datetime | None = None,
    key: str | None = None,
    owner: str | None = None,
) -> UUID:
    """Add a job to the transaction of `session`, and give its id; workers get it once committed.

    It does not run before `due_at`. Where there is a job with its `key`, that one's id is given
    and none added. Administrators see it, and the user whose id is `owner`.

    Raises TypeError if `arguments` are not those of the function.
    """
    row = {"id": (job_id := uuid7()), "task": task.name, "arguments": task.dump(arguments or {})}
    row |= {"key": key, "owner": owner, "request_id": request_id.get(), "due_at": due_at}
    sender = senders[-1] if senders and due_at is None else None
    grace = sender.grace if sender else 0  # beat sends it then
    seconds = max(0.0, (due_at - now()).total_seconds()) if due_at else grace
    row |= {"max_tries": task.max_tries, "seconds": seconds}
    connection = await session.connection()
    added = await connection.execute(ADD[connection.dialect.name], row)
    if added.first() is None:
        return (await session.scalars(select(Job.id).where(Job.key == key))).one()
    if sender:
        after_commit(session, partial(sender.send, job_id, task.name))
    return job_id

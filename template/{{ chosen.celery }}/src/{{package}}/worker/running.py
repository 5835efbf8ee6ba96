"""How a worker runs a job: it takes its row, keeps it while the function runs, and ends it."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
from collections.abc import Callable, Coroutine, Mapping
from contextlib import closing
from contextvars import ContextVar, copy_context
from functools import lru_cache, partial
from http import HTTPStatus
from inspect import iscoroutinefunction
from threading import Thread
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery.concurrency.solo import TaskPool
from celery.exceptions import WorkerTerminate
from celery.signals import task_failure, task_unknown, worker_process_shutdown, worker_shutdown
from pydantic_core import to_jsonable_python
from sqlalchemy import ColumnElement, Row, Update, bindparam, case, null, or_, update
from sqlalchemy.exc import DBAPIError
from starlette.datastructures import State
from structlog.contextvars import bound_contextvars

from ..database.clock import from_now, unflushed
from ..database.settings import DatabaseSettings
from ..database.statements import Statements
from ..errors import Problem, ServiceError
from ..features import Features
from ..logging import request_id
from .models import JSON_OR_NULL, TABLE
from .settings import CelerySettings

if TYPE_CHECKING:
    from .jobs import JobTask

logger = structlog.get_logger(__name__)

WORKER = f"{socket.gethostname()}:{secrets.token_hex(4)}"  # its processes share the name
LARGEST = 1_000_000  # characters of JSON in a column
PATIENCE = 300  # seconds to wait for the database with what a job came to
FAILURE = HTTPStatus.INTERNAL_SERVER_ERROR

ROW = TABLE.c  # statements without the ORM take less time
WHY, OUTCOME = bindparam("why", type_=JSON_OR_NULL), bindparam("outcome", type_=JSON_OR_NULL)
LATER, LEASE = from_now(bindparam("seconds")), from_now(bindparam("lease"))
ITS_ROW = ROW.id == bindparam("job")
WAITS = (ITS_ROW, ROW.state == "queued")
OURS = (ITS_ROW, ROW.state == "running", ROW.worker.startswith(WORKER, autoescape=True))
# Its try is the fence: who has lost a job to somebody else changes nothing any more.
MINE = (ITS_ROW, ROW.state == "running", ROW.tries == bindparam("try_"))
TAKE = (
    update(TABLE)
    .where(*WAITS, or_(ROW.due_at.is_(None), ROW.due_at <= from_now(0)), unflushed())
    .values(state="running", tries=ROW.tries + 1, worker=bindparam("by"))
    .values(started_at=from_now(0), wake_at=LEASE)
    .returning(ROW.arguments, ROW.tries, ROW.request_id)
)
CHANGE = update(TABLE).returning(ROW.state)
RENEW = CHANGE.where(*MINE, unflushed()).values(wake_at=LEASE)
PROGRESS = RENEW.values(progress=OUTCOME)
END = CHANGE.values(ended_at=from_now(0), wake_at=null())
SUCCEED = END.where(*MINE).values(state="succeeded", result=OUTCOME)
FAIL = END.where(*MINE).values(state="failed", problem=WHY)
LIMIT = END.where(*OURS).values(state="failed", problem=WHY)


def put_back(tries: ColumnElement[int] = ROW.tries, more: int = 0) -> Update:
    """Queue jobs again in some `seconds`; those whose tries are spent have failed."""
    spent = tries >= ROW.max_tries + more
    return CHANGE.values(
        state=case((spent, "failed"), else_="queued"),
        problem=case((spent, WHY), else_=null()),
        ended_at=case((spent, from_now(0)), else_=null()),
        wake_at=case((spent, null()), else_=LATER),
        due_at=LATER,
        tries=tries,
        max_tries=ROW.max_tries + more,
        sends=0,
    )


AGAIN, LOST = put_back().where(*MINE), put_back().where(*OURS)
RELEASE = put_back(more=1).where(*MINE)  # by a worker that is told to stop: no fault of the job's
UNKNOWN = put_back(ROW.tries + 1).where(*WAITS)


def problem(detail: str | None = None, status: HTTPStatus = FAILURE) -> dict[str, object]:
    """Why a job failed, as the document that a route would answer."""
    return Problem(title=status.phrase, status=status, detail=detail).model_dump()


def encode(value: object) -> object:
    """A value as JSON; raises ValueError if JSON does not know it, or it is too large."""
    jsonable: object = to_jsonable_python(value)
    if (size := len(json.dumps(jsonable, allow_nan=False))) > LARGEST:
        raise ValueError(f"it has {size:,} characters, of which {LARGEST:,} are allowed")
    return jsonable


class TryAgain(Exception):
    """Raised by a job that may do better in some `seconds`, unless its tries are spent."""

    def __init__(self, detail: str, seconds: float = 1) -> None:
        super().__init__(detail)
        self.seconds = seconds


class TookTooLong(ServiceError):
    status = FAILURE


def outcome(call: Callable[[], object]) -> tuple[Update, dict[str, object]]:
    """How a job ends that is called so."""
    try:
        result = call()
    except TryAgain as again:
        return AGAIN, {"seconds": again.seconds, "why": problem(str(again))}
    except ServiceError as error:
        return FAIL, {"why": problem(error.detail, HTTPStatus(error.status))}
    except asyncio.CancelledError:  # if it was revoked, this changes nothing
        return FAIL, {"why": problem("It was cancelled.")}
    except Exception:  # clients have no use for it; the log has it
        logger.exception("job failed")
        return FAIL, {"why": problem()}
    try:
        return SUCCEED, {"outcome": encode(result)}
    except ValueError as error:
        return FAIL, {"why": problem(f"Its result is not JSON: {error}")}


STATE: ContextVar[State] = ContextVar("state")
REPORT: ContextVar[Callable[[object], None]] = ContextVar("report")


class Process:
    """What a process of a worker has: connections, leases of its jobs, and one event loop."""

    def __init__(self) -> None:
        self.lease = CelerySettings.load().lease
        self._statements = Statements(DatabaseSettings.load())
        self._loop, self._features = asyncio.Runner(), Features()
        self._held: dict[UUID, int] = {}
        self._awaited: asyncio.Task[object] | None = None

    def perform(self, job: JobTask[..., Any], job_id: UUID) -> None:
        """Run a job, unless it has ended, runs or is not due: a message too many."""
        take = {"job": job_id, "by": f"{WORKER}:{os.getpid()}", "lease": self.lease}
        if (row := self.execute(TAKE, take)) is None:
            return
        fence, begun = {"job": job_id, "try_": row.tries}, perf_counter()
        end: Update = RELEASE  # if the process is told to end
        values: dict[str, object] = {"seconds": 0, "why": None}
        self._held[job_id] = row.tries
        request_id.set(row.request_id)
        REPORT.set(partial(self.report, fence))
        with bound_contextvars(task=job.name, job_id=str(job_id)):
            try:
                end, values = outcome(partial(self._call, job, row.arguments))
            finally:
                del self._held[job_id]
                ended = self.execute(end, {**fence, **values}, PATIENCE)
                state = ended.state if ended else "no longer this worker's"
                took = round((perf_counter() - begun) * 1000, 3)
                logger.info("job", state=state, duration_ms=took)

    def execute(
        self, statement: Update, values: Mapping[str, object], seconds: float = 15
    ) -> Row[Any] | None:
        """Run a statement in a transaction of its own, for which it waits so long."""
        return self._statements.run(statement, values, seconds)

    def wait(self, coroutine: Coroutine[Any, Any, object]) -> object:
        """Run a coroutine on the event loop of this process."""
        return self._loop.run(coroutine, context=copy_context())

    async def features(self) -> State:
        """What `request.state` is in routes."""
        return await self._features.open()

    def report(self, fence: dict[str, object], progress: object) -> None:
        """Write how far a job is; raises CancelledError if it has been revoked."""
        if not self.execute(PROGRESS, {**fence, "outcome": progress, "lease": self.lease}):
            raise asyncio.CancelledError

    def close(self) -> None:
        """Close what features have opened."""
        if self._awaited:  # it was left where the process was told to end
            self._awaited.cancel()
        self.wait(self._features.close())

    def renew(self) -> None:
        """Renew the leases of the jobs that run, for as long as the process lives."""
        while True:
            sleep(self.lease / 3)
            for job_id, tries in list(self._held.items()):
                try:
                    ours = self.execute(RENEW, {"job": job_id, "try_": tries, "lease": self.lease})
                except DBAPIError:
                    logger.warning("a lease was not renewed", exc_info=True)
                    continue
                if not ours and job_id in self._held and self._awaited:
                    self._loop.get_loop().call_soon_threadsafe(self._awaited.cancel)

    def _call(self, job: JobTask[..., Any], arguments: object) -> object:
        given = job.load(arguments)
        if iscoroutinefunction(job.run):
            return self.wait(self._await(job, given))
        return job.run(**given)

    async def _await(self, job: JobTask[..., Any], arguments: dict[str, Any]) -> object:
        STATE.set(await self.features())
        self._awaited = asyncio.current_task()
        try:
            async with asyncio.timeout(job.seconds) as limit:
                return await job.run(**arguments)
        except TimeoutError:
            if limit.expired():
                raise TookTooLong("It took too long.") from None
            raise
        finally:
            self._awaited = None


class Pool(TaskPool):
    """Celery's solo pool, which leaves out how a cold shutdown ends a job."""

    def terminate_job(self, pid: int, signal: int | None = None) -> None:
        """Called while the job runs, in a handler of signals."""
        raise WorkerTerminate


@lru_cache(maxsize=1)
def process(_pid: int) -> Process:
    """That of the process with this id, so that none outlives a fork."""
    made = Process()
    Thread(target=made.renew, name="leases", daemon=True).start()
    return made


@worker_process_shutdown.connect
@worker_shutdown.connect
def _close(**_details: object) -> None:
    if process.cache_info().currsize:
        process(os.getpid()).close()


def _change(statement: Update, job_id: str, why: str) -> object:
    # The main process keeps no connection, which its children would share.
    with closing(Statements(DatabaseSettings.load())) as statements:
        return statements.run(statement, {"job": UUID(job_id), "seconds": 1, "why": problem(why)})


@task_failure.connect
def _killed(task_id: str, exception: Exception, **_details: object) -> None:
    """Celery tells the main process what became of one that it has forked."""
    if isinstance(exception, TimeLimitExceeded):
        _change(LIMIT, task_id, "It took too long.")
    if isinstance(exception, WorkerLostError):
        _change(LOST, task_id, "The process that ran it was lost.")


@task_unknown.connect
def _unknown(name: str, id: str, **_details: object) -> None:
    known = _change(UNKNOWN, id, f"No worker knows {name}.")
    logger.warning("a message of an unknown task", task=name, job_id=id, is_job=known is not None)

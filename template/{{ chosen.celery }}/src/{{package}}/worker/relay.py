"""Beat: enqueues periodic jobs, and sends what is due, was never sent, or lost its worker."""

from datetime import UTC, datetime
from time import monotonic, time
from typing import Any, cast
from uuid import UUID

import structlog
from celery.beat import ScheduleEntry, Scheduler
from celery.schedules import BaseSchedule, schedule
from sqlalchemy import Select, bindparam, case, delete, exists, or_, select, update
from sqlalchemy.orm import aliased

from ..database.clock import from_now
from ..database.models import uuid7
from ..database.settings import DatabaseSettings
from ..database.statements import Statements
from .app import send
from .jobs import ADD, JobTask
from .models import Job
from .running import problem, put_back
from .settings import CelerySettings

logger = structlog.get_logger(__name__)

BATCH = 500
SWEEP_SECONDS = 60
WENT_SILENT = problem("The worker that ran it went silent.")


def _waking(state: str) -> Select[UUID]:
    rows = select(Job.id).where(Job.wake_at <= from_now(0), Job.state == state)
    return rows.order_by(Job.wake_at).limit(BATCH).with_for_update(skip_locked=True)


LAPSED = put_back().where(Job.id.in_(_waking("running")))
# Each time that a job is sent doubles the wait until the next: a backlog must not multiply.
WAIT = case(
    *((Job.sends == sent, from_now(bindparam("grace") * 2**sent)) for sent in range(8)),
    else_=from_now(bindparam("grace") * 2**8),
)
CLAIM = (
    update(Job)
    .where(Job.id.in_(_waking("queued")))
    .values(sends=Job.sends + 1, wake_at=WAIT)
    .returning(Job.id, Job.task)
)
newer = aliased(Job)
# The newest of each periodic job stays, since it says what is due next.
HAS_NEWER = exists().where(newer.task == Job.task, newer.key.is_not(None), newer.id > Job.id)
SWEEP = delete(Job).where(
    Job.id < bindparam("oldest"),
    Job.ended_at < from_now(-bindparam("seconds")),
    or_(Job.key.is_(None), HAS_NEWER),
)


class Relay(Scheduler):
    """Stock beat, whose periodic jobs are rows. A second one does no harm."""

    max_interval = 1  # seconds between two passes

    def setup_schedule(self) -> None:
        self.app.loader.import_default_modules()
        self._settings = CelerySettings.load()
        self._statements = Statements(DatabaseSettings.load())
        self._owed: list[dict[str, object]] = []
        self._swept, self._well_since = 0.0, monotonic()
        super().setup_schedule()
        self._jobs = {
            name: task
            for name, task in self.app.tasks.items()
            if isinstance(task, JobTask) and task.schedule is not None
        }
        for name, task in self._jobs.items():
            self.add(name=name, task=name, schedule=task.schedule)
            # What was due while no beat ran is enqueued now, once.
            newest = select(Job.key).where(Job.task == name, Job.key.startswith(f"{name}@"))
            if row := self._statements.run(newest.order_by(Job.due_at.desc()).limit(1), {}):
                due = float(row.key.rpartition("@")[2])
                self.schedule[name].last_run_at = datetime.fromtimestamp(due, UTC)

    def tick(self, *args: Any, **kwargs: Any) -> float:  # noqa: ANN401  as Celery has it
        seconds = super().tick(*args, **kwargs)
        try:
            self._relay()
        except Exception as error:  # beat outlives its database and its broker
            self._well_since = monotonic()
            logger.warning("beat will try again", reason=repr(error))
        return seconds

    def apply_async(self, entry: ScheduleEntry, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        if (task := self._jobs.get(str(entry.name))) is None:
            return super().apply_async(entry, *args, **kwargs)
        due = due_at(entry)
        job = {"id": uuid7(), "task": task.name, "arguments": {}, "key": f"{task.name}@{due}"}
        at = datetime.fromtimestamp(due, UTC)
        self._owed.append({**job, "due_at": at, "max_tries": task.max_tries, "seconds": 0})
        return None

    def _relay(self) -> None:
        with self._statements.connect() as rows:
            while self._owed:
                rows.execute(ADD[rows.dialect.name], self._owed[0])
                del self._owed[0]
            # While the database was away, no worker could renew its leases.
            if monotonic() - self._well_since > self._settings.lease / 2:
                rows.execute(LAPSED, {"seconds": 0, "why": WENT_SILENT})
            if monotonic() - self._swept > SWEEP_SECONDS:
                kept = self._settings.result_expires
                # Ids begin with the millisecond in which they were made.
                oldest = UUID(int=int((time() - kept) * 1000) << 80)
                rows.execute(SWEEP, {"oldest": oldest, "seconds": kept})
                self._swept = monotonic()
            with self.app.producer_or_acquire() as producer:
                producer.connection.ensure_connection(max_retries=1)  # claim what can be sent
                while claimed := rows.execute(CLAIM, {"grace": self._settings.grace}).all():
                    for job in claimed:
                        send(producer, job.id, job.task)


def due_at(entry: ScheduleEntry) -> int:
    """When `entry` was due, the same for all beats: in seconds since 1970.

    Intervals begin with each beat, so there it is the beginning of the interval.
    """
    rule = cast("BaseSchedule", entry.schedule)
    if isinstance(rule, schedule):
        return int(rule.now().timestamp() // rule.seconds * rule.seconds)
    waiting = rule.remaining_estimate(cast("datetime", entry.last_run_at))
    return round((rule.now() + waiting).timestamp())

"""The tasks of this service: an example and a periodic one, to be replaced by yours.

A task may run twice, if its worker is killed before it is acknowledged: see that this does no harm,
or base it on `once.OnceTask`.
"""

import time

import structlog
from celery import current_app, current_task, shared_task
from celery.schedules import crontab
from pydantic import BaseModel, Field

from .backlog import backlog

logger = structlog.get_logger(__name__)

SECONDS = 0.1
PROGRESS = "PROGRESS"


class Steps(BaseModel, extra="forbid"):
    """How much there is to do."""

    steps: int = Field(ge=1, le=1000, strict=True)


class Done(BaseModel):
    """What a job has done, so far or in the end."""

    done: int
    total: int


@shared_task(pydantic=True)
def take_steps(work: Steps) -> Done:
    """Take so many steps, and tell of each: what takes its time belongs in here."""
    for step in range(work.steps):
        time.sleep(SECONDS)
        report_progress(step + 1, work.steps)
    return Done(done=work.steps, total=work.steps)


def report_progress(done: int, total: int) -> None:
    """Tell whoever follows the job that `done` of `total` is done."""
    current_task.update_state(state=PROGRESS, meta=Done(done=done, total=total).model_dump())


@shared_task(ignore_result=True)
def measure_backlog() -> None:
    """Log how many messages wait for a worker."""
    logger.info("backlog", waiting=backlog(current_app))


# Once for each time that a task is due, however many beats run; a minute is the least.
SCHEDULE = {"measure-backlog": {"task": measure_backlog.name, "schedule": crontab()}}

"""Beat, which enqueues periodic tasks: once for each time they are due, however many beats run."""

import fcntl
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from celery.beat import PersistentScheduler, ScheduleEntry
from celery.schedules import BaseSchedule, schedule

from .claims import claim
from .heartbeat import EVERY, beat_once
from .settings import make_folder


class Scheduler(PersistentScheduler):
    """Enqueues what no other beat has enqueued."""

    max_interval = EVERY
    schedule_filename: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        self._name = str(uuid4())
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        file = Path(self.schedule_filename)
        make_folder(file.parent, "STATE_FOLDER")
        self._lock = file.with_suffix(".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            sys.exit(f"Another beat keeps its schedule in {file}.")
        super().setup_schedule()

    def close(self) -> None:
        super().close()
        self._lock.close()

    def tick(self, *args: Any, **kwargs: Any) -> float:  # noqa: ANN401
        beat_once("beat")
        return super().tick(*args, **kwargs)

    def apply_async(self, entry: ScheduleEntry, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Celery logs what it raises, and goes on: beat outlives its broker."""
        if claim(self.app, f"{entry.name} at {due_at(entry)}", self._name) == self._name:
            return super().apply_async(entry, *args, **kwargs)
        return None


def due_at(entry: ScheduleEntry) -> int:
    """When `entry` was due, the same for all beats: in seconds since 1970.

    Intervals begin with each beat, so there it is the number of the interval.
    """
    rule = cast("BaseSchedule", entry.schedule)
    if isinstance(rule, schedule):
        return int(rule.now().timestamp() // rule.seconds)
    waiting = rule.remaining_estimate(cast("datetime", entry.last_run_at))
    return round((rule.now() + waiting).timestamp())

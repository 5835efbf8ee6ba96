"""Workers and beat touch a file while they are well, for probes that cannot ask them.

`python -m PACKAGE.worker.heartbeat worker` (or `beat`) fails if that was too long ago.
"""

import sys
import time
from pathlib import Path
from typing import Any

from celery import bootsteps

from .settings import CelerySettings, make_folder

EVERY = 5  # seconds
OVERDUE = 30.0  # seconds


def beat_once(process: str) -> None:
    """Note that `process`, which is worker or beat, is well."""
    folder = make_folder(CelerySettings.load().state_folder, "STATE_FOLDER")
    _file(folder, process).touch()


def is_well(process: str) -> bool:
    """Whether `process` has noted that lately."""
    try:
        noted = _file(CelerySettings.load().state_folder, process).stat().st_mtime
    except FileNotFoundError:
        return False
    return time.time() - noted < OVERDUE


def _file(folder: Path, process: str) -> Path:
    return folder / f"{process}.heartbeat"


class Heartbeat(bootsteps.StartStopStep):
    """Runs in the main process of a worker, as long as it can reach the broker."""

    requires = ("celery.worker.components:Timer",)

    def start(self, parent: Any) -> None:  # noqa: ANN401
        beat_once("worker")
        self._entry = parent.timer.call_repeatedly(EVERY, beat_once, ("worker",))

    def stop(self, parent: object) -> None:
        self._entry.cancel()


if __name__ == "__main__":
    sys.exit(not is_well(sys.argv[1]))

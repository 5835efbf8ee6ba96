"""Celery's own commands, with the settings of this service: `python -m PACKAGE.worker worker`."""

import logging
import os
import sys

from celery import signals

from ..logging import configure
from ..settings import Settings
from .app import create_celery
from .settings import SERVICE, CelerySettings

# They tell of each task what it was given and what it returned; see ServiceTask for its line.
TALKATIVE = ("celery.app.trace", "celery.worker.strategy")


def main() -> int:
    """Run the command that the arguments name; raises InvalidSettings."""
    settings = Settings.load()
    app = create_celery(CelerySettings.load(), patient=True)

    @signals.setup_logging.connect(weak=False)
    def set_up(**_details: object) -> None:
        configure(settings)
        for handler in logging.getLogger().handlers:
            handler.addFilter(_without_arguments)
        for name in TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)

    command, *options = sys.argv[1:] or ["--help"]
    if command == "worker":
        # Any number on one machine, which need not know of each other.
        name = f"--hostname={SERVICE}-{os.getpid()}@%h"
        options = [name, "--without-gossip", "--without-mingle", *options]
    return app.start(["--quiet", command, *options]) or 0


def _without_arguments(record: logging.LogRecord) -> bool:
    """Celery adds a task's arguments to its records; the logs are no place for them."""
    vars(record).pop("data", None)
    return True


if __name__ == "__main__":
    sys.exit(main())

"""The processes of Celery: `python -m PACKAGE.worker worker`, and `beat`."""

import asyncio
import logging
import os
import re
import socket
import sys
from argparse import ArgumentParser
from signal import SIG_IGN, SIGHUP, SIGQUIT, getsignal, signal
from threading import Event

import structlog
from celery import signals
from celery.platforms import EX_FAILURE

from ..logging import configure as configure_logging
from ..main import app as service  # all models come with its routers
from ..settings import Settings
from .app import app, configure
from .settings import CelerySettings

logger = structlog.get_logger(__name__)
# These loggers would tell the arguments of plain tasks, and of tasks that no worker knows.
TALKATIVE = ("celery.app.trace", "celery.worker.strategy", "celery.worker.consumer.consumer")


async def _try() -> None:
    async with service.router.lifespan_context(service):
        pass


def main() -> int:
    """Run until told to stop. Raises InvalidSettings where the service would not start either."""
    parser = ArgumentParser(prog=f"python -m {__package__}")
    parser.add_argument("process", choices=["worker", "beat", "health"])
    parser.add_argument("--concurrency", type=int, help="jobs at once; on files, it is one")
    parser.add_argument("--include", action="append", default=[], help="a module with jobs")
    parser.add_argument("--name", help="what `health` asks for; no two on a machine share it")
    given = parser.parse_args()
    name = f"{given.name or os.getpid()}@{socket.gethostname()}"
    settings = Settings.load()
    configure(CelerySettings.load())
    app.conf.include += given.include
    if given.process == "health":
        return not app.control.inspect([name], timeout=5, limit=1).ping()

    @signals.setup_logging.connect(weak=False)
    def set_up(**_details: object) -> None:
        configure_logging(settings)
        for talkative in TALKATIVE:
            logging.getLogger(talkative).setLevel(logging.WARNING)
            logging.getLogger(talkative).addFilter(_without_arguments)

    asyncio.run(_try())
    if given.process == "beat":
        app.Beat(hostname=name, remote_control=True, quiet=True).run()
        return 0
    logger.info("without beat, jobs that are delayed, periodic or lost wait for it")
    worked = Event()

    @signals.worker_ready.connect(weak=False)
    def begin(**_details: object) -> None:
        worked.set()
        if sys.stdout.isatty():  # when the terminal closes, stop at once and put jobs back
            signal(SIGHUP, getsignal(SIGQUIT))

    @signals.worker_process_init.connect(weak=False)
    def leave_to_parent(**_details: object) -> None:
        signal(SIGHUP, SIG_IGN)

    worker = app.Worker(hostname=name, concurrency=given.concurrency, quiet=True)
    worker.start()
    if worker.exitcode == EX_FAILURE and worked.is_set():
        # Celery ends at a message that it cannot read, such as a file that is being written.
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606  no shell is needed
    return worker.exitcode or 0


def _without_arguments(record: logging.LogRecord) -> bool:
    """They are in `data` and, of messages that Celery cannot use, behind the first words."""
    vars(record).pop("data", None)
    record.msg, record.args = re.split(r"\n| \[type:", record.getMessage().strip())[0], None
    return True


if __name__ == "__main__":
    sys.exit(main())

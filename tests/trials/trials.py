"""Jobs of the tests', added to a service beside its own: see tests/trial.py."""

import asyncio
import os
import signal
import time
from datetime import timedelta

from celery import current_task
from celery.schedules import schedule
from sqlalchemy import text

from .app import app as celery
from .jobs import job, job_session


def note(word: str) -> None:
    """Add a line to the log of what ran when, which outlives every kill."""
    line = f"{word} {current_task.request.id} {os.getpid()} {time.clock_gettime(time.CLOCK_REALTIME)}\n"
    log = os.open(os.environ["TRIALS_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, line.encode())
    os.close(log)


@job(max_tries=20)
async def count(n: int, seconds: float = 0.02) -> int:
    note("start")
    await asyncio.sleep(seconds)
    note("end")
    return n


@job(max_tries=20)
def count_plainly(n: int, seconds: float = 0.02) -> int:
    note("start")
    time.sleep(seconds)
    note("end")
    return n


def may_end() -> bool:
    """Once the test has made a file beside the log."""
    return os.path.exists(os.environ["TRIALS_LOG"] + ".end")


@job()
async def wait() -> None:
    note("start")
    while not may_end():
        await asyncio.sleep(0.05)
    note("end")


@job()
def wait_plainly() -> None:
    note("start")
    while not may_end():
        time.sleep(0.05)
    note("end")


@job()
def kill_its_process() -> None:
    note("start")
    os.kill(os.getpid(), signal.SIGKILL)


@job()
def kill_its_worker() -> None:
    """Its main process too, which leads a session in the tests."""
    note("start")
    os.killpg(os.getsid(0), signal.SIGKILL)


@job(time_limit=1)
async def take_too_long_in_a_transaction() -> None:
    note("start")
    async with job_session() as session:
        await session.execute(text("DELETE FROM jobs WHERE key = 'of nobody'"))
        await asyncio.sleep(600)


@job(time_limit=1)
def take_too_long_plainly() -> None:
    note("start")
    time.sleep(600)


@job()
async def read_then_wait(seconds: float) -> int | None:
    """Its session is closed before it waits."""
    async with job_session() as session:
        await session.execute(text("DELETE FROM jobs WHERE key = 'of nobody'"))
    note("start")
    await asyncio.sleep(seconds)
    note("end")


@job()
async def return_too_much() -> str:
    return "hunter2" * 1_000_000


@job()
async def return_an_object() -> object:
    return object()


@job()
async def return_nan() -> float:
    return float("nan")


@job()
async def return_nul() -> str:
    return "\0"


@job()
async def fail(secret: str) -> None:
    raise RuntimeError("It fails.")


@celery.task
def plain(secret: str) -> None:
    """Celery's own, without a row."""
    print("plain task ran", flush=True)


if "TRIALS_EVERY" in os.environ:
    seconds = float(os.environ["TRIALS_EVERY"])

    @job(schedule=schedule(timedelta(seconds=seconds)))
    async def tick() -> None:
        note("start")

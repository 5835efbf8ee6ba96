"""How fast jobs are on Redis, beside a bare Celery application with the same guarantees."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from measure import Ratio, in_turns
from new_service.system.variables import chosen
from service import ROOT, create, load, served

sys.path.insert(0, str(ROOT / "tests"))
from brokers import Redis

TASKS = 3000
WAITS = 200
SECONDS = 120
# The same for both: messages that are acknowledged late, one at a time.
BARE = """
from os import environ

from celery import Celery
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, Field

celery = Celery("bare", broker=environ["CELERY_BROKER_URL"], backend=environ["CELERY_BROKER_URL"])
celery.conf.update(
    include=["nothing"], task_acks_late=True, worker_prefetch_multiplier=1,
    task_default_queue="bare", worker_hijack_root_logger=False,
)


class Steps(BaseModel):
    steps: int = Field(ge=1, le=1000)


class Job(BaseModel):
    id: str
    state: str


router = APIRouter(prefix="/api/v1/jobs")


@router.post("", status_code=202)
def create_job(work: Steps) -> Job:
    return Job(id=celery.send_task("nothing.nothing", [work.steps]).id, state="queued")


app = FastAPI()
app.include_router(router)
"""
NOTHING = """
from celery import shared_task


@shared_task
def nothing(steps: int) -> int:
    return steps
"""
APP = {
    "bare": "from bare import celery as app",
    "mailer": """
from mailer.worker.app import create_celery
from mailer.worker.settings import CelerySettings
app = create_celery(CelerySettings.load(), patient=False)
""",
}
SEND = "\nfor n in range({}): app.send_task('nothing.nothing', [n])\n"
WAIT = """
from statistics import median
from time import perf_counter, sleep


def wait() -> float:
    start = perf_counter()
    job = app.send_task('nothing.nothing', [1]).id
    while app.backend.get_task_meta(job, cache=False)['status'] != 'SUCCESS':
        sleep(0.0005)
    return perf_counter() - start


wait()
print(median(wait() for _ in range({})) * 1000)
"""
WORKERS = {
    "bare": ("-m", "celery", "--app", "bare:celery", "worker", "--loglevel=info"),
    "mailer": ("-m", "mailer.worker", "worker", "--include=nothing"),
}
POST = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"steps": 1}'
"""


def jobs() -> list[Ratio]:
    """Tasks a worker does each second, requests that enqueue one, and how long one takes."""
    with tempfile.TemporaryDirectory() as folder, own_redis() as redis:
        project = Path(folder, "mailer")
        create(project, "--with", "celery")
        (project / "bare.py").write_text(BARE)
        (project / "nothing.py").write_text(NOTHING)
        bench = _Bench(project, redis)
        speeds = in_turns(lambda: bench.work("mailer"), lambda: bench.work("bare"), rounds=3)
        waits = in_turns(lambda: bench.wait("mailer"), lambda: bench.wait("bare"), rounds=3)
        script = project / "post.lua"
        script.write_text(POST)
        settings = bench.settings
        with (
            served(project, "mailer.main:app", **settings) as ours,
            served(project, "bare:app", **settings) as theirs,
        ):
            requests = in_turns(
                lambda: load(ours, "/api/v1/jobs", "--script", script),
                lambda: load(theirs, "/api/v1/jobs", "--script", script),
                rounds=6,
            )
    return [
        Ratio.of("tasks on Redis", speeds, "task/s", 0.85, at_least=True),
        Ratio.of("from sending a task to its result", waits, "ms", 1.5),
        # Ours records the job first, so that any process can tell it from one that never was.
        Ratio.of("requests that enqueue a job", requests, "req/s", 0.5, at_least=True),
    ]


@contextmanager
def own_redis() -> Iterator[Redis]:
    """A server as the README of services recommends: it confirms what it has written down."""
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        server = Redis("redis-server", Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


class _Bench:
    def __init__(self, project: Path, redis: Redis) -> None:
        self.project, self.redis = project, redis
        self.settings = {"CELERY_BROKER_URL": redis.url, "APP_LOG_FORMAT": "json"}
        self._environment = chosen(os.environ) | self.settings

    def work(self, name: str) -> float:
        """Tasks per second of one worker with one process, that finds them waiting."""
        self.redis.ask("FLUSHALL")
        self._run(name, SEND.format(TASKS))
        with self._worker(name):
            first = self._until(TASKS // 10)
            start = monotonic()
            done = self._until(TASKS) - first
            return done / (monotonic() - start)

    def wait(self, name: str) -> float:
        """Milliseconds until a task that is sent to an idle worker has its result."""
        self.redis.ask("FLUSHALL")
        with self._worker(name):
            return float(self._run(name, WAIT.format(WAITS)))

    def _until(self, results: int) -> int:
        """Wait for so many results, and tell how many there are."""
        end = monotonic() + SECONDS
        while monotonic() < end:
            count = "return #redis.call('KEYS', 'celery-task-meta-*')"
            if (found := int(self.redis.ask("EVAL", count, "0"))) >= results:
                return found
            sleep(0.05)
        sys.exit(f"no {results} tasks were done within {SECONDS} s")

    def _run(self, name: str, script: str) -> str:
        return subprocess.run(
            [self.project / ".venv/bin/python", "-c", APP[name] + script],
            cwd=self.project,
            env=self._environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    @contextmanager
    def _worker(self, name: str) -> Iterator[None]:
        worker = subprocess.Popen(
            [self.project / ".venv/bin/python", *WORKERS[name], "--concurrency=1"],
            cwd=self.project,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            worker.terminate()
            worker.wait()

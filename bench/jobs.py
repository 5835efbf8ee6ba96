"""How fast jobs are on PostgreSQL and Redis, beside bare Celery that has its results on Redis."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from measure import Ratio, in_turns
from new_service.system.variables import chosen
from service import BIN, ROOT, create, load, served

sys.path.insert(0, str(ROOT / "tests"))
from brokers import own_redis
from conftest import PostgreSQL, Required, find_postgresql, own_postgresql

BARE = """
from contextlib import asynccontextmanager
from os import environ
from time import perf_counter

from celery import Celery

app = Celery("bare", broker=environ["CELERY_BROKER_URL"], backend=environ["BARE_RESULTS"])
app.conf.update(task_default_queue="bare", broker_connection_retry_on_startup=True)


@app.task
def add(x, y):
    return x + y


@asynccontextmanager
async def opened():
    yield


def clear():
    app.backend.client.flushdb()


async def send(x):
    started = perf_counter()
    return started, add.delay(x, 1).id


def left(sent):
    return sent - app.backend.client.dbsize()


def has_ended(job):
    return app.backend.get_task_meta(job, cache=False)["status"] == "SUCCESS"
"""
# The same, and two requests.
OURS = """
from contextlib import asynccontextmanager
from os import environ
from time import perf_counter

import psycopg
from sqlalchemy.orm import Mapped

from mailer.database.models import Base, IdentityKey
from mailer.database.session import Session, transaction
from mailer.main import app
from mailer.worker.jobs import enqueue, job


class Note(Base):
    __tablename__ = "notes"
    id: Mapped[IdentityKey]
    text: Mapped[str]


@job()
def add(x: int, y: int) -> int:
    return x + y


@app.post("/row")
async def write(session: Session) -> None:
    session.add(Note(text="hello"))


@app.post("/row-and-job")
async def write_and_enqueue(session: Session) -> None:
    session.add(Note(text="hello"))
    await enqueue(session, add, {"x": 1, "y": 2})


@asynccontextmanager
async def opened():
    global rows, writers
    rows = psycopg.connect(environ["DATABASE_URL"], autocommit=True)
    async with app.router.lifespan_context(app) as state:
        writers = state["writers"]
        yield


def clear():
    rows.execute("DELETE FROM jobs WHERE due_at IS NULL")
    rows.execute("VACUUM jobs")


async def send(x):
    async with transaction(writers) as session:
        job = await enqueue(session, add, {"x": x, "y": 1})
        started = perf_counter()  # and it commits
    return started, job


def left(sent):
    return rows.execute("SELECT count(*) FROM jobs WHERE wake_at < now() + '1 h'").fetchone()[0]


def has_ended(job):
    ended = "SELECT FROM jobs WHERE id = %s AND ended_at IS NOT NULL"
    return rows.execute(ended, [job]).fetchone() is not None
"""
# It reads what to measure line by line, and prints the figures.
CLIENT = """
import sys
from importlib import import_module
from statistics import median
from time import perf_counter, sleep

import uvloop

side = import_module(sys.argv[1])
SENT = 500


def until(left):
    end = perf_counter() + 120
    while side.left(SENT) > left:
        sleep(0.02)
        if perf_counter() > end:
            sys.exit(f"{side.left(SENT)} jobs of {SENT} are left")
    return perf_counter()


async def fill():
    side.clear()
    for x in range(SENT):
        await side.send(x)
    return 0


async def speed():
    side.clear()
    started = perf_counter()
    for x in range(SENT):
        await side.send(x)
    return SENT / (until(0) - started)


async def drain():
    started, waiting = until(SENT * 0.9), side.left(SENT)
    return waiting / (until(0) - started)


async def wait():
    waits = []
    for x in range(100):
        started, job = await side.send(x)
        while not side.has_ended(job):
            sleep(0.0005)
        waits.append(perf_counter() - started)
    return median(waits) * 1000


async def main():
    async with side.opened():
        for line in sys.stdin:
            print(await globals()[line.strip()](), flush=True)


uvloop.run(main())
"""
WORKERS = {
    "bare": ("-m", "celery", "--app", "bare", "worker"),
    "ours": ("-c", "import ours; from mailer.worker.__main__ import main; main()", "worker"),
}
WAITING = """
INSERT INTO jobs (id, task, arguments, state, created_at, due_at, wake_at, sends, tries, max_tries)
SELECT gen_random_uuid(), 'ours.add', '{{}}', 'queued', now(), now() + '1 day',
now() + '1 day', 0, 0, 3 FROM generate_series(1, {rows})
"""
# With ids of version 7, as the service makes them.
ENDED = """
INSERT INTO jobs (id, task, arguments, state, created_at, ended_at, sends, tries, max_tries, result)
SELECT (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0') || '7'
|| substr(md5(i::text), 14))::uuid, 'ours.add', '{{}}', 'succeeded', now(), now(),
0, 1, 3, '3' FROM generate_series(1, {rows}) i
"""
BEAT = """
from statistics import median
from time import perf_counter

from mailer.worker.app import app, configure
from mailer.worker.relay import Relay
from mailer.worker.settings import CelerySettings

configure(CelerySettings.load())
relay = Relay(app)
relay.tick()


def timed():
    started = perf_counter()
    relay.tick()
    return perf_counter() - started


print(median(timed() for _ in range(200)) * 1000)
"""
NOTES = "CREATE TABLE notes (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, text text)"


def jobs() -> Iterator[Ratio]:
    """What jobs cost a worker, whoever waits for one, a request, and beat."""
    programs = find_postgresql()
    if programs is None:
        sys.exit("PostgreSQL is not installed: apt-get install postgresql")
    with (
        tempfile.TemporaryDirectory() as folder,
        own_postgresql(programs) as postgresql,
        own_redis(Required(strict=True)) as redis,
    ):
        redis.ask("CONFIG", "SET", "appendonly", "no")  # no job depends on what it keeps
        project = Path(folder, "mailer")
        create(project, "--with", "celery")
        for name, text in {"bare": BARE, "ours": OURS, "client": CLIENT, "beat": BEAT}.items():
            (project / f"{name}.py").write_text(text)
        bench = _Bench(project, postgresql, redis.url)
        yield from bench.beside_bare()
        yield from bench.requests()
        yield from bench.beat()


Measure = Callable[[str], float]


class _Bench:
    """A service with a database of its own, and bare Celery."""

    def __init__(self, project: Path, postgresql: PostgreSQL, broker: str) -> None:
        self._project, self._postgresql = project, postgresql
        self._python = project / ".venv" / "bin" / "python"
        results = f"{broker.removesuffix('0')}1"
        self._variables = {"CELERY_BROKER_URL": broker, "BARE_RESULTS": results}
        self._url = self._variables["DATABASE_URL"] = self._new_database()

    def beside_bare(self) -> Iterator[Ratio]:
        """How fast workers of two processes each are."""
        with self._client("ours") as ours, self._client("bare") as bare:
            with self._worker("ours"), self._worker("bare"):
                pairs = in_turns(lambda: ours("speed"), lambda: bare("speed"), rounds=5)
                yield Ratio.of("jobs from end to end", pairs, "job/s", 0.6, at_least=True)
                pairs = in_turns(lambda: ours("wait"), lambda: bare("wait"), rounds=5)
                yield Ratio.of("from commit to the job's end", pairs, "ms", 1.5)

            def waiting(rows: int) -> float:
                self._postgresql.ask(self._url, "TRUNCATE jobs")
                self._postgresql.ask(self._url, WAITING.format(rows=rows))
                self._postgresql.ask(self._url, "ANALYZE jobs")
                return ours("speed")

            with self._worker("ours"):
                pairs = in_turns(lambda: waiting(10_000), lambda: waiting(0), rounds=7)
                yield Ratio.of("jobs while 10,000 wait", pairs, "job/s", 0.95, at_least=True)

            def alone(name: str, client: Measure) -> float:
                client("fill")
                with self._worker(name):
                    return client("drain")

            pairs = in_turns(lambda: alone("ours", ours), lambda: alone("bare", bare), rounds=5)
            yield Ratio.of("jobs of the worker alone", pairs, "job/s", 0.7, at_least=True)

    def requests(self) -> Iterator[Ratio]:
        """Requests that write a row, and enqueue a job or not."""
        script = self._project / "post.lua"
        script.write_text('wrk.method = "POST"')
        self._postgresql.ask(self._url, NOTES)
        with served(self._project, "ours:app", **self._variables) as server:
            pairs = in_turns(
                lambda: load(server, "/row-and-job", "--script", script),
                lambda: load(server, "/row", "--script", script),
                rounds=12,
            )
        yield Ratio.of("a row and a job to the row alone", pairs, "req/s", 0.65, at_least=True)

    def beat(self) -> Iterator[Ratio]:
        """Passes of beat over a table of jobs that have ended."""
        many, few = self._new_database(), self._new_database()
        for url, rows in ((many, 1_000_000), (few, 1000)):
            self._postgresql.ask(url, ENDED.format(rows=rows))
            self._postgresql.ask(url, "VACUUM ANALYZE jobs")

        def passes(url: str) -> float:
            variables = self._variables | {"DATABASE_URL": url}
            return float(self._run(self._python, "-m", "beat", **variables))

        pairs = in_turns(lambda: passes(many), lambda: passes(few), rounds=3)
        yield Ratio.of("beat over 1,000,000 ended to 1,000", pairs, "ms", 1.5)

    def _new_database(self) -> str:
        url = self._postgresql.new_database()
        migrate = (BIN / "uv", "run", "--quiet", "poe", "-q", "migrate")
        self._run(*migrate, DATABASE_URL=url)
        return url

    def _run(self, *command: str | Path, **variables: str) -> str:
        return subprocess.run(
            command,
            cwd=self._project,
            env=chosen(os.environ) | variables,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    @contextmanager
    def _client(self, name: str) -> Iterator[Measure]:
        """A process that measures what it is told, and gives the figures."""
        with self._process("-m", "client", name, output=subprocess.PIPE) as client:
            assert client.stdin is not None
            assert client.stdout is not None
            stdin, stdout = client.stdin, client.stdout

            def measure(what: str) -> float:
                print(what, file=stdin, flush=True)
                figure = stdout.readline()
                assert figure, f"{name}: {what}"
                return float(figure)

            yield measure

    @contextmanager
    def _worker(self, name: str) -> Iterator[None]:
        """A worker of two processes."""
        with self._process(*WORKERS[name], "--concurrency=2", output=subprocess.DEVNULL):
            yield

    @contextmanager
    def _process(self, *arguments: str, output: int) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            [self._python, *arguments],
            cwd=self._project,
            env=chosen(os.environ) | self._variables,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.terminate()

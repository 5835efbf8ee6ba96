"""The module celery under fire: workers killed, servers that go away, two of everything."""

from __future__ import annotations

import json
import os
import pty
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
import pytest

from brokers import Broker, Redis, own_rabbitmq, own_redis
from conftest import COMMAND, PostgreSQL, Required, Run, clean_environment, own_postgresql, run
from running import create, served
from trial import (
    GRACE,
    LEASE,
    SECONDS,
    Database,
    Losses,
    Process,
    Relayed,
    Trial,
    add_trials,
    until,
)

JOBS = "/api/v1/jobs"


@pytest.fixture(scope="module")
def mailer(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service with jobs, those of the tests' too, and a migrated database. Not to be changed."""
    project = create(tmp_path_factory.mktemp("mailer"), template, "mailer", "--with", "celery")
    add_trials(project)
    migrate(project, f"sqlite:///{project / 'migrated.db'}")
    return project


def migrate(project: Path, url: str) -> None:
    alembic = project / ".venv" / "bin" / "alembic"
    run(alembic, "upgrade", "heads", cwd=project, env={"DATABASE_URL": url})


@dataclass(frozen=True)
class Stack:
    """The servers of a service."""

    broker: Broker | None  # none is files
    postgresql: PostgreSQL | None
    migrated: str = "migrated"

    def database(self, project: Path, folder: Path) -> Database:
        """One that is migrated, of its own."""
        if self.postgresql is None:
            shutil.copy(project / "migrated.db", folder / "database.db")
            return Database(f"sqlite:///{folder / 'database.db'}")
        return Database(self.postgresql.new_database(self.migrated), self.postgresql)


def on(*stacks: str) -> pytest.MarkDecorator:
    """Run on these alone, each in one process of the tests'."""
    groups = [
        pytest.param(each, marks=pytest.mark.xdist_group(f"celery {each}")) for each in stacks
    ]
    return pytest.mark.parametrize("stack", groups, indirect=True, scope="module")


everywhere = on("files", "redis", "rabbitmq")


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest, mailer: Path, required: Required) -> Iterator[Stack]:
    """SQLite and files, or PostgreSQL and a broker."""
    if request.param == "files":
        yield Stack(None, None)
        return
    programs: Path = request.getfixturevalue("postgresql_programs")
    own = own_redis(required, lasting=False) if request.param == "redis" else own_rabbitmq(required)
    with own_postgresql(programs) as postgresql, own as broker:
        postgresql.ask(postgresql.url("postgres"), "CREATE DATABASE migrated")
        migrate(mailer, postgresql.url("migrated"))
        yield Stack(broker, postgresql)


@contextmanager
def on_trial(
    project: Path, folder: Path, database: Database, broker: Broker | None
) -> Iterator[Trial]:
    """The service with a database and a queue of its own; all that it starts ends."""
    settings = {
        "CELERY_BROKER_URL": broker.url if broker else f"filesystem:///{folder}/queue",
        "CELERY_TASK_DEFAULT_QUEUE": folder.name,
        "CELERY_GRACE": str(GRACE),
        "CELERY_LEASE": str(LEASE),
        "DATABASE_URL": database.url,
        "APP_LOG_FORMAT": "json",
        "TRIALS_LOG": str(folder / "trials.log"),
    }
    trial = Trial(project, folder, database, broker, settings)
    trial.database.watch()
    try:
        yield trial
    finally:
        trial.clean_up()


@pytest.fixture
def trial(mailer: Path, stack: Stack, tmp_path: Path) -> Iterator[Trial]:
    """The service on the stack."""
    database = stack.database(mailer, tmp_path)
    with on_trial(mailer, tmp_path, database, stack.broker) as trial:
        yield trial


@everywhere
def test_a_job_runs_to_its_end(trial: Trial) -> None:
    trial.worker()
    job = trial.enqueue("count", n=1)
    plainly = trial.enqueue("count_plainly", n=1)
    assert trial.ended(job, plainly) == ["succeeded", "succeeded"]
    assert [trial.row(each, "result", "tries") for each in (job, plainly)] == [["1", "1"]] * 2


class Series:
    """Jobs that are enqueued while all that has to do with them is killed, again and again."""

    def __init__(self, trial: Trial, stack: Stack, jobs: int, kills: int) -> None:
        self.trial, self.stack, self.jobs = trial, stack, jobs
        self.count: Counter[str] = Counter()
        kinds = (
            ["worker", "child", "beat", "worker", "child"] if stack.broker else ["worker", "beat"]
        )
        self._kinds = [kinds[each % len(kinds)] for each in range(kills)]
        random.shuffle(self._kinds)
        self._kinds.insert(kills // 2, "broker")
        self._workers = [self._worker() for _ in range(2 if stack.broker else 3)]
        self._beat = trial.new_beat()
        self._accepted: list[str] = []
        self._producing = threading.Thread(target=self._produce)

    def run(self) -> dict[str, object]:
        """Figures of the series, once all jobs have ended."""
        begun = time.monotonic()
        self._producing.start()
        every = self.jobs / (len(self._kinds) + 1)
        ended, last = -1, time.monotonic()
        while self._producing.is_alive() or ended < self._rows():
            if (now := self._rows("wake_at IS NULL")) != ended:
                ended, last = now, time.monotonic()
            assert time.monotonic() < last + 90, f"no job has ended for long, after {ended}"
            self._start_again()
            if self._kinds and ended > self.jobs - every * len(self._kinds):
                self._kill(self._kinds.pop())
            time.sleep(0.1)
        self._producing.join()
        self.count["wedged at stop"] = sum(self._stop(each) for each in self._workers)
        return self._figures(time.monotonic() - begun)

    def _worker(self) -> Process:
        return self.trial.new_worker("--concurrency=2")

    def _produce(self) -> None:
        pause = 0.02
        for n in range(self.jobs):
            dies = n % 40 == 39
            task = ("count", "count_plainly")[n % 2]
            answer = self.trial.produce(task, {"n": n}, dies=dies)
            assert bool(answer) != dies
            self.count["kill -9 of the producer after its commit"] += dies
            self._accepted += [answer] if answer else []
            time.sleep(pause)

    def _rows(self, condition: str = "true") -> int:
        [[count]] = self.trial.database.rows("count(*)", where=f"key IS NULL AND {condition}")
        return int(count)

    def _start_again(self) -> None:
        """Whatever has been killed."""
        for place, worker in enumerate(self._workers):
            if worker.popen.poll() is not None:
                self.count["ends of workers"] += 1
                self._workers[place] = self._worker()
        if self._beat.popen.poll() is not None:
            self.count["ends of beat"] += 1
            self._beat = self.trial.new_beat()

    def _kill(self, kind: str) -> None:
        if kind == "broker":
            self._restart_broker()
        elif kind == "beat":
            self._beat.kill()
            self.count["kill -9 of beat"] += 1
        else:
            # One that has begun to work, which takes a while after a start.
            ready = [each for each in self._workers if " ready" in each.said]
            if not ready:
                self._kinds.append(kind)
                return
            worker = random.choice(ready)  # noqa: S311
            children = worker.children if kind == "child" else []
            killed = worker.kill(random.choice(children) if children else None)  # noqa: S311
            self.count[f"kill -9 of a {'child' if children else 'worker'}"] += killed

    def _restart_broker(self) -> None:
        """And have it lose all messages, but for RabbitMQ, which keeps them."""
        if broker := self.stack.broker:
            broker.stop()
            broker.start()
        else:
            for message in (self.trial.folder / "queue").glob("*.msg"):
                message.unlink(missing_ok=True)
        self.count["broker restarted"] += 1

    def _stop(self, worker: Process) -> bool:
        """Whether it does not end when it is asked to."""
        try:
            worker.stop()
        except subprocess.TimeoutExpired:
            return True
        return False

    def _figures(self, seconds: float) -> dict[str, object]:
        rows = self.trial.database.rows("state", "tries", "sends")
        losses = Losses.of(self.trial)
        return {
            "jobs": len(rows),
            "seconds": round(seconds),
            "states": dict(Counter(state for state, *_ in rows)),
            **self.count,
            "accepted": len(self._accepted),
            "lost": losses.lost,
            "run again after success": losses.again_after_success,
            "changed after its end": losses.changed_after_end,
            "more than one try": sum(int(tries) > 1 for _, tries, _ in rows),
            "sent by beat": sum(int(sends) > 0 for *_, sends in rows),
        }


@everywhere
def test_no_job_is_lost_or_run_again_under_kills(
    trial: Trial, stack: Stack, request: pytest.FixtureRequest, whole_series: bool
) -> None:
    jobs, kills = (1000, 60) if whole_series else (150, 5)
    figures = Series(trial, stack, jobs, kills).run()
    print(json.dumps({"stack": request.node.callspec.id, **figures}))
    assert figures["jobs"] == jobs
    assert figures["states"] == {"succeeded": jobs}
    assert Losses.of(trial) == Losses(0, 0, 0)
    assert figures["wedged at stop"] == 0
    assert "hunter2" not in "".join(each.said for each in trial.started)


@contextmanager
def away(trial: Trial) -> Iterator[None]:
    """The database, or on SQLite for those that write."""
    if (server := trial.database.server) is not None:
        server.stop()
        try:
            yield
        finally:
            server.start()
        return
    with closing(sqlite3.connect(trial.database.file, isolation_level=None)) as file:
        file.execute("BEGIN EXCLUSIVE")
        yield


@everywhere
def test_jobs_outlive_a_database_that_is_away_for_longer_than_a_lease(
    trial: Trial, whole_series: bool
) -> None:
    lease = 30 if whole_series else LEASE
    settings = {"CELERY_LEASE": str(lease), "DATABASE_STATEMENT_TIMEOUT": "2"}
    workers = [trial.worker("--concurrency=2", **settings) for _ in range(2)]
    trial.beat(**settings)
    running = [trial.enqueue(name, n=1, seconds=2) for name in ("count", "count_plainly")]
    jobs = [*running, *(trial.enqueue("count", n=n) for n in range(20))]
    until(lambda: all(trial.ran(job) for job in running))
    with away(trial):
        time.sleep(lease * 1.5)
    assert trial.ended(*jobs, seconds=2 * lease + 60) == ["succeeded"] * len(jobs)
    assert Losses.of(trial) == Losses(0, 0, 0)
    if whole_series:  # processes wait up to 5 seconds to try again, longer than a short lease
        assert [trial.ran(job) for job in running] == [1, 1]
    assert [worker.popen.poll() for worker in workers] == [None, None]


@contextmanager
def small_disk(folder: Path, required: Required, megabytes: int = 8) -> Iterator[Path]:
    """A file system of that size, mounted on a new folder."""
    folder.mkdir()
    as_root = ("sudo", "-n") if os.geteuid() else ()
    mount = (*as_root, "mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none")
    mounted = run(*mount, folder, check=False).returncode == 0
    required.of(mounted or None, "only root, or a sudo that asks nothing, can mount a small disk")
    try:
        yield folder
    finally:
        run(*as_root, "umount", "--lazy", folder)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """A disk without any space left."""
    rest = folder / "rest"
    with rest.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"0" * 4096)
    try:
        yield
    finally:
        rest.unlink()


def post(client: httpx2.Client) -> httpx2.Response:
    """The answer to a request for the sample job."""
    return client.post(JOBS, json={"steps": 1})


@on("files")
def test_a_full_disk_under_the_database_refuses_jobs_and_loses_none(
    trial: Trial, required: Required
) -> None:
    with small_disk(trial.folder / "disk", required) as disk:
        shutil.move(trial.database.file, disk / "database.db")
        trial.database.url = f"sqlite:///{disk}/database.db"
        trial.settings |= {"DATABASE_URL": trial.database.url, "DATABASE_STATEMENT_TIMEOUT": "2"}
        log = trial.folder / "served.log"
        with served(trial.project, log, **trial.settings) as client:
            worker = trial.worker()
            trial.beat()
            answers = [post(client) for _ in range(10)]
            running = trial.enqueue("count", n=1, seconds=3)
            until(lambda: trial.ran(running))
            with full(disk):
                while (refused := post(client)).status_code == 202:
                    answers.append(refused)
                until(lambda: trial.ran(running, "end"))
            assert refused.status_code == 503
            assert refused.headers["content-type"] == "application/problem+json"
            answers += [post(client) for _ in range(3)]
            jobs = [running, *(answer.json()["id"] for answer in answers)]
            assert trial.ended(*jobs) == ["succeeded"] * len(jobs)
            assert Losses.of(trial) == Losses(0, 0, 0)
            assert worker.popen.poll() is None
        trial.clean_up()
    assert "Unhandled" not in log.read_text()


@on("files")
def test_a_full_disk_under_the_queue_delays_jobs(trial: Trial, required: Required) -> None:
    with small_disk(trial.folder / "disk", required) as disk:
        trial.settings["CELERY_BROKER_URL"] = f"filesystem:///{disk}/queue"
        with served(trial.project, trial.folder / "served.log", **trial.settings) as client:
            worker = trial.worker()
            trial.beat()
            assert trial.ended(post(client).json()["id"]) == ["succeeded"]
            with full(disk):
                answers = [post(client) for _ in range(10)]
                said = "the broker takes no messages"
                until(lambda: said in (trial.folder / "served.log").read_text())
            assert {answer.status_code for answer in answers} == {202}
            jobs = [answer.json()["id"] for answer in answers]
            assert trial.ended(*jobs) == ["succeeded"] * len(jobs)
            assert worker.popen.poll() is None
        trial.clean_up()


@pytest.mark.whole_series
@pytest.mark.parametrize("server", ["postgresql", "redis", "rabbitmq"])
@pytest.mark.xdist_group("celery rabbitmq")
def test_a_full_disk_under_a_server_loses_no_job(
    server: str,
    mailer: Path,
    tmp_path: Path,
    required: Required,
    postgresql_programs: Path,
) -> None:
    with TemporaryDirectory(prefix="full-") as folder, ExitStack() as stack:
        Path(folder).chmod(0o755)  # unlike pytest's, for the servers' own users
        disk = stack.enter_context(small_disk(Path(folder, "disk"), required, 150))
        under = {name: disk if name == server else None for name in ("postgresql", "rabbitmq")}
        postgresql = stack.enter_context(own_postgresql(postgresql_programs, under["postgresql"]))
        broker: Broker = (
            stack.enter_context(own_rabbitmq(required, under["rabbitmq"]))
            if server == "rabbitmq"
            else stack.enter_context(own_redis(required, disk if server == "redis" else None))
        )
        url = postgresql.new_database()
        migrate(mailer, url)
        database = Database(url, postgresql)
        trial = stack.enter_context(on_trial(mailer, tmp_path, database, broker))
        client = stack.enter_context(served(mailer, tmp_path / "served.log", **trial.settings))
        trial.worker("--concurrency=2")
        trial.beat()
        answers = [post(client) for _ in range(20)]
        with full(disk):
            for _ in range(40):
                answers.append(post(client))
                time.sleep(0.5)  # long enough for a server to notice
        with suppress(AssertionError):  # it may have given up already
            (postgresql if server == "postgresql" else broker).stop()
        (postgresql if server == "postgresql" else broker).start()
        until(lambda: post(client).status_code == 202)
        kinds = {(each.status_code, each.headers["content-type"]) for each in answers}
        assert kinds <= {(202, "application/json"), (503, "application/problem+json")}
        jobs = [each.json()["id"] for each in answers if each.status_code == 202]
        assert trial.ended(*jobs, seconds=180) == ["succeeded"] * len(jobs)
        assert Losses.of(trial) == Losses(0, 0, 0)


@pytest.fixture(scope="module")
def clock(required: Required, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `LD_PRELOAD` loads to move the clock of a process.

    It is no libfaketime, under which threads cannot sleep on a clock that is not moved.
    """
    compiler = required.program("gcc", "apt-get install gcc libc6-dev")
    built = tmp_path_factory.mktemp("clock") / "set_clock.so"
    source = Path(__file__).with_name("set_clock.c")
    run(compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", built, source, "-ldl")
    return str(built)


@everywhere
def test_a_clock_set_back_loses_no_job_and_runs_none_twice(trial: Trial, clock: str) -> None:
    moved = trial.folder / "moved"
    moved.write_text("0")
    settings = {"LD_PRELOAD": clock, "CLOCK_MOVED": str(moved), "TRIALS_EVERY": "1"}
    worker, beat = trial.worker("--concurrency=2", **settings), trial.beat(**settings)
    until(lambda: ticks(trial))
    before = trial.enqueue("count", n=1, seconds=2)
    until(lambda: trial.ran(before))
    moved.write_text("-6")
    jobs = [before, *(trial.enqueue("count", n=n) for n in range(20))]
    assert trial.ended(*jobs) == ["succeeded"] * len(jobs)
    assert {trial.ran(job) for job in jobs} == {1}
    count = len(ticks(trial))
    until(lambda: len(ticks(trial)) > count + 1)  # the clock has caught up
    assert len(ticks(trial)) == len(set(ticks(trial)))
    assert [worker.popen.poll(), beat.popen.poll()] == [None, None]


def tries_left(trial: Trial, job: str) -> int:
    return int(trial.row(job, "max_tries - tries")[0])


@on("redis", "rabbitmq")
def test_a_job_that_kills_its_process_fails_after_its_tries_and_others_go_on(trial: Trial) -> None:
    worker = trial.worker("--concurrency=2")
    trial.beat()
    job = trial.enqueue("kill_its_process")
    others = [trial.enqueue("count", n=n) for n in range(20)]
    assert trial.problem(job) == "The process that ran it was lost."
    assert trial.ran(job) == 3
    assert trial.ended(*others, trial.enqueue("count", n=20)) == ["succeeded"] * 21
    assert worker.popen.poll() is None


@on("files", "redis")
def test_a_job_that_kills_its_whole_worker_fails_after_its_tries(trial: Trial) -> None:
    trial.beat()
    job = trial.enqueue("kill_its_worker")
    for _ in range(3):
        worker = trial.new_worker()
        assert worker.wait() == -signal.SIGKILL
    assert trial.problem(job) == "The worker that ran it went silent."
    trial.worker()
    assert trial.ended(trial.enqueue("count", n=1)) == ["succeeded"]
    assert trial.ran(job) == 3


@on("files", "redis")
def test_sigterm_lets_jobs_end(trial: Trial) -> None:
    worker = trial.worker("--concurrency=2")
    jobs = [trial.enqueue(name, n=1, seconds=2) for name in ("count", "count_plainly")]
    if trial.broker is None:  # one at once
        other = trial.worker()
    until(lambda: all(trial.ran(job) for job in jobs))
    assert worker.stop() == 0
    if trial.broker is None:
        assert other.stop() == 0
    assert [trial.state(job) for job in jobs] == ["succeeded", "succeeded"]


@on("files", "redis")
def test_sigquit_puts_jobs_back_which_is_no_try(trial: Trial) -> None:
    jobs = [trial.enqueue(name) for name in ("wait", "wait_plainly")]
    workers = [trial.worker("--concurrency=2") for _ in range(1 if trial.broker else 2)]
    until(lambda: all(trial.ran(job) for job in jobs))
    left = [tries_left(trial, job) + 1 for job in jobs]
    for worker in workers:
        worker.signal(signal.SIGQUIT)
    for worker in workers:
        worker.wait()
    assert [trial.state(job) for job in jobs] == ["queued", "queued"]
    assert [tries_left(trial, job) for job in jobs] == left
    trial.let_end()
    trial.beat()
    trial.worker("--concurrency=2")
    assert trial.ended(*jobs) == ["succeeded", "succeeded"]
    assert [trial.ran(job, "end") for job in jobs] == [1, 1]


@on("files", "redis")
def test_the_end_of_a_terminal_ends_a_worker_and_loses_no_job(trial: Trial) -> None:
    terminal, theirs = pty.openpty()
    python, module = str(trial.python), f"{trial.project.name}.worker"
    worker = subprocess.Popen(
        # `setsid --ctty` makes it the terminal of the worker's session.
        ["setsid", "--ctty", python, "-m", module, "worker", "--concurrency=2"],
        cwd=trial.folder, env=trial.env, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    jobs = [trial.enqueue(name) for name in ("wait", "wait_plainly")[: 2 if trial.broker else 1]]
    until(lambda: all(trial.ran(job) for job in jobs))
    left = [tries_left(trial, job) + 1 for job in jobs]
    os.close(terminal)
    worker.wait(SECONDS)
    assert [trial.state(job) for job in jobs] == ["queued"] * len(jobs)
    assert [tries_left(trial, job) for job in jobs] == left
    trial.let_end()
    trial.beat()
    trial.worker("--concurrency=2")
    assert trial.ended(*jobs) == ["succeeded"] * len(jobs)


@everywhere
def test_a_job_that_takes_too_long_fails_and_the_next_one_works(trial: Trial) -> None:
    # The limits of a worker play no role.
    limits = {"CELERY_TASK_TIME_LIMIT": "1", "CELERYD_TASK_SOFT_TIME_LIMIT": "1"}
    worker = trial.worker("--concurrency=1", **limits)
    job = trial.enqueue("take_too_long_in_a_transaction")
    assert trial.problem(job) == "It took too long."
    following = trial.enqueue("read_then_wait", seconds=2)
    assert trial.ended(following) == ["succeeded"]
    assert set(pids(trial)) == {pids(trial)[0]}  # in the same process
    if trial.broker:
        killed = trial.enqueue("take_too_long_plainly")
        assert trial.problem(killed) == "It took too long."
        assert trial.ran(killed) == 1
        assert trial.ended(trial.enqueue("count", n=1)) == ["succeeded"]
        assert pids(trial)[-1] != pids(trial)[0]
    assert worker.popen.poll() is None


def pids(trial: Trial) -> list[str]:
    """Which process began each job."""
    return [pid for word, _job, pid, _moment in trial.noted() if word == "start"]


@everywhere
def test_a_delayed_job_runs_once_and_not_before_it_is_due(trial: Trial) -> None:
    for _ in range(2):
        trial.worker("--concurrency=1")
    trial.beat()
    job = trial.produce("count", {"n": 1}, **{"in": 4})
    assert trial.ended(job) == ["succeeded"]
    assert trial.ran(job) == 1
    due, started = trial.row(job, "due_at", "started_at")
    assert started >= due


def ticks(trial: Trial) -> list[float]:
    """When the periodic job of the tests' was due, each time."""
    rows = trial.database.rows("key", where="task LIKE '%.tick' ORDER BY due_at")
    return [float(key.rpartition("@")[2]) for [key] in rows]


@everywhere
def test_two_beats_double_no_periodic_job_and_make_up_for_an_outage(trial: Trial) -> None:
    every = {"TRIALS_EVERY": "1", "DATABASE_STATEMENT_TIMEOUT": "1"}
    beats = [trial.new_beat(**every) for _ in range(2)]
    trial.worker("--concurrency=1", **every)
    until(lambda: len(ticks(trial)) > 2)
    with away(trial):
        begun = time.time()
        time.sleep(3)
        ended = time.time()
    count = len(ticks(trial))
    until(lambda: len(ticks(trial)) > count + 3)
    due = ticks(trial)
    assert len(due) == len(set(due))
    assert any(begun < each < ended for each in due)
    until(lambda: trial.ran() >= len(due))
    beats[0].kill()
    count = len(ticks(trial))
    until(lambda: len(ticks(trial)) > count + 1)
    assert beats[1].popen.poll() is None


@on("files")
def test_what_was_due_while_no_beat_ran_runs_once_when_it_starts(trial: Trial) -> None:
    backlog = f"{trial.project.name}.worker.tasks.measure_backlog"
    then = int(time.time()) // 60 * 60 - 3 * 3600
    first = trial.enqueue(backlog)
    due_at = f"strftime('%Y-%m-%d %H:%M:%f', {then}, 'unixepoch') || '000'"
    trial.database.ask(f"UPDATE jobs SET key = '{backlog}@{then}', due_at = {due_at}")  # noqa: S608
    trial.worker()
    begun = time.time()
    trial.beat()

    def missed() -> list[float]:
        rows = trial.database.rows("key", where=f"task = '{backlog}'")
        due = [float(key.rpartition("@")[2]) for [key] in rows]
        return [each for each in due if then < each <= begun]

    until(missed)
    until(lambda: trial.database.ask("SELECT id FROM jobs WHERE state = 'succeeded'"))
    assert trial.ended(first) == ["succeeded"]
    assert len(missed()) == 1


@everywhere
def test_ended_jobs_are_deleted_after_their_time_but_for_the_last_of_each_schedule(
    trial: Trial,
) -> None:
    trial.worker()
    jobs = [trial.enqueue("count", n=n) for n in range(3)]
    assert trial.ended(*jobs) == ["succeeded"] * 3
    for job in jobs[1:]:
        trial.database.ask(f"UPDATE jobs SET key = '{job}' WHERE {trial.is_row(job)}")  # noqa: S608
    ended = time.time()
    until(lambda: time.time() > ended + 1.1)
    trial.beat(CELERY_RESULT_EXPIRES="1")

    def left() -> int:
        return len(trial.database.rows("id", where="task LIKE '%.count'"))

    until(lambda: left() < 3)
    assert left() == 1
    assert trial.state(jobs[2]) == "succeeded"


@pytest.fixture(scope="module")
def guarded(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service with jobs and users. Not to be changed."""
    folder = tmp_path_factory.mktemp("guarded")
    return create(folder, template, "guarded", "--with", "celery,auth")


WRONG = {
    "CELERY_BROKER_URL": "sqs://u:hunter2@host",
    "CELERY_RESULT_EXPIRES": "hunter2",
    "CELERY_GRACE": "0",
    "CELERY_LEASE": "-1",
    "DATABASE_URL": "mysql://u:hunter2@host/x",
    "DATABASE_POOL_SIZE": "0",
    "AUTH_SECRET": "hunter2",
    "APP_LOG_LEVEL": "hunter2",
}


@pytest.mark.parametrize("process", ["worker", "beat"])
@pytest.mark.parametrize(
    "variables",
    [
        ["CELERY_BROKER_URL", "CELERY_RESULT_EXPIRES", "CELERY_GRACE", "CELERY_LEASE"],
        ["DATABASE_URL", "DATABASE_POOL_SIZE"],
        ["AUTH_SECRET"],
        ["APP_LOG_LEVEL"],
    ],
    ids=lambda names: names[0],
)
def test_wrong_settings_end_a_process_in_words(
    variables: list[str], process: str, guarded: Path, tmp_path: Path
) -> None:
    env = {"CELERY_BROKER_URL": f"filesystem:///{tmp_path}/queue", "AUTH_SECRET": "s" * 64}
    env |= {"DATABASE_URL": f"sqlite:///{tmp_path}/database.db"}
    said = refusal(guarded, process, tmp_path, env | {each: WRONG[each] for each in variables})
    assert [each for each in variables if each not in said] == []


def refusal(project: Path, process: str, folder: Path, env: dict[str, str]) -> str:
    """What a process says that ends for its settings."""
    python = project / ".venv" / "bin" / "python"
    done = run(
        "timeout", "60", python, "-m", f"{project.name}.worker", process,
        cwd=folder, env=env, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode not in {0, 124}, said
    assert "Traceback" not in said
    assert "hunter2" not in said
    return said


@pytest.mark.parametrize("process", ["worker", "beat"])
def test_a_database_that_is_not_there_ends_a_process_in_words(
    process: str, mailer: Path, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    env = {"CELERY_BROKER_URL": f"filesystem:///{tmp_path}/queue"}
    env["DATABASE_URL"] = f"postgresql://u:hunter2@127.0.0.1:{port}/x"
    assert "DATABASE_URL" in refusal(mailer, process, tmp_path, env)


@pytest.mark.parametrize(
    "url",
    [
        "sqs://u:hunter2@host",
        "redis://:hunter2@host/zero",
        "redis://:hunter2@host:port/0",
        "amqp://u:hunter2@",
        "filesystem://hunter2",
        "hunter2",
    ],
)
def test_a_broker_of_no_known_kind_is_refused_with_those_that_are(
    url: str, mailer: Path, tmp_path: Path
) -> None:
    words = "CELERY_BROKER_URL: Value error, it does not look like one of filesystem:///FOLDER, "
    assert words in refusal(mailer, "worker", tmp_path, {"CELERY_BROKER_URL": url})


@on("redis")
def test_variables_that_celery_itself_would_read_change_nothing(trial: Trial) -> None:
    foreign = {
        "APP": "nothing.of:this",
        "CONFIG_MODULE": "nothing.of.this",
        "CELERY_CONFIG_MODULE": "nothing.of.this",
        "BROKER_URL": "redis://127.0.0.1:9/0",
        "CELERY_BROKER": "redis://127.0.0.1:9/0",
        "CELERY_BROKER_READ_URL": "redis://127.0.0.1:9/0",
        "CELERY_BROKER_WRITE_URL": "redis://127.0.0.1:9/0",
        "LOADER": "nothing.of:This",
        "CELERY_LOADER": "nothing.of:This",
        "RESULT_BACKEND": "redis://127.0.0.1:9/1",
        "CELERY_RESULT_BACKEND": "redis://127.0.0.1:9/1",
        "CELERY_TASK_ALWAYS_EAGER": "1",
        "CELERY_TASK_TIME_LIMIT": "1",
        "CELERY_QUEUES": "another",
        "CELERY_BEAT_SCHEDULER": "celery.beat:PersistentScheduler",
        "CELERYD_POOL": "threads",
        "CELERY_WORKER_POOL": "threads",
        "WORKDIR": "/",
    }
    trial.settings |= foreign
    trial.worker("--concurrency=1")
    trial.beat()
    jobs = [trial.enqueue("count", n=1, seconds=2), trial.produce("count", {"n": 2}, **{"in": 1})]
    assert trial.ended(*jobs) == ["succeeded", "succeeded"]


@on("redis")
def test_processes_outlive_a_broker_that_stops_answering(trial: Trial) -> None:
    redis = trial.broker
    assert isinstance(redis, Redis)
    worker = trial.worker("--concurrency=2", "--name=one")
    beat = trial.beat("--name=two")
    assert trial.ended(trial.enqueue("count", n=1)) == ["succeeded"]
    until(lambda: [trial.health("one"), trial.health("two")] == [0, 0])
    redis.signal(signal.SIGSTOP)
    try:
        job = trial.enqueue("count", n=2)
        assert trial.health("one") == 1
    finally:
        redis.signal(signal.SIGCONT)
    assert trial.ended(job) == ["succeeded"]
    until(lambda: [trial.health("one"), trial.health("two")] == [0, 0])
    assert [worker.popen.poll(), beat.popen.poll()] == [None, None]


@pytest.mark.whole_series  # waits for time-outs
@on("redis")
def test_a_worker_outlives_connections_that_fall_silent(trial: Trial) -> None:
    redis = trial.broker
    assert isinstance(redis, Redis)
    relayed = Relayed(redis.port)
    direct = trial.settings["CELERY_BROKER_URL"]
    trial.settings["CELERY_BROKER_URL"] = direct.replace(str(redis.port), str(relayed.port))
    try:
        worker, beat = trial.worker("--concurrency=2", "--name=one"), trial.beat()
        assert trial.ended(trial.enqueue("count", n=1)) == ["succeeded"]
        assert trial.health("one") == 0
        relayed.fall_silent()
        job = trial.enqueue("count", n=2)
        assert trial.health("one") == 1
        relayed.answer_again()
        assert trial.ended(job, seconds=90) == ["succeeded"]
        until(lambda: trial.health("one") == 0)
        assert [worker.popen.poll(), beat.popen.poll()] == [None, None]
    finally:
        relayed.close()


@everywhere
def test_messages_that_are_no_jobs_are_dropped_in_words(trial: Trial) -> None:
    worker = trial.worker("--concurrency=1")
    trial.beat()
    # As a version before sent it, of a task that is gone, and with Celery's own promises.
    for task in ("count", "gone", "plain"):
        assert trial.produce(task, {"secret": "hunter2"}, plain=True) == "sent"
    until(lambda: "plain task ran" in worker.said)
    throw(trial)
    assert trial.ended(trial.enqueue("count", n=1)) == ["succeeded"]
    events = {event["event"]: event for event in worker.events}
    assert events["a message of an earlier version was dropped"]["task"] == trial.task("count")
    assert events["a message of an unknown task"]["task"] == trial.task("gone")
    assert trial.ran() == 1
    assert "hunter2" not in "".join(each.said for each in trial.started)


def throw(trial: Trial) -> None:
    """Put things into the queue that are no messages."""
    queue = trial.settings["CELERY_TASK_DEFAULT_QUEUE"]
    for number, garbage in enumerate(("{", "{}", "[]", "1", "")):
        if isinstance(trial.broker, Redis):
            trial.broker.ask("LPUSH", queue, garbage)
        elif trial.broker is None:
            whole = trial.folder / "new"
            whole.write_text(garbage)
            whole.rename(trial.folder / "queue" / f"{number}_x.{queue}.msg")
    assert trial.produce("", {}, garbage="hunter2{") == "sent"


@on("files", "redis")
def test_what_json_does_not_know_is_refused_or_fails_in_words(trial: Trial) -> None:
    trial.worker("--concurrency=1")
    trial.beat()
    wrongs: list[dict[str, object]] = [
        {"n": "hunter2"},
        {},
        {"n": 1, "other": "hunter2"},
        {"n": float("nan")},
    ]
    for wrong in wrongs:
        said = trial.produce("count", wrong)
        assert said.startswith(f"TypeError: {trial.task('count')} does not take these arguments")
    too_much = trial.produce("fail", {"secret": "hunter2" * 1_000_000})
    assert too_much.startswith("TypeError")
    words = {
        "return_too_much": "Its result is not JSON: it has 7,000,002 characters, of which",
        "return_an_object": "Its result is not JSON: Unable to serialize",
        "return_nan": "Its result is not JSON: Out of range float values",
    }
    for task, why in words.items():
        assert trial.problem(trial.enqueue(task)).startswith(why)
    # PostgreSQL knows JSON without it.
    assert trial.ended(trial.enqueue("return_nul")) == ["succeeded"]
    failed = trial.produce("fail", {"secret": "hunter2"})
    assert trial.problem(failed) is None
    assert trial.ended(trial.enqueue("count", n=1)) == ["succeeded"]
    assert "hunter2" not in "".join(each.said for each in trial.started)


@on("redis")
def test_a_job_that_no_worker_knows_fails_in_words(trial: Trial) -> None:
    worker = trial.worker("--concurrency=1")
    trial.beat()
    job = trial.produce("wait", {}, **{"in": 3})
    gone = trial.task("gone")
    trial.database.ask(f"UPDATE jobs SET task = '{gone}' WHERE key IS NULL")  # noqa: S608
    assert trial.problem(job) == f"No worker knows {gone}."
    assert trial.ended(trial.enqueue("count", n=1)) == ["succeeded"]
    assert worker.popen.poll() is None


@on("files")
def test_no_lock_of_the_database_is_held_while_a_job_runs(trial: Trial) -> None:
    trial.worker()
    job = trial.enqueue("read_then_wait", seconds=3)
    until(lambda: trial.ran(job))
    with closing(sqlite3.connect(trial.database.file, timeout=1, isolation_level=None)) as file:
        file.execute("INSERT INTO changed VALUES ('x', 'x', 'x')")
    assert trial.state(job) == "running"
    assert trial.ended(job) == ["succeeded"]


def processes_of(project: Path) -> list[int]:
    """The workers and beats that run with the environment of a service."""
    asked = subprocess.run(
        ["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True, check=True
    )
    ours = f"{project / '.venv' / 'bin' / 'python'} -m {project.name}.worker"
    lines = [line.strip().partition(" ") for line in asked.stdout.splitlines()]
    return [int(pid) for pid, _, command in lines if command.startswith(ours)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_test_run_that_is_told_to_end_leaves_no_worker(
    number: signal.Signals, mailer: Path, tmp_path: Path
) -> None:
    options = ("--no-cov", "-p", "no:cacheprovider", "--basetemp", tmp_path / "tests")
    with (tmp_path / "log").open("w") as log:
        tests = subprocess.Popen(
            [mailer / ".venv/bin/python", "-m", "pytest", *options, "tests/worker/test_worker.py"],
            cwd=mailer, env=clean_environment(), stdout=log, stderr=log,
        )  # fmt: skip
    try:
        until(lambda: len(processes_of(mailer)) == 2 or tests.poll() is not None)
        tests.send_signal(number)
        assert tests.wait(SECONDS) != 0, (tmp_path / "log").read_text()
        assert processes_of(mailer) == []
    finally:
        tests.kill()
        for pid in processes_of(mailer):
            os.kill(pid, signal.SIGKILL)


def test_what_needs_a_broker_touches_none_of_the_user(
    new_service: Run, required: Required, tmp_path: Path
) -> None:
    new_service("create", "shop", "--yes", "--with", "celery")
    only = ("--only", "worker", "--only", "boot")
    with own_redis(required) as server:
        env = {"CELERY_BROKER_URL": server.url}
        done = run(
            COMMAND, "validate", "--json", *only, cwd=tmp_path / "shop", env=env, check=False
        )
        keys = server.ask("DBSIZE")

    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert {
        name: check["detail"] for name, check in checks.items() if check["status"] != "passed"
    } == {}
    assert "passed" in checks["worker"]["detail"]
    assert keys == "0"
    assert not (tmp_path / "shop" / "data").exists()
    assert run("git", "status", "--porcelain", cwd=tmp_path / "shop").stdout == ""

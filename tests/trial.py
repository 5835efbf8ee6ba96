"""Services whose workers are under fire: on a stack, with all that runs there."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from brokers import Broker
from conftest import PostgreSQL, clean_environment, run

SECONDS = 60
GRACE, LEASE = 2, 4
TRIALS = Path(__file__).with_name("trials")
# A trigger notes each row that is changed after it has ended.
TABLE = "CREATE TABLE changed (id text, was text, became text);"
NOTE = "INSERT INTO changed VALUES (OLD.id, OLD.state, NEW.state)"
ENDED = "WHEN (OLD.state IN ('succeeded', 'failed', 'revoked'))"
WATCH = {
    "sqlite": f"{TABLE} CREATE TRIGGER watch AFTER UPDATE ON jobs {ENDED} BEGIN {NOTE}; END",
    "postgresql": f"""
        {TABLE}
        CREATE FUNCTION note() RETURNS trigger AS
            $$ BEGIN {NOTE}; RETURN NEW; END $$ LANGUAGE plpgsql;
        CREATE TRIGGER watch AFTER UPDATE ON jobs FOR EACH ROW {ENDED} EXECUTE FUNCTION note()""",
}


def until(condition: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait for something to become true; fails if it does not."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not become true"
        time.sleep(0.1)


def add_trials(service: Path) -> None:
    """Add the jobs of the tests to a service."""
    worker = service / "src" / service.name / "worker"
    for each in TRIALS.glob("*.py"):
        shutil.copy(each, worker)
    with (worker / "tasks.py").open("a") as tasks:
        tasks.write("\nfrom . import trials\n")


@dataclass
class Database:
    """That of a trial, seen from outside of the service."""

    url: str
    server: PostgreSQL | None = None

    @property
    def file(self) -> Path:
        """That of SQLite."""
        return Path(self.url.removeprefix("sqlite:///"))

    def ask(self, statement: str) -> list[list[str]]:
        """The rows of an answer."""
        if self.server:
            answer = run(self.server.programs / "psql", self.url, "-Atc", statement).stdout
            return [line.split("|") for line in answer.splitlines()]
        with closing(sqlite3.connect(self.file, timeout=SECONDS, isolation_level=None)) as file:
            rows = file.execute(statement).fetchall()
            return [["" if each is None else str(each) for each in row] for row in rows]

    def rows(self, *columns: str, where: str = "key IS NULL") -> list[list[str]]:
        """Those of jobs; unless told otherwise, of those that are not periodic."""
        return self.ask(f"SELECT {', '.join(columns)} FROM jobs WHERE {where}")  # noqa: S608

    def watch(self) -> None:
        """Note from now on what happens to rows that have ended."""
        if self.server:
            self.ask(WATCH["postgresql"])
        else:
            with closing(sqlite3.connect(self.file)) as file:
                file.executescript(WATCH["sqlite"])


@dataclass
class Process:
    """A process that leads a session, and the file that has what it said."""

    popen: subprocess.Popen[str]
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text()

    @property
    def events(self) -> list[dict[str, str]]:
        """The lines of its log that are JSON."""
        return [json.loads(line) for line in self.said.splitlines() if line.startswith("{")]

    @property
    def children(self) -> list[int]:
        """The processes that it has forked."""
        asked = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.popen.pid)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return [int(each) for each in asked.stdout.split()]

    def once_it_says(self, words: str) -> Process:
        """This process, when it has said so; fails if it ends."""
        until(lambda: words in self.said or self.popen.poll() is not None)
        assert self.popen.poll() is None, self.said
        return self

    def kill(self, pid: int | None = None) -> bool:
        """`kill -9` of it, or of one of its children; False if there is none any more."""
        with suppress(ProcessLookupError):
            os.kill(pid or self.popen.pid, signal.SIGKILL)
            return True
        return False

    def signal(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def wait(self, seconds: float = SECONDS) -> int:
        """Its exit code."""
        return self.popen.wait(seconds)

    def stop(self) -> int:
        """Its exit code once it has been asked to end."""
        self.popen.terminate()
        return self.wait()

    def end(self) -> None:
        """End it and all its children."""
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()
        for stream in (self.popen.stdin, self.popen.stdout):
            if stream:
                stream.close()


@dataclass
class Trial:
    """A service on a stack, with a database and a queue of its own."""

    project: Path
    folder: Path
    database: Database
    broker: Broker | None
    settings: dict[str, str]
    started: list[Process] = field(default_factory=list)
    _producer: Process | None = None
    _count: Iterator[int] = field(default_factory=itertools.count)

    @property
    def python(self) -> Path:
        return self.project / ".venv" / "bin" / "python"

    @property
    def env(self) -> dict[str, str]:
        return clean_environment() | {"PYTHONPATH": str(self.project / "src")} | self.settings

    def start(self, module: str, *options: str, **env: str) -> Process:
        """Start a module of the service's."""
        talks = module == "worker.producer"
        log = self.folder / f"{module}-{next(self._count)}.log"
        with log.open("w") as output:
            popen = subprocess.Popen(
                [self.python, "-m", f"{self.project.name}.{module}", *options],
                cwd=self.folder,
                env=self.env | env,
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else output,
                stderr=output,
                text=True,
                start_new_session=True,
            )
        self.started.append(Process(popen, log))
        return self.started[-1]

    def worker(self, *options: str, **env: str) -> Process:
        """A worker that is ready."""
        return self.new_worker(*options, **env).once_it_says(" ready")

    def new_worker(self, *options: str, **env: str) -> Process:
        """A worker that may not be ready yet."""
        return self.start("worker", "worker", *options, **env)

    def beat(self, *options: str, **env: str) -> Process:
        """A beat that is ready."""
        return self.new_beat(*options, **env).once_it_says("beat: Starting")

    def new_beat(self, *options: str, **env: str) -> Process:
        """A beat that may not be ready yet."""
        return self.start("worker", "beat", *options, **env)

    def health(self, name: str) -> int:
        """The exit code of the command that asks the process of that name."""
        asked = [str(self.python), "-m", f"{self.project.name}.worker", "health", "--name", name]
        return run(*asked, cwd=self.folder, env=self.env, check=False).returncode

    def produce(self, task: str, arguments: dict[str, object], **how: object) -> str:
        """What a process that enqueues answers; empty if it is killed by that."""
        if self._producer is None or self._producer.popen.poll() is not None:
            self._producer = self.start("worker.producer")
        known, said = self._producer.popen.stdin, self._producer.popen.stdout
        assert known is not None
        assert said is not None
        asked = {"task": self.task(task), "arguments": arguments, **how}
        with suppress(BrokenPipeError):
            known.write(json.dumps(asked) + "\n")
            known.flush()
        # It logs there, too.
        answer = next((line.strip() for line in said if not line.startswith("{")), "")
        if not answer:
            self._producer.wait()
        return answer

    def task(self, name: str) -> str:
        """The full name of a job of the tests'."""
        return name if "." in name else f"{self.project.name}.worker.trials.{name}"

    def enqueue(self, task: str, **arguments: object) -> str:
        """The id of a job that a process has enqueued as a route does."""
        job = self.produce(task, arguments)
        assert len(job) == 36, job
        return job

    def row(self, job: str, *columns: str) -> list[str]:
        """Some columns of a job."""
        return self.database.rows(*columns, where=self.is_row(job))[0]

    def is_row(self, job: str) -> str:
        """What holds for the row of a job: SQLite has no UUIDs, but texts without hyphens."""
        return f"replace(CAST(id AS text), '-', '') = '{job.replace('-', '')}'"

    def state(self, job: str) -> str:
        return self.row(job, "state")[0]

    def ended(self, *jobs: str, seconds: float = SECONDS) -> list[str]:
        """The states of jobs once all have ended."""
        until(lambda: all(self.row(job, "wake_at")[0] == "" for job in jobs), seconds)
        return [self.state(job) for job in jobs]

    def problem(self, job: str) -> str:
        """Why a job has failed."""
        assert self.ended(job) == ["failed"]
        detail: str = json.loads(self.row(job, "problem")[0])["detail"]
        return detail

    @property
    def notes(self) -> Path:
        return Path(self.settings["TRIALS_LOG"])

    def ran(self, job: str | None = None, word: str = "start") -> int:
        """How often a job, or any, has started or come to its end."""
        return sum(noted == word and job in {None, one} for noted, one, *_ in self.noted())

    def noted(self) -> list[list[str]]:
        """What started and came to its end: the word, the job, its process, and when."""
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        return [line.split() for line in lines]

    def let_end(self) -> None:
        """Let the jobs end that wait."""
        self.notes.with_name(f"{self.notes.name}.end").touch()

    def clean_up(self) -> None:
        for each in self.started:
            each.end()


@dataclass(frozen=True)
class Losses:
    """What a series did to jobs that it should not."""

    lost: int
    again_after_success: int
    changed_after_end: int

    @classmethod
    def of(cls, trial: Trial) -> Losses:
        """All that there are."""
        # Julian days began long before 1970.
        days = "(julianday(ended_at) - 2440587.5) * 86400"
        at = "extract(epoch FROM ended_at)" if trial.database.server else days
        rows = trial.database.rows("id", "state", at)
        starts = defaultdict(list)
        for word, job, _pid, moment in trial.noted():
            if word == "start":
                starts[job.replace("-", "")].append(float(moment))
        lost = again = 0
        for job, state, ended in rows:
            if not ended:
                lost += 1
            elif state == "succeeded":
                begun = max(starts[job.replace("-", "")], default=0.0)
                again += begun > float(ended) + 0.01
        changed = len(trial.database.ask("SELECT id FROM changed"))
        return cls(lost, again, changed)


class Relayed:
    """A port that forwards to another, and can fall silent without closing anything.

    What was connected then stays silent, as behind a firewall that has forgotten it.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._sockets: list[socket.socket] = []
        self._silence = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._silent = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def fall_silent(self) -> None:
        self._silent.set()
        self._silence += 1

    def answer_again(self) -> None:
        """New connections."""
        self._silent.clear()

    def close(self) -> None:
        for each in (self._listener, *self._sockets):
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, server]
                for ends in ((client, server), (server, client)):
                    copy = (*ends, self._silence)
                    threading.Thread(target=self._copy, args=copy, daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket, silence: int) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if silence == self._silence and not self._silent.is_set():
                    target.sendall(data)
            target.shutdown(socket.SHUT_WR)

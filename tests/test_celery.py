"""The module celery under fire: workers killed, brokers that go away, two of everything."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path

import httpx2
import pytest

from brokers import Broker, own_rabbitmq, own_redis
from conftest import COMMAND, Required, Run, clean_environment, run
from running import create, served

JOBS = "/api/v1/jobs"
# Longer than Redis may take to give a job back: 65 of its visibility, 30 of a lock left behind.
SECONDS = 180
# A task of the tests': one that kills the worker that runs it, its main process too.
POISON = """

import os, signal

@shared_task
def poison(log: str) -> None:
    with open(log, "a") as file:
        file.write("x")
    os.killpg(os.getpgid(os.getppid()), signal.SIGKILL)

@shared_task(max_retries=2, default_retry_delay=0)
def poison_its_process(log: str) -> None:
    with open(log, "a") as file:
        file.write("x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def mailer(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service with jobs, its environment installed. Not to be changed."""
    return create(tmp_path_factory.mktemp("mailer"), template, "mailer", "--with", "celery")


@pytest.fixture(scope="module", params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest, required: Required) -> Iterator[Broker]:
    with (own_redis if request.param == "redis" else own_rabbitmq)(required) as server:
        yield server


@pytest.fixture
def settings(broker: Broker, tmp_path: Path) -> dict[str, str]:
    """Those of a service on that broker, with a queue of its own."""
    return {
        "CELERY_BROKER_URL": broker.url,
        "CELERY_STATE_FOLDER": str(tmp_path / "state"),
        "CELERY_TASK_DEFAULT_QUEUE": tmp_path.name,
        "CELERY_TASK_SOFT_TIME_LIMIT": "4",
        "CELERY_TASK_TIME_LIMIT": "5",
        "APP_LOG_FORMAT": "json",
    }


class Worker:
    """A worker, or another process of Celery's, in a process group of its own."""

    def __init__(self, project: Path, log: Path, settings: dict[str, str], *options: str) -> None:
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [project / ".venv/bin/python", "-m", f"{project.name}.worker", *options],
                cwd=project,
                env=clean_environment() | settings,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(SECONDS)


@contextmanager
def working(project: Path, log: Path, settings: dict[str, str], *options: str) -> Iterator[Worker]:
    """A worker, or what `options` name."""
    worker = Worker(project, log, settings, *(options or ("worker", "--concurrency=2")))
    try:
        yield worker
    finally:
        worker.kill()


def until(condition: Callable[[], object]) -> None:
    """Wait for something to become true; fails if it does not."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not become true"
        time.sleep(0.2)


def until_more(count: Callable[[], int], more: int) -> None:
    """Wait until there are so many more than now."""
    before = count()
    until(lambda: count() > before + more)


def state(client: httpx2.Client, job: str) -> str:
    answer = client.get(f"{JOBS}/{job}")
    assert answer.status_code in {200, 503}, answer.text
    return str(answer.json().get("state", "unknown"))


def enqueue(client: httpx2.Client, steps: int = 1) -> str:
    answer = client.post(JOBS, json={"steps": steps})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def wait_for(client: httpx2.Client, jobs: list[str]) -> None:
    """Until all jobs have succeeded."""
    for job in jobs:
        until(partial(succeeded, client, job))


def succeeded(client: httpx2.Client, job: str) -> bool:
    return state(client, job) == "succeeded"


def test_no_job_is_lost_when_workers_are_killed_again_and_again(
    mailer: Path, settings: dict[str, str], tmp_path: Path, whole_series: bool
) -> None:
    log = tmp_path / "log"
    kills, least = (6, 1000) if whole_series else (3, 300)
    killed = 0
    with served(mailer, **settings) as client:
        workers = [Worker(mailer, log, settings, "worker", "--concurrency=4") for _ in range(2)]
        jobs: list[str] = []
        enough = threading.Event()

        def go_on_enqueueing() -> None:
            while not enough.is_set():
                jobs.append(enqueue(client))

        enqueueing = threading.Thread(target=go_on_enqueueing)
        enqueueing.start()
        try:
            while len(jobs) < least or killed < kills:
                # One that works: each has done something before it dies.
                until_more(lambda: log.read_text().count('"event":"task"'), 20)
                workers.pop(0).kill()
                killed += 1
                workers.append(Worker(mailer, log, settings, "worker", "--concurrency=4"))
            enough.set()
            enqueueing.join()
            assert len(set(jobs)) == len(jobs)
            wait_for(client, jobs)
        finally:
            enough.set()
            for worker in workers:
                worker.kill()


@pytest.fixture
def poisoned(mailer: Path, tmp_path: Path) -> Path:
    """The service with tasks that kill who runs them."""
    project = tmp_path / "mailer"
    shutil.copytree(mailer, project, symlinks=True, ignore=shutil.ignore_patterns(".venv"))
    (project / ".venv").symlink_to(mailer / ".venv")
    tasks = project / "src/mailer/worker/tasks.py"
    tasks.write_text(tasks.read_text() + POISON)
    return project


def ask(project: Path, settings: dict[str, str], script: str) -> str:
    """What a script prints that has `app` and the tasks."""
    begin = (
        "from mailer.worker.app import create_celery\n"
        "from mailer.worker.settings import CelerySettings\n"
        "from mailer.worker.tasks import *\n"
        "app = create_celery(CelerySettings.load(), patient=False)\n"
    )
    env = settings | {"PYTHONPATH": str(project / "src")}
    return run(mailer_python(project), "-c", begin + script, cwd=project, env=env).stdout.strip()


def mailer_python(project: Path) -> Path:
    return project / ".venv" / "bin" / "python"


def test_a_task_that_kills_its_process_fails_after_its_bound_and_others_go_on(
    poisoned: Path, settings: dict[str, str], tmp_path: Path
) -> None:
    settings |= {"PYTHONPATH": str(poisoned / "src")}
    log = tmp_path / "log"
    with served(poisoned, **settings) as client, working(poisoned, log, settings):
        victims = tmp_path / "victims"
        send = f"print(poison_its_process.delay({str(victims)!r}).id)"
        job = ask(poisoned, settings, send)
        wait_for(client, [enqueue(client) for _ in range(50)])
        ended = f"r = app.AsyncResult({job!r}); r.get({SECONDS}, propagate=False); print(r.state)"
        assert ask(poisoned, settings, ended) == "FAILURE"
    assert victims.read_text() == "xxx"


def test_a_task_that_kills_whole_workers_fails_after_its_bound(
    poisoned: Path, settings: dict[str, str], tmp_path: Path, broker: Broker
) -> None:
    if broker.url.startswith("redis"):
        pytest.skip("Redis gives a lost message to another worker after minutes, ten times")
    settings |= {"PYTHONPATH": str(poisoned / "src")}
    victims = tmp_path / "victims"
    job = ask(poisoned, settings, f"print(poison.delay({str(victims)!r}).id)")

    def failed() -> bool:
        if victims.exists() and len(victims.read_text()) < 11:
            return False
        asked = f"print(app.AsyncResult({job!r}).state)"
        return ask(poisoned, settings, asked) == "FAILURE"

    with served(poisoned, **settings) as client:
        others = [enqueue(client) for _ in range(20)]
        while state(client, others[-1]) != "succeeded":
            with working(poisoned, tmp_path / "log", settings) as worker:
                until(lambda: worker.process.poll() is not None or failed())
                if worker.process.poll() is None:
                    wait_for(client, others)
        with working(poisoned, tmp_path / "log", settings):
            wait_for(client, [enqueue(client)])
        assert failed()  # for good
    assert victims.read_text() == "x" * 11  # once, and ten times more


def test_service_and_workers_recover_when_their_broker_comes_back(
    mailer: Path, broker: Broker, settings: dict[str, str], tmp_path: Path
) -> None:
    accepted: list[str] = []
    refused: list[float] = []
    stop = threading.Event()

    with (
        served(mailer, **settings) as client,
        working(mailer, tmp_path / "log", settings),
    ):

        def load() -> None:
            while not stop.is_set():
                start = time.monotonic()
                answer = client.post(JOBS, json={"steps": 1})
                if answer.status_code == 202:
                    accepted.append(answer.json()["id"])
                else:
                    assert answer.status_code == 503, answer.text
                    assert answer.headers["content-type"] == "application/problem+json"
                    refused.append(time.monotonic() - start)
                time.sleep(0.02)

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(2):
            until_more(lambda: len(accepted), 50)
            broker.stop()
            until_more(lambda: len(refused), 10)
            ready = client.get("/health/ready")
            assert ready.status_code == 503
            assert "broker" in ready.json()["failing"]
            broker.start()
        until_more(lambda: len(accepted), 50)
        stop.set()
        for thread in threads:
            thread.join()
        wait_for(client, accepted)
        assert client.get("/health/ready").status_code == 200
    assert max(refused) < 10  # twice the time-out of the broker, and of its results
    assert "hunter2" not in (tmp_path / "log").read_text()


def test_two_beats_enqueue_what_is_due_once_and_outlive_each_other_and_the_broker(
    poisoned: Path, settings: dict[str, str], tmp_path: Path, broker: Broker
) -> None:
    tasks = poisoned / "src/mailer/worker/tasks.py"
    tasks.write_text(tasks.read_text().replace("crontab()", "2.0"))
    settings |= {"PYTHONPATH": str(poisoned / "src")}
    if not settings["CELERY_BROKER_URL"].startswith("redis"):  # one place, as for two machines
        settings |= {"CELERY_RESULT_BACKEND": f"db+sqlite:///{tmp_path / 'results.db'}"}

    def sent() -> int:
        return int(ask(poisoned, settings, "print(backlog(app))"))

    def beat(name: str) -> AbstractContextManager[Worker]:
        own = {"CELERY_STATE_FOLDER": str(tmp_path / name)}
        return working(poisoned, tmp_path / f"{name}.log", settings | own, "beat")

    start = time.monotonic()
    with beat("one") as first, beat("two"):
        until(lambda: all((tmp_path / name / "beat.heartbeat").exists() for name in ("one", "two")))
        until_more(sent, 2)
        broker.stop()
        broker.start()
        until_more(sent, 1)
        first.kill()
        until_more(sent, 2)
        messages = sent()
        elapsed = time.monotonic() - start
    assert messages <= elapsed / 2 + 1


def test_what_is_no_message_of_celerys_is_dropped_from_redis(
    mailer: Path, tmp_path: Path, required: Required
) -> None:
    queue = "mailer"
    with own_redis(required) as server:
        settings = {"CELERY_BROKER_URL": server.url, "CELERY_STATE_FOLDER": str(tmp_path)}
        for garbage in ("{", "{}", "[]", "1"):
            server.ask("LPUSH", queue, garbage)
        with served(mailer, **settings) as client, working(mailer, tmp_path / "log", settings):
            wait_for(client, [enqueue(client)])
        assert server.ask("EXISTS", queue, f"{queue}:taken") == "0"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (
            "sqs://u:hunter2@host",
            "CELERY_BROKER_URL: Value error, sqs is not supported; use one of",
        ),
        ("redis://:hunter2@host/zero", "CELERY_BROKER_URL: Value error, Redis numbers"),
        ("hunter2", "CELERY_BROKER_URL: Value error, it is no URL"),
    ],
)
@pytest.mark.parametrize("process", ["api", "worker", "beat"])
def test_a_wrong_broker_stops_the_start_in_words(
    url: str, words: str, process: str, mailer: Path
) -> None:
    if process == "api":
        command = ["-m", "uvicorn", "mailer.main:app", "--port", "0"]
    else:
        command = ["-m", "mailer.worker", process]
    env = {"CELERY_BROKER_URL": url}
    stopped = run(mailer_python(mailer), *command, cwd=mailer, env=env, check=False)

    said = stopped.stdout + stopped.stderr
    assert stopped.returncode != 0
    assert words in said
    assert "Traceback" not in said
    assert "hunter2" not in said


def test_what_needs_a_broker_touches_none_of_the_user(
    new_service: Run, required: Required, tmp_path: Path
) -> None:
    new_service("create", "shop", "--yes", "--with", "celery")
    only = ("--only", "worker", "--only", "test", "--only", "boot")
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


def test_celery_comes_to_a_service_that_its_owner_has_edited_and_goes(
    new_service: Run, tmp_path: Path
) -> None:
    new_service("create", "shop", "--yes", "--with", "database,example")
    shop = tmp_path / "shop"
    main = shop / "src/shop/main.py"
    main.write_text(main.read_text() + "\n# ours\n")
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@localhost")
    run(*git, "commit", "-qam", "Edit", cwd=shop)

    new_service("add", "celery", "--yes", cwd=shop)

    assert "# ours" in main.read_text()
    assert "CELERY_BROKER_URL=" in (shop / ".env").read_text()
    validated = run(COMMAND, "validate", "--only", "worker", cwd=shop)
    assert "all 1 passed" in validated.stdout + validated.stderr

    run(*git, "commit", "-qam", "Add celery", cwd=shop)
    new_service("remove", "celery", "--yes", cwd=shop)
    assert not (shop / "src/shop/worker").exists()
    # The lock may say the same otherwise.
    changed = run("git", "diff", "HEAD~1", "--name-only", cwd=shop).stdout.split()
    assert changed in ([], ["uv.lock"])

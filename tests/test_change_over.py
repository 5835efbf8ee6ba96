"""Services whose jobs were messages alone become services whose jobs are rows of the database."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import COMMAND, UV, clean_environment, repository, run
from containers import until
from shop import FAST, commit, edit, git, status
from test_needs import MESSAGES, made, moving_from, update
from tiny import recorded

UPDATE = (COMMAND, "update", "--to", "1.1.0", "--yes")
WORKER = "src/shop/worker"
# Files that the template has rewritten, and files that it has no more.
REWRITTEN = [f"{WORKER}/jobs.py", f"{WORKER}/tasks.py"]
GONE = [f"{WORKER}/base.py", f"{WORKER}/once.py", "tests/worker/test_once.py"]
OURS = """

@shared_task
def send_invoice(number: int) -> None:
    logger.info("invoice", number=number)
"""
REPORTS = """\
from celery import shared_task


@shared_task
def write_report() -> None: ...
"""


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version of the template in which jobs are messages alone, and this one."""
    return moving_from(MESSAGES, tmp_path_factory.mktemp("t"))


@pytest.fixture(scope="module")
def before(messages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service of the earlier version, with tasks and edits of its owner's. Not to be changed."""
    folder = tmp_path_factory.mktemp("before") / "shop"
    shop = repository(made(messages, "v1.0.0", folder, {"modules": ["celery"]}))
    with (shop / WORKER / "tasks.py").open("a") as tasks:
        tasks.write(OURS)
    (shop / WORKER / "reports.py").write_text(REPORTS)
    edit(shop / WORKER / "jobs.py", "POLL_SECONDS = 0.5", "POLL_SECONDS = 0.25")
    edit(shop / WORKER / "base.py", "LOST_AT_MOST = 10", "LOST_AT_MOST = 20")
    for name in GONE[1:]:
        with (shop / name).open("a") as file:
            file.write("# Ours.\n")
    commit(shop)
    return shop


@pytest.fixture
def edited(before: Path, tmp_path: Path) -> Path:
    """A copy of that service."""
    return Path(shutil.copytree(before, tmp_path / "shop"))


def texts(shop: Path, *names: str) -> str:
    return "".join((shop / name).read_text() for name in names)


def test_edited_files_of_the_worker_are_named_and_nothing_is_applied(edited: Path) -> None:
    done = run(*UPDATE, "--json", *FAST, cwd=edited, check=False)

    told = json.loads(done.stdout)
    assert done.returncode == 3
    assert (told["conflicts"], told["would_lose"], told["applied"]) == (REWRITTEN, GONE, False)
    assert status(edited) == []


def test_edits_of_the_worker_are_kept_as_conflicts(edited: Path) -> None:
    ours = texts(edited, *GONE)

    run(*UPDATE, "--allow-conflicts", *FAST, cwd=edited, check=False)

    unmerged = {line.split("\t")[1] for line in git(edited, "ls-files", "--unmerged").splitlines()}
    assert unmerged == {*REWRITTEN, *GONE}
    assert texts(edited, *GONE) == ours
    assert OURS in texts(edited, f"{WORKER}/tasks.py")
    assert "POLL_SECONDS = 0.25" in texts(edited, f"{WORKER}/jobs.py")
    assert (edited / WORKER / "reports.py").read_text() == REPORTS
    assert not (edited / WORKER / "file_broker.py").exists()  # nobody had edited it


def test_plain_copier_keeps_tasks_of_the_owner(edited: Path) -> None:
    update("copier", edited)

    unmerged = {line[3:] for line in status(edited) if line.startswith("UU")}
    assert unmerged == set(REWRITTEN)
    assert OURS in texts(edited, f"{WORKER}/tasks.py")
    assert (edited / WORKER / "reports.py").read_text() == REPORTS
    assert recorded(edited)["modules"] == ["database", "celery"]


ENQUEUE = """
from shop.worker.app import create_celery
from shop.worker.settings import CelerySettings

app = create_celery(CelerySettings.load(), patient=False)
app.send_task("shop.worker.tasks.take_steps", kwargs={"work": {"steps": 1}})
app.send_task("shop.worker.tasks.measure_backlog")
app.send_task("shop.worker.tasks.gone", args=["hunter2"])
"""


def test_a_service_with_messages_in_its_queue_moves_and_runs(
    messages: Path, tmp_path: Path
) -> None:
    create = (COMMAND, "create", "shop", "--yes", "--with", "celery", "--template", messages)
    run(*create, "--template-version", "1.0.0", cwd=tmp_path)
    shop = tmp_path / "shop"
    run(UV, "run", "--quiet", "python", "-c", ENQUEUE, cwd=shop)
    queue = shop / "data" / "queue"
    assert len(list(queue.glob("*.msg"))) == 3

    told = run(*UPDATE, cwd=shop).stdout
    assert "database comes too" in told
    assert "uv run poe migrate" in told
    assert "DATABASE_URL=" in (shop / ".env").read_text()
    commit(shop)
    assert "up jobs_0001" in run(UV, "run", "poe", "migrate", cwd=shop).stdout
    run(COMMAND, "validate", "--only", "migrations", "--only", "worker", "--only", "boot", cwd=shop)

    log = tmp_path / "log"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [UV, "run", "poe", "worker"], cwd=shop, env=clean_environment(), stdout=output
        )
    try:
        until(lambda: not list(queue.glob("*.msg")) and "gone" in log.read_text(), "it waits")
    finally:
        worker.terminate()
        worker.wait()
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    dropped = {
        line["task"] for line in lines if "of an earlier version was dropped" in line["event"]
    }
    assert dropped == {"shop.worker.tasks.take_steps", "shop.worker.tasks.measure_backlog"}
    assert "a message of an unknown task" in {line["event"] for line in lines}
    assert "hunter2" not in log.read_text()

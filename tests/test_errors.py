"""Errors name the real cause, whatever becomes of the output, and nothing is left behind."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import pexpect
import psutil
import pytest

from conftest import (
    COMMAND,
    Required,
    Run,
    can_mount,
    clean_environment,
    copy_template,
    on_terminal,
    repository,
    run,
)
from shop import commit, edit, failure, status

CREATE = ("create", "orders-api", "--yes", "--no-lock", "--no-git")
CLOSED = ("<&-", ">&-", "2>&-")


@pytest.fixture
def in_shell(shop: Path, versions: Path, tmp_path: Path) -> Callable[[str], tuple[int, str, str]]:
    """A line of bash with `$NS` for the command; exit code, stdout and stderr of it."""

    def call(line: str) -> tuple[int, str, str]:
        ours = {"NEW_SERVICE_TEMPLATE": str(versions), "NS": COMMAND, "SHOP": str(shop)}
        done = run("bash", "-c", line, cwd=tmp_path, env=ours, check=False)
        return done.returncode, done.stdout, done.stderr

    return call


Shell = Callable[[str], tuple[int, str, str]]
EVERY_COMMAND = (
    "--help",
    "modules",
    "smoke --list",
    "status $SHOP",
    "validate $SHOP --only residue",
    "update --dry-run --project $SHOP --no-lock --no-check",
    " ".join(CREATE),
)


def test_any_stream_may_be_closed(in_shell: Shell) -> None:
    for count in range(4):
        for closed in combinations(CLOSED, count):
            code, said, complaint = in_shell(f"$NS --version {' '.join(closed)}")
            assert (code, complaint) == (0, "")
            assert bool(said) == (">&-" not in closed)


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_every_command_works_without_streams(command: str, in_shell: Shell) -> None:
    assert in_shell(f"$NS {command} <&- >&- 2>&-") == (0, "", "")


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_output_that_nobody_reads_does_not_stop_the_work(
    command: str, in_shell: Shell, tmp_path: Path
) -> None:
    code, _, complaint = in_shell(f"set -o pipefail; $NS {command} | true")

    assert (code, complaint) == (141, "")
    assert (tmp_path / "orders-api" / "pyproject.toml").is_file() == command.startswith("create o")


@pytest.mark.parametrize("command", ["--help", " ".join(CREATE)])
def test_output_that_cannot_be_written_is_told_after_the_work(
    command: str, in_shell: Shell, tmp_path: Path
) -> None:
    code, _, complaint = in_shell(f"$NS {command} > /dev/full")

    assert code == 2
    assert complaint.startswith("error: the output could not be written: No space left on device.")
    assert "the work itself is complete" in complaint
    assert (tmp_path / "orders-api" / "pyproject.toml").is_file() == command.startswith("create o")


def test_progress_that_cannot_be_written_is_nobodys_business(in_shell: Shell) -> None:
    code, said, _ = in_shell(f"$NS {' '.join(CREATE)} --json 2> /dev/full")

    assert code == 0
    assert json.loads(said)["package"] == "orders_api"


def test_the_first_line_of_a_document_is_enough(in_shell: Shell, tmp_path: Path) -> None:
    code, said, complaint = in_shell(f"set -o pipefail; $NS {' '.join(CREATE)} --json | head -1")

    assert code in {0, 141}  # all of it may be in the pipe already
    assert said == "{\n"
    assert "error" not in complaint
    assert [each.name for each in tmp_path.iterdir() if "orders-api" in each.name] == ["orders-api"]


def test_an_answer_of_no_is_not_hidden_by_a_reader_that_has_gone(in_shell: Shell) -> None:
    assert in_shell("set -o pipefail; $NS status $SHOP --check | true")[0] == 1


def test_a_pipe_that_does_not_wait_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)  # less than the document
    process = subprocess.Popen(
        [COMMAND, "smoke", "--list", "--strength", "all", "--json"],
        stdout=writing, env=clean_environment(),
    )  # fmt: skip
    os.close(writing)
    with os.fdopen(reading) as pipe:
        assert json.load(pipe)
    assert process.wait() == 0


@pytest.mark.parametrize("variables", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}])
def test_any_encoding_will_do(variables: dict[str, str], shop: Path) -> None:
    (shop / "README.md").write_text("{{ für }}\n")
    (shop / "ü.rej").touch()
    for command in ("--help", "modules", "status", "validate --only residue"):
        assert run(COMMAND, *command.split(), cwd=shop, env=variables, check=False).stdout
    document = json.loads(run(COMMAND, "status", "--json", cwd=shop, env=variables).stdout)

    assert "ü.rej" in document["services"][0]["leftovers"]


def test_a_terminal_that_can_only_print_lines(tmp_path: Path, versions: Path) -> None:
    env = {"TERM": "dumb", "NEW_SERVICE_TEMPLATE": str(versions)}
    said = ""
    for command in (("create", "orders-api"), CREATE):
        process = on_terminal(*command, cwd=tmp_path, env=env, colours=True)
        process.expect(pexpect.EOF)
        said += process.before or ""

    assert "error: this terminal shows no prompts (TERM=dumb); not answered: " in said
    assert "cd orders-api" in said
    assert "\033" not in said


BUG = """
import sys
from new_service import cli
from new_service.commands import modules

def fail(report):
    raise KeyError("clone of https://me:hunter2@host.example/x.git?token=hunter3 for hunter4")
modules.list_modules = fail
cli.main()
"""


def test_a_bug_is_two_lines_and_a_report(tmp_path: Path) -> None:
    env = {"TMPDIR": str(tmp_path), "SECRET_OF_MINE": "hunter5"}
    done = run(sys.executable, "-c", BUG, "modules", env=env, check=False)
    told = failure(done, 70)
    (path,) = tmp_path.iterdir()
    report = path.read_text("utf-8")

    assert told.startswith("error: a bug in new-service: KeyError: ")
    assert str(path) in told
    assert path.stat().st_mode & 0o777 == 0o600
    assert "command: new-service modules\n" in report
    for name in ("new-service", "copier", "git", "uv", "Python", "platform"):
        assert f"\n{name}: " in report
    assert "KeyError: 'clone of https://host.example/x.git for hunter4'" in report
    assert "hunter2" not in report + told
    assert "hunter3" not in report + told
    assert "SECRET_OF_MINE" not in report
    assert "hunter5" not in report


def test_a_report_holds_no_answers(tmp_path: Path) -> None:
    bug = (
        BUG.replace("modules.list_modules", "create.create")
        .replace("import modules", "import create")
        .replace("def fail(report)", "def fail(*_)")
    )
    data = ("--data", "description=hunter4", "--data=service_name=it's hunter6")
    done = run(
        sys.executable, "-c", bug, "create", *data, env={"TMPDIR": str(tmp_path)}, check=False
    )
    failure(done, 70)
    report = next(tmp_path.iterdir()).read_text("utf-8")

    assert "create --data 'description=***' '--data=service_name=***'\n" in report
    assert "hunter" not in report


def test_a_bug_whose_report_cannot_be_written() -> None:
    nowhere = "import tempfile; tempfile.tempdir = '/proc/nowhere'\n" + BUG
    told = failure(run(sys.executable, "-c", nowhere, "modules", check=False), 70)

    assert "error: a bug in new-service: KeyError" in told
    assert "no report could be written (/proc/nowhere/" in told


def another(shop: Path, tmp_path: Path) -> Path:
    """A service like `shop` with other answers, which is looked at in another process."""
    folder = Path(shutil.copytree(shop, tmp_path / "another"))
    edit(folder / ".copier-answers.yml", "description: ", "description: Another ")
    return folder


def test_a_bug_in_a_process_of_many(shop: Path, tmp_path: Path) -> None:
    bug = (
        "from new_service import cli\n"
        "from new_service.service import drift\n"
        "def _compare(*_): raise KeyError('here')\n"
        "drift._compare = _compare\n"
        "cli.main()\n"
    )
    (tmp_path / "tmp").mkdir()
    env = {"TMPDIR": str(tmp_path / "tmp")}
    done = run(
        sys.executable, "-c", bug, "status", shop, another(shop, tmp_path), env=env, check=False
    )

    assert "KeyError: 'here'" in failure(done, 70)
    (report,) = (tmp_path / "tmp").iterdir()
    assert "in _compare" in report.read_text()


def test_a_bug_in_a_thread_ends_the_other_checks(shop: Path, tmp_path: Path) -> None:
    bug = (
        "from new_service import cli\n"
        "from new_service.service import checks\n"
        "def residue(*_): raise KeyError('here')\n"
        "checks.CHEAP['residue'] = residue\n"
        "cli.main()\n"
    )
    done = run(
        sys.executable, "-c", bug, "validate", "--only", "residue", cwd=shop,
        env={"TMPDIR": str(tmp_path)}, check=False,
    )  # fmt: skip

    assert "KeyError: 'here'" in failure(done, 70)


def test_the_traceback_is_shown_to_who_asks_for_it(tmp_path: Path) -> None:
    env = {"TMPDIR": str(tmp_path), "NEW_SERVICE_DEBUG": "1"}
    said = run(sys.executable, "-c", BUG, "modules", env=env, check=False).stderr

    assert said.startswith("Traceback (most recent call last):\n")
    assert said.splitlines()[-2].startswith("error: a bug in new-service")


@pytest.fixture
def clash(shop: Path, change: Run) -> Callable[..., str]:
    """What a command says where the owner has put a folder for a file, or a file for a folder."""

    def call(path: str, *command: str, folder: bool) -> str:
        there = shop / path
        if there.is_dir():
            shutil.rmtree(there)
        else:
            there.unlink(missing_ok=True)
        if folder:
            there.mkdir(parents=True)
            (there / "mine.txt").touch()
        else:
            there.touch()
        commit(shop)
        said = failure(change(*command, check=False), 2)
        assert status(shop) == []
        return said

    return call


def test_a_folder_where_the_template_has_a_file(clash: Callable[..., str], shop: Path) -> None:
    words = " is a folder, and the template has a file of that name.\n"
    path = "src/shop/database/session.py"

    assert f"error: {path}{words}" in clash(path, "add", "database", folder=True)
    shutil.rmtree(shop / path)
    assert f"error: README.md{words}" in clash("README.md", "update", folder=True)


def test_a_file_where_the_template_has_a_folder(clash: Callable[..., str]) -> None:
    words = " is a file, and the template has a folder of that name.\n"

    for path, command in (("src/shop/database", "add database"), ("src/shop/docs", "update")):
        assert f"error: {path}{words}" in clash(path, *command.split(), folder=False)


def broken(tmp_path: Path, file: str, text: str) -> Path:
    """The template with a text at the end of a file."""
    folder = copy_template(tmp_path / "broken")
    with (folder / file).open("a") as opened:
        opened.write(text)
    return repository(folder)


@pytest.mark.parametrize(
    "text", ["{{ 1 / 0 }}", "{{ 1 + 'a' }}", "{{ 'a' | int(base=99) }}{{ [][0].x }}"]
)
def test_a_fault_of_the_template_is_not_blamed_on_an_answer(text: str, tmp_path: Path) -> None:
    template = broken(tmp_path, "template/README.md.jinja", text)
    refused = run(COMMAND, *CREATE, "--template", template, cwd=tmp_path, check=False)

    assert "the template cannot be rendered: " in failure(refused, 4)


def test_a_fault_in_a_question_is_not_blamed_on_an_answer(tmp_path: Path) -> None:
    template = broken(tmp_path, "copier.yml", "\nport: {type: int, default: \"{{ 1 + 'a' }}\"}\n")
    refused = run(COMMAND, *CREATE, "--template", template, cwd=tmp_path, check=False)

    assert "the template cannot be rendered: " in failure(refused, 4)


def test_what_is_wrong_inside_of_us_is_not_blamed_on_an_answer(
    template: Path, tmp_path: Path
) -> None:
    bug = (
        "import copier\n"
        "from new_service import cli\n"
        "copier.run_copy = lambda path: None\n"
        "cli.main()\n"
    )
    done = run(
        sys.executable, "-c", bug, *CREATE, "--template", template, cwd=tmp_path,
        env={"TMPDIR": str(tmp_path)}, check=False,
    )  # fmt: skip

    assert "a bug in new-service: TypeError: " in failure(done, 70)


FULL = """
mkdir "$1/full" && mount -t tmpfs -o size="$2" none "$1/full" && shift 2
"$@"; code=$?; ls -A "$TMPDIR" >&2; exit $code
"""


@pytest.mark.parametrize("room", ["40k", "1m", "2m"])
def test_a_full_folder_for_temporary_files(
    room: str, template: Path, tmp_path: Path, required: Required
) -> None:
    unshare = required.program("unshare", "apt-get install util-linux")
    required.of(can_mount(unshare), "mounting in a namespace of one's own is not allowed here")
    refused = run(
        *(unshare, "-rm", "sh", "-c", FULL, "sh", tmp_path, room),
        *(COMMAND, *CREATE, "--template", template),
        cwd=tmp_path, env={"TMPDIR": str(tmp_path / "full")}, check=False,
    )  # fmt: skip
    told = failure(refused, 2)

    assert "No space left on device" in told or "Out of diskspace" in told
    assert "hint: make room" in told
    assert "TMPDIR" in told or str(tmp_path / "full") in told


def test_a_folder_for_temporary_files_that_is_not_there(tmp_path: Path) -> None:
    assert run(COMMAND, "modules", env={"TMPDIR": str(tmp_path / "nowhere")}).stdout


def test_a_folder_that_cannot_be_written_is_named(template: Path, tmp_path: Path) -> None:
    command = (*CREATE, "--template", template, "--output-dir", "/proc")
    told = failure(run(COMMAND, *command, cwd=tmp_path, check=False), 2)

    assert told.startswith("error: /proc/.new-service-")


@pytest.fixture
def started(template: Path, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts a `create` that waits for an index which never answers, and returns meanwhile."""
    for name in ("out", "tmp"):
        (tmp_path / name).mkdir()
    processes, connections = [], []
    with socket.socket() as index:
        index.bind(("127.0.0.1", 0))
        index.listen()
        environment = clean_environment() | {
            "UV_DEFAULT_INDEX": f"http://127.0.0.1:{index.getsockname()[1]}/",
            "UV_CACHE_DIR": str(tmp_path / "cache"),
            "TMPDIR": str(tmp_path / "tmp"),
        }

        def start() -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [COMMAND, "create", "waiting", "--yes", "--template", template],
                cwd=tmp_path / "out",
                env=environment,
                start_new_session=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            processes.append(process)
            connections.append(index.accept()[0])
            return process

        yield start
    for connection in connections:
        connection.close()
    for process in processes:
        process.kill()
        process.wait()


def environments(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "out").glob(".new-service-*/service/.env"))


def test_what_a_killed_process_left_is_removed_by_the_next(
    started: Callable[[], subprocess.Popen[str]], new_service: Run, tmp_path: Path
) -> None:
    process = started()
    assert len(environments(tmp_path)) == 1
    assert list((tmp_path / "tmp").glob("new-service-*"))
    process.kill()
    process.wait()
    assert len(environments(tmp_path)) == 1
    new_service(*CREATE, cwd=tmp_path / "out", env={"TMPDIR": str(tmp_path / "tmp")})

    assert [each.name for each in (tmp_path / "out").iterdir()] == ["orders-api"]
    assert list((tmp_path / "tmp").glob("new-service-*")) == []


def test_what_a_running_process_has_stays(
    started: Callable[[], subprocess.Popen[str]], new_service: Run, tmp_path: Path
) -> None:
    process = started()
    before = environments(tmp_path), sorted((tmp_path / "tmp").glob("new-service-*"))
    new_service(*CREATE, cwd=tmp_path / "out", env={"TMPDIR": str(tmp_path / "tmp")})

    assert process.poll() is None
    assert before == (environments(tmp_path), sorted((tmp_path / "tmp").glob("new-service-*")))


def test_folders_of_others_stay(new_service: Run, tmp_path: Path) -> None:
    """They have our names, and one has no lock; one is a link; one is another user's."""
    scratch, elsewhere = tmp_path / "tmp", tmp_path / "elsewhere"
    for folder in (scratch / "new-service-template", elsewhere, scratch / "new-service-other"):
        folder.mkdir(parents=True)
        (folder / "mine.txt").touch()
    (elsewhere / ".new-service-lock").touch()
    (scratch / "new-service-linked").symlink_to(elsewhere)
    (scratch / "new-service-file").touch()
    (scratch / "new-service-other" / ".new-service-lock").symlink_to(tmp_path / "made by us")
    before = sorted(tmp_path.rglob("*"))
    new_service("modules", env={"TMPDIR": str(scratch)})

    assert sorted(tmp_path.rglob("*")) == before


def test_folders_of_other_users_stay(new_service: Run, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    other = tmp_path / "tmp" / "new-service-other"
    other.mkdir(parents=True)
    (other / ".new-service-lock").touch()
    os.chown(other, 1, 1)
    new_service("modules", env={"TMPDIR": str(tmp_path / "tmp")})

    assert (other / ".new-service-lock").exists()


MANY = """
import sys
from pathlib import Path
from new_service.system.places import place

for number in range(200):
    with place(Path(sys.argv[1])) as folder:
        (folder / "mine.txt").touch()
        assert (folder / "mine.txt").exists()
"""


def test_many_at_once_keep_their_folders(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MANY, str(tmp_path)]
    processes = [subprocess.Popen(command) for _ in range(4)]

    assert [process.wait() for process in processes] == [0] * 4
    assert list(tmp_path.iterdir()) == []


def test_processes_of_a_killed_status_end(shop: Path, tmp_path: Path) -> None:
    script = (
        "import time\n"
        "from multiprocessing import parent_process\n"
        "from new_service import cli\n"
        "from new_service.service import drift\n"
        "drift._compare = lambda *_: parent_process() and time.sleep(600) or drift.Drift()\n"
        "cli.main()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, "status", shop, another(shop, tmp_path)],
        env=clean_environment(), stdout=subprocess.DEVNULL,
    )  # fmt: skip
    watched = psutil.Process(process.pid)
    workers: list[psutil.Process] = []
    while not workers:
        assert process.poll() is None
        time.sleep(0.05)
        workers = [each for each in watched.children() if each.name() == watched.name()]
    process.kill()
    process.wait()

    assert psutil.wait_procs(workers, timeout=60)[1] == []

"""What the tests share: the command as users run it, the template as a repository, a service."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pexpect
import pytest
from copier import run_copy
from playwright.sync_api import Browser, sync_playwright

import known
from new_service.combining.combinations import Combination, combine
from new_service.combining.combinations import name as id_of
from new_service.template import configuration
from new_service.template.questions import Questions
from new_service.template.rendering import compile_once

pytest_plugins = ["shop"]
# What is added to the template and to a service, and what drives one.
collect_ignore = ["metrics", "trials", "clients"]

ROOT = Path(__file__).parents[1]
MODULES = known.of_template(ROOT / "template")
COMMAND = str(Path(sys.executable).with_name("new-service"))
# A background job of a shell ignores interrupts, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
UV = str(Path(sys.executable).with_name("uv"))  # the wheel that new-service depends on
Found = TypeVar("Found")
CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-all",
        action="store_true",
        help="fail where a test would skip for something that is not installed",
    )
    parser.addoption(
        "--whole-series",
        action="store_true",
        help="run series of kills, jobs and requests in full, which are shortened by default",
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of a group on one worker; pytest-xdist 3.8 does so before pytest 9.2 alone.

    Tests that are marked `whole_series` belong to that alone.
    """
    if not config.getoption("--whole-series"):
        long = [item for item in items if item.get_closest_marker("whole_series")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
    if hasattr(config, "workerinput"):
        for item in items:
            for mark in item.iter_markers("xdist_group"):
                item._id = item._id.parse(f"{item.nodeid}@{mark.args[0]}")


@dataclass(frozen=True)
class Required:
    """Skips a test for what is not installed, or fails it under --require-all."""

    strict: bool

    def program(self, name: str, install: str) -> str:
        """The path of a program; `install` says how to get it."""
        return self.of(shutil.which(name), f"{name} is not installed: {install}")

    def of(self, found: Found | None, reason: str) -> Found:
        """`found`, or a skip with `reason`."""
        if found is None:
            if self.strict:
                pytest.fail(reason)
            pytest.skip(reason)
        return found


@pytest.fixture(scope="session")
def whole_series(pytestconfig: pytest.Config) -> bool:
    """Whether series run in full."""
    return bool(pytestconfig.getoption("--whole-series"))


@pytest.fixture(scope="session")
def required(pytestconfig: pytest.Config) -> Required:
    return Required(strict=bool(pytestconfig.getoption("--require-all")))


Run = Callable[..., subprocess.CompletedProcess[str]]


def run(
    *command: str | Path,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a command without a terminal; `env` is added to the environment."""
    done = subprocess.run(
        [str(each) for each in command],
        cwd=cwd,
        env=clean_environment() | (env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if check:
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def clean_environment() -> dict[str, str]:
    """The environment without the settings that would change what the tool does."""
    settings = ("APP_", "TEST_", *(each.prefix for each in MODULES.values() if each.prefix))
    ours = ("NEW_SERVICE_", "COPIER_", "GIT_", "VIRTUAL_ENV", *settings)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {"NO_COLOR": "1", "UV_PYTHON_DOWNLOADS": "never"}


def on_terminal(
    *arguments: str,
    cwd: Path,
    env: dict[str, str] | None = None,
    colours: bool = False,
    rows: int = 40,
) -> pexpect.spawn[str]:
    """The command in a terminal of 80 columns; `env` is added to the environment."""
    environment = clean_environment() | {"TERM": "xterm"} | (env or {})
    if colours:
        del environment["NO_COLOR"]
    return pexpect.spawn(
        COMMAND, list(arguments), cwd=cwd, env=environment, encoding="utf-8", timeout=60,
        dimensions=(rows, 80),
    )  # fmt: skip


@pytest.fixture
def new_service(tmp_path: Path, template: Path) -> Run:
    """The command, run in `tmp_path`, with the template of this working tree."""

    def call(
        *arguments: str | Path,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        ours = {"NEW_SERVICE_TEMPLATE": str(template)} | (env or {})
        return run(COMMAND, *arguments, cwd=cwd or tmp_path, env=ours, check=check)

    return call


def repository(folder: Path, *, tag: str | None = None) -> Path:
    """Commit all that is in `folder`, as a repository of its own."""
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false")
    if not (folder / ".git").exists():
        run(*git, "init", "--quiet", "--initial-branch=main", cwd=folder)
    run(*git, "add", "--all", "--force", cwd=folder)
    run(*git, "commit", "--quiet", "--message", "A version", cwd=folder)
    if tag is not None:
        run(*git, "tag", tag, cwd=folder)
    return folder


def clone_of_this(folder: Path) -> Path:
    """This repository as a fresh clone in `folder`, with what is not committed yet."""
    run("git", "clone", "--quiet", ROOT, folder)
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    if run("git", "status", "--porcelain", cwd=folder).stdout:
        repository(folder)
    return folder


def copy_template(folder: Path, template: Path = ROOT) -> Path:
    """The template of this working tree, uncommitted changes included, without its history."""
    folder.mkdir(parents=True)
    shutil.copy(template / "copier.yml", folder)
    shutil.copytree(
        template / "template",
        folder / "template",
        ignore=shutil.ignore_patterns("__pycache__", ".*_cache"),
    )
    return folder


def combinations(strength: str) -> list[Combination]:
    """Combinations of this template's answers."""
    return combine(questions_of(ROOT), strength)


def questions_of(template: Path) -> Questions:
    """What a template asks that is not committed."""
    config = configuration.read((template / "copier.yml").read_text("utf-8"), template)
    return Questions.from_config(config, template)


def of_all_modules() -> Iterator[Combination]:
    """Every choice of modules and what they ask, its Python and pipeline another each time.

    The Python stands in few lines, and every pipeline is judged in test_pipelines.py.
    """
    everything = combinations("all")
    rest = itertools.cycle(
        dict.fromkeys((each["python_version"], each["ci"]) for each in everything)
    )
    seen: set[str] = set()
    for each in everything:
        modules = {
            key: answer for key, answer in each.items() if key not in ("python_version", "ci")
        }
        if json.dumps(modules) not in seen:
            seen.add(json.dumps(modules))
            python, ci = next(rest)
            yield {"python_version": python, "ci": ci, **modules}


@pytest.fixture(scope="session")
def every_choice_of_modules(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Combination]:
    """A folder for each choice of modules and what they ask, rendered alone. Not to be changed.

    Tests that use it belong to the xdist group `every combination`.
    """
    compile_once()
    folder = tmp_path_factory.mktemp("services")
    template = copy_template(tmp_path_factory.mktemp("template") / "t")
    made = {folder / id_of(answers): answers for answers in of_all_modules()}
    for service, answers in made.items():
        data = {"service_name": "shop"} | answers
        run_copy(str(template), service, data, defaults=True, quiet=True)
    return made


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as a repository with one release, 1.0.0."""
    return repository(copy_template(tmp_path_factory.mktemp("template") / "t"), tag="v1.0.0")


@pytest.fixture(scope="session")
def service(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service as `create --yes` leaves it, its environment installed. Not to be changed."""
    folder = tmp_path_factory.mktemp("service")
    run(COMMAND, "create", "orders-api", "--yes", "--template", template, cwd=folder)
    run(UV, "sync", "--quiet", cwd=folder / "orders-api")
    return folder / "orders-api"


@pytest.fixture
def edited(service: Path, tmp_path: Path) -> Path:
    """A copy of the service to change as its owner would; installed anew by whatever runs it."""
    copied = tmp_path / "orders-api"
    shutil.copytree(service, copied, symlinks=True, ignore=shutil.ignore_patterns(".venv"))
    return copied


@pytest.fixture(scope="session")
def copier_template_paths() -> list[str]:
    """What pytest-copier copies; the whole folder would bring its `.git` along."""
    return ["copier.yml", "template"]


@pytest.fixture(scope="module")
def address(service: Path) -> Iterator[str]:
    """Where the service is served for the tests of a module, by a real server."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        python = service / ".venv" / "bin" / "python"
        server = subprocess.Popen(
            [python, "-m", "uvicorn", "orders_api.main:app", "--fd", str(listener.fileno())],
            cwd=service,
            env=clean_environment() | {"APP_LOG_FORMAT": "json"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
        )
    try:
        # The request waits in the socket until the server takes it.
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health/live", timeout=60).close()
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def browser(required: Required) -> Iterator[Browser]:
    """A real one, without a window."""
    path = required.program("chromium", "apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM)
        yield browser
        browser.close()


class PostgreSQL:
    """A server of the tests' own, on the loopback."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.programs = programs
        self._made = 0
        # initdb refuses root, whose tests run it as the user of Debian's package.
        self.user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self.user:
            shutil.chown(folder, "postgres")
        run(
            *self.user, programs / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust",
            "--no-sync", "-E", "UTF8", "--locale=C",
        )  # fmt: skip

    def start(self) -> None:
        """Returns as soon as it takes connections."""
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off "
            f"-c unix_socket_directories={self.folder} -c max_connections=200"
        )
        run(
            *self.user, self.programs / "pg_ctl", "-D", self.folder / "data", "-w", "-o", options,
            "-l", self.folder / "log", "start",
        )  # fmt: skip

    def stop(self) -> None:
        """Cuts all connections."""
        run(*self.user, self.programs / "pg_ctl", "-D", self.folder / "data", "-m", "fast", "stop")

    def url(self, database: str) -> str:
        return f"postgresql://postgres:hunter2@127.0.0.1:{self.port}/{database}"

    def ask(self, url: str, statement: str) -> str:
        """The answer to a statement of SQL."""
        return run(self.programs / "psql", url, "-Atc", statement).stdout.strip()

    def new_database(self, template: str = "template1") -> str:
        """The URL of an empty database, or a copy of another."""
        self._made += 1
        self.ask(self.url("postgres"), f"CREATE DATABASE made_{self._made} TEMPLATE {template}")
        return self.url(f"made_{self._made}")

    def databases(self) -> list[str]:
        return self.ask(self.url("postgres"), "SELECT datname FROM pg_database").split()


def find_postgresql() -> Path | None:
    """The folder of PostgreSQL's programs, which Debian does not put on PATH."""
    return max(
        (each.parent for each in Path("/usr/lib/postgresql").glob("*/bin/initdb")), default=None
    )


@pytest.fixture(scope="session")
def postgresql_programs(required: Required) -> Path:
    return required.of(find_postgresql(), "PostgreSQL is not installed: apt-get install postgresql")


def rendered_files(folder: Path) -> dict[str, bytes]:
    """The files of a service by name, but for git's and the lock, which rendering does not make."""
    made_later = {"uv.lock", ".env"}
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
        and not {".git", ".venv"} & set(path.relative_to(folder).parts)
        and path.name not in made_later
    }


@contextmanager
def own_postgresql(programs: Path, inside: Path | None = None) -> Iterator[PostgreSQL]:
    """A running server, outside pytest's folders: those are closed to other users."""
    with tempfile.TemporaryDirectory(prefix="postgresql-", dir=inside) as folder:
        server = PostgreSQL(programs, Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def postgresql(postgresql_programs: Path) -> Iterator[PostgreSQL]:
    """A running server."""
    with own_postgresql(postgresql_programs) as server:
        yield server


# For tests in which one database is like the other.
on_sqlite = pytest.mark.parametrize("url", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("url", ["postgresql"], indirect=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'database.db'}"
    server: PostgreSQL = request.getfixturevalue("postgresql")
    return server.new_database()


def can_mount(unshare: str) -> bool | None:
    """True if a namespace of one's own may mount here."""
    done = run(unshare, "-rm", "mount", "-t", "tmpfs", "none", "/mnt", check=False)
    return True if done.returncode == 0 else None

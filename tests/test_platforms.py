"""Where people work: machines without git or with an old one, macOS, and what Windows can do."""

from __future__ import annotations

import json
import ntpath
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path, PureWindowsPath

import pexpect
import pytest

from conftest import COMMAND, clean_environment, run
from new_service import cli
from new_service.system import places
from new_service.template import addresses
from new_service.template.addresses import Address
from shop import FAST, edit, failure, git, status

NEED_GIT = (
    "create orders-api --yes --no-lock --no-git",
    "add database --project shop",
    "remove database --project shop",
    "update --project shop",
    "status shop",
    "validate shop --only provenance --only residue",
    "smoke --list",
    "modules",
)


def programs(folder: Path, **scripts: str) -> dict[str, str]:
    """A PATH with a few programs, and `scripts` by name."""
    folder.mkdir()
    for name in ("sh", "cat"):
        (folder / name).symlink_to(str(shutil.which(name)))
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return {"PATH": str(folder)}


def options(command: str) -> list[str]:
    fast = FAST if command.startswith(("add", "remove", "update")) else ()
    return [*command.split(), *fast]


@pytest.mark.parametrize("command", NEED_GIT)
def test_without_git_a_program_is_missing(command: str, shop: Path) -> None:
    path = programs(shop.parent / "programs")
    refused = run(COMMAND, *options(command), cwd=shop.parent, env=path, check=False)

    assert failure(refused, 5).startswith("error: git is not installed.\nhint: install git ")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo git version 2.31.8", "git 2.31.8 is too old."),
        ("echo 'git version 1.8.3.1'", "git 1.8.3.1 is too old."),
        ("echo 'no developer tools were found' >&2; exit 1", "no developer tools were found"),
    ],
)
def test_a_git_that_is_too_old_is_told(script: str, words: str, shop: Path) -> None:
    path = programs(shop.parent / "programs", git=script)
    refused = run(COMMAND, "update", *FAST, cwd=shop, env=path, check=False)

    assert words in failure(refused, 5)
    assert "install git 2.32 or newer" in refused.stderr


@pytest.mark.parametrize("version", ["2.45.1.windows.1", "2.39.5 (Apple Git-154)", "2.56.0.rc1"])
def test_a_git_of_any_making_will_do(version: str, shop: Path) -> None:
    git = (
        f'test "$1" = --version && echo "git version {version}" || exec {shutil.which("git")} "$@"'
    )
    path = programs(shop.parent / "programs", git=git)

    run(COMMAND, "status", shop, env=path | {"PATH": f"{path['PATH']}{os.pathsep}/bin"})


# What the wrapper stands on is imported as it is here: how that works elsewhere is its business.
ELSEWHERE = """
import concurrent.futures.process
import os, signal, sys
import copier, platformdirs, psutil, questionary, rich.live, rich.status, typer.rich_utils

def without(module, *names):
    for name in names:
        delattr(module, name)

without(os, "fork", "forkpty", "register_at_fork")
sys.platform = {platform!r}
if sys.platform == "win32":
    for name in ("fcntl", "grp", "pwd", "resource", "termios"):
        sys.modules[name] = None
    without(os, "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "geteuid", "getuid", "killpg", "setsid")
    without(signal, "SIGHUP", "SIGKILL", "pthread_sigmask")
sys.argv[0] = "new-service"
from new_service import cli
for command in {commands!r} or [sys.argv[1:]]:
    sys.argv[1:] = command
    try:
        cli.main()
    except SystemExit as ended:
        print("exit", ended.code, file=sys.stderr) if {commands!r} else sys.exit(ended.code)
"""


@pytest.fixture
def on(template: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command in a process that has no more than a platform has, as far as we ask for it."""

    def call(
        platform: str,
        *arguments: str | Path,
        commands: Sequence[list[str]] = (),
        env: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        script = ELSEWHERE.format(platform=platform, commands=list(commands))
        ours = {"NEW_SERVICE_TEMPLATE": str(template), **(env or {})}
        return run(sys.executable, "-c", script, *arguments, cwd=tmp_path, env=ours, check=False)

    return call


On = Callable[..., subprocess.CompletedProcess[str]]
COMMANDS = {each.callback.__name__ for each in cli.app.registered_commands if each.callback}
ON_WINDOWS = {"create", "modules", "status"}


def test_windows_is_pointed_to_wsl_in_one_line(on: On, tmp_path: Path) -> None:
    refused = sorted(COMMANDS - ON_WINDOWS)
    done = on("win32", commands=[[name, "--json"] for name in refused])

    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        line
        for name in refused
        for line in (
            f"error: new-service {name} needs Linux or macOS: "
            "on Windows, run it in WSL (wsl --install).",
            "exit 2",
        )
    ]
    assert list(tmp_path.iterdir()) == []


def test_help_works_on_windows(on: On) -> None:
    words = [["--help"], ["create", "--help"], ["update", "--help"], ["--version"]]
    done = on("win32", commands=words)

    assert done.stderr.splitlines() == ["exit 0"] * 4
    assert "database" in done.stdout


def test_windows_creates_services_and_looks_at_them(on: On, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    env = {"TMPDIR": str(temporary)}
    made = on("win32", "create", "one", "--yes", "--no-lock", "--json", env=env)
    assert made.returncode == 0, made.stderr
    assert Path(json.loads(made.stdout)["path"]) == tmp_path / "one"
    assert git(tmp_path / "one", "status", "--porcelain") == ""
    on("win32", "create", "two", "--yes", "--no-lock", "--with", "database", env=env)
    with (tmp_path / "two" / "README.md").open("a") as readme:
        readme.write("Ours.\n")

    told = on("win32", "status", "one", "two", "--json", env=env)
    assert told.returncode == 0, told.stderr
    rows = json.loads(told.stdout)["services"]
    assert [row["modified"] for row in rows] == [[], ["README.md"]]
    assert "database" in on("win32", "modules", env=env).stdout
    assert sorted(each.name for each in tmp_path.iterdir()) == ["one", "temporary", "two"]
    assert list(temporary.iterdir()) == []


def test_a_change_under_way_in_wsl_is_left_to_it(on: On, shop: Path) -> None:
    (shop / ".git" / "new-service").mkdir()
    row = json.loads(on("win32", "status", shop, "--json").stdout)["services"][0]

    assert "on Windows, run it in WSL" in row["error"]
    assert (shop / ".git" / "new-service").exists()


def test_the_shell_completes_on_windows(on: On) -> None:
    words = {
        "_NEW_SERVICE_COMPLETE": "complete_zsh",
        "_TYPER_COMPLETE_ARGS": "new-service create --with ",
    }
    done = on("win32", env=words)

    assert "database" in done.stdout


def test_macos_copies_no_process(on: On, shop: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(shop, tmp_path / "other"))
    edit(other / ".copier-answers.yml", "description: ", "description: Another ")
    told = on("darwin", "status", shop, other, "--json")

    assert told.returncode == 0, told.stderr
    rows = json.loads(told.stdout)["services"]
    assert [row["error"] for row in rows] == [None, None]
    assert rows[0]["modified"] == []
    assert "README.md" in rows[1]["modified"]

    changed = on("darwin", "add", "database", *FAST, "--project", shop)
    assert changed.returncode == 0, changed.stderr
    assert "A  src/shop/database/session.py" in status(shop)


ALONE = """
import os, sys, threading
from new_service import cli
os.register_at_fork(before=lambda: print("threads", threading.active_count(), file=sys.stderr))
cli.main()
"""


def test_no_process_is_copied_while_threads_run(shop: Path, tmp_path: Path) -> None:
    folders = [shop]
    for number in range(3):
        folders.append(Path(shutil.copytree(shop, tmp_path / str(number))))
        edit(folders[-1] / ".copier-answers.yml", "description: ", f"description: {number} ")
    environment = clean_environment() | {"TERM": "xterm"}
    del environment["NO_COLOR"]  # on a terminal, a thread shows that something is going on
    script = ["-c", ALONE, "status", *map(str, folders)]
    terminal = pexpect.spawn(sys.executable, script, env=environment, encoding="utf-8", timeout=60)
    said = terminal.read()

    assert set(re.findall(r"threads (\d+)", said)) == {"1"}, said


class OnWindows(PureWindowsPath):
    """A path of Windows, nothing on its disk."""

    def exists(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("given", "url"),
    [
        (r"C:\templates\new service", "C:/templates/new service"),
        ("D:/templates/t", "D:/templates/t"),
        (r"\\server\share\t", "//server/share/t"),
        ("https://git.example.com/t.git", "https://git.example.com/t.git"),
        ("git@git.example.com:team/t.git", "git@git.example.com:team/t.git"),
    ],
)
def test_addresses_on_windows(given: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "Path", OnWindows)
    monkeypatch.setattr(addresses, "resolved", lambda path: path)

    assert Address.of(given).url == url
    assert addresses.recorded_address(url, OnWindows(r"C:\services\shop")) == url  # type: ignore[arg-type]


def test_a_path_on_another_drive_is_told_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "relpath", ntpath.relpath)

    assert places.from_here(PureWindowsPath(r"D:\shop")) == r"D:\shop"  # type: ignore[arg-type]

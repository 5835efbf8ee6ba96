"""Where people work: machines without git or with an old one, macOS, and what Windows can do."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from conftest import COMMAND, run
from shop import FAST, failure

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

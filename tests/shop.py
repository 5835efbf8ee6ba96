"""A service with an owner and a template that moves on, for the tests of what changes it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import COMMAND, Run, copy_template, repository, run

FAST = ("--no-lock", "--no-check")
FLAVOUR = """
flavour:
  type: str
  help: Flavour of the example
  when: "{{ 'example' in modules }}"
  choices: [plain, salty]
  default: plain
"""


@pytest.fixture(scope="session")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template in versions 1.0.0, 1.1.0 and 2.0.0, with real differences."""
    folder = repository(copy_template(tmp_path_factory.mktemp("t") / "template"), tag="v1.0.0")
    files = folder / "template"
    settings = files / "src" / "{{package}}" / "settings.py"
    settings.write_text(settings.read_text() + "\n# The end of the settings.\n")
    (files / "NOTES.md").write_text("Notes.\n")
    repository(folder, tag="v1.1.0")
    (files / "NOTES.md").unlink()
    readme = files / "README.md.jinja"
    readme.write_text(readme.read_text().replace("{{ description_markdown }}", "Another text."))
    (folder / "copier.yml").write_text((folder / "copier.yml").read_text() + FLAVOUR)
    example = files / ".env.example.jinja"
    example.write_text(f"{example.read_text()}\n# Signs.\nSHOP_KEY=  # generate\n")
    (files / "FLAVOUR.md.jinja").write_text("{{ flavour | default('none') }}\n")
    return repository(folder, tag="v2.0.0")


def create(folder: Path, template: Path, version: str, *options: str) -> Path:
    run(
        COMMAND, "create", "shop", "--yes", "--no-lock", "--template", template,
        "--template-version", version, *options, cwd=folder,
    )  # fmt: skip
    return folder / "shop"


@pytest.fixture(scope="session")
def made(versions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service of version 1.0.0 without modules. Not to be changed."""
    return create(tmp_path_factory.mktemp("made"), versions, "1.0.0")


@pytest.fixture
def shop(made: Path, tmp_path: Path) -> Path:
    """A copy of that service."""
    return Path(shutil.copytree(made, tmp_path / "shop"))


@pytest.fixture
def change(shop: Path) -> Run:
    """new-service in the service, without lock and checks."""

    def call(
        *arguments: str, check: bool = True, cwd: Path = shop
    ) -> subprocess.CompletedProcess[str]:
        return run(COMMAND, *arguments, *FAST, cwd=cwd, check=check)

    return call


def git(folder: Path, *arguments: str) -> str:
    return run("git", *arguments, cwd=folder).stdout.strip("\n")


def status(folder: Path) -> list[str]:
    return git(folder, "status", "--porcelain", "--untracked-files=all").splitlines()


def commit(folder: Path) -> None:
    """Commit all that git does not ignore, as an owner does."""
    git(folder, "add", "--all")
    git(folder, "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "--quiet", "-m", "x")


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def failure(done: subprocess.CompletedProcess[str], code: int) -> str:
    """Its error and hint, as one text."""
    assert done.returncode == code, done.stdout + done.stderr
    assert re.fullmatch(r"error: [^\n]+\nhint: [^\n]+\n", done.stderr), done.stderr
    assert done.stdout == ""
    return done.stderr

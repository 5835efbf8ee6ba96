"""Releases: made by one command, carried by their wheels, and updated from one to the next."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from conftest import UV, Required, clone_of_this, run
from shop import FAST, commit, edit, git

pytestmark = pytest.mark.xdist_group("releases")  # one set of wheels
VERSIONS = ("1.0.0", "1.1.0", "1.2.0")
IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "t"), ("EMAIL", "t@localhost"))
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scratch clone of this repository."""
    return clone_of_this(tmp_path_factory.mktemp("release") / "new-service")


def change_template(checkout: Path, version: str) -> None:
    """What is new in a version: lines change, a file comes and goes."""
    files = checkout / "template"
    if version == "1.1.0":
        settings = files / "src" / "{{package}}" / "settings.py"
        settings.write_text(settings.read_text() + "\n# The end of the settings.\n")
        (files / "NOTES.md").write_text("Notes.\n")
    if version == "1.2.0":
        (files / "NOTES.md").unlink()
        edit(files / "README.md.jinja", "{{ description_markdown }}", "Another text.")
    edit(checkout / "CHANGELOG.md", "## [Unreleased]\n", f"## [Unreleased]\n\n- New: {version}.\n")
    commit(checkout)


@pytest.fixture(scope="module")
def tools(
    checkout: Path, required: Required, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The command of each release, from its wheel in an environment of its own."""
    folder = tmp_path_factory.mktemp("tools")
    commands = {}
    for version in VERSIONS:
        change_template(checkout, version)
        made = run("bash", ".ci/release", version, cwd=checkout, env=IDENTITY, check=False)
        reachable = None if "Failed to fetch" in made.stderr else True
        required.of(reachable, "no package index can be reached")
        assert made.returncode == 0, made.stderr
        wheel, told = made.stdout.splitlines()
        assert told == f"publish it: git push origin HEAD v{version}"
        run(UV, "venv", "--quiet", folder / version)
        run(UV, "pip", "install", "--quiet", "--python", folder / version, checkout / wheel)
        commands[version] = folder / version / "bin" / "new-service"
    return commands


def test_services_follow_the_releases_step_by_step_or_at_once(
    tools: dict[str, Path], tmp_path: Path
) -> None:
    first, second, third = tools.values()
    run(first, "create", "shop", "--yes", "--no-lock", cwd=tmp_path)
    step = tmp_path / "shop"
    assert "_commit: v1.0.0" in (step / ".copier-answers.yml").read_text()
    with (step / "README.md").open("a") as readme:
        readme.write("\nOurs.\n")
    commit(step)
    at_once = Path(shutil.copytree(step, tmp_path / "at once"))
    offline = {"UV_OFFLINE": "1", "https_proxy": "http://127.0.0.1:9"}
    run(second, "update", *FAST, cwd=step, env=offline)
    assert (step / "NOTES.md").is_file()
    commit(step)
    run(third, "update", *FAST, cwd=step, env=offline)
    run(third, "update", *FAST, cwd=at_once, env=offline)

    assert git(step, "write-tree") == git(at_once, "write-tree")
    assert "_commit: v1.2.0" in (step / ".copier-answers.yml").read_text()
    assert "Another text." in (step / "README.md").read_text()
    assert "Ours." in (step / "README.md").read_text()
    assert not (step / "NOTES.md").exists()

    commit(step)
    older = run(first, "update", *FAST, cwd=step, check=False)
    assert older.returncode == 4
    assert "has no version v1.2.0" in older.stderr
    assert "upgrade new-service" in older.stderr


@pytest.mark.usefixtures("tools")
def test_a_release_has_its_notes_in_the_changelog(checkout: Path) -> None:
    text = (checkout / "CHANGELOG.md").read_text()

    assert text.index("## [Unreleased]") < text.index("## [1.2.0]") < text.index("## [1.1.0]")
    assert "## [1.1.0]\n\n- New: 1.1.0.\n" in text
    assert git(checkout, "tag", "--list").split() == [f"v{version}" for version in VERSIONS]


def test_a_release_that_cannot_be_built_is_taken_back(checkout: Path, tmp_path: Path) -> None:
    copied = Path(
        shutil.copytree(checkout, tmp_path / "copied", ignore=shutil.ignore_patterns("dist"))
    )
    edit(copied / "pyproject.toml", "[tool.hatch.version]", "[tool.hatch.versions]")
    edit(copied / "CHANGELOG.md", "## [Unreleased]\n", "## [Unreleased]\n\n- New.\n")
    commit(copied)
    before = git(copied, "rev-parse", "HEAD"), git(copied, "tag")
    refused = run("bash", ".ci/release", "9.0.0", cwd=copied, env=IDENTITY, check=False)

    assert refused.returncode == 2
    assert "commit and tag are taken back" in refused.stderr
    assert (git(copied, "rev-parse", "HEAD"), git(copied, "tag")) == before


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("1.2", "is no version"),
        ("1.1.9", "1.1.9 does not come after 1.2.0"),
        ("1.2.0", "1.2.0 does not come after 1.2.0"),
        ("1.3.0", "nothing under Unreleased"),
    ],
)
def test_a_release_that_makes_no_sense_is_refused(version: str, words: str, checkout: Path) -> None:
    refused = run("bash", ".ci/release", version, cwd=checkout, env=IDENTITY, check=False)

    assert refused.returncode == 2
    assert words in refused.stderr
    assert git(checkout, "status", "--porcelain") == ""

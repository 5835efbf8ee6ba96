"""All services that the template can make, by what can be seen without running them."""

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest
import yaml
from copier import run_copy

from conftest import combinations, copy_template, run
from new_service.combinations import Combination, name

# What only services with a module speak of.
WORDS = {
    "database": [
        "sqlalchemy",
        "alembic",
        "sqlite",
        "psycopg",
        "poe migrat",
        "database_(url|pool|connect|statement)",
    ],
    "example": ["/items", "item_", "items_0", "idiom"],
    "auth": ["joserfc", "auth_[a-z]", "/auth", "bearer", "sign_in", "openid", "access token"],
    "accounts": ["pwdlib", "zxcvbn", "accounts", "create-admin", "api key"],
    "oidc": ["oidc", "jwks", "poe provider"],
    "celery": [
        "celery",
        "kombu",
        "poe worker",
        "/jobs",
        "job(?!s:\\n)",
        "rabbitmq",
        "amqp",
        "heartbeat",
    ],
    "docker": ["docker", "compose", "hadolint", "container", "_password="],
}
# Celery keeps results in SQLite, or where the owner says.
CELERY_HAS_TOO = ["sqlalchemy", "sqlite", "psycopg"]
PYTHONS = ("3.11", "3.12", "3.13", "3.14", "3.15")
RUFF = Path(sys.executable).with_name("ruff")


def of_all_modules() -> Iterator[Combination]:
    """Every choice of modules and what they ask, its Python and pipeline another each time.

    The Python stands in few lines, and every pipeline is judged in test_pipelines.py.
    """
    rest = cycle((python, ci) for python in PYTHONS for ci in ("github", "gitlab", "none", "none"))
    seen: set[str] = set()
    for each in combinations("all"):
        modules = {
            key: answer for key, answer in each.items() if key not in ("python_version", "ci")
        }
        if json.dumps(modules) not in seen:
            seen.add(json.dumps(modules))
            python, ci = next(rest)
            yield {"python_version": python, "ci": ci, **modules}


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Combination]:
    """A folder for each."""
    folder = tmp_path_factory.mktemp("services")
    template = copy_template(tmp_path_factory.mktemp("template") / "t")
    made = {folder / name(answers): answers for answers in of_all_modules()}
    for service, answers in made.items():
        data = {"service_name": "shop"} | answers
        run_copy(str(template), service, data, defaults=True, quiet=True)
    return made


def texts(service: Path) -> Iterator[tuple[str, str]]:
    """The name of each file, and what it holds."""
    for path in service.rglob("*"):
        if path.is_file():
            yield path.relative_to(service).as_posix(), path.read_text("utf-8")


@pytest.mark.xdist_group("every combination")
def test_all_are_formatted_and_linted_for_every_python(services: dict[Path, Combination]) -> None:
    (folder,) = {service.parent for service in services}
    for python in PYTHONS:
        target = f"--target-version=py{python.replace('.', '')}"
        run(RUFF, "format", "--no-cache", "--check", target, folder)
        run(RUFF, "check", "--no-cache", target, folder)


@pytest.mark.xdist_group("every combination")
def test_none_speaks_of_what_it_lacks(services: dict[Path, Combination]) -> None:
    for service, answers in services.items():
        modules = answers["modules"]
        assert isinstance(modules, list)
        chosen = {*modules, answers.get("auth_provider")}
        absent = {word for module in WORDS.keys() - chosen for word in WORDS[module]}
        absent -= set(CELERY_HAS_TOO if "celery" in chosen else [])
        # A word may be part of another one.
        speaks = re.compile(rf"\b({'|'.join(sorted(absent))})")
        for file, text in texts(service):
            found = speaks.search(f"{file}\n{text}".lower()) if absent else None
            assert not found or file.endswith((".js", ".css")), (service.name, file, found)


@pytest.mark.xdist_group("every combination")
def test_what_programs_read_can_be_read(services: dict[Path, Combination]) -> None:
    for service in services:
        for file, text in texts(service):
            where = f"{service.name}: {file}"
            assert text.endswith("\n") or not text, where
            assert "\n\n\n\n" not in text, where
            if file.endswith(".toml"):
                tomllib.loads(text)
            elif file.endswith((".yaml", ".yml")) and file != ".gitlab-ci.yml":  # it has tags
                yaml.safe_load(text)
            elif file.endswith(".json"):
                json.loads(text)

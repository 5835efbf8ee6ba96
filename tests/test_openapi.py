"""The description of a service: what generated clients make of it, and what keeps it up to date."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from conftest import ROOT, UV, Required, Run, run
from pipelines import CACHE
from running import create, poe, served
from shop import commit, edit

pytestmark = pytest.mark.xdist_group("openapi")  # one service, served once
PYTHON_CLIENT = "openapi-python-client==0.29.1"
TYPESCRIPT_CLIENT = "@hey-api/openapi-ts@0.99.0"
CLIENTS = ROOT / "tests" / "clients"
EMAIL, PASSWORD = "ada@example.com", "a difference engine"
Json = dict[str, Any]


@pytest.fixture(scope="module")
def full(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service with all modules, its description written. Not to be changed."""
    folder = tmp_path_factory.mktemp("full")
    service = create(folder, template, "shop", "--preset", "full", "--no-git")
    poe(service, "openapi")
    return service


@pytest.fixture(scope="module")
def description(full: Path) -> Json:
    content: Json = json.loads((full / "openapi.json").read_text())
    return content


def operations(description: Json) -> Iterator[tuple[str, Json]]:
    """Each by its method and path."""
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


@pytest.fixture
def edited(full: Path, tmp_path: Path) -> Path:
    """A copy of the service to change, run in the environment of `full`."""
    ignore = shutil.ignore_patterns(".venv", ".git")
    copied = Path(shutil.copytree(full, tmp_path / "shop", ignore=ignore))
    (copied / ".venv").symlink_to(full / ".venv")
    return copied


def task(service: Path, name: str, *, check: bool = True, **settings: str) -> str:
    """A task of an edited service; what it says."""
    programs = service / ".venv" / "bin"
    own = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(service / "src"),  # comes before that of `full`
    }
    done = run(programs / "poe", "-q", name, cwd=service, env=own | settings, check=check)
    assert done.returncode == (0 if check else 1)
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def address(full: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the service is served, with the account of EMAIL, who may do everything."""
    folder = tmp_path_factory.mktemp("state")
    settings = {
        "DATABASE_URL": f"sqlite:///{folder / 'database.db'}",
        "CELERY_BROKER_URL": f"filesystem:///{folder / 'queue'}",
    }
    poe(full, "migrate", **settings)
    with served(full, **settings) as client:
        given = {"email": EMAIL, "password": PASSWORD}
        assert client.post("/api/v1/auth/register", json=given).status_code == 202
        poe(full, "grant", EMAIL, "items:write", "jobs:read", "jobs:write", **settings)
        yield str(client.base_url)


def test_a_generated_python_client_drives_the_service(
    full: Path, address: str, tmp_path: Path
) -> None:
    # It knows no JSON Lines unless it is told.
    config = {"content_type_overrides": {"application/jsonl": "text/plain"}, "post_hooks": []}
    (tmp_path / "config.json").write_text(json.dumps(config))
    shutil.copy(CLIENTS / "drive.py", tmp_path)
    own = (UV, "run", "--quiet", "--no-project", "--with", PYTHON_CLIENT)

    run(
        *own, "openapi-python-client", "generate", "--path", full / "openapi.json",
        "--meta", "none", "--output-path", "shop_client", "--config", "config.json",
        "--fail-on-warning", cwd=tmp_path,
    )  # fmt: skip
    done = run(*own, "python", "drive.py", address, EMAIL, PASSWORD, cwd=tmp_path)

    assert done.stdout == "driven\n"


def test_a_generated_typescript_client_drives_the_service(
    full: Path, address: str, tmp_path: Path, required: Required
) -> None:
    modules = CACHE / "node" / TYPESCRIPT_CLIENT / "node_modules"
    programs = modules / ".bin"
    found = programs if (programs / "openapi-ts").exists() else None
    required.of(found, f"{TYPESCRIPT_CLIENT} is not there: bash .ci/run")
    env = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    shutil.copy(CLIENTS / "drive.ts", tmp_path)

    run("openapi-ts", "-i", full / "openapi.json", "-o", "client", cwd=tmp_path, env=env)
    run("tsc", "--strict", "--module", "commonjs", "--target", "es2022", "drive.ts",
        cwd=tmp_path, env=env)  # fmt: skip
    done = run("node", "drive.js", address, EMAIL, PASSWORD, cwd=tmp_path, env=env)

    assert done.stdout == "driven\n"


def test_the_description_is_valid_and_tells_what_everything_is_for(description: Json) -> None:
    assert description["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(description).validate()
    tags = {tag["name"] for tag in description["tags"] if tag["description"]}
    for _, operation in operations(description):
        assert operation["description"], operation["operationId"]
        assert operation["tags"], operation["operationId"]
        assert tags.issuperset(operation["tags"]), operation["operationId"]


def test_operation_ids_are_short(description: Json) -> None:
    ids = {name: operation["operationId"] for name, operation in operations(description)}

    assert ids["POST /api/v1/items"] == "create_item"
    assert len(set(ids.values())) == len(ids)
    assert [each for each in ids.values() if not re.fullmatch(r"[a-z]+(_[a-z]+){0,2}", each)] == []


def test_problems_are_one_component_with_correct_examples(description: Json) -> None:
    problem = description["components"]["schemas"]["Problem"]
    (example,) = problem["examples"]
    assert HTTPStatus(example["status"]).phrase == example["title"]
    assert set(problem["required"]) <= example.keys() <= problem["properties"].keys()
    for name, operation in operations(description):
        answers = operation["responses"]
        assert set(answers["default"]["content"]) == {"application/problem+json"}, name
        for status, answer in answers.items():
            content = answer.get("content", {}).get("application/problem+json")
            if content is not None:
                assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
                shown = content.get("example", {"status": status})
                assert str(shown["status"]) == status, name


def test_settings_do_not_matter(full: Path, edited: Path) -> None:
    (edited / ".env").write_text("APP_DOCS=false\nAPP_LOG_LEVEL=shouting\n")
    (edited / "openapi.json").unlink()

    task(edited, "openapi", APP_DOCS="false", APP_LOG_FORMAT="loud", APP_MAX_BODY_SIZE="-1")

    assert (edited / "openapi.json").read_text() == (full / "openapi.json").read_text()


def test_changes_that_break_clients_are_told(edited: Path) -> None:
    items = edited / "src" / "shop" / "items"
    edit(items / "schemas.py", '"""An item as a client sends it."""', '"""A new item."""')
    edit(items / "schemas.py", "max_length=1000, pattern", "max_length=500, pattern")
    edit(items / "schemas.py", "    quantity: int\n", "")
    edit(items / "router.py", "async def delete_item(", "async def drop_item(")
    edit(items / "router.py", '@reads.get("/export")', '@reads.get("/all")')

    *breaking, closing = task(edited, "check-openapi", check=False).splitlines()

    for change in (
        "DELETE /api/v1/items/{item_id} is called drop_item, not delete_item",
        "GET /api/v1/items/export is gone",
        "GET /api/v1/items, answer 200 application/json.items[].quantity is gone",
        "POST /api/v1/items, body application/json.note must have maxLength 500",
    ):
        assert f"breaks clients: {change}" in breaking
    assert closing.startswith(f"openapi.json is out of date; {len(breaking)} changes break clients")


def test_a_change_by_new_service_says_to_describe_the_api_anew(shop: Path, change: Run) -> None:
    description = shop / "openapi.json"
    assert not description.exists()
    description.write_text("{}\n")
    commit(shop)
    for command in ("add database", "remove database", "update"):
        told = change(*command.split(), "--yes").stdout

        assert re.search(r"^  uv run poe openapi +describe the API as it is now$", told, re.M)
        assert description.read_text() == "{}\n"
        commit(shop)

"""The checks can fail: the template is broken in many ways, and each is found, with words."""

from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import COMMAND, copy_template, repository, run

Mutation = Callable[[Path], None]
PACKAGE = "template/src/{{package}}"


def replace(name: str, old: str, new: str) -> Mutation:
    def mutate(template: Path) -> None:
        path = template / name
        text = path.read_text("utf-8")
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new), "utf-8")

    return mutate


def append(name: str, text: str) -> Mutation:
    def mutate(template: Path) -> None:
        with (template / name).open("a", encoding="utf-8") as file:
            file.write(text)

    return mutate


# The modules of a service that meets the fault, the fault, the check that finds it, what it says.
MUTATIONS: dict[str, tuple[str, Mutation, str, str]] = {
    "a wrong import in a module": (
        "database",
        replace(f"{PACKAGE}/database/probes.py", "from alembic.config", "from alembic.konfig"),
        "boot",
        "alembic.konfig",
    ),
    "a missing dependency": (
        "database",
        replace("template/parts/database/dependencies.toml", '    "alembic>=1.20",\n', ""),
        "boot",
        "alembic",
    ),
    "an unformatted file": (
        "database,example",
        replace(f"{PACKAGE}/items/models.py", "id: Mapped[UUIDKey]", "id:  Mapped[UUIDKey]"),
        "format",
        "items/models.py",
    ),
    "an unused import": (
        "celery",
        replace(f"{PACKAGE}/worker/probes.py", "from fastapi", "import json\nfrom fastapi"),
        "lint",
        "json",
    ),
    "an untyped function": (
        "celery",
        append(f"{PACKAGE}/worker/tasks.py", "\n\ndef untyped(value):\n    return value\n"),
        "types",
        "missing a type annotation",
    ),
    "a migration out of step": (
        "database,example",
        replace(f"{PACKAGE}/items/models.py", "String(1000)", "String(1001)"),
        "migrations",
        "note",
    ),
    "a migration that cannot be taken back": (
        "database,example",
        replace(
            f"{PACKAGE}/database/migrations/versions/items_0001_create_items.py",
            'op.drop_table("items")',
            "pass",
        ),
        "migrations",
        "items",
    ),
    "a dead worker": (
        "celery",
        replace(
            f"{PACKAGE}/worker/__main__.py", 'if command == "worker":', "if True:\n        return 3"
        ),
        "worker",
        "the worker has ended",
    ),
    "a wrong health path": (
        "",
        replace(f"{PACKAGE}/health/router.py", '"/ready"', '"/readi"'),
        "boot",
        "/health/ready answers 404",
    ),
    "docs that are not there": (
        "",
        replace(f"{PACKAGE}/main.py", "pages.install(app)", "pass"),
        "boot",
        "/docs answers 404",
    ),
    "a module that stays where it was not chosen": (
        "",
        replace("copier.yml", "{% if 'celery' not in modules %}src/*/worker{% endif %}", ""),
        "types",
        "celery",
    ),
    "a variable by another name": (
        "database,auth",
        replace("template/parts/auth-accounts/variables.env", "AUTH_SECRET=", "AUTH_SECRED="),
        "boot",
        "AUTH_SECRET",
    ),
    "Jinja that is left": (
        "",
        replace(
            "template/parts/ci-github/README.md",
            "## Continuous",
            "{% raw %}{{ service_name }}{% endraw %}\n## Continuous",
        ),
        "residue",
        "Jinja {{ service_name }}",
    ),
    "a compose service that does not exist": (
        "database,docker",
        replace(
            "template/parts/docker/services/database.yaml",
            "image: postgres:18",
            "imago: postgres:18",
        ),
        "compose",
        "imago",
    ),
    "an image without a version": (
        "docker",
        replace("template/Dockerfile.jinja", "uv:0.13.0 AS uv", "uv AS uv"),
        "dockerfile",
        "DL3006",
    ),
    "an action that is not pinned": (
        "",
        replace(
            "template/.github/workflows/ci.yaml.jinja",
            "setup-uv@20cfd1bf945f4377ade1205e4dbc17946fc9a30d",
            "setup-uv@v10",
        ),
        "ci",
        "unpinned-uses",
    ),
    "a step that is none": (
        "",
        replace(
            "template/.github/workflows/ci.yaml.jinja", "- run: uv run poe lint", "- ran: poe lint"
        ),
        "ci",
        "ran",
    ),
    "a probe that finds all well": (
        "database",
        replace(
            f"{PACKAGE}/database/probes.py", "    if missing:", "    if missing and not missing:"
        ),
        "test",
        "FAILED tests/database",
    ),
    "tokens that are for another service": (
        "auth",
        replace(
            f"{PACKAGE}/auth/tokens.py",
            'aud={"essential": True, "value": audience}',
            'aud={"essential": True}',
        ),
        "test",
        "FAILED tests/auth",
    ),
    "streams that do not end": (
        "",
        replace(f"{PACKAGE}/lifespan.py", "(stopping.set)", "(stopping.is_set)"),
        "test",
        "FAILED tests/test_lifespan.py",
    ),
    "errors that are no problem details": (
        "",
        replace(f"{PACKAGE}/main.py", "    errors.install(app)\n", ""),
        "test",
        "FAILED tests/test_errors.py",
    ),
    "a test that fails": (
        "",
        append("template/tests/test_tasks.py", "\n\ndef test_no() -> None:\n    assert not ROOT\n"),
        "test",
        "FAILED tests/test_tasks.py::test_no",
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_template_is_found_out(name: str, tmp_path: Path) -> None:
    modules, mutate, check, words = MUTATIONS[name]
    template = copy_template(tmp_path / "template")
    mutate(template)
    repository(template, tag="v1.0.0")
    env = {"NEW_SERVICE_TEMPLATE": str(template)}
    data = ("--data", f"modules={modules}")
    run(COMMAND, "create", "shop", "--yes", *data, cwd=tmp_path, env=env)

    done = run(
        COMMAND, "validate", "--json", "--only", check, cwd=tmp_path / "shop", env=env, check=False
    )

    assert done.returncode == 1, done.stdout
    assert words in done.stdout

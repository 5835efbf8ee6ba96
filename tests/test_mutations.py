"""The checks can fail: the template is broken in many ways, and each is found, with words."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import COMMAND, MODULES, copy_template, repository, run

Mutation = Callable[[Path], None]
PACKAGE = "template/src/{{package}}"


def replace(name: str, old: str, new: str) -> Mutation:
    def mutate(template: Path) -> None:
        path = template / name
        text = path.read_text("utf-8")
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new), "utf-8")

    return mutate


def rename(name: str, new: str) -> Mutation:
    def mutate(template: Path) -> None:
        (template / name).rename(template / new)

    return mutate


def append(name: str, text: str) -> Mutation:
    def mutate(template: Path) -> None:
        with (template / name).open("a", encoding="utf-8") as file:
            file.write(text)

    return mutate


# The modules of a service that meets the fault, the fault, the check that finds it, what it says.
# Those of a module stand in its own folder.
MUTATIONS: dict[str, tuple[str, Mutation, str, str]] = {
    name: (
        ",".join(fault.with_ or [module]),
        replace(f"template/{known.folder.name}/{fault.file}", fault.replace, fault.by),
        fault.check,
        fault.says,
    )
    for module, known in MODULES.items()
    for name, fault in known.faults.items()
} | {
    "a module that stays where it was not chosen": (
        "",
        rename("template/{{ chosen.celery }}", "template/{{ '.' }}"),
        "types",
        "celery",
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
    "Jinja that is left": (
        "",
        replace(
            "template/{{ chosen.ci_github }}/parts/README.md",
            "## Continuous",
            "{% raw %}{{ service_name }}{% endraw %}\n## Continuous",
        ),
        "residue",
        "Jinja {{ service_name }}",
    ),
    "an action that is not pinned": (
        "",
        replace(
            "template/{{ chosen.ci_github }}/.github/workflows/ci.yaml.jinja",
            "setup-uv@20cfd1bf945f4377ade1205e4dbc17946fc9a30d",
            "setup-uv@v10",
        ),
        "ci",
        "unpinned-uses",
    ),
    "a step that is none": (
        "",
        replace(
            "template/{{ chosen.ci_github }}/.github/workflows/ci.yaml.jinja",
            "- run: uv run poe lint",
            "- ran: poe lint",
        ),
        "ci",
        "ran",
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


# What services with the same packages may share: their environment, and what mypy knows of it.
SHARED = {".venv", ".mypy_cache"}


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder in which one service after another with the same modules comes to be."""
    folder = tmp_path_factory.mktemp("places")
    return lambda modules: folder / (modules or "none") / "shop"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.xdist_group(f"mutations of {modules}"))
        for name, (modules, *_) in MUTATIONS.items()
    ],
)
def test_a_broken_template_is_found_out(
    name: str, places: Callable[[str], Path], tmp_path: Path
) -> None:
    modules, mutate, check, words = MUTATIONS[name]
    template = copy_template(tmp_path / "template")
    mutate(template)
    repository(template, tag="v1.0.0")
    env = {"NEW_SERVICE_TEMPLATE": str(template)}
    data = ("--data", f"modules={modules}")
    run(COMMAND, "create", "shop", "--yes", *data, cwd=tmp_path, env=env)
    shop = places(modules)
    shop.parent.mkdir(parents=True, exist_ok=True)
    for shared in SHARED:
        if (shop / shared).exists():
            (shop / shared).rename(tmp_path / "shop" / shared)
    shutil.rmtree(shop, ignore_errors=True)
    (tmp_path / "shop").rename(shop)

    done = run(COMMAND, "validate", "--json", "--only", check, cwd=shop, env=env, check=False)

    assert done.returncode == 1, done.stdout
    assert words in done.stdout

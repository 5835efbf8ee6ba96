"""The wrapper as a house: rooms whose imports lead downward, and what stays out of it."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from conftest import run
from known import name_of, of_template

ROOT = Path(__file__).parents[1]
HOUSE = ROOT / "generator" / "new_service"

# From the ground up; rooms on one floor do not know each other.
FLOORS = (
    ("system",),
    ("template",),
    ("service",),
    ("change", "combining"),
    ("commands",),
    ("cli",),
)
FLOOR = {room: at for at, rooms in enumerate(FLOORS) for room in rooms}

Imports = dict[str, set[str]]


def modules() -> dict[str, Path]:
    """The files of the wrapper by module, such as `system.git`."""
    found = {}
    for path in HOUSE.rglob("*.py"):
        parts = path.relative_to(HOUSE).with_suffix("").parts
        found[".".join(parts).removesuffix("__init__").rstrip(".")] = path
    return found


MODULES = modules()
TREES = {module: ast.parse(path.read_text("utf-8")) for module, path in MODULES.items()}


def imported(module: str) -> Iterator[tuple[str, str]]:
    """Each import of a module, wherever it stands: a module in full, and a name of it."""
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = ["new_service", *module.split(".")]
            base = above[: len(above) - node.level] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((origin, alias.name) for alias in node.names)


def ours() -> Imports:
    """The modules of the wrapper that each one imports."""
    graph: Imports = {}
    for module in MODULES:
        named = {f"{origin}.{name}" for origin, name in imported(module)}
        origins = {origin for origin, _ in imported(module)}
        found = {each.removeprefix("new_service.") for each in named | origins}
        graph[module] = {each for each in found if each in MODULES and each}
    return graph


def room(module: str) -> str:
    return module.partition(".")[0]


def wrong(imports: Imports) -> list[str]:
    """The imports that lead up, or to another room on the same floor."""
    return [
        f"{module} imports {other}"
        for module, others in imports.items()
        for other in others
        if room(module) != room(other) and FLOOR[room(other)] >= FLOOR[room(module)]
    ]


def test_each_module_has_a_room() -> None:
    assert {room(module) for module in MODULES if module} == FLOOR.keys()


def test_imports_lead_downward() -> None:
    assert wrong(ours()) == []


def test_an_import_that_is_reversed_is_found() -> None:
    imports = ours()
    arrows = {
        (module, other)
        for module, others in imports.items()
        for other in others
        if room(module) != room(other)
    }
    assert len({(room(module), room(other)) for module, other in arrows}) > len(FLOORS)
    for module, other in arrows:
        reversed_ = imports | {other: imports[other] | {module}}
        assert wrong(reversed_) == [f"{other} imports {module}"]


def test_no_modules_import_each_other() -> None:
    TopologicalSorter(ours()).prepare()  # raises CycleError, which names them


def test_rooms_open_no_other_by_themselves() -> None:
    packages = [path for path in HOUSE.rglob("__init__.py") if path.parent != HOUSE]
    assert [path for path in packages if path.read_text()] == []


def test_git_needs_the_standard_library_alone() -> None:
    # The version of a wheel is computed before any dependency is there.
    imports, seen, left = ours(), set(), {"system.git"}
    while left:
        module = left.pop()
        seen.add(module)
        left |= imports[module] - seen
    names = {origin.partition(".")[0] for each in seen for origin, _ in imported(each)}
    assert names <= {*sys.stdlib_module_names, "new_service"}


def third_party(module: str) -> set[str]:
    names = {origin.partition(".")[0] for origin, _ in imported(module)}
    return names - {*sys.stdlib_module_names, "new_service", "_typeshed"}


def test_what_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = {canonicalize_name(Requirement(each).name) for each in project["dependencies"]}
    owners = packages_distributions()
    used = {
        canonicalize_name(owner)
        for module in MODULES
        for name in third_party(module)
        for owner in owners.get(name, [name])
    }
    assert used == declared


def dotted(node: ast.expr) -> list[str]:
    """The names in `a.b.c`; none if it begins with something else than a name."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return [*before, node.attr] if before else []
    return []


def private(module: str) -> Iterator[str]:
    """What a module uses of a library that the library keeps for itself."""
    libraries = third_party(module)
    for origin, name in imported(module):
        parts = [*origin.split("."), name]
        if parts[0] in libraries and any(part.startswith("_") for part in parts):
            yield ".".join(parts)
    bound = {
        alias.asname or alias.name.partition(".")[0]
        for node in ast.walk(TREES[module])
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
        if (getattr(node, "module", None) or alias.name).partition(".")[0] in libraries
    }
    for node in ast.walk(TREES[module]):
        names = dotted(node) if isinstance(node, ast.Attribute) else []
        if names[:1] and names[0] in bound and any(part.startswith("_") for part in names[1:]):
            yield ".".join(names)


def test_nothing_private_of_a_library_is_used() -> None:
    assert [(module, found) for module in MODULES for found in private(module)] == []


def test_jinja_compiles_as_rendering_expects() -> None:
    # `template/rendering.py` replaces this method by one that remembers what was compiled; in a
    # process of its own, since this one may have rendered already.
    script = (
        "import inspect, jinja2; print(*inspect.signature(jinja2.Environment.compile).parameters)"
    )
    taken = run(sys.executable, "-c", script).stdout.split()
    message = f"Jinja {version('jinja2')} compiles differently: adapt rendering.py"
    assert taken == ["self", "source", "name", "filename", "raw", "defer_init"], message


# Words of modules that the wrapper has a use of its own for.
OURS = {
    "example": "a word of English, and a suffix",
    "job(?!s:\\n)": "what `--jobs` counts",
    "secret": "what `.env` holds",
    "migrations": "a key of Copier's",
}


def words_of_modules() -> Iterator[str]:
    """Expressions for what only modules speak of: what tests know of them, and their tasks."""
    for known in of_template(ROOT / "template").values():
        yield from known.words
        yield rf"\b{name_of(known.folder)}\b"
        if known.prefix:
            yield known.prefix
        for part in ("tasks.toml", "new-service.toml"):
            path = known.folder / "parts" / part
            text = path.read_text("utf-8") if path.is_file() else ""
            tool = tomllib.loads(text.replace("{{ package }}", "shop")).get("tool", {})
            yield from (rf"\b{task}\b" for task in tool.get("poe", {}).get("tasks", {}))
            for declared in tool.get("new-service", {}).get("modules", {}).values():
                yield from declared.get("boot", {}).get("variables", {})
                yield from (name.rstrip("*") for name in declared.get("unset", []) if "_" in name)


def test_the_wrapper_names_no_module() -> None:
    words = {word for word in words_of_modules() if word.replace(r"\b", "") not in OURS}
    assert {"alembic", r"\bdatabase\b", r"\bmigrate\b", "CELERY_", "ALEMBIC_CONFIG"} <= words
    # The names that uv and its credentials have are no module's.
    expressions = [re.compile(rf"(?<!_){word}", re.IGNORECASE) for word in words]
    found = [
        f"{path.relative_to(HOUSE)}:{number}: {line.strip()}"
        for path in MODULES.values()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if any(each.search(line) for each in expressions)
    ]
    assert found == []


def test_every_file_of_ours_is_linted_and_typed() -> None:
    paths = run("git", "ls-files", "*.py", cwd=ROOT).stdout.splitlines()
    # What is rendered, and what tests put into services, is checked there or imports from there.
    elsewhere = ("template/", "tests/metrics/", "tests/trials/", "tests/clients/")
    ours = {path for path in paths if not path.startswith(elsewhere)}

    linted = run(
        sys.executable, "-m", "ruff", "check", "--show-files", cwd=ROOT
    ).stdout.splitlines()
    assert ours - {Path(path).relative_to(ROOT).as_posix() for path in linted} == set()

    mypy = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mypy"]
    typed = {path for path in ours if path.startswith(tuple(mypy["files"]))}
    assert ours - typed == set()
    left_out = re.compile("|".join(mypy["exclude"]))
    assert [path for path in sorted(typed) if left_out.search(path)] == []

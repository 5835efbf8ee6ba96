"""Owners' files that Python would import by the same name as files that a change adds.

If a folder has a module `x.py` and a package `x/`, Python imports one and hides the other.
"""

from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from ..system.trees import Change


def clashes(folder: Path, changes: Collection[Change]) -> dict[str, str]:
    """The files in the service `folder` that share an import name with a new file, each with that.

    Files that the same change deletes do not count, nor do those that shared a name before.
    """
    going = {change.path for change in changes if change.kind == "deleted"}
    coming = [PurePosixPath(change.path) for change in changes if change.kind == "added"]
    python = [path for path in coming if path.suffix == ".py"]
    packages = {parent for path in python for parent in path.parents[:-1]}
    found: dict[str, str] = {}
    for package in packages:
        if package / "__init__.py" in python or not _python_in(folder, package, set()):
            found |= dict.fromkeys(_modules(folder, package), f"{package}/")
    for module in python:
        found |= {name: str(module) for name in _python_in(folder, module.with_suffix(""), going)}
    return {name: found[name] for name in sorted(found.keys() - going)}


def _modules(folder: Path, package: PurePosixPath) -> Iterator[str]:
    """The files beside a package that are, or describe, a module of its name."""
    beside, name = folder / package.parent, package.name
    if beside.is_dir():
        for each in beside.iterdir():
            # `x.py`, `x.pyi`; a compiled one may name its Python: `x.cpython-311-darwin.so`.
            is_source = each.name in {f"{name}.py", f"{name}.pyi", f"{name}.pyc"}
            is_compiled = each.name.startswith(f"{name}.") and each.suffix in {".so", ".pyd"}
            if is_source or is_compiled:
                yield each.relative_to(folder).as_posix()


def _python_in(folder: Path, package: PurePosixPath, going: set[str]) -> list[str]:
    """The Python files in a folder that could be a package, without those of `going`."""
    files = (each.relative_to(folder).as_posix() for each in (folder / package).rglob("*.py"))
    return [name for name in files if name not in going]

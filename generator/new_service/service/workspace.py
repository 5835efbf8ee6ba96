"""Where a service has its lock and uv settings: in its folder, or in the uv workspace around it."""

import shlex
import shutil
from pathlib import Path

from ..system.documents import toml_in
from ..system.places import from_here, place
from ..system.programs import uv


def around(folder: Path) -> Path | None:
    """The root of the uv workspace that the project in `folder` is a member of, if any.

    If uv cannot tell, it cannot lock either, and says then what is wrong.
    """
    if not any((each / "pyproject.toml").is_file() for each in folder.parents):
        return None
    done = uv("workspace", "dir", folder=folder)
    if done.returncode != 0:
        return None
    root = Path(done.stdout.splitlines()[-1])
    return None if root.samefile(folder) else root


def around_future(folder: Path, pyproject: Path) -> Path | None:
    """As `around`, for a folder that does not exist yet and will have this `pyproject`.

    uv answers in a copy of the projects above it.
    """
    above = [each for each in folder.parents if (each / "pyproject.toml").is_file()]
    if not above:
        return None
    with place() as scratch:
        copy = scratch.resolve()
        for project, source in [(folder, pyproject), *((e, e / "pyproject.toml") for e in above)]:
            there = copy / project.relative_to(project.anchor)
            there.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, there / "pyproject.toml")
        root = around(copy / folder.relative_to(folder.anchor))
        if root is None or not root.is_relative_to(copy):
            return None
        return Path(folder.anchor) / root.relative_to(copy)


def lock_command(root: Path | None) -> str:
    """The command that locks a workspace, or a service in none, from the current folder."""
    if root is None or root == Path.cwd():
        return "uv lock"
    return f"uv lock --directory {shlex.quote(from_here(root))}"


def settings(folder: Path) -> dict[str, object]:
    """The nearest uv settings that the repository has for the project in `folder`."""
    for each in (folder, *folder.parents):
        for name, keys in (("uv.toml", ()), ("pyproject.toml", ("tool", "uv"))):
            found = _table(each / name, keys)
            if found is not None:
                return found
    return {}


def _table(path: Path, keys: tuple[str, ...]) -> dict[str, object] | None:
    try:
        table: object = toml_in(path)
    except (OSError, ValueError):
        return None  # uv reports it
    for key in keys:
        table = table.get(key) if isinstance(table, dict) else None
    return table if isinstance(table, dict) else None

"""Drift: the files of a service that differ from what its recorded version and answers render."""

import os
from dataclasses import dataclass
from pathlib import Path

from .folder import Service


@dataclass(frozen=True)
class Drift:
    """Paths from the service's folder, ordered."""

    modified: list[str]
    deleted: list[str]


def compare(rendered: Path, service: Service) -> Drift:
    """What a service has made of the files that its template gave it.

    Line ends do not count: git may be set to change them (`core.autocrlf`).
    """
    modified, deleted = [], []
    for path in sorted(each for each in rendered.rglob("*") if not each.is_dir()):
        name = path.relative_to(rendered).as_posix()
        if name == service.answers_file:
            continue
        if not os.path.lexists(service.folder / name):
            deleted.append(name)
        elif _content(path) != _content(service.folder / name):
            modified.append(name)
    return Drift(modified, deleted)


def _content(path: Path) -> bytes | str | None:
    if path.is_symlink():
        return str(path.readlink())
    return path.read_bytes().replace(b"\r\n", b"\n") if path.is_file() else None

"""Git's trees: the differences between two of them, and the stages of a path in conflict."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from .git import git, names

_ABSENT = "000000"


@dataclass(frozen=True)
class Change:
    """One path that differs between two trees, with the modes and ids of `git diff-tree`."""

    path: str
    old_mode: str
    new_mode: str
    old_id: str
    new_id: str

    @property
    def kind(self) -> str:
        """`added`, `modified` or `deleted`."""
        if self.old_mode == _ABSENT:
            return "added"
        return "deleted" if self.new_mode == _ABSENT else "modified"


@dataclass(frozen=True)
class Stage:
    """One of up to three versions of a path in conflict: 1 the base, 2 ours, 3 theirs."""

    mode: str
    object_id: str
    number: str
    path: str

    @classmethod
    def parse(cls, line: str) -> Self:
        """Read a line of `git ls-files --stage`."""
        fields, _, path = line.partition("\t")
        mode, object_id, number = fields.split()
        return cls(mode, object_id, number, path)


def differences(repository: Path, old: str, new: str, *paths: str) -> list[Change]:
    """What differs between two trees of a repository, ordered by path."""
    raw = names(
        git(repository, "diff-tree", "-r", "-z", "--raw", "--no-renames", old, new, "--", *paths)
    )
    # Fields and paths alternate: `:OLD_MODE NEW_MODE OLD_ID NEW_ID STATUS`, then the path.
    fields = [each.removeprefix(":").split() for each in raw[::2]]
    return [Change(path, *each[:4]) for each, path in zip(fields, raw[1::2], strict=True)]


def remove_empty(folder: Path, root: Path) -> None:
    """Remove folders that hold nothing, upwards."""
    while folder != root:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent

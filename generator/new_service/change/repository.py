"""The git repository around a service, only read; `journal.py` changes it."""

import os
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from ..system.errors import BadInput
from ..system.git import check_refusal, git, left_out, names
from ..system.trees import Change

STATE = "new-service"


@dataclass(frozen=True)
class Repository:
    """The repository of a service."""

    folder: Path
    """The service's."""
    root: Path
    prefix: str
    """From `root` to the service: empty, or `services/orders/`."""
    git_dir: Path
    """Of this work tree, where a repository has several."""
    objects: Path
    object_format: str

    @classmethod
    def around(cls, folder: Path) -> Self:
        """The repository that `folder` belongs to.

        Raises:
            BadInput: there is none, or git does not work in it.
        """
        try:
            root, prefix, git_dir, objects, object_format = git(
                folder, "rev-parse", "--path-format=absolute", "--show-toplevel", "--show-prefix",
                "--git-dir", "--git-path", "objects", "--show-object-format",
            ).split("\n")  # fmt: skip
        except ValueError as failed:
            raise BadInput(
                f"git cannot work in {folder}: its path has a line break.", "rename the folder."
            ) from failed
        except subprocess.CalledProcessError as failed:
            check_refusal(folder, failed)
            raise BadInput(
                f"{folder} is not in a git repository.",
                "a change needs one, so that git can undo it: git init && git add --all && "
                "git commit.",
            ) from failed
        return cls(folder, Path(root), prefix, Path(git_dir), Path(objects), object_format)

    @property
    def state(self) -> Path:
        """The folder for our own files during a change."""
        return self.git_dir / STATE

    @cached_property
    def tree(self) -> str:
        """The id of the service's tree in the last commit, as of the first call.

        Raises:
            BadInput: the service is in no commit.
        """
        try:
            return self.committed()
        except subprocess.CalledProcessError as none:
            raise BadInput(
                f"{self.folder} is not committed yet.",
                "commit it first: git add --all && git commit.",
            ) from none

    def committed(self) -> str:
        """The id of the service's tree in the last commit now.

        Raises:
            subprocess.CalledProcessError: the service is in no commit.
        """
        service = self.prefix.rstrip("/")
        return git(self.root, "rev-parse", "--verify", "--quiet", f"HEAD:{service}")

    def check_unchanged(self, changes: Iterable[Change], index: Path) -> None:
        """Check that the service has not changed since `changes` were computed.

        `index` is a copy of the repository's index, in which file times are refreshed.

        Raises:
            BadInput: somebody has committed, staged, edited or made a file of it since.
        """
        found = self.uncommitted(index) or self.in_the_way(changes)
        try:
            committed = self.committed()
        except subprocess.CalledProcessError:
            committed = ""
        if found or committed != self.tree:
            what = f"{', '.join(found[:10])} changed" if found else "somebody committed"
            raise BadInput(
                f"{what} in {self.folder} meanwhile, so nothing was applied.", "start again."
            )

    def uncommitted(self, index: Path | None = None) -> list[str]:
        """The paths of the service that differ from the last commit, ignored ones left out."""
        variables = {"GIT_INDEX_FILE": str(index)} if index else {}
        status = git(
            self.folder, "status", "--porcelain", "-z", "--untracked-files=all", "--no-renames",
            "--ignore-submodules=none", "--", ".", variables=variables,
        )  # fmt: skip
        return [line[3:].removeprefix(self.prefix) for line in names(status)]

    def check_clean(self) -> None:
        """Check that the last commit holds all files of the service that git does not ignore.

        Raises:
            BadInput: it does not.
        """
        _ = self.tree  # a service in no commit gets an error of its own
        if out := left_out(self.folder):
            raise BadInput(
                f"the working tree is sparse: git leaves out {_some(out)}.",
                "bring back the whole service first: git sparse-checkout disable; single files: "
                "git update-index --no-skip-worktree.",
            )
        if found := self.uncommitted():
            raise BadInput(
                f"the working tree is not clean: {_some(found)}.",
                "commit, stash or remove these first, so that none of them can be lost.",
            )

    def in_the_way(self, changes: Iterable[Change]) -> list[str]:
        """Files that git does not track, in places where a change would put others."""
        changes = list(changes)
        going = {change.path for change in changes if change.kind == "deleted"}
        found = set()
        for change in changes:
            if change.kind == "added":
                path = Path(change.path)
                found |= set(self._obstacles(path, going))
                for parent in path.parents[:-1]:
                    there = self.folder / parent
                    if there.is_symlink() or there.is_file():
                        found |= set(self._obstacles(parent, going))
        return sorted(found)

    def _obstacles(self, path: Path, going: set[str]) -> Iterator[str]:
        there = self.folder / path
        if there.is_dir() and not there.is_symlink():
            inside = (each for each in there.rglob("*") if each.is_symlink() or not each.is_dir())
            yield from {each.relative_to(self.folder).as_posix() for each in inside} - going
        elif os.path.lexists(there) and path.as_posix() not in going:
            yield path.as_posix()


def _some(paths: list[str]) -> str:
    more = f" and {len(paths) - 10} more" if len(paths) > 10 else ""
    return f"{', '.join(paths[:10])}{more}"

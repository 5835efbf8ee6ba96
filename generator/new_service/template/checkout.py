"""A commit's files in a folder: all of them, or only those that questions include."""

import os
import posixpath
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from threading import Lock

from ..system.errors import BadInput, of_full_disk
from ..system.git import git, isolated, listed, names

# Checked out with the first file: what questions usually include, and how git writes files.
_ALWAYS = (".yml", ".yaml", ".gitattributes")
_LINK = "120000"
_one_at_a_time = Lock()  # threads share the folder and its index


@dataclass(frozen=True)
class Checkout:
    """A folder with those files of a commit that were asked for; it goes when the clone does.

    Questions include few files, and to check out all takes several times as long.
    """

    clone: Path
    commit: str

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self.clone.with_name(f"asked-{self.commit}")

    def fetch(self, pattern: str) -> None:
        """Check out the files that `pattern` matches in `Path.glob`, and perhaps others.

        Raises:
            BadInput: the disk is full.
            subprocess.CalledProcessError: git fails for another reason.
        """
        every = _listed(self.clone, self.commit)
        # Only the file system can follow links and `..`.
        is_winding = _LINK in every.values() or ".." in pattern
        # Here, * also matches /, and a pattern that matches a folder matches all files in it.
        wide = f"{posixpath.normpath(pattern).lstrip('/')}/*".replace("**/", "*")
        with _one_at_a_time:
            self.folder.mkdir(exist_ok=True)
            absent = [
                name
                for name in every
                if (is_winding or name.endswith(_ALWAYS) or fnmatchcase(f"{name}/", wide))
                and not os.path.lexists(self.folder / name)
            ]
            if absent:
                _check_out(self.clone, self.commit, self.folder, absent)


def whole(clone: Path, commit: str) -> Path:
    """A folder with all files of a commit, made once; it goes when the clone does.

    Raises:
        BadInput: the disk is full.
        subprocess.CalledProcessError: git fails for another reason.
    """
    folder = clone.with_name(f"template-{commit}")
    if folder.exists():
        return folder
    folder.mkdir()
    try:
        _check_out(clone, commit, folder, ["."])
    except (BadInput, subprocess.CalledProcessError):
        shutil.rmtree(folder, ignore_errors=True)  # whoever asks again must not get half of them
        raise
    return folder


@cache
def _listed(clone: Path, commit: str) -> dict[str, str]:
    """The files of a commit, each with its mode."""
    lines = names(git(clone, "ls-tree", "-r", "-z", commit))
    return {name: mode for mode, name in ((line[:6], line.partition("\t")[2]) for line in lines)}


def _check_out(clone: Path, commit: str, folder: Path, paths: Iterable[str]) -> None:
    try:
        git(
            clone,
            *(f"--work-tree={folder}", "checkout", "--force", commit),
            *("--pathspec-from-file=-", "--pathspec-file-nul"),
            stdin=listed(paths),
            variables=isolated({}) | {"GIT_INDEX_FILE": str(folder.with_suffix(".index"))},
        )
    except subprocess.CalledProcessError as failed:
        if full := of_full_disk(str(failed.stderr)):
            raise full from failed
        raise

"""Temporary folders that are removed even if their process was killed.

Each holds a file that the kernel keeps locked as long as its process lives, however that ends and
whichever process gets its number next. A folder of ours whose lock is free is a leftover.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from . import platforms

_LOCK = ".new-service-lock"
_PREFIXES = ("new-service-", ".new-service-")


@contextmanager
def place(parent: Path | None = None) -> Iterator[Path]:
    """An empty folder, hidden in `parent`, or among the system's temporary folders.

    It is removed afterwards, and so are leftovers of killed processes in the same place.

    Raises:
        OSError: the folder cannot be made.
    """
    ours, hidden = _PREFIXES
    where, prefix = (parent, hidden) if parent else (Path(tempfile.gettempdir()), ours)
    if not platforms.HAS_LOCKS:  # nobody can tell a leftover from a folder in use
        with tempfile.TemporaryDirectory(
            prefix=prefix, dir=where, ignore_cleanup_errors=True
        ) as alone:
            yield Path(alone)
        return
    _remove_leftovers(where)
    folder, lock = _made(where, prefix)
    try:
        yield folder
    finally:
        _remove(folder)
        os.close(lock)


def from_here(path: Path) -> str:
    """A path as a command takes it that is run here."""
    try:
        return os.path.relpath(path)
    except ValueError:  # on another drive of Windows
        return str(path)


def _made(where: Path, prefix: str) -> tuple[Path, int]:
    """A folder and the descriptor that holds its lock, which no program inherits."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=where))
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except FileNotFoundError:  # another process took it for a leftover just now
            continue
        except OSError:
            folder.rmdir()
            raise
        with suppress(OSError):  # where there are no locks, nobody takes it for a leftover
            platforms.lock(lock, wait=True)
        if os.fstat(lock).st_nlink:
            return folder, lock
        os.close(lock)  # another process took it for a leftover just before


def _remove_leftovers(where: Path) -> None:
    with suppress(OSError):
        names = os.listdir(where)  # noqa: PTH208  making a path for each of many is slow
        for name in names:
            if name.startswith(_PREFIXES):
                _remove_leftover(where / name)


def _remove_leftover(folder: Path) -> None:
    """Remove a folder of ours whose process has ended; others are left alone."""
    with suppress(OSError):
        if not _is_own(folder.lstat(), stat.S_IFDIR):
            return
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            folder.rmdir()  # works only if it is empty: its process was killed at once
            return
        try:
            if _is_own(os.fstat(lock), stat.S_IFREG):
                platforms.lock(lock, wait=False)
                _remove(folder)
        finally:
            os.close(lock)


def _is_own(found: os.stat_result, kind: int) -> bool:
    return found.st_uid == os.geteuid() and stat.S_IFMT(found.st_mode) == kind


def _remove(folder: Path) -> None:
    """Remove a folder whose lock is held; the lock goes last, so that the rest is not forgotten.

    The next command tries again to remove what stays.
    """
    with suppress(OSError):
        for each in folder.iterdir():
            if each.is_dir() and not each.is_symlink():
                shutil.rmtree(each)
            elif each.name != _LOCK:
                each.unlink()
        (folder / _LOCK).unlink()
        folder.rmdir()

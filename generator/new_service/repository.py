"""The git repository around a service, and how a change moves into it: whole, or not at all.

`git read-tree -m -u` moves a tree over, but a kill inside it leaves some files changed and some
not. So a journal names the tree before and the tree after, the working tree is changed first, with
an index of our own, and one rename puts that index in the place of the repository's. Whoever comes
next finds the journal: an index that is still the old one means that the move is to be undone.
All of it lives in one folder under the git directory, which is empty of ours between commands.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from .errors import BadInput
from .git import git, listed, names

_WAIT_SECONDS, _LOCK_SECONDS = 30, 5
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ABSENT = "000000"
_STATE = "new-service"


@dataclass(frozen=True)
class Change:
    """One path that differs between two trees; modes and object ids as `git diff-tree` has them."""

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
    """One of the up to three versions of a path in conflict: 1 of both, 2 ours, 3 theirs."""

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
            BadInput: there is none, or git will not work in it.
        """
        try:
            root, prefix, git_dir, objects, object_format = git(
                folder, "rev-parse", "--path-format=absolute", "--show-toplevel", "--show-prefix",
                "--git-dir", "--git-path", "objects", "--show-object-format",
            ).split("\n")  # fmt: skip
        except (subprocess.CalledProcessError, ValueError) as failed:
            said = str(getattr(failed, "stderr", "its path has a line break."))
            if "not a git repository" in said:
                raise BadInput(
                    f"{folder} is in no git repository.",
                    "changes are made where git can undo them: git init && git add --all && "
                    "git commit.",
                ) from failed
            raise BadInput(f"git cannot work in {folder}: {said}", "see `git status`.") from failed
        return cls(folder, Path(root), prefix, Path(git_dir), Path(objects), object_format)

    @property
    def state(self) -> Path:
        """The folder for what we need meanwhile."""
        return self.git_dir / _STATE

    @property
    def _journal(self) -> Path:
        return self.state / "journal"

    @property
    def _lock_file(self) -> Path:
        return self.state / "lock"

    @property
    def _index(self) -> Path:
        return self.state / "index"

    @contextmanager
    def held(self) -> Iterator[tuple["Holder", str]]:
        """The right to change the repository, and what was done about an interrupted change.

        `state` is an empty folder meanwhile, and gone afterwards.

        Raises:
            BadInput: somebody else has it, or the git directory cannot be written.
        """
        # The lock is the kernel's, on a folder that is always there: none of ours can be left.
        descriptor = os.open(self.git_dir, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._lock(descriptor)
            holder = Holder(self, descriptor)
            recovered = holder.recover()
            shutil.rmtree(self.state, ignore_errors=True)
            try:
                self.state.mkdir()
            except OSError as failed:
                raise BadInput(
                    f"{self.git_dir} cannot be written: {failed.strerror}.",
                    "make it writable, or make room there.",
                ) from failed
            try:
                yield holder, recovered
            finally:
                if not self._journal.exists():
                    shutil.rmtree(self.state, ignore_errors=True)
        finally:
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        until = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as taken:
                # A move takes a moment, also one whose new-service was killed.
                if not self._journal.exists() or time.monotonic() > until:
                    raise BadInput(
                        f"another new-service is changing {self.root}.", "wait until it has ended."
                    ) from taken
                time.sleep(0.05)
            else:
                return

    @cached_property
    def tree(self) -> str:
        """The id of the tree that the service is in the last commit.

        Raises:
            BadInput: it is in none.
        """
        try:
            return git(
                self.root, "rev-parse", "--verify", "--quiet",
                f"HEAD:{self.prefix.rstrip('/')}",
            )  # fmt: skip
        except subprocess.CalledProcessError as none:
            raise BadInput(
                f"{self.folder} is not committed yet.",
                "commit it first: git add --all && git commit.",
            ) from none

    def check_clean(self) -> None:
        """See that the last commit holds all of the service that git does not ignore.

        Raises:
            BadInput: it does not.
        """
        _ = self.tree  # what is in no commit is not clean either, and has words of its own
        status = git(
            self.folder, "status", "--porcelain", "-z", "--untracked-files=all", "--no-renames",
            "--ignore-submodules=none", "--", ".",
        )  # fmt: skip
        found = [line[3:].removeprefix(self.prefix) for line in names(status)]
        if found:
            more = f" and {len(found) - 10} more" if len(found) > 10 else ""
            raise BadInput(
                f"the working tree is not clean: {', '.join(found[:10])}{more}.",
                "commit, stash or remove that first, so that nothing of it can be lost.",
            )

    def in_the_way(self, changes: Iterable[Change]) -> list[str]:
        """Files that git does not know, where a change would put one of its own."""
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


@dataclass(frozen=True)
class Holder:
    """Who may change a repository."""

    repository: Repository
    _descriptor: int

    def _git(self, *arguments: str, stdin: str | None = None, index: Path | None = None) -> str:
        """Git at the root; the lock lasts as long as it runs, whatever ends us."""
        return git(
            self.repository.root,
            *arguments,
            stdin=stdin,
            variables={"GIT_INDEX_FILE": str(index)} if index else None,
            keeping_open=[self._descriptor],
        )

    def move(
        self, changes: Iterable[Change], stages: Iterable[Stage], follow: Callable[[], None]
    ) -> None:
        """Make `changes` in working tree and index; paths in conflict get `stages` in the index.

        Paths are the service's. The objects are there already. Then calls `follow`. Whatever
        would interrupt it meanwhile comes to nothing.

        Raises:
            BadInput: it cannot be done; all is as it was.
        """
        ours, prefix = self.repository, self.repository.prefix
        index, trial = ours._index, ours.state / "tree"
        self._git("read-tree", "HEAD", index=trial)
        entries = [f"{each.new_mode} {each.new_id}\t{prefix}{each.path}" for each in changes]
        self._git("update-index", "-z", "--index-info", stdin=listed(entries), index=trial)
        old = self._git("rev-parse", "HEAD^{tree}")
        new = self._git("write-tree", index=trial)
        with _uninterrupted():
            _write(ours._journal, json.dumps({"old": old, "new": new, "prefix": prefix}))
            try:
                self._lock_index()
                shutil.copy(ours.git_dir / "index", index)
                self._git("read-tree", "-m", "-u", old, new, index=index)
                if lines := _unmerged(stages, prefix):
                    added = listed(lines)
                    self._git("update-index", "-z", "--index-info", stdin=added, index=index)
                index.rename(ours.git_dir / "index")
            except (subprocess.CalledProcessError, OSError) as failed:
                self.recover()
                said = str(getattr(failed, "stderr", "") or failed)
                raise BadInput(
                    f"the change cannot be moved into {ours.root}: {said}",
                    "nothing was changed; see to the cause and try again.",
                ) from failed
            self._unlock_index()
            ours._journal.unlink()
            follow()

    def _lock_index(self) -> None:
        """Take git's own lock of the index; a link to a file of ours tells whose it is."""
        self.repository._lock_file.touch()
        until = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                (self.repository.git_dir / "index.lock").hardlink_to(self.repository._lock_file)
            except FileExistsError:  # an editor's `git status`, say
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
            else:
                return

    def _unlock_index(self) -> None:
        lock = self.repository.git_dir / "index.lock"
        with suppress(FileNotFoundError):
            if lock.samefile(self.repository._lock_file):
                lock.unlink()

    def recover(self) -> str:
        """Undo a move that was interrupted; says what was done, empty if there was none."""
        ours = self.repository
        try:
            journal = json.loads(ours._journal.read_text("utf-8"))
        except FileNotFoundError:
            return ""
        done = ""
        if self._is_old(journal["old"], journal["prefix"]):
            left = self._undo(differences(ours.root, journal["old"], journal["new"]))
            done = "an interrupted change was undone"
            if left:
                done += f"; edited since, and left as they are: {', '.join(left)}"
        self._unlock_index()
        ours._journal.unlink()
        return done

    def _is_old(self, tree: str, prefix: str) -> bool:
        """Whether index and last commit are still those from before the move, where it was."""
        service = prefix.rstrip("/")
        try:
            self._git("diff-index", "--cached", "--quiet", tree, "--", service or ".")
            committed, before = self._git(
                "rev-parse", f"HEAD:{service}", f"{tree}:{service}"
            ).split()
        except subprocess.CalledProcessError:
            return False
        return committed == before

    def _undo(self, changes: list[Change]) -> list[str]:
        """Give all files of `changes` their old content, but those that the owner edited since."""
        root = self.repository.root
        ids = self._ids([change.path for change in changes])
        left, restored = [], []
        for change in changes:
            path, there = root / change.path, ids.get(change.path)
            if there not in {None, change.old_id, change.new_id} and not self._is_begun(change):
                left.append(change.path)
            elif change.kind != "added":
                restored.append(change.path)
            elif os.path.lexists(path):
                path.unlink()
                remove_empty(path.parent, root)
        self._git("checkout-index", "--force", "-z", "--stdin", stdin=listed(restored))
        return left

    def _ids(self, paths: list[str]) -> dict[str, str | None]:
        """The object id of each file's content as git would store it; None where there is none."""
        root = self.repository.root
        ids: dict[str, str | None] = dict.fromkeys(paths)
        files = [
            each for each in paths if (root / each).is_file() and not (root / each).is_symlink()
        ]
        lines = "".join(f"{_quoted(each)}\n" for each in files)
        hashed = self._git("hash-object", "--stdin-paths", stdin=lines)
        ids |= dict(zip(files, hashed.split(), strict=True))
        for path in paths:
            if (root / path).is_symlink():
                ids[path] = self._git("hash-object", "--stdin", stdin=str((root / path).readlink()))
        return ids

    def _is_begun(self, change: Change) -> bool:
        """Whether a file is the beginning of the new one: git was stopped while it wrote."""
        path = self.repository.root / change.path
        if change.kind == "deleted" or path.is_symlink():
            return False
        whole = self._git("cat-file", "--filters", f"--path={change.path}", change.new_id)
        written = path.read_bytes().decode("utf-8", "surrogateescape")
        return whole.startswith(written.rstrip("\n"))


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Nothing that can be held off interrupts us, or git's processes, nor is it taken up later."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        handlers = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def undo_interrupted(folder: Path) -> None:
    """Undo a change of the service in `folder` that was interrupted, if there is one.

    Raises:
        BadInput: another new-service is changing it.
    """
    # Git takes its time where there are many; it is asked where `.git` is a file, which it reads.
    inside = next(
        (each / ".git" for each in (folder, *folder.parents) if (each / ".git").exists()), None
    )
    if inside is None or (inside.is_dir() and not (inside / _STATE).exists()):
        return
    repository = Repository.around(folder)
    if repository.state.exists():
        with repository.held():
            pass


def _quoted(path: str) -> str:
    """A path as git reads it in lines."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _unmerged(stages: Iterable[Stage], prefix: str) -> list[str]:
    """Lines for `git update-index --index-info`: the merged entry of each path goes first."""
    stages = list(stages)
    gone = {each.path: f"0 {'0' * len(each.object_id)}\t{prefix}{each.path}" for each in stages}
    return [
        *gone.values(),
        *(f"{each.mode} {each.object_id} {each.number}\t{prefix}{each.path}" for each in stages),
    ]


def _write(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut."""
    scratch = path.with_name(f"{path.name}.part")
    with scratch.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    scratch.rename(path)


def remove_empty(folder: Path, root: Path) -> None:
    """Remove folders that hold nothing, upwards."""
    while folder != root:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent

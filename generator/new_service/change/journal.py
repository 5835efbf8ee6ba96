"""How a change moves into a service's repository: completely or not at all.

`git read-tree -m -u` moves a tree over, but a kill inside it leaves some files changed and some
not. So a journal names the tree before and the tree after. The working tree is changed first, with
an index of our own. One rename then puts it in the place of the repository's. What goes with the
change, such as new variables in `.env`, comes last. The next command finds the journal: if the
index is still the old one, it undoes the move, otherwise it completes it. All of this lives in one
folder under the git directory, which exists only while a command runs, or after it was killed.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..service import environment
from ..service.folder import forget_bytecode
from ..system import platforms
from ..system.errors import BadInput
from ..system.git import git, listed
from ..system.screen import Report, Step
from ..system.trees import Change, Stage, differences, remove_empty
from .repository import STATE, Repository

_WAIT_SECONDS, _LOCK_SECONDS = 30, 5
_SIGNALS = (signal.SIGINT, *platforms.ENDING)


@dataclass(frozen=True)
class Followed:
    """What a change did besides the files that git tracks."""

    variables: list[str]
    """What was added to `.env`."""
    obstacle: str = ""
    """Why some of it failed."""


def recover(folder: Path, report: Report) -> None:
    """Undo or complete a change that was interrupted in the repository around `folder`.

    Call it before you read anything of a service: in the middle of a move, even the answers file
    or `folder` may be missing.

    Raises:
        BadInput: git does not work there, or another new-service does not finish its move.
    """
    above = [each for each in (folder, *folder.parents) if each.is_dir()]
    # Asking git takes its time where there are many; `.git` may be a file, which git reads.
    inside = next((each / ".git" for each in above if (each / ".git").exists()), None)
    if inside is None or (inside.is_dir() and not (inside / STATE).exists()):
        return
    if not platforms.HAS_LOCKS:
        raise platforms.in_wsl(f"an unfinished change of {inside.parent}")
    repository = Repository.around(above[0])
    if repository.state.exists() and not _is_at_work(repository):
        with held(repository, report):
            pass


@contextmanager
def held(repository: Repository, report: Report) -> Iterator["Journal"]:
    """Hold the lock of a repository, once an interrupted change is finished.

    Its `state` is an empty folder meanwhile, and is removed afterwards.

    Raises:
        BadInput: another process has the lock, or the git directory cannot be written.
    """
    # The kernel holds the lock, on a folder that always exists: a killed process leaves none.
    descriptor = os.open(repository.git_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        journal = Journal(repository, descriptor)
        journal.lock()
        if recovered := journal.recover():
            report.line(Step("recovered", recovered, "!"))
        shutil.rmtree(repository.state, ignore_errors=True)
        try:
            repository.state.mkdir()
        except OSError as failed:
            raise BadInput(
                f"{repository.git_dir} cannot be written: {failed.strerror}.",
                "make it writable, or make room there.",
            ) from failed
        try:
            yield journal
        finally:
            if not journal.path.exists():
                shutil.rmtree(repository.state, ignore_errors=True)
    finally:
        os.close(descriptor)


_JOURNAL = "journal"


def _is_at_work(repository: Repository) -> bool:
    """Whether another new-service prepares a change and has not begun to move it."""
    descriptor = os.open(repository.git_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        platforms.lock(descriptor, wait=False)
    except BlockingIOError:
        return not (repository.state / _JOURNAL).exists()
    else:
        return False
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Journal:
    """The right to change a repository, and the record of the change in progress."""

    repository: Repository
    _descriptor: int

    @property
    def path(self) -> Path:
        """The file, which exists during a move."""
        return self.repository.state / _JOURNAL

    @property
    def _lock_file(self) -> Path:
        return self.repository.state / "lock"

    def lock(self) -> None:
        """Take the lock of the repository; wait for a move that is in progress.

        Raises:
            BadInput: another new-service has it.
        """
        until = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                platforms.lock(self._descriptor, wait=False)
            except BlockingIOError as taken:
                # A move is short; if its new-service was killed, git holds the lock.
                if not self.path.exists() or time.monotonic() > until:
                    raise BadInput(
                        f"another new-service is changing {self.repository.root}.",
                        "wait until it has finished.",
                    ) from taken
                time.sleep(0.05)
            else:
                return

    def _git(self, *arguments: str, stdin: str | None = None, index: Path | None = None) -> str:
        """Run git at the root; it keeps the lock as long as it runs, even if we are killed."""
        return git(
            self.repository.root,
            *arguments,
            stdin=stdin,
            variables={"GIT_INDEX_FILE": str(index)} if index else None,
            keeping_open=[self._descriptor],
        )

    def move(self, changes: Iterable[Change], stages: Iterable[Stage]) -> Followed:
        """Make `changes` in working tree and index; paths in conflict get `stages` in the index.

        Paths start at the service's folder. The repository has the objects already. Interrupts are
        ignored meanwhile.

        Raises:
            BadInput: the service has changed since it was read, or the move is impossible; nothing
                was changed.
        """
        ours, changes = self.repository, list(changes)
        index = ours.state / "index"
        with _uninterrupted():
            try:
                self._lock_index()
                shutil.copy(ours.git_dir / "index", index)
                ours.check_unchanged(changes, index)
                old, new = self._trees(changes)
                _write(self.path, json.dumps({"old": old, "new": new, "prefix": ours.prefix}))
                # New files are written even where the patterns of a sparse tree exclude them.
                everywhere = ("-c", "core.sparseCheckout=false")
                self._git(*everywhere, "read-tree", "-m", "-u", old, new, index=index)
                if lines := _unmerged(stages, ours.prefix):
                    self._git(
                        "update-index", "-z", "--index-info", stdin=listed(lines), index=index
                    )
                index.rename(ours.git_dir / "index")
            except BadInput:
                self._unlock_index()
                raise
            except (subprocess.CalledProcessError, OSError) as failed:
                self.recover()
                said = str(getattr(failed, "stderr", "") or failed)
                raise BadInput(
                    f"the change cannot be moved into {ours.root}: {said}",
                    "nothing was changed; fix the cause and try again.",
                ) from failed
            return self._complete(ours.prefix, changes)

    def _trees(self, changes: Iterable[Change]) -> tuple[str, str]:
        """The ids of the repository's whole tree, without and with `changes`."""
        trial, prefix = self.repository.state / "tree", self.repository.prefix
        old = self._git("rev-parse", "HEAD^{tree}")
        self._git("read-tree", old, index=trial)
        entries = [f"{each.new_mode} {each.new_id}\t{prefix}{each.path}" for each in changes]
        self._git("update-index", "-z", "--index-info", stdin=listed(entries), index=trial)
        return old, self._git("write-tree", index=trial)

    def _complete(self, prefix: str, changes: Iterable[Change]) -> Followed:
        """Finish the move: do what goes with `changes` of the service at `prefix`."""
        self._unlock_index()
        folder = self.repository.root / prefix
        try:
            forget_bytecode(folder, (each.path for each in changes if each.kind == "deleted"))
            followed = Followed(environment.extend(folder))
        except OSError as failed:
            obstacle = f"{failed.filename} was not changed: {failed.strerror}"
            followed = Followed([], f"{obstacle}; compare it with .env.example")
        self.path.unlink()
        return followed

    def _lock_index(self) -> None:
        """Take git's own lock of the index, as a link to a file of ours, by which we know it."""
        self._lock_file.touch()
        until = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                (self.repository.git_dir / "index.lock").hardlink_to(self._lock_file)
            except FileExistsError:  # an editor's `git status`, say
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
            else:
                return

    def _unlock_index(self) -> None:
        lock = self.repository.git_dir / "index.lock"
        with suppress(FileNotFoundError):
            if lock.samefile(self._lock_file):
                lock.unlink()

    def recover(self) -> str:
        """Undo or complete a move that was interrupted; returns what was done, in words."""
        ours = self.repository
        try:
            journal = json.loads(self.path.read_text("utf-8"))
        except FileNotFoundError:
            self._unlock_index()
            return ""
        old, new, prefix = journal["old"], journal["new"], journal["prefix"]
        if not self._is_old(old, prefix):
            service = prefix.rstrip("/")
            changes = differences(ours.root, f"{old}:{service}", f"{new}:{service}")
            followed = self._complete(prefix, changes)
            came = f"; .env has new variables: {', '.join(followed.variables)}"
            return f"an interrupted change was completed{came if followed.variables else ''}"
        left = self._undo(differences(ours.root, old, new))
        self._unlock_index()
        self.path.unlink()
        more = (
            f"; these were edited since, and are left as they are: {', '.join(left)}"
            if left
            else ""
        )
        return f"an interrupted change was undone{more}"

    def _is_old(self, tree: str, prefix: str) -> bool:
        """Whether the service's index and last commit are still those from before the move."""
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
        """Restore the files of `changes`; returns those left alone, since the owner edited them."""
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
        """Whether a file is half written, since git was stopped while it wrote a version."""
        path = self.repository.root / change.path
        if path.is_symlink():
            return False
        written = path.read_bytes().decode("utf-8", "surrogateescape").rstrip("\n")
        versions = []
        if change.kind != "deleted":
            versions.append(change.new_id)
        if change.kind != "added":
            versions.append(change.old_id)  # undoing was stopped, too
        return any(
            self._git("cat-file", "--filters", f"--path={change.path}", each).startswith(written)
            for each in versions
        )


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold off the signals that would interrupt us or git, and drop those that came meanwhile."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        handlers = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _quoted(path: str) -> str:
    """A path, quoted as git reads it from a line."""
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
    """Write a file completely or not at all, even if the power fails."""
    scratch = path.with_name(f"{path.name}.part")
    with scratch.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    scratch.rename(path)

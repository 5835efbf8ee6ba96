"""How a change moves into a service's repository: completely or not at all.

`git read-tree -m -u` moves a tree over, but a kill inside it leaves some files changed and some
not. So a journal names the tree before and the tree after; the working tree is changed first, with
an index of our own; one rename puts that index in the place of the repository's; what goes with the
change, such as new variables in `.env`, comes last. Whoever comes next finds the journal: if the
index is still the old one, the move is undone, otherwise it is completed. All of it lives in one
folder under the git directory, which is gone between commands.
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
    """What went with a change, beside the files that git knows."""

    variables: list[str]
    """What came into `.env`."""
    obstacle: str = ""
    """Why not all of it was possible."""


def recover(folder: Path, report: Report) -> None:
    """Undo or complete a change that was interrupted in the repository around `folder`.

    It comes before anything else is read of a service: in the middle of a move even the answers
    file may be missing, and `folder` too.

    Raises:
        BadInput: git will not work there, or another new-service is at the move for too long.
    """
    above = [each for each in (folder, *folder.parents) if each.is_dir()]
    # Asking git takes its time where there are many; `.git` may be a file, which git reads.
    inside = next((each / ".git" for each in above if (each / ".git").exists()), None)
    if inside is None or (inside.is_dir() and not (inside / STATE).exists()):
        return
    if not platforms.HAS_LOCKS:
        raise platforms.in_wsl(f"a change of {inside.parent} that is under way")
    repository = Repository.around(above[0])
    if repository.state.exists() and not _is_at_work(repository):
        with held(repository, report):
            pass


@contextmanager
def held(repository: Repository, report: Report) -> Iterator["Journal"]:
    """The right to change the repository, in which no change is interrupted any more.

    Its `state` is an empty folder meanwhile, and gone afterwards.

    Raises:
        BadInput: somebody else has it, or the git directory cannot be written.
    """
    # The lock is the kernel's, on a folder that is always there: none of ours can be left.
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
    """Whether another new-service prepares a change, of which nothing is to be seen yet."""
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
    """Who may change a repository, and has to write down what it does."""

    repository: Repository
    _descriptor: int

    @property
    def path(self) -> Path:
        """The file; it is there while a move is."""
        return self.repository.state / _JOURNAL

    @property
    def _lock_file(self) -> Path:
        return self.repository.state / "lock"

    def lock(self) -> None:
        """Take the lock of the repository; where a move is going on, wait for its end.

        Raises:
            BadInput: another new-service has it.
        """
        until = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                platforms.lock(self._descriptor, wait=False)
            except BlockingIOError as taken:
                # A move takes a moment, also one whose new-service was killed.
                if not self.path.exists() or time.monotonic() > until:
                    raise BadInput(
                        f"another new-service is changing {self.repository.root}.",
                        "wait until it has ended.",
                    ) from taken
                time.sleep(0.05)
            else:
                return

    def _git(self, *arguments: str, stdin: str | None = None, index: Path | None = None) -> str:
        """Git at the root; the lock lasts as long as it runs, whatever ends us."""
        return git(
            self.repository.root,
            *arguments,
            stdin=stdin,
            variables={"GIT_INDEX_FILE": str(index)} if index else None,
            keeping_open=[self._descriptor],
        )

    def move(self, changes: Iterable[Change], stages: Iterable[Stage]) -> Followed:
        """Make `changes` in working tree and index; paths in conflict get `stages` in the index.

        Paths are the service's. The objects are there already. What would interrupt it meanwhile
        is ignored.

        Raises:
            BadInput: the service has changed since it was read, or the move is impossible; all is
                as it was.
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
                # What is new comes to disk, also where the patterns of a sparse tree lack it.
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
                    "nothing was changed; see to the cause and try again.",
                ) from failed
            return self._complete(ours.prefix, changes)

    def _trees(self, changes: Iterable[Change]) -> tuple[str, str]:
        """The ids of the repository's whole tree, as it is and with `changes`."""
        trial, prefix = self.repository.state / "tree", self.repository.prefix
        old = self._git("rev-parse", "HEAD^{tree}")
        self._git("read-tree", old, index=trial)
        entries = [f"{each.new_mode} {each.new_id}\t{prefix}{each.path}" for each in changes]
        self._git("update-index", "-z", "--index-info", stdin=listed(entries), index=trial)
        return old, self._git("write-tree", index=trial)

    def _complete(self, prefix: str, changes: Iterable[Change]) -> Followed:
        """Do what goes with `changes` of the service at `prefix`; the move has ended then."""
        self._unlock_index()
        folder = self.repository.root / prefix
        try:
            forget_bytecode(folder, (each.path for each in changes if each.kind == "deleted"))
            followed = Followed(environment.extend(folder))
        except OSError as failed:
            obstacle = f"{failed.filename} is as it was: {failed.strerror}"
            followed = Followed([], f"{obstacle}; compare it with .env.example")
        self.path.unlink()
        return followed

    def _lock_index(self) -> None:
        """Take git's own lock of the index; a link to a file of ours tells whose it is."""
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
        """Undo or complete a move that was interrupted; says what was done, if anything was."""
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
        more = f"; edited since, and left as they are: {', '.join(left)}" if left else ""
        return f"an interrupted change was undone{more}"

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
        """Whether a file is the beginning of a version: git was stopped while it wrote that."""
        path = self.repository.root / change.path
        if path.is_symlink():
            return False
        written = path.read_bytes().decode("utf-8", "surrogateescape").rstrip("\n")
        versions = []
        if change.kind != "deleted":
            versions.append(change.new_id)
        if change.kind != "added":
            versions.append(change.old_id)  # an undoing was stopped as well
        return any(
            self._git("cat-file", "--filters", f"--path={change.path}", each).startswith(written)
            for each in versions
        )


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
    """Write a file so that it is there completely or not at all, also after a power cut."""
    scratch = path.with_name(f"{path.name}.part")
    with scratch.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    scratch.rename(path)

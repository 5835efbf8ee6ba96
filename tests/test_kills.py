"""A kill before and after every call that changes a file: the service is as before or as after.

By default each series takes moments that are spread over it; `--whole-series` takes all of them.
"""

from __future__ import annotations

import shlex
import shutil
import signal
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import pytest

from conftest import COMMAND, Required, clean_environment, run
from shop import FAST, commit, edit, git

MOMENTS = 8
COMMANDS = ("add example --yes", "remove database --yes", "update --to 2.0.0 --yes")
# What comes next, and from where; a folder may be missing in the middle of a move.
NEXT = ("status", "add none", "validate --only residue", "remove none", "update --to 0.0.1")
PLACES = (".", "src/shop", "src/shop/items", "tests/database")

# The command up to its move, which child after child makes, each in a process group of its own.
# It reads at which moment to kill one, and says how that ended and how many moments there were.
DRIVER = """
import os, struct, sys
from dataclasses import replace
from new_service import cli
from new_service.change import journal

move = journal.Journal.move
def moves(self, changes, stages):
    os.close(self._descriptor)
    counter = os.open(os.environ["KILL_COUNT"], os.O_RDWR)
    print(0, 0, file=sys.stderr, flush=True)
    for line in sys.stdin:
        os.pwrite(counter, struct.pack("qqq", 0, 0, int(line)), 0)
        child = os.fork()
        if child == 0:
            os.setsid()
            self.repository.state.mkdir(exist_ok=True)
            descriptor = os.open(self.repository.git_dir, os.O_RDONLY)
            ours = replace(self, _descriptor=descriptor)
            ours.lock()
            move(ours, changes, stages)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        moments = struct.unpack("qqq", os.pread(counter, 24, 0))[1]
        os.pwrite(counter, struct.pack("qqq", 0, 0, -1), 0)
        print(code, moments, file=sys.stderr, flush=True)
    os._exit(0)
journal.Journal.move = moves
cli.main()
"""


def preloaded(library: Path, counter: Path, below: Path, start: str) -> dict[str, str]:
    """The environment in which a command is killed; at no moment yet."""
    counter.write_bytes(struct.pack("qqq", 0, 0, -1))
    return clean_environment() | {
        "LD_PRELOAD": str(library),
        "KILL_COUNT": str(counter),
        "KILL_BELOW": str(below),
        "KILL_FROM": start,
    }


@pytest.fixture(scope="session")
def library(required: Required, tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = required.program("gcc", "apt-get install gcc libc6-dev")
    built = tmp_path_factory.mktemp("killer") / "kill_at.so"
    source = Path(__file__).with_name("kill_at.c")
    run(compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", built, source, "-ldl")
    return built


@pytest.fixture
def moments(whole_series: bool) -> Callable[[int], list[int]]:
    """Those of a series at which to kill: all, or some that are spread over it and the last."""

    def chosen(total: int) -> list[int]:
        return sorted(
            {*range(0, total, 1 if whole_series else max(1, total // MOMENTS)), total - 1}
        )

    return chosen


def copy(folder: Path, to: Path) -> None:
    """Copy a folder, and keep that two names in it are one file."""
    run("cp", "-a", f"{folder}/.", to)


@dataclass(frozen=True)
class Before:
    """A service as it was, to be restored and compared with."""

    folder: Path
    kept: Path
    head: str
    environment: str

    @classmethod
    def of(cls, folder: Path) -> Before:
        kept = folder.with_name("kept")
        copy(folder, kept)
        shutil.rmtree(kept / ".git" / "new-service")
        head = git(folder, "rev-parse", "HEAD")
        return cls(folder, kept, head, (folder / ".env").read_text())

    def restore(self, kept: Path | None = None) -> None:
        for each in self.folder.iterdir():
            shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
        copy(kept or self.kept, self.folder)

    def check(self, after: str) -> str:
        """See that nothing lies between before and after; which of the two it is."""
        folder = self.folder
        assert not (folder / ".git" / "new-service").exists()
        assert list((folder / ".git").glob("*.lock")) == []
        assert git(folder, "rev-parse", "HEAD") == self.head
        assert git(folder, "diff", "--name-only") == ""
        assert git(folder, "ls-files", "--others", "--exclude-standard") == ""
        run("git", "fsck", "--strict", "--no-dangling", cwd=folder)
        environment = (folder / ".env").read_text()
        assert environment.startswith(self.environment)
        tree = git(folder, "write-tree")
        if tree != after:
            assert tree == git(folder, "rev-parse", "HEAD^{tree}")
            return "before"
        example = (folder / ".env.example").read_text().splitlines()
        set_there = [line.partition("=")[0] for line in example if line[:1].isupper()]
        assert [name for name in set_there if f"{name}=" not in environment] == []
        return "after"


@pytest.fixture
def edited(shop: Path) -> Path:
    """A service with a module more, that accepts every version."""
    edit(shop / "pyproject.toml", '"~=1.0"', '">=1"')
    commit(shop)
    run(COMMAND, "add", "database", *FAST, "--yes", cwd=shop)
    commit(shop)
    return shop


@dataclass(frozen=True)
class Mover:
    """A command that moves as often as it is told to."""

    process: subprocess.Popen[str]
    before: Before

    @classmethod
    @contextmanager
    def started(cls, command: str, shop: Path, library: Path) -> Iterator[Mover]:
        counter = shop.with_name("counter")
        with subprocess.Popen(
            [sys.executable, "-c", DRIVER, *shlex.split(command), *FAST],
            cwd=shop,
            env=preloaded(library, counter, shop, "/new-service/lock"),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stderr
            assert process.stderr.readline() == "0 0\n"
            yield cls(process, Before.of(shop))
            process.communicate()

    def move(self, moment: int) -> tuple[int, int]:
        """Move, killed at `moment` if there is one; the exit code, and how many moments it was."""
        assert self.process.stdin
        assert self.process.stderr
        print(moment, file=self.process.stdin, flush=True)
        said = self.process.stderr.readline()
        assert said[:1] in "-0123456789", said
        code, moments = said.split()
        return int(code), int(moments)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_change_that_is_killed_at_any_file_is_undone_or_completed(
    command: str,
    edited: Path,
    library: Path,
    moments: Callable[[int], list[int]],
    whole_series: bool,
) -> None:
    found: Counter[str] = Counter()
    turns, places = cycle(NEXT), cycle(PLACES)
    with Mover.started(command, edited, library) as mover:
        code, total = mover.move(-1)
        assert code == 0
        after = git(edited, "write-tree")
        for moment in moments(total):
            for following in NEXT if whole_series else (next(turns),):
                mover.before.restore()
                code, _ = mover.move(moment)
                assert code == -signal.SIGKILL
                go_on(edited, following, next(places))
                found[mover.before.check(after)] += 1
    print(f"{command}: {total} moments, {found.total()} kills, {dict(found)}")

    assert found["before"]
    assert found["after"]


def go_on(shop: Path, command: str, place: str) -> None:
    """Run the next command in a folder of the service, or for it where it is missing."""
    verb, *rest = shlex.split(command)
    folder = shop / place
    if folder.is_dir():
        run(COMMAND, verb, *rest, cwd=folder, check=False)
    else:
        named = [folder] if verb in {"status", "validate"} else ["--project", folder]
        run(COMMAND, verb, *rest, *named, cwd=shop, check=False)


@pytest.mark.parametrize("outcome", ["before", "after"])
def test_a_recovery_that_is_killed_is_taken_up_again(
    outcome: str, edited: Path, library: Path, moments: Callable[[int], list[int]]
) -> None:
    left, counter = edited.with_name("left"), edited.with_name("counter")
    with Mover.started("update --to 2.0.0 --yes", edited, library) as mover:
        before = mover.before
        _, total = mover.move(-1)
        after = git(edited, "write-tree")
        for moment in reversed(range(total)):  # the last from which there is something to do
            before.restore()
            mover.move(moment)
            if (edited / ".git" / "new-service" / "journal").exists():
                copy(edited, left)
                run(COMMAND, "status", cwd=edited)
                if before.check(after) == outcome:
                    break
                shutil.rmtree(left)
    before.restore(left)
    found: Counter[str] = Counter()
    _, total = killed_status(edited, library, counter, -1)
    for moment in moments(total):
        before.restore(left)
        assert killed_status(edited, library, counter, moment)[0] == -signal.SIGKILL
        run(COMMAND, "status", cwd=edited)
        found[before.check(after)] += 1
    print(f"recovery to {outcome}: {total} moments, {found.total()} kills, {dict(found)}")

    assert set(found) == {outcome}


def killed_status(shop: Path, library: Path, counter: Path, moment: int) -> tuple[int, int]:
    """`status`, killed at `moment` if there is one; the exit code, and how many moments it was."""
    environment = preloaded(library, counter, shop, "")
    counter.write_bytes(struct.pack("qqq", 0, 0, moment))
    done = subprocess.run(
        [COMMAND, "status"],
        cwd=shop,
        env=environment,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return done.returncode, struct.unpack("qqq", counter.read_bytes())[1]

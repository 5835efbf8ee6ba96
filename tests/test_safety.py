"""Whatever happens during a change: the service is as before or as after, nothing is lost."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import COMMAND, Required, Run, clean_environment, run
from shop import FAST, commit, create, failure, git, status

MOMENTS, WHOLE = 7, 25
FILES = 4000
MOVE = """
import os
import sys
from pathlib import Path
import new_service.change.journal as module
from new_service.system.screen import Report
from new_service.change.repository import Repository
from new_service.system.trees import differences

repository = Repository.around(Path(sys.argv[1]))
if "--stop" in sys.argv:
    module._unmerged = lambda *_: os._exit(9)  # between working tree and index
with module.held(repository, Report()) as journal:
    service = repository.prefix.rstrip("/")
    changes = differences(repository.root, f"HEAD:{service}", f"next:{service}")
    print("moving", flush=True)
    journal.move(changes, [])
"""


def kill(process: subprocess.Popen[str], *, family: bool) -> None:
    """SIGKILL, to the process alone or to all that it has started."""
    if family:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    ended(process)


def ended(process: subprocess.Popen[str]) -> int:
    """Its exit code."""
    process.communicate()
    return process.returncode


def start(*command: str | Path, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(each) for each in command],
        cwd=cwd,
        env=clean_environment(),
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def is_whole(shop: Path, head: str, after: str) -> str:
    """See that nothing lies between before and after; the tree that it is."""
    run(COMMAND, "validate", "--only", "residue", cwd=shop)  # the next command
    assert not (shop / ".git" / "new-service").exists()
    assert not (shop / ".git" / "index.lock").exists()
    assert git(shop, "rev-parse", "HEAD") == head
    assert git(shop, "diff", "--name-only") == ""
    assert git(shop, "ls-files", "--others", "--exclude-standard") == ""
    tree = git(shop, "write-tree")
    assert tree in {git(shop, "rev-parse", "HEAD^{tree}"), after}
    return tree


def spread(seconds: float, count: int) -> list[float]:
    """Moments spread over a time, in seconds from its beginning."""
    return [seconds * moment / count for moment in range(count)]


@pytest.fixture
def moments(whole_series: bool) -> int:
    """How many there are in a series."""
    return WHOLE if whole_series else MOMENTS


def test_killed_at_any_moment_of_an_update(shop: Path, moments: int) -> None:
    head = git(shop, "rev-parse", "HEAD")
    started = time.monotonic()
    run(COMMAND, "update", *FAST, cwd=shop)
    seconds = time.monotonic() - started
    after = git(shop, "write-tree")
    for number, moment in enumerate(spread(seconds, moments)):
        git(shop, "reset", "--hard", "--quiet")
        process = start(COMMAND, "update", *FAST, cwd=shop)
        time.sleep(moment)
        kill(process, family=number % 2 == 0)
        is_whole(shop, head, after)
    git(shop, "reset", "--hard", "--quiet")

    run(COMMAND, "update", *FAST, cwd=shop)
    assert git(shop, "write-tree") == after


@pytest.fixture
def large(shop: Path) -> Path:
    """The service with thousands of files, which a commit `next` changes, adds or deletes."""
    data = shop / "data.d"
    for number in range(FILES):
        (data / str(number % 50)).mkdir(parents=True, exist_ok=True)
        (data / str(number % 50) / f"{number}.txt").write_text(f"{number}\n" * 20)
    strange = data / '"two\nlines\\.txt'
    strange.write_text("before\n")
    commit(shop)
    before = git(shop, "rev-parse", "HEAD")
    strange.write_text("after\n")
    for number in range(0, FILES, 3):
        (data / str(number % 50) / f"{number}.txt").unlink()
        (data / str((number + 1) % 50) / f"{number + 1}.txt").write_text(f"new {number}\n" * 2000)
        (data / f"new {number % 50}").mkdir(exist_ok=True)
        (data / f"new {number % 50}" / f"{number}.txt").write_text(f"{number}\n")
    commit(shop)
    git(shop, "branch", "next")
    git(shop, "reset", "--hard", "--quiet", before)
    return shop


def test_killed_at_any_moment_of_a_large_move(large: Path, moments: int) -> None:
    head, after = git(large, "rev-parse", "HEAD"), git(large, "rev-parse", "next^{tree}")
    with start(sys.executable, "-c", MOVE, large, cwd=large) as process:
        assert process.stdout
        assert process.stdout.readline() == "moving\n"
        started = time.monotonic()
        assert process.wait() == 0
        seconds = time.monotonic() - started
    assert is_whole(large, head, after) == after
    undone = 0
    for number, moment in enumerate(spread(seconds, moments)):
        git(large, "reset", "--hard", "--quiet")
        process = start(sys.executable, "-c", MOVE, large, cwd=large)
        assert process.stdout
        assert process.stdout.readline() == "moving\n"
        time.sleep(moment)
        kill(process, family=number % 2 == 0)
        undone += (large / ".git" / "new-service" / "journal").exists()
        is_whole(large, head, after)

    assert undone > moments / 5  # enough of them hit the move itself


def test_edits_made_after_a_kill_are_left_alone(large: Path) -> None:
    stopped = run(sys.executable, "-c", MOVE, large, "--stop", check=False)
    assert stopped.returncode == 9
    mine, gone = large / "data.d" / "1" / "1.txt", large / "data.d" / "3" / "3.txt"
    assert "new" in mine.read_text()
    assert not gone.exists()
    mine.write_text("mine\n")
    (large / "data.d" / "new 0" / "0.txt").write_text("mine, too\n")
    told = run(COMMAND, "update", "--dry-run", *FAST, cwd=large, check=False)

    assert "are left as they are: data.d/1/1.txt, data.d/new 0/0.txt" in told.stdout
    assert status(large) == [" M data.d/1/1.txt", '?? "data.d/new 0/0.txt"']
    assert mine.read_text() == "mine\n"
    assert gone.read_text() == "3\n" * 20


def test_interrupted_update_leaves_everything_as_it_was(shop: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        process = start(COMMAND, "update", *FAST, cwd=shop)
        state = shop / ".git" / "new-service" / "service"
        until = time.monotonic() + 30
        while not state.exists() and time.monotonic() < until:
            time.sleep(0.01)
        os.kill(process.pid, number)

        assert ended(process) == 130
        assert not (shop / ".git" / "new-service").exists()
        assert status(shop) == []


def test_two_changes_at_once_are_refused(shop: Path, change: Run) -> None:
    descriptor = os.open(shop / ".git", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # as the other one does
        refused = failure(change("update", check=False), 2)
    finally:
        os.close(descriptor)

    assert "another new-service is changing" in refused
    change("update")


def test_files_that_git_does_not_know_are_never_overwritten(shop: Path, change: Run) -> None:
    with (shop / ".gitignore").open("a") as ignored:
        ignored.write("NOTES.md\n")
    commit(shop)
    (shop / "NOTES.md").write_text("Mine alone.\n")
    for options in ((), ("--allow-conflicts",)):
        refused = change("update", *options, check=False)
        assert refused.returncode == 3
        assert "NOTES.md" in refused.stdout.partition("in the way")[2]
    assert (shop / "NOTES.md").read_text() == "Mine alone.\n"

    (shop / "NOTES.md").unlink()
    (shop / "NOTES.md").mkdir()
    (shop / "NOTES.md" / "mine").touch()
    document = json.loads(change("update", "--json", check=False).stdout)
    assert document["would_lose"] == ["NOTES.md/mine"]
    assert status(shop) == []

    shutil.rmtree(shop / "NOTES.md")
    change("update")
    assert (shop / "NOTES.md").read_text() == "Notes.\n"


HOSTILE = """
[core]
    autocrlf = true
    hooksPath = {hooks}
    excludesFile = {excludes}
    quotePath = true
[commit]
    gpgSign = true
[tag]
    gpgSign = true
[gpg]
    program = /bin/false
[init]
    templateDir = {templates}
    defaultBranch = trunk
[status]
    showUntrackedFiles = no
    relativePaths = false
[diff]
    noprefix = true
    mnemonicPrefix = true
    external = /bin/false
[apply]
    whitespace = error
[merge]
    conflictStyle = diff3
[safe]
    bareRepository = explicit
[user]
    useConfigOnly = true
"""


@pytest.fixture
def hostile_home(tmp_path: Path) -> Path:
    """A home whose git configuration would spoil what happens in a repository of ours."""
    home = tmp_path / "home"
    for folder in ("hooks", "templates/hooks"):
        (home / folder).mkdir(parents=True)
        for hook in ("pre-commit", "post-checkout", "post-index-change", "commit-msg"):
            (home / folder / hook).write_text("#!/bin/sh\necho spoiled >> README.md\nexit 1\n")
            (home / folder / hook).chmod(0o755)
    (home / "excludes").write_text("*.py\nNOTES.md\n*.toml\n")
    (home / ".gitconfig").write_text(
        HOSTILE.format(
            hooks=home / "hooks", excludes=home / "excludes", templates=home / "templates"
        )
    )
    return home


def test_git_configuration_of_the_user_does_not_get_in_the_way(
    shop: Path, hostile_home: Path, tmp_path: Path
) -> None:
    plain = Path(shutil.copytree(shop, tmp_path / "plain"))
    run(COMMAND, "update", *FAST, cwd=plain)
    environment = {"HOME": str(hostile_home), "XDG_CONFIG_HOME": str(hostile_home)}
    told = run(COMMAND, "update", *FAST, cwd=shop, env=environment)

    assert "nothing is committed" in told.stdout
    assert git(shop, "write-tree") == git(plain, "write-tree")
    assert (shop / "NOTES.md").read_bytes() == b"Notes.\r\n"  # as the user wants it
    assert "spoiled" not in (shop / "README.md").read_text()
    run("git", "-c", "core.hooksPath=/", "add", "--update", cwd=shop, env=environment)
    assert git(shop, "write-tree") == git(plain, "write-tree")
    git(shop, "reset", "--hard", "--quiet")
    (shop / "untracked.txt").touch()
    refused = run(COMMAND, "update", *FAST, cwd=shop, env=environment, check=False)
    assert "not clean: untracked.txt" in failure(refused, 2)


def test_git_configuration_of_the_user_does_not_get_in_the_way_of_removal(
    shop: Path, change: Run, hostile_home: Path
) -> None:
    change("add", "example", "--yes")
    commit(shop)
    environment = {"HOME": str(hostile_home), "XDG_CONFIG_HOME": str(hostile_home)}
    run(COMMAND, "remove", "example", "database", *FAST, cwd=shop, env=environment)

    assert not (shop / "src" / "shop" / "database").exists()


def test_variables_of_git_that_a_hook_has_do_not_get_in_the_way(shop: Path, tmp_path: Path) -> None:
    plain = Path(shutil.copytree(shop, tmp_path / "plain"))
    run(COMMAND, "update", *FAST, cwd=plain)
    environment = {
        "GIT_DIR": str(shop / ".git"),
        "GIT_WORK_TREE": str(shop),
        "GIT_INDEX_FILE": str(shop / ".git" / "index"),
        "GIT_PREFIX": "",
        "GIT_CONFIG_PARAMETERS": "'core.autocrlf'='true'",
    }
    run(COMMAND, "update", *FAST, cwd=shop, env=environment)

    assert git(shop, "write-tree") == git(plain, "write-tree")
    assert (shop / "NOTES.md").read_text() == "Notes.\n"


def test_line_ends_by_attributes_do_not_get_in_the_way(shop: Path, change: Run) -> None:
    (shop / ".gitattributes").write_text("* text=auto eol=crlf\n")
    commit(shop)
    git(shop, "rm", "-r", "--cached", "--quiet", ".")
    git(shop, "reset", "--hard", "--quiet")
    before = git(shop, "rev-parse", "HEAD^{tree}")
    for command in ("add example", "remove example", "remove database"):
        change(*command.split(), "--yes")
        commit(shop)

    assert git(shop, "rev-parse", "HEAD^{tree}") == before


def test_strange_names_do_not_get_in_the_way(shop: Path, change: Run) -> None:
    for name in ("é.txt", "*[a].txt", 'quo"te.txt', "two\nlines.txt", " space ", ":(top)", "-x"):
        (shop / name).write_text("mine\n")
    commit(shop)
    before = git(shop, "rev-parse", "HEAD^{tree}")
    for command in ("add", "remove"):
        change(command, "database")
        commit(shop)

    assert git(shop, "rev-parse", "HEAD^{tree}") == before
    assert (shop / "é.txt").read_text() == "mine\n"


def test_files_that_the_owner_took_over_stay(shop: Path, change: Run) -> None:
    change("add", "example", "--yes")
    commit(shop)
    vendored = shop / "src" / "shop" / "items" / "vendored.pyc"
    (shop / ".git" / "info" / "exclude").write_text("*.pyc\n")
    vendored.touch()
    change("remove", "example")
    commit(shop)
    assert vendored.is_file()
    git(shop, "checkout", "--quiet", "HEAD~1", "--", "src/shop/items")
    commit(shop)
    change("remove", "database")

    assert (shop / "src" / "shop" / "items" / "router.py").is_file()


def test_an_index_that_is_locked_is_waited_for_and_then_left_alone(shop: Path, change: Run) -> None:
    (shop / ".git" / "index.lock").touch()
    refused = change("update", check=False)
    assert "index.lock" in refused.stderr
    assert refused.returncode == 2
    (shop / ".git" / "index.lock").unlink()

    assert status(shop) == []
    assert not (shop / ".git" / "new-service").exists()


MEANWHILE = """#!/bin/sh
# A git in front of the real one: once the change is computed, somebody else is quicker.
case "$*" in *unpack-objects*)
    if mkdir "{done}" 2> /dev/null; then (cd "{shop}" && PATH="{path}" && {action}) >&2; fi
esac
PATH="{path}" exec git "$@"
"""
OWN = "git -c user.name=t -c user.email=t@localhost commit --quiet"


@pytest.mark.parametrize(
    ("action", "left"),
    [
        (f"echo mine >> README.md && {OWN} --all --message mine", []),
        (f"echo mine > mine.txt && git add mine.txt && {OWN} --message mine", []),
        ("echo mine >> README.md && git add README.md", ["M  README.md"]),
        ("echo mine >> README.md", [" M README.md"]),
        ("git checkout --quiet -b other HEAD~1", []),
        ("echo mine > NOTES.md", ["?? NOTES.md"]),
        ("echo NOTES.md > .git/info/exclude && echo mine > NOTES.md", []),
    ],
    ids=["commit", "new file", "stage", "edit", "branch", "obstacle", "ignored obstacle"],
)
def test_what_others_do_meanwhile_is_never_undone(
    action: str, left: list[str], shop: Path, tmp_path: Path
) -> None:
    (shop / "earlier.txt").touch()
    commit(shop)
    programs = tmp_path / "programs"
    programs.mkdir()
    path = clean_environment()["PATH"]
    script = MEANWHILE.format(done=tmp_path / "done", shop=shop, path=path, action=action)
    (programs / "git").write_text(script)
    (programs / "git").chmod(0o755)
    environment = {"PATH": f"{programs}:{path}"}
    refused = run(COMMAND, "update", *FAST, cwd=shop, env=environment, check=False)

    assert refused.returncode == 2
    assert "meanwhile, so nothing was applied" in refused.stderr
    assert "start again" in refused.stderr
    assert (tmp_path / "done").exists()
    assert status(shop) == left
    assert "The end of the settings." not in (shop / "src" / "shop" / "settings.py").read_text()
    assert not (shop / ".git" / "new-service").exists()
    assert not (shop / ".git" / "index.lock").exists()


STOPPED = """
import os, signal
from new_service import cli
from new_service.change import journal

move = journal.Journal._lock_index
def interrupted(self):
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    move(self)
journal.Journal._lock_index = interrupted
cli.main()
"""


def test_an_interrupt_during_the_move_comes_to_nothing(shop: Path) -> None:
    done = run(sys.executable, "-c", STOPPED, "add", "database", *FAST, cwd=shop)

    assert "nothing is committed" in done.stdout
    assert "DATABASE_URL=" in (shop / ".env").read_text()


def test_an_interrupted_move_in_another_service_of_the_repository_is_undone(
    versions: Path, tmp_path: Path
) -> None:
    root = tmp_path / "mono"
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
    git(root, "init", "--quiet")
    one, other = (create(root / name, versions, "1.0.0") for name in ("a", "b"))
    commit(root)
    before = git(root, "rev-parse", "HEAD")
    run(COMMAND, "update", *FAST, cwd=one)
    commit(root)
    git(root, "branch", "next")
    git(root, "reset", "--hard", "--quiet", before)
    assert run(sys.executable, "-c", MOVE, one, "--stop", check=False).returncode == 9
    assert (one / "NOTES.md").exists()
    (root / ".git" / "index.lock").unlink()  # as git says in such a case
    (other / "README.md").write_text("mine\n")
    git(root, "add", "b")
    refused = run(COMMAND, "update", *FAST, cwd=other, check=False)

    assert "not clean: README.md" in refused.stderr
    assert status(root) == ["M  b/shop/README.md"]


def test_a_reader_that_goes_away_does_not_matter(shop: Path) -> None:
    done = run("sh", "-c", f"{COMMAND} update --no-lock --no-check | head -c 1", cwd=shop)

    assert done.stderr == ""
    assert not (shop / ".git" / "new-service").exists()


def test_a_submodule_in_the_way_is_left_alone(shop: Path, change: Run, versions: Path) -> None:
    git(
        shop, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(versions),
        "src/shop/database",
    )  # fmt: skip
    commit(shop)
    refused = change("add", "database", check=False)

    assert refused.returncode == 2
    assert "src/shop/database is a submodule" in refused.stderr
    assert status(shop) == []


ENVIRONMENT = """
mount --bind "$2/.env" "$2/.env"; mount -o remount,bind,ro "$2/.env"; cd "$2"
"$1" add database --no-lock --no-check
"""


def test_an_environment_file_that_cannot_be_written_is_told(shop: Path, required: Required) -> None:
    told = in_namespace(required, ENVIRONMENT, COMMAND, shop, cwd=shop)

    assert ".env was not changed: Read-only file system" in told
    assert "A  src/shop/database/engine.py" in status(shop)


def test_a_service_in_a_folder_of_a_larger_repository(versions: Path, tmp_path: Path) -> None:
    root = tmp_path / "mono répo"
    folder = root / "all services" / "für 'uns'"
    folder.mkdir(parents=True)
    (root / "other.txt").write_text("other\n")
    git(root, "init", "--quiet")
    shop = create(folder, versions, "1.0.0")
    commit(root)
    git(root, "checkout", "--quiet", "--detach")
    (root / "other.txt").write_text("changed\n")
    (root / "all services" / "new.txt").touch()
    inside = shop / "src" / "shop"
    told = json.loads(run(COMMAND, "update", "--json", *FAST, cwd=inside).stdout)

    assert told["project"] == str(shop)
    assert "NOTES.md" in {each["path"] for each in told["changes"]}
    place = "all services/für 'uns'/shop"
    listed = run("git", "-c", "core.quotePath=false", "status", "--porcelain", "-z", cwd=root)
    assert sorted(listed.stdout.split("\0")[:-1]) == sorted(
        [
            " M other.txt",
            "?? all services/new.txt",
            f"M  {place}/.copier-answers.yml",
            f"A  {place}/NOTES.md",
            f"M  {place}/src/shop/settings.py",
        ]
    )
    assert (shop / "NOTES.md").is_file()
    git(root, "commit", "--quiet", "-m", "x", "--", "all services")
    run(COMMAND, "add", "example", "--yes", "--project", shop, *FAST, cwd=root)
    assert (inside / "items" / "router.py").is_file()


def test_a_service_in_a_worktree_and_in_a_submodule(shop: Path, tmp_path: Path) -> None:
    git(shop, "worktree", "add", "--quiet", "--detach", str(tmp_path / "work tree"))
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "--quiet")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(shop), "sub")
    for place in (tmp_path / "work tree", outer / "sub"):
        run(COMMAND, "update", *FAST, cwd=place)
        assert "A  NOTES.md" in status(place)
    assert status(shop) == []
    assert len(git(shop, "worktree", "list").splitlines()) == 2


def in_namespace(required: Required, script: str, *arguments: str | Path, cwd: Path) -> str:
    """What a script prints that may mount file systems of its own."""
    unshare = ["unshare", "--map-root-user", "--mount"]
    allowed = subprocess.run([*unshare, "true"], capture_output=True, check=False)
    required.of(allowed.returncode == 0 or None, "mount namespaces are not allowed: unshare(1)")
    return run(*unshare, "bash", "-euc", script, "-", *arguments, cwd=cwd).stdout


FULL = """
mkdir full; mount -t tmpfs -o size=32m none full
cp -r "$2" full/shop; cd full/shop
for room in 0 8 32 64 128 256 512; do
    dd if=/dev/zero of=../ballast bs=1k count=40000 2> /dev/null || true
    truncate --size=-$((room * 1024)) ../ballast
    code=0; "$1" update --no-lock --no-check > /dev/null 2> ../../words || code=$?
    rm ../ballast
    test ! -e .git/new-service && test ! -e .git/index.lock
    git diff --quiet
    if test $code = 0; then git reset --hard --quiet; else grep -q "^hint: " ../../words; fi
    test -z "$(git status --porcelain)"
    echo $code
done
"""


def test_a_full_disk_changes_nothing(shop: Path, tmp_path: Path, required: Required) -> None:
    codes = in_namespace(required, FULL, COMMAND, shop, cwd=tmp_path).split()

    assert codes[0] == "2"
    assert codes[-1] == "0"
    assert set(codes) == {"0", "2"}


READ_ONLY = """
mount --bind "$2/$3" "$2/$3"; mount -o remount,bind,ro "$2/$3"; cd "$2"
code=0; "$1" update --no-lock --no-check || code=$?
cd /; umount "$2/$3"; cd "$2"
test -z "$(git status --porcelain)" && test ! -e .git/new-service
echo $code
"""


@pytest.mark.parametrize("place", [".", ".git", "src"])
def test_a_read_only_tree_is_left_alone(place: str, shop: Path, required: Required) -> None:
    told = in_namespace(required, READ_ONLY, COMMAND, shop, place, cwd=shop)

    assert told.split()[-1] == "2"

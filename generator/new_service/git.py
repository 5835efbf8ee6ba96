"""The few things new-service asks of git."""

import os
import re
import subprocess
from pathlib import Path

RELEASE = re.compile(r"v\d+\.\d+\.\d+")
# A caller's own (a hook's, say) would point our commands at another repository.
_OF_THE_CALLER = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY")


def environment() -> dict[str, str]:
    """The environment for git: no prompt, English messages, no repository of the caller's."""
    kept = {name: value for name, value in os.environ.items() if name not in _OF_THE_CALLER}
    return kept | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"}


def git(folder: Path, *arguments: str, timeout: float | None = None) -> str:
    """Run git in `folder` and return what it prints, stripped.

    Raises:
        subprocess.CalledProcessError: git ended non-zero; `stderr` says why.
        subprocess.TimeoutExpired: it took longer than `timeout` seconds.
    """
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment(),
        stdin=subprocess.DEVNULL,
        timeout=timeout,
    )
    return done.stdout.strip()


def describe(repository: Path, commit: str) -> str:
    """The version of `commit`: `1.2.0`, then `1.2.0.postN+HASH`; unreleased `0.0.0.devN+HASH`.

    N counts commits. The forms are those of PEP 440.

    Raises:
        subprocess.CalledProcessError: the repository has no such commit.
    """
    short = git(repository, "rev-parse", "--short=10", f"{commit}^{{commit}}")
    tags = git(repository, "tag", "--merged", short, "--sort=-v:refname").split()
    release = next((tag for tag in tags if RELEASE.fullmatch(tag)), None)
    since = git(repository, "rev-list", "--count", short, *([f"^{release}"] if release else []))
    if release is None:
        return f"0.0.0.dev{since}+{short}"
    plain = release.removeprefix("v")
    return plain if since == "0" else f"{plain}.post{since}+{short}"


def is_inside_work_tree(folder: Path) -> bool:
    """Whether `folder` belongs to a git repository."""
    try:
        return git(folder, "rev-parse", "--is-inside-work-tree") == "true"
    except subprocess.CalledProcessError:
        return False


def commit_all(folder: Path, message: str) -> None:
    """Commit everything in `folder` that git does not ignore.

    Hooks, signing and global ignores of the user's are for the user's own commits; without an
    identity a fallback one is used, for this commit only.

    Raises:
        subprocess.CalledProcessError: git refuses; `stderr` says why.
    """
    ours = ["-c", "core.hooksPath=/dev/null", "-c", "commit.gpgSign=false"]
    try:
        git(folder, "var", "GIT_AUTHOR_IDENT")
        git(folder, "var", "GIT_COMMITTER_IDENT")
    except subprocess.CalledProcessError:
        ours += ["-c", "user.name=new-service", "-c", "user.email=new-service@localhost"]
    git(folder, "-c", "core.excludesFile=/dev/null", "add", "--all")
    git(folder, *ours, "commit", "--quiet", "--message", message)

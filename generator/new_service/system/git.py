"""The few things new-service asks of git."""

import os
import re
import subprocess
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path

from .errors import BadInput, ProgramMissing

RELEASE = re.compile(r"v\d+\.\d+\.\d+")
_OLDEST = (2, 32)  # GIT_CONFIG_GLOBAL keeps the user's settings out of it
_IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "new-service"), ("EMAIL", "new-service@localhost"))
}


def environment() -> dict[str, str]:
    """The environment for git: no prompt, English messages, names that are no patterns."""
    ours = {"GIT_TERMINAL_PROMPT": "0", "GIT_LITERAL_PATHSPECS": "1", "LC_ALL": "C.UTF-8"}
    return {**os.environ, **ours}


def appended(*settings: tuple[str, str]) -> dict[str, str]:
    """Variables for a git that has `settings` after those of its user."""
    given = os.environ.get("GIT_CONFIG_COUNT", "")
    return _numbered(settings, int(given) if given.isdecimal() else 0)


def _numbered(settings: Collection[tuple[str, str]], start: int) -> dict[str, str]:
    variables = {"GIT_CONFIG_COUNT": str(start + len(settings))}
    for at, (key, value) in enumerate(settings, start):
        variables |= {f"GIT_CONFIG_KEY_{at}": key, f"GIT_CONFIG_VALUE_{at}": value}
    return variables


def isolated(settings: Mapping[str, str]) -> dict[str, str]:
    """Variables for a git that has `settings` and an identity, and nothing of its user's.

    Hooks, signing, line ends, ignored names and filters have no say then, nor has what forbids to
    read other repositories on this disk.
    """
    settings = {
        "safe.directory": "*",
        "safe.bareRepository": "all",
        "gc.auto": "0",
        "core.fsync": "none",  # what is made so is temporary
        **settings,
    }
    variables = {
        **_IDENTITY,
        "GIT_CONFIG_GLOBAL": "/dev/null",  # which git knows on Windows, too
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_PARAMETERS": "",
        "GIT_TEMPLATE_DIR": "",
        "GIT_PROTOCOL_FROM_USER": "1",
        **_numbered(settings.items(), 0),
    }
    allowed = os.environ.get("GIT_ALLOW_PROTOCOL")
    if allowed is not None:
        variables["GIT_ALLOW_PROTOCOL"] = f"file:{allowed}"
    return variables


def git(
    folder: Path,
    *arguments: str,
    timeout: float | None = None,
    stdin: str | None = None,
    variables: Mapping[str, str] | None = None,
    keeping_open: Collection[int] = (),
) -> str:
    """Run git in `folder` and return what it prints, without the line ends at the end.

    `variables` are added to the environment; the descriptors in `keeping_open` stay open in git.

    Raises:
        ProgramMissing: git is not installed, or too old.
        subprocess.CalledProcessError: git ended non-zero; `stderr` says why.
        subprocess.TimeoutExpired: it took longer than `timeout` seconds.
    """
    _check_program()
    # Hooks are for the user's own commands; bare clones are ours.
    settings = ("-c", "core.hooksPath=/dev/null", "-c", "safe.bareRepository=all")
    command = ["git", "-C", str(folder), *settings, *arguments]
    # In bytes: file names may be any, and line ends are left alone.
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        env={**environment(), **(variables or {})},
        input=(stdin or "").encode("utf-8", "surrogateescape"),
        timeout=timeout,
        pass_fds=keeping_open,
    )
    output = done.stdout.decode("utf-8", "surrogateescape")
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace")
        raise subprocess.CalledProcessError(done.returncode, command, output, said)
    return output.rstrip("\n")


@cache
def _check_program() -> None:
    oldest = ".".join(map(str, _OLDEST))
    hint = f"install git {oldest} or newer, and put it on PATH."
    try:
        done = subprocess.run(["git", "--version"], capture_output=True, check=False)
    except (FileNotFoundError, PermissionError) as missing:
        raise ProgramMissing("git is not installed.", hint) from missing
    if done.returncode != 0:  # as macOS has it without its developer tools
        said = done.stderr.decode("utf-8", "replace").strip()
        raise ProgramMissing(f"git does not run: {said}", hint)
    found = re.search(r"(\d+)\.(\d+)[.\d]*", done.stdout.decode("utf-8", "replace"))
    if found and (int(found[1]), int(found[2])) < _OLDEST:
        raise ProgramMissing(f"git {found[0]} is too old.", hint)


def names(output: str) -> list[str]:
    """The names in what git prints with `-z`."""
    return [name for name in output.split("\0") if name]


def listed(items: Iterable[str]) -> str:
    """`items` as git reads them with `-z`."""
    return "".join(f"{item}\0" for item in items)


def describe(repository: Path, commit: str) -> str:
    """The version of `commit`: `1.2.0`, then `1.2.0.postN+HASH`; unreleased `0.0.0.devN+HASH`.

    N counts commits. The forms are those of PEP 440.

    Raises:
        subprocess.CalledProcessError: the repository has no such commit.
    """
    tags = git(repository, "tag", "--merged", commit, "--sort=-v:refname").split()
    release = next((tag for tag in tags if RELEASE.fullmatch(tag)), None)
    since = git(repository, "rev-list", "--count", commit, *([f"^{release}"] if release else []))
    plain = release.removeprefix("v") if release else ""
    if plain and since == "0":
        return plain
    short = git(repository, "rev-parse", "--short=10", f"{commit}^{{commit}}")
    return f"{plain}.post{since}+{short}" if plain else f"0.0.0.dev{since}+{short}"


def is_inside_work_tree(folder: Path) -> bool:
    """Whether `folder` belongs to a git repository.

    Raises:
        BadInput: it belongs to one that git refuses to read.
    """
    try:
        return git(folder, "rev-parse", "--is-inside-work-tree") == "true"
    except subprocess.CalledProcessError as failed:
        check_refusal(folder, failed)
        return False


def check_refusal(folder: Path, failed: subprocess.CalledProcessError) -> None:
    """See that git failed in `folder` for want of a repository, and for nothing else.

    Raises:
        BadInput: there is one, but it is broken, or another user's.
    """
    said = " ".join(str(failed.stderr).split()).removeprefix("fatal: ")
    # Git passes by a folder that it may not open, and names the target of a broken `.git` file.
    above = [each / ".git" for each in (folder, *folder.parents)]
    closed = [each for each in above if each.is_dir() and not os.access(each, os.R_OK | os.X_OK)]
    if closed:
        said = f"{closed[0]} may not be read"
    elif said.startswith("not a git repository (or any "):
        return
    raise BadInput(
        f"git refuses to work in {folder}: {said.rstrip('.')}.",
        "mend that first, until `git status` works there.",
    ) from failed


def left_out(folder: Path) -> list[str]:
    """The files below `folder` that git tracks, but keeps out of a sparse working tree.

    Raises:
        subprocess.CalledProcessError: there is no repository that git reads.
    """
    tagged = names(git(folder, "ls-files", "-t", "-z"))
    return [line.removeprefix("S ") for line in tagged if line.startswith("S ")]


def is_sparse(folder: Path) -> bool:
    """Whether `folder` is in a sparse working tree."""
    try:
        return git(folder, "config", "--type=bool", "core.sparseCheckout") == "true"
    except (subprocess.CalledProcessError, ProgramMissing):  # not set, or there is no git
        return False


def commit_all(folder: Path, message: str) -> None:
    """Commit everything in `folder` that its own .gitignore files do not name.

    Signing and ignored names of the user's are for the user's own commits; without an
    identity a fallback one is used, for this commit only.

    Raises:
        subprocess.CalledProcessError: git refuses; `stderr` says why.
    """
    ours = ["-c", "commit.gpgSign=false"]
    try:
        git(folder, "var", "GIT_AUTHOR_IDENT")
        git(folder, "var", "GIT_COMMITTER_IDENT")
    except subprocess.CalledProcessError:
        ours += ["-c", "user.name=new-service", "-c", "user.email=new-service@localhost"]
    git(folder, "add", "--update")
    # Not `add --all`: it heeds .git/info/exclude too, which may come from a user's git template.
    new = git(folder, "ls-files", "-z", "--others", "--exclude-per-directory=.gitignore")
    git(folder, "add", "--force", "--pathspec-from-file=-", "--pathspec-file-nul", stdin=new)
    git(folder, *ours, "commit", "--quiet", "--message", message)

"""The checks that run without the service's environment; `boot` has a file of its own."""

import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..system.errors import BadInput, NewServiceError, TemplateUnavailable
from ..system.git import check_refusal, git, is_inside_work_tree, isolated, names
from ..system.places import place
from ..system.programs import uv
from ..system.screen import Report, Step
from ..template import source
from . import workspace
from .folder import Service
from .locking import undated


class Failed(Exception):
    """A check's answer is no; the message is what it shows."""


@dataclass(frozen=True)
class Result:
    """The outcome of one check."""

    name: str
    status: Literal["passed", "failed", "skipped"]
    seconds: float
    detail: str

    @classmethod
    def of(cls, name: str, check: Callable[[], str]) -> "Result":
        """Run a check, which returns a detail to show, or raises what is wrong."""
        status: Literal["passed", "failed"] = "passed"
        with Step(name) as step:
            try:
                step.detail = check()
            except (Failed, BadInput) as failed:
                status, step.detail = "failed", str(failed).strip()
            except subprocess.CalledProcessError as failed:
                status, step.detail = "failed", f"{failed}\n{failed.stderr or ''}".strip()
            except OSError as failed:  # such as a disk that is full
                status, step.detail = "failed", str(failed)
        return cls(name, status, round(step.seconds or 0.0, 3), step.detail)


_SHOWN_LINES = 20


def tell(report: Report, result: Result) -> None:
    """Print the line of a check, and below it what the check found."""
    mark = {"passed": "✓", "failed": "✗", "skipped": "·"}[result.status]
    if result.status == "passed":
        report.line(Step(result.name, result.detail, mark, result.seconds))
        return
    report.line(Step(result.name, "", mark, result.seconds))
    for line in result.detail.splitlines()[-_SHOWN_LINES:]:
        report.say(f"      {line}")


# Folders of tools, which a service's own .gitignore may lack.
_TOOLS = [
    f"--exclude={name}/"
    for name in (".venv", "__pycache__", "node_modules", ".mypy_cache", ".ruff_cache")
]
_MARKER = re.compile(r"^(<{7}|>{7}|\|{7})( |$)", re.MULTILINE)
_BLOCK = re.compile(r"\{%-?\s*(if|elif|else|endif|for|endfor|set|raw|endraw|macro|include)\b")
# Files in which a service may use Jinja itself.
_OWN_TEMPLATES = {".jinja", ".jinja2", ".j2", ".html", ".htm", ".tpl"}


def provenance(service: Service) -> str:
    """The answers file can be read, and the version that it records is available."""
    try:
        answers = service.answers()
        with source.opened(service.address(answers)) as template:
            version = template.at(str(answers["_commit"])).version
    except (BadInput, TemplateUnavailable) as error:
        raise Failed(f"{error.message}\n{error.hint}") from error
    return f"template {version}" + (f", pin {service.pin}" if service.pin else "")


def residue(service: Service) -> str:
    """There is no conflict marker, no rejected hunk and no Jinja that was not rendered."""
    found = [line for line, _ in residues(service)]
    if found:
        raise Failed("\n".join(found))
    return ""


def residues(service: Service) -> Iterator[tuple[str, Path]]:
    """The findings of `residue`, each with its file."""
    for path in _files(service.folder):
        for line in _residues(service, path):
            yield line, path


def _files(folder: Path) -> Iterator[Path]:
    """The files that git would track if the service were a repository, and those that git tracks.

    Files that a repository around it ignores are read as well: it may ignore the whole service.
    """
    for name in sorted(set(_listed(folder))):
        if (folder / name).is_file():
            yield folder / name


def _listed(folder: Path) -> list[str]:
    untracked = ["ls-files", "-z", "--others", "--exclude-standard", *_TOOLS]
    if (folder / ".git").exists():
        try:
            return names(git(folder, *untracked, "--cached"))
        except subprocess.CalledProcessError as failed:
            check_refusal(folder, failed)
    with place() as empty:
        git(empty, "init", "--quiet", variables=isolated({}))
        own = git(folder, f"--git-dir={empty}/.git", f"--work-tree={folder}", *untracked)
    inside = is_inside_work_tree(folder)
    return names(own) + (names(git(folder, "ls-files", "-z", "--cached")) if inside else [])


def _residues(service: Service, path: Path) -> Iterator[str]:
    name = path.relative_to(service.folder).as_posix()
    if name.endswith(".rej"):
        yield f"{name}: a rejected hunk; merge it by hand and delete the file"
    if "{{" in name or "{%" in name:
        yield f"{name}: Jinja in the name"
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        return  # not text, so not rendered
    for marker in _MARKER.finditer(text):
        yield f"{name}:{_line(text, marker.start())}: conflict marker {marker[1]}"
    if path.suffix in _OWN_TEMPLATES or not ("{{" in text or "{%" in text):
        return
    for tag in _tags(service, text):
        yield f"{name}:{_line(text, tag.start())}: Jinja {tag[0]}"


def _tags(service: Service, text: str) -> Iterator[re.Match[str]]:
    """Jinja tags in `text`, except those that the service's description contains."""
    try:
        answers = service.answers()
    except NewServiceError:
        answers = {}  # provenance reports it
    names = "|".join({"package", r"_copier\w+", *(re.escape(str(name)) for name in answers)})
    own = str(answers.get("description", ""))
    for pattern in (re.compile(rf"\{{\{{-?\s*({names})\b[^}}\n]*\}}\}}"), _BLOCK):
        for tag in pattern.finditer(text):
            if tag[0] not in own:
                yield tag


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def lock(service: Service) -> str:
    """`uv.lock` exists and is in step with pyproject.toml."""
    root = workspace.around(service.folder)
    renew = workspace.lock_command(root)
    if not ((root or service.folder) / "uv.lock").is_file():
        raise Failed(f"there is no uv.lock; make it with: {renew}")
    # --offline: the answer must not depend on an index; a lock in step needs none.
    options = ("--check", "--offline", *undated(root or service.folder))
    checked = uv("lock", *options, folder=service.folder)
    if checked.returncode != 0:
        raise Failed(
            f"uv.lock is not in step with pyproject.toml; renew it with: {renew}\n{checked.stdout}"
        )
    return "the workspace's" if root else ""


# They read a few files and take a moment.
CHEAP: dict[str, Callable[[Service], str]] = {
    "provenance": provenance,
    "residue": residue,
    "lock": lock,
}

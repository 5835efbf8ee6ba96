"""A generated service, as its files on disk tell about it."""

import os
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import yaml

from .errors import BadInput
from .git import is_sparse
from .trees import remove_empty

ANSWERS_FILE = ".copier-answers.yml"


def resolved(folder: Path) -> Path:
    """`folder` in full, `~` included; where there is no such user it is a name like others.

    Raises:
        BadInput: it lies in the current folder, which is gone.
    """
    try:
        return Path(os.path.expanduser(folder)).resolve()  # noqa: PTH111  that of Path raises
    except FileNotFoundError as gone:
        raise BadInput("the current folder is gone.", "go to one that is there.") from gone


@dataclass(frozen=True)
class Service:
    """The folder of a service."""

    folder: Path

    @classmethod
    def at(cls, folder: Path) -> Self:
        """The service in `folder`.

        Raises:
            BadInput: there is none.
        """
        folder = resolved(folder)
        if not (folder / "pyproject.toml").is_file():
            raise BadInput(
                f"{folder} is no service: it has no pyproject.toml.", "name a service's folder."
            )
        return cls(folder)

    @classmethod
    def around(cls, folder: Path) -> Self:
        """The service that `folder` belongs to: the nearest folder above with an answers file.

        Raises:
            BadInput: there is none.
        """
        folder = resolved(folder)
        for each in (folder, *folder.parents):
            if (each / ANSWERS_FILE).is_file():
                return cls(each)
        where = " on disk; the working tree is sparse" if is_sparse(folder) else ""
        raise BadInput(
            f"{folder} is in no service: there is no {ANSWERS_FILE}{where}.",
            "go to a service's folder, or name it with --project.",
        )

    @cached_property
    def project(self) -> dict[str, object]:
        """The parsed pyproject.toml.

        Raises:
            BadInput: it cannot be read.
        """
        path = self.folder / "pyproject.toml"
        try:
            return tomllib.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as bad:
            raise BadInput(f"{path} cannot be read: {bad}", "mend it; it is TOML.") from bad

    def setting(self, *keys: str) -> object:
        """The value at a path of keys in pyproject.toml, None where it leads nowhere."""
        value: object = self.project
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    @property
    def pin(self) -> str | None:
        """The range of template versions that the service accepts.

        Raises:
            BadInput: it is no text.
        """
        pin = self.setting("tool", "new-service", "template-version")
        if not isinstance(pin, str | None):
            raise BadInput(
                f"the pin {pin!r} in pyproject.toml is no text.",
                "write [tool.new-service] template-version like '~=1.4'.",
            )
        return pin

    @property
    def checks(self) -> dict[str, str]:
        """This service's own checks, by name: the poe task of each.

        Raises:
            BadInput: `[tool.new-service] checks` is no list of names, or of names and tasks.
        """
        checks = self.setting("tool", "new-service", "checks")
        listed = [] if checks is None else checks
        tasks = [_check(each) for each in listed] if isinstance(listed, list) else [None]
        found = dict(each for each in tasks if each is not None)
        if None in tasks:
            raise BadInput(
                "[tool.new-service] checks in pyproject.toml is no list of names.",
                'write it like checks = ["lint", { name = "worker", task = "try-worker" }].',
            )
        return found

    def answers(self) -> dict[str, object]:
        """What Copier recorded.

        Raises:
            BadInput: the file is missing or holds no answers.
        """
        path = self.folder / ANSWERS_FILE
        try:
            answers = yaml.safe_load(path.read_text("utf-8"))
        except FileNotFoundError as missing:
            raise BadInput(f"{ANSWERS_FILE} is missing.", "restore it from git.") from missing
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as bad:
            mark = getattr(bad, "problem_mark", None)
            where = f"line {mark.line + 1}" if mark else str(bad)
            raise BadInput(
                f"{ANSWERS_FILE} cannot be read: {where}", "restore it from git."
            ) from bad
        if not isinstance(answers, dict) or not all(
            isinstance(name, str) and "\0" not in str(answers[name]) for name in answers
        ):
            raise BadInput(f"{ANSWERS_FILE} holds no answers.", "restore it from git.")
        if not {"_commit", "_src_path"} <= answers.keys():
            raise BadInput(
                f"{ANSWERS_FILE} does not name a template and its version.", "restore it from git."
            )
        return answers


def forget_bytecode(folder: Path, deleted: Iterable[str]) -> None:
    """Remove what Python compiled from modules of `folder` that were deleted.

    Raises:
        OSError: a file cannot be removed.
    """
    for name in deleted:
        path = folder / name
        if path.suffix == ".py" and not path.parent.is_symlink():
            for each in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
                each.unlink()
            remove_empty(path.parent / "__pycache__", folder)


def _check(entry: object) -> tuple[str, str] | None:
    """The name and the poe task of a check; None if `entry` is none."""
    match entry:
        case str():
            return entry, entry
        case {"name": str(name), "task": str(task), **rest} if not rest:
            return name, task
    return None

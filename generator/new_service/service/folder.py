"""A generated service, read from its files on disk."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from ..system.documents import mapping_in, toml_in
from ..system.errors import BadInput
from ..system.git import is_sparse
from ..system.trees import remove_empty
from ..template import source, team
from ..template.addresses import Address, recorded_address, resolved

ANSWERS_FILE = ".copier-answers.yml"


@dataclass(frozen=True)
class Service:
    """The folder of a service."""

    folder: Path
    answers_file: str = ANSWERS_FILE
    """The file with the template and answers that Copier recorded; a path from the folder."""

    @classmethod
    def at(cls, folder: Path, answers_file: str | None = None) -> Self:
        """The service in `folder`; `answers_file` is by default the one of our template.

        Raises:
            BadInput: there is none, or it is unclear which of its answers files counts.
        """
        folder = resolved(folder)
        if not (folder / "pyproject.toml").is_file():
            raise BadInput(
                f"{folder} is not a service: it has no pyproject.toml.", "name a service's folder."
            )
        found = _answers_files(folder, answers_file)
        if answers_file and not found:
            raise BadInput(f"{folder} has no answers file {answers_file}.", "check its path.")
        return cls(folder, _choose(folder, found))

    @classmethod
    def around(cls, folder: Path, answers_file: str | None = None) -> Self:
        """The service around `folder`: the nearest folder with an answers file.

        Raises:
            BadInput: there is none, or it is unclear which of its answers files counts.
        """
        folder = resolved(folder)
        for each in (folder, *folder.parents):
            if found := _answers_files(each, answers_file):
                return cls(each, _choose(each, found))
        where = " on disk; the working tree is sparse" if is_sparse(folder) else ""
        raise BadInput(
            f"{folder} is not in a service: there is no {answers_file or ANSWERS_FILE}{where}.",
            "go to a service's folder, or name it with --project.",
        )

    @classmethod
    def named(cls, folder: Path, answers_file: str | None = None) -> Self:
        """The service in `folder`, or the one around it.

        Raises:
            BadInput: there is none.
        """
        folder = resolved(folder)
        if folder.is_dir() and not (folder / "pyproject.toml").is_file():
            with suppress(BadInput):
                return cls.around(folder, answers_file)
        return cls.at(folder, answers_file)

    @cached_property
    def project(self) -> dict[str, object]:
        """The parsed pyproject.toml.

        Raises:
            BadInput: it cannot be read.
        """
        path = self.folder / "pyproject.toml"
        try:
            return toml_in(path)
        except (OSError, ValueError) as bad:
            raise BadInput(
                f"{path} cannot be read: {bad}", "correct it; it is a TOML file."
            ) from bad

    def setting(self, *keys: str) -> object:
        """The value at a path of keys in pyproject.toml; None if there is none."""
        value: object = self.project
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    @property
    def pin(self) -> str | None:
        """The range of template versions that the service accepts.

        Raises:
            BadInput: it is not text.
        """
        pin = self.setting("tool", "new-service", "template-version")
        if not isinstance(pin, str | None):
            raise BadInput(
                f"the pin {pin!r} in pyproject.toml is not text.",
                "write [tool.new-service] template-version like '~=1.4'.",
            )
        return pin

    @property
    def checks(self) -> dict[str, str]:
        """The checks that the service declares: the poe task of each, by the name of the check.

        Raises:
            BadInput: `[tool.new-service] checks` is not a list of names, or of names and tasks.
        """
        checks = self.setting("tool", "new-service", "checks")
        listed = [] if checks is None else checks
        tasks = [_check(each) for each in listed] if isinstance(listed, list) else [None]
        found = dict(each for each in tasks if each is not None)
        if None in tasks:
            raise BadInput(
                "[tool.new-service] checks in pyproject.toml is no list of names.",
                'write it like checks = ["lint", { name = "links", task = "check-links" }].',
            )
        return found

    def answers(self) -> dict[str, object]:
        """The content of the answers file.

        Raises:
            BadInput: the file is missing or holds no answers.
        """
        path, hint = self.folder / self.answers_file, "restore it from git."
        found = mapping_in(path, self.answers_file, hint)
        answers = {name: found[name] for name in found if isinstance(name, str)}
        if answers.keys() != found.keys() or any("\0" in str(answers[name]) for name in answers):
            raise BadInput(f"{self.answers_file} holds no answers.", hint)
        if not {"_commit", "_src_path"} <= answers.keys():
            raise BadInput(f"{self.answers_file} does not name a template and its version.", hint)
        return answers

    def address(self, answers: Mapping[str, object]) -> str:
        """The recorded address of its template; a path is made absolute."""
        return recorded_address(str(answers["_src_path"]), self.folder)


def has_answers(folder: Path, answers_file: str | None = None) -> bool:
    """Whether `folder` has an answers file, as every service has."""
    return bool(_answers_files(folder, answers_file))


def _answers_files(folder: Path, wanted: str | None) -> list[str]:
    """The names of Copier's answers files in a folder, or only the wanted one, if it exists.

    Raises:
        BadInput: `wanted` is not a path inside a service.
    """
    if wanted is not None:
        if Path(wanted).is_absolute() or ".." in Path(wanted).parts:
            raise BadInput(
                f"the answers file {wanted} is not inside the service.",
                "--answers-file takes a path from the service's folder, as in Copier.",
            )
        return [Path(wanted).as_posix()] if (folder / wanted).is_file() else []
    found = [folder / ANSWERS_FILE, *sorted(folder.glob(".copier-answers.*.yml"))]
    return [each.name for each in found if each.is_file()]


def _choose(folder: Path, names: list[str]) -> str:
    """The answers file of our template, among those that a service has.

    It is the only one with our address, or else the only one with a service's name.

    Raises:
        BadInput: that leaves several, or none.
    """
    if len(names) < 2:
        return next(iter(names), ANSWERS_FILE)
    services = [Service(folder, each) for each in names]
    for is_ours in (_has_our_address(), _has_a_name):
        found = [each.answers_file for each in services if is_ours(each)]
        if len(found) == 1:
            return found[0]
    raise BadInput(
        f"{folder} has several answers files: {', '.join(names)}.",
        "name the one of the service with --answers-file.",
    )


def _has_our_address() -> Callable[[Service], bool]:
    given = (source.canonical_url(), team.template_url(None, team.read()))
    ours = [Address.of(each) for each in given if each]

    def is_ours(service: Service) -> bool:
        try:
            address = Address.of(service.address(service.answers()))
        except BadInput:  # only --answers-file chooses a file that cannot be read
            return False
        return any(address.is_same(each) for each in ours)

    return is_ours


def _has_a_name(service: Service) -> bool:
    try:
        return "service_name" in service.answers()
    except BadInput:
        return False


def forget_bytecode(folder: Path, deleted: Iterable[str]) -> None:
    """Remove the bytecode of modules of `folder` that were deleted.

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
    """The name and the poe task of a check; None if `entry` is not a check."""
    match entry:
        case str():
            return entry, entry
        case {"name": str(name), "task": str(task), **rest} if not rest:
            return name, task
    return None

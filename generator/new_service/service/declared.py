"""What the modules of a service need of new-service, as its pyproject.toml declares it.

`[tool.new-service.modules.NAME]` is rendered from a part of the module, so that no code here names
one. `earlier.toml` has the declarations of services that were made before there were any.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from ..system.errors import BadInput
from ..system.trees import Change
from ..template.questions import did_you_mean
from .folder import Service

NextStep = tuple[str, str]
"""A command for the owner to run, and what for."""

_TASK = re.compile(r"\w[\w+:-]*")  # as poe names them
# What each key holds, and how it is written.
_FORMS = {
    "boot.before": ("the name of a task", 'boot.before = "fill"'),
    "boot.beside": ("the name of a task", 'boot.beside = "stand-in"'),
    "boot.variables": (
        "a table of variables",
        'boot.variables = { SEARCH_URL = "file:{scratch}/index" }',
    ),
    "unset": ("a list of names", 'unset = ["SEARCH_*"]'),
    "next": (
        "a list of steps",
        'next = [{ after = "create", run = "uv run poe fill", to = "fill the index" }]',
    ),
}


@dataclass
class Declared:
    """What the modules of a service declare, together and in their order."""

    folder: Path = Path()
    """The service's."""
    before: list[str] = field(default_factory=list)
    """Tasks to run before the service is booted."""
    beside: list[str] = field(default_factory=list)
    """Tasks that take the command of the service, and run it beside what they do."""
    variables: dict[str, str] = field(default_factory=dict)
    """For the boot; `{scratch}` stands for a folder that is there as long."""
    unset: list[str] = field(default_factory=list)
    """Patterns of variables of the caller's that no check sees."""
    next: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    """What is left to the owner, by module: a command, what for, and after what."""

    @classmethod
    def by(cls, service: Service) -> "Declared":
        """What the modules of `service` declare.

        Raises:
            BadInput: a declaration does not have the form that it should have.
        """
        declared = cls(service.folder)
        for module, table in _tables(service).items():
            declared.next[module] = []
            where = f"[tool.new-service.modules.{module}] in pyproject.toml"
            for key, value in _keys(table):
                if key not in _FORMS:
                    unknown = f"{where} has an unknown key {key!r}."
                    raise BadInput(unknown, did_you_mean(key, _FORMS))
                if not declared._take(module, key, value):
                    what, example = _FORMS[key]
                    raise BadInput(f"{key} of {where} is not {what}.", f"write it like {example}.")
        return declared

    def _take(self, module: str, key: str, value: object) -> bool:
        """Add what one key says; False if it has another form."""
        match key, value:
            case "boot.before", str() if _TASK.fullmatch(value):
                self.before.append(value)
            case "boot.beside", str() if _TASK.fullmatch(value):
                self.beside.append(value)
            case "boot.variables", dict() if _are_variables(value):
                self.variables.update(value)
            case "unset", list() if _are_texts(value):
                self.unset.extend(value)
            case "next", list() if all(_is_step(each) for each in value):
                self.next[module].extend(value)
            case _:
                return False
        return True

    def seen(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Those of the caller's `variables` that checks see."""
        return {
            name: value
            for name, value in variables.items()
            if not any(fnmatchcase(name, pattern) for pattern in self.unset)
        }

    def in_scratch(self, folder: Path) -> dict[str, str]:
        """The variables of a boot whose scratch folder is `folder`."""
        return {
            name: value.replace("{scratch}", str(folder)) for name, value in self.variables.items()
        }

    def after_create(self) -> list[NextStep]:
        """What is left to do in a new service."""
        return _steps(self.next.values(), lambda step: step.get("after") == "create")

    def after_change(self, before: "Declared", changes: Iterable[Change]) -> list[NextStep]:
        """What is left to do where `before` was declared until these files changed."""
        new = [steps for module, steps in self.next.items() if module not in before.next]
        gone = [steps for module, steps in before.next.items() if module not in self.next]
        files = [(change.kind, change.path) for change in changes]
        return [
            *_steps(gone, lambda step: step.get("after") == "remove"),
            *_steps(new, lambda step: step.get("after") == "add"),
            *_steps(
                self.next.values(),
                lambda step: any(fnmatchcase(path, step.get(kind, "")) for kind, path in files),
            ),
            *_steps(
                self.next.values(),
                lambda step: "present" in step and (self.folder / step["present"]).is_file(),
            ),
        ]


def _steps(
    declared: Iterable[list[dict[str, str]]], applies: Callable[[dict[str, str]], bool]
) -> list[NextStep]:
    return [(step["run"], step["to"]) for steps in declared for step in steps if applies(step)]


def _tables(service: Service) -> dict[str, dict[str, object]]:
    """The declarations of a service by module, and those that it was made too early to have."""
    own = service.setting("tool", "new-service", "modules") or {}
    if not isinstance(own, dict) or not all(isinstance(each, dict) for each in own.values()):
        raise BadInput(
            "[tool.new-service.modules] in pyproject.toml does not hold tables alone.",
            "write one for each module, like [tool.new-service.modules.search].",
        )
    tasks = service.setting("tool", "poe", "tasks")
    names = tasks.keys() if isinstance(tasks, dict) else ()
    earlier = tomllib.loads(Path(__file__).with_name("earlier.toml").read_text("utf-8"))
    lacking = {name: table for name, table in earlier.items() if table.pop("task") in names}
    return {**lacking, **own}


def _keys(table: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """The keys of a declaration, those of its table `boot` written with a dot."""
    for key, value in table.items():
        if key == "boot" and isinstance(value, dict):
            yield from ((f"boot.{each}", value[each]) for each in value)
        else:
            yield key, value


def _are_texts(values: Iterable[object]) -> bool:
    return all(isinstance(each, str) for each in values)


def _are_variables(table: Mapping[str, object]) -> bool:
    """Whether a program can be given them."""
    return (
        all(map(str.isidentifier, table))
        and _are_texts(table.values())
        and not any("\0" in str(each) for each in table.values())
    )


def _is_step(entry: object) -> bool:
    """Whether it says what to run, what for, and after what: the command, or files that change."""
    match entry:
        case {"run": str(), "to": str(), **when} if len(when) == 1:
            files = when.keys() <= {"added", "deleted", "present"} and _are_texts(when.values())
            return files or when.get("after") in ("create", "add", "remove")
    return False

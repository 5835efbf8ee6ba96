"""The questions of a template, read from its copier.yml, and answers checked against them.

Copier itself accepts unknown keys, turns `maybe` into true and lets computed questions be
overridden, so answers are checked here before Copier sees them.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Self, cast

from ..system.documents import parsed
from ..system.errors import BadInput
from .configuration import Fetch

Answer = str | int | float | bool | list[str]
Answers = dict[str, Answer]

# In these words a template finds its own address and version.
ORIGIN = "_copier_answers|_copier_conf|_src_path|_commit"

_OF_COPIER = re.compile(r"\b_(copier|external_data|folder_name|src_path|commit)")
# What Copier makes of an answer, and how a hint names that.
_CASTS: Mapping[str, Callable[[str], object]] = {
    "int": int,
    "float": float,
    "json": json.loads,
    "yaml": parsed,
}
_IN_WORDS = {"int": "a whole number", "float": "a number", "json": "JSON", "yaml": "YAML"}
_PLAIN = ("bool", "float", "int", "str")
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


@dataclass(frozen=True)
class Question:
    """One question of a template."""

    name: str
    type: str
    multiselect: bool
    computed: bool
    has_default: bool
    choices: Mapping[str, str] | None
    """The possible answers, each with its label; None: any, or those that only Copier can tell."""
    when: str
    """Jinja that says whether it is asked."""
    validator: str
    """Jinja that says what is wrong with the answer."""
    default: object
    label: str = ""
    """The question in a few words, as Jinja."""
    example: str = ""
    """Jinja for the text that a prompt shows until something is typed."""
    refusals: Mapping[str, str] = field(default_factory=dict)
    """For each choice, Jinja that says why it is not offered."""
    is_plain: bool = True
    """Whether it can be asked without what Copier alone knows."""
    is_known: bool = True
    """Whether its default can be told without what Copier alone knows."""

    def answer(self, given: object) -> Answer:
        """`given` in the form that Copier accepts.

        Raises:
            BadInput: it is not among the choices, or has another type.
        """
        if self.multiselect:
            return self._several(given)
        if self.type in {"yaml", "json"} and not isinstance(given, str):
            return cast("Answer", given)  # of any form
        if self.type == "bool" and not isinstance(given, bool):
            if str(given).lower() not in _BOOLEANS:
                raise BadInput(
                    f"{self.name} cannot be {given!r}.",
                    f"write {self.name}=true or {self.name}=false.",
                )
            return _BOOLEANS[str(given).lower()]
        if not isinstance(given, (str, int, float)) or (
            isinstance(given, bool) and self.type != "bool"
        ):
            raise BadInput(
                f"{self.name} cannot be {given!r}.", f"give {self.name} one plain value."
            )
        if self.choices is not None:
            self._check_choice(str(given))
        self._check_type(given)
        return _text(self.name, given)

    def _check_type(self, given: object) -> None:
        try:
            _CASTS.get(self.type, str)(str(given))
        except (ValueError, RecursionError) as bad:
            raise BadInput(
                f"{self.name} cannot be {given!r}.", f"give {self.name} {_IN_WORDS[self.type]}."
            ) from bad

    def _several(self, given: object) -> list[str]:
        if isinstance(given, dict):  # choices, each under its label
            given = list(given.values())
        if isinstance(given, str):
            given = [part.strip() for part in given.strip("[] ").split(",") if part.strip()]
        if not isinstance(given, list):
            raise BadInput(f"{self.name} cannot be {given!r}.", f"give {self.name} a list.")
        for each in given:
            self._check_choice(str(each))
        return [str(each) for each in given]

    def _check_choice(self, given: str) -> None:
        choices = self.choices or {}
        if given in choices:
            return
        noun = "module" if self.name == "modules" else f"{self.name}"
        raise BadInput(
            f"unknown {noun} {given!r}.",
            _suggest(given, choices, f"this template offers no {noun}"),
        )


@dataclass(frozen=True)
class Questions:
    """All that new-service reads from a copier.yml."""

    asked: Mapping[str, Question]
    presets: Mapping[str, Mapping[str, object]]
    needs: Mapping[str, list[str]]
    kept: list[str]
    """Patterns, as in .gitignore, of files that are written once (`_skip_if_exists`)."""
    folder: str
    """Where the template's files are (`_subdirectory`)."""
    asks_origin: bool
    """Whether an answer is computed from the template's address or version."""
    known_good: str | None
    """A day, `YYYY-MM-DD`: services lock to the newest packages of it."""
    root: Path | None = None
    """The folder of the template, whose files its questions may include."""
    fetch: Fetch | None = None
    """Brings those files there, unless all are there already."""
    jinja: Mapping[str, object] = field(default_factory=dict)
    """How Jinja is set up (`_envops`)."""

    @classmethod
    def from_config(
        cls, config: object, root: Path | None = None, fetch: Fetch | None = None
    ) -> Self:
        """Read the parsed copier.yml of the template in the folder `root`.

        `fetch` brings the files there that questions include, unless all are there already.

        Raises:
            ValueError: its form is not that of a Copier template's configuration.
        """
        if not isinstance(config, dict):
            raise ValueError("copier.yml holds no mapping")  # noqa: TRY004  one error for every form
        asked = {
            name: _question(name, details)
            for name, details in config.items()
            if not str(name).startswith("_")
        }
        known_good = config.get("_known_good")
        envops = config.get("_envops") or {}
        if not isinstance(envops, dict):
            raise ValueError("_envops is not a mapping")  # noqa: TRY004
        return cls(
            asked=asked,
            presets=_presets(config),
            needs=_needs(config),
            folder=str(config.get("_subdirectory") or ""),
            asks_origin=any(
                re.search(rf"\b({ORIGIN})\b", str(details))
                for name, details in config.items()
                # A recorded answer that is never asked is known wherever it is rendered.
                if name in asked and not _is_recorded(details)
            ),
            kept=[str(each) for each in config.get("_skip_if_exists") or []],
            known_good=None if known_good is None else str(known_good),
            root=root,
            fetch=fetch,
            jinja=envops,
        )

    @property
    def modules(self) -> Mapping[str, str]:
        """The modules on offer, each with its label."""
        question = self.asked.get("modules")
        return (question.choices if question else None) or {}

    def open_names(self) -> list[str]:
        """The questions that a user can answer, in order."""
        return [name for name, question in self.asked.items() if not question.computed]

    def checked(self, given: Mapping[str, object], origin: str) -> Answers:
        """`given` as answers for Copier; errors name `origin` as their source.

        Raises:
            BadInput: a question is unknown or computed, or an answer is invalid.
        """
        answers = {}
        for name, value in given.items():
            question = self.asked.get(name)
            if question is None or question.computed:
                hint = _suggest(name, self.open_names(), "this template asks nothing")
                raise BadInput(f"{origin}: there is no question {name!r}.", hint)
            answers[name] = question.answer(value)
        return answers

    def recorded(self, answers: Mapping[str, object], origin: str) -> Answers:
        """Those of the answers in the file `origin` that this version of the template knows.

        Raises:
            BadInput: one is not among the choices.
        """
        known: Answers = {}
        for name, question in self.asked.items():
            if name in answers:
                try:
                    known[name] = question.answer(answers[name])
                except BadInput as bad:
                    raise BadInput(f"{origin}: {bad.message}", bad.hint) from bad
        return known

    def without_computed(self, recorded: Mapping[str, object]) -> dict[str, object]:
        """`recorded`, such as an answers file, without the answers that the template computes."""
        return {
            name: answer
            for name, answer in recorded.items()
            if not ((question := self.asked.get(name)) and question.computed)
        }

    def preset(self, name: str) -> Answers:
        """The answers of a preset.

        Raises:
            BadInput: there is no such preset.
        """
        if name not in self.presets:
            raise BadInput(
                f"unknown preset {name!r}.",
                _suggest(name, self.presets, "this template has no presets"),
            )
        given = {key: value for key, value in self.presets[name].items() if key != "summary"}
        return self.checked(given, f"preset {name}")

    def with_needs(self, modules: Iterable[str]) -> list[str]:
        """`modules`, each once, and before each the modules that it needs."""
        complete: list[str] = []
        for module in modules:
            if module not in complete:
                complete += [
                    each
                    for each in self.with_needs(self.needs.get(module, []))
                    if each not in complete
                ]
                complete.append(module)
        return complete


def _question(name: str, details: object) -> Question:
    if not isinstance(details, dict):
        details = {"default": details}
    return Question(
        name=name,
        type=_type(details),
        multiselect=bool(details.get("multiselect", False)),
        computed=details.get("when", True) is False or details.get("ask", True) is False,
        has_default="default" in details,
        choices=_choices(details.get("choices")),
        when=str(details.get("when", True)),
        validator=str(details.get("validator", "")),
        default=details.get("default"),
        label=str(details.get("help") or name),
        example=str(details.get("placeholder", "")),
        refusals=_refusals(details.get("choices")),
        is_plain=_is_plain(details),
        is_known=not _OF_COPIER.search(str(details)),
    )


def _type(details: Mapping[str, object]) -> str:
    """As Copier has it: where none is given, that of the default, if it is a plain one."""
    of_default = type(details.get("default")).__name__
    return str(details.get("type") or (of_default if of_default in _PLAIN else "yaml"))


def _is_plain(details: Mapping[str, object]) -> bool:
    choices = details.get("choices")
    values = _choices(choices) or {}
    return (
        details.get("type") in {"str", "bool"}
        and (choices is None or bool(values))
        and not any("{" in value for value in values)
        and not (details.get("secret") or details.get("multiline"))
        and not _OF_COPIER.search(str(details))
    )


def _is_recorded(details: object) -> bool:
    return isinstance(details, dict) and details.get("ask", True) is False


def _choices(choices: object) -> dict[str, str] | None:
    """Copier's forms of choices: a list of values or of pairs, or a mapping from label to value."""
    if isinstance(choices, dict):
        choices = list(choices.items())
    if not isinstance(choices, list):
        return None
    return {str(_value(choice)): str(label) for label, choice in _pairs(choices)}


def _refusals(choices: object) -> dict[str, str]:
    """The validators that single choices have."""
    listed = list(choices.items()) if isinstance(choices, dict) else choices
    if not isinstance(listed, list):
        return {}
    extended = [value for _, value in _pairs(listed) if isinstance(value, dict)]
    return {str(_value(each)): str(each.get("validator") or "") for each in extended}


def _pairs(choices: list[object]) -> list[tuple[object, object]]:
    """Choices as pairs of label and value."""
    if any(isinstance(each, (list, tuple)) and len(each) != 2 for each in choices):
        raise ValueError("a choice is neither a value nor a pair of label and value")
    return [(e[0], e[1]) if isinstance(e, (list, tuple)) else (e, e) for e in choices]


def _value(choice: object) -> object:
    """What a choice answers; some have more to say than that."""
    if not isinstance(choice, dict):
        return choice
    if "value" not in choice:
        raise ValueError("a choice has no value")
    return choice["value"]


def _presets(config: Mapping[str, object]) -> dict[str, dict[str, object]]:
    presets = config.get("_presets") or {}
    if not isinstance(presets, dict) or not all(
        isinstance(each, dict) for each in presets.values()
    ):
        raise ValueError("_presets does not map names to answers")
    return presets


def _needs(config: Mapping[str, object]) -> dict[str, list[str]]:
    """The default of the computed question `needs`, which the template's validators use too."""
    question = config.get("needs") or {}
    needs = question.get("default", {}) if isinstance(question, dict) else None
    if not isinstance(needs, dict) or not all(isinstance(each, list) for each in needs.values()):
        raise ValueError("needs does not map modules to lists of modules")
    return needs


def _text(name: str, value: str | float | bool) -> str | int | float | bool:
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as bad:
            raise BadInput(f"{name} is not UTF-8 text.", "give it in UTF-8.") from bad
    return value


def _suggest(given: str, known: Iterable[str], none: str) -> str:
    known = list(known)
    return did_you_mean(given, known) if known else f"{none}."


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """A hint for a name that is not among the `known` ones."""
    known = list(known)
    close = closest(given, known)
    meant = f"did you mean {close!r}? " if close else ""
    return f"{meant}possible: {', '.join(known)}."


def closest(given: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant; none for a number, which resembles every other."""
    close = get_close_matches(given, list(known), n=1) if given.upper() != given.lower() else []
    return close[0] if close else None

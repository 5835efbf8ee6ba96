"""Shell completion: modules, presets, answers, checks and the folders of services.

Completion is silent: if the values are unknown, it offers none.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from ..service.folder import Service
    from ..template.questions import Questions

_KEY = "_NEW_SERVICE_KEY"


def join_assignments() -> None:
    """Join the three words into which bash splits KEY=VALUE, before Typer reads them.

    The key of the word to complete is set aside, since bash replaces the value alone.
    """
    if os.environ.get("_NEW_SERVICE_COMPLETE") != "complete_bash":
        return
    words = os.environ.get("COMP_WORDS", "").split("\n")
    at = int(os.environ.get("COMP_CWORD", "0"))
    joined: list[str] = []
    for number, word in enumerate(words[: at + 1]):
        follows = number > 1 and words[number - 1] == "="
        if word == "=" and joined[-1].startswith("-"):  # --data=KEY
            joined += [""] if number == at else []
        elif word == "=" or (follows and not joined[-1].startswith("-")):
            joined[-1] += word
        else:
            joined.append(word)
    key, equals, value = joined[-1].partition("=")
    if equals and "=" in words[at - 1 : at + 1]:  # else bash leaves such words alone
        os.environ[_KEY] = key
        joined[-1] = value
    os.environ |= {"COMP_WORDS": "\n".join(joined), "COMP_CWORD": str(len(joined) - 1)}


def presets(context: typer.Context) -> list[tuple[str, str]]:
    """The presets, each with its summary."""
    questions = _questions(context)
    found = questions.presets if questions else {}
    return [(name, str(each.get("summary", ""))) for name, each in found.items()]


def several_modules(context: typer.Context, incomplete: str) -> list[str]:
    """For `M,M`: what is typed already, followed by each other module."""
    questions = _questions(context)
    return _after_comma(list(questions.modules) if questions else [], incomplete)


def new_modules(context: typer.Context) -> list[str]:
    """The modules that the service around the current folder lacks."""
    questions, there = _questions(context), _recorded_modules(context)
    return [each for each in (questions.modules if questions else ()) if each not in there]


def own_modules(context: typer.Context) -> list[str]:
    """The modules of the service around the current folder."""
    return _recorded_modules(context)


def answers(context: typer.Context, incomplete: str) -> list[str]:
    """`KEY=VALUE` for each value that a question offers, `KEY=` where it takes any."""
    questions = _questions(context)
    if questions is None:
        return []
    key = os.environ.get(_KEY)
    if key is not None:
        return _values(questions, key, incomplete)
    name, _, begun = incomplete.partition("=")
    known = [name] if "=" in incomplete else questions.open_names()
    return [
        f"{each}={value}" for each in known for value in _values(questions, each, begun) or [""]
    ]


def checks(context: typer.Context) -> list[str]:
    """The checks of the named service, or of the one around the current folder."""
    from ..service.running import checks_of
    from ..system.errors import NewServiceError

    # An option without its value yet keeps Typer from naming the arguments before it.
    service = _service(Path(context.args[0]) if context.args else context.params.get("folder"))
    try:
        return checks_of(service) if service else []
    except NewServiceError:
        return []


def services(incomplete: str) -> list[str]:
    """Folders that hold a service; if there is none, shells complete paths by themselves."""
    from ..service.folder import ANSWERS_FILE

    start, slash, _ = incomplete.rpartition("/")
    where = os.path.expanduser(start + slash)  # noqa: PTH111  that of Path raises
    try:
        held = [each.parent.name for each in Path(where).glob(f"[!.]*/{ANSWERS_FILE}")]
    except OSError:
        return []
    return [f"{start}{slash}{name}" for name in sorted(held)]


def _questions(context: typer.Context) -> "Questions | None":
    from ..system.errors import NewServiceError
    from .offers import offered

    try:
        return offered(context.params.get("template"))
    except NewServiceError:
        return None


def _service(folder: object) -> "Service | None":
    from ..service.folder import Service
    from ..system.errors import NewServiceError

    try:
        return Service.named(folder if isinstance(folder, Path) else Path())
    except NewServiceError:
        return None


def _recorded_modules(context: typer.Context) -> list[str]:
    from ..system.errors import NewServiceError
    from ..template.wishes import modules_in

    service = _service(context.params.get("project"))
    try:
        return modules_in(service.answers()) if service else []
    except NewServiceError:
        return []


def _values(questions: "Questions", name: str, incomplete: str) -> list[str]:
    from .offers import values_of

    question = questions.asked.get(name)
    if question is None or question.computed:
        return []
    values = values_of(question)
    return _after_comma(values, incomplete) if question.multiselect else values


def _after_comma(values: list[str], incomplete: str) -> list[str]:
    """`values` appended to those that `incomplete` has already."""
    there, comma, _ = incomplete.rpartition(",")
    return [f"{there}{comma}{value}" for value in values if value not in there.split(",")]

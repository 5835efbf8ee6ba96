"""What a template offers, for --help and completion, as far as it is known without a network."""

import os
from collections.abc import Iterator
from pathlib import Path

from ..system.screen import folded
from ..template import source, team
from ..template.questions import Question, Questions


def offered(given: str | None = None) -> Questions | None:
    """The questions of the template that would be used; None if that needs a network.

    Raises:
        NewServiceError: the template or the team file cannot be read.
    """
    ours = team.read()
    url = team.template_url(given, ours)
    if url is not None and not Path(os.path.expanduser(url)).exists():  # noqa: PTH111  that of Path fails for unknown users
        return None
    with source.opened(url, ours.template_version) as template:
        return template.questions


def listed(questions: Questions) -> Iterator[str]:
    """Lines with the presets, the modules, and the other questions with their answers."""
    if questions.presets:
        yield from _table(
            "Presets (--preset)",
            {name: str(each.get("summary", "")) for name, each in questions.presets.items()},
        )
    if questions.modules:
        yield from listed_modules(questions)
    answers = {
        name: _values(questions.asked[name]) for name in questions.open_names() if name != "modules"
    }
    yield from _table("Answers (--data KEY=VALUE), the default first", answers)


def listed_modules(questions: Questions) -> Iterator[str]:
    """Lines with the modules."""
    yield from _table(
        "Modules", {name: summary(label) for name, label in questions.modules.items()}
    )


def summary(label: str) -> str:
    """The summary of a choice, which is labelled `NAME: SUMMARY`."""
    name, colon, text = label.partition(":")
    return text.strip() if colon else name


def values_of(question: Question) -> list[str]:
    """The answers that a question takes; none if it takes any."""
    return list(question.choices or (["true", "false"] if question.type == "bool" else []))


def _values(question: Question) -> str:
    values, default = values_of(question), str(question.default)
    values.sort(key=lambda value: value.lower() != default.lower())
    return ", ".join(values) or "text"


def _table(title: str, rows: dict[str, str]) -> Iterator[str]:
    width = max(map(len, rows), default=0) + 2
    yield from ("", f" {title}:")
    for name, words in rows.items():
        yield from folded(words, first=f"   {name:<{width}}")

"""Combinations of answers, computed from the template's questions, for CI to build."""

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import cast

from . import source, team
from .conditions import Conditions
from .errors import BadInput
from .questions import Questions

Combination = dict[str, str | bool | list[str]]

Row = dict[str, object]

_STRENGTHS = {"1": 1, "2": 2, "3": 3, "all": None}


def list_combinations(*, wanted: bool, strength: str, shard: str | None, format_: str) -> None:
    """Print the combinations in `format_`, one a line as text.

    Raises:
        BadInput: an option has a value that it does not take.
    """
    if not wanted:
        raise BadInput("smoke does one thing, it lists.", "new-service smoke --list")
    if format_ not in _FORMATS:
        raise BadInput(f"unknown format {format_!r}.", f"possible: {', '.join(_FORMATS)}.")
    ours = team.read()
    with source.opened(team.template_url(None, ours), ours.template_version) as template:
        combinations = shard_of(list(combine(template.questions, strength)), shard)
    print(_FORMATS[format_]([{"id": name(each), "answers": each} for each in combinations]))


def combine(questions: Questions, strength: str) -> Iterator[Combination]:
    """Combinations in which every `strength` options that can stand together do, at least once.

    `all` gives every valid combination. A module is an option of its own, on or off.

    Raises:
        BadInput: `strength` is none of 1, 2, 3, all.
    """
    if strength not in _STRENGTHS:
        raise BadInput(f"unknown strength {strength!r}.", f"possible: {', '.join(_STRENGTHS)}.")
    options = _options(questions)
    rows = [dict(zip(options, row, strict=True)) for row in itertools.product(*options.values())]
    rows = list(_possible(questions, rows))
    if size := _STRENGTHS[strength]:
        rows = list(_covering(rows, min(size, len(options))))
    for row in rows:
        yield _answers(questions, row)


def _possible(questions: Questions, rows: list[Row]) -> Iterator[Row]:
    """The rows that the template's own words allow; None is the answer to what is not asked."""
    seen: list[Row] = []
    conditions = Conditions(questions)
    for row in rows:
        answers = _answers(questions, row)
        asked = {
            option: answer if conditions.is_asked(_question_of(option), answers) else None
            for option, answer in row.items()
        }
        if asked not in seen and _is_valid(questions, conditions, asked):
            seen.append(asked)
            yield asked


def _is_valid(questions: Questions, conditions: Conditions, row: Row) -> bool:
    """Whether modules have what they need, and no question finds its answer wrong."""
    complete = all(
        row[_module(need)]
        for module, needs in questions.needs.items()
        if row[_module(module)]
        for need in needs
    )
    answers = _answers(questions, row)
    return complete and not any(conditions.objection(name, answers) for name in answers)


def _question_of(option: str) -> str:
    return option.partition(".")[0]


def _covering(rows: list[Row], size: int) -> Iterator[Row]:
    """Rows that together hold each choice of `size` options that any row holds.

    Greedy: the row that adds most comes next. Starting from the valid rows, nothing that is
    possible can be missed; allpairspy, which builds rows up, loses pairs where modules need others.
    """
    held = [set(itertools.combinations(row.items(), size)) for row in rows]
    missing = set().union(*held)
    while missing:
        best = max(range(len(rows)), key=lambda at: len(held[at] & missing))
        missing -= held[best]
        yield rows[best]


def name(combination: Combination) -> str:
    """A short id made of the answers, modules last, such as `3.11+auth+database`."""
    parts: list[str] = []
    for answer in combination.values():
        if isinstance(answer, bool):
            answer = "yes" if answer else "no"
        parts += answer if isinstance(answer, list) else [answer]
    return "+".join(parts)


def shard_of(combinations: list[Combination], shard: str | None) -> list[Combination]:
    """The part `I/N`, I from 1: every N-th combination, so that parts differ little in size.

    Raises:
        BadInput: `shard` is not of that form.
    """
    if shard is None:
        return combinations
    position, _, parts = shard.partition("/")
    if not (position.isdecimal() and parts.isdecimal() and 1 <= int(position) <= int(parts)):
        raise BadInput(f"{shard!r} is no part.", "write the first of four parts as --shard 1/4.")
    return combinations[int(position) - 1 :: int(parts)]


def _module(name: str) -> str:
    return f"modules.{name}"


def _options(questions: Questions) -> dict[str, list[object]]:
    """The questions with finite choices, each module by itself."""
    options: dict[str, list[object]] = {}
    for question in questions.asked.values():
        if question.name == "modules":
            options |= {_module(each): [False, True] for each in questions.modules}
        elif not question.computed and question.type == "bool":
            options[question.name] = [False, True]
        elif not question.computed and question.choices:
            options[question.name] = list(question.choices)
    return options


def _answers(questions: Questions, row: Mapping[str, object]) -> Combination:
    answers: Combination = {
        key: cast("str | bool", value)
        for key, value in row.items()
        if not key.startswith("modules.") and value is not None
    }
    if questions.modules:
        answers["modules"] = [each for each in questions.modules if row.get(_module(each))]
    return answers


def _as_text(rows: list[dict[str, object]]) -> str:
    lines = [f"{row['id']:<32} {json.dumps(row['answers'], ensure_ascii=False)}" for row in rows]
    return "\n".join(lines)


def _as_json(rows: list[dict[str, object]]) -> str:
    return json.dumps(rows, ensure_ascii=False)


def _as_github(rows: list[dict[str, object]]) -> str:
    """A matrix for a GitHub workflow's `fromJSON`."""
    include = [{"id": row["id"], "answers": json.dumps(row["answers"])} for row in rows]
    return json.dumps({"include": include})


def _as_gitlab(rows: list[dict[str, object]]) -> str:
    """A `parallel: matrix` for a GitLab child pipeline; JSON is YAML."""
    matrix = [{"ID": row["id"], "ANSWERS": json.dumps(row["answers"])} for row in rows]
    return json.dumps({"parallel": {"matrix": matrix}}, indent=2)


_FORMATS = {"text": _as_text, "json": _as_json, "github": _as_github, "gitlab": _as_gitlab}

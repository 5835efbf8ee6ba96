"""Combinations of answers that together cover the options of a template."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from ..system.errors import BadInput
from ..template.conditions import Conditions
from ..template.questions import Questions

Combination = dict[str, str | bool | list[str]]

Row = dict[str, object]
Choices = frozenset[tuple[str, object]]

_STRENGTHS = {"1": 1, "2": 2, "3": 3, "all": None}


def combine(
    questions: Questions, strength: str, given: Mapping[str, object] | None = None
) -> list[Combination]:
    """Combinations that contain every possible set of `strength` options at least once.

    `all` gives every valid combination. Each module is an option, on or off. Every combination has
    the answers `given`.

    Raises:
        BadInput: `strength` is not 1, 2, 3 or all, or there is nothing to choose.
    """
    if strength not in _STRENGTHS:
        raise BadInput(f"unknown strength {strength!r}.", f"possible: {', '.join(_STRENGTHS)}.")
    rows = _possible(questions, given or {})
    if size := _STRENGTHS[strength]:
        costs = [cost(_answers(questions, row)) for row in rows]
        rows = list(_covering(rows, costs, min(size, len(rows[0]))))
    return [_answers(questions, row) for row in rows]


def pairs(questions: Questions, combinations: Iterable[Combination]) -> set[Choices]:
    """Every pair of options that one of `combinations` contains."""
    found: set[Choices] = set()
    for each in combinations:
        answer = each.get("modules")
        chosen = answer if isinstance(answer, list) else []
        row: Row = {name: value for name, value in each.items() if name != "modules"}
        found |= _held(row | {_module(name): name in chosen for name in questions.modules}, 2)
    return found


def _possible(questions: Questions, given: Mapping[str, object]) -> list[Row]:
    """The rows that the template allows; None is the answer to a question that is not asked."""
    conditions = Conditions(questions)
    options = _options(questions, _with_needs(conditions, given))
    if not options:
        raise BadInput(
            "the template asks no question with choices.",
            "it renders one service; try it with create and validate.",
        )
    seen: dict[tuple[object, ...], Row] = {}
    for values in itertools.product(*options.values()):
        row = _completed(questions, conditions, dict(zip(options, values, strict=True)))
        values = tuple(row.values())
        if values not in seen and _is_valid(questions, conditions, row):
            seen[values] = row
    if not seen:
        raise BadInput(
            "no combination has these answers.", "list those that are possible: smoke --list."
        )
    return list(seen.values())


def _with_needs(conditions: Conditions, given: Mapping[str, object]) -> Mapping[str, object]:
    return {**given, "modules": conditions.completed(given)} if "modules" in given else given


def _completed(questions: Questions, conditions: Conditions, row: Row) -> Row:
    """`row` with the modules that it needs, and without answers to questions not asked then."""
    needed = conditions.completed(_answers(questions, row))
    row = row | {_module(each): True for each in needed}
    asked = conditions.asked(_answers(questions, row))
    return {
        option: answer if _question_of(option) in asked else None for option, answer in row.items()
    }


def _is_valid(questions: Questions, conditions: Conditions, row: Row) -> bool:
    """Whether all answers are valid."""
    answers = _answers(questions, row)
    return not any(conditions.objection(name, answers) for name in answers)


def _question_of(option: str) -> str:
    return option.partition(".")[0]


def _covering(rows: list[Row], costs: list[int], size: int) -> Iterator[Row]:
    """Rows that together hold each set of `size` options that any row holds.

    Greedy: the row that adds most comes next, and of equal ones the cheapest. All rows are valid
    ones, so no possible set is missed; allpairspy, which builds rows up, loses pairs if modules
    need others.
    """
    held = [_held(row, size) for row in rows]
    missing = set().union(*held)
    while missing:
        best = max(range(len(rows)), key=lambda at: (len(held[at] & missing), -costs[at]))
        missing -= held[best]
        yield rows[best]


def _held(row: Row, size: int) -> set[Choices]:
    return {frozenset(some) for some in itertools.combinations(row.items(), size)}


def name(combination: Combination) -> str:
    """A short id made of the answers, modules last, such as `3.11+github+MODULE`."""
    parts: list[str] = []
    for answer in combination.values():
        if isinstance(answer, bool):
            answer = "yes" if answer else "no"
        parts += answer if isinstance(answer, list) else [answer]
    return "+".join(parts)


def shard_of(combinations: list[Combination], shard: str | None) -> list[Combination]:
    """The part `I/N`, I from 1, of parts that cost about the same.

    The most expensive combinations are dealt out first.

    Raises:
        BadInput: `shard` is not of that form, or there are fewer combinations than parts.
    """
    if shard is None:
        return combinations
    position, _, parts = shard.partition("/")
    if not (position.isdecimal() and parts.isdecimal() and 1 <= int(position) <= int(parts)):
        raise BadInput(f"{shard!r} is not a part.", "write the first of four parts as --shard 1/4.")
    if int(parts) > len(combinations):
        raise BadInput(
            f"{len(combinations)} combinations cannot be split into {parts} parts.",
            f"the most is --shard {min(int(position), len(combinations))}/{len(combinations)}.",
        )
    loads: list[list[int]] = [[] for _ in range(int(parts))]
    costs = [cost(each) for each in combinations]
    for at in sorted(range(len(combinations)), key=lambda at: -costs[at]):
        min(loads, key=lambda load: (sum(costs[each] for each in load), len(load))).append(at)
    return [combinations[at] for at in sorted(loads[int(position) - 1])]


def cost(combination: Combination) -> int:
    """A rough measure of the work in a combination: it grows with its modules."""
    return 1 + sum(len(each) for each in combination.values() if isinstance(each, list))


def _module(name: str) -> str:
    return f"modules.{name}"


def _options(questions: Questions, given: Mapping[str, object]) -> dict[str, list[object]]:
    """The questions with finite choices, one for each module; a given answer is the only choice."""
    options: dict[str, list[object]] = {}
    for question in questions.asked.values():
        answer = given.get(question.name)
        if question.name == "modules":
            chosen = answer if isinstance(answer, list) else None
            options |= {
                _module(each): [False, True] if chosen is None else [each in chosen]
                for each in questions.modules
            }
        elif question.computed or not (question.choices or question.type == "bool"):
            continue
        elif question.name in given:
            options[question.name] = [",".join(answer) if isinstance(answer, list) else answer]
        else:
            is_bool = question.type == "bool"
            options[question.name] = [False, True] if is_bool else list(question.choices or [])
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

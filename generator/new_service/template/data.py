"""Answers that a command is given: by `--data`, and in a file."""

from pathlib import Path

import yaml

from ..system.errors import BadInput
from .questions import Answers, Questions


def given_answers(questions: Questions, data: list[str], file: Path | None) -> Answers:
    """What `--data` and `--data-file` say, the former overriding.

    Raises:
        BadInput: `file` cannot be read, or one of them holds no answer to these questions.
    """
    answers = answers_in(questions, file) if file else {}
    return answers | questions.checked(_split(data), "--data")


def answers_in(questions: Questions, file: Path) -> Answers:
    """The answers in a YAML file; it may be a service's own, with what the template computed.

    Raises:
        BadInput: it cannot be read, or holds something else than answers to these questions.
    """
    return questions.checked(questions.without_computed(_read(file)), str(file))


def _split(data: list[str]) -> dict[str, object]:
    pairs = [each.partition("=") for each in data]
    for key, equals, _ in pairs:
        if not equals or not key:
            raise BadInput(f"--data {key!r} has no value.", "write it as --data KEY=VALUE.")
    return {key.strip(): value for key, _, value in pairs}


def _read(path: Path) -> dict[str, object]:
    """Without the keys that begin with `_`, which are Copier's."""
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError as missing:
        raise BadInput(f"there is no answers file {path}.", "check its path.") from missing
    except (OSError, ValueError, yaml.YAMLError) as bad:
        where = getattr(bad, "problem_mark", None)
        at = f", line {where.line + 1}" if where else f": {bad}"
        raise BadInput(
            f"the answers file {path} cannot be read{at}.", "it is YAML: KEY: VALUE."
        ) from bad
    if not isinstance(content, dict):
        raise BadInput(f"the answers file {path} holds no answers.", "it is YAML: KEY: VALUE.")
    return {str(key): value for key, value in content.items() if not str(key).startswith("_")}

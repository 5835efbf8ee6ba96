"""YAML and TOML files that people and programs write by hand or machine."""

import tomllib
from collections.abc import Iterable
from pathlib import Path

import yaml

from .errors import BadInput

_DEEPEST, _TOO_DEEP = 100, "it is nested too deeply"


def parsed(text: str) -> object:
    """The content of a YAML document, read by libyaml, which is ten times as fast as PyYAML itself.

    Raises:
        ValueError: it is not YAML, or nested too deeply.
    """
    try:
        content = yaml.load(text, yaml.CSafeLoader)
    except (yaml.YAMLError, RecursionError) as bad:
        mark = getattr(bad, "problem_mark", None)
        raise ValueError(f"line {mark.line + 1}" if mark else str(bad)) from bad
    _check_depth(content)
    return content


def _check_depth(content: object) -> None:
    """See that Copier can read it too, whose own way through a document is recursive."""
    level = {id(content): content}
    for _ in range(_DEEPEST):
        level = {id(inner): inner for each in level.values() for inner in _inside(each)}
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def _inside(content: object) -> Iterable[object]:
    if isinstance(content, dict):
        return content.values()
    return content if isinstance(content, list) else ()


def toml_in(path: Path) -> dict[str, object]:
    """What the TOML file at `path` says.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not TOML, or nested too deeply.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except RecursionError as deep:
        raise ValueError(_TOO_DEEP) from deep


def mapping_in(path: Path, called: str, hint: str) -> dict[object, object]:
    """The mapping in the YAML file at `path`; errors name the file as `called`.

    Raises:
        BadInput: it does not exist, cannot be read, or is not a mapping.
    """
    try:
        content = parsed(path.read_text("utf-8"))
    except FileNotFoundError as missing:
        raise BadInput(f"{called} is missing.", hint) from missing
    except (OSError, ValueError) as bad:
        raise BadInput(f"{called} cannot be read: {bad}", hint) from bad
    if not isinstance(content, dict):
        raise BadInput(f"{called} holds no answers.", hint)
    return content

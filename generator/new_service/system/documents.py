"""YAML files that people and programs write by hand or machine."""

from pathlib import Path

import yaml

from .errors import BadInput


def parsed(text: str) -> object:
    """The content of a YAML document, read by libyaml, which is ten times as fast as PyYAML itself.

    Raises:
        yaml.YAMLError: it is not YAML.
    """
    return yaml.load(text, yaml.CSafeLoader)


def mapping_in(path: Path, called: str, hint: str) -> dict[object, object]:
    """The mapping in the YAML file at `path`; errors name the file as `called`.

    Raises:
        BadInput: it does not exist, cannot be read, or is not a mapping.
    """
    try:
        content = parsed(path.read_text("utf-8"))
    except FileNotFoundError as missing:
        raise BadInput(f"{called} is missing.", hint) from missing
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as bad:
        mark = getattr(bad, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else str(bad)
        raise BadInput(f"{called} cannot be read: {where}", hint) from bad
    if not isinstance(content, dict):
        raise BadInput(f"{called} holds no answers.", hint)
    return content

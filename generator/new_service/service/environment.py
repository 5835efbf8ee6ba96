"""A service's environment file: `.env.example` lists every variable, `.env` has the secrets."""

import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

_GENERATED = re.compile(r"^([A-Z][A-Z0-9_]*)=\s*# generate\b.*$", re.MULTILINE)
_VARIABLE = re.compile(r"^#?\s?([A-Z][A-Z0-9_]*)=(.*)$", re.MULTILINE)

# In every form that dotenv files have, commented out or not.
_NAMED = re.compile(r"^[ \t#]*(?:export[ \t]+)?(\w+)[ \t]*=", re.MULTILINE)


def _read(file: Path) -> str:
    """Its text, of which programs get the bytes that are there, in whatever encoding."""
    return file.read_text("utf-8", "surrogateescape")


def filled(example: str) -> str:
    """`example` with a random secret of 384 bits in each line marked `# generate`."""
    return _GENERATED.sub(lambda line: f"{line[1]}={secrets.token_urlsafe(48)}", example)


def write(folder: Path) -> bool:
    """Write `.env`, readable by its owner alone, from `.env.example`; False if there is none."""
    example = folder / ".env.example"
    if not example.is_file():
        return False
    descriptor = os.open(folder / ".env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(
        descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="\n"
    ) as file:
        file.write(filled(_read(example)))
    return True


def extend(folder: Path) -> list[str]:
    """Append to `.env` the variables of `.env.example` that it lacks; no line is rewritten.

    Returns the names of these variables; none if there is no `.env`.
    """
    path, example = folder / ".env", folder / ".env.example"
    if not path.is_file() or not example.is_file():
        return []
    text = _read(path)
    named = set(_NAMED.findall(text))
    lines: list[str] = []
    comments: list[str] = []
    new: list[str] = []
    for line in _read(example).splitlines():
        variable = re.match(r"([A-Z][A-Z0-9_]*)=", line)
        if variable and variable[1] not in named:
            lines += [*comments, line]
            new.append(variable[1])
        comments = [*comments, line] if line.startswith("#") else []
    if new:
        with path.open("a", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            start = "\n" if text.endswith("\n") else "\n\n"
            file.write(start + filled("\n".join(lines)) + "\n")
    return new


def scratch(folder: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """The caller's `variables`, its settings of the service replaced by the example's.

    A check never meets a server or a secret that the user has configured.
    """
    example = folder / ".env.example"
    text = _read(example) if example.is_file() else ""
    listed = {match[1] for match in _VARIABLE.finditer(text)}
    # A service reads NAME from the file that NAME_FILE names, too.
    theirs = listed | {f"{name}_FILE" for name in listed}
    kept = {name: value for name, value in variables.items() if name not in theirs}
    set_lines = (
        line.partition("=") for line in filled(text).splitlines() if re.match("[A-Z]", line)
    )
    return kept | {name: value.strip().strip("\"'") for name, _, value in set_lines}

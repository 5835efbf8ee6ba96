"""A service's environment file: `.env.example` lists every variable, `.env` has the secrets."""

import os
import re
import secrets
from pathlib import Path

_GENERATED = re.compile(r"^([A-Z][A-Z0-9_]*)=\s*# generate\b.*$", re.MULTILINE)
_VARIABLE = re.compile(r"^#?\s?([A-Z][A-Z0-9_]*)=(.*)$", re.MULTILINE)


def filled(example: str) -> str:
    """`example` with a random secret of 384 bits in each line marked `# generate`."""
    return _GENERATED.sub(lambda line: f"{line[1]}={secrets.token_urlsafe(48)}", example)


def write(folder: Path) -> bool:
    """Write `.env`, readable by its owner alone, from `.env.example`; False if there is none."""
    example = folder / ".env.example"
    if not example.is_file():
        return False
    descriptor = os.open(folder / ".env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
        file.write(filled(example.read_text("utf-8")))
    return True


def scratch(folder: Path) -> dict[str, str]:
    """The caller's environment, its settings of the service replaced by the example's.

    A check never meets a server or a secret that the user has configured.
    """
    example = folder / ".env.example"
    text = example.read_text("utf-8") if example.is_file() else ""
    listed = {match[1] for match in _VARIABLE.finditer(text)}
    kept = {
        name: value for name, value in os.environ.items() if name not in {*listed, "VIRTUAL_ENV"}
    }
    set_lines = (
        line.partition("=") for line in filled(text).splitlines() if re.match("[A-Z]", line)
    )
    return kept | {name: value.strip().strip("\"'") for name, _, value in set_lines}

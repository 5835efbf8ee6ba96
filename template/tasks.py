"""Tasks of pyproject.toml that take more than a command."""

import os
import re
import secrets
import sys
from pathlib import Path
from typing import NoReturn

from dotenv import load_dotenv


def with_env(*command: str) -> NoReturn:
    """Become `command`, with the settings of `.env`; those that are set already win."""
    load_dotenv(".env")
    try:
        os.execvp(command[0], [*command, *sys.argv[1:]])  # noqa: S606  no shell is needed
    except FileNotFoundError:
        sys.exit(f"{command[0]} is not installed; run: uv sync")


def write_env(folder: Path = Path()) -> None:
    """Make `.env`, private to its owner, from `.env.example`; fill lines marked `# generate`."""
    example = (folder / ".env.example").read_text("utf-8")
    filled = re.sub(
        r"^(\w+)=\s*# generate\b.*$",
        lambda line: f"{line[1]}={secrets.token_urlsafe(48)}",
        example,
        flags=re.MULTILINE,
    )
    try:
        descriptor = os.open(folder / ".env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        sys.exit(".env exists already: delete it first if you want a new one.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(filled)

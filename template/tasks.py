"""Tasks of pyproject.toml that take more than a command."""

import json
import os
import re
import secrets
import sys
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NoReturn

from dotenv import load_dotenv

from api_changes import breaking


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


OPENAPI = Path("openapi.json")


def write_openapi(application: str) -> None:
    """Write the description of `application`, for those who generate clients from it."""
    OPENAPI.write_text(json.dumps(_described(application), indent=2) + "\n", "utf-8")
    print(f"{OPENAPI} is written; commit it.")


def check_openapi(application: str) -> None:
    """Exit if the written description is out of date, and say what breaks clients."""
    if not OPENAPI.exists():
        print(f"there is no {OPENAPI} to check; `poe openapi` writes it")
        return
    try:
        written = json.loads(OPENAPI.read_text("utf-8"))
    except ValueError:
        sys.exit(f"{OPENAPI} is not JSON; write it anew: uv run poe openapi")
    described = _described(application)
    if written == described:
        print(f"{OPENAPI} is up to date")
        return
    changes = [f"breaks clients: {change}\n" for change in breaking(written, described)]
    found = f"{len(changes)} changes break clients" if changes else "no change breaks clients"
    sys.exit("".join([*changes, f"{OPENAPI} is out of date; {found}. Run: uv run poe openapi"]))


def _described(application: str) -> dict[str, Any]:
    """Described as with the settings of the example: those of whoever asks do not matter."""
    load_dotenv(".env.example", override=True)
    described: dict[str, Any] = resolve_name(application).openapi()
    return described

"""A bug in new-service: two lines for the user, and a report for whoever fixes it."""

import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from .errors import NewServiceError, of_system
from .programs import find_uv

_SHORTEST_SECRET = 6
"""Shorter values of `--data` are ordinary words, which occur in every traceback."""


class Bug(NewServiceError):
    """An exception that new-service does not handle (exit 70)."""

    exit_code = 70


def reported(failed: Exception) -> Bug:
    """Write a report of `failed`; the error names its path, or why it could not be written."""
    what = _without_secrets(traceback.format_exception_only(failed)[-1])
    try:
        place = f"send {_write(failed)}, which has the details, to whoever maintains new-service."
    except OSError as full:
        reason = of_system(full).message
        place = f"no report could be written ({reason}); NEW_SERVICE_DEBUG=1 prints the traceback."
    return Bug(f"a bug in new-service: {what}", place)


def _write(failed: Exception) -> str:
    descriptor, path = tempfile.mkstemp(prefix="new-service-bug-", suffix=".txt")
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(_without_secrets("\n".join([*_versions(), "", *_trace(failed)])))
    return path


def _trace(failed: Exception) -> Iterator[str]:
    for part in traceback.format_exception(failed):
        yield part.rstrip("\n")


def _versions() -> Iterator[str]:
    """The command, and the versions of the programs and the platform; no environment variables."""
    yield f"command: new-service {shlex.join(_command())}"
    for package in ("new-service", "copier", "typer"):
        try:
            yield f"{package}: {version(package)}"
        except PackageNotFoundError:
            yield f"{package}: not installed"
    yield f"git: {_says('git', '--version')}"
    try:
        yield f"uv: {_says(find_uv(), '--version')}"
    except NewServiceError as missing:
        yield f"uv: {missing.message}"
    yield f"Python: {platform.python_version()}"
    yield f"platform: {platform.platform()}"


def _says(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as failed:
        return str(failed)
    return done.stdout.strip()


def _command() -> Iterator[str]:
    """The words of the command, without the values that `--data` gives."""
    after_data = False
    for word in sys.argv[1:]:
        start, equals, _ = word.removeprefix("--data=").partition("=")
        if after_data:
            yield f"{start}{equals}***"
        elif word.startswith("--data="):
            yield f"--data={start}{equals}***"
        else:
            yield word
        after_data = word == "--data"


def _without_secrets(text: str) -> str:
    """`text` without answers of `--data`, and without the users, passwords and queries of URLs."""
    text = re.sub(r"(?<=://)[^/@\s'\"]+@", "", text)
    text = re.sub(r"(://[^\s?'\"]*)\?[^\s'\"]*", r"\1", text)
    for given, shown in zip(sys.argv[1:], _command(), strict=True):
        value = given.removeprefix(shown.removesuffix("***")) if given != shown else ""
        if len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, "***").replace(repr(value)[1:-1], "***")
    return text

"""The programs that new-service runs beside git: uv, and what uv runs."""

import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .errors import ProgramMissing

if TYPE_CHECKING:
    from packaging.requirements import Requirement


def find_uv() -> str:
    """The uv on PATH; if there is none or it is too old, the one that came with new-service.

    Raises:
        ProgramMissing: neither exists.
    """
    on_path = shutil.which("uv")
    if on_path and _is_recent(on_path):
        return on_path
    try:
        import uv  # only where PATH has none

        return os.fsdecode(uv.find_uv_bin())
    except (ImportError, FileNotFoundError) as missing:
        raise ProgramMissing(
            f"uv is {'too old' if on_path else 'not installed'}.",
            f"install {_required_uv()} (pip install -U uv), or create with --no-lock.",
        ) from missing


@cache
def _is_recent(uv: str) -> bool:
    """Whether it is recent enough for the options that we use."""
    said = subprocess.run([uv, "--version"], capture_output=True, check=False, text=True).stdout
    version = re.match(r"uv (\d[\d.]*)", said)
    return version is not None and version[1] in _required_uv().specifier


@cache
def _required_uv() -> "Requirement":
    from packaging.requirements import Requirement  # slow to import

    required = map(Requirement, metadata.requires("new-service") or [])
    return next(each for each in required if each.name == "uv")


def uv(
    *arguments: str, folder: Path, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run uv in `folder`; what it prints has no colours, and both streams are in `stdout`."""
    return run([find_uv(), "--color", "never", *arguments], folder, variables)


class TookTooLong(Exception):
    """A program did not end and was killed with all its children; the message is its output."""


_running: set[subprocess.Popen[bytes]] = set()
_over = threading.Event()


def run(
    command: list[str],
    folder: Path,
    variables: Mapping[str, str] | None = None,
    *,
    seconds: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `command` in `folder`; its output, both streams in order, is in `stdout`.

    Raises:
        TookTooLong: it had not ended after `seconds`.
        KeyboardInterrupt: all programs were killed.
    """
    # A file, since a process that outlives the program could keep a pipe open for ever.
    with tempfile.TemporaryFile(prefix="new-service-") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches us alone, and we end the program
        )
        _running.add(process)
        try:
            if _over.is_set():
                raise KeyboardInterrupt
            code = process.wait(seconds)
        except subprocess.TimeoutExpired as late:
            raise TookTooLong(_text(output)) from late
        finally:
            _end(process)
            _running.discard(process)
        return subprocess.CompletedProcess(command, code, _text(output))


def end_all() -> None:
    """Kill the programs of all threads, for good: an interrupt reaches the main one alone."""
    _over.set()
    for process in list(_running):
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a program and its children, which poe starts in sessions of their own."""
    if process.poll() is not None:
        return
    import psutil  # only if something went wrong

    with suppress(psutil.NoSuchProcess):
        whole = psutil.Process(process.pid)
        for each in [whole, *whole.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                each.kill()
    process.wait()


def _text(output: IO[bytes]) -> str:
    output.seek(0)
    # As `text=True` reads it.
    return output.read().decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")


def poe(
    task: str,
    folder: Path,
    variables: Mapping[str, str] | None = None,
    *,
    seconds: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a task of the service in `folder`, in the environment that is installed there.

    Raises:
        TookTooLong: it had not ended after `seconds`.
    """
    uv = find_uv()
    variables = dict(variables or os.environ)
    # A task may call uvx, which lies beside uv and may not be on PATH.
    variables["PATH"] = os.pathsep.join([variables.get("PATH", os.defpath), str(Path(uv).parent)])
    command = [uv, "run", "--frozen", "--no-sync", "poe", "-q", task]
    return run(command, folder, variables, seconds=seconds)

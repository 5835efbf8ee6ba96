"""The programs that new-service runs beside git: uv, and what uv runs."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .errors import ProgramMissing


def find_uv() -> str:
    """The uv on PATH, else the one that came with new-service.

    Raises:
        ProgramMissing: there is neither.
    """
    on_path = shutil.which("uv")
    if on_path:
        return on_path
    try:
        import uv  # only where PATH has none

        return os.fsdecode(uv.find_uv_bin())
    except (ImportError, FileNotFoundError) as missing:
        raise ProgramMissing(
            "uv is not installed.", "install it (pip install uv), or create with --no-lock."
        ) from missing


def run(
    command: list[str], folder: Path, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `command` in `folder`; its output, both streams in order, is in `stdout`."""
    return subprocess.run(
        command,
        cwd=folder,
        env=variables if variables is not None else own_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


def poe(
    task: str, folder: Path, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a task of the service in `folder`, in the environment that is installed there."""
    uv = find_uv()
    variables = dict(variables or own_environment())
    # A task may call uvx, which lies beside uv and may be on nobody's PATH.
    variables["PATH"] = os.pathsep.join([variables.get("PATH", os.defpath), str(Path(uv).parent)])
    return run([uv, "run", "--frozen", "--no-sync", "poe", "-q", task], folder, variables)


def own_environment() -> dict[str, str]:
    """The caller's environment without its virtual environment, which is not the service's."""
    return {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}

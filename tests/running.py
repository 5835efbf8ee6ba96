"""Services that run."""

import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx2

from conftest import COMMAND, UV, clean_environment, run

SECONDS = 30


def create(folder: Path, template: Path, name: str, *options: str) -> Path:
    """A service, its environment installed."""
    run(COMMAND, "create", name, "--yes", *options, "--template", template, cwd=folder)
    run(UV, "sync", "--quiet", cwd=folder / name)
    return folder / name


@contextmanager
def listening(
    project: Path,
    command: Sequence[str | Path],
    settings: Mapping[str, str],
    output: int | IO[str] = subprocess.DEVNULL,
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server, by a command that takes uvicorn's options, and its address, on a free port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        process = subprocess.Popen(
            [*command, "--fd", str(listener.fileno()), "--timeout-graceful-shutdown", "5"],
            cwd=project,
            env=clean_environment() | dict(settings),
            stdout=output,
            stderr=output,
            pass_fds=[listener.fileno()],
        )
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        yield process, address
    finally:
        process.terminate()
        process.wait()


@contextmanager
def served(
    project: Path, log: Path | None = None, /, *options: str, **settings: str
) -> Iterator[httpx2.Client]:
    """The service as `poe serve` has it, on a free port, and a client of it."""
    serve = f"from tasks import with_env; with_env('python', '-m', '{project.name}')"
    venv = project / ".venv" / "bin"
    variables = {"APP_LOG_FORMAT": "json", "PATH": f"{venv}{os.pathsep}{os.environ['PATH']}"}
    command: list[str | Path] = [venv / "python", "-c", serve, *options]
    with (
        (log or Path(os.devnull)).open("w") as output,
        listening(project, command, variables | settings, output) as (_, address),
        httpx2.Client(base_url=address, timeout=SECONDS, trust_env=False) as client,
    ):
        yield client


def poe(project: Path, *command: str, given: str = "", **settings: str) -> str:
    done = subprocess.run(
        [UV, "run", "--frozen", "poe", "-q", *command],
        cwd=project,
        env=clean_environment() | settings,
        input=given,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout

"""Services that run."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from conftest import COMMAND, UV, clean_environment, run

SECONDS = 30


def create(folder: Path, template: Path, name: str, *options: str) -> Path:
    """A service, its environment installed."""
    run(COMMAND, "create", name, "--yes", *options, "--template", template, cwd=folder)
    run(UV, "sync", "--quiet", cwd=folder / name)
    return folder / name


@contextmanager
def served(
    project: Path, log: Path | None = None, /, *options: str, **settings: str
) -> Iterator[httpx2.Client]:
    """The service as `poe serve` has it, on a free port, and a client of it."""
    serve = f"from tasks import with_env; with_env('python', '-m', '{project.name}')"
    venv = project / ".venv" / "bin"
    with socket.socket() as listener, (log or Path(os.devnull)).open("w") as output:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        process = subprocess.Popen(
            [
                *(venv / "python", "-c", serve, "--fd", str(listener.fileno())),
                *("--timeout-graceful-shutdown", "5", *options),
            ],
            cwd=project,
            env=clean_environment()
            | {"APP_LOG_FORMAT": "json", "PATH": f"{venv}{os.pathsep}{os.environ['PATH']}"}
            | settings,
            stdout=output,
            stderr=output,
            pass_fds=[listener.fileno()],
        )
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        with httpx2.Client(base_url=address, timeout=SECONDS, trust_env=False) as client:
            yield client
    finally:
        process.terminate()
        process.wait()


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

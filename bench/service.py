"""How fast and how large a generated service is, beside a bare FastAPI application.

Granian answers 1.4 times as many requests as uvicorn, but its two processes hold 1.7 times the
memory of the bare application (1.15 with uvicorn), and a wrong setting ends in a traceback.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, perf_counter, sleep

from measure import Pair, Ratio, in_turns

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
ROUNDS = 5
START_SECONDS = 60

BARE = """
from typing import Literal

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel


class Answer(BaseModel):
    status: Literal["ok"] = "ok"


router = APIRouter(prefix="/api/v1")


@router.get("/answer")
async def answer() -> Answer:
    return Answer()


app = FastAPI()
app.include_router(router)
"""
OURS = """
from bare import router
from orders_api.main import app

app.include_router(router)
"""


def health() -> list[Ratio]:
    """Requests per second of a small route, its log lines written, and memory afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder, "orders-api")
        create(project)
        (project / "bare.py").write_text(BARE)
        (project / "ours.py").write_text(OURS)
        rounds = [_round(project) for _ in range(ROUNDS)]
    speeds = [pair for pairs, _ in rounds for pair in pairs]
    return [
        Ratio.of("requests of a small route", speeds, "req/s", 0.80, at_least=True),
        Ratio.of("memory after that load", [sizes for _, sizes in rounds], "MiB", 1.4),
    ]


def start() -> list[Ratio]:
    """Seconds from the command to the first answer, and what all modules add to an import."""
    with tempfile.TemporaryDirectory() as folder:
        project, full = Path(folder, "orders-api"), Path(folder, "full-api")
        create(project)
        create(full, "--preset", "full")
        (project / "bare.py").write_text(BARE)
        starts = in_turns(
            lambda: _started(project, "orders_api.main:app"),
            lambda: _started(project, "bare:app"),
            rounds=ROUNDS,
        )
        imports = in_turns(
            lambda: _imported(full, "full_api.main"),
            lambda: _imported(project, "orders_api.main"),
            rounds=ROUNDS,
        )
    return [
        Ratio.of("start to the first answer", starts, "s", 1.2),
        Ratio.of("import with all modules to none", imports, "s", 2.5),
    ]


def _started(project: Path, application: str) -> float:
    begun = perf_counter()
    with served(project, application) as (_, port):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health/live").read()
        return perf_counter() - begun


def _imported(project: Path, module: str) -> float:
    begun = perf_counter()
    python = project / ".venv" / "bin" / "python"
    subprocess.run([python, "-c", f"import {module}"], cwd=project, check=True)
    return perf_counter() - begun


def create(project: Path, *options: str) -> None:
    """Create a service and install what it needs."""
    command = ("create", project.name, "--yes", "--no-git", "--output-dir", project.parent)
    subprocess.run([BIN / "new-service", *command, *options], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([BIN / "uv", "sync", "--quiet"], cwd=project, check=True)


Server = tuple[int, int]


def _round(project: Path) -> tuple[list[Pair], Pair]:
    """A fresh server of each: their speeds, and their memory after that load."""
    with (
        served(project, "ours:app") as ours,
        served(project, "bare:app") as theirs,
    ):
        path = "/api/v1/answer"
        speeds = in_turns(lambda: load(ours, path), lambda: load(theirs, path), rounds=8)
        return speeds, (_resident(ours), _resident(theirs))


@contextmanager
def served(project: Path, application: str, **variables: str) -> Iterator[Server]:
    """Serve an application on the first core; yields its process and its port."""
    # By its port: on a socket handed over (--fd) uvloop leaves TCP's delays on, 40 ms a request.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    python = project / ".venv" / "bin" / "python"
    process = subprocess.Popen(
        [
            *("taskset", "--cpu-list", "0", python, "-m", "uvicorn", application),
            *("--port", str(port), "--loop", "uvloop", "--http", "httptools", "--no-access-log"),
        ],
        cwd=project,
        env={k: v for k, v in os.environ.items() if not k.startswith("APP_")} | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(process, port)
        yield process.pid, port
    finally:
        process.terminate()
        process.wait()


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    """Return as soon as the server accepts connections."""
    deadline = monotonic() + START_SECONDS
    while process.poll() is None and monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        sleep(0.01)
    sys.exit(f"{process.args!r} does not start")


def load(server: Server, path: str, *options: str | Path) -> float:
    """Requests per second with 16 connections from the other core, for one second."""
    wrk = shutil.which("wrk")
    if wrk is None:
        sys.exit("wrk is not installed: apt-get install wrk")
    address = f"http://127.0.0.1:{server[1]}{path}"
    said = subprocess.run(
        [
            *("taskset", "--cpu-list", "1", wrk, "--threads", "1", "--connections", "16"),
            *("--duration", "1s", *options, address),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    found = re.search(r"Requests/sec:\s+([\d.]+)", said.stdout)
    assert found, said.stdout
    assert "Non-2xx" not in said.stdout, said.stdout
    return float(found[1])


def _resident(server: Server) -> float:
    """The resident memory of a process, in MiB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{server[0]}/status").read_text())
    assert found
    return int(found[1]) / 1024

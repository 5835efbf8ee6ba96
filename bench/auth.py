"""What it costs to know who asks, and whether answers tell strangers who has an account."""

import json
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from measure import Ratio, in_turns
from new_service.system.variables import chosen
from service import BIN, Server, create, load, served

AUTH = "/api/v1/auth"
PASSWORD = "a difference engine"  # noqa: S105  of these measurements
# The same read twice, once for whoever has a token.
READS = """
from members.auth.dependencies import CurrentUser
from members.database.session import Session
from members.main import create_app
from sqlalchemy import text

app = create_app()
FOUND = text("SELECT 'ada'")


@app.get("/open")
async def read_open(session: Session) -> dict[str, str]:
    return {"found": await session.scalar(FOUND)}


@app.get("/guarded")
async def read_guarded(session: Session, user: CurrentUser) -> dict[str, str]:
    return {"found": await session.scalar(FOUND)}
"""
# It signs one token, and stays until its input ends.
PROVIDER = """
import sys
from tests.auth.oidc.provider import AUDIENCE, LocalProvider, listen

listener = listen()
provider = LocalProvider(f"http://127.0.0.1:{listener.getsockname()[1]}", AUDIENCE)
with provider.serving(listener):
    print(provider.issuer, provider.token(), flush=True)
    sys.stdin.read()
"""
BEARER = """
wrk.headers["Authorization"] = "Bearer TOKEN"
"""


def auth() -> list[Ratio]:
    """Requests per second of a read of a row for users to that for everybody, by provider."""
    return [_accounts(), _provider()]


def timing() -> list[Ratio]:
    """Seconds of a login without an account to one with a wrong password."""
    with _project("accounts") as (project, folder), _members(project, folder) as server:
        _register(server)
        pairs = in_turns(lambda: _login(server, "eve"), lambda: _login(server, "ada"), rounds=60)
    return [
        Ratio.of("login of nobody, at most", pairs, "s", 1.15),
        Ratio.of("login of nobody, at least", pairs, "s", 0.85, at_least=True),
    ]


def _accounts() -> Ratio:
    with _project("accounts") as (project, folder), _members(project, folder) as server:
        _register(server)
        token = str(_post(server, "login", "ada")["access_token"])
        return _reads("read for an account", server, token, folder)


def _provider() -> Ratio:
    with _project("oidc") as (project, folder):
        with subprocess.Popen(
            [project / ".venv" / "bin" / "python", "-c", PROVIDER],
            cwd=project, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as provider:  # fmt: skip
            assert provider.stdout is not None
            issuer, token = provider.stdout.readline().split()
            variables = {"AUTH_ISSUER": issuer, "AUTH_AUDIENCE": "members"}
            with served(project, "reads:app", **variables) as server:
                ratio = _reads("read for a user of a provider", server, token, folder)
            provider.communicate()
        return ratio


@contextmanager
def _project(provider: str) -> Iterator[tuple[Path, Path]]:
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder, "members")
        create(project, "--with", "database,auth", "--data", f"auth_provider={provider}")
        (project / "reads.py").write_text(READS)
        yield project, Path(folder)


@contextmanager
def _members(project: Path, folder: Path) -> Iterator[Server]:
    """The service with accounts, which nothing limits."""
    variables = {
        "DATABASE_URL": f"sqlite:///{folder / 'database.db'}",
        "AUTH_SECRET": "".join(chr(each) for each in range(64, 123)),
        "AUTH_ACCOUNT_LIMIT": "10000/minute",
        "AUTH_CLIENT_LIMIT": "10000/minute",
    }
    subprocess.run(
        [BIN / "uv", "run", "--quiet", "poe", "-q", "migrate"],
        cwd=project, check=True, env={**chosen(os.environ), **variables}, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    with served(project, "reads:app", **variables) as server:
        yield server


def _reads(name: str, server: Server, token: str, folder: Path) -> Ratio:
    script = folder / "bearer.lua"
    script.write_text(BEARER.replace("TOKEN", token))
    pairs = in_turns(
        lambda: load(server, "/guarded", "--script", script),
        lambda: load(server, "/open"),
        rounds=12,
    )
    return Ratio.of(name, pairs, "req/s", 0.80, at_least=True)


def _register(server: Server) -> None:
    _post(server, "register", "ada")


def _login(server: Server, name: str) -> float:
    """The seconds that the answer to a wrong password takes."""
    started = perf_counter()
    try:
        _post(server, "login", name, "an analytical engine")
    except urllib.error.HTTPError as refused:
        refused.close()
        return perf_counter() - started
    sys.exit("a wrong password was accepted")


def _post(server: Server, path: str, name: str, password: str = PASSWORD) -> dict[str, object]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{server[1]}{AUTH}/{path}",
        json.dumps({"email": f"{name}@example.com", "password": password}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:  # noqa: S310
        answer: dict[str, object] = json.load(response)
        return answer

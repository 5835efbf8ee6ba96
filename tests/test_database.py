"""The modules database and example, on SQLite and on a real PostgreSQL server."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from conftest import COMMAND, UV, PostgreSQL, Required, Run, clean_environment, run

MODULES = {
    "database": ["sqlalchemy", "alembic", "sqlite", "psycopg", "database_", "poe migrat"],
    "example": ["items", "idiom"],
}
ITEMS = "/api/v1/items"
SECONDS = 30


@pytest.fixture(scope="module")
def shop(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service with both modules, its environment installed. Not to be changed."""
    folder = tmp_path_factory.mktemp("shop")
    modules = ("--with", "database,example")
    run(COMMAND, "create", "shop", "--yes", *modules, "--template", template, cwd=folder)
    run(UV, "sync", "--quiet", cwd=folder / "shop")
    return folder / "shop"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'database.db'}"
    server: PostgreSQL = request.getfixturevalue("postgresql")
    return server.new_database()


def migrate(shop: Path, url: str) -> None:
    run(UV, "run", "--frozen", "poe", "-q", "migrate", cwd=shop, env={"DATABASE_URL": url})


@contextmanager
def served(
    shop: Path, url: str, output: int = subprocess.DEVNULL, **settings: str
) -> Iterator[tuple[subprocess.Popen[bytes], httpx2.Client]]:
    """The service on a free port, and a client of it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        process = subprocess.Popen(
            [
                *(shop / ".venv" / "bin" / "python", "-m", "uvicorn", "shop.main:app"),
                *("--fd", str(listener.fileno()), "--timeout-graceful-shutdown", "5"),
            ],
            cwd=shop,
            env=clean_environment() | {"DATABASE_URL": url} | settings,
            stdout=output,
            stderr=output,
            pass_fds=[listener.fileno()],
        )
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        with httpx2.Client(base_url=address, timeout=SECONDS, trust_env=False) as client:
            yield process, client
    finally:
        process.terminate()
        process.wait()


def problem(response: httpx2.Response, status: int) -> dict[str, object]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, object] = response.json()
    return document


@pytest.mark.parametrize("modules", ["", "database", "database,example"])
def test_absent_modules_leave_no_trace(modules: str, new_service: Run, tmp_path: Path) -> None:
    new_service("create", "shop", "--yes", "--no-lock", "--no-git", "--data", f"modules={modules}")
    absent = [module for module in MODULES if module not in modules.split(",")]
    words = [word for module in absent for word in MODULES[module]]

    for path in (tmp_path / "shop").rglob("*"):
        name = path.relative_to(tmp_path / "shop").as_posix()
        content = path.read_text("utf-8").lower() if path.is_file() else ""
        # Its answers file names what was chosen, and a word may be part of another one.
        found = [word for word in words if re.search(rf"\b{word}", f"{name}\n{content}")]
        assert not found or name.endswith((".js", ".css")), (name, found)


@pytest.mark.parametrize("modules", ["database", "database,example"])
def test_every_check_passes_and_touches_no_database_of_the_user(
    modules: str, new_service: Run, tmp_path: Path, postgresql: PostgreSQL
) -> None:
    new_service("create", "shop", "--yes", "--with", modules)
    configured = postgresql.new_database()
    before = postgresql.databases()

    done = run(
        COMMAND, "validate", "--json", cwd=tmp_path / "shop",
        env={"DATABASE_URL": configured, "TEST_DATABASE_URL": postgresql.new_database()},
    )  # fmt: skip

    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert "2 passed" in checks["migrations"]["detail"]
    assert postgresql.ask(configured, "SELECT count(*) FROM pg_tables WHERE schemaname='public'") == "0"
    assert len(postgresql.databases()) == len(before) + 1
    assert not (tmp_path / "shop" / "data").exists()
    assert run("git", "status", "--porcelain", cwd=tmp_path / "shop").stdout == ""


def test_the_suite_of_a_service_passes_on_postgresql(shop: Path, postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()

    done = run(
        UV, "run", "--frozen", "pytest", "--no-cov", "-p", "no:cacheprovider", cwd=shop,
        env={"TEST_DATABASE_URL": url},
    )  # fmt: skip

    assert "skipped" not in done.stdout.splitlines()[-1]

"""How a service reaches its servers: settings, poolers, TLS, failing databases, and its image."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import chain
from pathlib import Path

import httpx2
import pytest
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

from brokers import free_port
from conftest import (
    COMMAND,
    ROOT,
    UV,
    PostgreSQL,
    Required,
    clean_environment,
    own_postgresql,
    questions_of,
    run,
)
from new_service.service import environment
from running import listening

pytestmark = pytest.mark.xdist_group("connections")  # one service, and one of each server

SECONDS = 60
SECRET = "".join(map(chr, range(64, 123)))
# A row that no log may show; and requests that fail in ways of their own.
FAULTS = """\
import sqlite3

from fastapi import APIRouter
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shop.database.session import Session
from shop.database.settings import DatabaseSettings
from shop.main import create_app

TABLES = [
    "CREATE TABLE shelves (id integer PRIMARY KEY, label text UNIQUE,"
    " size integer NOT NULL CHECK (size > 0))",
    "CREATE TABLE books (id integer PRIMARY KEY, shelf integer REFERENCES shelves,"
    " other integer REFERENCES shelves DEFERRABLE INITIALLY DEFERRED)",
    "CREATE TABLE labels (shelf integer REFERENCES shelves ON DELETE RESTRICT)",
    "INSERT INTO shelves VALUES (1, :label, 1), (2, 'b', 1)",
    "INSERT INTO books VALUES (1, 1, 1)",
    "INSERT INTO labels VALUES (2)",
]
STATEMENTS = {
    "works": "SELECT 1",
    "unique": "INSERT INTO shelves VALUES (3, :label, 1)",
    "primary-key": "INSERT INTO shelves VALUES (1, 'c', 1)",
    "foreign-key": "INSERT INTO books VALUES (2, 7, 1)",
    "referred-to": "DELETE FROM shelves WHERE id = 1",
    "restrict": "DELETE FROM shelves WHERE id = 2",
    "at-commit": "INSERT INTO books VALUES (3, 1, 7)",
    "not-null": "INSERT INTO shelves (id, label) VALUES (4, :label || '!')",
    "check": "INSERT INTO shelves VALUES (5, :label || '!', -1)",
    "column": "SELECT misspelt FROM shelves",
    "slow": "SELECT pg_sleep(60)",
    "disconnected": "SELECT pg_terminate_backend(pg_backend_pid())",
}
OWN = {"overflow": OverflowError, "time": TimeoutError, "integrity": sqlite3.IntegrityError}
router = APIRouter()


@router.post("/tables")
async def create_tables(session: Session) -> None:
    for statement in TABLES:
        await run(session, statement)


async def run(session: AsyncSession, statement: str) -> None:
    label = {"label": "hunter2"} if ":label" in statement else {}
    await session.execute(text(statement), label)


@router.post("/statement/{name}")
async def execute(name: str, session: Session) -> None:
    await run(session, STATEMENTS[name])


@router.post("/number")
async def bind_number(session: Session) -> None:
    await session.execute(text("INSERT INTO shelves VALUES (6, 'a', :size)"), {"size": 10**30})


@router.post("/own/{name}")
async def fail(name: str, session: Session) -> None:
    await session.execute(text("SELECT 1"))
    raise OWN[name]


@router.post("/locked")
async def write_while_another_does(session: Session) -> None:
    other = sqlite3.connect(DatabaseSettings.load().address.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        await session.execute(text(STATEMENTS["foreign-key"]))
    finally:
        other.close()


def main(*paths: str) -> None:
    app = create_app()
    app.include_router(router)
    with TestClient(app, "http://localhost", raise_server_exceptions=False) as client:
        client.post("/tables").raise_for_status()
        for path in paths:
            client.post(path, headers={"X-Request-ID": path.replace("/", ".")})
"""


@pytest.fixture(scope="module")
def shop(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service with all modules, its environment installed. Not to be changed."""
    folder = tmp_path_factory.mktemp("shop")
    run(COMMAND, "create", "shop", "--preset", "full", "--yes", "--template", template, cwd=folder)
    run(UV, "sync", "--quiet", cwd=folder / "shop")
    (folder / "shop" / "faults.py").write_text(FAULTS)
    return folder / "shop"


def python(
    shop: Path, code: str, *, check: bool = True, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run code with the service's Python, and with these settings."""
    env = {"AUTH_SECRET": SECRET, "APP_LOG_FORMAT": "json"} | settings
    return run(shop / ".venv" / "bin" / "python", "-c", code, cwd=shop, env=env, check=check)


URL = "database.settings:DatabaseSettings.url.get_secret_value()"
BROKER = "worker.settings:CelerySettings.broker_url.get_secret_value()"
SIZE, ORIGINS, LEVEL, ENVIRONMENT = (
    f"settings:Settings.{name}"
    for name in ("max_body_size", "cors_origins", "log_level", "environment")
)
PRODUCTION = {"APP_ENVIRONMENT": "production"}
TAKEN = [
    (URL, {"DATABASE_URL_FILE": "url"}, "sqlite:///from-file.db"),
    (SIZE, {"APP_MAX_BODY_SIZE_FILE": "size"}, "7"),
    (ORIGINS, {"APP_CORS_ORIGINS_FILE": "origins"}, "['https://a', 'https://b']"),
    (LEVEL, {"APP_LOG_LEVEL_FILE": "empty"}, "info"),
    (URL, {}, "sqlite:///data/database.db"),
    (URL, {"DATABASE_URL": "sqlite:///x.db"} | PRODUCTION, "sqlite:///x.db"),
    (URL, {"DATABASE_URL_FILE": "url"} | PRODUCTION, "sqlite:///from-file.db"),
    (BROKER, {"CELERY_BROKER_URL": "filesystem:///q"} | PRODUCTION, "filesystem:///q"),
]
REFUSED = [
    (URL, {"DATABASE_URL_FILE": "nowhere"}, "DATABASE_URL_FILE: No such file or directory"),
    (URL, {"DATABASE_URL_FILE": "."}, "DATABASE_URL_FILE: Is a directory"),
    (URL, {"DATABASE_URL_FILE": "binary"}, "DATABASE_URL_FILE: the file is not text in UTF-8"),
    (URL, {"DATABASE_URL_FILE": "wrong"}, "DATABASE_URL: Value error, it is no URL like"),
    (
        URL,
        {"DATABASE_URL_FILE": "url", "DATABASE_URL": "sqlite:///hunter2.db"},
        "DATABASE_URL_FILE: DATABASE_URL is set too; set one of them",
    ),
    (URL, PRODUCTION, "DATABASE_URL: it must be set in production"),
    (
        URL,
        {"DATABSE_URL": "postgresql://h/x"} | PRODUCTION,
        "DATABASE_URL: it must be set in production",
    ),
    (URL, {"DATABASE_URL": ""} | PRODUCTION, "DATABASE_URL: it must be set in production"),
    (
        URL,
        {"DATABASE_URL": "postgresql:/hunter2/x"} | PRODUCTION,
        "DATABASE_URL: Value error, it is no URL like",
    ),
    (BROKER, PRODUCTION, "CELERY_BROKER_URL: it must be set in production"),
    (
        ENVIRONMENT,
        {"APP_ENVIRONMENT": "prod"},
        "APP_ENVIRONMENT: Input should be 'development' or 'production'",
    ),
]
# In one process: each would take a second to import what it needs.
LOAD = """
import json, os, sys
from importlib import import_module
for expression, variables in json.load(sys.stdin):
    module, name = expression.split(":")
    settings, _, rest = name.partition(".")
    os.environ.update(variables)
    loaded = getattr(import_module(f"shop.{module}"), settings).load
    try:
        print(json.dumps(str(eval(f"loaded().{rest}"))))
    except SystemExit as refused:
        print(json.dumps(refused.code))
    for variable in variables:
        del os.environ[variable]
"""


@pytest.fixture(scope="module")
def loaded(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each setting is, or the words that refuse it."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "url").write_text("sqlite:///from-file.db\n")
    (folder / "size").write_text("7\r\n")
    (folder / "origins").write_text("https://a, https://b")
    (folder / "empty").write_text("\n")
    (folder / "binary").write_bytes(b"\xff\xfe")
    (folder / "wrong").write_text("hunter2")
    asked = [(expression, variables) for expression, variables, _ in [*TAKEN, *REFUSED]]
    done = subprocess.run(
        [shop / ".venv" / "bin" / "python", "-c", LOAD],
        input=json.dumps(asked),
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    answers = map(json.loads, done.stdout.splitlines())
    return {json.dumps(case): answer for case, answer in zip(asked, answers, strict=True)}


@pytest.mark.parametrize(("expression", "variables", "value"), TAKEN)
def test_a_setting_comes_from_a_variable_or_a_file(
    expression: str, variables: dict[str, str], value: str, loaded: dict[str, str]
) -> None:
    assert loaded[json.dumps((expression, variables))] == value


@pytest.mark.parametrize(("expression", "variables", "words"), REFUSED)
def test_a_setting_is_refused_in_one_line_that_shows_no_secret(
    expression: str, variables: dict[str, str], words: str, loaded: dict[str, str]
) -> None:
    said = loaded[json.dumps((expression, variables))]

    assert said.startswith(words)
    assert "\n" not in said
    assert "hunter2" not in said


def test_checks_read_no_file_of_the_user(shop: Path) -> None:
    theirs = {"DATABASE_URL_FILE": "/theirs", "AUTH_SECRET_FILE": "/theirs", "SSL_CERT_FILE": "/ca"}

    seen = environment.scratch(shop, theirs)

    assert {name: value for name, value in seen.items() if name.endswith("_FILE")} == {
        "SSL_CERT_FILE": "/ca"
    }


def test_the_image_and_the_stack_are_production(shop: Path) -> None:
    dockerfile, compose = ((shop / each).read_text() for each in ("Dockerfile", "compose.yaml"))

    assert re.search(r"^ENV .*\bAPP_ENVIRONMENT=production$", dockerfile, re.MULTILINE)
    # Under `environment`: an `.env` with other values, read by `env_file`, loses to these.
    environment = compose.split("environment: &environment\n")[1].split("\n  depends_on")[0]
    assert "    APP_ENVIRONMENT: production" in environment
    assert '    PORT: "8000"' in environment


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def failures(
    request: pytest.FixtureRequest, shop: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict[str, list[dict[str, object]]]]:
    """The kind of database, and what was logged for each request that may fail."""
    folder = tmp_path_factory.mktemp("failures")
    url = f"sqlite:///{folder}/database.db"
    special = ["/locked"]
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql").new_database()
        special = ["/statement/slow", "/statement/disconnected", "/statement/works"]
    paths = [*(path for path, _, _ in OUTCOMES), *special]
    code = f"from faults import main; main(*{paths!r})"
    done = python(
        shop, code, DATABASE_URL=url, DATABASE_STATEMENT_TIMEOUT="0.3",
        DATABASE_POOL_SIZE="1", CELERY_BROKER_URL=f"filesystem:///{folder}/queue",
    )  # fmt: skip
    logged: dict[str, list[dict[str, object]]] = {}
    for line in done.stdout.splitlines():
        event = json.loads(line)
        logged.setdefault(event.get("request_id", "").replace(".", "/"), []).append(event)
    assert "hunter2" not in done.stdout
    return request.param, logged


def status_and_log(events: list[dict[str, object]]) -> tuple[object, str]:
    """The status of an answer, and all that was logged before it."""
    return events[-1]["status"], json.dumps(events[:-1])


OUTCOMES = [
    ("/statement/unique", 409, "(?i)unique constraint"),
    ("/statement/primary-key", 409, "(?i)unique constraint"),
    ("/statement/foreign-key", 409, "(?i)foreign key constraint"),
    ("/statement/referred-to", 409, "(?i)foreign key constraint"),
    ("/statement/restrict", 409, "(?i)foreign key constraint"),
    ("/statement/at-commit", 409, "(?i)foreign key constraint"),
    ("/statement/not-null", 500, "(?i)not.null constraint"),
    ("/statement/check", 500, "(?i)check constraint"),
    ("/statement/column", 500, "misspelt"),
    ("/number", 500, "Error"),
    ("/own/overflow", 500, "OverflowError"),
    ("/own/time", 500, "TimeoutError"),
    ("/own/integrity", 500, "IntegrityError"),
]


@pytest.mark.parametrize(("path", "status", "cause"), OUTCOMES)
def test_what_fails_is_told_from_what_conflicts_and_is_logged_with_its_cause(
    path: str,
    status: int,
    cause: str,
    failures: tuple[str, dict[str, list[dict[str, object]]]],
) -> None:
    answered, log = status_and_log(failures[1][path])

    assert answered == status
    assert re.search(cause, log), log


def test_locks_limits_and_lost_connections_are_503(
    failures: tuple[str, dict[str, list[dict[str, object]]]],
) -> None:
    dialect, logged = failures
    causes = {
        "sqlite": {"/locked": "database is locked"},
        "postgresql": {
            "/statement/slow": "statement timeout",
            "/statement/disconnected": "terminating connection",
        },
    }
    for path, cause in causes[dialect].items():
        answered, log = status_and_log(logged[path])
        assert answered == 503, path
        assert cause in log
    if dialect == "postgresql":
        assert status_and_log(logged["/statement/works"])[0] == 200


class Pooler:
    """PgBouncer in transaction mode, with so few connections that clients share them."""

    def __init__(self, server: PostgreSQL, port: int) -> None:
        self._server, self._port = server, port

    def url(self, database: str) -> str:
        """How a database of the server is reached through it."""
        name = database.rpartition("/")[2]
        return f"postgresql://postgres@127.0.0.1:{self._port}/{name}"


PGBOUNCER = """\
[databases]
* = host=127.0.0.1 port={server} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
max_client_conn = 200
"""


@pytest.fixture(scope="module")
def pooler(required: Required, postgresql: PostgreSQL) -> Iterator[Pooler]:
    """A running one."""
    program = required.program("pgbouncer", "apt-get install pgbouncer")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as folder:
        file = Path(folder, "pgbouncer.ini")
        file.write_text(PGBOUNCER.format(server=postgresql.port, port=port))
        if postgresql.user:
            shutil.chown(folder, "postgres")
        process = subprocess.Popen(
            [*postgresql.user, program, file],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        assert process.stderr is not None
        said = next(
            (line for line in process.stderr if "process up" in line or "FATAL" in line), ""
        )
        assert "process up" in said, said
        try:
            yield Pooler(postgresql, port)
        finally:
            process.terminate()
            process.stderr.close()
            process.wait()


@contextmanager
def served(shop: Path, application: str, **settings: str) -> Iterator[str]:
    """The address of the service, on a free port."""
    command = (shop / ".venv" / "bin" / "python", "-m", "uvicorn", application)
    with listening(shop, command, {"AUTH_SECRET": SECRET} | settings) as (_, address):
        yield address


SERVED = """
app = create_app()
app.include_router(router)
"""


def migrate(shop: Path, **settings: str) -> None:
    run(shop / ".venv" / "bin" / "alembic", "upgrade", "heads", cwd=shop, env=settings)


def test_a_pooler_serves_many_clients_and_no_setting_leaks_through_it(
    shop: Path, postgresql: PostgreSQL, pooler: Pooler, tmp_path: Path
) -> None:
    database = postgresql.new_database()
    name = database.rpartition("/")[2]
    postgresql.ask(database, f"ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'")
    settings = {
        "DATABASE_URL": pooler.url(database),
        "DATABASE_PREPARED_STATEMENTS": "false",
        "CELERY_BROKER_URL": f"filesystem:///{tmp_path}/queue",
        "APP_ENVIRONMENT": "production",
        "AUTH_SECRET": SECRET,
    }
    migrate(shop, **settings)
    (shop / "served.py").write_text(FAULTS + SERVED)
    paths = ["/statement/works", "/api/v1/items", "/health/ready", "/statement/unique"]

    with (
        served(shop, "served:app", **settings) as address,
        httpx2.Client(base_url=address, timeout=SECONDS, trust_env=False) as client,
        ThreadPoolExecutor(20) as twenty,
    ):
        assert client.post("/tables").status_code == 200

        def ask(number: int) -> int:
            path = paths[number % len(paths)]
            method = "POST" if path.startswith("/statement") else "GET"
            return client.request(method, path).status_code

        statuses = list(twenty.map(ask, range(400)))

        assert {statuses[each] for each in range(0, 400, 4)} == {200}
        assert set(statuses) == {200, 409}
        for setting, value in (("statement_timeout", "0"), ("timezone", "Asia/Tokyo")):
            asked = twenty.map(
                lambda _, setting=setting: postgresql.ask(pooler.url(database), f"SHOW {setting}"),
                range(10),
            )
            assert set(asked) == {value}


def test_transactions_are_in_utc_and_limited_and_statements_of_workers_are_not_prepared(
    shop: Path, postgresql: PostgreSQL, pooler: Pooler
) -> None:
    code = """
from sqlalchemy import text
from shop.database.settings import DatabaseSettings
from shop.database.statements import Statements
statements = Statements(DatabaseSettings.load())
for _ in range(20):
    statements.run(text("SELECT 1"), {})
import asyncio
from shop.database.engine import create_engine
async def main():
    engine = create_engine(DatabaseSettings.load())
    async with engine.connect() as connection:
        for name in ("timezone", "statement_timeout"):
            print(await connection.scalar(text(f"SHOW {name}")))
    long = {"statement_timeout": 120}
    async with engine.execution_options(**long).connect() as connection:
        print(await connection.scalar(text("SHOW statement_timeout")))
    await engine.dispose()
asyncio.run(main())
"""
    url = pooler.url(postgresql.new_database())

    done = python(shop, code, DATABASE_URL=url, DATABASE_PREPARED_STATEMENTS="false")

    assert done.stdout.split() == ["UTC", "30s", "2min"]


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1, signed by itself, and its key."""
    files = folder / f"{name}.crt", folder / f"{name}.key"
    run(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
        "-out", files[0], "-keyout", files[1],
    )  # fmt: skip
    return files


CONNECTED = """
import asyncio
from sqlalchemy import text
from shop.database.session import lifespan
async def main():
    async with lifespan(None) as state, state["engine"].connect() as connection:
        ours = text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        print(await connection.scalar(ours))
asyncio.run(main())
"""


def test_the_url_may_ask_for_tls_and_name_several_hosts(
    shop: Path, postgresql_programs: Path, required: Required, tmp_path: Path
) -> None:
    required.program("openssl", "apt-get install openssl")
    ours, theirs = certificate(tmp_path, "ours"), certificate(tmp_path, "theirs")
    with own_postgresql(postgresql_programs) as server:
        for file, name in zip(ours, ("server.crt", "server.key"), strict=True):
            copied = Path(shutil.copy(file, server.folder / "data" / name))
            copied.chmod(0o600)
            if server.user:
                shutil.chown(copied, "postgres")
        server.ask(server.url("postgres"), "ALTER SYSTEM SET ssl = on")
        server.stop()
        server.start()
        hosts = f"127.0.0.1:{free_port()},127.0.0.1:{server.port}"
        query = "target_session_attrs=read-write&sslmode=verify-full&sslrootcert="
        url = f"postgresql+psycopg://postgres:hunter2@{hosts}/postgres?{query}"

        done = python(shop, CONNECTED, DATABASE_URL=f"{url}{ours[0]}")
        refused = python(shop, CONNECTED, check=False, DATABASE_URL=f"{url}{theirs[0]}")

    assert done.stdout == "True\n"
    assert refused.returncode == 1
    assert refused.stderr.startswith("DATABASE_URL: ")
    assert "certificate verify failed" in refused.stderr
    assert "hunter2" not in refused.stderr


@cache
def tags(version: str, machine: str) -> set[Tag]:
    """What wheels may be tagged with, to be installed in an image."""
    minor = int(version.partition(".")[2])
    platforms = [f"manylinux_2_{glibc}_{machine}" for glibc in range(17, 42)]
    platforms += [f"manylinux2014_{machine}", f"linux_{machine}"]
    platforms += [f"manylinux{old}_{machine}" for old in ("1", "2010")]
    found = chain(
        cpython_tags((3, minor), platforms=platforms),
        compatible_tags((3, minor), f"cp3{minor}", platforms),
    )
    return set(found)


def test_the_image_has_the_newest_python_with_wheels_for_all_that_is_locked(shop: Path) -> None:
    locked = tomllib.loads((shop / "uv.lock").read_text())["package"]
    wheels = {
        package["name"]: [
            parse_wheel_filename(Path(wheel["url"]).name)[3] for wheel in package.get("wheels", [])
        ]
        for package in locked
        if "editable" not in package["source"]
    }

    def complete(version: str) -> bool:
        return all(
            any(not tags(version, machine).isdisjoint(each) for each in of_package)
            for machine in ("x86_64", "aarch64")
            for of_package in wheels.values()
        )

    offered = questions_of(ROOT).asked["python_version"].choices or {}
    newest = max(filter(complete, map(str, offered)), key=lambda each: int(each[2:]))

    images = re.findall(
        r"^FROM python:(\S+)-slim-", (shop / "Dockerfile").read_text(), re.MULTILINE
    )
    assert images == [newest, newest]

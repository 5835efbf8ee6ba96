"""The modules database and example, on SQLite and on a real PostgreSQL server."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from uuid import UUID

import httpx2
import psutil
import pytest

from conftest import COMMAND, UV, PostgreSQL, Run, own_postgresql, run
from running import listening

# What these answers depend on is in no schema: which version an item has, which cursors there are.
SCHEMATHESIS = """\
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "404", "409", "412"]

[[operations]]
include-name = "GET /api/v1/items"
checks = { positive_data_acceptance = { expected-statuses = ["2xx", "422"] } }
"""
ITEMS = "/api/v1/items"
SECONDS = 30


@pytest.fixture(scope="module")
def shop(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service with a database and items, its environment installed. Not to be changed."""
    folder = tmp_path_factory.mktemp("shop")
    modules = ("--with", "database,example")
    run(COMMAND, "create", "shop", "--yes", *modules, "--template", template, cwd=folder)
    run(UV, "sync", "--quiet", cwd=folder / "shop")
    return folder / "shop"


def migrate(shop: Path, url: str) -> None:
    run(UV, "run", "--frozen", "poe", "-q", "migrate", cwd=shop, env={"DATABASE_URL": url})


@contextmanager
def served(
    shop: Path, url: str, **settings: str
) -> Iterator[tuple[subprocess.Popen[bytes], httpx2.Client]]:
    """The service on a free port, and a client of it."""
    command = (shop / ".venv" / "bin" / "python", "-m", "uvicorn", "shop.main:app")
    with (
        listening(shop, command, {"DATABASE_URL": url} | settings) as (process, address),
        httpx2.Client(base_url=address, timeout=SECONDS, trust_env=False) as client,
    ):
        yield process, client


def problem(response: httpx2.Response, status: int) -> dict[str, object]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, object] = response.json()
    return document


def test_what_needs_a_database_touches_none_of_the_user(
    new_service: Run, tmp_path: Path, postgresql: PostgreSQL
) -> None:
    new_service("create", "shop", "--yes", "--with", "database")
    configured = postgresql.new_database()
    before = postgresql.databases()

    done = run(
        COMMAND, "validate", "--only", "test", "--only", "migrations", "--only", "boot", "--json",
        cwd=tmp_path / "shop",
        env={"DATABASE_URL": configured, "TEST_DATABASE_URL": postgresql.new_database()},
    )  # fmt: skip

    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert {check["status"] for check in checks.values()} == {"passed"}
    assert "4 passed" in checks["migrations"]["detail"]
    assert "skipped" not in checks["test"]["detail"]  # it ran on both
    assert (
        postgresql.ask(configured, "SELECT count(*) FROM pg_tables WHERE schemaname='public'")
        == "0"
    )
    assert len(postgresql.databases()) == len(before) + 1
    assert not (tmp_path / "shop" / "data").exists()
    assert run("git", "status", "--porcelain", cwd=tmp_path / "shop").stdout == ""


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://root:hunter2@127.0.0.1/x", "DATABASE_URL: Value error, mysql is not supported"),
        ("postgresql://u:hunter2@127.0.0.1:1/x", "DATABASE_URL: "),
        ("sqlite:////dev/null/x.db", "DATABASE_URL: "),
    ],
)
@pytest.mark.parametrize("form", ["json", "pretty"])
def test_a_database_that_cannot_be_had_stops_the_start_in_words(
    url: str, words: str, form: str, shop: Path
) -> None:
    python = shop / ".venv" / "bin" / "python"
    env = {"DATABASE_URL": url, "APP_LOG_FORMAT": form}

    stopped = run(
        python, "-m", "uvicorn", "shop.main:app", "--port", "0", cwd=shop, env=env, check=False
    )

    said = stopped.stdout + stopped.stderr
    assert stopped.returncode != 0
    assert words in said
    assert "Traceback" not in said
    assert "hunter2" not in said


def test_readiness_names_a_database_that_is_not_migrated(shop: Path, url: str) -> None:
    with served(shop, url) as (_, client):
        assert problem(client.get("/health/ready"), 503)["failing"] == ["migrations"]
        migrate(shop, url)
        assert client.get("/health/ready").status_code == 200


def test_service_recovers_when_its_database_comes_back(
    shop: Path, postgresql_programs: Path
) -> None:
    with own_postgresql(postgresql_programs) as server:
        url = server.new_database()
        migrate(shop, url)
        with served(shop, f"{url}?application_name=shop", DATABASE_POOL_SIZE="3") as (_, client):
            for name in ("pen", "pencil"):
                assert client.post(ITEMS, json={"name": name}).status_code == 201
                server.stop()
                assert problem(client.get("/health/ready"), 503)["failing"]
                for _ in range(5):
                    problem(client.get(ITEMS), 503)
                    problem(client.post(ITEMS, json={"name": "lost"}), 503)
                    problem(client.get(f"{ITEMS}/export"), 503)
                    problem(client.get(f"{ITEMS}/changes"), 503)
                server.start()
                for _ in range(5):
                    assert client.get(ITEMS).status_code == 200
            # Restarted between two requests: no connection of the pool is alive any more.
            server.stop()
            server.start()
            assert client.get(ITEMS).status_code == 200
            assert client.get("/health/ready").status_code == 200
            listed = client.get(ITEMS).json()["items"]
            assert [item["name"] for item in listed] == ["pen", "pencil"]
            ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'shop'"
            assert int(server.ask(url, ours)) <= 3 + 1  # that of readiness


WRITERS, ROUNDS = 50, 2


def test_concurrent_writers_lose_nothing_and_the_feed_misses_nothing(shop: Path, url: str) -> None:
    migrate(shop, url)
    with served(shop, url, APP_LOG_LEVEL="warning") as (_, client):
        counter = client.post(ITEMS, json={"name": "counter"}).headers["location"]

        told = asyncio.run(write_all_at_once(str(client.base_url), counter))

        assert client.get(counter).json()["quantity"] == WRITERS * ROUNDS
        lines = client.get(f"{ITEMS}/export").text.splitlines()
        assert len({json.loads(line)["name"] for line in lines}) == WRITERS * ROUNDS + 1
        with client.stream("GET", f"{ITEMS}/changes", headers={"Last-Event-ID": "0"}) as feed:
            assert told == numbers(islice(feed.iter_lines(), 4 * CHANGES))


CHANGES = 2 * WRITERS * ROUNDS + 1


async def write_all_at_once(address: str, counter: str) -> list[int]:
    """The numbers of the changes, in the order in which a reader meanwhile was told."""
    async with httpx2.AsyncClient(base_url=address, timeout=SECONDS * 2, trust_env=False) as client:
        writing = asyncio.gather(*(count_up(client, counter, each) for each in range(WRITERS)))
        told: list[int] = []
        headers = {"Last-Event-ID": "0"}
        async with client.stream("GET", f"{ITEMS}/changes", headers=headers) as feed:
            async with asyncio.timeout(SECONDS * 4):
                async for line in feed.aiter_lines():
                    told += numbers([line])
                    if len(told) == CHANGES:
                        break
        await writing
    return told


async def count_up(client: httpx2.AsyncClient, counter: str, writer: int) -> None:
    for turn in range(ROUNDS):
        made = await client.post(ITEMS, json={"name": f"{writer} {turn}"})
        assert made.status_code == 201, made.text
        status = 412
        while status == 412:
            seen = await client.get(counter)
            changed = await client.patch(
                counter,
                json={"quantity": seen.json()["quantity"] + 1},
                headers={"If-Match": seen.headers["etag"]},
            )
            status = changed.status_code
        assert status == 200, changed.text


def numbers(lines: Iterable[str]) -> list[int]:
    """The ids of events."""
    return [int(line.removeprefix("id: ")) for line in lines if line.startswith("id: ")]


ROWS = 200_000
FILL = {
    "sqlite": """
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
        INSERT INTO items SELECT printf('%032x', i), 'item ' || i, 'a note', i, 1,
        '2030-01-01 00:00:00.000000', '2030-01-01 00:00:00.000000' FROM n""",
    "postgresql": """
        INSERT INTO items SELECT lpad(to_hex(i), 32, '0')::uuid, 'item ' || i, 'a note', i, 1,
        now(), now() FROM generate_series(1, 200000) i""",
}


@pytest.fixture
def filled(shop: Path, url: str, request: pytest.FixtureRequest) -> str:
    """A database with many items."""
    migrate(shop, url)
    dialect = url.partition(":")[0]
    if dialect == "sqlite":
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database, database:
            database.execute(FILL[dialect])
    else:
        request.getfixturevalue("postgresql").ask(url, FILL[dialect])
    return url


def test_export_of_many_rows_needs_little_memory(shop: Path, filled: str) -> None:
    with served(shop, filled) as (process, client):
        assert client.get(ITEMS).status_code == 200
        before = psutil.Process(process.pid).memory_info().rss
        count, most = 0, before
        with client.stream("GET", f"{ITEMS}/export") as export:
            for chunk in export.iter_raw():
                count += chunk.count(b"\n")
                most = max(most, psutil.Process(process.pid).memory_info().rss)

    assert count == ROWS
    assert (most - before) / 2**20 < 20


def test_streams_that_are_left_give_their_connections_back(shop: Path, filled: str) -> None:
    with served(shop, filled, DATABASE_POOL_SIZE="1") as (process, client):
        for path in ("export", "changes") * 10:
            client.patch(f"{ITEMS}/{UUID(int=1)}", json={"quantity": 1})
            with client.stream("GET", f"{ITEMS}/{path}", headers={"Last-Event-ID": "0"}) as stream:
                next(stream.iter_raw())
            assert process.poll() is None
        assert client.get(ITEMS).status_code == 200


def test_schemathesis_finds_nothing(shop: Path, tmp_path: Path, whole_series: bool) -> None:
    url = f"sqlite:///{tmp_path / 'database.db'}"
    migrate(shop, url)
    (tmp_path / "schemathesis.toml").write_text(SCHEMATHESIS)
    with served(shop, url) as (_, client):
        done = run(
            Path(sys.executable).with_name("schemathesis"),
            "run", f"{client.base_url}/openapi.json", "--checks", "all", "--seed", "1",
            "--max-examples", "100" if whole_series else "40",
            # It waits for the end of an answer, which the feed has not.
            "--exclude-path", f"{ITEMS}/changes", cwd=tmp_path, check=False,
        )  # fmt: skip

    assert done.returncode == 0, done.stdout
    assert "Test cases" in done.stdout

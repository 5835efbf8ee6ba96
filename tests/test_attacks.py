"""What a service answers to those who mean it harm: `bench/attacks.py` measures what it costs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import httpx2
import pytest

from running import create, poe, served

pytestmark = pytest.mark.xdist_group("attacks")  # one service, served once

API = "/api/v1"
LOGIN, ITEMS, READY = f"{API}/auth/login", f"{API}/items", "/health/ready"
GIVEN = {"email": "eve@example.com", "password": "a difference engine"}
LARGEST = 4096  # bytes of a refusal, its headers included
CONNECTIONS = 11  # one that is kept, and ten that come and go
FILL = """
WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
INSERT INTO items (id, name, note, quantity, version, created_at, updated_at)
SELECT printf('%032x', i), 'item ' || i, printf('%1000s', i), i, 1,
       '2030-01-01 00:00:00', '2030-01-01 00:00:00' FROM n
"""


@pytest.fixture(scope="module")
def fort(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A full service. Not to be changed."""
    return create(tmp_path_factory.mktemp("fort"), template, "fort", "--preset", "full")


@pytest.fixture(scope="module")
def database(fort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its database, with many items."""
    file = tmp_path_factory.mktemp("database") / "database.db"
    poe(fort, "migrate", DATABASE_URL=f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as rows, rows:
        rows.execute(FILL)
    return file


@pytest.fixture(scope="module")
def client(
    fort: Path, database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx2.Client]:
    """A client that may write items, of a service with few connections to its database."""
    settings = {
        "DATABASE_URL": f"sqlite:///{database}",
        "DATABASE_POOL_SIZE": "1",
        "DATABASE_POOL_TIMEOUT": "0.5",
        "CELERY_BROKER_URL": f"filesystem://{tmp_path_factory.mktemp('queue')}",
        "AUTH_NEW_ACCOUNT_SCOPES": "items:write",
        "APP_CORS_ORIGINS": "https://shop.example",
    }
    with served(fort, **settings) as client:
        assert client.post(f"{API}/auth/register", json=GIVEN).status_code == 202
        token = client.post(LOGIN, json=GIVEN).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def size(answer: httpx2.Response) -> int:
    return len(answer.content) + sum(len(name) + len(value) for name, value in answer.headers.raw)


def keys(count: int) -> dict[str, int]:
    return {f"{key:x}": 1 for key in range(count)}


Refused = tuple[int, str, str, dict[str, object]]


def post(path: str, given: object, status: int = 422) -> Refused:
    return status, "POST", f"{API}/{path}", {"content": json.dumps(given, ensure_ascii=False)}


def get(path: str, status: int = 422, **given: dict[str, str]) -> Refused:
    return status, "GET", path, dict(given)


MUCH = 10**6
LONG = "1" * 50_000
REFUSED: dict[str, Refused] = {
    "unknown keys": post("auth/login", keys(150)),
    "unknown keys, 1 MB": post("auth/login", keys(105_000), 413),
    "a long key": post("auth/login", {"k" * 1900: 1}),
    "a key of 1 MB": post("auth/login", {"k" * MUCH: 1}, 413),
    "a key in Chinese": post("auth/login", {"\u9f98" * 300: 1}),
    "half a character": (422, "POST", LOGIN, {"content": b'{"\\ud800": 1}'}),
    "no end of brackets": (413, "POST", LOGIN, {"content": b"[" * MUCH}),
    "a long password": post("auth/login", {**GIVEN, "password": "x" * 1900}),
    "a password of 1 MB": post("auth/register", {**GIVEN, "password": "x" * MUCH}, 413),
    "a token of 1 MB": post("auth/refresh", {"refresh_token": "x" * MUCH}, 413),
    "many scopes": post("auth/keys", {"name": "k", "scopes": ["x"] * 10_000}, 413),
    "scopes that are none": post("auth/keys", {"name": "k", "scopes": [1] * 5000}),
    "unknown keys of a user": post("items", keys(6000)),
    "a long key of a user": post("items", {"k" * 60_000: 1}),
    "an item of 1 MB": post("items", {"name": "x" * MUCH}, 413),
    "unknown names": get(f"{ITEMS}?{'&'.join(f'{key}=1' for key in keys(5000))}"),
    "a long name": get(f"{ITEMS}?{LONG}=1"),
    "a long number": get(f"{ITEMS}?limit={LONG}"),
    "a long choice": get(f"{ITEMS}?sort={LONG}"),
    "a long event id": get(f"{ITEMS}/changes", headers={"Last-Event-ID": LONG}),
    "a long path": get(f"{ITEMS}/{LONG}", 404),
    "a long request id": get("/nowhere", 404, headers={"X-Request-ID": LONG}),
    "a long token": get(f"{API}/auth/me", 401, headers={"Authorization": f"Bearer {LONG}"}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_is_small_whatever_is_refused(client: httpx2.Client, name: str) -> None:
    status, method, path, given = REFUSED[name]
    request = client.build_request(method, path, **given)  # type: ignore[arg-type]
    request.headers["Content-Type"] = "application/json"

    answer = client.send(request)

    assert answer.status_code == status, answer.text[:LARGEST]
    assert answer.headers["content-type"] == "application/problem+json"
    assert size(answer) < LARGEST
    assert len(answer.json().get("errors", [])) <= 10


def test_an_error_points_at_its_place_however_it_is_called(client: httpx2.Client) -> None:
    given = {"a/b~c": 1, "a b": 1, "\u00e9": 1, "k" * 1000: 1, **GIVEN}

    errors = client.post(LOGIN, json=given).json()["errors"]

    # RFC 6901, section 6: a pointer that is a fragment.
    told = ["#/body/a~1b~0c", "#/body/a%20b", "#/body/%C3%A9", "#/body"]
    assert [each["pointer"] for each in errors] == told


def test_the_longest_password_fits_however_it_is_written(client: httpx2.Client) -> None:
    # Escaped, as some clients do, each takes twelve bytes.
    password = "".join(chr(0x1F400 + number * 37 % 256) for number in range(128))
    content = json.dumps({"email": f"{'e' * 240}@example.com", "password": password})
    assert len(content) > 1800

    for path, status in (("register", 202), ("login", 200)):
        headers = {"Content-Type": "application/json"}
        answer = client.post(f"{API}/auth/{path}", content=content, headers=headers)
        assert answer.status_code == status, answer.text


def test_a_service_is_ready_while_requests_have_all_connections(
    client: httpx2.Client, database: Path
) -> None:
    with (
        closing(sqlite3.connect(database, isolation_level=None)) as writer,
        ThreadPoolExecutor(CONNECTIONS) as pool,
    ):
        writer.execute("BEGIN IMMEDIATE")  # those who write wait for it, each on a connection
        waiting = [
            pool.submit(client.post, ITEMS, json={"name": f"waits {number}"})
            for number in range(CONNECTIONS)
        ]
        try:
            while client.get(ITEMS).status_code == 200:
                assert not any(each.done() for each in waiting)
            ready = client.get(READY)
        finally:
            writer.execute("ROLLBACK")

    assert ready.status_code == 200, ready.text
    assert {each.result().status_code for each in waiting} == {201}


def test_an_export_that_nobody_reads_holds_no_connection(client: httpx2.Client) -> None:
    with ExitStack() as unread:
        for _ in range(CONNECTIONS + 1):
            answer = unread.enter_context(client.stream("GET", f"{ITEMS}/export"))
            assert answer.status_code == 200

        assert client.get(ITEMS).status_code == 200


def test_an_export_has_everything_once(client: httpx2.Client) -> None:
    lines = client.get(f"{ITEMS}/export").text.splitlines()

    names = [json.loads(line)["name"] for line in lines]
    assert len(names) == len(set(names))
    assert set(names) >= {f"item {number}" for number in range(1, 20_001)}

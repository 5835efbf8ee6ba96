"""HTTP and WebSockets as clients and proxies meet them, on a service that is really served."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from conftest import COMMAND, UV, Required, clean_environment, on_postgresql, run
from running import SECONDS, poe, served
from shop import edit
from trial import until

pytestmark = pytest.mark.xdist_group("http")  # one service, served once

ITEMS = "/api/v1/items"
ORIGIN = {"Origin": "https://shop.example"}
SCOPES = {"AUTH_NEW_ACCOUNT_SCOPES": "items:write jobs:read"}
# What an owner adds: a WebSocket that knows its user and asks the database.
CHAT = """
from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, HTTPException, Request, WebSocket
from sqlalchemy import func, select

from .auth.accounts.authentication import FreshUser
from .auth.dependencies import CurrentUser, require
from .auth.protected_jobs import reader
from .database.session import Session, Sessions, transaction
from .errors import ServiceError
from .items.models import Item
from .worker.jobs import enqueue
from .worker.schemas import Viewer
from .worker.tasks import take_steps

router = APIRouter()


@router.websocket("/chat")
async def chat(websocket: WebSocket, user: CurrentUser, sessions: Sessions) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        if text == "missing":
            raise HTTPException(404)
        if text == "bug":
            raise RuntimeError("hunter2")
        async with transaction(sessions) as session:
            session.add(Item(name=text, note="", quantity=1))
        async with transaction(sessions) as session:
            count = await session.scalar(select(func.count()).select_from(Item))
        await websocket.send_json([user.id, count])


@router.websocket("/fresh", dependencies=[require("items:write")])
async def fresh(websocket: WebSocket, account: FreshUser, session: Session) -> None:
    await websocket.accept()
    await websocket.send_text(account.email)


@router.websocket("/work")
async def work(
    websocket: WebSocket, viewer: Annotated[Viewer, Depends(reader)], session: Session
) -> None:
    await websocket.accept()
    job = await enqueue(session, take_steps, {"steps": 1}, owner=viewer.id)
    await session.commit()
    await websocket.send_text(str(job))


class Odd(ServiceError):
    pass


@router.get("/odd")
async def odd() -> None:
    raise Odd("Odd.", day=date(2030, 1, 2), who={UUID(int=1)}, rate=float("nan"), half="\\ud800")


@router.get("/detail")
async def detail() -> None:
    raise HTTPException(400, {"code": 7, "at": date(2030, 1, 2)})


@router.get("/bug")
async def bug() -> None:
    raise RuntimeError("hunter2")


@router.get("/caller")
async def caller(request: Request) -> list[str]:
    return [request.client.host if request.client else "", str(request.url_for("caller"))]
"""
# In the owner's tests, with nothing but the fixtures that are there.
TESTS = """
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient


@pytest.mark.parametrize("time", [1, 2])
def test_chat(time: int, client: TestClient, token: Callable[..., str]) -> None:
    bearer = {"Authorization": f"Bearer {token()}"}
    with client.websocket_connect("/api/v1/chat", headers=bearer) as chat:
        chat.send_text("pen")
        me, count = chat.receive_json()
    assert count == 1  # what the other time wrote was rolled back


def test_work(
    client: TestClient, token: Callable[..., str], run_job: Callable[..., object]
) -> None:
    bearer = {"Authorization": f"Bearer {token(scope='jobs:read')}"}
    with client.websocket_connect("/api/v1/work", headers=bearer) as work:
        job = work.receive_text()
    assert run_job(job).state == "succeeded"
"""


@pytest.fixture(scope="module")
def members(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service with accounts, items and jobs, and its owner's chat. Not to be changed."""
    folder = tmp_path_factory.mktemp("http")
    modules = ("--with", "database,auth,celery,example", "--no-git")
    run(COMMAND, "create", "members", "--yes", *modules, "--template", template, cwd=folder)
    project = folder / "members"
    (project / "src/members/chat.py").write_text(CHAT)
    (project / "tests/test_chat.py").write_text(TESTS)
    main = project / "src/members/main.py"
    edit(main, "# Your own routers: api.include_router(...)", "api.include_router(chat.router)")
    edit(main, "from . import errors", "from . import chat, errors")
    run(UV, "sync", "--quiet", cwd=project)
    return project


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "served"


@pytest.fixture(scope="module")
def client(
    members: Path, log: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx2.Client]:
    """A client of the service, below a prefix and behind proxies on this machine."""
    settings = {
        "DATABASE_URL": f"sqlite:///{tmp_path_factory.mktemp('database') / 'database.db'}",
        "APP_CORS_ORIGINS": ORIGIN["Origin"],
        "APP_MAX_BODY_SIZE": "1000",
        "APP_ROOT_PATH": "/shop",
        "APP_TRUSTED_PROXIES": "127.0.0.1",
    }
    poe(members, "migrate", **settings)
    with served(members, log, **settings, **SCOPES) as client:
        yield client


@pytest.fixture(scope="module")
def bearer(client: httpx2.Client) -> dict[str, str]:
    return log_in(client)


def log_in(client: httpx2.Client) -> dict[str, str]:
    """The header of a new user."""
    given = {"email": "ada@example.com", "password": "a difference engine"}
    assert client.post("/api/v1/auth/register", json=given).status_code == 202
    tokens = client.post("/api/v1/auth/login", json=given).json()
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def open_socket(client: httpx2.Client, path: str, headers: dict[str, str]) -> ClientConnection:
    address = str(client.base_url.join(path)).replace("http", "ws", 1)
    return connect(address, additional_headers=headers, proxy=None, open_timeout=SECONDS)


def lines(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def lines_of(request: str, log: Path) -> list[dict[str, object]]:
    """Those of one request, once the last has been written, after its answer."""
    written: list[dict[str, object]] = []

    def is_complete() -> bool:
        written[:] = [line for line in lines(log) if line.get("request_id") == request]
        return any(line["event"] == "request" for line in written)

    until(is_complete)
    return written


def test_a_websocket_knows_its_user_in_the_tests_of_its_owner(members: Path) -> None:
    done = run(UV, "run", "--frozen", "pytest", "-q", "tests/test_chat.py", cwd=members)

    assert "3 passed" in done.stdout


def test_a_websocket_knows_its_user_where_it_is_served(
    client: httpx2.Client, bearer: dict[str, str]
) -> None:
    check_sockets(client, bearer)


@on_postgresql
def test_a_websocket_knows_its_user_on_postgresql(members: Path, url: str) -> None:
    poe(members, "migrate", DATABASE_URL=url)
    with served(members, DATABASE_URL=url, **SCOPES) as client:
        check_sockets(client, log_in(client))


def check_sockets(client: httpx2.Client, bearer: dict[str, str]) -> None:
    """With a user of the token and one of the database, sessions that write, and a job."""
    me = client.get("/api/v1/auth/me", headers=bearer).json()

    with open_socket(client, "/api/v1/chat", bearer) as chat:
        answers = []
        for name in ("ink", "nib"):
            chat.send(name)
            answers.append(json.loads(chat.recv(SECONDS)))
    with open_socket(client, "/api/v1/fresh", bearer) as fresh:
        email = fresh.recv(SECONDS)
    with open_socket(client, "/api/v1/work", bearer) as work:
        job = str(work.recv(SECONDS))

    assert answers == [[me["id"], 1], [me["id"], 2]]
    assert email == "ada@example.com"
    assert client.get(f"/api/v1/jobs/{job}", headers=bearer).status_code == 200


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        ("/api/v1/chat", None, 401),
        ("/api/v1/chat", "nonsense", 401),
        ("/api/v1/nowhere", None, 404),
    ],
)
def test_a_websocket_is_refused_before_it_is_accepted(
    client: httpx2.Client, log: Path, path: str, token: str | None, status: int
) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    with pytest.raises(InvalidStatus) as refused:
        open_socket(client, path, headers)

    answer = refused.value.response
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(bytes(answer.body or b""))["status"] == status
    assert ("www-authenticate" in answer.headers) == (status == 401)
    written = lines_of(answer.headers["x-request-id"], log)
    assert written[-1]["status"] == status
    assert {line["level"] for line in written} == {"info"}


@pytest.mark.parametrize(("said", "code"), [("missing", 1008), ("bug", 1011)])
def test_an_error_closes_a_websocket_with_a_code(
    client: httpx2.Client, bearer: dict[str, str], said: str, code: int
) -> None:
    with open_socket(client, "/api/v1/chat", bearer) as chat:
        chat.send(said)
        with pytest.raises(ConnectionClosed) as closed:
            chat.recv(SECONDS)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code
    assert "hunter2" not in closed.value.rcvd.reason


@pytest.mark.parametrize(("path", "status"), [("/api/v1/bug", 500), (ITEMS, 413)])
def test_refusals_are_for_browsers_of_named_origins_too(
    client: httpx2.Client, bearer: dict[str, str], path: str, status: int
) -> None:
    given = {"name": "x" * 2000} if status == 413 else None
    method = "POST" if given else "GET"
    answer = client.request(method, path, json=given, headers=ORIGIN | bearer)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["access-control-allow-origin"] == ORIGIN["Origin"]
    exposed = answer.headers["access-control-expose-headers"]
    assert set(exposed.split(", ")) == {
        "ETag", "Location", "Retry-After", "WWW-Authenticate", "X-Request-ID",
    }  # fmt: skip


def test_problems_may_hold_whatever_pydantic_serialises(client: httpx2.Client) -> None:
    odd, detail = client.get("/api/v1/odd"), client.get("/api/v1/detail")

    assert odd.status_code == 400
    assert odd.json()["day"] == "2030-01-02"
    assert odd.json()["who"] == ["00000000-0000-0000-0000-000000000001"]
    assert odd.json()["rate"] is None
    assert detail.json()["detail"] == {"code": 7, "at": "2030-01-02"}


def test_probes_leave_no_line_as_long_as_nothing_changes(client: httpx2.Client, log: Path) -> None:
    probes = [client.get(f"/health/{name}") for name in ("live", "ready", "ready")]
    after = client.get("/api/v1/nowhere")

    assert {probe.status_code for probe in probes} == {200}
    assert lines_of(after.headers["x-request-id"], log)
    identifiers = {probe.headers["x-request-id"] for probe in probes}
    assert not [line for line in lines(log) if line.get("request_id") in identifiers]


def test_a_proxy_that_is_named_says_who_asks(client: httpx2.Client) -> None:
    forwarded = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https", "Host": "a.example"}

    answer = client.get("/api/v1/caller", headers=forwarded)

    assert answer.json() == ["192.0.2.7", "https://a.example/shop/api/v1/caller"]


NGINX = """\
pid {folder}/pid;
error_log {folder}/errors;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
    uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    proxy_http_version 1.1;
    proxy_buffering off;
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $http_connection;
    server {{
        listen 127.0.0.1:{port};
        location /shop/ {{ proxy_pass {service}{stripped}; }}
    }}
}}
"""


@contextmanager
def nginx(program: str, folder: Path, service: str, stripped: str) -> Iterator[httpx2.Client]:
    """A client of nginx, which passes on what is below /shop/."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "conf").write_text(
        NGINX.format(folder=folder, port=port, service=service, stripped=stripped)
    )
    command = (program, "-c", folder / "conf", "-e", folder / "errors", "-p", folder)
    run(*command)  # it listens before it leaves for the background
    try:
        address = f"http://127.0.0.1:{port}/shop"
        with httpx2.Client(base_url=address, timeout=SECONDS, trust_env=False) as client:
            yield client
    finally:
        run(*command, "-s", "stop")


@pytest.fixture(params=["/", ""], ids=["stripping", "keeping"])
def proxied(
    request: pytest.FixtureRequest, required: Required, client: httpx2.Client, tmp_path: Path
) -> Iterator[httpx2.Client]:
    """A client of nginx before the service, which strips the prefix or keeps it."""
    program = required.program("nginx", "apt-get install nginx")
    service = str(client.base_url).rstrip("/")
    with nginx(program, tmp_path, service, request.param) as behind:
        yield behind


def test_links_lead_through_the_proxy(
    proxied: httpx2.Client, bearer: dict[str, str], request: pytest.FixtureRequest
) -> None:
    name = f"pen of {request.node.name}"
    made = proxied.post(ITEMS, json={"name": name}, headers=bearer)
    location = proxied.base_url.join(made.headers["location"])
    redirected = proxied.get(f"{ITEMS}/")

    assert made.headers["location"] == f"/shop{ITEMS}/{made.json()['id']}"
    assert proxied.get(location).json()["name"] == name
    assert redirected.is_redirect
    assert proxied.get(redirected.headers["location"]).status_code == 200
    assert proxied.get("/openapi.json").json()["servers"] == [{"url": "/shop"}]
    assert "/shop/openapi.json" in proxied.get("/docs").text


@pytest.mark.parametrize(
    "path", [ITEMS, f"{ITEMS}/export", f"{ITEMS}/changes", "/health/live", "/docs", "/openapi.json"]
)
def test_head_works_wherever_get_does(proxied: httpx2.Client, path: str) -> None:
    with proxied.stream("GET", path) as got:
        headers = got.headers

    head = proxied.head(path)

    assert head.status_code == 200
    assert not head.content
    for name in ("content-type", "content-length"):
        assert head.headers.get(name) == headers.get(name)


def test_a_websocket_passes_the_proxy(proxied: httpx2.Client, bearer: dict[str, str]) -> None:
    path = f"{proxied.base_url.path}api/v1/fresh"

    with open_socket(proxied, path, bearer) as fresh:
        assert fresh.recv(SECONDS) == "ada@example.com"
    with pytest.raises(InvalidStatus, match="401"):
        open_socket(proxied, path, {})


def test_every_line_of_every_process_is_json_and_port_says_where(
    members: Path, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    database = {"DATABASE_URL": f"sqlite:///{tmp_path / 'database.db'}"}
    venv = members / ".venv" / "bin"
    serve = "from tasks import with_env; with_env('python', '-m', 'members')"
    with (tmp_path / "log").open("w") as output:
        process = subprocess.Popen(
            [venv / "python", "-c", serve, "--workers", "2"],
            cwd=members,
            env=clean_environment()
            | {"PATH": f"{venv}:{os.environ['PATH']}", "PORT": str(port)}
            | database,
            stdout=output,
            stderr=output,
        )
        try:
            until(lambda: process.poll() is not None or is_open(port))
            address = f"http://127.0.0.1:{port}/health/ready"
            answer = httpx2.get(address, timeout=SECONDS, trust_env=False)
            assert answer.json()["failing"] == ["migrations"]
        finally:
            process.terminate()
            process.wait()

    written = lines(tmp_path / "log")
    said = " ".join(str(line["event"]) for line in written)
    assert "Started parent process" in said
    assert "probe failed" in said
    assert max(len(str(line)) for line in written) < 1000


def is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0

"""What 200 clients at once do to another one: its 95th percentile, beside that of a quiet service.

Each attacker sends one request a second, or keeps one connection busy. The other client reads items
from PostgreSQL.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from multiprocessing import get_context
from multiprocessing.connection import Connection as PipeEnd
from pathlib import Path
from statistics import quantiles
from time import monotonic, perf_counter, sleep
from typing import NamedTuple

from measure import Ratio
from new_service.system.variables import chosen
from service import BIN, ROOT, create, served

sys.path.insert(0, str(ROOT / "tests"))
from conftest import PostgreSQL, find_postgresql, own_postgresql

CLIENTS = 200
ROUNDS = 3
SECONDS, LONGEST = 3, 10
API = "/api/v1"
LARGE = 1_000_000  # bytes
# What an owner may add, and what the attacks on WebSockets need.
SOCKETS = """
from fastapi import WebSocket

from full.main import app


@app.websocket("/flood")
async def flood(socket: WebSocket) -> None:
    await socket.accept()
    while True:
        await socket.send_bytes(b"x" * 65_536)
"""
ITEMS = """
INSERT INTO items (id, name, note, quantity, version, created_at, updated_at)
SELECT gen_random_uuid(), 'item ' || i, repeat('x', 500), i, 1, now(), now()
FROM generate_series(1, 50000) i
"""
# As a worker that reports its progress ten times a second.
PROGRESS = """
DO $$ BEGIN LOOP
    UPDATE jobs SET progress = to_json(extract(epoch FROM clock_timestamp()));
    COMMIT; PERFORM pg_sleep(0.1);
END LOOP; END $$
"""


def attacks(*names: str) -> Iterator[Ratio]:
    """The 95th percentile of a client beside attackers to that of one alone, by attack."""
    programs = find_postgresql()
    if programs is None:
        sys.exit("PostgreSQL is not installed: apt-get install postgresql")
    with tempfile.TemporaryDirectory() as folder, own_postgresql(programs) as postgresql:
        victim = _Victim(Path(folder, "full"), postgresql)
        for name in names or ATTACKS:
            pairs = [victim.round(name) for _ in range(ROUNDS)]
            yield Ratio.of(name, pairs, "ms", 5)
            print(f"      {victim.answers}", flush=True)


class _Victim:
    """A full service on PostgreSQL."""

    def __init__(self, project: Path, postgresql: PostgreSQL) -> None:
        create(project, "--preset", "full")
        (project / "sockets.py").write_text(SOCKETS)
        self._project, self._postgresql = project, postgresql
        self._url = postgresql.new_database()
        self._variables = {
            "DATABASE_URL": self._url,
            "CELERY_BROKER_URL": f"filesystem://{project.parent}/queue",
            "AUTH_SECRET": "".join(chr(each) for each in range(64, 123)),
            "AUTH_NEW_ACCOUNT_SCOPES": "items:write,jobs:read,jobs:write",
        }
        subprocess.run(
            [BIN / "uv", "run", "--quiet", "poe", "-q", "migrate"],
            cwd=project, check=True, env={**chosen(os.environ), **self._variables},
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        postgresql.ask(self._url, ITEMS)
        self.answers = ""

    def round(self, name: str) -> tuple[float, float]:
        """The percentile under attack, and before, of a fresh server."""
        with served(self._project, "sockets:app", **self._variables) as (process, port):
            target = _Target(port)
            _percentile(port, seconds=1)
            idle = _percentile(port)
            with self._reporting(), target.attacked(name) as told:
                begun, used = monotonic(), _used(process)
                busy = _percentile(port)
                used = (_used(process) - used) / (monotonic() - begun)
            self.answers = f"{told()}; the server was busy {used:.0%} of the time"
            os.kill(process, signal.SIGKILL)  # it may be busy with what it was sent for minutes
        return busy, idle

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        psql = self._postgresql.programs / "psql"
        with subprocess.Popen([psql, self._url, "-qc", PROGRESS], stderr=subprocess.DEVNULL) as job:
            try:
                yield
            finally:
                job.terminate()


def _percentile(port: int, seconds: float = SECONDS) -> float:
    """The 95th, in milliseconds, of a client that asks again and again."""
    took: list[float] = []
    end = monotonic() + seconds
    client = HTTPConnection("127.0.0.1", port, timeout=LONGEST)
    while monotonic() < end or len(took) < 2:
        started = perf_counter()
        try:
            client.request("GET", f"{API}/items?limit=10")
            answer = client.getresponse()
            answer.read()
            failed = answer.status != 200
        except (OSError, HTTPException):
            failed = True
        if failed:
            client.close()
        took.append(LONGEST if failed else perf_counter() - started)
        sleep(0.005)
    client.close()
    return quantiles(took, n=20)[-1] * 1000


def _used(process: int) -> float:
    """The seconds of a processor that a process has used."""
    spent = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, spent)) / os.sysconf("SC_CLK_TCK")


class _Target:
    """A served service, and what attackers know of it."""

    def __init__(self, port: int) -> None:
        self.port = port
        given = {"email": "eve@example.com", "password": "a difference engine"}
        self._post("/auth/register", given)
        self.token = self._post("/auth/login", given)["access_token"]
        self.job = self._post("/jobs", {"steps": 1})["id"]
        self.sizes: dict[str, int] = {}

    def _post(self, path: str, given: Mapping[str, object]) -> dict[str, str]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{API}{path}",
            json.dumps(given).encode(),
            {
                "Content-Type": "application/json",
                "Authorization": f"Bearer {getattr(self, 'token', '')}",
            },
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            told: dict[str, str] = json.load(answer)
            return told

    @contextmanager
    def attacked(self, name: str) -> Iterator[Callable[[], str]]:
        """Attackers are at it, in a process of their own; gives what they have been answered."""
        here, there = get_context("fork").Pipe()
        process = get_context("fork").Process(target=self._attack, args=(name, there))
        process.start()
        try:
            here.recv()
            sleep(1)
            yield here.recv
        finally:
            os.kill(process.pid or 0, signal.SIGINT)
            process.join()

    def _attack(self, name: str, pipe: PipeEnd) -> None:
        sizes = self.sizes

        async def client(number: int) -> None:
            await asyncio.sleep(number / CLIENTS)
            while True:
                with suppress(OSError, asyncio.IncompleteReadError):
                    reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    with closing(writer):
                        await ATTACKS[name](self, Connection(reader, writer, number))
                await asyncio.sleep(1)

        async def all_at_once() -> None:
            everybody = asyncio.gather(*(client(number) for number in range(CLIENTS)))
            await asyncio.sleep(1)
            pipe.send(None)
            await everybody

        with suppress(KeyboardInterrupt):
            asyncio.run(all_at_once())
        told = ", ".join(f"{size:,} bytes: {status}" for status, size in sizes.items())
        pipe.send(f"largest answers: {told or 'none'}")

    def head(self, method: str, path: str, *headers: str) -> bytes:
        lines = (f"{method} {path} HTTP/1.1", "Host: full", *headers, "", "")
        return "\r\n".join(lines).encode()

    async def answer(self, reader: asyncio.StreamReader) -> None:
        """Read one answer, and note how large it is."""
        head = await reader.readuntil(b"\r\n\r\n")
        status, _, fields = head.decode().partition("\r\n")
        names = dict(each.split(": ", 1) for each in fields.lower().split("\r\n") if each)
        body = await reader.readexactly(int(names.get("content-length", "0")))
        known = self.sizes.get(status[9:], 0)
        self.sizes[status[9:]] = max(known, len(head) + len(body))


class Connection(NamedTuple):
    """That of an attacker, who has a number."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int


Attack = Callable[[_Target, Connection], Awaitable[None]]


def _again(make: Callable[[_Target, int], bytes]) -> Attack:
    """A request a second."""

    async def attack(target: _Target, peer: Connection) -> None:
        request = make(target, peer.number)
        while True:
            due = monotonic() + 1
            peer.writer.write(request)
            await peer.writer.drain()
            await target.answer(peer.reader)
            await asyncio.sleep(due - monotonic())

    return attack


def _json(path: str, body: bytes, *, by_a_user: bool = False) -> Attack:
    def request(target: _Target, _number: int) -> bytes:
        length = f"Content-Length: {len(body)}"
        token = f"Authorization: Bearer {target.token if by_a_user else 'none'}"
        json_type = "Content-Type: application/json"
        return target.head("POST", f"{API}{path}", json_type, length, token) + body

    return _again(request)


def _unread(path: str, *, read: bool = False, websocket: bool = False) -> Attack:
    """Open a stream once, and read it or not."""
    upgrade = (
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )

    async def attack(target: _Target, peer: Connection) -> None:
        fields = upgrade if websocket else (f"Authorization: Bearer {target.token}",)
        peer.writer.write(target.head("GET", path.format(job=target.job), *fields))
        await target.answer(peer.reader)
        if not read:
            await asyncio.Event().wait()
        while await peer.reader.read(65536):
            pass

    return attack


def _slow(head: Callable[[_Target], bytes], drop: bytes) -> Attack:
    """Send a bit of a request ten times a second, and never all of it."""

    async def attack(target: _Target, peer: Connection) -> None:
        peer.writer.write(head(target))
        while not peer.reader.at_eof():
            peer.writer.write(drop)
            await peer.writer.drain()
            await asyncio.sleep(0.1)

    return attack


def _keys(size: int) -> bytes:
    """JSON of so many bytes in which all keys are unknown."""
    return json.dumps({f"{key:x}": 1 for key in range(size // 10)}, separators=(",", ":")).encode()


def _login(target: _Target, number: int) -> bytes:
    body = json.dumps({"email": f"m{number}@example.com", "password": "x" * 128}).encode()
    fields = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    client = f"X-Forwarded-For: 10.0.0.{number}"
    return target.head("POST", f"{API}/auth/login", *fields, client) + body


def _chunks(target: _Target) -> bytes:
    fields = ("Content-Type: application/json", "Transfer-Encoding: chunked")
    return target.head("POST", f"{API}/auth/login", *fields)


def _half(target: _Target) -> bytes:
    fields = ("Content-Type: application/json", "Content-Length: 1000")
    return target.head("POST", f"{API}/auth/login", *fields)


ATTACKS: dict[str, Attack] = {
    "unknown keys, 1 MB to /login": _json("/auth/login", _keys(LARGE)),
    "unknown keys, 60 kB to /login": _json("/auth/login", _keys(60_000)),
    "unknown keys, 4 kB to /login": _json("/auth/login", _keys(4000)),
    "key of 1 MB to /login": _json("/auth/login", b'{"' + b"k" * LARGE + b'": 1}'),
    "deep JSON of 1 MB to /login": _json("/auth/login", b"[" * LARGE),
    "1 MB to /items, no token": _json("/items", _keys(LARGE)),
    "60 kB to /items, no token": _json("/items", _keys(60_000)),
    "unknown keys, 60 kB, of a user": _json("/items", _keys(60_000), by_a_user=True),
    "logins from 200 addresses": _again(_login),
    "5,000 headers": _again(
        lambda target, _: target.head(
            "GET", "/health/live", *(f"x-{each}: {each}" for each in range(5000))
        )
    ),
    "path of 60 kB": _again(lambda target, _: target.head("GET", "/" + "x" * 60_000)),
    "query of 2,000 unknown names": _again(
        lambda target, _: target.head(
            "GET", f"{API}/items?" + "&".join(f"k{each}=1" for each in range(2000))
        )
    ),
    "readiness": _again(lambda target, _: target.head("GET", "/health/ready")),
    "slow bodies": _slow(_half, b"x"),
    "slow headers": _slow(lambda target: target.head("GET", "/")[:-2], b"x-more: x\r\n"),
    "endless chunks": _slow(_chunks, b"400\r\n" + b"x" * 1024 + b"\r\n"),
    "followers of a job": _unread(f"{API}/jobs/{{job}}/events", read=True),
    "followers that do not read": _unread(f"{API}/jobs/{{job}}/events"),
    "followers of changes": _unread(f"{API}/items/changes", read=True),
    "exports that nobody reads": _unread(f"{API}/items/export"),
    "WebSockets that do not read": _unread("/flood", websocket=True),
}


if __name__ == "__main__":
    for ratio in attacks(*sys.argv[1:]):
        print(ratio, flush=True)

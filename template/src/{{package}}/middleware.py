"""What surrounds every request: its id, security headers, one log line, and a silent 500.

Pure ASGI, since it runs for each request: BaseHTTPMiddleware would halve the throughput.
"""

import os
import re
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import lru_cache
from time import perf_counter, time

import structlog
from fastapi import FastAPI
from pydantic_core import to_json
from starlette.middleware.cors import CORSMiddleware
from starlette.status import HTTP_413_CONTENT_TOO_LARGE, HTTP_500_INTERNAL_SERVER_ERROR
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import problem
from .logging import is_pretty, request_id
from .settings import InvalidSettings, Settings

logger = structlog.get_logger(__name__)

API_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
SECURITY_HEADERS = [
    (b"content-security-policy", API_POLICY.encode()),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
]
SECURED = frozenset(name for name, _ in SECURITY_HEADERS)
PLAIN_TEXT = (b"content-type", b"text/plain; charset=utf-8")
CLIENT_CLOSED_REQUEST = 499  # nginx's word for a client that did not wait
STDOUT = 1
_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")

WriteLine = Callable[[str, str, str, int, float], None]


def install(app: FastAPI, settings: Settings) -> None:
    """Add the middleware, the outermost last."""
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["X-Request-ID"],
        )
    app.add_middleware(RequestMiddleware, write_line=request_line(settings))


class RequestMiddleware:
    """Gives each request its id and its log line, and each response its headers."""

    def __init__(self, app: ASGIApp, write_line: WriteLine | None) -> None:
        self.app = app
        self.write_line = write_line

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, _in_words(send))
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = perf_counter()
        identifier = _identifier(scope)
        request_id.set(identifier)
        response = _Response(scope, receive, send, identifier)
        try:
            await self.app(scope, receive, response.send)
        except Exception:
            if response.status:
                raise  # too late for another answer: the server cuts the connection
            logger.exception("unhandled exception")
            await response.answer(HTTP_500_INTERNAL_SERVER_ERROR, request_id=identifier)
        finally:
            if self.write_line is not None:
                status = response.status or CLIENT_CLOSED_REQUEST
                seconds = perf_counter() - begun
                self.write_line(identifier, scope["method"], _route(scope), status, seconds)


def _in_words(send: Send) -> Send:
    """Tells a server that the settings are wrong, where it would show a traceback."""

    async def send_words(message: Message) -> None:
        error = sys.exception()
        if message["type"] == "lifespan.startup.failed" and isinstance(error, InvalidSettings):
            message["message"] = str(error)
        await send(message)

    return send_words


class _Response:
    """One response: adds the headers, and turns the body limit's plain 413 into a problem."""

    __slots__ = ("_identifier", "_receive", "_replaced", "_scope", "_send", "status")

    def __init__(self, scope: Scope, receive: Receive, send: Send, identifier: str) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._identifier = identifier
        self._replaced = False
        self.status = 0

    def send(self, message: Message) -> Awaitable[None]:
        """What sends `message`; no coroutine of its own, which each message would pay for."""
        if message["type"] == "http.response.start":
            headers = message["headers"]
            if message["status"] == HTTP_413_CONTENT_TOO_LARGE and PLAIN_TEXT in headers:
                return self._replace()
            self.status = message["status"]
            own = dict(headers)
            added = SECURITY_HEADERS
            if not SECURED.isdisjoint(own):
                added = [header for header in SECURITY_HEADERS if header[0] not in own]
            message["headers"] = [*headers, *added, (b"x-request-id", self._identifier.encode())]
        elif self._replaced:
            return _nothing()
        return self._send(message)

    async def _replace(self) -> None:
        await self.answer(HTTP_413_CONTENT_TOO_LARGE)
        self._replaced = True

    async def answer(self, status: int, **members: str) -> None:
        """Send a problem document in place of what the application would have sent."""
        await problem(status, members=members)(self._scope, self._receive, self.send)


async def _nothing() -> None:
    pass


def _identifier(scope: Scope) -> str:
    """The client's request id if it is sane, else a new one of 128 random bits."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SANE_ID.fullmatch(value):
            return str(value, "ascii")
    return os.urandom(16).hex()


def _route(scope: Scope) -> str:
    """The template of the matched path, such as `/orders/{order_id}`; never what a client typed."""
    matched = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    return getattr(matched, "path", "")


def request_line(settings: Settings) -> WriteLine | None:
    """How a request's line is written: raw JSON, since a logger would cost five times as much."""
    if settings.log_level in {"warning", "error"}:
        return None
    return _write_pretty if is_pretty(settings) else _write_json


def _write_pretty(identifier: str, method: str, route: str, status: int, seconds: float) -> None:
    logger.info("request", method=method, route=route, status=status, ms=round(seconds * 1000, 1))


def _write_json(identifier: str, method: str, route: str, status: int, seconds: float) -> None:
    line = to_json(
        {
            "event": "request",
            "level": "info",
            "timestamp": _timestamp(time()),
            "request_id": identifier,
            "method": method,
            "route": route,
            "status": status,
            "duration_ms": round(seconds * 1000, 3),
        }
    )
    try:
        os.write(STDOUT, line + b"\n")
    except OSError:
        return  # a reader of the logs that went away is no reason to fail a request


def _timestamp(now: float) -> str:
    """ISO 8601 in UTC, as structlog writes it; the second is formatted once for all in it."""
    return f"{_second(int(now))}.{int(now % 1 * 1_000_000):06}Z"


@lru_cache(maxsize=1)
def _second(now: int) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S")

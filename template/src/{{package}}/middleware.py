"""What surrounds every request and WebSocket: its id, its log line, headers, and a silent 500.

Pure ASGI, since it runs for each request: BaseHTTPMiddleware would halve the throughput.
"""

import os
import re
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import lru_cache, partial
from time import perf_counter, time
from typing import Any

import structlog
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.status import (
    HTTP_101_SWITCHING_PROTOCOLS,
    HTTP_413_CONTENT_TOO_LARGE,
    HTTP_500_INTERNAL_SERVER_ERROR,
    WS_1008_POLICY_VIOLATION,
    WS_1011_INTERNAL_ERROR,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect
from structlog.contextvars import get_contextvars

from .errors import phrase, problem
from .logging import is_pretty, render_json, request_id
from .routing import HeadMiddleware, behind_proxies
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

EXPOSED = ["ETag", "Location", "Retry-After", "WWW-Authenticate", "X-Request-ID"]
PROBES = "/health/"  # whose changes the probes log themselves

WriteLine = Callable[[str, str, str, int, float], None]
Surround = Callable[[ASGIApp], ASGIApp]


def install(app: FastAPI, settings: Settings) -> None:
    """Add the middleware, the outermost last; raises InvalidSettings."""
    app.add_middleware(HeadMiddleware)
    cors: Surround = _as_it_is
    if settings.cors_origins:
        options: dict[str, Any] = {
            "allow_origins": settings.cors_origins,
            "allow_methods": ["*"],
            "allow_headers": ["*"],
            "expose_headers": EXPOSED,
        }
        app.add_middleware(CORSMiddleware, **options)
        cors = partial(CORSMiddleware, **options)
    app.add_middleware(RequestMiddleware, request_line(settings), cors)
    behind_proxies(app, settings)


class RequestMiddleware:
    """Gives each request its id and its log line, and each response its headers.

    `cors` surrounds the answers of its own, as the middleware of that name does all others.
    """

    def __init__(self, app: ASGIApp, write_line: WriteLine | None, cors: Surround) -> None:
        self.app = app
        self.write_line = write_line
        self.cors = cors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, _in_words(send))
            return
        begun = perf_counter()
        identifier = _identifier(scope)
        request_id.set(identifier)
        kind = _Response if scope["type"] == "http" else _Handshake
        response = kind(scope, receive, send, identifier, self.cors)
        try:
            await self.app(scope, receive, response.send)
        except WebSocketDisconnect:
            pass  # a route need not catch that its client has left
        except Exception:
            if response.status and scope["type"] == "http":
                raise  # too late for another answer: the server cuts the connection
            logger.exception("unhandled exception")
            await response.answer(HTTP_500_INTERNAL_SERVER_ERROR, request_id=identifier)
        finally:
            route = _route(scope)
            if self.write_line is not None and not route.startswith(PROBES):
                status = response.status or CLIENT_CLOSED_REQUEST
                seconds = perf_counter() - begun
                self.write_line(identifier, scope.get("method", "GET"), route, status, seconds)


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

    __slots__ = ("_cors", "_ended", "_identifier", "_receive", "_scope", "_send", "status")

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, identifier: str, cors: Surround
    ) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._identifier, self._cors = identifier, cors
        self._ended = False
        self.status = 0

    def send(self, message: Message) -> Awaitable[None]:
        """What sends `message`; no coroutine of its own, which each message would pay for."""
        if message["type"] == "http.response.start":
            is_too_large = message["status"] == HTTP_413_CONTENT_TOO_LARGE
            if is_too_large and PLAIN_TEXT in message["headers"]:
                return self._replace(HTTP_413_CONTENT_TOO_LARGE)
            self._start(message)
        elif self._ended:
            return _nothing()
        return self._send(message)

    def _start(self, message: Message) -> None:
        self.status = message["status"]
        headers = message["headers"]
        own = dict(headers)
        added = SECURITY_HEADERS
        if not SECURED.isdisjoint(own):
            added = [header for header in SECURITY_HEADERS if header[0] not in own]
        message["headers"] = [*headers, *added, (b"x-request-id", self._identifier.encode())]

    async def _replace(self, status: int) -> None:
        await self.answer(status)
        self._ended = True

    async def answer(self, status: int, **members: str) -> None:
        """Send a problem document in place of what the application would have sent."""
        document = self._cors(problem(status, members=members))
        await document(self._scope, self._receive, self.send)


class _Handshake(_Response):
    """The answer to a WebSocket: 101 once it is accepted, or a response that refuses it."""

    __slots__ = ()

    def send(self, message: Message) -> Awaitable[None]:
        """What sends `message`; a response that comes too late becomes a close code."""
        kind = message["type"]
        if self._ended:
            return _nothing()
        if kind == "websocket.accept":
            self.status = HTTP_101_SWITCHING_PROTOCOLS
            added = (b"x-request-id", self._identifier.encode())
            message["headers"] = [*message.get("headers", []), added]
        elif kind == "websocket.http.response.start":
            if self.status or "websocket.http.response" not in self._scope.get("extensions", {}):
                return self._close(message["status"])
            self._start(message)
        elif kind == "websocket.close":
            if not self.status:
                return self._replace(403 if _route(self._scope) else 404)
            self._ended = True
        return self._send(message)

    def _close(self, status: int) -> Awaitable[None]:
        self._ended, self.status = True, self.status or status
        code = WS_1011_INTERNAL_ERROR if status >= 500 else WS_1008_POLICY_VIOLATION
        reason = f"{status} {phrase(status)}"
        return self._send({"type": "websocket.close", "code": code, "reason": reason})


async def _nothing() -> None:
    pass


def _as_it_is(app: ASGIApp) -> ASGIApp:
    return app


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
    milliseconds = round(seconds * 1000, 1)
    logger.info("request", method=method, route=route, status=status, duration_ms=milliseconds)


def _write_json(identifier: str, method: str, route: str, status: int, seconds: float) -> None:
    line = render_json(
        None,
        "info",
        {
            **get_contextvars(),
            "event": "request",
            "level": "info",
            "timestamp": _timestamp(time()),
            "request_id": identifier,
            "method": method,
            "route": route,
            "status": status,
            "duration_ms": round(seconds * 1000, 3),
        },
    )
    try:
        os.write(STDOUT, f"{line}\n".encode())
    except OSError:
        return  # a reader of the logs that went away is no reason to fail a request


def _timestamp(now: float) -> str:
    """ISO 8601 in UTC, as structlog writes it; the second is formatted once for all in it."""
    return f"{_second(int(now))}.{int(now % 1 * 1_000_000):06}Z"


@lru_cache(maxsize=1)
def _second(now: int) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S")

"""How requests reach the routes: through proxies, below a prefix, and HEAD by the route of GET."""

import asyncio

from fastapi import FastAPI, Request
from fastapi.routing import iter_route_contexts
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from .errors import allowed_methods
from .settings import InvalidSettings, Settings


def behind_proxies(app: FastAPI, settings: Settings) -> None:
    """Take requests as proxies send them; raises InvalidSettings."""
    if root := settings.root_path:
        paths = (context.path or "" for context in iter_route_contexts(app.routes))
        if own := next((path for path in paths if f"{path}/".startswith(f"{root}/")), None):
            raise InvalidSettings(f"APP_ROOT_PATH: the service has {own} itself; take another path")
        app.add_middleware(RootPathMiddleware, root)
    if settings.trusted_proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=settings.trusted_proxies)


class RootPathMiddleware:
    """Puts the prefix before the paths of requests, as ASGI has it, where a proxy stripped it."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self.app = app
        self.root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            path, root = scope["path"], self.root_path
            scope = {**scope, "root_path": root}
            if path != root and not path.startswith(f"{root}/"):
                scope["path"] = root + path
        await self.app(scope, receive, send)


class HeadMiddleware:
    """Answers HEAD by the route of GET, without its body; a route of HEAD's own comes first."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") != "HEAD" or "HEAD" in allowed_methods(Request(scope)):
            await self.app(scope, receive, send)
            return
        get: Scope = {**scope, "method": "GET"}
        answered = asyncio.Event()
        empty = iter([{"type": "http.request"}])

        async def receive_nothing() -> Message:
            if body := next(empty, None):
                return body
            await answered.wait()
            return {"type": "http.disconnect"}  # a stream ends as if its client had gone

        async def send_head(message: Message) -> None:
            if not answered.is_set():
                await send(message)
                await send({"type": "http.response.body"})
                answered.set()
            await asyncio.sleep(0)  # a stream that waits for nothing else ends here

        try:
            await self.app(get, receive_nothing, send_head)
        finally:
            scope.update({**get, "method": "HEAD"})  # for the log: which route it was

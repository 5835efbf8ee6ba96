import os
from html import escape
from pathlib import Path
from string import Template

from fastapi import FastAPI, Request
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from .. import modules
from ..middleware import API_POLICY

HERE = Path(__file__).parent
ASSETS = "/docs/static"
PAGE = Template((HERE / "page.html").read_text("utf-8"))
# Swagger UI and Redoc style elements inline; scripts come from files of this origin alone.
POLICY = (
    f"{API_POLICY}; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; worker-src blob:; connect-src 'self'"
)


class Assets(StaticFiles):
    """Files that a browser may keep, but asks about before it uses them again."""

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["Cache-Control"] = "no-cache"
        return response


def install(app: FastAPI) -> None:
    """Serve both pages and their files."""
    files = Assets(directory=HERE / "static", packages=[("fastapi_standalone_docs", "static")])
    app.mount(ASSETS, GZipMiddleware(files), name="docs-static")

    async def swagger(request: Request) -> HTMLResponse:
        return _page(app, request, "swagger", "swagger/swagger-ui-bundle.js")

    async def redoc(request: Request) -> HTMLResponse:
        return _page(app, request, "redoc", "redoc/redoc.standalone.js")

    async def redoc_logo(request: Request) -> RedirectResponse:
        # Redoc asks for its own logo relative to the page.
        root = request.scope.get("root_path", "").rstrip("/")
        return RedirectResponse(f"{root}{ASSETS}/redoc/logo-mini.svg")

    async def signed_in(request: Request) -> HTMLResponse:
        # It came back from a provider's origin, and answers the page that opened it.
        return HTMLResponse(
            (HERE / "signed-in.html").read_text("utf-8"),
            headers={
                "Content-Security-Policy": f"{API_POLICY}; script-src 'self'",
                "Cross-Origin-Opener-Policy": "unsafe-none",
            },
        )

    app.add_route("/docs", swagger, include_in_schema=False)
    app.add_route("/docs/oauth2-redirect", signed_in, include_in_schema=False)
    app.add_route("/redoc", redoc, include_in_schema=False)
    app.add_route("/redoc/logo-mini.svg", redoc_logo, include_in_schema=False)


def _page(app: FastAPI, request: Request, kind: str, bundle: str) -> HTMLResponse:
    root = escape(request.scope.get("root_path", "").rstrip("/"))
    current = {f"{kind}_current": 'aria-current="page"'}
    body = PAGE.substitute(
        {"swagger_current": "", "redoc_current": "", **current},
        kind=kind,
        title=escape(app.title),
        root=root,
        assets=f"{root}{ASSETS}",
        openapi=f"{root}{app.openapi_url}",
        bundle=bundle,
    )
    origins = [each for origins in modules.docs_origins for each in origins(request)]
    return HTMLResponse(
        body,
        headers={
            "Content-Security-Policy": " ".join([POLICY, *origins]),
            # The window in which one signs in answers this one.
            "Cross-Origin-Opener-Policy": "same-origin-allow-popups",
        },
    )

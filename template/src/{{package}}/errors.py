"""Every error is answered as problem details, `application/problem+json` (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

MEDIA_TYPE = "application/problem+json"
# How many errors of a request are told, and how many characters of each: an answer must not grow
# with what was sent.
MOST, LONGEST = 10, 200
FRAGMENT = "!$&'()*+,;=:@?"  # what RFC 3986 lets stand in one, besides letters and the like


class ServiceError(Exception):
    """Base of the errors that a client is told about; a subclass sets `status`.

    `members` become extension members of the problem document, `headers` those of the answer.
    """

    status = HTTPStatus.BAD_REQUEST

    def __init__(self, detail: str | None = None, **members: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.members = members
        self.headers: dict[str, str] = {}


class Problem(BaseModel):
    """The problem document, as the OpenAPI description shows it."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str | None = None


documented: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "Problem details",
        "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}},
    }
}


def problem(
    status: int,
    detail: str | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, object] | None = None,
) -> Response:
    """A problem document; its title is the phrase of the status."""
    if status < HTTPStatus.OK or status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}:
        return Response(status_code=status, headers=headers)
    title = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Error"
    content = {"type": "about:blank", "title": title, "status": status}
    if detail and detail != title:
        content["detail"] = detail
    return JSONResponse({**content, **(members or {})}, status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Register the handlers. What no handler knows becomes a 500 in the middleware."""

    @app.exception_handler(ServiceError)
    async def service_error(request: Request, error: ServiceError) -> Response:
        return problem(error.status, error.detail, headers=error.headers, members=error.members)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(sorted(allowed_methods(request)))
        return problem(error.status_code, str(error.detail), headers=headers)

    @app.exception_handler(RequestValidationError)
    async def invalid_request(request: Request, error: RequestValidationError) -> Response:
        # Neither the input nor the context is repeated: both may hold what the client keeps secret.
        errors = [
            {"pointer": pointer(*each["loc"]), "detail": each["msg"][:LONGEST]}
            for each in error.errors()[:MOST]
        ]
        return problem(422, "The request is not valid.", members={"errors": errors})


def pointer(*location: str | int) -> str:
    """A JSON pointer as the fragment of a URI (RFC 6901, section 6).

    If it would be too long, it ends above what it should point at.
    """
    found = "#"
    for each in location:
        escaped = str(each)[:LONGEST].replace("~", "~0").replace("/", "~1")
        found, above = f"{found}/{quote(escaped, FRAGMENT, errors='replace')}", found
        if len(found) > LONGEST:
            return above
    return found


def allowed_methods(request: Request) -> set[str]:
    """The methods of all routes at this path; the router alone would name those of the first."""
    return {
        method
        for context in iter_route_contexts(request.app.routes)
        if context.methods and context.matches(request.scope)[0] is not Match.NONE
        for method in context.methods
    }

"""Every error is answered as problem details, `application/problem+json` (RFC 9457)."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import (
    RequestValidationError,
    ValidationException,
    WebSocketRequestValidationError,
)
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, ConfigDict
from pydantic_core import to_jsonable_python
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response
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
    """What every error is answered with (RFC 9457); some have more members."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "There is no order 4711.",
                }
            ]
        },
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str | None = None


documented: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "Problem details",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}


def problem(
    status: int,
    detail: object = None,
    *,
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, object] | None = None,
) -> Response:
    """A problem document; its title is the phrase of the status.

    `detail` and `members` are whatever Pydantic can serialise.
    """
    if status < HTTPStatus.OK or status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}:
        return Response(status_code=status, headers=headers)
    title = phrase(status)
    content: dict[str, object] = {"type": "about:blank", "title": title, "status": status}
    if detail and detail != title:
        content["detail"] = detail
    document = to_jsonable_python({**content, **(members or {})}, inf_nan_mode="null")
    body = json.dumps(document)  # in ASCII: half a character, which JSON can hold, stays one
    return Response(body, status, headers, MEDIA_TYPE)


def phrase(status: int) -> str:
    """What a status is called."""
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else "Error"


def install(app: FastAPI) -> None:
    """Register the handlers. What no handler knows becomes a 500 in the middleware."""

    @app.exception_handler(ServiceError)
    async def service_error(request: Request, error: ServiceError) -> Response:
        return problem(error.status, error.detail, headers=error.headers, members=error.members)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = allowed_methods(request)
            if "GET" in allowed:
                allowed.add("HEAD")
            headers["Allow"] = ", ".join(sorted(allowed))
        return problem(error.status_code, error.detail, headers=headers)

    @app.exception_handler(WebSocketRequestValidationError)
    @app.exception_handler(RequestValidationError)
    async def invalid_request(request: HTTPConnection, error: ValidationException) -> Response:
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

"""The user of a request, and how one is told to come back with better credentials."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.requests import HTTPConnection

from ..errors import MEDIA_TYPE, ServiceError, documented

ADMIN = "admin"
NAMED = 10


@dataclass(frozen=True, slots=True)
class User:
    """Who sent a request, as their token says; what changed since it was issued is not in it."""

    id: str
    scopes: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    claims: Mapping[str, object] = field(default_factory=dict)

    def may(self, scope: str) -> bool:
        """Whether the user has `scope`; an administrator has every one."""
        return scope in self.scopes or ADMIN in self.roles

    def has(self, role: str) -> bool:
        """Whether the user has `role`; an administrator has every one."""
        return role in self.roles or ADMIN in self.roles


class Unauthenticated(ServiceError):
    """No token, or one that is not valid; the header is that of RFC 6750, section 3."""

    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail)
        told = f' error="invalid_token", error_description="{detail}"' if detail else ""
        self.headers["WWW-Authenticate"] = f"Bearer{told}"


def token_of(connection: HTTPConnection) -> str:
    """The token that a request brings (RFC 6750, section 2.1); raises Unauthenticated."""
    kind, _, token = connection.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise Unauthenticated
    return token.strip()


class Forbidden(ServiceError):
    """The user is known and may not do this."""

    status = HTTPStatus.FORBIDDEN

    def __init__(self, detail: str, *scopes: str) -> None:
        super().__init__(detail)
        # No more than a proxy takes in a header.
        missing = f', scope="{" ".join(scopes[:NAMED])}"' if scopes else ""
        self.headers["WWW-Authenticate"] = f'Bearer error="insufficient_scope"{missing}'


def _described(status: HTTPStatus, description: str) -> dict[str, Any]:
    problem = documented["default"]["content"][MEDIA_TYPE]
    example = {"type": "about:blank", "title": status.phrase, "status": status}
    return {
        "description": description,
        "content": {MEDIA_TYPE: {**problem, "example": example}},
        "headers": {"WWW-Authenticate": {"schema": {"type": "string"}}},
    }


# For routes that ask for a user: APIRouter(..., responses=denied).
denied: dict[int | str, dict[str, Any]] = {
    401: _described(HTTPStatus.UNAUTHORIZED, "No token, or one that is not valid"),
    403: _described(HTTPStatus.FORBIDDEN, "The token does not allow this"),
}

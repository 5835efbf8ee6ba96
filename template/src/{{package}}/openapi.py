"""The API's description, in the words that generators of clients understand: OpenAPI 3.1."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from .errors import Problem


def operation_id(route: APIRoute) -> str:
    """The name of the route's function, which must be unique in the service."""
    return route.name


class DescribedAPI(FastAPI):
    """Describes problems once, and streams as OpenAPI 3.1 can."""

    def openapi(self) -> dict[str, Any]:
        """The description; FastAPI keeps it until a route is added."""
        described = super().openapi()
        schemas = described.setdefault("components", {}).setdefault("schemas", {})
        schemas.setdefault("Problem", Problem.model_json_schema())
        for content in _contents(described):
            if item := content.pop("itemSchema", None):
                data = item.get("properties", {}).get("data", {}).get("contentSchema", item)
                content["schema"] = _stream_of(content.get("schema", data))
        return described


def _contents(described: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in described["paths"].values():
        for operation in path.values():
            for response in operation["responses"].values():
                yield from response.get("content", {}).values()


def _stream_of(item: dict[str, Any]) -> dict[str, Any]:
    """OpenAPI 3.2 has `itemSchema`, which no generator reads: some follow a stream and take the
    schema for an item's, others read it as one text."""
    return {"anyOf": [item, {"type": "string"}]}

from copy import deepcopy
from typing import Any

import pytest

from api_changes import breaking

ITEM = {
    "type": "object",
    "required": ["name", "kind"],
    "properties": {
        "name": {"type": "string", "maxLength": 50},
        "kind": {"enum": ["small", "large"]},
        "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Item"}},
        "note": {"anyOf": [{"type": "string", "format": "uri"}, {"type": "null"}]},
    },
}
CONTENT = {"application/json": {"schema": {"$ref": "#/components/schemas/Item"}}}
LIMIT = {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 100}}
OPERATION = {
    "operationId": "create_item",
    "security": [{"Key": []}],
    "parameters": [LIMIT],
    "requestBody": {"content": CONTENT, "required": True},
    "responses": {"201": {"description": "", "content": CONTENT}},
}
SENT, ANSWERED = "POST /items, body application/json", "POST /items, answer 201 application/json"


def described(*change: Any, operation: dict[str, Any] = OPERATION) -> dict[str, Any]:  # noqa: ANN401
    """An API; the last of `change` replaces what the others lead to in the item."""
    item = deepcopy(ITEM)
    if change:
        *path, last, value = change
        place: Any = item
        for key in path:
            place = place[key]
        place[last] = value
    return {"paths": {"/items": {"post": operation}}, "components": {"schemas": {"Item": item}}}


@pytest.mark.parametrize(
    ("change", "breaks"),
    [
        (("title", "Goods"), []),
        (("properties", "size", {"type": "integer"}), []),
        (("properties", "name", "maxLength", 60), []),
        (("properties", "name", "maxLength", 40), [f"{SENT}.name must have maxLength 40"]),
        (("required", ["name", "kind", "note"]), [f"{SENT}.note must be there"]),
        (("required", ["name"]), [f"{ANSWERED}.kind need not be there now"]),
        (
            ("properties", "kind", {"enum": ["small"]}),
            [f"{SENT}.kind may no longer be string 'large'"],
        ),
        (
            ("properties", "kind", {"type": "string"}),
            [f"{ANSWERED}.kind may be string now"],
        ),
        (
            ("properties", "note", {"type": "string"}),
            [f"{SENT}.note may no longer be null", f"{ANSWERED}.note need not have format uri now"],
        ),
        (("additionalProperties", False), [f"{SENT} must have no other fields"]),
    ],
)
def test_a_change_breaks_clients_or_not(change: tuple[object, ...], breaks: list[str]) -> None:
    assert list(breaking(described(), described(*change))) == breaks


@pytest.mark.parametrize(
    ("part", "value", "breaks"),
    [
        ("operationId", "add_item", ["POST /items is called add_item, not create_item"]),
        ("parameters", [], ["POST /items, query limit is gone"]),
        ("parameters", [LIMIT | {"required": True}], ["POST /items, query limit must be there"]),
        ("parameters", [LIMIT, LIMIT | {"name": "page", "required": True}], ["page must be there"]),
        ("security", [{"Key": ["items:write"]}], ["must come with the scope items:write"]),
        ("security", [], []),
        ("responses", {}, ["POST /items, answer 201 is gone"]),
    ],
)
def test_a_change_of_an_operation(part: str, value: object, breaks: list[str]) -> None:
    changes = list(breaking(described(), described(operation=OPERATION | {part: value})))

    assert len(changes) == len(breaks)
    assert all(each in change for each, change in zip(breaks, changes, strict=True))


def test_an_operation_that_is_gone_is_told_once() -> None:
    assert list(breaking(described(), {"paths": {}})) == ["POST /items is gone"]
    assert not list(breaking({"paths": {}}, described()))

"""Which differences between two descriptions of the API break its clients.

An operation has parts, such as a field of its body. Each part may be something (a type, a value),
and must fulfil something (a format, a bound). A client breaks if the service accepts less of what
it sends, or promises less of what it answers. What only tells, such as a title, is not compared.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
ANYTHING = {"array", "boolean", "integer", "null", "number", "object", "string"}
LOWER = {"exclusiveMinimum", "minItems", "minLength", "minProperties", "minimum"}
UPPER = {"exclusiveMaximum", "maxItems", "maxLength", "maxProperties", "maximum"}
DEMANDS = {*LOWER, *UPPER, "format", "multipleOf", "pattern", "uniqueItems"}
PROMISES = {"be there", "format"}


@dataclass
class Part:
    """A part of an operation; `around` is the part that it belongs to."""

    around: str
    is_sent: bool
    may: set[str] = field(default_factory=set)
    must: Json = field(default_factory=dict)


class Description:
    """An OpenAPI document, taken apart."""

    def __init__(self, document: Json) -> None:
        self.schemas: Json = document.get("components", {}).get("schemas", {})
        self.parts: dict[str, Part] = {}
        self.ids: dict[str, str] = {}
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                self._operation(f"{method.upper()} {path}", operation)

    def _operation(self, name: str, operation: Json) -> None:
        self.ids[name] = operation.get("operationId", "")
        part = self.parts[name] = Part("", is_sent=True)
        for each in operation.get("security", []):
            for scheme, scopes in each.items():
                part.must |= {f"come with the scope {scope}": True for scope in scopes}
                part.must[f"come with {scheme} credentials"] = True
        for each in operation.get("parameters", []):
            where = f"{name}, {each['in']} {each['name']}"
            self._schema(each["schema"], where, Part(name, True), each.get("required", False), ())
        body = operation.get("requestBody", {})
        self._contents(body, f"{name}, body", Part(name, True), body.get("required", False))
        for status, response in operation.get("responses", {}).items():
            self._contents(response, f"{name}, answer {status}", Part(name, False), False)

    def _contents(self, message: Json, where: str, part: Part, required: bool) -> None:
        if message:
            self.parts[where] = part
            part.must |= {"be there": True} if required else {}
        for kind, content in message.get("content", {}).items():
            inside = Part(where, part.is_sent)
            self._schema(content.get("schema", {}), f"{where} {kind}", inside, False, ())

    def _schema(
        self, schema: Json, where: str, part: Part, required: bool, above: tuple[str, ...]
    ) -> None:
        if name := schema.get("$ref", "").rpartition("/")[2]:
            if name in above:
                part.may.add(name)
                return
            above, schema = (*above, name), self.schemas[name]
        part = self.parts.setdefault(where, part)
        part.must |= {"be there": True} if required else {}
        part.must |= {key: schema[key] for key in DEMANDS & schema.keys()}
        choices = [each for key in ("allOf", "anyOf", "oneOf") for each in schema.get(key, [])]
        for each in choices:
            self._schema(each, where, part, False, above)
        if values := schema.get("enum", [schema["const"]] if "const" in schema else []):
            part.may |= {f"{_type(value)} {value!r}" for value in values}
        elif not choices:
            types = schema.get("type", ANYTHING)
            part.may |= {types} if isinstance(types, str) else set(types)
        if schema.get("additionalProperties") is False:
            part.must["have no other fields"] = True
        for key, each in schema.get("properties", {}).items():
            is_required = key in schema.get("required", [])
            self._schema(each, f"{where}.{key}", Part(where, part.is_sent), is_required, above)
        for key, mark in (("items", "[]"), ("additionalProperties", ".*")):
            if isinstance(each := schema.get(key), dict):
                self._schema(each, where + mark, Part(where, part.is_sent), False, above)


def breaking(before: Json, after: Json) -> Iterator[str]:
    """What breaks clients of the API that `before` describes, a line each."""
    old, new = Description(before), Description(after)
    for name, part in old.parts.items():
        if name in new.parts:
            yield from (f"{name} {change}" for change in _changes(part, new.parts[name]))
            if old.ids.get(name) != new.ids.get(name):
                yield f"{name} is called {new.ids[name]}, not {old.ids[name]}"
        elif part.around in {*new.parts, ""}:
            yield f"{name} is gone"
    for name, part in new.parts.items():
        is_new = name not in old.parts and part.around in old.parts
        if is_new and part.is_sent and "be there" in part.must:
            yield f"{name} must be there"


def _changes(old: Part, new: Part) -> Iterator[str]:
    if old.is_sent:
        yield from (f"may no longer be {each}" for each in _beyond(old.may, new.may))
        yield from (f"must {each}" for each in _unmet(new.must, old.must))
    else:
        yield from (f"may be {each} now" for each in _beyond(new.may, old.may))
        lost = _unmet({key: old.must[key] for key in PROMISES & old.must.keys()}, new.must)
        yield from (f"need not {each} now" for each in lost)


def _beyond(some: set[str], others: set[str]) -> list[str]:
    """Those of `some` that `others` do not include."""
    known = others | ({"integer"} if "number" in others else set())
    return sorted(each for each in some - known if each.partition(" ")[0] not in known)


def _unmet(demands: Json, others: Json) -> list[str]:
    """Those of `demands` that are not met by whatever meets `others`."""
    return sorted(
        f"have {key} {demand}" if key in DEMANDS else key
        for key, demand in demands.items()
        if key not in others or not _is_met(key, demand, others[key])
    )


def _is_met(key: str, demand: Any, by: Any) -> bool:  # noqa: ANN401  whatever JSON has
    if key in LOWER:
        return bool(by >= demand)
    return bool(by <= demand) if key in UPPER else bool(by == demand)


def _type(value: object) -> str:
    names = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
    return names.get(type(value), "value")

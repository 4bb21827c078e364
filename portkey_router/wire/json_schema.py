"""JSON schemas as OpenAI's `response_format` and strict tools want them (platform.openai.com, "Structured outputs")."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["response_format", "strict_schema", "tool_name"]


def tool_name(name: str) -> str:
    """The name as OpenAI takes one, of a tool or a schema: letters, digits, `_` and `-`, at most 64."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64]


def response_format(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The body field that asks for an object of this schema, strictly where the schema has a strict form."""
    strict = strict_schema(schema)
    framed: dict[str, Any] = {"name": tool_name(name), "schema": strict or dict(schema)}
    if schema.get("description"):
        framed["description"] = schema["description"]
    return {"type": "json_schema", "json_schema": {**framed, "strict": strict is not None}}


def strict_schema(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema with every property required, and no others allowed; None where that would change its meaning.

    An object without stated properties (a `dict`) has no strict form.
    """
    try:
        strict: dict[str, Any] = _strict(schema, schema)
    except _OpenObjectError:
        return None
    return strict


class _OpenObjectError(Exception):
    """The schema has an object whose properties are not all stated."""


def _strict(node: Any, root: Mapping[str, Any]) -> Any:
    if isinstance(node, list):
        return [_strict(each, root) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node and len(node) > 1:  # notes beside a reference are not allowed: it is written out
        return _strict({**_referred(node["$ref"], root), **{k: v for k, v in node.items() if k != "$ref"}}, root)
    if len(node.get("allOf") or ()) == 1:
        return _strict({**node["allOf"][0], **{k: v for k, v in node.items() if k != "allOf"}}, root)
    strict = {name: _child(name, value, root) for name, value in node.items() if name != "default"}
    if node.get("type") == "object":
        if "properties" not in node or node.get("additionalProperties"):
            raise _OpenObjectError
        strict |= {"additionalProperties": False, "required": list(node["properties"])}
    return strict


def _child(name: str, value: Any, root: Mapping[str, Any]) -> Any:
    """Names of properties and definitions are the user's, whatever they are; `const` and `enum` hold values."""
    if name in {"properties", "$defs"} and isinstance(value, dict):
        return {key: _strict(each, root) for key, each in value.items()}
    return value if name in {"const", "enum", "required"} else _strict(value, root)


def _referred(path: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = root
    for step in path.removeprefix("#/").split("/"):
        found = found[step]
    return found  # type: ignore[no-any-return]  # of a JSON schema

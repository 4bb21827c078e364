"""A value for a JSON schema, out of a text: how a model fills the arguments of a tool, here without a model."""

from __future__ import annotations

import hashlib
import math
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from portkey_router.sandbox.words import Words

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["fill"]

Schema = dict[str, Any]

# From this depth on, whatever may be left out is: schemas may contain themselves.
DEEP = 8
TYPES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
IMPLIED = {
    "properties": "object",
    "additionalProperties": "object",
    "items": "array",
    "prefixItems": "array",
    "minLength": "string",
    "pattern": "string",
    "format": "string",
    "minimum": "number",
    "maximum": "number",
}


def fill(schema: Mapping[str, Any] | bool, text: str) -> Any:  # noqa: FBT001  (JSON Schema has boolean schemas)
    """A value that is valid under the schema, made of what the text says.

    Numbers are used in order, then quotations, names and words; `key=value` in the text sets the property of that
    name. Optional properties are filled when the text names them. `$ref` resolves inside the schema itself.
    `pattern` and `not` are not understood.
    """
    root = {} if isinstance(schema, bool) else dict(schema)
    return _Filler(root, Words(text)).value(root, depth=0)


@dataclass(frozen=True, slots=True)
class _Filler:
    root: Schema
    words: Words

    def value(self, schema: Any, depth: int) -> Any:
        schema = self.resolved(schema, depth)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.member(schema["enum"])
        kind = _type(schema)
        if kind == "object":
            return self.object(schema, depth)
        if kind == "array":
            return self.array(schema, depth)
        return self.scalar(kind, schema)

    def resolved(self, schema: Any, depth: int) -> Schema:
        """The schema without references and alternatives: one plain description."""
        plain: Schema = dict(schema) if isinstance(schema, dict) else {}
        for _ in range(100):
            if "$ref" in plain:
                plain = self.target(str(plain.pop("$ref"))) | plain
            elif "allOf" in plain:
                plain = _merged(plain, [self.resolved(part, depth) for part in plain.pop("allOf")])
            elif options := plain.pop("anyOf", None) or plain.pop("oneOf", None):
                plain = _merged(plain, [self.resolved(self.option(options, depth), depth)])
            else:
                break
        return plain

    def target(self, reference: str) -> Schema:
        """`#/$defs/Name`, followed from the root."""
        found: Any = self.root
        for step in reference.removeprefix("#").strip("/").split("/"):
            if step:
                found = found[step.replace("~1", "/").replace("~0", "~")]
        return dict(found) if isinstance(found, dict) else {}

    def option(self, options: list[Any], depth: int) -> Any:
        """The alternative that the text names; else the first one that is not null, or null deep inside."""
        nulls = [option for option in options if isinstance(option, dict) and option.get("type") == "null"]
        if depth >= DEEP and nulls:
            return nulls[0]
        others = [option for option in options if option not in nulls]
        return next((option for option in others if self.named(option)), (others or options)[0])

    def named(self, option: Any) -> bool:
        """Whether the text names an alternative: by its title, or by the constant that marks it."""
        if not isinstance(option, dict):
            return False
        plain = self.target(option["$ref"]) | option if "$ref" in option else option
        parts = (part for part in plain.get("properties", {}).values() if isinstance(part, dict))
        marks = [plain.get("title"), plain.get("const"), *(part.get("const") for part in parts)]
        return any(isinstance(mark, str) and self.words.mentions(mark) for mark in marks)

    def member(self, members: list[Any]) -> Any:
        """The member that the text names, else the first."""
        return next((member for member in members if self.words.mentions(str(member))), members[0])

    def object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties: dict[str, Any] = schema.get("properties", {})
        required = schema.get("required", [])
        wanted = [
            name for name in properties if name in required or (depth < DEEP and self.words.named(name) is not None)
        ]
        filled = {name: self.property(name, properties[name], depth + 1) for name in wanted}
        rest = schema.get("additionalProperties")
        spare = rest if isinstance(rest, dict) else {}
        for name in required:
            if name not in filled:
                filled[name] = self.value(spare, depth + 1)
        if not properties and not filled and isinstance(rest, dict) and depth < DEEP:
            filled[self.words.string()] = self.value(rest, depth + 1)
        return filled

    def property(self, name: str, schema: Any, depth: int) -> Any:
        """What the text assigns to the property, else whatever comes next."""
        said = self.words.named(name)
        plain = self.resolved(schema, depth)
        kind = _type(plain)
        if said is None or kind in {"object", "array"}:
            return self.value(schema, depth)
        if kind == "string" and not plain.keys() & {"const", "enum"}:
            return _shaped(said, plain)
        return _Filler(self.root, Words(said)).value(plain, depth)

    def array(self, schema: Schema, depth: int) -> list[Any]:
        heads = [self.value(part, depth + 1) for part in schema.get("prefixItems", [])]
        items = schema.get("items", {})
        if items is False or (heads and "items" not in schema):
            return heads
        least = max(int(schema.get("minItems", 0)) - len(heads), 0)
        most = int(schema.get("maxItems", max(least, 20)))
        count = min(max(least, self.offered(items, depth) if depth < DEEP else 0), most)
        found = heads + [self.value(items, depth + 1) for _ in range(count)]
        return _distinct(found, least + len(heads)) if schema.get("uniqueItems") else found

    def offered(self, items: Any, depth: int) -> int:
        """How many items the text has to offer: all its numbers, all its quotations, or one."""
        kind = _type(self.resolved(items, depth))
        if kind in {"integer", "number"}:
            return len(self.words.numbers()) or 1
        return len(self.words.quotations()) or 1 if kind == "string" else 1

    def scalar(self, kind: str, schema: Schema) -> Any:
        if kind == "null":
            return None
        if kind == "boolean":
            return not any(self.words.mentions(word) for word in ("not", "no", "false", "off", "never"))
        if kind in {"integer", "number"}:
            return _within(self.words.number(), schema, whole=kind == "integer")
        return _shaped(self.words.string(), schema)


def _type(schema: Schema) -> str:
    """Its type; where it has several, the first that is not null; where it names none, what its keywords imply."""
    named = schema.get("type")
    if isinstance(named, list):
        named = next((kind for kind in named if kind != "null"), "null")
    if named is None and "default" in schema:
        named = TYPES.get(type(schema["default"]))
    return str(named or next((kind for word, kind in IMPLIED.items() if word in schema), "string"))


def _merged(schema: Schema, parts: list[Schema]) -> Schema:
    """Several schemas that hold at once, as one."""
    merged = dict(schema)
    for part in parts:
        properties = merged.get("properties", {}) | part.get("properties", {})
        required = [*merged.get("required", []), *part.get("required", [])]
        merged = part | merged
        if properties:
            merged["properties"] = properties
        if required:
            merged["required"] = list(dict.fromkeys(required))
    return merged


def _within(value: float, schema: Schema, *, whole: bool) -> float | int:
    """The number, moved into the schema's bounds."""
    step = float(schema.get("multipleOf", 1 if whole else 0))
    least, most = float(schema.get("minimum", -math.inf)), float(schema.get("maximum", math.inf))
    # An open bound is a closed one, a small step further in.
    inside = step or 1e-6
    least = max(least, float(schema.get("exclusiveMinimum", -math.inf)) + inside)
    most = min(most, float(schema.get("exclusiveMaximum", math.inf)) - inside)
    value = min(max(value, least), most)
    if step and value % step:
        value = round(value / step) * step
        value += step if value < least else -step if value > most else 0
    return int(value) if value == int(value) else value


def _shaped(text: str, schema: Schema) -> str:
    """The string in the schema's format and length."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    word = "".join(letter for letter in text.lower() if letter.isascii() and letter.isalnum()) or "nobody"
    formats = {
        "date": f"20{int(digest[:2], 16) % 30 + 10}-0{int(digest[2], 16) % 9 + 1}-1{int(digest[3], 16) % 10}",
        "time": "12:00:00Z",
        "duration": "PT1H",
        "email": f"{word}@example.com",
        "hostname": f"{word}.example.com",
        "ipv4": "192.0.2.1",
        "ipv6": "2001:db8::1",
        "uri": f"https://example.com/{word}",
        "uuid": str(uuid.UUID(digest[:32])),
    }
    formats["date-time"] = f"{formats['date']}T12:00:00Z"
    text = formats.get(str(schema.get("format")), text)
    text = text.ljust(int(schema.get("minLength", 0)), ".")
    return text[: int(schema.get("maxLength", len(text)))]


def _distinct(values: list[Any], least: int) -> list[Any]:
    """The values without repetitions; where too few are left, repeated ones are told apart."""
    kept: list[Any] = []
    for value in values:
        fresh, again = value, 1
        while fresh in kept and len(kept) < least and isinstance(value, str | int | float):
            fresh = f"{value} {again + 1}" if isinstance(value, str) else value + again
            again += 1
        if fresh not in kept:
            kept.append(fresh)
    return kept

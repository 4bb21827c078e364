"""What a cache holds, and how it is written. Reading builds what is listed here and nothing else.

A body is one byte that says how (`0`: as it is, `1`: zlib) and a JSON list. An entry names no class, and a body that is
not exactly of this form is an error: whoever reads takes it for a miss.
"""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

__all__ = ["CorruptEntryError", "Entry", "EntryTooLargeError", "body_of", "entry_of"]

COMPRESSED_FROM = 1024
# What a body may grow to when it is read, whatever the one who reads allows to be written.
LARGEST = 16 * 1024 * 1024
# Levels of lists and objects in an answer: what is nested more deeply, JSON can write and read, but nobody can copy.
DEEPEST = 100
_DEEP = f"the answer is nested more than {DEEPEST} levels deep"
_PLAIN, _ZLIB = b"0", b"1"
_LEVEL = 3  # of zlib: nearly as small as 6 on answers, in half the time


class CorruptEntryError(ValueError):
    """These bytes are no entry of ours."""


class EntryTooLargeError(ValueError):
    """This answer is larger than an entry may be."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored answer.

    - `kind` says whose form `answer` (JSON) has: `completion`, `langchain`, or `text`.
    - `text` is the question, as asked; `created` seconds since the epoch.
    - `model`, `input_tokens`, `output_tokens` and `cost` (US dollars) are those of the call that was paid for; None
      where not known.
    - `exact` is the digest of the request as it was, which tells the exact layer from the one that overlooks spelling.
    - `tags`, `tenant`, `namespace` and `name` (the custom key) are the user's own.
    - `target` is another entry's id, where this one only points to it.
    """

    kind: str
    answer: Any = field(repr=False)
    text: str = field(repr=False)
    created: float
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: Decimal | None = None
    exact: str = ""
    tags: tuple[str, ...] = ()
    tenant: str = ""
    namespace: str = ""
    name: str | None = None
    target: str | None = None


def body_of(entry: Entry, limit: int) -> bytes:
    """The entry in bytes, at most `limit` of them.

    Raises `EntryTooLargeError`, and `TypeError` or `ValueError` for an answer that is no JSON.
    """
    told = [
        entry.kind,
        entry.answer,
        entry.text,
        entry.created,
        entry.model,
        entry.input_tokens,
        entry.output_tokens,
        None if entry.cost is None else str(entry.cost),
        entry.exact,
        list(entry.tags),
        entry.tenant,
        entry.namespace,
        entry.name,
        entry.target,
    ]
    try:
        text = json.dumps(told, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except RecursionError as error:
        raise ValueError(_DEEP) from error
    if _nested_too_deeply(entry.answer):
        raise ValueError(_DEEP)
    data = text.encode("utf-8", "surrogatepass")
    body = _PLAIN + data if len(data) < COMPRESSED_FROM else _ZLIB + zlib.compress(data, _LEVEL)
    if len(body) > limit or len(data) > LARGEST:
        raise EntryTooLargeError(f"an entry of {len(body)} bytes")
    return body


_TEXT, _COUNT = frozenset({str}), frozenset({int, type(None)})
_MAYBE = frozenset({str, type(None)})
_ANY = frozenset({dict, list, str, int, float, bool, type(None)})
# Of each field in its order, what it may be; of `bool`, which passes for a number elsewhere, nothing.
_TYPES = (
    *(_TEXT, _ANY, _TEXT, frozenset({float, int}), _MAYBE, _COUNT, _COUNT, _MAYBE),
    *(_TEXT, frozenset({list}), _TEXT, _TEXT, _MAYBE, _MAYBE),
)


def entry_of(body: bytes) -> Entry:
    """The entry in these bytes. Raises `CorruptEntryError`."""
    try:
        data = _data(body)
        told = json.loads(data.decode("utf-8", "surrogatepass"))
        if type(told) is not list or len(told) != len(_TYPES):
            raise CorruptEntryError("not as many fields")
        for value, types in zip(told, _TYPES, strict=True):
            if type(value) not in types:
                raise CorruptEntryError("a field of another type")
        kind, answer, text, created, model, spent, given, cost, exact, tags, *own = told
        paid = None if cost is None else Decimal(cost)
        if not (math.isfinite(created) and _counts(spent) and _counts(given) and _is_price(paid)):
            raise CorruptEntryError("a number that can be none")
        opened = data.count(b"[") + data.count(b"{")  # most answers have too few brackets to be walked through
        if opened > DEEPEST and _nested_too_deeply(answer):
            raise CorruptEntryError("an answer nested too deeply")
        return Entry(
            kind,
            answer,
            text,
            float(created),
            model,
            spent,
            given,
            paid,
            exact,
            tuple([str(tag) for tag in tags]),
            *own,
        )
    except (ValueError, TypeError, RecursionError, OverflowError, InvalidOperation, zlib.error) as error:
        raise CorruptEntryError(f"no entry of this cache: {type(error).__name__}") from error


def _counts(tokens: int | None) -> bool:
    return tokens is None or 0 <= tokens < _MOST


def _is_price(cost: Decimal | None) -> bool:
    """Whether it can be added to others and be written out: neither NaN nor millions of digits."""
    return cost is None or (
        cost.is_finite() and 0 <= cost < _MOST and -_DIGITS <= int(cost.as_tuple().exponent) <= _DIGITS
    )


_MOST, _DIGITS = 1 << 53, 100


def _nested_too_deeply(answer: Any) -> bool:
    layer = [answer]
    for _ in range(DEEPEST):
        layer = [
            part
            for each in layer
            if isinstance(each, dict | list)
            for part in (each.values() if isinstance(each, dict) else each)
        ]
        if not layer:
            return False
    return True


def _data(body: bytes) -> bytes:
    if body[:1] == _PLAIN:
        return body[1:]
    if body[:1] != _ZLIB:
        raise CorruptEntryError("neither plain nor compressed")
    unpacker = zlib.decompressobj()
    data = unpacker.decompress(body[1:], LARGEST)
    if not unpacker.eof:
        raise CorruptEntryError("cut short, or larger than any entry")
    return data

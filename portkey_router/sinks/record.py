"""Events as flat JSON: what the log, the files and the streams hold."""

from __future__ import annotations

import dataclasses
import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from portkey_router.messages import Cost
from portkey_router.secrets import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portkey_router.events import Event

__all__ = ["record_of"]


def record_of(event: Event, at: float | None = None) -> dict[str, Any]:
    """An event as a JSON object: `event` is its class's name, then its fields; what is None is left out.

    `at`, seconds since the epoch, becomes `time` (RFC 3339, UTC). Amounts are strings, since a float would round
    them. What JSON does not know becomes text, and what is shaped like a key is struck out of every text.
    """
    record: dict[str, Any] = {"event": type(event).__name__}
    if at is not None:
        record["time"] = datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")
    for name in (field.name for field in dataclasses.fields(event)):
        value = getattr(event, name)
        if value is not None:
            record[name] = _plain(value)
    return record


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, Cost):
        return value.as_dict()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {name: _plain(part) for name, part in parts.items() if part is not None}
    return _plain_container(value)


def _plain_container(value: Any) -> Any:
    if isinstance(value, dict) or hasattr(value, "items"):
        mapping: Mapping[Any, Any] = value
        return {str(name): _plain(part) for name, part in mapping.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(part) for part in value]
    return redact(str(value))

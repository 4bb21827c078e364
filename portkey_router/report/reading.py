"""Calls out of what a sink wrote: lines of JSON, as `portkey_router.sinks.record_of` makes them.

```
passed_over = PassedOver()
for call, at in calls_in(open("calls.jsonl", "rb"), passed_over):
    ...
print(passed_over)
```

Whatever a line holds, reading goes on: what is no call is counted, and said once.
"""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_args

from portkey_router.events import CallFinished, Event
from portkey_router.messages import Cost, Operation, Usage
from portkey_router.money import as_usd

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from decimal import Decimal

__all__ = ["PassedOver", "call_of", "calls_in"]

_OTHERS = frozenset(kind.__name__ for kind in get_args(Event) if kind is not CallFinished)
# A sink writes an event again only close to where it was: its batches are of 256, and some processes share a file.
REMEMBERED = 50_000
# Beyond these a figure is a slip of whoever wrote it, and would drown all others.
_MOST_USD, _MOST_TOKENS, _MOST_SECONDS = 10**9, 10**12, 10**9
_USAGE_COUNTS = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
)


@dataclass(slots=True)
class PassedOver:
    """Lines that are not counted as calls, by why.

    `foreign` are no events of ours, `unreadable` calls that another version wrote, `torn` is a last line without its
    end, `repeated` a call that was there already, `cut` a compressed file that ends in its middle. `other` events are
    no calls, and nothing is amiss with them. `undated` calls have no time, `outside` ones not one that was asked for.
    """

    other: int = 0
    foreign: int = 0
    unreadable: int = 0
    torn: int = 0
    repeated: int = 0
    cut: int = 0
    undated: int = 0
    outside: int = 0

    def __str__(self) -> str:
        """What there is to say of it, on one line; empty where nothing is amiss."""
        told = [(getattr(self, name), words) for name, words in _WORDS.items()]
        return ", ".join(f"{count:,} {words[count > 1]}" for count, words in told if count)


_WORDS = {
    "foreign": ("line that is no event", "lines that are no events"),
    "unreadable": ("call that another version wrote", "calls that another version wrote"),
    "torn": ("torn last line", "torn last lines"),
    "repeated": ("call that was there twice", "calls that were there twice"),
    "cut": ("compressed file that is cut short", "compressed files that are cut short"),
    "undated": ("call without a time", "calls without a time"),
}


def calls_in(
    lines: Iterable[bytes], passed_over: PassedOver | None = None
) -> Iterator[tuple[CallFinished, datetime | None]]:
    """Each call once, with the time it was told (None where the line has none); lines are taken as they are needed.

    Only the ids of the last 50,000 calls are kept, to know those that are there twice. A line that does not end in a
    line feed is the last of its file.
    """
    counts = PassedOver() if passed_over is None else passed_over
    seen: OrderedDict[str, None] = OrderedDict()
    for line in lines:
        if not line.strip():
            continue
        record = _parsed(line)
        told = record.get("event") if isinstance(record, dict) else None
        if told != "CallFinished":
            known = isinstance(told, str) and told in _OTHERS
            torn = record is None and not line.endswith(b"\n")
            _count(counts, "other" if known else "torn" if torn else "foreign")
            continue
        call = call_of(record)
        if call is None:
            counts.unreadable += 1
        elif call.call_id in seen:
            counts.repeated += 1
        else:
            seen[call.call_id] = None
            if len(seen) > REMEMBERED:
                seen.popitem(last=False)
            yield call, _time(record.get("time"))


def _count(counts: PassedOver, name: str) -> None:
    setattr(counts, name, getattr(counts, name) + 1)


def _parsed(line: bytes) -> Any:
    """What the line holds; None where that is no JSON."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _time(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


class _NoneOfOurs(Exception):  # noqa: N818  (caught below, never seen)
    """A field holds what this version does not write."""


def call_of(record: Mapping[str, Any]) -> CallFinished | None:
    """The call that `record_of` wrote; None where its fields are not what this version writes.

    What an older version had not is as if it were None, what a newer one has beside is passed over.
    """
    try:
        return _call(record)
    except _NoneOfOurs:
        return None


def _call(record: Mapping[str, Any]) -> CallFinished:
    texts = ("requested_model", "model", "provider", "target", "cache", "cache_status", "error")
    if record.get("call_id") is None or record.get("outcome") is None or record.get("seconds") is None:
        raise _NoneOfOurs
    tags = record.get("tags") or {}
    if not isinstance(tags, dict):
        raise _NoneOfOurs
    operation = _text(record, "operation") or "chat"
    if operation not in get_args(Operation):
        raise _NoneOfOurs
    return CallFinished(
        call_id=_text(record, "call_id") or "",
        trace_id=_text(record, "trace_id") or "",
        outcome=_text(record, "outcome") or "",
        usage=_usage(record.get("usage")),
        cost=_cost(record.get("cost")),
        streamed=record.get("streamed") is True,
        seconds=_seconds(record, "seconds") or 0.0,
        first_token=_seconds(record, "first_token"),
        attempts=_whole(record, "attempts") or 0,
        retries=_whole(record, "retries") or 0,
        saved_usd=None if record.get("saved_usd") is None else _amount(record["saved_usd"]),
        estimated=record.get("estimated") is True,
        operation=operation,  # type: ignore[arg-type]  # checked above
        tags=tags,
        **{name: _text(record, name) for name in texts},
    )


def _text(record: Mapping[str, Any], name: str) -> str | None:
    value = record.get(name)
    if value is not None and not isinstance(value, str):
        raise _NoneOfOurs
    return value


def _seconds(record: Mapping[str, Any], name: str) -> float | None:
    value = record.get(name)
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not 0 <= value <= _MOST_SECONDS:
        raise _NoneOfOurs
    return float(value)


def _whole(record: Mapping[str, Any], name: str) -> int | None:
    value = record.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST_TOKENS:
        raise _NoneOfOurs
    return value


def _amount(value: Any) -> Decimal:
    """US dollars. A float is none that we wrote: it may have been rounded."""
    amount = as_usd(value) if isinstance(value, str) else None
    if amount is None or amount > _MOST_USD:
        raise _NoneOfOurs
    return amount


def _usage(value: Any) -> Usage | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _NoneOfOurs
    reported = value.get("reported_cost")
    counts = {name: count for name in _USAGE_COUNTS if (count := _whole(value, name)) is not None}
    return Usage(
        reported_cost=None if reported is None else _amount(reported),
        service_tier=_text(value, "service_tier"),
        impossible=_text(value, "impossible"),
        **counts,
    )


def _cost(value: Any) -> Cost | None:
    if value is None:
        return None
    if not isinstance(value, dict) or value.get("currency", "USD") != "USD":
        raise _NoneOfOurs
    rates, source = value.get("rates") or {}, _text(value, "source")
    if not isinstance(rates, dict) or source is None:
        raise _NoneOfOurs
    return Cost(
        amount=_amount(value.get("amount")),
        source=source,  # type: ignore[arg-type]  # a name, of whatever version
        provider=_text(value, "provider"),
        model=_text(value, "model") or "",
        guessed=value.get("guessed") is True,
        rates={name: _amount(rate) for name, rate in rates.items()},
        service_tier=_text(value, "service_tier"),
    )

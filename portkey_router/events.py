"""What happens to calls, as frozen records, and who hears of it.

Sinks (`portkey_router.sinks`) take them where they are wanted: logs, OpenTelemetry, Prometheus. `capture_events()` is
for tests:

```
with capture_events() as events:
    router.complete(messages)
assert [event.target for event in events if isinstance(event, AttemptFinished)] == ["gpt-4o"]
```

No event holds a key, nor a word of a prompt or of an answer.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from decimal import Decimal

    from portkey_router.messages import Cost, Usage

__all__ = [
    "AttemptFinished",
    "BudgetAlert",
    "BudgetExceeded",
    "CacheLookup",
    "CallFinished",
    "Event",
    "EventHub",
    "RouteDecided",
    "Sink",
    "TargetCooledDown",
    "capture_events",
]

_logger = logging.getLogger("portkey_router.events")


@dataclass(frozen=True, slots=True)
class RouteDecided:
    """A call was planned: `targets` are the labels of its attempts in order, `reasons` why each stands there.

    `call_id` joins the events of one call, `trace_id` is Portkey's; `tags` are the call's (user, team, session ...).
    """

    call_id: str
    trace_id: str
    requested_model: str | None
    strategy: str
    run_on: Literal["client", "gateway"]
    targets: tuple[str, ...]
    reasons: tuple[str, ...]
    tags: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AttemptFinished:
    """One attempt ended. `outcome` is `ok`, or the name of the error's class; `number` counts from 1.

    `seconds` is its duration, `first_token` how long until something of the answer could be seen (streams only).
    """

    call_id: str
    trace_id: str
    number: int
    target: str
    model: str | None
    outcome: str
    seconds: float
    status: int | None = None
    error: str | None = None
    first_token: float | None = None
    tags: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallFinished:
    """A call ended, well or not. Its usage and cost are those of the target that answered.

    `outcome` is `ok`, `left` (the caller left a stream early, or was cancelled), or the name of the error's class.
    `cost` is None where no price is known; `estimated` marks usage that the provider did not state. `cache` names the
    layer that answered (`exact`, `normalised`, `semantic`), or is None: a hit costs nothing and used nothing.
    `attempts` counts all attempts, `retries` those beyond the first on their target, `seconds` is the whole call's.
    """

    call_id: str
    trace_id: str
    outcome: str
    requested_model: str | None
    model: str | None
    provider: str | None
    target: str | None
    usage: Usage | None
    cost: Cost | None
    streamed: bool
    seconds: float
    first_token: float | None = None
    attempts: int = 0
    retries: int = 0
    cache: str | None = None
    cache_status: str | None = None
    estimated: bool = False
    error: str | None = None
    operation: Literal["chat", "embeddings"] = "chat"
    tags: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BudgetAlert:
    """A budget has been used up to one of its `alerts`, for the first time in this window. `share` is that alert's.

    `key` is the value the budget is counted by (`by="user"` -> the user); empty where it has one counter.
    """

    budget: str
    key: str
    share: float
    spent_usd: Decimal
    limit_usd: Decimal
    window: str
    tags: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BudgetExceeded:
    """A call was refused: what it may cost at most (`needed_usd`) is more than what is left of a hard budget."""

    budget: str
    key: str
    spent_usd: Decimal
    limit_usd: Decimal
    needed_usd: Decimal
    window: str
    tags: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TargetCooledDown:
    """A target is left alone for so many `seconds`; `reason` says after what."""

    target: str
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class CacheLookup:
    """A cache was asked. `layer` is the one that answered, None on a miss; `reason` says why not, or what failed.

    `similarity` is the cosine of the nearest entry, where one was looked for; `age` is the entry's, in seconds.
    """

    call_id: str
    layer: str | None
    seconds: float
    similarity: float | None = None
    age: float | None = None
    reason: str | None = None
    tags: Mapping[str, Any] = field(default_factory=dict)


Event = RouteDecided | AttemptFinished | CallFinished | BudgetAlert | BudgetExceeded | TargetCooledDown | CacheLookup


class Sink(Protocol):
    """Takes events. `handle` is called in the caller's thread or loop: it must neither block nor call back into us."""

    def handle(self, event: Event) -> None:
        """Take one event."""


_captures: list[list[Event]] = []


class EventHub:
    """Hands each event to every sink. A sink that fails is reported once in the log, and never fails a call."""

    __slots__ = ("_failed", "_sinks")

    def __init__(self, sinks: Sequence[Sink] = ()) -> None:
        self._sinks = tuple(sinks)
        self._failed: set[int] = set()

    @property
    def listening(self) -> bool:
        """Whether anybody would hear an event; where nobody does, none needs to be made."""
        return bool(self._sinks or _captures)

    def emit(self, event: Event) -> None:
        """Tell everybody."""
        for events in _captures:
            events.append(event)
        for number, sink in enumerate(self._sinks):
            try:
                sink.handle(event)
            except Exception:
                if number not in self._failed:
                    self._failed.add(number)
                    _logger.exception("The sink %s failed; it is not reported again.", type(sink).__name__)


@contextlib.contextmanager
def capture_events() -> Iterator[list[Event]]:
    """Every event of this process while the block runs, in order; for tests."""
    events: list[Event] = []
    _captures.append(events)
    try:
        yield events
    finally:
        # By identity: two captures with equal events are two captures.
        _captures[:] = [each for each in _captures if each is not events]

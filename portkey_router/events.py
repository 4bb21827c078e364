"""What happens to calls, as frozen records, and who hears of it.

Sinks (`portkey_router.sinks`) take them where they are wanted: logs, OpenTelemetry, Prometheus. `capture_events()` is
for tests:

```
with capture_events() as events:
    router.complete(messages)
assert [event.target for event in events if isinstance(event, AttemptFinished)] == ["gpt-4o"]
```

Nearer than a sink are those who hear some calls only: a call's own `on_event=`, and `listening(...)`, which hears the
calls made in a block. Both are settled when a call is made, wherever its stream is read to the end.

No event holds a key, nor a word of a prompt or of an answer.
"""

from __future__ import annotations

import contextlib
import logging
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol
from uuid import UUID

from portkey_router.secrets import is_secret_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
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
    "listening",
    "plain_tags",
]

_logger = logging.getLogger("portkey_router.events")
_GATEWAY_HITS = frozenset({"HIT", "SEMANTIC HIT"})


@dataclass(frozen=True, slots=True)
class RouteDecided:
    """A call was planned: `targets` are the labels of its attempts in order, `reasons` why each stands there.

    `excluded` are the labels of those that a `CostAware` rules out for this call, each with the reason.
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
    excluded: tuple[tuple[str, str], ...] = ()


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
    layer that answered (`exact`, `normalised`, `semantic`, or `shared` where an equal call in flight did), or is None:
    a hit costs nothing and used nothing; `saved_usd` is what its answer had cost when it was made, where that is known.
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
    saved_usd: Decimal | None = None
    estimated: bool = False
    error: str | None = None
    operation: Literal["chat", "embeddings"] = "chat"
    tags: Mapping[str, Any] = field(default_factory=dict)

    @property
    def hit(self) -> bool:
        """Whether a cache answered: ours, LangChain's or the gateway's."""
        return self.cache is not None or self.cache_status in _GATEWAY_HITS

    @property
    def failed(self) -> bool:
        """Whether the call ended with an error; a caller who left is none."""
        return self.outcome not in {"ok", "left"}


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
    """An attempt was refused: what it needs (`needed_usd`) is more than what is left of a budget.

    It needs what it may cost at most; of a soft budget, what it will probably cost. Another target may still answer
    the call.
    """

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


def plain_tags(given: Mapping[str, Any]) -> dict[str, Any]:
    """Of what a framework calls metadata or tags, what can be a call's tags: plain values, not named like a secret.

    Everything else stays out of the events: it may be large, or a key, or of a user's own classes.
    """
    return {
        name: str(value) if isinstance(value, UUID) else value
        for name, value in given.items()
        if isinstance(value, str | bool | int | float | UUID) and not is_secret_name(name)
    }


class Sink(Protocol):
    """Takes events. `handle` is called in the caller's thread or loop: it must neither block nor call back into us.

    A sink may also have a `for_call()`, which gives the `Sink` that takes the events of one call: it is asked where
    and when the call is made, though a stream may be read to its end elsewhere.
    """

    def handle(self, event: Event) -> None:
        """Take one event."""


_captures: list[list[Event]] = []
_listeners: ContextVar[tuple[Callable[[Event], object], ...]] = ContextVar("portkey_router_listeners", default=())


class EventHub:
    """Hands each event to every sink. A sink that fails is reported once in the log, and never fails a call."""

    __slots__ = ("_failed", "_given", "_listeners", "_sinks")

    def __init__(self, sinks: Sequence[Sink] = ()) -> None:
        self._sinks = self._given = tuple(sinks)
        self._listeners: tuple[Callable[[Event], object], ...] = ()
        self._failed: set[str] = set()

    def for_call(self, on_event: Callable[[Event], object] | None = None) -> EventHub:
        """The hub of a call that is made here and now: it tells `on_event` too, and who is `listening` here.

        A sink that has a `for_call()` is asked for the sink of this call, so that it may look where the call is made.
        """
        listeners = _listeners.get()
        if on_event is not None:
            listeners = (*listeners, on_event)
        if not (listeners or self._sinks):
            return self
        hub = EventHub([self._of_call(sink) for sink in self._sinks])
        hub._given, hub._listeners, hub._failed = self._given, listeners, self._failed
        return hub

    def with_sinks_of(self, other: EventHub) -> EventHub:
        """A hub that tells the sinks of both, each once."""
        more = tuple(sink for sink in other._sinks if not any(sink is each for each in (*self._given, *self._sinks)))
        if not more:
            return self
        hub = EventHub((*self._sinks, *more))
        hub._listeners, hub._failed = self._listeners, self._failed
        return hub

    def _of_call(self, sink: Sink) -> Sink:
        for_call = getattr(sink, "for_call", None)
        try:
            return sink if for_call is None else for_call()
        except Exception as error:  # noqa: BLE001  (as in `emit`)
            self._report(sink, error)
            return sink

    @property
    def listening(self) -> bool:
        """Whether anybody would hear an event; where nobody does, none needs to be made."""
        return bool(self._sinks or self._listeners or _captures)

    def emit(self, event: Event) -> None:
        """Tell everybody."""
        for events in _captures:
            events.append(event)
        for sink in self._sinks:
            try:
                sink.handle(event)
            except Exception as error:  # noqa: BLE001  (whatever it is, it is logged, and the call's no concern)
                self._report(sink, error)
        for listener in self._listeners:
            try:
                listener(event)
            except Exception as error:  # noqa: BLE001  (as above)
                self._report(listener, error)

    def _report(self, failed: Sink | Callable[[Event], object], error: Exception) -> None:
        name = getattr(failed, "__qualname__", None) or type(failed).__name__
        if name not in self._failed:
            self._failed.add(name)
            _logger.error("%s failed to take an event; it is not reported again.", name, exc_info=error)


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


@contextlib.contextmanager
def listening(listener: Callable[[Event], object]) -> Iterator[None]:
    """Tell `listener` of the calls that are made in this block, in this context alone.

    A context is what `contextvars` means by it: tasks started in the block hear of theirs too, and so do threads of
    `asyncio.to_thread` and of LangChain's `batch`; a bare `threading.Thread` does not (before Python 3.14), unless it
    runs in `contextvars.copy_context()`. `listener` is called in the thread or loop of the call, as each event comes.
    """
    token = _listeners.set((*_listeners.get(), listener))
    try:
        yield
    finally:
        # A generator that was closed from another context is left there, where there is nothing to take back.
        with contextlib.suppress(ValueError):
            _listeners.reset(token)

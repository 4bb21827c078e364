"""What a ledger asks its store to do, and what the store answers. A store does each command at once, or not at all.

Money is in nano-dollars, time in microseconds; `key` is a counter's, a hash that says nothing of names or values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = [
    "Admitted",
    "Bucket",
    "BucketState",
    "Command",
    "Counter",
    "CounterState",
    "Fed",
    "Feed",
    "LateMode",
    "LedgerStore",
    "Misdated",
    "Peek",
    "Peeked",
    "Refused",
    "Reply",
    "Reserve",
    "Return",
    "Settle",
    "Settled",
    "Settlement",
    "Tightened",
]

Kind = Literal["calendar", "fixed", "sliding", "total"]
LateMode = Literal["spend", "release"]

LATE = 3_600_000_000
"""How long after its lease an attempt may still be settled; then nothing is known of it any more."""

SWEPT = 64
"""How many leases that have run out one command settles; the rest are the next one's."""


@dataclass(frozen=True, slots=True)
class Counter:
    """One counter of a budget: `amount` is to be held of its `limit`.

    `start` is a calendar window's, else 0; `length` the window's, 0 for `total`.
    """

    key: str
    kind: Kind
    start: int
    length: int
    limit: int
    amount: int = 0


@dataclass(frozen=True, slots=True)
class Bucket:
    """One limit's bucket, filled evenly in `length`.

    `request` and `token` are the time that one of them takes to be filled in again, 0 where they are not counted.
    `patience`: how long the caller may wait at most.
    """

    key: str
    length: float
    request: float
    token: float
    requests: int = 0
    tokens: int = 0
    patience: float = 0.0


@dataclass(frozen=True, slots=True)
class Reserve:
    """Hold every amount and take every place, or none. `forced`: whatever is left, since it is spent already.

    What is held under `id` runs out after `lease`, and counts as spent then, or is given back (`late`).
    """

    id: str
    lease: int
    late: LateMode
    counters: tuple[Counter, ...]
    buckets: tuple[Bucket, ...] = ()
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Settlement:
    """The attempt cost `cost` of this counter. `alerts`: the amounts whose reaching is told, ascending."""

    key: str
    kind: Kind
    length: int
    cost: int
    alerts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Return:
    """Give time back to a bucket (negative: take more), for requests and for tokens.

    The marks are those of the reservation; no more is given back than of its own place is still to come.
    """

    key: str
    length: float
    request: float
    token: float
    request_mark: tuple[float, float]
    token_mark: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Settle:
    """What was held under `id` becomes what it cost."""

    id: str
    counters: tuple[Settlement, ...]
    buckets: tuple[Return, ...] = ()


@dataclass(frozen=True, slots=True)
class Peek:
    """Where these counters and buckets stand."""

    counters: tuple[Counter, ...]
    buckets: tuple[Bucket, ...] = ()


@dataclass(frozen=True, slots=True)
class Tightened:
    """A bucket is at least so full, in time until it is empty; a negative level says nothing."""

    key: str
    length: float
    requests: float
    tokens: float


@dataclass(frozen=True, slots=True)
class Feed:
    """What the provider says is left of its limits."""

    buckets: tuple[Tightened, ...]


Command = Reserve | Settle | Peek | Feed


@dataclass(frozen=True, slots=True)
class Admitted:
    """All is held. `wait` before sending; `starts` of the windows, and the marks of each bucket (requests, tokens)."""

    now: int
    wait: float
    starts: tuple[int, ...]
    used: tuple[int, ...]
    marks: tuple[tuple[tuple[float, float], tuple[float, float]], ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing is held: the counter, or the bucket, at this position has too little left.

    `wait` is how long a bucket would let it wait; infinite where it never could hold so much.
    """

    now: int
    counter: int | None = None
    bucket: int | None = None
    spent: int = 0
    held: int = 0
    start: int = 0
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class Misdated:
    """Nothing was done: it is `now`, and a calendar window of the command has not begun, or is over."""

    now: int


@dataclass(frozen=True, slots=True)
class Settled:
    """Alerts reached for the first time, as (position of the counter, amount, spent)."""

    now: int
    alerts: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class CounterState:
    """What a counter's window holds; `start` is 0 where it has not begun."""

    start: int
    spent: int
    held: int


@dataclass(frozen=True, slots=True)
class BucketState:
    """How full a bucket is, in the time until it is empty."""

    requests: float
    tokens: float


@dataclass(frozen=True, slots=True)
class Peeked:
    """The states, in the order they were asked for."""

    now: int
    counters: tuple[CounterState, ...]
    buckets: tuple[BucketState, ...]


@dataclass(frozen=True, slots=True)
class Fed:
    """The headers were heeded."""

    now: int


Reply = Admitted | Refused | Misdated | Settled | Peeked | Fed


class LedgerStore(Protocol):
    """Performs commands, each at once, in a thread or in a loop.

    Raises:
        StoreError: the store cannot be reached. Whether the command was done is not known.
    """

    def run(self, command: Command) -> Reply:
        """Do it in this thread."""

    async def arun(self, command: Command) -> Reply:
        """Do it in the running loop."""

"""What a journey asks its driver to do. The driver performs a step and sends its outcome back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from portkey_router.bound import Bound
    from portkey_router.budget import Ledger, Reservation
    from portkey_router.events import Event, EventHub
    from portkey_router.messages import Chunk, Completion, Embeddings
    from portkey_router.wire.http import Expiry, HttpCall

__all__ = [
    "Abort",
    "CallerLeft",
    "Emit",
    "Feed",
    "Open",
    "OpenedStream",
    "Read",
    "ReadAll",
    "Release",
    "Reserve",
    "Send",
    "Settle",
    "Show",
    "Step",
    "Wait",
]


class OpenedStream(Protocol):
    """What `Open` brings back: the journey reads its status and headers, and hands it to its driver to read on.

    The steps hold it as `Any`: how a stream is read (in a thread, in a loop) is the driver's business alone.
    """

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The reply's headers, names in lower case."""


class CallerLeft(BaseException):
    """Thrown into a journey whose caller closed it, in the place of `GeneratorExit`.

    Python turns a `GeneratorExit` thrown into a generator into a `close()` of the generators it delegates to, and
    those could not yield their last steps any more.
    """


@dataclass(frozen=True, slots=True)
class Send:
    """Make the call; the outcome is the whole `HttpReply`."""

    call: HttpCall


@dataclass(frozen=True, slots=True)
class Open:
    """Make the call; the outcome is an `OpenedStream`, once the reply's headers are there."""

    call: HttpCall


@dataclass(frozen=True, slots=True)
class Read:
    """The outcome is the next bytes of the stream, `b""` at its clean end."""

    stream: Any
    expiry: Expiry


@dataclass(frozen=True, slots=True)
class ReadAll:
    """The outcome is the rest of the body."""

    stream: Any
    expiry: Expiry


@dataclass(frozen=True, slots=True)
class Abort:
    """Let go of the stream: its socket is closed at once, unless it was read to its end. No outcome."""

    stream: Any


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for so many seconds. No outcome."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Show:
    """Hand this to the caller: a chunk, or at the very end the whole answer. No outcome."""

    item: Chunk | Completion | Embeddings


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell the hub's sinks. No outcome."""

    hub: EventHub
    event: Event


@dataclass(frozen=True, slots=True)
class Reserve:
    """Set aside what an attempt may cost; the outcome is the `Reservation`. See `budget.Ledger.reserve`."""

    ledger: Ledger
    bound: Bound
    tags: Mapping[str, Any]
    patience: float
    lease: float | None
    hub: EventHub | None


@dataclass(frozen=True, slots=True)
class Settle:
    """The attempt cost so much (USD; None: not known) and used so many tokens. No outcome."""

    ledger: Ledger
    reservation: Reservation
    cost: Decimal | None
    tokens: int | None


@dataclass(frozen=True, slots=True)
class Release:
    """The attempt was not billed; not `sent`, it was no request either. No outcome."""

    ledger: Ledger
    reservation: Reservation
    sent: bool


@dataclass(frozen=True, slots=True)
class Feed:
    """Heed what the provider's headers say is left of its own limits. No outcome."""

    ledger: Ledger
    headers: Mapping[str, str]
    tags: Mapping[str, Any]


Step = Send | Open | Read | ReadAll | Abort | Wait | Show | Emit | Reserve | Settle | Release | Feed

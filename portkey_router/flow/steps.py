"""What a journey asks its driver to do. The driver performs a step and sends its outcome back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portkey_router.events import Event, EventHub
    from portkey_router.messages import Chunk, Completion, Embeddings
    from portkey_router.wire.http import Expiry, HttpCall

__all__ = [
    "Abort",
    "CallerLeft",
    "Emit",
    "Open",
    "OpenedStream",
    "Performed",
    "Read",
    "ReadAll",
    "Send",
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


class Performed:
    """A step that knows by itself how it is done: those of `flow.cache_steps` and `flow.money_steps`."""

    __slots__ = ()

    def perform(self) -> Any:
        """Do it in this thread; gives the outcome."""
        raise NotImplementedError

    async def aperform(self) -> Any:
        """Do it in the running loop."""
        raise NotImplementedError


Step = Send | Open | Read | ReadAll | Abort | Wait | Show | Emit | Performed

"""The two drivers: they perform a journey's steps, in the caller's thread or in the caller's loop.

Both are generators of what the journey shows. Closing one (a `break`, a cancelled task) throws into the journey,
whose last steps let go of the stream, and those are still performed.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Protocol

from portkey_router.flow.steps import (
    Abort,
    CallerLeft,
    Emit,
    Feed,
    Open,
    OpenedStream,
    Read,
    ReadAll,
    Release,
    Reserve,
    Send,
    Settle,
    Show,
    Wait,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from portkey_router.flow.steps import Step
    from portkey_router.messages import Chunk, Completion, Embeddings
    from portkey_router.wire.http import Expiry, HttpCall, HttpReply

__all__ = ["AsyncPort", "AsyncStream", "SyncPort", "SyncStream", "adrive", "drive"]


class SyncStream(OpenedStream, Protocol):
    """A stream opened by a `SyncPort`."""

    def read(self, expiry: Expiry) -> bytes:
        """The next bytes; `b""` at the clean end."""

    def read_all(self, expiry: Expiry) -> bytes:
        """The rest."""

    def abort(self) -> None:
        """Let go of it."""


class AsyncStream(OpenedStream, Protocol):
    """A stream opened by an `AsyncPort`."""

    async def read(self, expiry: Expiry) -> bytes:
        """The next bytes; `b""` at the clean end."""

    async def read_all(self, expiry: Expiry) -> bytes:
        """The rest."""

    def abort(self) -> None:
        """Let go of it."""


class SyncPort(Protocol):
    """HTTP for the sync driver."""

    def send(self, call: HttpCall) -> HttpReply:
        """The whole reply."""

    def open(self, call: HttpCall) -> SyncStream:
        """The reply, once its headers are there."""


class AsyncPort(Protocol):
    """HTTP for the async driver."""

    async def send(self, call: HttpCall) -> HttpReply:
        """The whole reply."""

    async def open(self, call: HttpCall) -> AsyncStream:
        """The reply, once its headers are there."""


def drive(
    journey: Generator[Step, Any, None], port: SyncPort
) -> Generator[Chunk | Completion | Embeddings, None, None]:
    """Perform the steps in this thread; gives what the journey shows, the whole answer last."""
    resume, outcome = journey.send, None
    while True:
        try:
            step = resume(outcome)
        except (StopIteration, CallerLeft):
            return
        try:
            outcome = (yield step.item) if isinstance(step, Show) else _perform(step, port)
            resume = journey.send
        except GeneratorExit:
            resume, outcome = journey.throw, CallerLeft()
        except BaseException as error:  # noqa: BLE001  (handed to the journey, which raises it once all is put away)
            resume, outcome = journey.throw, error


def _perform(step: Step, port: SyncPort) -> Any:  # noqa: PLR0911  (one for each step)
    match step:
        case Read(stream, expiry):
            return stream.read(expiry)
        case Send(call):
            return port.send(call)
        case Open(call):
            return port.open(call)
        case ReadAll(stream, expiry):
            return stream.read_all(expiry)
        case Abort(stream):
            return stream.abort()
        case Wait(seconds):
            return time.sleep(seconds)
        case Emit(hub, event):
            return hub.emit(event)
        case Reserve(ledger, bound, tags, patience, lease, hub):
            return ledger.reserve(bound, tags, patience=patience, lease=lease, hub=hub)
        case Settle(ledger, reservation, cost, tokens):
            return ledger.settle(reservation, cost, tokens)
        case Release(ledger, reservation, sent):
            return ledger.release(reservation, sent=sent)
        case Feed(ledger, headers, tags):
            return ledger.feed(headers, tags)


async def adrive(
    journey: Generator[Step, Any, None], port: AsyncPort
) -> AsyncGenerator[Chunk | Completion | Embeddings, None]:
    """Perform the steps in the running loop; gives what the journey shows, the whole answer last."""
    resume, outcome = journey.send, None
    while True:
        try:
            step = resume(outcome)
        except (StopIteration, CallerLeft):
            return
        try:
            outcome = (yield step.item) if isinstance(step, Show) else await _aperform(step, port)
            resume = journey.send
        except GeneratorExit:
            resume, outcome = journey.throw, CallerLeft()
        except BaseException as error:  # noqa: BLE001  (as in `drive`; a cancelled task included)
            resume, outcome = journey.throw, error


async def _aperform(step: Step, port: AsyncPort) -> Any:  # noqa: PLR0911  (one for each step)
    match step:
        case Read(stream, expiry):
            return await stream.read(expiry)
        case Send(call):
            return await port.send(call)
        case Open(call):
            return await port.open(call)
        case ReadAll(stream, expiry):
            return await stream.read_all(expiry)
        case Abort(stream):
            return stream.abort()
        case Wait(seconds):
            return await asyncio.sleep(seconds)
        case Emit(hub, event):
            return hub.emit(event)
        case Reserve(ledger, bound, tags, patience, lease, hub):
            return await ledger.areserve(bound, tags, patience=patience, lease=lease, hub=hub)
        case Settle(ledger, reservation, cost, tokens):
            return await ledger.asettle(reservation, cost, tokens)
        case Release(ledger, reservation, sent):
            return await ledger.arelease(reservation, sent=sent)
        case Feed(ledger, headers, tags):
            return await ledger.afeed(headers, tags)

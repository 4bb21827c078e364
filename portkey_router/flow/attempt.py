"""One attempt on the wire: a call and its reply, or a stream and its events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portkey_router.errors import (
    ConnectFailedError,
    ContentFilterError,
    DeadlineExceededError,
)
from portkey_router.flow.answers import decode
from portkey_router.flow.deadlines import DONE_WAIT, USAGE_WAIT
from portkey_router.flow.steps import Abort, Open, Read, ReadAll, Send, Show
from portkey_router.messages import Chunk
from portkey_router.wire.http import Expiry, HttpReply
from portkey_router.wire.replies import check_status, chunks_of, decode_reply
from portkey_router.wire.stream import StreamDecoder

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    from portkey_router.flow.accounting import Trip
    from portkey_router.flow.call import Call
    from portkey_router.flow.steps import OpenedStream, Step

__all__ = ["attempt"]

_FILTERED = "content_filter"


def attempt(call: Call, trip: Trip) -> Generator[Step, Any, dict[str, Any] | None]:
    """Send one request until its answer is whole; show its chunks where the caller streams.

    Gives the reply's body, or None where the answer came as a stream (the trip has it). Raises `PortkeyError` for
    anything but a whole answer.
    """
    if call.streams:
        return (yield from _streamed(call, trip))
    reply: HttpReply = yield Send(trip.call)
    trip.status, trip.headers = reply.status, reply.headers
    body = decode(reply, call.request, trip)
    _check_filter(call, [choice.get("finish_reason") for choice in body.get("choices", ()) if isinstance(choice, dict)])
    return body


def _check_filter(call: Call, reasons: Sequence[str | None]) -> None:
    """An answer that a content filter ended is a refusal to those who fall back on one; to others it is the answer."""
    if _FILTERED in reasons and call.around.policy.on_content_filter == "fallback" and call.others:
        msg = "The provider's content filter ended the answer (finish_reason content_filter)."
        raise ContentFilterError(msg, status=200, code=_FILTERED)


def _streamed(call: Call, trip: Trip) -> Generator[Step, Any, dict[str, Any] | None]:
    """Show a stream's chunks; gives the body where the reply was no stream after all (a cache hit, a plain server)."""
    stream: OpenedStream = yield Open(trip.call)
    driven = True
    try:
        trip.status, trip.headers = stream.status, stream.headers
        kind = stream.headers.get("content-type", "")
        plain = "json" in kind or "html" in kind
        if plain or stream.status >= 300:  # noqa: PLR2004
            data = yield ReadAll(stream, trip.call.expiry)
            check_status(stream.status, stream.headers, data, secrets=trip.secrets)
            body = decode_reply(HttpReply(stream.status, stream.headers, data), secrets=trip.secrets)
            chunks = chunks_of(body, stream.headers.get("x-portkey-provider"))
            _check_filter(call, [chunk.finish_reason for chunk in chunks])
            if call.request.stream:
                yield from _show(call, trip, chunks)
            return body
        yield from _events(call, trip, stream)
    except GeneratorExit:
        driven = False  # nobody drives any more, so nothing can be asked: the stream closes as it is collected
        raise
    finally:
        if driven:
            yield Abort(stream)
    return None


def _show(call: Call, trip: Trip, chunks: Iterable[Chunk]) -> Generator[Step, Any, None]:
    """Show the first chunks of an answer, after the news that an earlier one is void."""
    if call.void:
        call.void = False
        yield Show(Chunk(reset=True))
    trip.shown = True
    call.shown = trip
    for chunk in chunks:
        yield Show(chunk)


def _events(call: Call, trip: Trip, stream: OpenedStream) -> Generator[Step, Any, None]:
    watch = _Watch(call, trip)
    decoder = StreamDecoder(stream.headers, trip.secrets, choices=watch.body.get("n"), lenient=trip.attempt.lenient)
    streams, assembler = call.request.stream, trip.assembler
    held: list[Chunk] = []  # what came before anything visible: shown with it, so that failing over stays silent
    while not decoder.done:
        try:
            piece = yield Read(stream, watch.expiry)
        except (DeadlineExceededError, ConnectFailedError):
            if decoder.finished:
                break  # the answer is whole; only its usage, or the end of the stream, never came
            raise
        for chunk in decoder.feed(piece):
            assembler.add(chunk)
            if trip.shown:
                yield Show(chunk)
            elif streams:
                held.append(chunk)
                if assembler.told:
                    watch.saw()
                    yield from _show(call, trip, held)
        if not piece:
            break
        watch.look(decoder)
    decoder.check_whole()
    if trip.shown:
        return
    _check_filter(call, assembler.finish_reasons)
    if streams:  # an answer that is empty, but whole
        yield from _show(call, trip, held)


class _Watch:
    """The deadline of a stream's next piece: for the first token, for silence, for what follows a whole answer."""

    __slots__ = ("_call", "_ending", "_silence", "_told", "_trip", "body", "expiry")

    def __init__(self, call: Call, trip: Trip) -> None:
        self._call = call
        self._trip = trip
        self._told = 0
        self._silence = 0.0
        self._ending: Expiry | None = None
        self.expiry: Expiry = trip.call.expiry
        override = trip.attempt.override_params
        self.body: Mapping[str, Any] = {**call.request.body, **override} if override else call.request.body

    def saw(self) -> float:
        """Something of the answer can be seen, now."""
        now = self._call.around.clock()
        if self._trip.first_seen is None:
            self._trip.first_seen = now
        return now

    def look(self, decoder: StreamDecoder) -> None:
        """After each piece."""
        if decoder.finished:
            self._ending = self._end(decoder)
            self._until(self._ending)
        elif self._trip.assembler.told != self._told:  # comments, pings and empty events are no progress
            self._told = self._trip.assembler.told
            self._ending = None
            seconds = self._silence = self._silence or self._call.silence(self._trip)
            self._until(Expiry(self.saw() + seconds, "silence", seconds))

    def _until(self, expiry: Expiry) -> None:
        total = self._call.total
        self.expiry = expiry if expiry.at <= total.at else total

    def _end(self, decoder: StreamDecoder) -> Expiry:
        """How long the rest of a stream is waited for whose answer is whole; never longer than was said before."""
        wanted = (self.body.get("stream_options") or {"include_usage": True}).get("include_usage")
        seconds = USAGE_WAIT if wanted and not decoder.usage_seen else DONE_WAIT
        expiry = Expiry(self._call.around.clock() + seconds, "silence", seconds)
        return expiry if self._ending is None else min(self._ending, expiry)

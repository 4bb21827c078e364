"""The journey of one request: attempt, try again, fall back, answer. Written once, for every verb, without I/O.

`journey` is a generator: it yields `Step`s and is sent their outcomes, or thrown their errors. Whatever happens, an
opened stream is let go of, also when the caller leaves early (`CallerLeft`) or its task is cancelled: that is why
`BaseException`s are thrown in too.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from portkey_router.errors import (
    ConfigurationError,
    ConnectFailedError,
    DeadlineExceededError,
    PortkeyError,
    StreamInterruptedError,
)
from portkey_router.flow.accounting import Trip, all_failed, interrupted, priced, record, route_of
from portkey_router.flow.answers import answer_of, decode
from portkey_router.flow.steps import Abort, Open, Read, ReadAll, Send, Show, Wait
from portkey_router.flow.verdict import Verdict, backoff, judge
from portkey_router.wire.body import encode_body
from portkey_router.wire.http import Expiry, HttpCall, HttpReply
from portkey_router.wire.replies import check_status, chunks_of, decode_reply
from portkey_router.wire.stream import StreamDecoder

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from portkey_router.flow.steps import OpenedStream, Step
    from portkey_router.messages import AttemptRecord, Chunk, Request
    from portkey_router.planner import Attempt, Plan
    from portkey_router.pricing import PriceBook

__all__ = ["Deadlines", "Surroundings", "journey"]

USAGE_WAIT = 5.0
"""Seconds: after the last finish reason the answer is whole, and its usage is waited for no longer than this."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long things may take, in seconds; never infinite.

    `connect`: getting a connection. `first_token`: of a stream, from sending until something of the answer can be
    seen. `silence`: between the events of a stream after that. `attempt`: an unstreamed attempt as a whole. `total`:
    the call, with all its attempts and waits.
    """

    connect: float = 5.0
    first_token: float = 60.0
    silence: float = 60.0
    attempt: float = 120.0
    total: float = 600.0

    def __post_init__(self) -> None:
        for deadline in fields(self):
            seconds = getattr(self, deadline.name)
            if not isinstance(seconds, int | float) or not 0 < seconds < float("inf"):
                name = "timeout" if deadline.name == "total" else f"Deadlines({deadline.name}=...)"
                raise ConfigurationError(f"{name} is a number of seconds above 0, and not infinite.")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a journey is handed of the world: where the gateway is, and the clock and the chance to use.

    `clock` is `time.monotonic`'s, `now` the time of day, `chance` gives uniform numbers in [0, 1). `headers` are those
    of every attempt. `prices` says what answers cost; without them no cost is known. `until` ends a call that this
    journey is only a part of (a batch of many); without it `deadlines.total` counts from the journey's beginning.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)
    deadlines: Deadlines
    clock: Callable[[], float]
    chance: Callable[[], float]
    prices: PriceBook | None = None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    until: Expiry | None = None


def journey(request: Request, plan: Plan, around: Surroundings) -> Generator[Step, Any, None]:
    """Make the attempts of a plan until one answers.

    Shows chunks (of a stream) and, last of all, the whole `Completion` or `Embeddings`. Raises the error of the only
    target tried, or `AllTargetsFailedError`; `StreamInterruptedError` once part of a failed answer has been shown.
    """
    total = around.until or Expiry(around.clock() + around.deadlines.total, "total", around.deadlines.total)
    records: list[AttemptRecord] = []
    errors: list[PortkeyError] = []
    position = 0
    while position < len(plan.attempts):
        attempt = plan.attempts[position]
        step = 1
        for tried in range(1, attempt.tries + 1):
            now = around.clock()
            trip = Trip(attempt, _call(request, attempt, around, total))
            try:
                body = yield from _attempt(request, trip, around, total)
                records.append(record(trip, None, around.clock() - now))
                route = route_of(trip, plan, records)
                answer = answer_of(request, trip, body, route, attempt.model or request.model)
                yield Show(priced(answer, trip, around.prices, around.now(), request.model))
            except PortkeyError as error:
                records.append(record(trip, error, around.clock() - now))
                error.attempts = tuple(records)
                if trip.assembler.shown and request.stream:
                    raise interrupted(error, trip, request, plan, records) from error
                verdict = judge(error, attempt, tries_left=attempt.tries - tried, run_on=plan.run_on)
                pause = backoff(error, tried, around.chance()) if verdict is Verdict.AGAIN else 0.0
                if verdict is Verdict.RAISE or total.remaining(around.clock()) <= pause:
                    raise
                if verdict is Verdict.NEXT:
                    errors.append(error)
                    step = _targets_used(trip, plan)
                    break
                yield Wait(pause)
            else:
                return
        position += step
    raise all_failed(records, errors)


def _targets_used(trip: Trip, plan: Plan) -> int:
    """How far to move on: past the targets that the gateway has been through itself, where it runs the fallback."""
    path = trip.headers.get("x-portkey-last-used-option-index", "")
    if plan.run_on != "gateway" or not path.startswith("config.targets["):
        return 1
    digits = path.removeprefix("config.targets[").partition("]")[0]
    return int(digits) + 1 if digits.isdigit() else 1


def _call(request: Request, attempt: Attempt, around: Surroundings, total: Expiry) -> HttpCall:
    deadlines = around.deadlines
    if request.stream:
        own = Expiry(around.clock() + deadlines.first_token, "first_token", deadlines.first_token)
    else:
        own = Expiry(around.clock() + deadlines.attempt, "attempt", deadlines.attempt)
    return HttpCall(
        url=around.url,
        headers={**around.headers, **attempt.headers},
        body=encode_body(request, model=attempt.model or request.model, override_params=attempt.override_params),
        expiry=min(own, total),
        connect=deadlines.connect,
    )


def _attempt(
    request: Request, trip: Trip, around: Surroundings, total: Expiry
) -> Generator[Step, Any, dict[str, Any] | None]:
    """One attempt; gives the reply's body, or None where the answer came as a stream (the trip has it)."""
    if request.stream:
        return (yield from _streamed(trip, around, total))
    reply: HttpReply = yield Send(trip.call)
    trip.status, trip.headers = reply.status, reply.headers
    return decode(reply, request, trip)


def _streamed(trip: Trip, around: Surroundings, total: Expiry) -> Generator[Step, Any, dict[str, Any] | None]:
    """Show a stream's chunks; gives the body where the reply was no stream after all (a cache hit, a plain server)."""
    stream: OpenedStream = yield Open(trip.call)
    driven = True
    try:
        trip.status, trip.headers = stream.status, stream.headers
        plain = "json" in stream.headers.get("content-type", "")
        if plain or stream.status >= 300:  # noqa: PLR2004
            data = yield ReadAll(stream, trip.call.expiry)
            check_status(stream.status, stream.headers, data, secrets=trip.secrets)
            body = decode_reply(HttpReply(stream.status, stream.headers, data), secrets=trip.secrets)
            for chunk in chunks_of(body, stream.headers.get("x-portkey-provider")):
                yield Show(chunk)
            return body
        yield from _events(stream, trip, around, total)
    except GeneratorExit:
        driven = False  # nobody drives any more, so nothing can be asked: the stream closes as it is collected
        raise
    finally:
        if driven:
            yield Abort(stream)
    return None


def _events(stream: OpenedStream, trip: Trip, around: Surroundings, total: Expiry) -> Generator[Step, Any, None]:
    decoder = StreamDecoder(stream.headers, trip.secrets)
    expiry = trip.call.expiry
    held: list[Chunk] = []  # what came before anything visible: shown with it, so that failing over stays silent
    while not decoder.done:
        try:
            piece = yield Read(stream, expiry)
        except (DeadlineExceededError, ConnectFailedError):
            if decoder.finished and expiry.phase != "total":
                break  # the answer is whole; only its usage, or the end of the stream, never came
            raise
        arrived = False
        for chunk in decoder.feed(piece):
            arrived = True
            trip.assembler.add(chunk)
            if not trip.assembler.shown:
                held.append(chunk)
                continue
            for earlier in held:
                yield Show(earlier)
            held.clear()
            yield Show(chunk)
        if not piece:
            break
        if decoder.finished or (arrived and trip.assembler.shown):
            seconds = USAGE_WAIT if decoder.finished else around.deadlines.silence
            expiry = min(Expiry(around.clock() + seconds, "silence", seconds), total)
    if not decoder.finished:
        msg = (
            "The stream ended without a finish_reason: the answer is cut short (the gateway presents it as whole). "
            "Ask again, or add a fallback target."
        )
        raise StreamInterruptedError(msg)
    for chunk in held:  # an answer that is empty, but whole
        yield Show(chunk)

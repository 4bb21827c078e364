"""A gateway without a network: replies scripted in order, behind a sync and an async port alike."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from portkey_router.errors import ConnectFailedError, DeadlineExceededError
from portkey_router.flow.journey import Deadlines, Surroundings, journey
from portkey_router.flow.steps import (
    Abort,
    Emit,
    Feed,
    Open,
    Read,
    ReadAll,
    Release,
    Reserve,
    Send,
    Settle,
    Show,
    Step,
    Wait,
)
from portkey_router.health import Health
from portkey_router.messages import CallOptions, Chunk, Completion, Embeddings, Request
from portkey_router.planner import Attempt, Plan
from portkey_router.targets import FALLBACK_STATUS_CODES
from portkey_router.wire.http import Expiry, HttpCall, HttpReply

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

JSON = {"content-type": "application/json"}
EVENTS = {"content-type": "text/event-stream"}
HELLO = [{"role": "user", "content": "Hello"}]
URL = "http://gateway.test/v1/chat/completions"


def answer(text: str = "Hi", *, model: str = "gpt-4o", finish_reason: str | None = "stop", **more: Any) -> bytes:
    """A whole chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    return json.dumps({"id": "c-1", "model": model, "choices": [choice], "usage": usage, **more}).encode()


def ok(text: str = "Hi", headers: Mapping[str, str] | None = None, **more: Any) -> HttpReply:
    """A reply with an answer."""
    return HttpReply(200, {**JSON, **(headers or {})}, answer(text, **more))


def failed(status: int, message: str = "boom", code: str | None = None, **headers: str) -> HttpReply:
    """A reply with an error, in OpenAI's shape; header names with `_` for `-`."""
    body = {"error": {"message": message, "type": None, "param": None, "code": code}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpReply(status, {**JSON, **named}, json.dumps(body).encode())


def event(value: object) -> bytes:
    """One server-sent event."""
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"


def delta(finish_reason: str | None = None, *, index: int = 0, **fields: Any) -> bytes:
    """An event with one choice's delta."""
    choice = {"index": index, "delta": fields, "finish_reason": finish_reason}
    return event({"id": "s-1", "model": "gpt-4o", "choices": [choice]})


def usage_event(sent: int = 5, made: int = 2) -> bytes:
    """The event that states the usage, after the last choice."""
    usage = {"prompt_tokens": sent, "completion_tokens": made, "total_tokens": sent + made}
    return event({"id": "s-1", "model": "gpt-4o", "choices": [], "usage": usage})


DONE = event(b"[DONE]")
WHOLE = (delta(role="assistant"), delta(content="Hel"), delta(content="lo"), delta("stop"), usage_event(), DONE)


@dataclass
class Stream:
    """An opened stream: the pieces it will give, or the errors it will raise."""

    pieces: Iterable[bytes | BaseException] = WHOLE
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: dict(EVENTS))
    aborted: int = 0

    def __post_init__(self) -> None:
        self._left = iter(self.pieces)

    def next(self) -> bytes:
        """The next piece; `b""` once there are none."""
        piece = next(self._left, b"")
        if isinstance(piece, BaseException):
            raise piece
        return piece

    def rest(self) -> bytes:
        """All that is left."""
        return b"".join(iter(self.next, b""))


Reply = HttpReply | Stream | BaseException


def perform(step: Step, replies: Iterable[Reply]) -> Any:
    """What a step's outcome is under a script of replies; raises where the script says so."""
    match step:
        case Send() | Open():
            reply = next(iter(replies), None)
            assert reply is not None, "the script has no further reply"
            if isinstance(reply, BaseException):
                raise reply
            return reply
        case Read(stream):
            return stream.next()
        case ReadAll(stream):
            return stream.rest()
        case Abort(stream):
            stream.aborted += 1
        case Reserve(ledger, bound, tags, patience, lease, hub):
            return ledger.reserve(bound, tags, patience=patience, lease=lease, hub=hub)
        case Settle(ledger, reservation, cost, tokens):
            ledger.settle(reservation, cost, tokens)
        case Release(ledger, reservation, sent):
            ledger.release(reservation, sent=sent)
        case Feed(ledger, headers, tags):
            ledger.feed(headers, tags)
    return None


@dataclass
class Clock:
    """Time that passes only when told to; each `Wait` tells it."""

    now: float = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@dataclass
class Told:
    """What came of a journey fed by hand."""

    steps: list[Step]
    shown: list[Chunk | Completion | Embeddings]
    error: BaseException | None = None

    @property
    def completion(self) -> Completion:
        """The whole answer."""
        last = self.shown[-1]
        assert isinstance(last, Completion)
        return last

    @property
    def calls(self) -> list[HttpCall]:
        """The calls made, in order."""
        return [step.call for step in self.steps if isinstance(step, Send | Open)]

    @property
    def waits(self) -> list[float]:
        """The seconds waited, in order."""
        return [step.seconds for step in self.steps if isinstance(step, Wait)]

    @property
    def text(self) -> str:
        """What the caller saw of the first choice."""
        return "".join(chunk.content for chunk in self.shown if isinstance(chunk, Chunk))


def target(
    name: str = "one",
    *,
    tries: int = 1,
    fall_over_on: Iterable[int] | None = None,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Attempt:
    """An attempt at a target of this name."""
    codes = frozenset(FALLBACK_STATUS_CODES if fall_over_on is None else fall_over_on)
    given = {"model": f"model-{name}", "reason": "a test", "headers": headers or {}, "key": name, **more}
    return Attempt(target=name, tries=tries, fall_over_on=codes, **given)


def plan(*attempts: Attempt, run_on: Any = "client") -> Plan:
    """A plan of these attempts."""
    return Plan(attempts or (target(),), strategy="fallback", run_on=run_on)


def start(
    attempts: Plan,
    *,
    stream: bool = False,
    clock: Clock | None = None,
    deadlines: Deadlines | None = None,
    body: Mapping[str, Any] | None = None,
    options: CallOptions | None = None,
    **around: Any,
) -> Generator[Any, Any, None]:
    """A journey, not yet begun; `around` is more of its surroundings."""
    surroundings = Surroundings(
        URL,
        {"x-portkey-trace-id": "t-1"},
        deadlines or Deadlines(),
        clock=clock or Clock(),
        chance=lambda: 0.5,
        **around,
    )
    request = Request(HELLO, stream=stream, body=body or {}, options=options or CallOptions())
    return journey(request, attempts, surroundings)


def tell(
    attempts: Plan,
    *replies: Reply,
    stream: bool | None = None,
    clock: Clock | None = None,
    unused: bool = False,
    **more: Any,
) -> Told:
    """Feed a journey its replies until it ends; it must use them all, unless some may be left `unused`."""
    clock = clock or Clock()
    streamed = any(isinstance(reply, Stream) for reply in replies) if stream is None else stream
    return feed(start(attempts, stream=streamed, clock=clock, **more), replies, clock, unused=unused)


def feed(going: Generator[Any, Any, None], replies: Iterable[Reply], clock: Clock, *, unused: bool = False) -> Told:
    """The same for a journey that is given."""
    script, told = iter(replies), Told([], [])
    resume, outcome = going.send, None
    try:
        while True:
            step = resume(outcome)
            told.steps.append(step)
            if isinstance(step, Show):
                told.shown.append(step.item)
            if isinstance(step, Wait):
                clock.now += step.seconds
            if isinstance(step, Emit):
                step.hub.emit(step.event)
            try:
                resume, outcome = going.send, perform(step, script)
            except BaseException as error:  # noqa: BLE001  (handed to the journey, as a driver does)
                resume, outcome = going.throw, error
    except StopIteration:
        pass
    except BaseException as error:  # noqa: BLE001  (what the journey raised is what the test looks at)
        told.error = error
    assert unused or next(script, None) is None, "the journey left replies unused"
    return told


def late(phase: str = "first_token") -> DeadlineExceededError:
    """A deadline that passed."""
    return DeadlineExceededError("late", phase=phase, seconds=1)  # type: ignore[arg-type]


def memory() -> Health:
    """Health as new."""
    return Health(threading.Lock())


def down(health: Health, name: str, clock: Clock, times: int = 3) -> None:
    """Make a target's circuit open."""
    for _ in range(times):
        health.failed(name, clock.now, 0.5)


def asked(told: Told) -> list[str]:
    """The targets asked, in order."""
    return [call.body.split(b'"model":"model-')[1].split(b'"')[0].decode() for call in told.calls]


def too_long(limit: int = 8192, needed: int = 10_000) -> HttpReply:
    """OpenAI's refusal of a prompt too long."""
    words = f"This model's maximum context length is {limit} tokens."
    return failed(400, f"{words} However, your messages resulted in {needed} tokens.", "context_length_exceeded")


REFUSED = ConnectFailedError("connection refused", sent=False)
RESET = ConnectFailedError("connection reset")
FILTERED = failed(400, "The response was filtered: hate", "content_filter")


class SyncPort:
    """A script of replies behind the sync driver; `calls` are those made."""

    def __init__(self, *replies: Reply) -> None:
        self._replies = iter(replies)
        self.calls: list[HttpCall] = []

    def send(self, call: HttpCall) -> HttpReply:
        """The next reply."""
        self.calls.append(call)
        reply = perform(Send(call), self._replies)
        assert isinstance(reply, HttpReply)
        return reply

    def open(self, call: HttpCall) -> SyncStream:
        """The next reply, as a stream."""
        self.calls.append(call)
        return SyncStream(perform(Open(call), self._replies))


class SyncStream:
    """A scripted stream, read by a thread."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.status, self.headers = stream.status, stream.headers

    def read(self, expiry: Expiry) -> bytes:
        """The next piece."""
        return self._stream.next()

    def read_all(self, expiry: Expiry) -> bytes:
        """All that is left."""
        return self._stream.rest()

    def abort(self) -> None:
        """Count it."""
        self._stream.aborted += 1


class AsyncPort:
    """The same script behind the async driver."""

    def __init__(self, *replies: Reply) -> None:
        self._port = SyncPort(*replies)
        self.calls = self._port.calls

    async def send(self, call: HttpCall) -> HttpReply:
        """The next reply."""
        return self._port.send(call)

    async def open(self, call: HttpCall) -> AsyncStream:
        """The next reply, as a stream."""
        return AsyncStream(self._port.open(call))


class AsyncStream:
    """The same stream, read in a loop."""

    def __init__(self, stream: SyncStream) -> None:
        self._stream = stream
        self.status, self.headers = stream.status, stream.headers

    async def read(self, expiry: Expiry) -> bytes:
        """The next piece."""
        return self._stream.read(expiry)

    async def read_all(self, expiry: Expiry) -> bytes:
        """All that is left."""
        return self._stream.read_all(expiry)

    def abort(self) -> None:
        """Count it."""
        self._stream.abort()

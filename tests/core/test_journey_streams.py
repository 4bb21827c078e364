from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from portkey_router.errors import (
    AllTargetsFailedError,
    ConnectFailedError,
    DeadlineExceededError,
    InvalidRequestError,
    StreamInterruptedError,
    UpstreamRateLimitError,
    UpstreamUnavailableError,
)
from portkey_router.flow.journey import DONE_WAIT, USAGE_WAIT, Deadlines
from portkey_router.flow.steps import Abort, CallerLeft, Open, Read, Show
from portkey_router.messages import Chunk, Usage
from portkey_router.targets import Fallback
from portkey_router.wire.http import Expiry
from tests.core.fakes import (
    DONE,
    JSON,
    WHOLE,
    Clock,
    Reply,
    Stream,
    answer,
    delta,
    event,
    failed,
    plan,
    start,
    target,
    tell,
    usage_event,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ROLE = delta(role="assistant")
HEL = delta(content="Hel")
CALL = delta(tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}])
TWO = plan(target("one"), target("two"))
BROKEN = ConnectFailedError("connection lost")


def late(phase: str = "silence") -> DeadlineExceededError:
    """A deadline that passed."""
    return DeadlineExceededError("late", phase=phase, seconds=1)  # type: ignore[arg-type]


def test_a_whole_stream() -> None:
    """Chunks are shown as they come, the whole answer last; the stream is let go of."""
    stream = Stream()
    told = tell(plan(), stream)
    assert told.text == "Hello"
    assert isinstance(told.steps[0], Open)
    whole = told.completion
    assert (whole.text, whole.finish_reason, whole.usage) == ("Hello", "stop", Usage(5, 2, 7))
    assert whole.route.attempts[0].outcome == "ok"
    assert stream.aborted == 1


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [ROLE],
        [ROLE, DONE],
        [DONE],
        [ROLE, usage_event(), DONE],
        [ROLE, b"data: {"],
        [event({"error": {"message": "lost", "code": 503}})],
        [ROLE, BROKEN],
        [late("first_token")],
    ],
)
def test_failing_over_is_silent_before_anything_is_shown(pieces: list[Any]) -> None:
    """A stream that ends without a finish reason before anything was visible: the next target answers, nobody sees."""
    broken = Stream(pieces)
    told = tell(TWO, broken, Stream())
    assert told.text == "Hello"
    assert told.completion.route.target == "two"
    assert [chunk.role for chunk in told.shown if isinstance(chunk, Chunk) and chunk.role] == ["assistant"]
    assert broken.aborted == 1


@pytest.mark.parametrize("shown", [HEL, CALL, delta(reasoning_content="hm"), delta(refusal="no")])
@pytest.mark.parametrize("end", [[], [DONE], [usage_event(), DONE], [b"data: {"], [BROKEN], [late()], [late("total")]])
def test_after_something_was_shown_we_never_pretend(shown: bytes, end: list[Any]) -> None:
    """The caller gets StreamInterruptedError, never an answer, and nobody else is asked."""
    told = tell(TWO, Stream([ROLE, shown, *end]))
    error = told.error
    assert isinstance(error, StreamInterruptedError)
    assert error.partial is not None
    assert error.partial.finish_reason is None
    assert error.partial.route.attempts == error.attempts
    assert len(error.attempts) == 1
    assert all(isinstance(item, Chunk) for item in told.shown)
    assert error.__cause__ is not None


def test_what_had_arrived_is_in_the_error() -> None:
    """`partial` is the text so far, `usage` its count where the stream stated it."""
    told = tell(plan(), Stream([ROLE, HEL, usage_event(5, 1), DONE]))
    assert isinstance(told.error, StreamInterruptedError)
    assert told.error.partial is not None
    assert (told.error.partial.text, told.error.partial.model) == ("Hel", "gpt-4o")
    assert told.error.usage == Usage(5, 1, 6)


def test_an_unstreamed_call_shows_nothing_before_it_is_whole() -> None:
    """Where the caller wants the whole answer, a broken one is simply another attempt."""
    told = tell(TWO, Stream([ROLE]), Stream(), stream=True)
    assert told.completion.text == "Hello"


def test_role_only_chunks_are_held_back() -> None:
    """What comes before anything visible is shown with it, in order."""
    told = tell(plan(), Stream([ROLE, ROLE, HEL, delta("stop")]))
    reads = 0
    for step in told.steps:
        reads += isinstance(step, Read)
        if isinstance(step, Show):
            break
    assert reads == 3
    assert [item.role for item in told.shown if isinstance(item, Chunk)] == ["assistant", "assistant", None, None]


def test_an_empty_answer_is_an_answer() -> None:
    """A stream that ends properly without a word is whole, and its chunks are shown."""
    told = tell(plan(), Stream([ROLE, delta("stop"), DONE]))
    assert (told.completion.text, told.completion.finish_reason) == ("", "stop")
    assert len([item for item in told.shown if isinstance(item, Chunk)]) == 2


def test_usage_after_the_finish_reason_is_waited_for() -> None:
    """The answer is whole at its finish reason; its usage is still read."""
    told = tell(plan(), Stream([HEL, delta("stop"), usage_event(), DONE]))
    assert told.completion.usage == Usage(5, 2, 7)


@pytest.mark.parametrize("end", [late(), BROKEN, b""])
def test_a_whole_answer_is_not_lost_to_its_usage(end: Any) -> None:
    """After the finish reason neither silence nor a broken connection takes the answer away."""
    stream = Stream([HEL, delta("stop"), end])
    told = tell(plan(), stream)
    assert told.error is None
    assert (told.completion.text, told.completion.usage) == ("Hel", None)
    assert stream.aborted == 1


def test_the_deadlines_of_a_stream() -> None:
    """First token, then silence, then a short wait for the usage; never beyond the total."""
    clock = Clock(0)
    deadlines = Deadlines(first_token=10, silence=20, total=100)
    told = tell(plan(), Stream([ROLE, HEL, delta("stop"), DONE]), clock=clock, deadlines=deadlines)
    assert told.calls[0].expiry == Expiry(10, "first_token", 10)
    reads = [step.expiry for step in told.steps if isinstance(step, Read)]
    first, silence, usage = Expiry(10, "first_token", 10), Expiry(20, "silence", 20), Expiry(5, "silence", USAGE_WAIT)
    assert reads == [first, first, silence, usage]
    short = tell(plan(), Stream(WHOLE), clock=Clock(0), deadlines=replace(deadlines, total=15))
    assert [step.expiry.at for step in short.steps if isinstance(step, Read)] == [10, 10, 15, 15, USAGE_WAIT, DONE_WAIT]


def test_comments_do_not_count_as_life() -> None:
    """`: ping` keeps a connection open, not the deadline: silence is measured by events."""
    clock = Clock(0)

    def pieces() -> Iterator[bytes]:
        for piece in (b": ping\n\n", HEL, b": ping\n\n", delta("stop")):
            clock.now += 10
            yield piece

    told = tell(plan(), Stream(pieces()), clock=clock, deadlines=Deadlines(first_token=90, silence=50))
    reads = [step.expiry for step in told.steps if isinstance(step, Read)]
    assert [(expiry.phase, expiry.at) for expiry in reads[:4]] == [
        ("first_token", 90),
        ("first_token", 90),
        ("silence", 70),
        ("silence", 70),
    ]


@pytest.mark.parametrize("headers", [JSON, {"content-type": "application/json; charset=utf-8"}])
def test_a_whole_reply_though_a_stream_was_asked(headers: dict[str, str]) -> None:
    """A cache hit, or a plain server, answers whole: it is shown as chunks and as the answer."""
    stream = Stream([answer("Hi")], headers=headers)
    told = tell(plan(), stream)
    assert told.text == "Hi"
    assert (told.completion.text, told.completion.usage) == ("Hi", Usage(5, 2, 7))
    assert stream.aborted == 1


@pytest.mark.parametrize("status", [429, 503])
def test_an_error_instead_of_a_stream(status: int) -> None:
    """An error status is read whole and judged as any other; the stream is let go of."""
    stream = Stream([failed(status).body], status=status, headers=JSON)
    told = tell(TWO, stream, Stream())
    assert told.completion.route.target == "two"
    assert told.completion.route.attempts[0].status == status
    assert stream.aborted == 1


def test_a_page_instead_of_a_stream() -> None:
    """HTML with status 200 is no stream that was cut short: the URL is wrong, or what stands before the gateway."""
    page = Stream([b"<html>Sign in</html>"], headers={"content-type": "text/html; charset=utf-8"})
    told = tell(plan(target("one", tries=1)), page)
    assert isinstance(told.error, UpstreamUnavailableError)
    assert "text/html" in str(told.error)
    assert "PORTKEY_GATEWAY_URL" in str(told.error)


def test_a_wrong_request_goes_straight_to_the_caller() -> None:
    """A 400 to a stream is the caller's, with its own class."""
    told = tell(TWO, Stream([failed(400).body], status=400))
    assert type(told.error) is InvalidRequestError


def test_an_error_event_is_judged_by_its_status() -> None:
    """A 429 inside a stream is a 429: this target again, while it has tries left."""
    limited = Stream([event({"error": {"message": "slow down", "code": 429}})])
    told = tell(plan(target(tries=2)), limited, Stream())
    assert told.completion.route.attempts[0].outcome == UpstreamRateLimitError.__name__
    assert len(told.waits) == 1


def test_all_streams_broken() -> None:
    """When every target's stream broke unseen, the error lists them all."""
    told = tell(TWO, Stream([ROLE]), Stream([DONE]))
    assert isinstance(told.error, AllTargetsFailedError)
    assert [record.outcome for record in told.error.attempts] == ["StreamInterruptedError"] * 2
    assert told.shown == []


@pytest.mark.parametrize("gone", [CallerLeft(), asyncio.CancelledError(), KeyboardInterrupt()])
@pytest.mark.parametrize("at", [Read, Show])
def test_a_caller_who_leaves_lets_go_of_the_stream(gone: BaseException, at: type) -> None:
    """Leaving early, a cancelled task and Ctrl-C each end in one Abort, then in what was thrown."""
    stream = Stream()
    going = start(plan(target("one"), target("two")), stream=True)
    step: Any = next(going)
    while not isinstance(step, at):
        step = going.send(stream if isinstance(step, Open) else stream.next() if isinstance(step, Read) else None)
    step = going.throw(gone)
    assert step == Abort(stream)
    with pytest.raises(type(gone)):
        going.send(None)


def test_a_call_cancelled_before_its_stream_opened() -> None:
    """There is nothing to let go of yet: the cancellation goes straight through."""
    going = start(plan(), stream=True)
    next(going)
    with pytest.raises(asyncio.CancelledError):
        going.throw(asyncio.CancelledError())


def gateway(*replies: Reply, **headers: str) -> Any:
    """A fallback of three, run by the gateway, its first reply a stream cut short under these headers."""
    strategy = Fallback("a", "b", "c")
    attempts = [replace(target(name), strategy=strategy) for name in ("a > b > c", "b > c", "c")]
    named = {"content-type": "text/event-stream", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return tell(plan(*attempts, run_on="gateway"), Stream([ROLE], headers=named), *replies)


@pytest.mark.parametrize(
    ("index", "went_on_with"),
    [
        ({}, "b > c"),
        ({"x_portkey_last_used_option_index": "config.targets[0]"}, "b > c"),
        ({"x_portkey_last_used_option_index": "config.targets[1]"}, "c"),
        ({"x_portkey_last_used_option_index": "config"}, "b > c"),
        ({"x_portkey_last_used_option_index": "config.targets[x]"}, "b > c"),
    ],
)
def test_run_by_the_gateway_a_truncated_stream_goes_on_with_the_targets_left(
    index: dict[str, str], went_on_with: str
) -> None:
    """Those the gateway has been through already are not asked again."""
    told = gateway(Stream(), **index)
    assert told.text == "Hello"
    assert told.completion.route.target == went_on_with
    assert told.waits == []


def test_run_by_the_gateway_the_last_truncated_stream_is_final() -> None:
    """When the last target's stream was the one cut short, there is nobody left."""
    told = gateway(x_portkey_last_used_option_index="config.targets[2]")
    assert isinstance(told.error, StreamInterruptedError)


def test_run_by_the_gateway_an_error_after_truncation_is_final() -> None:
    """Going on is for truncated streams alone."""
    told = gateway(Stream([failed(503).body], status=503))
    assert getattr(told.error, "status", None) == 503


def test_a_saved_config_is_sent_again_only_after_truncation() -> None:
    """Twice at most, and the second time only because a stream was cut short."""
    saved = plan(target("pc-1", tries=2), run_on="gateway")
    assert tell(saved, Stream([ROLE]), Stream()).text == "Hello"
    twice = tell(saved, Stream([ROLE]), Stream([ROLE]))
    assert isinstance(twice.error, StreamInterruptedError)
    assert len(twice.calls) == 2
    assert len(tell(saved, Stream([failed(503).body], status=503)).calls) == 1

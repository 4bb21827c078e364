"""The journey hand-fed: patience by what is left, streams that break, restarts, streams underneath."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from portkey_router.errors import (
    StreamInterruptedError,
    UpstreamUnavailableError,
)
from portkey_router.flow.journey import Deadlines
from portkey_router.flow.policy import Policy
from portkey_router.flow.steps import Read
from portkey_router.messages import Chunk, Completion, Usage
from portkey_router.wire.http import HttpReply
from tests.core.fakes import (
    DONE,
    JSON,
    RESET,
    WHOLE,
    Clock,
    Reply,
    Stream,
    answer,
    delta,
    down,
    event,
    late,
    memory,
    plan,
    target,
    tell,
    usage_event,
)

if TYPE_CHECKING:
    from portkey_router.planner import Plan

ROLE, HEL = delta(role="assistant"), delta(content="Hel")
TWO = plan(target("one", tries=3), target("two", tries=3))


# ---- patience by what is left ----------------------------------------------------------------------------------------


def first_deadlines(attempts: Plan, *replies: Reply, **more: Any) -> list[tuple[str, float]]:
    """Phase and seconds of each call's deadline."""
    return [(call.expiry.phase, call.expiry.seconds) for call in tell(attempts, *replies, **more).calls]


def test_the_first_token_is_waited_for_by_what_is_left() -> None:
    """12 s while another target remains, 60 s on the last."""
    assert first_deadlines(TWO, late(), Stream(), stream=True) == [("first_token", 12), ("first_token", 60)]
    assert first_deadlines(plan(), Stream()) == [("first_token", 60)]


def test_a_target_that_is_down_is_no_reason_to_hurry() -> None:
    """What remains must be able to answer."""
    clock, health = Clock(), memory()
    down(health, "two", clock)
    assert first_deadlines(TWO, Stream(), health=health, clock=clock) == [("first_token", 60)]


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("o3-mini", {}),
        ("@openai-prod/gpt-5", {}),
        ("deepseek-reasoner", {}),
        ("gemini-2.5-pro", {}),
        ("model-one", {"reasoning_effort": "high"}),
        ("claude-sonnet-4-5", {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
    ],
)
def test_a_reasoning_model_has_its_time(model: str, body: dict[str, Any]) -> None:
    """By its name, or as it is asked."""
    attempts = plan(replace(target("one"), model=model), target("two"))
    assert first_deadlines(attempts, Stream(), body=body) == [("first_token", 60)]


@pytest.mark.parametrize(("model", "body"), [("claude-sonnet-4-5", {}), ("o3", {"reasoning_effort": "none"})])
def test_others_do_not(model: str, body: dict[str, Any]) -> None:
    """A model that may think, and was not asked to, or was asked not to."""
    attempts = plan(replace(target("one"), model=model), target("two"))
    assert first_deadlines(attempts, Stream(), body=body) == [("first_token", 12)]


def test_the_first_target_does_not_use_up_the_calls_time() -> None:
    """Under a short total the other target gets half of it."""
    deadlines = Deadlines(total=10)
    assert first_deadlines(TWO, Stream(), deadlines=deadlines) == [("first_token", 5)]
    assert first_deadlines(TWO, Stream(), deadlines=Deadlines(total=20)) == [("first_token", 12)]


def silences(*pieces: bytes, attempts: Plan = TWO, **more: Any) -> list[float]:
    """The length of each read's deadline."""
    told = tell(attempts, Stream(pieces), stream=more.pop("stream", True), **more)
    return [step.expiry.seconds for step in told.steps if isinstance(step, Read)]


def test_silence_is_waited_for_by_what_was_shown() -> None:
    """60 s once the caller has seen something; 20 s while nothing is shown and another target remains."""
    assert silences(*WHOLE)[:3] == [12, 12, 60]
    hidden: dict[str, Any] = {"stream": False, "policy": Policy(wire_stream=True)}
    assert silences(*WHOLE, **hidden)[:3] == [12, 12, 20]
    assert silences(*WHOLE, attempts=plan(), **hidden)[:3] == [60, 60, 60]


@pytest.mark.parametrize(
    "nothing", [b": ping\n\n", b"event: ping\ndata: {}\n\n", event({"type": "ping"}), delta(content=""), ROLE]
)
def test_pings_are_no_progress(nothing: bytes) -> None:
    """Comments, pings and empty events leave the deadline where it was."""
    clock = Clock(0)

    class Ticking(Stream):
        def next(self) -> bytes:
            clock.now += 1
            return super().next()

    told = tell(TWO, Ticking([nothing] * 3 + [HEL] + [nothing] * 3 + [delta("stop"), DONE]), clock=clock)
    reads = [step.expiry.at for step in told.steps if isinstance(step, Read)]
    assert reads[:8] == [12, 12, 12, 12, 64, 64, 64, 64]


@pytest.mark.parametrize(
    "thought",
    [
        delta(reasoning_content="hm"),
        delta(reasoning="hm"),
        delta(content_blocks=[{"index": 0, "delta": {"thinking": "hm"}}]),
        delta(refusal="no"),
        delta(audio={"data": "UklG"}),
    ],
)
def test_reasoning_is_progress_and_is_shown(thought: bytes) -> None:
    """In whatever field it comes: it is seen at once, and after it nothing is silent any more."""
    told = tell(TWO, Stream([ROLE, thought, RESET]))
    assert isinstance(told.error, StreamInterruptedError)
    assert len(told.shown) == 2


def test_an_announced_block_is_not_shown_yet() -> None:
    """A block's type and index say nothing: failing over stays silent."""
    announced = delta(content_blocks=[{"index": 0, "type": "thinking", "delta": {"thinking": ""}}])
    assert tell(TWO, Stream([ROLE, announced, RESET]), Stream([ROLE, RESET]), Stream(), stream=True).text == "Hello"


def test_the_wait_for_the_usage_is_bounded_whatever_comes() -> None:
    """Pings after the finish reason do not prolong it, and once the usage is there the end is hardly waited for."""
    clock = Clock(0)

    class Ticking(Stream):
        def next(self) -> bytes:
            clock.now += 1
            return super().next()

    told = tell(
        plan(), Ticking([HEL, delta("stop"), *[b": ping\n\n"] * 2, usage_event(), late("silence")]), clock=clock
    )
    assert [step.expiry.at for step in told.steps if isinstance(step, Read)] == [60, 61, 7, 7, 7, 5.5]
    assert told.completion.usage == Usage(5, 2, 7)


# ---- streams that break ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lenient", [True, False])
def test_a_lenient_target_may_leave_out_the_finish_reason(lenient: bool) -> None:
    """`[DONE]` ends its answer; but an end without that, and an answer without a word, are refused of it, too."""
    attempts = plan(target("one", lenient=lenient), target("two"))
    if lenient:
        assert tell(attempts, Stream([ROLE, HEL, DONE])).completion.text == "Hel"
    else:
        assert isinstance(tell(attempts, Stream([ROLE, HEL, DONE])).error, StreamInterruptedError)
    assert isinstance(tell(attempts, Stream([ROLE, HEL])).error, StreamInterruptedError)
    assert tell(attempts, Stream([DONE]), Stream()).completion.route.target == "two"


def test_fewer_choices_than_asked_for() -> None:
    """With `n=2`, one finished choice is half of it, unless the provider says that it is `[DONE]`."""
    one = [delta(content="a"), delta("stop")]
    both = [*one, delta(content="b", index=1), delta("stop", index=1), DONE]
    assert isinstance(tell(plan(), Stream(one), body={"n": 2}).error, StreamInterruptedError)
    assert len(tell(plan(), Stream(both), body={"n": 2}).completion.choices) == 2
    assert len(tell(plan(), Stream([*one, DONE]), body={"n": 2}).completion.choices) == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"data: {\n\n",
        event([1]),
        event({"choices": "x"}),
        event({"choices": [1]}),
        event({"choices": [{"delta": "x"}]}),
        event({"choices": [{"delta": {"content": 5}}]}),
        event({"choices": [{"delta": {"tool_calls": "x"}}]}),
        event({"choices": [{"delta": {"tool_calls": [1]}}]}),
    ],
)
def test_an_event_that_cannot_be_read_is_loss_until_the_answer_is_whole(garbage: bytes) -> None:
    """Before the finish reason part of the answer is lost; after it nothing can be."""
    assert isinstance(tell(plan(), Stream([HEL, garbage, delta("stop"), DONE])).error, StreamInterruptedError)
    assert tell(plan(), Stream([HEL, delta("stop"), garbage, usage_event(), DONE])).completion.text == "Hel"


@pytest.mark.parametrize(
    "error",
    [
        event({"error": {"message": "overloaded", "type": "overloaded_error"}}),
        event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
        event({"object": "error", "message": "overloaded", "type": "overloaded_error"}),
        event({"choices": [{"delta": {}, "error": {"message": "overloaded", "code": 529}}]}),
    ],
)
def test_errors_inside_streams_keep_their_kind(error: bytes) -> None:
    """Whatever the shape: an overloaded provider is one, and falls over like one."""
    told = tell(plan(target("one")), Stream([ROLE, error]))
    assert isinstance(told.error, UpstreamUnavailableError)
    assert told.error.status == 529


@pytest.mark.parametrize("end", [delta("error"), event({"choices": [{"delta": {}, "finish_reason": "error"}]})])
def test_a_finish_reason_that_is_an_error(end: bytes) -> None:
    """It ends nothing well, in streams and in whole replies."""
    assert isinstance(tell(plan(), Stream([HEL, end, DONE])).error, StreamInterruptedError)
    whole = HttpReply(200, JSON, answer("Hel", finish_reason="error"))
    assert isinstance(tell(plan(), whole).error, UpstreamUnavailableError)


# ---- restart ---------------------------------------------------------------------------------------------------------

RESTART = Policy(on_stream_break="restart")


def test_a_restart_says_that_what_was_shown_is_void() -> None:
    """The marker, then a whole new answer, and its route tells of both attempts."""
    told = tell(TWO, Stream([ROLE, HEL, late("silence")]), Stream(), policy=RESTART)
    marks = [chunk.reset for chunk in told.shown if isinstance(chunk, Chunk)]
    first = marks.index(True)
    assert marks.count(True) == 1
    assert "".join(c.content for c in told.shown[:first]) == "Hel"  # type: ignore[union-attr]
    assert "".join(c.content for c in told.shown[first:-1]) == "Hello"  # type: ignore[union-attr]
    assert told.completion.text == "Hello"
    assert [each.outcome for each in told.completion.route.attempts] == ["DeadlineExceededError", "ok"]


def test_the_marker_comes_with_the_new_answer_only() -> None:
    """While others fail before their first word nothing is taken back; if all do, the error keeps what was shown."""
    told = tell(
        plan(target("one"), target("two"), target("three")),
        Stream([HEL, late("silence")]),
        Stream([ROLE, RESET]),
        Stream([late()]),
        policy=RESTART,
    )
    assert isinstance(told.error, StreamInterruptedError)
    assert told.error.partial is not None
    assert told.error.partial.text == "Hel"
    assert len(told.error.attempts) == 3
    assert not any(chunk.reset for chunk in told.shown if isinstance(chunk, Chunk))


def test_it_may_break_again() -> None:
    """Each whole new answer has its marker; one that ends the call ends it with what was shown last."""
    broken: list[Any] = [HEL, late("silence")]
    told = tell(TWO, Stream(broken), Stream(broken), policy=RESTART)
    assert isinstance(told.error, StreamInterruptedError)
    assert [chunk.reset for chunk in told.shown if isinstance(chunk, Chunk)] == [False, True, False]


def test_a_restart_is_never_a_prefill() -> None:
    """The second request is the first one's, word for word: what was shown is not sent back."""
    told = tell(TWO, Stream([HEL, late("silence")]), Stream(), policy=RESTART)
    one, two = (call.body.replace(b"model-one", b"").replace(b"model-two", b"") for call in told.calls)
    assert one == two


# ---- a whole answer, streamed underneath -----------------------------------------------------------------------------

WIRE = Policy(wire_stream=True)


@pytest.mark.parametrize(
    "pieces",
    [[ROLE], [ROLE, HEL], [HEL, DONE], [HEL, b"data: {\n\n"], [HEL, RESET], [HEL, late("silence")], [late()], []],
)
def test_wire_stream_shows_nothing_until_it_is_whole(pieces: list[Any]) -> None:
    """However far it came, another attempt answers, and only its whole answer is seen."""
    told = tell(plan(target("one"), target("two")), Stream(pieces), Stream(), stream=False, policy=WIRE)
    assert [type(item) for item in told.shown] == [Completion]
    assert (told.completion.text, told.completion.usage) == ("Hello", Usage(5, 2, 7))
    assert all(b'"stream":true' in call.body for call in told.calls)


def test_wire_stream_takes_a_whole_reply_too() -> None:
    """A gateway's cache, or a plain server, answers as it likes."""
    plain = Stream([answer("Hi")], headers=JSON)
    assert tell(plan(), plain, stream=False, policy=WIRE).completion.text == "Hi"

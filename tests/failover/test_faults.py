"""Each fault, by every face, directly and behind the real gateway; judged from the targets' own log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from portkey_router import (
    AllTargetsFailedError,
    AuthenticationError,
    ContentFilterError,
    ContextLengthError,
    DeadlineExceededError,
    Deadlines,
    Fallback,
    GuardrailError,
    InvalidRequestError,
    PortkeyError,
    StreamInterruptedError,
    UpstreamRateLimitError,
    UpstreamUnavailableError,
    sandbox,
)
from tests.failover.faces import FACES, STREAMED, WHOLE, Face, Seen

if TYPE_CHECKING:
    from tests.failover.worlds import World

Fault = sandbox.Fault
each_face = pytest.mark.parametrize("face", FACES, ids=lambda face: face.name)
each_stream = pytest.mark.parametrize("face", STREAMED, ids=lambda face: face.name)
each_whole = pytest.mark.parametrize("face", WHOLE, ids=lambda face: face.name)

# Short where the fault is silence; where another answers, on a busy machine, it has its time.
QUICK = Deadlines(attempt=2.5, hurried_first_token=0.3, hurried_silence=0.3)
# Short only for the silence after words, which come in their own time.
AFTER_WORDS = Deadlines(attempt=2.5, hurried_silence=0.3, silence=0.5)
GENEROUS = 25.0  # seconds: reached only where something hangs


@pytest.fixture(autouse=True)
def _least_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chance gives the shortest waits: how long they are at most is shown where time is handed in."""
    monkeypatch.setattr("random.random", lambda: 0.0)


def ask(face: Face, world: World, *names: str, **options: Any) -> Seen:
    """One question to targets in this order."""
    targets = [world.target(name) for name in names or ("a", "b")]
    given = {"base_url": world.url, "api_key": None if world.providers else "pk", "strategy": Fallback(*targets)}
    began = time.monotonic()
    try:
        seen = face.ask(**{**given, **options})
        seen.check_whole()
    finally:
        assert time.monotonic() - began < GENEROUS
        world.check_not_hammered((names or ("a",))[0])
    return seen


def seen_of(error: BaseException) -> Seen:
    """What the caller had seen before an error."""
    seen = error.seen  # type: ignore[attr-defined]  # put there by the face
    assert isinstance(seen, Seen)
    return seen


# ---- 1 to 3: rate limits and passing faults ------------------------------------------------------------------------


@each_face
def test_a_short_retry_after_is_waited_out(face: Face, world: World) -> None:
    """429 with a Retry-After of less than half a second: the same target, not before."""
    world.script("a", Fault.status(429, retry_after=0.4))
    assert ask(face, world).target == "a"
    first, second = world.log("a")
    assert 0.4 <= second.time - first.time < GENEROUS
    assert world.asked() == ["a", "a"]


@pytest.mark.parametrize(
    "headers", [{"retry-after-ms": "1200"}, {"x-ms-retry-after-ms": "1200"}, {"retry-after": "1.2"}, "date"]
)
def test_every_spelling_of_retry_after(direct: World, headers: Any) -> None:
    """Milliseconds, seconds, or a date against the reply's own clock: all are waited out."""
    dates = {"date": "Wed, 21 Oct 2026 07:28:00 GMT", "retry-after": "Wed, 21 Oct 2026 07:28:02 GMT"}
    direct.script("a", Fault.status(429, headers=dates if headers == "date" else headers))
    assert ask(WHOLE[0], direct).target == "a"
    first, second = direct.log("a")
    assert second.time - first.time >= 1.2


@each_face
def test_a_long_retry_after_moves_on_and_is_kept(face: Face, world: World) -> None:
    """The next target answers at once, and for as long nobody asks this one."""
    world.always("a", Fault.status(429, retry_after=60))
    for _ in range(3):
        assert ask(face, world).target == "b"
    assert world.asked() == ["a", "b", "b", "b"]


@each_face
def test_a_persistent_429_is_asked_three_times(face: Face, world: World) -> None:
    """Whatever the caller allows; then the next target."""
    world.always("a", Fault.status(429))
    assert ask(face, world, max_retries=10).target == "b"
    assert world.asked() == ["a", "a", "a", "b"]


@each_face
def test_a_single_5xx_is_tried_again(face: Face, world: World) -> None:
    """Once, whichever it is: the same target answers."""
    for status in (500, 502, 503, 504, 529):
        name = f"a{status}"
        world.script(name, Fault.status(status))
        assert ask(face, world, name, "b").target == name
        assert len(world.log(name)) == 2


@each_face
def test_a_reset_before_the_headers_is_tried_again(face: Face, world: World) -> None:
    """The connection breaks before the reply: once more, then on."""
    world.script("a", Fault.reset())
    assert ask(face, world).target == "a"
    world.always("a", Fault.reset())
    assert ask(face, world).target == "b"
    assert world.asked() == ["a", "a", "a", "a", "b"]


@each_face
def test_a_persistent_5xx_is_bounded(face: Face, world: World) -> None:
    """Two tries, then the next; with none left the error, with every attempt."""
    world.always("a", Fault.status(503))
    assert ask(face, world).attempts == [("a", "UpstreamUnavailableError")] * 2 + [("b", "ok")]
    world.always("b", Fault.status(500))
    with pytest.raises(AllTargetsFailedError) as caught:
        ask(face, world)
    assert {record.status for record in caught.value.attempts} == {500, 503}
    assert {record.billed for record in caught.value.attempts} == {"no"}
    assert isinstance(caught.value.__cause__, PortkeyError)


@each_whole
def test_a_lone_target_tells_its_own_error(face: Face, world: World) -> None:
    """With nobody else to ask: the original error, with every attempt listed."""
    world.always("a", Fault.status(503))
    with pytest.raises(UpstreamUnavailableError) as caught:
        ask(face, world, "a")
    assert [record.status for record in caught.value.attempts] == [503] * 3
    assert len(world.log("a")) == 3


# ---- 4 and 5: silence ------------------------------------------------------------------------------------------------


@each_face
def test_a_silent_target_is_not_asked_again(face: Face, world: World) -> None:
    """Accepted and never answered: its deadline ends it, the next target answers, and the socket is closed."""
    world.always("a", Fault.hang())
    assert ask(face, world, deadlines=QUICK).attempts == [("a", "DeadlineExceededError"), ("b", "ok")]
    assert world.asked() == ["a", "b"]


@each_stream
def test_a_late_first_token(face: Face, world: World) -> None:
    """The headers come, the first word does not: likewise."""
    world.always("a", Fault.slow(first_token=30))
    assert ask(face, world, deadlines=QUICK).attempts == [("a", "DeadlineExceededError"), ("b", "ok")]


@each_stream
def test_pings_are_no_first_token(face: Face, world: World) -> None:
    """A stream of comments and empty events is silence."""
    world.always("a", Fault.stall(after=1, ping=True))
    assert ask(face, world, deadlines=QUICK).target == "b"


@each_whole
@pytest.mark.parametrize("fault", [Fault.stall(after=1), Fault.stall(after=3), Fault.stall(after=3, ping=True)])
def test_wire_stream_notices_silence(face: Face, world: World, fault: sandbox.Fault) -> None:
    """A whole answer that streams underneath: a stall, even after words, is another target's turn."""
    world.always("a", fault)
    assert ask(face, world, wire_stream=True, deadlines=QUICK).attempts == [("a", "DeadlineExceededError"), ("b", "ok")]


@each_stream
@pytest.mark.parametrize("ping", [True, False])
def test_silence_after_words_is_told(face: Face, world: World, ping: bool) -> None:
    """What was shown is kept, and never passes for the answer; the next call is served."""
    world.script("a", Fault.stall(after=3, ping=ping))
    with pytest.raises(StreamInterruptedError) as caught:
        ask(face, world, deadlines=AFTER_WORDS)
    assert caught.value.partial is not None
    assert caught.value.partial.text == "".join(seen_of(caught.value).shown) != ""
    assert ask(face, world).target == "a"


@each_face
def test_the_callers_total_bounds_it_all(face: Face, world: World) -> None:
    """`timeout` ends a call whose targets are silent, all attempts together."""
    for name in "ab":
        world.always(name, Fault.hang())
    began = time.monotonic()
    with pytest.raises(PortkeyError) as caught:
        ask(face, world, timeout=0.4)
    assert isinstance(caught.value, DeadlineExceededError)
    assert caught.value.phase == "total"
    assert time.monotonic() - began < GENEROUS


# ---- 6 to 8: streams that break, and streams that end ----------------------------------------------------------------

BREAKS = {
    "reset": Fault.reset(after=3),
    "clean close": Fault.cut(after=3),
    "[DONE] without finish_reason": Fault.no_finish_reason(),
    "an error inside": Fault.error_event(after=3),
    "a malformed event": Fault.malformed_event(after=3),
    "garbage": Fault.invalid_json(),
}
each_break = pytest.mark.parametrize("fault", BREAKS.values(), ids=BREAKS)


@each_break
@each_stream
def test_a_broken_stream_is_never_an_answer(face: Face, world: World, fault: sandbox.Fault) -> None:
    """After words it is told, with what had come; before them, another attempt answers in silence."""
    world.always("a", fault)
    if fault.kind == "invalid_json":  # before any word: another answers
        assert ask(face, world, max_retries=0).target == "b"
        return
    with pytest.raises(StreamInterruptedError) as caught:
        ask(face, world, max_retries=0)
    partial = caught.value.partial
    assert partial is not None
    assert partial.text == "".join(seen_of(caught.value).shown)
    assert partial.finish_reason is None


@each_break
@each_whole
def test_a_broken_stream_underneath_is_another_targets_turn(face: Face, world: World, fault: sandbox.Fault) -> None:
    """Nothing was shown: the whole answer comes from the next, in silence."""
    world.always("a", fault)
    seen = ask(face, world, wire_stream=True, max_retries=0)
    assert (seen.target, world.asked()) == ("b", ["a", "b"])


@pytest.mark.parametrize(
    "fault", [Fault.cut(after=1), Fault.reset(after=1), Fault.error_event(after=1), Fault.malformed_event(after=1)],
    ids=lambda fault: fault.kind,
)  # fmt: skip
@each_stream
def test_before_the_first_word_failing_over_is_silent(face: Face, world: World, fault: sandbox.Fault) -> None:
    """The role alone has come: the caller sees one whole answer."""
    world.always("a", fault)
    assert ask(face, world, max_retries=0).target == "b"
    assert world.asked() == ["a", "b"]


@each_face
def test_an_error_with_status_200(face: Face, world: World) -> None:
    """Its body is no answer, whatever the status says."""
    for fault in (Fault.error_in_200(), Fault.error_in_200(429), Fault.html(200), Fault.empty(200)):
        name = f"a-{fault.kind}-{len(world.asked())}"
        world.always(name, fault)
        assert ask(face, world, name, "b", max_retries=0).target == "b"
        assert len(world.log(name)) == 1


@each_stream
def test_an_end_without_done_is_complete(face: Face, world: World) -> None:
    """It said why it finished: whole, at once, with its usage."""
    world.always("a", Fault.no_done())
    seen = ask(face, world)
    assert (seen.target, world.asked()) == ("a", ["a"])
    assert seen.tokens is not None


@each_stream
def test_a_whole_answer_that_never_ends(face: Face, world: World) -> None:
    """Finished, and the stream stays open: complete with its usage, after a moment."""
    world.always("a", Fault.stall(after=-1, ping=True))
    began = time.monotonic()
    seen = ask(face, world)
    assert seen.tokens is not None
    assert time.monotonic() - began < GENEROUS


# ---- 9 to 11: what is never tried again ------------------------------------------------------------------------------


def refusal(status: int, message: str, code: str | None = None) -> sandbox.Fault:
    """A provider's refusal, in OpenAI's shape."""
    return Fault.status(status, body={"error": {"message": message, "type": code, "param": None, "code": code}})


TOO_LONG = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."


@each_face
def test_a_prompt_too_long_goes_to_a_larger_window(face: Face, world: World) -> None:
    """Not to the same model, not to one as small; where it fits nowhere the sizes are told."""
    world.always("small", refusal(400, TOO_LONG, "context_length_exceeded"))
    small, twin = world.target("small", model="gpt-4"), world.target("twin", model="gpt-4")
    strategy = Fallback(small, twin, world.target("large", model="gpt-4o"))
    assert ask(face, world, "small", strategy=strategy).target == "large"
    assert world.asked() == ["small", "large"]
    with pytest.raises(ContextLengthError, match=r"9,000 tokens are needed.*gpt-4 takes 8,192"):
        ask(face, world, "small", strategy=Fallback(small, twin))
    assert world.asked() == ["small", "large", "small"]


@each_face
def test_a_content_filter_is_told(face: Face, world: World) -> None:
    """Once, with the provider's reason; another target only where the caller says so."""
    world.always("a", refusal(400, "The response was filtered: hate (high)", "content_filter"))
    with pytest.raises(ContentFilterError, match=r"hate \(high\)"):
        ask(face, world)
    assert world.asked() == ["a"]
    assert ask(face, world, on_content_filter="fallback").target == "b"


@each_face
def test_what_belongs_to_a_target_falls_over(face: Face, world: World) -> None:
    """A refused key, an empty account, a missing model, a used-up budget: the next target at once."""
    for status in (401, 402, 403, 404, 412):
        name = f"a{status}"
        world.always(name, Fault.status(status))
        assert ask(face, world, name, "b").target == "b"
        assert len(world.log(name)) == 1


@each_face
def test_what_belongs_to_the_request_goes_to_the_caller(face: Face, world: World) -> None:
    """A wrong request, and a guardrail's denial: one attempt, its own error."""
    for status, kind in ((400, InvalidRequestError), (422, InvalidRequestError), (446, GuardrailError)):
        name = f"a{status}"
        world.always(name, Fault.status(status))
        with pytest.raises(kind):
            ask(face, world, name, "b")
        assert len(world.log(name)) == 1
    assert "b" not in world.asked()


@each_whole
def test_a_lone_target_with_a_wrong_key(face: Face, world: World) -> None:
    """One attempt, the error itself; not slowed down however often."""
    world.always("a", Fault.status(401))
    for _ in range(4):
        with pytest.raises(AuthenticationError):
            ask(face, world, "a")
    assert world.asked() == ["a"] * 4


def test_a_rate_limit_of_the_lone_target(direct: World) -> None:
    """Three attempts, the provider's error, and no more than four requests in three seconds over many calls."""
    direct.always("a", Fault.status(429))
    for _ in range(3):
        with pytest.raises(UpstreamRateLimitError):
            ask(WHOLE[0], direct, "a", max_retries=9)
    assert len(direct.log("a")) <= 9


# ---- 12: restart -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", [Fault.cut(after=3), Fault.stall(after=3), Fault.malformed_event(after=3)], ids=lambda fault: fault.kind
)
@each_stream
def test_restart_gives_a_marker_and_a_whole_new_answer(face: Face, world: World, fault: sandbox.Fault) -> None:
    """What was shown is void; what follows is whole; sums of chunks hold the new answer alone."""
    world.always("a", fault)
    seen = ask(face, world, on_stream_break="restart", deadlines=AFTER_WORDS, max_retries=0)
    assert seen.target == "b"
    (reset,) = seen.resets
    assert reset > 0
    bodies = [received.body["messages"] for received in world.desk.log()]
    assert all(body == bodies[0] for body in bodies)  # never an assistant's prefill

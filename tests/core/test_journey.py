from __future__ import annotations

import pytest

from portkey_router.errors import (
    AllTargetsFailedError,
    AuthenticationError,
    ConnectFailedError,
    DeadlineExceededError,
    PortkeyError,
    UpstreamRateLimitError,
    UpstreamUnavailableError,
)
from portkey_router.flow.journey import Deadlines
from portkey_router.flow.policy import RETRY_AFTER_MAX
from portkey_router.flow.steps import Send, Show
from portkey_router.messages import AttemptRecord, Usage
from portkey_router.targets import FALLBACK_STATUS_CODES, Fallback, Single, Target
from portkey_router.wire.http import HttpReply
from tests.core.fakes import JSON, URL, Clock, answer, failed, ok, plan, start, target, tell

REFUSED = ConnectFailedError("connection refused")


def late(phase: str) -> DeadlineExceededError:
    """A deadline that passed."""
    return DeadlineExceededError("late", phase=phase, seconds=1)  # type: ignore[arg-type]


def outcomes(error: PortkeyError | None) -> list[tuple[str, str]]:
    """Each attempt an error tells of: who was asked, what came."""
    assert error is not None
    return [(record.target, record.outcome) for record in error.attempts]


def test_an_answer_at_once() -> None:
    """One call, one answer, and the route it took."""
    headers = {"x-portkey-provider": "openai", "x-portkey-cache-status": "HIT", "x-request-id": "r-1"}
    told = tell(plan(), ok("Hi", {**headers, "x-portkey-retry-attempt-count": "1"}))
    assert [type(step) for step in told.steps] == [Send, Show]
    whole = told.completion
    assert (whole.text, whole.usage, whole.raw["id"]) == ("Hi", Usage(5, 2, 7), "c-1")
    route = whole.route
    assert (route.trace_id, route.target, route.provider) == ("t-1", "one", "openai")
    assert (route.cache_status, route.request_id, route.retries, route.run_on) == ("HIT", "r-1", 1, "client")
    (attempt,) = route.attempts
    assert attempt == AttemptRecord("one", "model-one", "ok", 0.0, status=200, billed="no", usage=Usage(5, 2, 7))


def test_the_call_that_is_made() -> None:
    """An attempt goes to the gateway with the common headers and its own, under the attempt's deadline."""
    clock = Clock(50)
    (call,) = tell(plan(target(headers={"x-portkey-virtual-key": "vk"})), ok(), clock=clock).calls
    assert (call.url, call.method, call.connect) == (URL, "POST", 5.0)
    assert call.headers == {"x-portkey-trace-id": "t-1", "x-portkey-virtual-key": "vk"}
    assert b'"model":"model-one"' in call.body
    assert call.expiry == (170, "attempt", 120.0)


def test_retry_then_success() -> None:
    """A passing fault is waited out at the same target, longer each time."""
    told = tell(plan(target(tries=3)), failed(503), REFUSED, ok("Hi"))
    assert told.completion.text == "Hi"
    assert told.waits == [0.25, 0.5]
    assert [(record.outcome, record.status) for record in told.completion.route.attempts] == [
        ("UpstreamUnavailableError", 503),
        ("ConnectFailedError", None),
        ("ok", 200),
    ]


@pytest.mark.parametrize("status", FALLBACK_STATUS_CODES)
def test_fallback_on_each_status_of_the_table(status: int) -> None:
    """Each status of the table leads to the next target, which answers."""
    told = tell(plan(target("one"), target("two")), failed(status), ok("Hi"))
    assert told.completion.route.target == "two"
    assert [call.body.count(b"model-two") for call in told.calls] == [0, 1]
    assert told.waits == []


@pytest.mark.parametrize("status", [400, 413, 422, 446])
def test_a_wrong_request_goes_straight_to_the_caller(status: int) -> None:
    """Another target would not help, or would be a way around a guardrail: one call, its own error."""
    told = tell(plan(target("one", tries=3), target("two")), failed(status))
    assert getattr(told.error, "status", None) == status
    assert len(told.calls) == 1
    assert not isinstance(told.error, AllTargetsFailedError)


def test_no_connection_is_tried_again_and_then_elsewhere() -> None:
    """A gateway that cannot be reached gets all its tries, then the next target has its turn."""
    told = tell(plan(target("one", tries=2), target("two")), REFUSED, REFUSED, ok("Hi"))
    assert told.completion.route.target == "two"
    assert len(told.waits) == 1


@pytest.mark.parametrize("phase", ["first_token", "silence", "attempt"])
def test_a_silent_target_is_not_asked_again(phase: str) -> None:
    """Silent once, silent twice: the next target is asked at once, whatever tries are left."""
    told = tell(plan(target("one", tries=3), target("two")), late(phase), ok("Hi"))
    assert told.completion.route.target == "two"
    assert told.waits == []


def test_the_total_deadline_ends_all() -> None:
    """When the call's own time is over nobody else is asked; the error says what had been tried."""
    told = tell(plan(target("one"), target("two"), target("three")), failed(503), late("total"))
    assert isinstance(told.error, DeadlineExceededError)
    assert told.error.phase == "total"
    assert outcomes(told.error) == [("one", "UpstreamUnavailableError"), ("two", "DeadlineExceededError")]


def test_no_wait_outlasts_the_total_deadline() -> None:
    """A wait that would end after the deadline is not begun: the caller gets the error at once."""
    told = tell(plan(target(tries=2)), failed(503, retry_after="3"), deadlines=Deadlines(total=3))
    assert isinstance(told.error, UpstreamUnavailableError)
    assert told.waits == []


def test_the_attempts_deadline_never_outlasts_the_total() -> None:
    """Each attempt has what is left of the call's time, if that is less than its own."""
    clock = Clock(0)
    deadlines = Deadlines(attempt=10, total=11)
    told = tell(plan(target(tries=2)), failed(503, retry_after="4"), ok(), clock=clock, deadlines=deadlines)
    assert [call.expiry for call in told.calls] == [(10, "attempt", 10), (11, "total", 11)]


def test_a_short_retry_after_is_waited_for() -> None:
    """The wait is the one stated, and up to a tenth more."""
    told = tell(plan(target(tries=2), target("two")), failed(429, retry_after="2"), ok("Hi"))
    assert told.waits == [pytest.approx(2.1)]
    assert told.completion.route.target == "one"


def test_a_long_retry_after_moves_on() -> None:
    """A target that wants to be left alone for long is; its own error is told where it was the only one."""
    long = str(RETRY_AFTER_MAX + 1)
    told = tell(plan(target("one", tries=3), target("two")), failed(429, retry_after=long), ok("Hi"))
    assert (told.completion.route.target, told.waits) == ("two", [])
    alone = tell(plan(target(tries=3)), failed(429, retry_after=long))
    assert isinstance(alone.error, UpstreamRateLimitError)
    assert alone.error.retry_after == RETRY_AFTER_MAX + 1


def test_all_targets_failed() -> None:
    """The error lists every attempt in order, the last error of each target, and comes from the first."""
    told = tell(
        plan(target("one", tries=2), target("two")), failed(503, "down"), failed(500, "worse"), failed(401, "no key")
    )
    error = told.error
    assert isinstance(error, AllTargetsFailedError)
    assert outcomes(error) == [
        ("one", "UpstreamUnavailableError"),
        ("one", "UpstreamUnavailableError"),
        ("two", "AuthenticationError"),
    ]
    assert [record.status for record in error.attempts] == [503, 500, 401]
    assert [type(one) for one in error.errors] == [UpstreamUnavailableError, AuthenticationError]
    assert error.__cause__ is error.errors[0]
    assert "All 2 targets failed" in str(error)
    assert all(text in str(error) for text in ("down", "worse", "no key"))


def test_a_single_target_has_its_own_error() -> None:
    """With nobody else to ask, the target's own error is raised, and lists the tries."""
    told = tell(plan(target(tries=2)), failed(503), failed(503, "still down"))
    assert isinstance(told.error, UpstreamUnavailableError)
    assert "still down" in str(told.error)
    assert len(told.error.attempts) == 2


def test_records_time_each_attempt() -> None:
    """An attempt's duration is its own, without the wait before it."""
    clock = Clock(0)
    going = start(plan(target(tries=2)), clock=clock)
    next(going)
    clock.now = 1.5
    going.send(failed(503))
    clock.now = 2.0
    going.send(None)
    clock.now = 2.25
    shown = going.send(ok())
    assert isinstance(shown, Show)
    assert [record.seconds for record in shown.item.route.attempts] == [1.5, 0.25]  # type: ignore[union-attr]


def test_a_200_that_is_no_answer_falls_over() -> None:
    """A page, or an error in a 200, is a failure like any other."""
    told = tell(plan(target("one"), target("two")), HttpReply(200, JSON, b"<html>"), ok("Hi"))
    assert told.completion.route.target == "two"
    told = tell(plan(target("one"), target("two")), HttpReply(200, JSON, b'{"error": "lost"}'), ok("Hi"))
    assert told.completion.route.target == "two"


def test_keys_that_were_sent_are_in_no_error() -> None:
    """The attempt's own keys are struck from what comes back, in records too."""
    key = "wJalrXUtnFEMI/K7"
    one, two = {"x-portkey-virtual-key": key}, {"authorization": f"Bearer {key}"}
    told = tell(
        plan(target("one", headers=one), target("two", headers=two)),
        failed(401, f"bad: {key}"),
        failed(403, f"bad: {key}"),
    )
    assert isinstance(told.error, AllTargetsFailedError)
    assert key not in str(told.error) + repr(told.error.attempts) + repr([vars(each) for each in told.error.errors])


@pytest.mark.parametrize("status", [429, 500, 503, 401, 400])
def test_run_by_the_gateway_nothing_is_tried_again(status: int) -> None:
    """Run by the gateway an HTTP error is final: it has been retried and fallen over already."""
    told = tell(plan(target("one", tries=2), target("two"), run_on="gateway"), failed(status))
    assert getattr(told.error, "status", None) == status
    assert len(told.calls) == 1


def test_run_by_the_gateway_the_target_that_answered_is_found() -> None:
    """`x-portkey-last-used-option-index` leads to the target of our own strategy."""
    from dataclasses import replace

    strategy = Fallback(Target("gpt-4o", name="big"), Target("claude-3", name="spare"))
    attempt = replace(target("big > spare"), strategy=strategy, model=None)
    told = tell(plan(attempt, run_on="gateway"), ok("Hi", {"x-portkey-last-used-option-index": "config.targets[1]"}))
    route = told.completion.route
    assert (route.target, route.index, route.run_on) == ("spare", "config.targets[1]", "gateway")
    single = replace(attempt, strategy=Single("gpt-4o"))
    assert tell(plan(single, run_on="gateway"), ok("Hi", {})).completion.route.target == "big > spare"


@pytest.mark.parametrize("gone", [KeyboardInterrupt, SystemExit])
def test_ctrl_c_is_not_swallowed(gone: type[BaseException]) -> None:
    """What is no error of ours ends the journey as it is."""
    going = start(plan(target("one"), target("two")))
    next(going)
    with pytest.raises(gone):
        going.throw(gone())


def test_the_model_is_told_even_if_the_reply_forgets_it() -> None:
    """A reply without a model is the asked model's."""
    body = answer("Hi").replace(b'"model": "gpt-4o", ', b"")
    assert tell(plan(), HttpReply(200, JSON, body)).completion.model == "model-one"

"""The journey hand-fed: circuits, probes, cooldowns, and targets in trouble."""

from __future__ import annotations

from typing import Any

import pytest

from portkey_router.errors import (
    AllTargetsFailedError,
    PortkeyError,
    UpstreamRateLimitError,
    UpstreamUnavailableError,
)
from portkey_router.flow.journey import Deadlines
from portkey_router.flow.steps import CallerLeft, Show
from portkey_router.messages import Completion
from tests.core.fakes import (
    Clock,
    Reply,
    asked,
    down,
    failed,
    memory,
    ok,
    plan,
    start,
    target,
    tell,
)

TWO = plan(target("one", tries=3), target("two", tries=3))


def test_a_target_that_is_down_is_passed_over() -> None:
    """Its circuit is open: the next is asked at once, and nothing is sent to it."""
    clock, health = Clock(), memory()
    down(health, "one", clock)
    assert asked(tell(TWO, ok(), health=health, clock=clock)) == ["two"]


def test_failures_of_calls_open_it_and_a_probe_closes_it() -> None:
    """Three failures in a row over two calls; then one probe after its time, and the primary serves again."""
    clock, health = Clock(), memory()
    assert asked(tell(TWO, failed(503), failed(503), ok(), health=health, clock=clock)) == ["one", "one", "two"]
    # The third failure in a row opens it: no retry at a target that is down while another is not.
    assert asked(tell(TWO, failed(503), ok(), health=health, clock=clock)) == ["one", "two"]
    assert asked(tell(TWO, ok(), health=health, clock=clock)) == ["two"]
    clock.now += 1.1
    assert asked(tell(TWO, failed(503), ok(), health=health, clock=clock)) == ["one", "two"]  # a probe: one try
    clock.now += 1.1
    assert asked(tell(TWO, ok(), health=health, clock=clock)) == ["two"]  # twice as long now
    clock.now += 1.1
    assert asked(tell(TWO, ok(), health=health, clock=clock)) == ["one"]
    assert asked(tell(TWO, ok(), health=health, clock=clock)) == ["one"]


def test_one_probe_at_a_time() -> None:
    """While a call is the probe, others go to the next target."""
    clock, health = Clock(), memory()
    down(health, "one", clock)
    clock.now += 2
    probe = start(TWO, health=health, clock=clock)
    assert b"model-one" in next(probe).call.body
    assert asked(tell(TWO, ok(), health=health, clock=clock)) == ["two"]
    shown = probe.send(ok())
    assert isinstance(shown.item, Completion)
    assert asked(tell(TWO, ok(), health=health, clock=clock)) == ["one"]


@pytest.mark.parametrize("end", [CallerLeft(), KeyboardInterrupt(), None])
def test_a_probe_whose_caller_leaves_is_given_back(end: BaseException | None) -> None:
    """Thrown out, interrupted, or dropped without a word: the next call is the probe."""
    clock, health = Clock(), memory()
    down(health, "one", clock)
    clock.now += 2
    probe = start(TWO, health=health, clock=clock)
    next(probe)
    if end is None:
        probe.close()
    else:
        with pytest.raises(type(end)):
            probe.throw(end)
    assert asked(tell(TWO, ok(), health=health, clock=clock)) == ["one"]


def test_all_down_means_the_one_that_failed_longest_ago() -> None:
    """Never an error without trying: it is asked, once."""
    clock, health = Clock(), memory()
    three = plan(target("one", tries=3), target("two", tries=3), target("three", tries=3))
    for name in ("two", "three", "one"):
        down(health, name, clock)
        clock.now += 0.1
    assert asked(tell(three, ok(), health=health, clock=clock)) == ["two"]
    for name in ("two", "three", "one"):
        down(health, name, clock)
        clock.now += 0.1
    told = tell(three, failed(503), health=health, clock=clock)
    assert (asked(told), type(told.error)) == (["two"], UpstreamUnavailableError)


def test_the_passed_over_are_the_last_resort() -> None:
    """Where all others fail, the one that was passed over is asked after all, once."""
    clock, health = Clock(), memory()
    down(health, "one", clock)
    assert asked(tell(TWO, failed(401), ok(), health=health, clock=clock)) == ["two", "one"]
    down(health, "one", clock)
    told = tell(TWO, failed(401), failed(503), health=health, clock=clock)
    assert isinstance(told.error, AllTargetsFailedError)
    assert asked(told) == ["two", "one"]


def test_a_lone_target_is_asked_however_it_does() -> None:
    """There is nobody else: its circuit keeps nobody from it."""
    clock, health = Clock(), memory()
    down(health, "one", clock)
    assert asked(tell(plan(target("one")), ok(), health=health, clock=clock)) == ["one"]


def test_a_long_retry_after_cools_the_target_down_for_as_long() -> None:
    """Others are asked until then; then it is probed."""
    clock, health = Clock(), memory()
    assert asked(tell(TWO, failed(429, retry_after="60"), ok(), health=health, clock=clock)) == ["one", "two"]
    clock.now += 59
    assert asked(tell(TWO, ok(), health=health, clock=clock)) == ["two"]
    clock.now += 1.1
    assert asked(tell(TWO, ok(), health=health, clock=clock)) == ["one"]


@pytest.mark.parametrize("status", [429, 503])
def test_a_lone_target_in_trouble_is_not_hammered(status: int) -> None:
    """Whatever a caller allows, in one call or in many: four requests in any three seconds."""
    clock, health = Clock(), memory()
    sent: list[float] = []
    for _ in range(4):
        going = start(plan(target("one", tries=50)), health=health, clock=clock, deadlines=Deadlines(total=30))
        told = feed_always(going, failed(status), clock, sent)
        assert isinstance(told, UpstreamRateLimitError | UpstreamUnavailableError)
        assert len(told.attempts) <= (3 if status == 429 else 50)
    assert len(sent) > 8
    assert all(later - earlier >= 3 for earlier, later in zip(sent, sent[4:], strict=False))


def feed_always(going: Any, reply: Reply, clock: Clock, sent: list[float]) -> BaseException:
    """The error of a journey whose every request is answered so; `sent` is when they were."""
    outcome: Any = None
    try:
        while True:
            step = going.send(outcome)
            outcome = None
            if hasattr(step, "call"):
                sent.append(clock.now)
                clock.now += 0.01
                outcome = reply
            else:
                clock.now += step.seconds
    except PortkeyError as error:
        return error


def test_a_call_that_gets_no_turn_is_told_so() -> None:
    """Too many calls at a target in trouble: this one is not sent, and does not wait for ever."""
    clock, health = Clock(), memory()
    down(health, "one", clock, 4)
    lone = plan(target("one"))
    for _ in range(40):  # others take every turn
        health.depart("one", clock.now)
    going = start(lone, health=health, clock=clock)
    step = next(going)

    def wait() -> None:
        while True:
            clock.now += going.send(None).seconds
            while not health.depart("one", clock.now):
                pass

    clock.now += step.seconds
    while not health.depart("one", clock.now):
        pass
    with pytest.raises(UpstreamUnavailableError, match="wait to be sent"):
        wait()


@pytest.mark.parametrize("status", [400, 422, 446])
def test_a_bad_request_says_nothing_against_its_target(status: int) -> None:
    """A caller's own mistakes, however many, open no circuit."""
    clock, health = Clock(), memory()
    for _ in range(20):
        assert asked(tell(TWO, failed(status), health=health, clock=clock)) == ["one"]


def test_the_sequence_of_a_minutes_outage() -> None:
    """Down for a minute with a request every 100 ms: all answered, few probes, and back within seconds."""
    clock, health = Clock(0), memory()
    answered: list[str] = []
    at_primary: list[float] = []
    back: float | None = None
    while clock.now < 75:
        is_down = 5 <= clock.now < 65
        going = start(TWO, health=health, clock=clock)
        outcome: Any = None
        while True:
            step = going.send(outcome)
            outcome = None
            if isinstance(step, Show):
                answered.append(step.item.route.target)  # type: ignore[union-attr]
                break
            if hasattr(step, "call"):
                primary = b"model-one" in step.call.body
                at_primary += [clock.now] * (primary and is_down)
                outcome = failed(503) if primary and is_down else ok()
                back = clock.now if primary and clock.now >= 65 and back is None else back
            else:
                clock.now += step.seconds
        clock.now += 0.1
    assert set(answered) == {"one", "two"}
    assert answered[-1] == "one"
    assert back is not None
    assert back - 65 < 5
    assert len(at_primary) < 3 + 2 + 60 / 3  # until it opened, and then a probe every four seconds or so
    assert all(later - earlier >= 3 for earlier, later in zip(at_primary, at_primary[4:], strict=False))

"""The journey hand-fed: what attempts may have been billed, and what is told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from portkey_router.errors import (
    PortkeyError,
)
from portkey_router.events import AttemptFinished, CallFinished, EventHub, RouteDecided, TargetCooledDown
from portkey_router.flow.steps import CallerLeft, Emit, Show
from portkey_router.messages import Usage
from portkey_router.pricing import PriceBook
from portkey_router.wire.http import HttpReply
from tests.core.fakes import (
    JSON,
    REFUSED,
    RESET,
    Clock,
    Reply,
    Stream,
    delta,
    event,
    failed,
    late,
    memory,
    ok,
    plan,
    start,
    target,
    tell,
    usage_event,
)

if TYPE_CHECKING:
    from portkey_router.events import Event

ROLE, HEL = delta(role="assistant"), delta(content="Hel")
TWO = plan(target("one", tries=3), target("two", tries=3))


@pytest.mark.parametrize(
    ("reply", "billed", "usage"),
    [
        (failed(503), "no", None),
        (failed(429), "no", None),
        (REFUSED, "no", None),
        (late("connect"), "no", None),
        (failed(408), "maybe", None),
        (failed(504), "maybe", None),
        (failed(524), "maybe", None),
        (RESET, "maybe", None),
        (late("attempt"), "maybe", None),
        (Stream([HEL, usage_event(5, 1), late("silence")]), "yes", Usage(5, 1, 6)),
        (Stream([ROLE, late("first_token")]), "maybe", None),
        (Stream([ROLE, event({"error": {"message": "x"}})]), "maybe", None),
        (HttpReply(200, JSON, b'{"error": {"message": "x"}}'), "maybe", None),
    ],
    ids=repr,
)
def test_what_a_failed_attempt_may_have_been_billed(reply: Reply, billed: str, usage: Usage | None) -> None:
    """No where it never reached the provider or was refused, yes where tokens are stated, else maybe.

    Of an answer that the gateway would not wait for (408, 504, 524), nobody knows.
    """
    told = tell(plan(), reply)
    assert isinstance(told.error, PortkeyError)
    (attempt,) = told.error.attempts
    assert (attempt.billed, attempt.usage) == (billed, usage)


def test_the_answer_is_accounted_to_who_gave_it() -> None:
    """Model, usage and cost are the answering target's; the others stand in the list."""
    attempts = plan(target("one"), target("two", model="gpt-4o", stated_provider="openai"))
    told = tell(attempts, failed(503), ok(), prices=PriceBook())
    route = told.completion.route
    assert (told.completion.model, route.target) == ("gpt-4o", "two")
    assert told.completion.cost is not None
    assert told.completion.cost.model == "gpt-4o"
    assert [(a.target, a.status, a.billed) for a in route.attempts] == [("one", 503, "no"), ("two", 200, "yes")]


class Heard:
    """A sink that keeps what it hears."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def handle(self, event: Event) -> None:
        """Keep it."""
        self.events.append(event)


def test_what_is_told_of_a_call() -> None:
    """The plan, each attempt, each target that is left alone, and the end."""
    heard = Heard()
    clock, health = Clock(), memory()
    tell(TWO, failed(429, retry_after="60"), ok(), hub=EventHub([heard]), call_id="c", health=health, clock=clock)
    decided, first, cooled, second, finished = heard.events
    assert isinstance(decided, RouteDecided)
    assert (decided.targets, decided.strategy, decided.call_id) == (("one", "two"), "fallback", "c")
    assert isinstance(first, AttemptFinished)
    assert (first.number, first.target, first.outcome, first.status) == (1, "one", "UpstreamRateLimitError", 429)
    assert cooled == TargetCooledDown("one", 60.0, "UpstreamRateLimitError")
    assert isinstance(second, AttemptFinished)
    assert (second.number, second.target, second.outcome) == (2, "two", "ok")
    assert isinstance(finished, CallFinished)
    assert (finished.outcome, finished.target, finished.attempts, finished.retries) == ("ok", "two", 2, 0)
    assert finished.usage == Usage(5, 2, 7)


def test_the_end_is_told_before_the_answer_is_handed_over() -> None:
    """A caller who takes the whole answer and closes has not left early."""
    heard = Heard()
    hub = EventHub([heard])
    going = start(plan(), hub=hub)
    outcome: Any = None
    while not isinstance(step := going.send(outcome), Show):
        if isinstance(step, Emit):
            hub.emit(step.event)
        outcome = ok()
    with pytest.raises(CallerLeft):
        going.throw(CallerLeft())
    assert [e.outcome for e in heard.events if isinstance(e, CallFinished)] == ["ok"]


@pytest.mark.parametrize("end", [CallerLeft(), KeyboardInterrupt()])
def test_leaving_is_told(end: BaseException) -> None:
    """A caller who leaves has `left`: the attempt may have been billed, and nothing is an answer."""
    heard = Heard()
    hub = EventHub([heard])
    going = start(plan(), stream=True, hub=hub)
    stream = Stream([HEL, delta(content="lo")])
    outcome: Any = None
    while not isinstance(step := going.send(outcome), Show):
        if isinstance(step, Emit):
            hub.emit(step.event)
        else:
            outcome = stream if hasattr(step, "call") else stream.next()

    def finish() -> None:
        step = going.throw(end)
        while True:
            if isinstance(step, Emit):
                hub.emit(step.event)
            step = going.send(None)

    with pytest.raises(type(end)):
        finish()
    _, attempt, finished = heard.events
    assert isinstance(attempt, AttemptFinished)
    assert isinstance(finished, CallFinished)
    assert (attempt.outcome, finished.outcome, finished.attempts) == ("left", "left", 1)
    assert finished.first_token is not None


def test_failures_are_told() -> None:
    """The error's class and words, in the attempt and in the end."""
    heard = Heard()
    tell(plan(), failed(401, "bad key"), hub=EventHub([heard]))
    _, attempt, finished = heard.events
    assert isinstance(attempt, AttemptFinished)
    assert isinstance(finished, CallFinished)
    assert (attempt.outcome, finished.outcome) == ("AuthenticationError",) * 2
    assert "bad key" in (finished.error or "")


def test_nobody_listens() -> None:
    """Then nothing is made for anybody to hear."""
    assert not any(isinstance(step, Emit) for step in tell(plan(), ok(), hub=EventHub()).steps)

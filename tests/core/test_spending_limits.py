"""Limits, a ledger without its store, and who hears of money; journeys fed by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from portkey_router.budget import Budget, RateLimit
from portkey_router.costing import Experience
from portkey_router.errors import (
    AdmissionError,
    RateLimitExceededError,
    StoreError,
)
from portkey_router.events import BudgetAlert, BudgetExceeded, EventHub, capture_events
from portkey_router.flow.journey import Deadlines
from portkey_router.flow.policy import Policy
from portkey_router.flow.spending import Spending
from portkey_router.flow.steps import Release, Reserve
from portkey_router.messages import CallOptions
from portkey_router.stores.memory_ledger import MemoryLedgerStore
from tests.core.fakes import (
    EVENTS,
    REFUSED,
    Clock,
    Stream,
    asked,
    failed,
    ok,
    perform,
    plan,
    start,
    target,
    tell,
)
from tests.core.money import (
    COST,
    DEAR,
    DOLLAR,
    ZERO,
    dear_and_cheap,
    money_steps,
    spending,
    state,
)

if TYPE_CHECKING:
    from portkey_router.events import Event
    from portkey_router.ledger.commands import Command, Reply


def limited(**limit: Any) -> dict[str, Any]:
    """Surroundings with one limit, of one request a minute."""
    return spending(DOLLAR, limits=[RateLimit("all", **{"requests": 1, "when": {}, **limit})])


def test_a_limit_has_the_call_wait_for_its_turn() -> None:
    """The second call within the minute waits for it to be over, and is sent."""
    around = limited()
    assert tell(plan(), ok(), **around).waits == []
    assert tell(plan(), ok(), **around).waits == [60.0]


def test_a_wait_that_the_call_has_no_time_for_is_refused_at_once() -> None:
    """It would end after the call's deadline, or leave no time for an answer as long as they have been."""
    around = limited()
    tell(plan(), ok(), **around)
    told = tell(plan(), deadlines=Deadlines(total=50), **around)
    assert isinstance(told.error, RateLimitExceededError)
    assert (told.error.retry_after, told.waits, told.calls) == (60.0, [], [])
    experience = Experience()
    around["spending"] = Spending(around["spending"].ledger, experience)
    experience.answered("one", 0, None, 10.0)
    assert isinstance(tell(plan(), deadlines=Deadlines(total=65), **around).error, RateLimitExceededError)
    assert tell(plan(), ok(), deadlines=Deadlines(total=75), **around).waits == [60.0]


def test_who_has_another_target_does_not_wait_long() -> None:
    """A limit of one target has the call wait as a Retry-After would; beyond that the other is asked."""
    around = limited(when={"target": "one"})
    tell(plan(), ok(), **around)
    told = tell(plan(target(), target("two")), ok(), **around)
    assert (asked(told), told.waits) == (["two"], [])
    patient = Policy(retry_after_max=61)
    told = tell(plan(target(), target("two")), ok(), policy=patient, **around)
    assert (asked(told), told.waits) == (["one"], [60.0])


def test_of_limits_and_budgets_the_limit_that_is_over_first_is_told() -> None:
    """Whom every target refuses is told what to wait for: seconds, and not a month."""
    budget = Budget("dear", usd="0.001", per="month", when={"target": "dear"})
    around = spending(budget, limits=[RateLimit("one", requests=1, when={"target": "one"}, wait=False)])
    tell(plan(target("one")), ok(), **around)
    told = tell(dear_and_cheap(), **{**around, "prices": DEAR})
    assert isinstance(told.error, RateLimitExceededError)
    assert "Budget 'dear'" in told.error.__notes__[0]


def test_an_interrupted_wait_gives_the_place_back() -> None:
    """What was never sent counts neither as spent nor as a request."""
    around = limited()
    tell(plan(), ok(), **around)
    going = start(plan(), **around)
    reserve = next(going)
    assert isinstance(reserve, Reserve)
    wait = going.send(perform(reserve, ()))
    assert wait.seconds == 60.0
    release = going.throw(KeyboardInterrupt())
    assert isinstance(release, Release)
    assert release.sent is False
    perform(release, ())
    with pytest.raises(KeyboardInterrupt):
        going.send(None)
    assert state(around).spent_usd == COST
    assert tell(plan(), ok(), **around).waits == [60.0]


@pytest.mark.parametrize(("reply", "waits"), [(REFUSED, []), (failed(400), [60.0])], ids=["unsent", "refused there"])
def test_what_never_left_is_no_request(reply: Any, waits: list[float]) -> None:
    """A connection that was never made leaves its place to others; an error's status has taken it."""
    around = limited()
    tell(plan(), reply, **around)
    assert tell(plan(), ok(), **around).waits == waits


LEFT = {"x-ratelimit-remaining-requests": "0"}


@pytest.mark.parametrize(
    "ending",
    [ok(headers=LEFT), failed(429, **LEFT), Stream(headers={**EVENTS, **LEFT})],
    ids=["answer", "error", "stream"],
)
def test_the_providers_own_word_tightens_a_limit(ending: Any) -> None:
    """What its headers say is left holds for the next call, though we counted fewer; of an error's reply as well."""
    around = limited(requests=60, when={"target": "one"})
    told = tell(plan(), ending, **around)
    assert money_steps(told)[-1] == "Feed"
    assert tell(plan(), ok(), **around).waits == [1.0]
    assert "Feed" not in money_steps(tell(plan(), ok(), **around)), "without a word nothing is told"


# ---- the store -------------------------------------------------------------------------------------------------------


class Failing(MemoryLedgerStore):
    """A store that cannot be reached while `broken`."""

    broken = True

    def run(self, command: Command) -> Reply:
        """Fail, or do it."""
        if self.broken:
            raise StoreError("no Redis")
        return super().run(command)


def test_without_its_store_a_ledger_denies_or_allows() -> None:
    """`deny`: refused before anything is sent. `allow`: sent, and told to the store once it answers again."""
    around = spending(DOLLAR, store=Failing(Clock(1_700_000_000.0)), pause=0.0)
    told = tell(plan(target(), target("two")), **around)
    assert type(told.error) is AdmissionError
    assert "no Redis" in str(told.error)
    store = Failing(Clock(1_700_000_000.0))
    around = spending(DOLLAR, store=store, pause=0.0, on_ledger_error="allow")
    assert tell(plan(), ok(), **around).completion.text == "Hi"
    store.broken = False
    assert (state(around).spent_usd, state(around).held_usd) == (COST, ZERO)


# ---- who hears of it -------------------------------------------------------------------------------------------------


class Hearing:
    """A sink that keeps what it hears."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def handle(self, event: Event) -> None:
        """Keep it."""
        self.events.append(event)


def test_alerts_and_refusals_reach_the_calls_own_listeners_each_once() -> None:
    """The router's sinks, the ledger's and `on_event` hear of both; a sink that both have hears once."""
    shared, ledgers, routers = Hearing(), Hearing(), Hearing()
    own: list[Event] = []
    around = spending(Budget("all", usd="0.00500", per="total", alerts=(0.001,)), hub=EventHub([shared, ledgers]))
    hub = EventHub([shared, routers]).for_call(own.append)
    with capture_events() as captured:
        tell(plan(), ok(), hub=hub, options=CallOptions(tags={"user": "u1"}), **around)
        tell(plan(), hub=hub, body={"max_tokens": 9000}, **around)
    money = BudgetAlert | BudgetExceeded
    for heard in (shared.events, ledgers.events, routers.events, own, captured):
        assert [type(each).__name__ for each in heard if isinstance(each, money)] == ["BudgetAlert", "BudgetExceeded"]
    (alert,) = [each for each in own if isinstance(each, BudgetAlert)]
    assert (alert.tags["user"], alert.tags["target"], alert.spent_usd) == ("u1", "one", COST)

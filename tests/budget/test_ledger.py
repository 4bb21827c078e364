"""What a ledger promises, on each of its stores."""

from __future__ import annotations

import asyncio
import pickle
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from portkey_router.bound import Bound
from portkey_router.budget import Budget, RateLimit, Reservation
from portkey_router.errors import AdmissionError, BudgetExceededError, ConfigurationError, RateLimitExceededError
from portkey_router.events import BudgetAlert, BudgetExceeded, EventHub, capture_events
from portkey_router.ledger.keeper import BudgetLedger
from portkey_router.stores.memory_ledger import MemoryLedgerStore

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from portkey_router.events import Event
    from tests.budget.conftest import MakeLedger

DOLLAR = 10**9
NOBODY: Mapping[str, Any] = {}


def most(dollars: float, tokens: int = 0, expected: float | None = None) -> Bound:
    """A bound of so many dollars."""
    likely = None if expected is None else round(expected * DOLLAR)
    return Bound(most=round(dollars * DOLLAR), expected=likely, tokens=tokens)


def standing(ledger: BudgetLedger, tags: Mapping[str, Any] = NOBODY) -> list[tuple[Decimal, Decimal]]:
    """What is spent and held of each budget."""
    return [(state.spent_usd, state.held_usd) for state in ledger.report(tags).budgets]


# ---- budgets ---------------------------------------------------------------------------------------------------------


def test_a_reservation_is_settled_at_its_exact_cost(make_ledger: MakeLedger) -> None:
    """Held at its bound while in flight, then spent as it cost, to the nano-dollar; a second time changes nothing."""
    ledger = make_ledger([Budget("all", usd=5, per="day")])
    made = ledger.reserve(most(0.5), NOBODY)
    assert made.wait == 0
    assert standing(ledger) == [(Decimal(0), Decimal("0.5"))]
    for _ in range(2):
        ledger.settle(pickle.loads(pickle.dumps(made)), Decimal("0.123456789"))  # noqa: S301  (our own)
        assert standing(ledger) == [(Decimal("0.123456789"), Decimal(0))]
    (state,) = ledger.report(NOBODY).budgets
    assert state.left_usd == Decimal("4.876543211")
    assert state.resets_at is not None


def test_less_than_a_nano_dollar_is_rounded_up(make_ledger: MakeLedger) -> None:
    """A sum of costs is never below what they are."""
    ledger = make_ledger([Budget("all", usd=5, per="total")])
    ledger.settle(ledger.reserve(most(1), NOBODY), Decimal("0.00000000001"))
    assert standing(ledger) == [(Decimal("0.000000001"), Decimal(0))]


def test_an_unknown_cost_is_taken_as_it_was_held(make_ledger: MakeLedger) -> None:
    """What nobody knows is not free."""
    ledger = make_ledger([Budget("all", usd=5, per="total")])
    ledger.settle(ledger.reserve(most(0.5), NOBODY), None)
    assert standing(ledger) == [(Decimal("0.5"), Decimal(0))]


def test_what_was_not_billed_is_given_back(make_ledger: MakeLedger) -> None:
    """After a release all is as before; a late settlement of it changes nothing."""
    ledger = make_ledger([Budget("all", usd=1, per="month")])
    made = ledger.reserve(most(1), NOBODY)
    ledger.release(made)
    ledger.settle(made, Decimal(1))
    assert standing(ledger) == [(Decimal(0), Decimal(0))]


def test_a_hard_budget_lets_nothing_through_that_does_not_fit(make_ledger: MakeLedger) -> None:
    """Exactly what is left still fits; a nano-dollar more is refused, with an error and an event that say why."""
    ledger = make_ledger([Budget("search", usd=1, per="month", by="user")])
    ledger.settle(ledger.reserve(most(0.4), {"user": "u1"}), Decimal("0.25"))
    ledger.reserve(most(0.5), {"user": "u1"})
    with (
        capture_events() as events,
        pytest.raises(BudgetExceededError, match=r"'search' for user='u1'.*\$0\.25 is left"),
    ):
        ledger.reserve(Bound(most=DOLLAR // 4 + 1), {"user": "u1"})
    (event,) = events
    assert isinstance(event, BudgetExceeded)
    assert (event.budget, event.key, event.spent_usd) == ("search", "u1", Decimal("0.25"))
    assert (event.needed_usd, event.limit_usd) == (Decimal("0.250000001"), Decimal(1))
    ledger.reserve(Bound(most=DOLLAR // 4), {"user": "u1"})


def test_all_or_nothing(make_ledger: MakeLedger) -> None:
    """Where one budget or limit refuses, none of the others holds anything."""
    wide, narrow = Budget("wide", usd=100, per="day"), Budget("narrow", usd=1, per="month")
    ledger = make_ledger([wide, narrow], [RateLimit("slow", requests=1, per="hour", wait=False)])
    with pytest.raises(BudgetExceededError):
        ledger.reserve(most(2), NOBODY)
    assert standing(ledger) == [(Decimal(0), Decimal(0))] * 2
    assert ledger.report(NOBODY).limits[0].requests_left == 1
    ledger.settle(ledger.reserve(most(0.5), NOBODY), Decimal("0.5"))
    with pytest.raises(RateLimitExceededError):
        ledger.reserve(most(0.5), NOBODY)
    assert standing(ledger) == [(Decimal("0.5"), Decimal(0))] * 2


def test_a_call_without_a_bound_is_refused_by_hard_budgets_only(make_ledger: MakeLedger) -> None:
    """An unknown price never passes a hard budget; a soft one counts what it turns out to cost."""
    unknown = Bound(unknown="no price is known for acme-1. Give prices={...} for it.")
    hard = make_ledger([Budget("hard", usd=5)])
    with pytest.raises(BudgetExceededError, match=r"'hard'.*acme-1.*prices="):
        hard.reserve(unknown, NOBODY)
    soft = make_ledger([Budget("soft", usd=5, hard=False)])
    soft.settle(soft.reserve(unknown, NOBODY), Decimal(4))
    assert standing(soft) == [(Decimal(4), Decimal(0))]


def test_a_soft_budget_holds_what_is_expected(make_ledger: MakeLedger) -> None:
    """Not the bound but the learned length decides, so the last call may end above the limit; the next is refused."""
    ledger = make_ledger([Budget("soft", usd=1, hard=False, per="total")])
    made = ledger.reserve(most(50, expected=0.9), NOBODY)
    assert standing(ledger) == [(Decimal(0), Decimal("0.9"))]
    ledger.settle(made, Decimal("1.5"))
    with pytest.raises(BudgetExceededError, match="will cost about"):
        ledger.reserve(most(50, expected=0.1), NOBODY)


def test_when_selects_and_by_divides(make_ledger: MakeLedger) -> None:
    """Only calls with the tags count, each value of `by` by itself, numbers as text; those without it share one."""
    budgets = [
        Budget("search", usd=10, when={"team": ["search", "maps"]}, per="month"),
        Budget("each user", usd=2, by="user", per="day"),
    ]
    ledger = make_ledger(budgets)
    for tags in ({"team": "search", "user": 1}, {"team": "maps", "user": "1"}, {"team": "mail", "user": "2"}, {}):
        ledger.settle(ledger.reserve(most(1), tags), Decimal("0.5"))
    assert standing(ledger, {"team": "search", "user": "1"}) == [(Decimal(1), Decimal(0))] * 2
    assert standing(ledger, {"user": "2"}) == [(Decimal("0.5"), Decimal(0))]
    assert standing(ledger, {"team": None}) == [(Decimal("0.5"), Decimal(0))]
    assert ledger.terms({"team": "search"}).hard


def test_without_budgets_nothing_is_asked(make_ledger: MakeLedger) -> None:
    """A call that is subject to nothing costs no round trip."""
    ledger = make_ledger([Budget("search", usd=1, when={"team": "search"})])
    assert not ledger.terms({"team": "mail"}).any
    made = ledger.reserve(most(100), {"team": "mail"})
    assert made == Reservation("")
    ledger.settle(made, Decimal(100))
    assert ledger.report({"team": "mail"}).budgets == ()


def test_alerts_are_told_once_a_window(make_ledger: MakeLedger) -> None:
    """Each share once, as an event and to the callable, whichever ledger on the store reaches it."""
    heard: list[BudgetAlert] = []
    events: list[Event] = []

    class Hears:
        def handle(self, event: Event) -> None:
            events.append(event)

    budget = Budget("b", usd=1, per="month", by="user", alerts=(1.0, 0.5), on_alert=heard.append)
    ledgers = [make_ledger([budget], hub=EventHub([Hears()])) for _ in range(2)]
    for number in range(6):
        ledger = ledgers[number % 2]
        ledger.settle(ledger.reserve(most(0.2), {"user": "u1"}), Decimal("0.2"))
        if number == 4:
            break
    assert [(alert.share, alert.spent_usd) for alert in heard] == [(0.5, Decimal("0.6")), (1.0, Decimal(1))]
    assert events == heard
    assert (heard[0].budget, heard[0].key, heard[0].tags) == ("b", "u1", {"user": "u1"})
    assert heard[0].window.startswith("month from ")


def test_a_failing_on_alert_does_not_fail_the_call(make_ledger: MakeLedger, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the settlement holds."""

    def fails(_: BudgetAlert) -> None:
        raise RuntimeError("no mail today")

    ledger = make_ledger([Budget("b", usd=1, per="total", on_alert=fails)])
    ledger.settle(ledger.reserve(most(1), NOBODY), Decimal(1))
    assert "on_alert of the budget 'b' failed" in caplog.text
    assert standing(ledger) == [(Decimal(1), Decimal(0))]


def test_threads_and_tasks_share_what_is_left(make_ledger: MakeLedger) -> None:
    """50 threads and 50 tasks after 30 places: 30 get one."""
    ledger = make_ledger([Budget("b", usd=3, per="total")])

    def call(_: int) -> bool:
        try:
            ledger.reserve(most(0.1), NOBODY)
        except BudgetExceededError:
            return False
        return True

    async def calls() -> list[bool]:
        async def one() -> bool:
            try:
                await ledger.areserve(most(0.1), NOBODY)
            except BudgetExceededError:
                return False
            return True

        return await asyncio.gather(*(one() for _ in range(50)))

    with ThreadPoolExecutor(10) as pool:
        admitted = [*pool.map(call, range(20)), *asyncio.run(calls()), *pool.map(call, range(30))]
    assert sum(admitted) == 30
    assert standing(ledger) == [(Decimal(0), Decimal(3))]


async def test_every_verb_has_a_form_for_loops(make_ledger: MakeLedger) -> None:
    """And they do the same."""
    ledger = make_ledger([Budget("b", usd=1, per="day")], [RateLimit("openai", tokens=100, per=SLOW)])
    tags = {"provider": "openai"}
    made = await ledger.areserve(most(1, tokens=60), tags)
    await ledger.asettle(made, Decimal("0.25"), 10)
    await ledger.arelease(await ledger.areserve(most(0.5, tokens=60), tags))
    report = await ledger.areport(tags)
    assert report.budgets[0].spent_usd == Decimal("0.25")
    assert report.limits[0].tokens_left == pytest.approx(90, abs=5)
    await ledger.afeed({"x-ratelimit-remaining-tokens": "0"}, tags)
    assert (await ledger.areport(tags)).limits[0].tokens_left == pytest.approx(0, abs=5)


# ---- limits ----------------------------------------------------------------------------------------------------------

SLOW = 86_400.0 * 30
"""A period so long that nothing is filled in again while a test runs."""


def test_a_limit_refuses_or_waits_by_choice(make_ledger: MakeLedger) -> None:
    """The next place: refused with its time, waited for up to a number of seconds, or up to the call's own patience."""
    ledger = make_ledger(
        limits=[
            RateLimit("no", requests=1, per=SLOW, wait=False, when={"case": "no"}),
            RateLimit("some", requests=1, per=SLOW, wait=10, when={"case": "some"}),
            RateLimit("yes", requests=1, per=SLOW, when={"case": "yes"}),
        ]
    )
    for case in ("no", "some", "yes"):
        assert ledger.reserve(most(0), {"case": case}).wait == 0
    for case in ("no", "some"):
        with pytest.raises(RateLimitExceededError) as refused:
            ledger.reserve(most(0), {"case": case})
        assert refused.value.retry_after == pytest.approx(SLOW, rel=0.01)
    with pytest.raises(RateLimitExceededError):
        ledger.reserve(most(0), {"case": "yes"}, patience=60)
    waits = [ledger.reserve(most(0), {"case": "yes"}).wait for _ in range(2)]
    assert waits == pytest.approx([SLOW, 2 * SLOW], rel=0.01), "each has a place of its own"


def test_unused_tokens_are_given_back(make_ledger: MakeLedger) -> None:
    """Taken by estimate, settled by count: more or less, and all of it where nothing was billed; the request counts."""
    ledger = make_ledger(limits=[RateLimit("all", requests=10, tokens=1000, per=SLOW, wait=False)])

    def left() -> tuple[int | None, int | None]:
        (state,) = ledger.report(NOBODY).limits
        return state.requests_left, state.tokens_left

    first, second, third = (ledger.reserve(most(0, tokens=100), NOBODY) for _ in range(3))
    assert left() == (7, 700)
    ledger.settle(first, None, 30)
    assert left() == (7, 770)
    ledger.settle(second, None, 150)
    assert left() == (7, 720)
    ledger.release(third)
    assert left() == (7, 820)
    ledger.release(third)
    assert left() == (7, 820), "once"
    ledger.release(ledger.reserve(most(0, tokens=100), NOBODY), sent=False)
    assert left() == (7, 820), "what was never sent is no request"


def test_a_call_larger_than_its_limit_is_refused_for_good(make_ledger: MakeLedger) -> None:
    """Waiting would not help, and the error does not say to."""
    ledger = make_ledger(limits=[RateLimit("all", tokens=1000)])
    with pytest.raises(RateLimitExceededError, match=r"1,001 tokens.*1,000") as refused:
        ledger.reserve(most(0, tokens=1001), NOBODY)
    assert refused.value.retry_after is None


@pytest.mark.parametrize(
    ("headers", "left"),
    [
        ({"x-ratelimit-remaining-requests": "3", "x-ratelimit-remaining-tokens": "200"}, (3, 200)),
        ({"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-tokens-remaining": "100"}, (0, 100)),
        ({"x-ratelimit-remaining-requests": "9999"}, (10, 1000)),
        ({"x-ratelimit-remaining-requests": "many", "x-ratelimit-remaining-tokens": "-1"}, (10, 1000)),
        ({"retry-after": "20"}, (0, 0)),
        ({}, (10, 1000)),
    ],
)
def test_the_providers_own_headers_are_heeded(
    make_ledger: MakeLedger, headers: dict[str, str], left: tuple[int, int]
) -> None:
    """Less left there than here: it is less here. More left, or nothing said: nothing changes."""
    ledger = make_ledger(limits=[RateLimit("openai", requests=10, tokens=1000, per=SLOW, wait=False)])
    tags = {"provider": "openai"}
    ledger.feed(headers, tags)
    (state,) = ledger.report(tags).limits
    assert (state.requests_left, state.tokens_left) == left


def test_headers_of_one_provider_do_not_slow_another(make_ledger: MakeLedger) -> None:
    """A limit over several upstreams is not what any one of them speaks of."""
    limits = [RateLimit("all", requests=10, per=SLOW), RateLimit("each", requests=10, per=SLOW, by="provider")]
    ledger = make_ledger(limits=limits)
    ledger.feed({"x-ratelimit-remaining-requests": "0"}, {"provider": "openai"})
    states = [*ledger.report({"provider": "openai"}).limits, ledger.report({"provider": "anthropic"}).limits[1]]
    assert [state.requests_left for state in states] == [10, 0, 10]


def test_a_limit_with_a_providers_name_is_that_providers(make_ledger: MakeLedger) -> None:
    """`RateLimit("openai")` does not count Anthropic's calls, and knows Portkey's names; another name counts all."""
    ledger = make_ledger(limits=[RateLimit("aws", requests=9), RateLimit("everything", requests=9)])
    assert [state.limit for state in ledger.report({"provider": "bedrock"}).limits] == ["aws", "everything"]
    assert [state.limit for state in ledger.report({"provider": "openai"}).limits] == ["everything"]


# ---- what a ledger is built with -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([Budget("a", usd=1), Budget("a", usd=2)],), {}, "two called 'a'"),
        (([], [RateLimit("a", requests=1), RateLimit("a", tokens=1)]), {}, "two called 'a'"),
        ((), {"on_ledger_error": "ignore"}, "'allow' or 'deny'"),
        ((), {"lease": "keep"}, "'spend' or 'release'"),
        ((), {"lease_seconds": 0}, "lease_seconds"),
        ((), {"instances": 0}, "instances"),
    ],
)
def test_a_wrong_setting_is_refused(arguments: tuple[Any, ...], options: dict[str, Any], message: str) -> None:
    """Before anything is asked, and with what to set instead."""
    with pytest.raises(ConfigurationError, match=message):
        BudgetLedger(MemoryLedgerStore(), *arguments, **options)


def test_refusals_are_admission_errors() -> None:
    """One `except` catches both."""
    assert issubclass(BudgetExceededError, AdmissionError)
    assert issubclass(RateLimitExceededError, AdmissionError)


def test_a_report_is_a_table() -> None:
    """`str(report)` has a line for each budget and limit."""
    ledger = BudgetLedger(MemoryLedgerStore(), [Budget("b", usd=2, by="user")], [RateLimit("r", requests=5, tokens=9)])
    ledger.settle(ledger.reserve(most(1), {"user": "u1"}), Decimal("0.5"))
    text = str(ledger.report({"user": "u1"}))
    assert text.splitlines()[1].split()[:6] == ["b", "u1", "$0.5", "$0", "$1.5", "$2"]
    assert text.endswith("r: 4 requests at once\nr: 9 tokens at once")

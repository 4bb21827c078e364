"""Windows that end, and leases that run out, under a clock of the test's own."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

import pytest

from portkey_router.bound import Bound
from portkey_router.budget import Budget
from portkey_router.errors import BudgetExceededError, StoreError
from portkey_router.events import BudgetAlert, capture_events
from portkey_router.ledger.keeper import BudgetLedger
from portkey_router.stores.memory_ledger import MemoryLedgerStore

if TYPE_CHECKING:
    from portkey_router.ledger.commands import Command, Reply
    from tests.budget.conftest import MakeLedger

BERLIN = ZoneInfo("Europe/Berlin")
ONE = Bound(most=10**9, expected=10**9)
HOUR, DAY = 3600.0, 86_400.0


class Timed:
    """A ledger with one budget, and the time it is."""

    def __init__(self, now: str, budget: Budget, **options: Any) -> None:
        self.now = datetime.fromisoformat(now).timestamp()
        self.store = MemoryLedgerStore(lambda: self.now)
        self.ledger = BudgetLedger(self.store, [budget], clock=lambda: self.now, **options)

    def spend(self, dollars: str = "1") -> None:
        """One call."""
        self.ledger.settle(self.ledger.reserve(ONE, {}), Decimal(dollars))

    def standing(self) -> tuple[Decimal, Decimal]:
        """Spent and held."""
        (state,) = self.ledger.report({}).budgets
        return state.spent_usd, state.held_usd


def test_a_calendar_day_ends_at_midnight_of_its_zone() -> None:
    """A new day begins with nothing spent; a call from before midnight is the old day's, whenever it is settled."""
    timed = Timed("2026-11-25T23:59:50+01:00", Budget("b", usd=2, per="day", timezone=BERLIN))
    timed.spend()
    late = timed.ledger.reserve(ONE, {})
    with pytest.raises(BudgetExceededError):
        timed.ledger.reserve(ONE, {})
    timed.now += 10
    timed.spend()
    timed.ledger.settle(late, Decimal(1))
    assert timed.standing() == (Decimal(1), Decimal(0))
    (state,) = timed.ledger.report({}).budgets
    assert state.window == "day from 2026-11-26T00:00+01:00"
    assert state.resets_at == datetime.fromisoformat("2026-11-27T00:00:00+01:00")


def test_a_fixed_window_begins_with_its_first_call() -> None:
    """It ends its length later, and the next begins with the next call, not on the dot."""
    timed = Timed("2026-11-25T12:00:00+00:00", Budget("b", usd=1, per=60))
    assert timed.ledger.report({}).budgets[0].resets_at is None
    timed.spend()
    timed.now += 59
    with pytest.raises(BudgetExceededError):
        timed.ledger.reserve(ONE, {})
    timed.now += 31
    timed.spend()
    (state,) = timed.ledger.report({}).budgets
    assert state.spent_usd == 1
    assert state.resets_at == datetime.fromisoformat("2026-11-25T12:02:30+00:00")


def test_a_sliding_window_lets_go_little_by_little() -> None:
    """Of the hour before, what is still in reach counts, as if it had been spent evenly; after two it is forgotten."""
    timed = Timed("2026-11-25T12:30:00+00:00", Budget("b", usd=4, per="hour", window="sliding"))
    for _ in range(4):
        timed.spend()
    flying = timed.now
    timed.now = flying + HOUR / 2
    assert timed.standing() == (Decimal(4), Decimal(0))
    timed.now += HOUR / 4
    assert timed.standing() == (Decimal(3), Decimal(0))
    held = timed.ledger.reserve(ONE, {})
    with pytest.raises(BudgetExceededError):
        timed.ledger.reserve(ONE, {})
    timed.now += HOUR
    timed.ledger.settle(held, Decimal(1))
    assert timed.standing() == (Decimal("0.75"), Decimal(0)), "settled in the bucket it was held in"
    timed.now += 2 * HOUR
    assert timed.standing() == (Decimal(0), Decimal(0))


def test_total_never_ends() -> None:
    """Not after years."""
    timed = Timed("2026-11-25T12:00:00+00:00", Budget("b", usd=1, per="total"))
    timed.spend()
    timed.now += 3650 * DAY
    assert timed.standing() == (Decimal(1), Decimal(0))


def test_alerts_are_told_again_in_the_next_window() -> None:
    """Once a window, and the next is another."""
    timed = Timed("2026-11-25T12:00:00+00:00", Budget("b", usd=2, per="day", alerts=(0.5,)))
    with capture_events() as events:
        for _ in range(2):
            timed.spend()
        timed.now += DAY
        timed.spend()
    windows = [event.window for event in events if isinstance(event, BudgetAlert)]
    assert windows == ["day from 2026-11-25T00:00+00:00", "day from 2026-11-26T00:00+00:00"]


@pytest.mark.parametrize(("lease", "after"), [("spend", 1), ("release", 0)])
def test_a_lease_that_runs_out(lease: Literal["spend", "release"], after: int) -> None:
    """It is held until then, by its own time or the ledger's; then spent at the bound, or given back."""
    timed = Timed("2026-11-25T12:00:00+00:00", Budget("b", usd=5, per="total"), lease=lease, lease_seconds=100)
    made = timed.ledger.reserve(ONE, {})
    timed.ledger.reserve(ONE, {}, lease=10)
    timed.now += 11
    assert timed.standing() == (Decimal(after), Decimal(1))
    timed.now += 100
    assert timed.standing() == (Decimal(2 * after), Decimal(0))
    for _ in range(2):
        timed.ledger.settle(made, Decimal("0.25"))
        assert timed.standing() == (Decimal(after) + Decimal("0.25"), Decimal(0)), "late, and exact, once"


def test_what_is_much_too_late_is_forgotten() -> None:
    """An hour after its lease nothing is known of a call any more: what the lease did stays."""
    timed = Timed("2026-11-25T12:00:00+00:00", Budget("b", usd=5, per="total"), lease_seconds=100)
    made = timed.ledger.reserve(ONE, {})
    timed.now += 101
    assert timed.standing() == (Decimal(1), Decimal(0))
    timed.now += HOUR + 1
    assert timed.standing() == (Decimal(1), Decimal(0))
    timed.ledger.settle(made, Decimal("0.25"))
    assert timed.standing() == (Decimal(1), Decimal(0))


def test_a_busy_store_forgets_what_is_over() -> None:
    """Counters by user do not fill the memory of a process that runs for weeks."""
    timed = Timed("2026-11-25T12:00:00+00:00", Budget("b", usd=5, per="day", by="user"))
    for number in range(50):
        timed.ledger.release(timed.ledger.reserve(ONE, {"user": number}))
    timed.now += 3 * DAY
    timed.spend()
    assert len(timed.store._books._accounts) == 1


@pytest.mark.parametrize("off", [-40 * DAY, 40 * DAY])
def test_the_stores_clock_decides(make_ledger: MakeLedger, off: float) -> None:
    """A process whose clock is wrong by weeks spends in the same window as all others."""
    right, wrong = (make_ledger([Budget("b", usd=3, per="month")]) for _ in range(2))
    clock = wrong._clock
    wrong._clock = lambda: clock() + off
    for ledger in (right, wrong, right):
        ledger.settle(ledger.reserve(ONE, {}), Decimal(1))
    assert [ledger.report({}).budgets[0].spent_usd for ledger in (right, wrong)] == [3, 3]
    assert right.report({}).budgets == wrong.report({}).budgets


def test_a_clock_that_cannot_be_followed() -> None:
    """A store whose time leaps at every question is an error, and no endless loop."""

    class Leaps:
        asked = 0

        def run(self, command: Command) -> Reply:
            self.asked += 1
            return MemoryLedgerStore(lambda: self.asked * 40 * DAY).run(command)

        async def arun(self, command: Command) -> Reply:
            return self.run(command)

    store = Leaps()
    with pytest.raises(StoreError, match="clock"):
        BudgetLedger(store, [Budget("b", usd=3, per="day")]).report({})
    assert store.asked < 10

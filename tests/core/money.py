"""Journeys that spend: a ledger in memory, prices of one dollar for a million tokens, and what became of the money."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from portkey_router.budget import Budget
from portkey_router.costing import Experience
from portkey_router.flow.spending import Spending
from portkey_router.flow.steps import Open, Reserve, Send, Settle, Wait
from portkey_router.ledger.keeper import BudgetLedger
from portkey_router.money import usd
from portkey_router.pricing import Price, PriceBook
from portkey_router.stores.memory_ledger import MemoryLedgerStore
from tests.core.fakes import Clock, plan, target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portkey_router.budget import BudgetState
    from portkey_router.ledger.commands import LedgerStore
    from portkey_router.planner import Plan
    from tests.core.fakes import Told

PRICES = PriceBook({f"model-{name}": Price(1, 1) for name in ("one", "two", "three")}, genai=False)
DEAR = PriceBook({"model-dear": Price(1000, 1000), "model-one": Price(1, 1)}, genai=False)
DOLLAR = Budget("all", usd=1, per="total")
ZERO = Decimal(0)
COST = Decimal("0.000007")
"""What `fakes.answer` costs: five tokens and two."""


def body(told: Told, call: int = 0) -> dict[str, Any]:
    """The body that was sent."""
    sent: dict[str, Any] = json.loads(told.calls[call].body)
    return sent


def dear_and_cheap() -> Plan:
    """A target that may cost a thousand times as much as the other."""
    return plan(target("dear"), target("one"))


def ledger(*budgets: Any, limits: Any = (), store: LedgerStore | None = None, **options: Any) -> BudgetLedger:
    """A ledger in memory, whose clock stands still."""
    clock = Clock(1_700_000_000.0)
    return BudgetLedger(store or MemoryLedgerStore(clock), budgets, limits, clock=clock, **options)


def spending(*budgets: Any, limits: Any = (), experience: Experience | None = None, **options: Any) -> dict[str, Any]:
    """The surroundings of a journey that is subject to these."""
    kept = ledger(*budgets, limits=limits, **options)
    return {"spending": Spending(kept, experience or Experience()), "prices": PRICES}


def state(around: Mapping[str, Any], tags: Mapping[str, Any] | None = None) -> BudgetState:
    """Where the first budget stands, once all that waited for the store is told."""
    (first, *_) = around["spending"].ledger.report(tags or {}).budgets
    assert first is not None
    return first  # type: ignore[no-any-return]


def bounds(told: Told) -> list[Decimal]:
    """The most that each attempt could cost, in dollars, by what was asked to be set aside for it."""
    return [usd(step.bound.most or 0) for step in told.steps if isinstance(step, Reserve)]


def money_steps(told: Told) -> list[str]:
    """What was done with money and with the wire, in order."""
    wire = (Send, Open, Wait)
    named = {"Reserve", "Settle", "Release", "Feed"}
    return [type(step).__name__ for step in told.steps if isinstance(step, wire) or type(step).__name__ in named]


def settled(told: Told) -> list[tuple[Decimal | None, int | None]]:
    """Cost and tokens of each attempt that was settled."""
    return [(step.cost, step.tokens) for step in told.steps if isinstance(step, Settle)]

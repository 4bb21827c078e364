"""`plan()` tells whom the budgets would refuse, by what is known here: nothing is held, and nothing is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portkey_router import Budget, CostAware, Fallback, PortkeyRouter, Price
from portkey_router.ledger.keeper import BudgetLedger
from portkey_router.sandbox import providers
from portkey_router.stores.memory_ledger import MemoryLedgerStore
from tests.failover.faces import MESSAGES

if TYPE_CHECKING:
    from portkey_router.ledger.commands import Command, Reply

PRICES = {"gpt-4o": Price(10, 10), "gpt-4o-mini": Price(1, 1)}


class Counting(MemoryLedgerStore):
    """A store that counts what it is asked."""

    asked = 0

    def run(self, command: Command) -> Reply:
        """Count it."""
        self.asked += 1
        return super().run(command)


def router(store: MemoryLedgerStore, url: str = "http://127.0.0.1:9", **budget: Any) -> PortkeyRouter:
    """A router over a dear and a cheap model, with one budget."""
    ledger = BudgetLedger(store, [Budget("all", **{"usd": "0.06", "per": "total", **budget})])
    strategy = CostAware("gpt-4o-mini", "gpt-4o")
    return PortkeyRouter.from_env(
        strategy=strategy, base_url=url, virtual_keys={"openai": "vk"}, prices=PRICES, ledger=ledger
    )


def test_whom_a_budget_would_refuse_is_left_out_with_its_reason() -> None:
    """The dear model may cost more than the whole budget, the cheap one not; the store is not asked."""
    store = Counting()
    planned = router(store, usd="0.02").plan(MESSAGES)
    assert [attempt.target for attempt in planned.attempts] == ["gpt-4o-mini"]
    assert [target.model for target in planned.targets] == ["gpt-4o-mini"]
    ((label, why),) = planned.excluded
    assert label == "gpt-4o"
    assert "of the budget 'all' $0.02 was last seen to be left" in why
    assert why in str(planned)
    assert store.asked == 0
    assert [attempt.target for attempt in router(store, usd=1).plan(MESSAGES).attempts] == ["gpt-4o-mini", "gpt-4o"]


def test_a_plan_goes_by_what_calls_have_left() -> None:
    """What a call holds, while it is under way, is not there for others; nor is what it cost, afterwards."""
    with providers() as provider:
        asking = router(Counting(), provider.url)
        fallback = Fallback("gpt-4o", "gpt-4o-mini")
        stream = asking.stream(MESSAGES, strategy=fallback)
        next(stream)
        assert [attempt.target for attempt in asking.plan(MESSAGES).attempts] == ["gpt-4o-mini"]
        stream.close()
        assert [attempt.target for attempt in asking.plan(MESSAGES, strategy=fallback).attempts] == ["gpt-4o-mini"]
        assert asking.complete(MESSAGES, strategy=fallback).route.target == "gpt-4o-mini"


def test_what_has_no_bound_is_told_too() -> None:
    """A model without a price under a hard budget; under a soft one it may be asked."""
    strategy = Fallback("mystery-1", "gpt-4o-mini")
    for hard, left_out in ((True, ["mystery-1"]), (False, [])):
        ledger = BudgetLedger(MemoryLedgerStore(), [Budget("all", usd=1, hard=hard)])
        asking = PortkeyRouter.from_env(
            strategy=strategy,
            base_url="http://127.0.0.1:9",
            virtual_keys={"openai": "vk"},
            default_headers={"x-portkey-virtual-key": "vk"},
            prices=PRICES,
            ledger=ledger,
        )
        planned = asking.plan(MESSAGES)
        assert [label for label, _ in planned.excluded] == left_out
        assert set(asking.target_health()) == {"mystery-1", "gpt-4o-mini"}


def test_a_call_asks_the_store_whatever_was_seen() -> None:
    """A plan may be behind what others have given back: the call itself is decided by the store alone."""
    with providers() as provider:
        store = MemoryLedgerStore()
        one, other = router(store, provider.url), router(store, provider.url)
        stream = one.stream(MESSAGES, strategy=Fallback("gpt-4o", "gpt-4o-mini"), max_tokens=3000)
        next(stream)
        assert other.complete(MESSAGES, strategy=Fallback("gpt-4o", "gpt-4o-mini")).route.target == "gpt-4o-mini"
        assert [attempt.target for attempt in other.plan(MESSAGES).attempts] == ["gpt-4o-mini"]
        for _ in stream:
            pass
        assert other.complete(MESSAGES, strategy=Fallback("gpt-4o", "gpt-4o-mini")).route.target == "gpt-4o"

"""The proof through the whole flow: many calls in flight, real sockets, one budget; nothing too much is spent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from portkey_router.money import nano
from portkey_router.sandbox import providers
from portkey_router.stores.redis_ledger import RedisLedgerStore
from tests.budget.caller import Calling, call_until_all_is_spent, router_of
from tests.budget.processes import SECONDS, go, started

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portkey_router.sandbox import Providers


@pytest.fixture
def provider() -> Iterator[Providers]:
    """Providers that take a moment to answer, so that calls are in flight together."""
    with providers(latency=0.02) as running:
        yield running


def check(calling: Calling, costs: list[int], provider: Providers) -> None:
    """All that was answered was paid for, no more, and most of the budget was used."""
    ledger: Any = router_of(calling).ledger
    (state,) = ledger.report({}).budgets
    if isinstance(ledger._store, RedisLedgerStore):
        ledger._store._client.close()
    assert state.held_usd == 0
    assert nano(state.spent_usd) == sum(costs)
    assert len(provider.requests) == len(costs), "a call that was refused was sent"
    assert 0.85 * nano(state.limit_usd) <= sum(costs) <= nano(state.limit_usd)


@pytest.mark.timeout(SECONDS + 10)
def test_64_calls_of_four_processes_never_overspend(plain_redis: Any, provider: Providers) -> None:
    """A Redis that four processes share: not a nano-dollar too much, and at least 85 % used by those who try again."""
    calling = Calling(plain_redis.url, provider.url, uuid4().hex)
    with started("tests.budget.caller", [calling.arguments()] * 4) as processes:
        go(processes)
        told = [process.communicate(timeout=SECONDS)[0] for process in processes]
        assert [process.returncode for process in processes] == [0] * 4
    assert all(text for text in told), "every process got its calls through"
    check(calling, [int(line) for text in told for line in text.split()], provider)


def test_64_calls_of_one_process_never_overspend(provider: Providers) -> None:
    """The same in memory."""
    calling = Calling(f"memory://{uuid4().hex}", provider.url, "all", in_flight=64)
    check(calling, asyncio.run(call_until_all_is_spent(calling)), provider)

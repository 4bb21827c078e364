"""The proof on a real Redis: many processes, one budget, and processes that are killed in the middle of it."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from portkey_router.bound import Bound
from portkey_router.money import nano
from tests.budget.processes import SECONDS, go, started
from tests.budget.spender import Spending, ledger_of
from tests.budget.stores import kept
from tests.net_server import until

if TYPE_CHECKING:
    import subprocess
    from contextlib import AbstractContextManager

PROCESSES = 8


@pytest.fixture(params=["redis", "cluster of three masters"])
def url(request: pytest.FixtureRequest) -> str:
    """A single Redis, and a cluster."""
    if request.param == "redis":
        return str(request.getfixturevalue("plain_redis").url)
    return str(request.getfixturevalue("redis_nodes").url).replace("redis://", "redis+cluster://")


def spenders(spending: Spending, count: int) -> AbstractContextManager[list[subprocess.Popen[str]]]:
    """So many processes, all ready, each with costs of its own."""
    told = [replace(spending, seed=spending.seed + number).arguments() for number in range(count)]
    return started("tests.budget.spender", told)


@pytest.mark.timeout(SECONDS + 10)
def test_256_calls_in_flight_never_overspend(url: str) -> None:
    """Eight processes, 32 calls each, 5 dollars: not a nano-dollar too much is spent, and at least 85 % is used."""
    spending = Spending(url, uuid4().hex)
    with spenders(spending, PROCESSES) as processes:
        go(processes)
        told = [process.communicate(timeout=SECONDS)[0] for process in processes]
        assert [process.returncode for process in processes] == [0] * PROCESSES
    costs = [int(line) for text in told for line in text.split()]
    (state,) = ledger_of(spending).report({}).budgets
    assert nano(state.spent_usd) == sum(costs)
    assert state.held_usd == 0
    assert 4.25 <= sum(costs) / 10**9 <= 5
    assert all(text for text in told), "every process got its calls through"


@pytest.mark.timeout(SECONDS + 10)
@pytest.mark.parametrize("lease", ["spend", "release"])
def test_leases_of_killed_processes_end_as_stated(url: str, lease: str) -> None:
    """Killed anywhere, a process leaves money held; its lease then counts as spent at the bound, or is given back."""
    chance = random.Random(lease)  # noqa: S311  (moments of a test)
    spending = Spending(
        url, uuid4().hex, limit="1000", in_flight=8, seconds=0.05, lease=lease, lease_seconds=3, seed=100
    )
    ledger, settled = ledger_of(spending), 0
    with spenders(spending, 4) as processes:
        go(processes)
        for process in processes:
            time.sleep(chance.random() * 0.3)  # a random point, and nothing that is waited for
            process.kill()
            settled += sum(int(line) for line in process.communicate(timeout=SECONDS)[0].split())
    assert until(lambda: ledger.report({}).budgets[0].held_usd == 0)

    leases = [
        value.split("|")
        for counter in kept(url, spending.namespace).values()
        for field, value in counter.items()
        if field.startswith("l:")
    ]
    assert leases, "nobody was killed with money held"
    assert {state for *_, state in leases} == {lease}
    lost = sum(int(amount) for _, amount, *_ in leases)
    assert lost == len(leases) * spending.bound
    (end,) = ledger.report({}).budgets
    told = nano(end.spent_usd) - (lost if lease == "spend" else 0)
    # A process may have been killed after a call was settled, and before it could say so: of each call in flight, one.
    assert settled <= told <= settled + 4 * spending.in_flight * spending.bound
    ledger.release(ledger.reserve(Bound(most=nano(end.limit_usd - end.spent_usd)), {}))

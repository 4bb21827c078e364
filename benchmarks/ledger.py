"""What a ledger costs: reserving and settling, in memory and in Redis, beside two plain round trips; and what it saves.

`REDIS_URL` names a Redis to measure with; without it one is started, as the tests do. `--quick` takes few rounds.
Rounds are interleaved and the median is taken, so the ratios hold where the absolute figures do not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import random
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import redis.asyncio

sys.path.insert(0, str(Path(__file__).parent.parent))  # the tests' Redis

from portkey_router import Bound, Budget, RateLimit, build_ledger
from portkey_router.errors import BudgetExceededError
from portkey_router.money import usd

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from portkey_router import BudgetLedger

IN_FLIGHT = 64
TAGS = {"user": "u1", "team": "search", "provider": "openai"}
CENT = Bound(most=10_000_000, expected=2_000_000, tokens=500)
COST = usd(2_345_678)
MANY = [
    Budget("all", usd=9_000_000, per="month"),
    Budget("search", usd=9_000_000, per="day", when={"team": "search"}, window="sliding"),
    Budget("each user", usd=9_000_000, per="day", by="user"),
]
LIMITS = [RateLimit("openai", requests=10**9, tokens=10**12), RateLimit("each", requests=10**9, by="user")]
FLOOR = "two INCRBY by redis-py"


@dataclass(slots=True)
class Taken:
    """Of each round: calls a second, and CPU milliseconds a call."""

    rate: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


@contextlib.contextmanager
def a_redis() -> Iterator[str]:
    """The URL of a Redis."""
    given = os.environ.get("REDIS_URL", "").strip()
    if given:
        yield given
        return
    from tests.services.redis import redis_server

    with redis_server(search=False) as server:
        yield server.url


def one(ledger: BudgetLedger) -> None:
    """Reserve and settle."""
    ledger.settle(ledger.reserve(CENT, TAGS), COST, 400)


async def aone(ledger: BudgetLedger) -> None:
    """Reserve and settle, in the loop."""
    await ledger.asettle(await ledger.areserve(CENT, TAGS), COST, 400)


def ledgers(url: str) -> dict[str, BudgetLedger]:
    """Those that are measured."""
    found = {}
    for place, where in (("memory", "memory://"), ("Redis", url)):
        for what, budgets, limits in (("1 budget", MANY[:1], []), ("3 budgets, 2 limits", MANY, LIMITS)):
            found[f"{place}, {what}"] = build_ledger(
                where, budgets=budgets, limits=limits, namespace=uuid4().hex, timeout=30, connect_timeout=30
            )
    return found


def sync_rates(url: str, calls: int, rounds: int) -> dict[str, Taken]:
    """One after another."""
    with redis.Redis.from_url(url) as client:

        def floor() -> None:
            client.incrby("benchmark:floor", 1)
            client.incrby("benchmark:floor", -1)

        every: dict[str, Callable[[], None]] = {FLOOR: floor}
        every |= {name: (lambda ledger=ledger: one(ledger)) for name, ledger in ledgers(url).items()}  # type: ignore[misc]  # mypy cannot infer a default's type in a lambda
        taken = {name: Taken() for name in every}
        for number in range(rounds + 1):
            for name, call in every.items():
                wall, cpu = time.perf_counter(), time.process_time()
                for _ in range(calls):
                    call()
                if number:  # the first round warms up
                    taken[name].rate.append(calls / (time.perf_counter() - wall))
                    taken[name].cpu.append((time.process_time() - cpu) * 1000 / calls)
    return taken


async def async_rates(url: str, waves: int, rounds: int) -> dict[str, Taken]:
    """So many in flight."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(url, max_connections=50, timeout=30)
    async with redis.asyncio.Redis(connection_pool=pool) as client:

        async def floor() -> None:
            await client.incrby("benchmark:floor", 1)
            await client.incrby("benchmark:floor", -1)

        every: dict[str, Callable[[], Awaitable[None]]] = {FLOOR: floor}
        every |= {name: (lambda ledger=ledger: aone(ledger)) for name, ledger in ledgers(url).items()}  # type: ignore[misc]  # as above
        taken = {name: Taken() for name in every}
        for number in range(rounds + 1):
            for name, call in every.items():
                wall, cpu = time.perf_counter(), time.process_time()
                for _ in range(waves):
                    await asyncio.gather(*(call() for _ in range(IN_FLIGHT)))
                if number:
                    taken[name].rate.append(waves * IN_FLIGHT / (time.perf_counter() - wall))
                    taken[name].cpu.append((time.process_time() - cpu) * 1000 / (waves * IN_FLIGHT))
    await pool.disconnect()
    return taken


async def spent(url: str, in_flight: int, *, reserve: bool) -> float:
    """Dollars spent of a budget of 5, by calls of 2 to 10 cents, each 20 ms long; refused callers try no more.

    Without `reserve`, as most gateways do it: look whether the budget is used up, call, and add what it cost.
    """
    ledger = build_ledger(url, budgets=[Budget("b", usd=5, per="total")], namespace=uuid4().hex, timeout=30)
    chance = random.Random(in_flight)  # noqa: S311  (costs of a benchmark)

    async def call() -> None:
        while True:
            cost = chance.randint(20_000_000, 100_000_000)
            try:
                if reserve:
                    made = await ledger.areserve(Bound(most=100_000_000), {})
                else:
                    if (await ledger.areport({})).budgets[0].left_usd <= 0:
                        return
                    made = await ledger.areserve(Bound(most=0), {})
            except BudgetExceededError:
                return
            await asyncio.sleep(0.02)
            await ledger.asettle(made, usd(cost))

    await asyncio.gather(*(call() for _ in range(in_flight)))
    return float((await ledger.areport({})).budgets[0].spent_usd)


def table(title: str, taken: dict[str, Taken]) -> None:
    """Print rates, and each beside the floor's."""
    print(f"\n| {title} | a second | x floor | CPU ms |\n|---|---|---|---|")
    floor = statistics.median(taken[FLOOR].rate)
    for name, figures in taken.items():
        rate = statistics.median(figures.rate)
        print(f"| {name} | {rate:,.0f} | {rate / floor:.2f} | {statistics.median(figures.cpu):.3f} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few calls, rough figures")
    quick = parser.parse_args().quick
    rounds = 1 if quick else 7
    widths = (16, 64) if quick else (16, 64, 256)
    with a_redis() as url:
        table("reserve and settle, one after another", sync_rates(url, 20 if quick else 300, rounds))
        table(f"reserve and settle, {IN_FLIGHT} in flight", asyncio.run(async_rates(url, 1 if quick else 5, rounds)))

        async def both() -> list[tuple[int, float, float]]:
            return [(n, await spent(url, n, reserve=False), await spent(url, n, reserve=True)) for n in widths]

        results = asyncio.run(both())
    print("\n| in flight, on a budget of $5 | checked, then recorded | reserved, then settled |\n|---|---|---|")
    for number, checked, reserved in results:
        print(f"| {number} | ${checked:.2f} | ${reserved:.2f} |")
        assert reserved <= 5, "overspent"  # noqa: PLR2004  (the budget)
    print(f"\nPython {sys.version.split()[0]} on {platform.system()}, {os.cpu_count()} processors.")


if __name__ == "__main__":
    main()

"""A process that spends from a shared budget: `python -m tests.budget.spender '{"url": ..., ...}'`.

It says `ready`, waits for a line, and makes calls until nothing is left, or until it is killed. It writes a line for
each call that it has settled, in nano-dollars.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portkey_router.bound import Bound
from portkey_router.budget import Budget
from portkey_router.errors import BudgetExceededError
from portkey_router.ledger.keeper import BudgetLedger
from portkey_router.money import nano, usd
from tests.budget.stores import redis_store

if TYPE_CHECKING:
    from typing import Any

__all__ = ["Spending", "ledger_of"]


@dataclass(frozen=True, slots=True)
class Spending:
    """What a spender is told: its calls cost between a fifth of `bound` and all of it (nano-dollars)."""

    url: str
    namespace: str
    limit: str = "5"
    bound: int = 10_000_000
    in_flight: int = 32
    seconds: float = 0.002
    lease: str = "spend"
    lease_seconds: float = 600.0
    seed: int = 0

    def arguments(self) -> str:
        """As the program's only argument."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__})


def ledger_of(spending: Spending) -> BudgetLedger:
    """The ledger that all spenders share."""
    options: dict[str, Any] = {"lease": spending.lease, "lease_seconds": spending.lease_seconds}
    budget = Budget("shared", usd=spending.limit, per="total", alerts=())
    return BudgetLedger(redis_store(spending.url, spending.namespace), [budget], **options)


async def _spend(spending: Spending, ledger: BudgetLedger, chance: random.Random) -> None:
    while True:
        try:
            reservation = await ledger.areserve(Bound(most=spending.bound), {})
        except BudgetExceededError:
            # Somebody's call may cost less than it has set aside; when nobody has any, this was the last.
            if (await ledger.areport({})).budgets[0].held_usd == 0:
                return
            await asyncio.sleep(0.02 * (1 + chance.random()))
            continue
        await asyncio.sleep(spending.seconds * chance.random())
        cost = chance.randint(spending.bound // 5, spending.bound)
        await ledger.asettle(reservation, usd(cost))
        os.write(1, b"%d\n" % nano(usd(cost)))


async def _main(spending: Spending) -> None:
    ledger = ledger_of(spending)
    await ledger.areport({})
    os.write(1, b"ready\n")
    sys.stdin.readline()
    chance = random.Random(spending.seed)  # noqa: S311  (costs of a test)
    await asyncio.gather(*(_spend(spending, ledger, chance) for _ in range(spending.in_flight)))


if __name__ == "__main__":
    asyncio.run(_main(Spending(**json.loads(sys.argv[1]))))

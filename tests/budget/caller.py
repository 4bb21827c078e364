"""A process whose calls share a budget: `python -m tests.budget.caller '{"ledger": ..., "provider": ...}'`.

It says `ready`, waits for a line, and calls the provider through a router of its own until nothing is left. It writes a
line for each answer: what it cost, in nano-dollars.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from dataclasses import asdict, dataclass

from portkey_router import Budget, BudgetExceededError, PortkeyRouter, Price
from portkey_router.money import nano

__all__ = ["Calling", "call_until_all_is_spent", "router_of"]

# Most of a call's price is stated beforehand, so that bounds are near what calls cost, as with long prompts.
PRICES = {"gpt-4o": Price(20, 20, per_request="0.02")}


@dataclass(frozen=True, slots=True)
class Calling:
    """What a caller is told: the ledger, the provider's URL, and how many calls it keeps in flight."""

    ledger: str
    provider: str
    budget: str
    usd: str = "2"
    in_flight: int = 16
    seed: int = 0

    def arguments(self) -> str:
        """As the program's only argument."""
        return json.dumps(asdict(self))


def router_of(calling: Calling) -> PortkeyRouter:
    """A router whose calls are subject to the budget that all callers share."""
    return PortkeyRouter.from_env(
        model="gpt-4o",
        base_url=calling.provider,
        virtual_keys={"openai": "vk"},
        prices=PRICES,
        ledger=calling.ledger,
        budgets=[Budget(calling.budget, usd=calling.usd, per="total", alerts=())],
        max_retries=0,
    )


async def call_until_all_is_spent(calling: Calling) -> list[int]:
    """What each answer cost, in nano-dollars; refused calls are made again until nobody else's are in flight."""
    router, costs = router_of(calling), []
    assert router.ledger is not None
    chance = random.Random(calling.seed)  # noqa: S311  (lengths of prompts)

    async def caller() -> None:
        while True:
            question = [{"role": "user", "content": "word " * chance.randint(1, 60)}]
            try:
                answer = await router.acomplete(question, max_tokens=chance.randint(8, 200))
            except BudgetExceededError:
                assert router.ledger is not None
                if (await router.ledger.areport({})).budgets[0].held_usd == 0:
                    return
                await asyncio.sleep(0.02 * (1 + chance.random()))
                continue
            assert answer.cost is not None
            costs.append(nano(answer.cost.amount))

    await asyncio.gather(*(caller() for _ in range(calling.in_flight)))
    return costs


async def _main(calling: Calling) -> None:
    ledger = router_of(calling).ledger
    assert ledger is not None
    await ledger.areport({})
    os.write(1, b"ready\n")
    sys.stdin.readline()
    for cost in await call_until_all_is_spent(calling):
        os.write(1, b"%d\n" % cost)


if __name__ == "__main__":
    asyncio.run(_main(Calling(**json.loads(sys.argv[1]))))

"""What choosing by cost takes, what it saves on a simulated day, and how far its token estimates are off.

    .venv/bin/python benchmarks/routing.py            # some three minutes
    .venv/bin/python benchmarks/routing.py --quick    # ten seconds, rough

Four parts, by name (`--only day`): `decisions`, the CPU time of a whole decision (reading the request, filters, order);
`ledger`, reserving and settling (`REDIS_URL` names a Redis; without it one is started; more is in ledger.py); `day`
(routing_day.py, routing_world.py); `tokens` (routing_tokens.py). Where litellm is installed (`pip install --group
bench`), the order that stands for its own is held against the package's.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ledger import FLOOR, a_redis, sync_rates
from routing_day import ByCost, ByListPrice, ByRates, Foresight, live
from routing_tokens import ENCODINGS, errors
from routing_world import NATURES, World, a_day

from portkey_router import CostAware, PriceBook, Request, Target, Usage, load_settings
from portkey_router.costing import Experience, needs_of
from portkey_router.health import Health
from portkey_router.locks import ForkLock
from portkey_router.planner import plan_strategy
from portkey_router.ranking import Ranker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from routing_day import Bill, Policy

AIMS = {5: 0.1, 50: 0.5}  # targets: CPU milliseconds
SECOND = 0.0005  # USD that a second of waiting is worth to the second policy
SEED = 7
QUESTION = [{"role": "system", "content": "You are helpful."}, {"role": "user", "content": "What does a gateway do?"}]
TURN = [{"role": "user", "content": "Tell me more. " * 40}, {"role": "assistant", "content": "It routes. " * 200}]
TOOL = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Search the catalogue for what the customer describes.",
        "parameters": {
            "type": "object",
            "properties": {
                "words": {"type": "string", "description": "What to look for, in a few words."},
                "limit": {"type": "integer", "minimum": 1, "maximum": 50},
                "tags": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["words"],
        },
    },
}
REQUESTS = {
    "a question": Request(QUESTION, None),
    "20 messages, 8 tools": Request([*QUESTION, *TURN * 9], None, body={"tools": [TOOL] * 8}),
}


# ---- decisions -------------------------------------------------------------------------------------------------------


def deciding(count: int) -> Callable[[Request], object]:
    """A decision among so many targets, of which something is known: they have answered, and failed."""
    names = list(NATURES)
    every = [Target(names[n % len(names)], virtual_key=f"vk-{n}", name=f"target {n}") for n in range(count)]
    settings = load_settings(base_url="http://gateway.test", env_file=None)
    plan = plan_strategy(CostAware(*every), settings, run_on="client", max_retries=2, draw=lambda _: 0)
    experience, health = Experience(), Health(ForkLock())
    for number, attempt in enumerate(plan.attempts):
        health.succeeded(attempt.key, time.monotonic(), 1.0)
        experience.failed(attempt.key, 2.0)
        for request in REQUESTS.values():
            experience.answered(attempt.key, 100, Usage(110, 40 + number, 150), 1.0, needs_of(request).kind)
    ranker = Ranker(PriceBook(), experience, health)

    def decide(request: Request) -> object:
        now = time.monotonic()
        return ranker.rank(plan, needs_of(request), now=now, at=datetime.now(UTC), explain=True).attempts

    return decide


def decisions(rounds: int, calls: int) -> dict[tuple[str, int], float]:
    """CPU milliseconds a decision, by request and number of targets; 0 targets: writing the request as JSON."""
    deciders: dict[int, Callable[[Request], object]] = {0: lambda request: json.dumps([request.messages, request.body])}
    deciders |= {count: deciding(count) for count in AIMS}
    taken: dict[tuple[str, int], list[float]] = {}
    for number in range(rounds + 1):
        for name, request in REQUESTS.items():
            for count, decide in deciders.items():
                gc.collect()
                before = time.process_time()
                for _ in range(calls):
                    decide(request)
                if number:  # the first round warms up
                    taken.setdefault((name, count), []).append((time.process_time() - before) * 1000 / calls)
    return {what: statistics.median(figures) for what, figures in taken.items()}


def print_decisions(taken: dict[tuple[str, int], float]) -> None:
    """The time, and beside it that of writing the request as JSON; whether the aims are met."""
    print("\n| a decision, CPU ms | 5 targets | 50 targets | the request as JSON | 5 targets, x JSON |")
    print("|---|---|---|---|---|")
    for name in REQUESTS:
        as_json, five, fifty = (taken[name, count] for count in (0, *AIMS))
        print(f"| {name} | {five:.3f} | {fifty:.3f} | {as_json:.3f} | {five / as_json:.1f} |")
    print("\n| aim | aimed at | measured | |\n|---|---|---|---|")
    for count, aim in AIMS.items():
        measured = taken["a question", count]
        verdict = "met" if measured <= aim else "not met"
        print(f"| a decision among {count}, CPU ms | {aim:g} | {measured:.3f} | {verdict} |")


# ---- the ledger ------------------------------------------------------------------------------------------------------


def print_ledger(calls: int, rounds: int) -> None:
    """Reserve and settle, one after another."""
    with a_redis() as url:
        taken = sync_rates(url, calls, rounds)
    floor = statistics.median(taken[FLOOR].rate)
    print("\n| reserve and settle | a second | x floor |\n|---|---|---|")
    for name, figures in taken.items():
        rate = statistics.median(figures.rate)
        print(f"| {name} | {rate:,.0f} | {rate / floor:.2f} |")


# ---- the day ---------------------------------------------------------------------------------------------------------


def print_day(title: str, policies: Sequence[Policy], calls: int, prices: PriceBook) -> None:
    """A table of the day by each policy."""
    day = a_day(SEED, calls)
    bills = {policy.name: live(policy, day, SEED, prices) for policy in policies}
    least = bills[policies[-1].name].usd
    print(f"\n| {title} | USD | x foresight | for nothing | asked | waited: median, p95 | USD, a second at ${SECOND} |")
    print("|---|---|---|---|---|---|---|")
    for name, bill in bills.items():
        print(f"| {name} | {_row(bill, least, calls)} |")


def _row(bill: Bill, least: float, calls: int) -> str:
    waits = sorted(bill.waits)
    assert len(waits) == calls, "a call got lost"
    assert bill.failed == 0, "a call was not answered, though a target was well"
    cells = (
        f"{bill.usd:.2f}",
        f"{bill.usd / least:.3f}",
        f"{bill.wasted:.3f}",
        f"{bill.attempts / calls:.2f}",
        f"{statistics.median(waits):.1f} s, {waits[int(0.95 * len(waits))]:.1f} s",
        f"{bill.usd + SECOND * sum(waits):.2f}",
    )
    return " | ".join(cells)


def policies(prices: PriceBook, without: Sequence[str] = ()) -> list[Policy]:
    """Ours, ours where waiting has a price, two that others use, and who knows everything beforehand."""
    return [
        ByCost("CostAware", prices, without=without),
        ByCost(f"CostAware(latency_price={SECOND})", prices, without=without, latency_price=SECOND),
        ByListPrice("cheapest first, by list price", prices, without=without),
        ByRates("litellm's lowest cost", prices, without=without),
        Foresight("foresight", prices, without=without),
    ]


def print_days(calls: int) -> None:
    """Two days: all targets, and those of the large vendors alone."""
    prices = PriceBook()
    few = ("deepseek-chat", "llama-3.3-70b-versatile")
    print_day(f"{calls:,} calls, six targets", policies(prices), calls, prices)
    print_day(f"{calls:,} calls, four of them", policies(prices, few), calls, prices)
    print(f"\n{litellm_says(prices)}")


def litellm_says(prices: PriceBook) -> str:
    """Whether litellm's own package, told the same prices, asks in the order that stands for its own."""
    ours = ByRates("", prices)
    world = World(SEED, prices)
    order = sorted(NATURES, key=lambda name: sum(ours.rates(name, world)))
    if importlib.util.find_spec("litellm") is None:
        return "litellm is not installed: its order is that of its `lowest_cost.py`, read in 1.110.2."
    assert asyncio.run(_order_by_litellm({name: ours.rates(name, world) for name in NATURES})) == order
    return f"litellm {importlib.metadata.version('litellm')} itself gives the same order: {', '.join(order)}."


async def _order_by_litellm(rates: dict[str, tuple[float, float]]) -> list[str]:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it asks the network at its import
    handler = importlib.import_module("litellm.router_strategy.lowest_cost").LowestCostLoggingHandler
    cache = importlib.import_module("litellm.caching.caching").DualCache
    left = [_deployment(name, *both) for name, both in rates.items()]
    order: list[str] = []
    while left:
        chosen = await handler(cache()).async_get_available_deployments("group", left, QUESTION)
        order.append(chosen["model_info"]["id"])
        left = [deployment for deployment in left if deployment["model_info"]["id"] != order[-1]]
    return order


def _deployment(name: str, fresh: float, said: float) -> dict[str, Any]:
    paid = {"input_cost_per_token": fresh / 1e6, "output_cost_per_token": said / 1e6}
    return {"model_name": "group", "litellm_params": {"model": name, **paid}, "model_info": {"id": name}}


# ---- tokens ----------------------------------------------------------------------------------------------------------


def print_tokens(texts: int) -> None:
    """How far off, median and 95th percentile: by the bytes alone, and times what has been learned."""
    print(
        "\n| estimate off by: median, p95 |",
        " | ".join(f"{name}, by bytes | {name}, learned" for name in ENCODINGS),
        "|",
    )
    print(f"|---|{'---|---|' * len(ENCODINGS)}")
    for kind, by_encoding in errors(texts).items():
        print(f"| {kind} |", " | ".join(f"{before} | {after}" for before, after in by_encoding.values()), "|")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few calls, rough figures")
    parser.add_argument("--only", choices=("decisions", "ledger", "day", "tokens"), help="one part of the four")
    given = parser.parse_args()
    quick = given.quick
    parts: dict[str, Callable[[], None]] = {
        "decisions": lambda: print_decisions(decisions(*((1, 20) if quick else (15, 200)))),
        "ledger": lambda: print_ledger(*((20, 1) if quick else (300, 7))),
        "day": lambda: print_days(400 if quick else 20_000),
        "tokens": lambda: print_tokens(10 if quick else 300),
    }
    for name, part in parts.items():
        if given.only in {None, name}:
            part()
    print(f"\nPython {sys.version.split()[0]} on {platform.system()}, {os.cpu_count()} processors.")


if __name__ == "__main__":
    main()

"""Thousands of calls while everything fails at random: each gets its complete answer or an honest error, in time.

`PORTKEY_ROUTER_CHAOS_CALLS` (1200) sizes it, `PORTKEY_ROUTER_CHAOS_SEED` (by default another each time) repeats it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from portkey_router import (
    Completion,
    Deadlines,
    Fallback,
    PortkeyError,
    PortkeyRouter,
    StreamInterruptedError,
    Target,
    sandbox,
)
from portkey_router.sandbox.desk import Desk
from portkey_router.sandbox.engine import Moment, complete
from portkey_router.sandbox.providers import answer
from portkey_router.sandbox.server import serving
from portkey_router.transport import shared
from tests.net_server import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

    from portkey_router.messages import AttemptRecord

Fault = sandbox.Fault
CALLS = int(os.environ.get("PORTKEY_ROUTER_CHAOS_CALLS", "1200"))
SEED = int(os.environ.get("PORTKEY_ROUTER_CHAOS_SEED") or random.SystemRandom().randrange(10**6))
AT_ONCE, THREADS, TRIPLES = 24, 6, 40
TOTAL = 8.0
SLACK = 25.0  # seconds: reached only by a hang
DEADLINES = Deadlines(
    first_token=1.0, silence=1.0, attempt=1.0, total=TOTAL, hurried_first_token=0.4, hurried_silence=0.4
)
VERBS = ("acomplete", "astream", "wire", "restart")

FAULTS: list[tuple[float, Any]] = [
    (40, lambda _: Fault.ok()),
    (4, lambda chance: Fault.status(chance.choice([500, 502, 503, 504, 529, 520]))),
    (3, lambda chance: Fault.status(429, retry_after=chance.choice([None, 0.05, 60]))),
    (2, lambda chance: Fault.status(chance.choice([401, 402, 403, 404, 408, 409, 412]))),
    (1, lambda chance: Fault.status(chance.choice([400, 413, 422, 446]))),
    (4, lambda chance: Fault.reset(after=chance.randrange(6))),
    (4, lambda chance: Fault.cut(after=chance.randrange(1, 8))),
    (3, lambda chance: Fault.malformed_event(after=chance.randrange(8))),
    (3, lambda chance: Fault.error_event(after=chance.randrange(8), code=chance.choice([429, 500, 503]))),
    (2, lambda _: Fault.no_finish_reason()),
    (2, lambda _: Fault.no_done()),
    (2, lambda chance: Fault.error_in_200(chance.choice([429, 500]))),
    (2, lambda chance: Fault.html(chance.choice([200, 502, 503]))),
    (1, lambda _: Fault.empty(200)),
    (2, lambda _: Fault.invalid_json()),
    (2, lambda _: Fault.pings()),
    (2, lambda chance: Fault.slow(first_token=chance.random() / 5, between=chance.random() / 50)),
    (1, lambda chance: Fault.stall(after=chance.randrange(8), ping=chance.random() < 0.5)),
    (0.5, lambda _: Fault.hang()),
]


@dataclass
class Outcome:
    """What became of one call."""

    verb: str
    number: int
    shown: str = ""
    completion: Completion | None = None
    error: BaseException | None = None
    seconds: float = 0.0
    attempts: tuple[AttemptRecord, ...] = field(default=())


@contextlib.contextmanager
def chaos() -> Iterator[tuple[str, Desk]]:
    """A server on which each request fails, or not, at random."""
    desk, chance = Desk(), random.Random(SEED)  # noqa: S311  (chance that can be repeated)
    weights, makers = zip(*FAULTS, strict=True)

    async def handle(request: web.Request) -> web.StreamResponse:
        name = request.headers["x-portkey-virtual-key"]
        desk.script(name, chance.choices(makers, weights)[0](chance))
        return await answer(request, desk, name, request.path.removeprefix("/v1"))

    with serving(handle) as root:
        yield f"{root}/v1", desk


def messages(number: int) -> list[dict[str, Any]]:
    """A question of its own for each call."""
    return [{"role": "user", "content": f"What does gateway number {number} do when its providers fail it?"}]


def expected(number: int) -> str:
    """The whole answer to it, whoever gives it."""
    body = {"model": "m", "messages": messages(number)}
    return str(complete(body, Moment())["choices"][0]["message"]["content"])


def options_of(number: int) -> dict[str, Any]:
    """One of the triples of targets."""
    triple = number % TRIPLES
    targets = (Target("m", virtual_key=f"{name}{triple}", name=f"{name}{triple}") for name in "abc")
    return {"strategy": Fallback(*targets)}


async def call(router: PortkeyRouter, number: int) -> Outcome:
    """One call in a loop, by one of the verbs."""
    verb = VERBS[number % len(VERBS)]
    outcome = Outcome(verb, number)
    began = time.monotonic()
    try:
        if verb in {"acomplete", "wire"}:
            options = {**options_of(number), "wire_stream": verb == "wire"}
            outcome.completion = await router.acomplete(messages(number), **options)
        else:
            options = {**options_of(number), "on_stream_break": "restart" if verb == "restart" else "raise"}
            stream = router.astream(messages(number), **options)
            async for chunk in stream:
                outcome.shown = "" if chunk.reset else outcome.shown + chunk.content
            outcome.completion = stream.completion
    except PortkeyError as error:
        outcome.error, outcome.attempts = error, tuple(error.attempts)
    outcome.seconds = time.monotonic() - began
    return outcome


def call_in_thread(router: PortkeyRouter, number: int) -> Outcome:
    """One call in a thread, whole or streamed."""
    verb = ("complete", "stream")[number % 2]
    outcome = Outcome(verb, number)
    began = time.monotonic()
    try:
        if verb == "complete":
            outcome.completion = router.complete(messages(number), **options_of(number))
        else:
            with router.stream(messages(number), **options_of(number)) as stream:
                for chunk in stream:
                    outcome.shown += chunk.content
            outcome.completion = stream.completion
    except PortkeyError as error:
        outcome.error, outcome.attempts = error, tuple(error.attempts)
    outcome.seconds = time.monotonic() - began
    return outcome


async def in_a_loop(router: PortkeyRouter, numbers: range) -> list[Outcome]:
    """Many calls, some at once; and after them no task is left."""
    waiting = iter(numbers)
    outcomes: list[Outcome] = []

    async def work() -> None:
        for number in waiting:
            outcomes.append(await call(router, number))  # noqa: PERF401  (several workers fill it)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return outcomes


def run(url: str, numbers: range) -> list[Outcome]:
    """These calls: three of four in a loop, the rest in threads."""
    router = PortkeyRouter.from_env(base_url=url, api_key="pk", deadlines=DEADLINES)
    middle = numbers.start + len(numbers) * 3 // 4
    with ThreadPoolExecutor(THREADS) as pool:
        in_threads = [pool.submit(call_in_thread, router, n) for n in range(middle, numbers.stop)]
        outcomes = asyncio.run(in_a_loop(router, range(numbers.start, middle)))
        return outcomes + [future.result() for future in in_threads]


def check(outcome: Outcome) -> None:
    """Complete, or an honest error, in time, and no target asked too often."""
    whole, where = expected(outcome.number), f"seed {SEED}, {outcome}"
    assert outcome.seconds < TOTAL + SLACK, where
    if outcome.completion is not None:
        assert outcome.completion.text == whole, where
        assert outcome.completion.finish_reason == "stop", where
        assert outcome.verb in {"acomplete", "wire", "complete"} or outcome.shown == whole, where
        outcome.attempts = outcome.completion.route.attempts
        assert outcome.attempts[-1].outcome == "ok", where
    else:
        assert isinstance(outcome.error, PortkeyError), where
        assert whole.startswith(outcome.shown), where
        if outcome.shown:
            assert isinstance(outcome.error, StreamInterruptedError), where
            assert outcome.error.partial is not None, where
            assert outcome.error.partial.text == outcome.shown, where
    tried = Counter(attempt.target for attempt in outcome.attempts)
    assert max(tried.values(), default=0) <= 3, where


def living() -> int:
    """Objects in memory that are not garbage."""
    for _ in range(3):
        gc.collect()
    return len(gc.get_objects())


@pytest.mark.timeout(600)
def test_chaos() -> None:
    """Every invariant holds for every call; and nothing is left behind: no task, socket or thread, and no memory."""
    with chaos() as (url, desk):
        run(url, range(40))  # what is made once is made
        threads = threading.active_count()
        half = CALLS // 2
        for outcome in (first := run(url, range(half))):
            check(outcome)
        desk._log.clear()
        answered = sum(outcome.completion is not None for outcome in first)
        del first, outcome
        before = living()
        for outcome in run(url, range(half, CALLS)):
            check(outcome)
            answered += outcome.completion is not None
        del outcome
        assert until(lambda: all(r.status is not None or r.closed_early for r in desk.log()))
        desk._log.clear()
        assert living() - before < 3000
        assert until(lambda: threading.active_count() <= threads)
        assert until(lambda: all(pool.busy == 0 and not pool.responses for pool in list(shared()._pools.values())))
    assert answered > CALLS * 0.8, f"seed {SEED}: {answered} of {CALLS}"

"""A simulated day: the same calls, failures and answers for each policy, which differ in the order they ask alone.

Everything but the providers is the product itself: plans, deadlines, retries, circuits, failing over and prices are
those of a real call, driven by hand on a clock that jumps from one event to the next. What targets are like, and what
is asked of them, is in routing_world.py.
"""

from __future__ import annotations

import heapq
import itertools
import json
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from routing_world import NATURES, Asked, World

from portkey_router import CostAware, Fallback, Target, load_settings
from portkey_router.costing import Experience, needs_of
from portkey_router.errors import ConnectFailedError, DeadlineExceededError, PortkeyError
from portkey_router.flow.journey import Deadlines, Surroundings, journey
from portkey_router.flow.policy import Policy as Failover
from portkey_router.flow.steps import Open, Read, ReadAll, Wait
from portkey_router.health import Health
from portkey_router.locks import ForkLock
from portkey_router.planner import plan_strategy
from portkey_router.ranking import Ranker

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from routing_world import Outcome

    from portkey_router import PriceBook, Request
    from portkey_router.costing import Needs
    from portkey_router.flow.steps import Step
    from portkey_router.planner import Plan
    from portkey_router.wire.http import Expiry, HttpCall

__all__ = ["Bill", "ByCost", "ByListPrice", "ByRates", "Foresight", "Policy", "live"]

USUAL = 300  # tokens of an answer, for who has not learned better


def targets(without: Sequence[str] = ()) -> tuple[Target, ...]:
    """All of them held to be good enough; `without` some."""
    return tuple(
        Target(name, provider=nature.provider, virtual_key=f"vk-{name}")
        for name, nature in NATURES.items()
        if name not in without
    )


# ---- who decides -----------------------------------------------------------------------------------------------------


class Moment(NamedTuple):
    """A decision to be made: what is asked, the tokens it seems to have, and the world as it is."""

    asked: Asked
    tokens: int
    world: World


class Policy(Protocol):
    """Decides the order in which targets are asked."""

    name: str
    experience: Experience | None

    def plan(self, asked: Asked, world: World) -> tuple[Request, Plan, Needs]:
        """A call's request and plan, and what it is thought to need."""


class Ordered:
    """A policy that sorts by what a target seems to cost, and learns nothing."""

    experience: Experience | None = None

    def __init__(self, name: str, prices: PriceBook, *, without: Sequence[str] = ()) -> None:
        self.name = name
        self.prices = prices
        self._plan = _planned(Fallback(*targets(without)))

    def plan(self, asked: Asked, world: World) -> tuple[Request, Plan, Needs]:
        """The cheapest first."""
        request = asked.request()
        needs = needs_of(request)
        moment = Moment(asked, needs.tokens, world)
        attempts = sorted(self._plan.attempts, key=lambda attempt: self.cost(str(attempt.model), moment))
        return request, replace(self._plan, attempts=tuple(attempts)), needs

    def cost(self, name: str, moment: Moment) -> float:
        """What this target seems to cost."""
        raise NotImplementedError

    def rates(self, name: str, world: World, tokens: int = 0) -> tuple[float, float]:
        """USD for a million tokens in and out."""
        card = self.prices.card(NATURES[name].provider, name, world.time)
        assert card is not None, f"no price of {name}"
        rates = card.rates(tokens)
        return float(rates["input"]), float(rates["output"])


class ByListPrice(Ordered):
    """Cheapest first: the call's estimated tokens, and an answer of the usual length, at the price list's rates."""

    def cost(self, name: str, moment: Moment) -> float:
        """Of this call."""
        fresh, said = self.rates(name, moment.world, moment.tokens)
        return moment.tokens * fresh + USUAL * said


class ByRates(Ordered):
    """litellm's lowest-cost routing: the rate of input plus that of output, whatever is asked."""

    def cost(self, name: str, moment: Moment) -> float:
        """Of any call."""
        return sum(self.rates(name, moment.world))


class Foresight(Ordered):
    """Who knows each answer beforehand, its failing and what the provider has kept included: nobody can."""

    def cost(self, name: str, moment: Moment) -> float:
        """What it will be."""
        coming = moment.world.outcome(moment.asked, name, 1)
        return coming.usd if coming.what == "answers" else float("inf")


class ByCost:
    """`CostAware`, which begins the day without having learned anything."""

    def __init__(self, name: str, prices: PriceBook, *, without: Sequence[str] = (), **rules: Any) -> None:
        self.name = name
        self.experience: Experience | None = Experience()
        self._plan = _planned(CostAware(*targets(without), **rules))
        self._prices = prices
        self._ranker: Ranker | None = None

    def ranked_by(self, health: Health) -> None:
        """Begin a day."""
        self.experience = Experience()
        self._ranker = Ranker(self._prices, self.experience, health)

    def plan(self, asked: Asked, world: World) -> tuple[Request, Plan, Needs]:
        """By expected cost."""
        assert self._ranker is not None, "the day has not begun"
        request = asked.request()
        needs = needs_of(request)
        return request, self._ranker.rank(self._plan, needs, now=world.now, at=world.time, explain=False), needs


def _planned(strategy: CostAware | Fallback) -> Plan:
    settings = load_settings(base_url="http://gateway.test", env_file=None)
    return plan_strategy(strategy, settings, run_on="client", max_retries=2, draw=lambda _: 0)


# ---- the day ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Bill:
    """What a day was: USD in all and for failed attempts, calls not answered, seconds waited for each, attempts."""

    usd: float = 0.0
    wasted: float = 0.0
    failed: int = 0
    attempts: int = 0
    waits: list[float] = field(default_factory=list)


class _Stream:
    """A reply that comes in pieces, each at its time; an error at the end where it breaks."""

    def __init__(self, status: int, pieces: Sequence[tuple[float, bytes | Exception]], **headers: str) -> None:
        self.status = status
        kind = "text/event-stream" if status == 200 else "application/json"  # noqa: PLR2004
        self.headers = {"content-type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
        self.left = list(pieces)


@dataclass(slots=True)
class _Run:
    """A call on its way."""

    asked: Asked
    steps: Generator[Step, Any, None]
    tries: dict[str, int] = field(default_factory=dict)


Event = tuple[float, Any, Exception | None]  # in so many seconds: this outcome, or this error


def live(policy: Policy, day: Sequence[Asked], seed: int, prices: PriceBook) -> Bill:
    """The day by one policy."""
    world, bill, order = World(seed, prices), Bill(), itertools.count()
    health = Health(ForkLock())
    if isinstance(policy, ByCost):
        policy.ranked_by(health)
    queue: list[tuple[float, int, Asked | _Run, Any, Exception | None]] = []
    for asked in day:
        heapq.heappush(queue, (asked.at, next(order), asked, None, None))
    while queue:
        world.now, _, run, outcome, error = heapq.heappop(queue)
        if isinstance(run, Asked):
            run = _begin(run, policy, world, health)
        event = _advance(run, outcome, error, world, bill)
        if event is not None:
            heapq.heappush(queue, (world.now + event[0], next(order), run, *event[1:]))
    return bill


def _begin(asked: Asked, policy: Policy, world: World, health: Health) -> _Run:
    request, plan, needs = policy.plan(asked, world)
    around = Surroundings(
        "http://gateway.test/chat/completions",
        {},
        Deadlines(),
        clock=lambda: world.now,
        chance=random.Random(asked.number).random,  # noqa: S311  (a benchmark's)
        prices=world.prices,
        now=lambda: world.time,
        policy=Failover(wire_stream=True),
        health=health,
        experience=policy.experience,
        estimated=needs.tokens,
        kind=needs.kind,
    )
    return _Run(asked, journey(request, plan, around))


def _advance(run: _Run, outcome: Any, error: Exception | None, world: World, bill: Bill) -> Event | None:
    """Go on until something takes time; None at the end of the call."""
    while True:
        try:
            step = run.steps.send(outcome) if error is None else run.steps.throw(error)
        except (StopIteration, PortkeyError) as ended:
            bill.failed += isinstance(ended, PortkeyError)
            bill.waits.append(world.now - run.asked.at)
            return None
        outcome = error = None
        match step:
            case Wait(seconds):
                return seconds, None, None
            case Open(call):
                return _opened(run, call, world, bill)
            case Read(stream, expiry) | ReadAll(stream, expiry):
                return _read(stream, expiry, world)


def _opened(run: _Run, call: HttpCall, world: World, bill: Bill) -> Event:
    name = call.headers["x-portkey-virtual-key"].removeprefix("vk-")
    run.tries[name] = number = run.tries.get(name, 0) + 1
    coming = world.outcome(run.asked, name, number)
    bill.attempts += 1
    bill.usd += coming.usd
    if coming.what == "hangs":
        seconds = max(0.0, call.expiry.remaining(world.now))
        return seconds, None, DeadlineExceededError("silent", phase=call.expiry.phase, seconds=call.expiry.seconds)
    provider = NATURES[name].provider
    if coming.what in {"busy", "refuses"}:
        refused = json.dumps({"error": {"message": coming.what}}).encode()
        status = 429 if coming.what == "busy" else 503
        return coming.seconds, _Stream(status, [(0.0, refused)], x_portkey_provider=provider), None
    if coming.what == "breaks":
        bill.wasted += coming.usd
    world.warm[name, run.asked.kind.name] = world.now
    return coming.first, _Stream(200, _pieces(coming, name), x_portkey_provider=provider), None


def _pieces(coming: Outcome, name: str) -> list[tuple[float, bytes | Exception]]:
    """The answer's events, some seconds apart; what the tokens were is told at the end."""
    word, left = {"index": 0, "delta": {"content": "word "}, "finish_reason": None}, coming.seconds - coming.first
    pieces: list[tuple[float, bytes | Exception]] = [(0.0, _event(name, word))]
    while left > 5:  # noqa: PLR2004  (seconds)
        pieces.append((5.0, _event(name, word)))
        left -= 5
    if coming.what == "breaks":
        return [*pieces, (left, ConnectFailedError("the connection broke"))]
    used = coming.usage
    told = {
        "prompt_tokens": used.input_tokens,
        "completion_tokens": used.output_tokens,
        "total_tokens": used.total_tokens,
        "prompt_tokens_details": {"cached_tokens": used.cache_read_tokens},
        "completion_tokens_details": {"reasoning_tokens": used.reasoning_tokens},
    }
    stop = {"index": 0, "delta": {}, "finish_reason": "stop"}
    return [*pieces, (left, _event(name, stop) + _event(name, None, usage=told) + b"data: [DONE]\n\n")]


def _event(model: str, choice: dict[str, Any] | None, **more: Any) -> bytes:
    choices = [] if choice is None else [choice]
    return b"data: " + json.dumps({"id": "1", "model": model, "choices": choices, **more}).encode() + b"\n\n"


def _read(stream: _Stream, expiry: Expiry, world: World) -> Event:
    seconds, piece = stream.left.pop(0) if stream.left else (0.0, b"")
    left = expiry.remaining(world.now)
    if seconds > left:
        return max(0.0, left), None, DeadlineExceededError("silent", phase=expiry.phase, seconds=expiry.seconds)
    return (seconds, None, piece) if isinstance(piece, Exception) else (seconds, piece, None)

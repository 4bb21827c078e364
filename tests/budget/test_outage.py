"""What a ledger does while its store is away, and afterwards."""

from __future__ import annotations

import asyncio
import logging
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from portkey_router.bound import Bound
from portkey_router.budget import Budget, RateLimit
from portkey_router.errors import (
    AdmissionError,
    BudgetExceededError,
    ConfigurationError,
    RateLimitExceededError,
    StoreError,
)
from portkey_router.events import BudgetAlert, capture_events
from portkey_router.ledger import outage
from portkey_router.ledger.keeper import BudgetLedger
from portkey_router.stores.memory_ledger import MemoryLedgerStore
from portkey_router.stores.redis_client import RedisClient
from portkey_router.stores.redis_ledger import RedisLedgerStore
from tests.budget.stores import redis_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal

    from portkey_router.ledger.commands import Command, Reply
    from tests.services.redis import RedisServer

BUDGET = Budget("b", usd=10, per="total", alerts=(0.5,))
NOW = 1_790_000_000.0
ONE = Bound(most=10**9, expected=10**9, tokens=10)


class Flaky:
    """A store that can be away, or lose its answers: what was asked is done, and nobody hears of it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.store = MemoryLedgerStore(clock)
        self.state: Literal["there", "away", "mute"] = "there"
        self.code: str | None = None
        self.asked = 0

    def run(self, command: Command) -> Reply:
        """Do it, or not, or do it and fail."""
        self.asked += 1
        if self.state == "away":
            raise StoreError("away", code=self.code)
        reply = self.store.run(command)
        if self.state == "mute":
            raise StoreError("no answer", code=self.code)
        return reply

    async def arun(self, command: Command) -> Reply:
        """The same."""
        return self.run(command)


class World:
    """A ledger on a store that can be away, under a clock of its own."""

    def __init__(self, policy: Literal["allow", "deny"] = "allow", budget: Budget = BUDGET, **options: Any) -> None:
        self.now = NOW
        self.store = Flaky(lambda: self.now)
        self.ledger = BudgetLedger(
            self.store, [budget], on_ledger_error=policy, clock=lambda: self.now, pause=1.0, **options
        )

    def back(self) -> None:
        """The store is there again, and the pause is over."""
        self.store.state = "there"
        self.now += 2

    def standing(self) -> tuple[Decimal, Decimal]:
        """Spent and held, as another ledger on the same store sees it."""
        (state,) = BudgetLedger(self.store.store, self.ledger.budgets, clock=lambda: self.now).report({}).budgets
        return state.spent_usd, state.held_usd


def test_deny_lets_nothing_through() -> None:
    """The error says what is wrong and what else could be chosen; what is subject to no budget passes."""
    world = World("deny", Budget("b", usd=10, when={"team": "search"}))
    world.store.state = "away"
    with pytest.raises(AdmissionError, match=r"away.*on_ledger_error='allow'") as refused:
        world.ledger.reserve(ONE, {"team": "search"})
    assert isinstance(refused.value.__cause__, StoreError)
    assert not isinstance(refused.value, BudgetExceededError)
    world.ledger.reserve(ONE, {"team": "mail"})


def test_a_store_that_is_away_is_not_asked_for_each_call() -> None:
    """After a failure it is left alone for a moment, so that calls do not each wait for it."""
    world = World("deny")
    world.store.state = "away"
    for _ in range(5):
        with pytest.raises(AdmissionError):
            world.ledger.reserve(ONE, {})
    assert world.store.asked == 1
    world.now += 1
    with pytest.raises(AdmissionError):
        world.ledger.reserve(ONE, {})
    assert world.store.asked == 2


def test_allow_is_bounded_by_what_was_left() -> None:
    """Of 10 dollars 4 were used: this one of two processes lets 3 through."""
    world = World(instances=2)
    world.ledger.settle(world.ledger.reserve(ONE, {}), Decimal(1))
    for _ in range(3):
        world.ledger.reserve(ONE, {})
    world.store.state = "away"
    for _ in range(3):
        assert world.ledger.reserve(ONE, {}).local
    with pytest.raises(BudgetExceededError, match="store cannot be reached"):
        world.ledger.reserve(ONE, {})


def test_what_was_seen_of_an_earlier_window_does_not_count() -> None:
    """Yesterday's spending says nothing of today's."""
    world = World(budget=Budget("b", usd=2, per="day"))
    for _ in range(2):
        world.ledger.settle(world.ledger.reserve(ONE, {}), Decimal(1))
    world.now += 86_400
    world.store.state = "away"
    assert world.ledger.reserve(ONE, {}).local


def test_rate_limits_are_shared_out_as_well() -> None:
    """Each of two processes lets half of the requests through."""
    world = World(instances=2, limits=[RateLimit("r", requests=4, per="day", wait=False)])
    world.store.state = "away"
    for _ in range(2):
        world.ledger.reserve(ONE, {})
    with pytest.raises(RateLimitExceededError):
        world.ledger.reserve(ONE, {})


def test_what_was_let_through_is_told_afterwards() -> None:
    """Settled, in flight and released: the store ends up as if it had never been away, alerts included."""
    world = World()
    before = world.ledger.reserve(ONE, {})
    world.store.state = "away"
    settled, flying, released = (world.ledger.reserve(ONE, {}) for _ in range(3))
    world.ledger.settle(before, Decimal(1))
    world.ledger.settle(settled, Decimal("4.5"))
    world.ledger.release(released)
    world.back()
    with capture_events() as events:
        world.ledger.report({})
    assert world.standing() == (Decimal("5.5"), Decimal(1))
    assert [(alert.share, alert.spent_usd) for alert in events if isinstance(alert, BudgetAlert)] == [
        (0.5, Decimal("5.5"))
    ]
    world.ledger.settle(flying, Decimal("0.25"))
    assert world.standing() == (Decimal("5.75"), Decimal(0))


def test_each_outage_has_its_own_count() -> None:
    """What was let through in the last one is in the store's figures by the next."""
    world = World(budget=Budget("b", usd=2, per="total"))
    for _ in range(2):
        world.store.state = "away"
        made = world.ledger.reserve(ONE, {})
        assert made.local
        world.ledger.settle(made, Decimal("0.5"))
        world.back()
        world.ledger.release(world.ledger.reserve(ONE, {}))
    assert world.standing() == (Decimal(1), Decimal(0))


@pytest.mark.parametrize("policy", ["allow", "deny"])
def test_a_lost_answer_holds_nothing(policy: Literal["allow", "deny"]) -> None:
    """What the store held before its answer was lost is given back; what it settled is not settled twice."""
    world = World(policy)
    kept = world.ledger.reserve(ONE, {})
    world.store.state = "mute"
    if policy == "allow":
        world.ledger.release(world.ledger.reserve(ONE, {}))
    else:
        with pytest.raises(AdmissionError):
            world.ledger.reserve(ONE, {})
    world.now += 2
    world.ledger.settle(kept, Decimal("0.5"))
    world.back()
    world.ledger.report({})
    assert world.standing() == (Decimal("0.5"), Decimal(0))


async def test_a_cancelled_reservation_holds_nothing() -> None:
    """A task that is cancelled while the store works gives back what it may have been given."""
    world = World("deny")
    done = asyncio.Event()

    async def slowly(command: Command) -> Reply:
        world.store.run(command)
        done.set()
        await asyncio.sleep(3600)
        raise AssertionError

    plain, world.store.arun = world.store.arun, slowly  # type: ignore[method-assign]  # a store that hangs
    task = asyncio.create_task(world.ledger.areserve(ONE, {}))
    await done.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    world.store.arun = plain  # type: ignore[method-assign]  # as above
    assert world.standing() == (Decimal(0), Decimal(1))
    await world.ledger.areport({})
    assert world.standing() == (Decimal(0), Decimal(0))


def test_a_command_the_server_refuses_for_good_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """It is dropped and logged; everything behind it is told."""
    world = World()
    world.store.state = "away"
    world.ledger.settle(world.ledger.reserve(ONE, {}), Decimal(1))
    world.now += 2
    world.store.code = "WRONGTYPE"
    with caplog.at_level(logging.ERROR), pytest.raises(StoreError):
        world.ledger.report({})
    assert "dropped" in caplog.text
    world.back()
    world.ledger.release(world.ledger.reserve(ONE, {}))


def test_not_more_is_kept_than_can_be_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A long outage does not fill the memory; what is dropped is said."""
    monkeypatch.setattr(outage, "KEPT", 4)
    world = World(budget=Budget("b", usd=1000, per="total"))
    world.store.state = "away"
    for _ in range(4):
        world.ledger.reserve(ONE, {})
    assert "the oldest is dropped" in caplog.text


@pytest.mark.parametrize("settings", [{"url": "redis://127.0.0.1:1"}, {"url": "http://127.0.0.1"}, {"url": ""}])
def test_a_redis_that_is_not_there(settings: dict[str, Any]) -> None:
    """An address where nobody listens is an outage; one that is none is a mistake, and said before the network."""
    if not settings["url"].startswith("redis"):
        with pytest.raises(ConfigurationError, match="URL"):
            RedisClient(**settings)
        return
    ledger = BudgetLedger(RedisLedgerStore(RedisClient(**settings)), [BUDGET], on_ledger_error="allow")
    assert ledger.reserve(ONE, {}).local
    with pytest.raises(AdmissionError, match="cannot be reached"):
        BudgetLedger(RedisLedgerStore(RedisClient(**settings)), [BUDGET]).reserve(ONE, {})


def test_a_redis_that_comes_back(fresh_redis: Callable[..., RedisServer]) -> None:
    """A real server is paused in the middle: calls go on, and it is told of them when it answers again."""
    server = fresh_redis(search=False)
    client = RedisClient(server.url, timeout=0.25)
    clock = {"now": NOW}
    ledger = BudgetLedger(
        RedisLedgerStore(client, namespace="outage"), [BUDGET], on_ledger_error="allow", clock=lambda: clock["now"]
    )
    ledger.settle(ledger.reserve(ONE, {}), Decimal("0.5"))
    server.pause()
    made = ledger.reserve(ONE, {})
    assert made.local
    ledger.settle(made, Decimal("0.25"))
    server.resume()
    clock["now"] += 2
    ledger._store = redis_store(server.url, "outage")  # the machine may be busy, and speed is no claim of this test
    ledger.report({})
    (state,) = BudgetLedger(redis_store(server.url, "outage"), [BUDGET]).report({}).budgets
    assert (state.spent_usd, state.held_usd) == (Decimal("0.75"), Decimal(0))


def test_a_redis_that_forgot_its_scripts(plain_redis: RedisServer) -> None:
    """After SCRIPT FLUSH, as after a restart, they are sent again."""
    ledger = BudgetLedger(redis_store(plain_redis.url), [BUDGET])
    made = ledger.reserve(ONE, {})
    with plain_redis.client() as client:
        client.script_flush()
    ledger.settle(made, Decimal(1))
    assert ledger.report({}).budgets[0].spent_usd == 1


def test_no_name_and_no_value_stands_in_redis_in_clear(plain_redis: RedisServer) -> None:
    """Neither keys nor what they hold tell a budget's name, or a user's."""
    ledger = BudgetLedger(
        redis_store(plain_redis.url, "privacy"),
        [Budget("merger-project", usd=10, per="month", by="user")],
        [RateLimit("merger-limit", requests=5, by="user")],
    )
    ledger.settle(ledger.reserve(ONE, {"user": "ada@example.com"}), Decimal(1))
    ledger.reserve(ONE, {"user": "ada@example.com"})
    with plain_redis.client(decode_responses=True) as client:
        keys = list(client.scan_iter(match="*{privacy}*"))
        assert len(keys) == 4
        stored = repr([(key, client.dump(key)) for key in keys])
        lives: list[Any] = [client.ttl(key) for key in keys]
    assert "merger-" not in stored
    assert "ada@example" not in stored, "a shorter piece could stand in a digest by chance"
    assert all(0 < seconds < 33 * 86_400 for seconds in lives), "what is over is forgotten"

"""What an attempt may cost is set aside before it is sent, and settled however it ends; journeys fed by hand."""

from __future__ import annotations

import asyncio
import pickle
from contextlib import aclosing
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from portkey_router.budget import Budget, RateLimit
from portkey_router.drive import adrive, drive
from portkey_router.errors import (
    AllTargetsFailedError,
    BudgetExceededError,
    ConfigurationError,
    StreamInterruptedError,
)
from portkey_router.flow.policy import Policy
from portkey_router.health import Admission
from portkey_router.messages import CallOptions
from tests.core.fakes import (
    DONE,
    REFUSED,
    RESET,
    WHOLE,
    AsyncPort,
    Clock,
    Stream,
    SyncPort,
    asked,
    delta,
    down,
    event,
    failed,
    late,
    memory,
    ok,
    plan,
    start,
    target,
    tell,
    usage_event,
)
from tests.core.money import (
    COST,
    DEAR,
    DOLLAR,
    ZERO,
    body,
    bounds,
    dear_and_cheap,
    money_steps,
    settled,
    spending,
    state,
)

if TYPE_CHECKING:
    from portkey_router.wire.http import HttpCall, HttpReply

NO_USAGE = (delta(content="Hello"), delta("stop"), DONE)


# ---- one attempt -----------------------------------------------------------------------------------------------------


def test_an_answer_is_paid_for_exactly() -> None:
    """Set aside, sent with the cap that the bound relies on, and settled to the nano-dollar before it is shown."""
    around = spending(DOLLAR)
    told = tell(plan(), ok(), **around)
    assert [type(step).__name__ for step in told.steps] == ["Reserve", "Send", "Settle", "Show"]
    assert told.completion.cost is not None
    assert told.completion.cost.amount == COST
    assert settled(told) == [(COST, 7)]
    assert (state(around).spent_usd, state(around).held_usd) == (COST, ZERO)
    assert body(told)["max_tokens"] == 4096
    assert bounds(told)[0] > Decimal("0.004")


@pytest.mark.parametrize(
    ("ending", "paid"),
    [
        pytest.param(ok(), "cost", id="answered"),
        pytest.param(ok(headers={"x-portkey-cache-status": "HIT"}), "nothing", id="from the gateway's cache"),
        pytest.param(failed(503), "nothing", id="an error's status"),
        pytest.param(failed(408), "bound", id="the gateway's request_timeout"),
        pytest.param(REFUSED, "nothing", id="no connection"),
        pytest.param(late("connect"), "nothing", id="no connection in time"),
        pytest.param(RESET, "bound", id="broken off"),
        pytest.param(late("attempt"), "bound", id="too late"),
        pytest.param(KeyboardInterrupt(), "bound", id="interrupted"),
        pytest.param(Stream(WHOLE), "cost", id="streamed"),
        pytest.param(Stream(NO_USAGE), "bound", id="streamed without usage"),
        pytest.param(Stream(WHOLE[:3]), "bound", id="cut short"),
        pytest.param(Stream((WHOLE[1], usage_event(), RESET)), "bound", id="cut short after usage so far"),
        pytest.param(
            Stream((*WHOLE[:4], usage_event(), KeyboardInterrupt())), "cost", id="interrupted when all was said"
        ),
        pytest.param(Stream((WHOLE[1], KeyboardInterrupt())), "bound", id="a stream interrupted"),
        pytest.param(Stream((event({"error": {"message": "overloaded"}}),)), "bound", id="an error in a stream"),
    ],
)
def test_however_an_attempt_ends(ending: Any, paid: str) -> None:
    """Its cost where that is known, nothing where it was not billed, else all that was held; never is any held on."""
    around = spending(DOLLAR)
    told = tell(plan(), ending, **around)
    expected = {"cost": COST, "nothing": Decimal(0), "bound": bounds(told)[0]}[paid]
    assert (state(around).spent_usd, state(around).held_usd) == (expected, ZERO)


@pytest.mark.parametrize("driver", ["sync", "async"])
@pytest.mark.parametrize("chunks", [1, 2])
def test_a_stream_left_early_costs_its_bound(chunks: int, driver: str) -> None:
    """However much of it was read: what the provider makes after that, nobody tells."""
    around = spending(DOLLAR)
    stream = Stream(WHOLE)
    going = start(plan(), stream=True, **around)
    if driver == "sync":
        reading = drive(going, SyncPort(stream))
        for _ in range(chunks):
            next(reading)
        assert state(around).held_usd > 0
        reading.close()
    else:

        async def leave() -> None:
            async with aclosing(adrive(going, AsyncPort(stream))) as items:
                for _ in range(chunks):
                    await anext(items)
                assert state(around).held_usd > 0

        asyncio.run(leave())
    assert stream.aborted == 1
    assert state(around).held_usd == 0
    assert Decimal("0.004") < state(around).spent_usd < Decimal("0.005")


@pytest.mark.parametrize("moment", ["waiting", "sending", "settling"])
def test_a_cancelled_task_holds_nothing(moment: str) -> None:
    """Cancelled while it waits for its turn it has cost nothing; while it is sent, its bound; after that, its cost."""
    around = spending(DOLLAR, limits=[RateLimit("all", requests=1, when={})] if moment == "waiting" else ())
    kept, reached = around["spending"].ledger, asyncio.Event()
    reserve, settle = kept.areserve, kept.asettle

    async def reserved(*arguments: Any, **options: Any) -> Any:
        made = await reserve(*arguments, **options)
        if made.wait:
            reached.set()
        return made

    async def slowly_settled(*arguments: Any) -> None:
        await settle(*arguments)
        if moment == "settling":
            reached.set()
            await asyncio.sleep(60)

    class Port(AsyncPort):
        async def send(self, call: HttpCall) -> HttpReply:
            if moment == "sending":
                reached.set()
                await asyncio.sleep(60)
            return await super().send(call)

    kept.areserve, kept.asettle = reserved, slowly_settled

    async def call() -> None:
        async for _ in adrive(start(plan(), **around), Port(ok())):
            pass

    async def cancelled() -> None:
        if moment == "waiting":
            await call()
        task = asyncio.create_task(call())
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    spent = state(around).spent_usd
    assert state(around).held_usd == 0
    assert spent > Decimal("0.004") if moment == "sending" else spent == COST


# ---- further attempts ------------------------------------------------------------------------------------------------


def test_every_further_attempt_is_set_aside_before_it_is_sent() -> None:
    """A retry, a fallback and the new answer after a break each have a reservation of their own."""
    around = spending(DOLLAR)
    told = tell(plan(target("one", tries=2), target("two")), failed(503), RESET, ok(), **around)
    assert money_steps(told) == [
        *("Reserve", "Send", "Release", "Wait"),
        *("Reserve", "Send", "Settle"),
        *("Reserve", "Send", "Settle"),
    ]
    assert asked(told) == ["one", "one", "two"]
    assert state(around).spent_usd == bounds(told)[1] + COST
    around = spending(DOLLAR)
    again = Policy(on_stream_break="restart")
    told = tell(plan(target(), target("two")), Stream((*WHOLE[:3], RESET)), Stream(WHOLE), policy=again, **around)
    assert money_steps(told) == ["Reserve", "Open", "Settle", "Reserve", "Open", "Settle"]
    assert state(around).spent_usd == bounds(told)[0] + COST


def test_a_target_that_a_budget_refuses_is_passed_over() -> None:
    """The dear one may cost more than is left, so the cheap one answers; nothing was sent to the dear one."""
    around = {**spending(DOLLAR), "prices": DEAR}
    told = tell(dear_and_cheap(), ok(), **around)
    assert asked(told) == ["one"]
    assert [record.target for record in told.completion.route.attempts] == ["one"]
    assert money_steps(told) == ["Reserve", "Reserve", "Send", "Settle"]


def test_a_refusal_says_which_budget_and_until_when() -> None:
    """Nothing is sent; the error has the budget, its key, what was needed and is left, and when its window ends."""
    around = spending(Budget("each user", usd="0.001", per="day", by="user"))
    told = tell(plan(target(), target("two")), options=CallOptions(tags={"user": "u1"}), **around)
    error = told.error
    assert isinstance(error, BudgetExceededError)
    assert (error.budget, error.key, error.left_usd) == ("each user", "u1", Decimal("0.001"))
    assert error.needed_usd == bounds(told)[0]
    assert error.resets_at == datetime(2023, 11, 15, tzinfo=UTC)
    assert "until 2023-11-15 00:00 UTC" in str(error)
    assert (error.attempts, told.calls) == ((), [])
    assert error.__notes__[0].startswith("Other targets: Budget 'each user'")
    assert pickle.loads(pickle.dumps(error)).resets_at == error.resets_at  # noqa: S301  (what was just written)


def test_a_retry_that_a_budget_refuses_ends_in_the_refusal() -> None:
    """The failure that was to be retried is its cause, and is among its attempts."""
    around = spending(Budget("all", usd="0.006", per="total"))
    told = tell(plan(target(tries=3)), RESET, **around)
    assert isinstance(told.error, BudgetExceededError)
    assert told.error.__cause__ is RESET
    assert [record.outcome for record in told.error.attempts] == ["ConnectFailedError"]
    assert state(around).spent_usd == bounds(told)[0]


def test_a_refusal_beside_failures_is_told_with_them() -> None:
    """One target failed, the budget refuses the other: an error that lists both."""
    around = {**spending(DOLLAR), "prices": DEAR}
    told = tell(plan(target("one"), target("dear")), failed(401), **around)
    assert isinstance(told.error, AllTargetsFailedError)
    assert "401" in str(told.error)
    assert "Budget 'all'" in str(told.error)
    assert [type(each).__name__ for each in told.error.errors] == ["AuthenticationError", "BudgetExceededError"]


def test_a_refused_restart_leaves_what_was_shown_broken() -> None:
    """Part of an answer was shown, and no other may be paid for: the caller is told that it is not whole."""
    around = spending(Budget("all", usd="0.006", per="total"))
    again = Policy(on_stream_break="restart")
    told = tell(plan(target(), target("two")), Stream((*WHOLE[:3], RESET)), policy=again, **around)
    assert isinstance(told.error, StreamInterruptedError)
    assert isinstance(told.error.__cause__, AllTargetsFailedError)


def test_a_refused_probe_is_let_go_of() -> None:
    """A target that was down gets one request to prove itself; one that was never sent proves nothing."""
    clock, health = Clock(), memory()
    around = {**spending(DOLLAR), "prices": DEAR}
    down(health, "dear", clock)
    clock.now += 60
    tell(dear_and_cheap(), ok(), clock=clock, health=health, **around)
    assert health.admit("dear", clock.now) is Admission.PROBE


def test_a_body_that_cannot_be_sent_costs_nothing() -> None:
    """What is found out after the money was set aside gives it back, and counts as no request."""
    around = spending(DOLLAR, limits=[RateLimit("all", requests=1, when={})])
    told = tell(plan(), body={"temperature": float("nan")}, **around)
    assert isinstance(told.error, ConfigurationError)
    assert (state(around).spent_usd, state(around).held_usd) == (ZERO, ZERO)
    assert tell(plan(), ok(), **around).waits == []

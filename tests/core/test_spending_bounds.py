"""What is set aside for an attempt, and the cap that is sent with it; journeys fed by hand."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from portkey_router.budget import Budget, RateLimit
from portkey_router.errors import (
    BudgetExceededError,
    ConfigurationError,
)
from portkey_router.flow.journey import Deadlines, Surroundings, journey
from portkey_router.flow.steps import Reserve
from portkey_router.messages import CallOptions, Embeddings, Request
from portkey_router.planner import Plan, plan_config
from portkey_router.pricing import Price, PriceBook
from portkey_router.targets import Fallback, Target
from portkey_router.wire.http import HttpReply
from tests.core.fakes import (
    JSON,
    RESET,
    URL,
    Clock,
    feed,
    ok,
    plan,
    target,
    tell,
)
from tests.core.money import (
    COST,
    DOLLAR,
    body,
    bounds,
    money_steps,
    spending,
    state,
)


@pytest.mark.parametrize(
    ("model", "given", "sent"),
    [
        ("gpt-4o", {}, {"max_tokens": 4096}),
        ("gpt-4o", {"max_tokens": 7}, {"max_tokens": 7}),
        ("gpt-4o", {"max_completion_tokens": 7}, {"max_completion_tokens": 7}),
        ("o3", {}, {"max_completion_tokens": 16_384}),
        ("@azure-prod/gpt-5-mini", {}, {"max_completion_tokens": 16_384}),
        ("claude-sonnet-4-5", {"thinking": {"type": "enabled", "budget_tokens": 9000}}, {"max_tokens": 13_096}),
    ],
)
def test_the_cap_is_sent_as_the_model_takes_it(model: str, given: dict[str, Any], sent: dict[str, int]) -> None:
    """Under its own name, with room for thinking; a request that names one keeps it."""
    around = {**spending(DOLLAR), "prices": PriceBook({model: Price(1, 1)}, genai=False)}
    told = tell(plan(target(model=model)), ok(), body=given, **around)
    assert {name: value for name, value in body(told).items() if name.startswith("max")} == sent
    (most,) = bounds(told)
    assert most > Decimal(next(iter(sent.values()))) / 10**6
    assert most < Decimal(next(iter(sent.values()))) / 10**6 + Decimal("0.001")


def test_soft_budgets_and_limits_send_no_cap() -> None:
    """They hold what is expected, which needs none; and a call that is subject to nothing is left alone."""
    soft = spending(Budget("soft", usd=1, hard=False), limits=[RateLimit("all", tokens=1000, when={})])
    assert "max_tokens" not in body(tell(plan(), ok(), **soft))
    told = tell(plan(), ok(), **spending(Budget("others", usd=1, when={"team": "search"})))
    assert money_steps(told) == ["Send"]
    assert "max_tokens" not in body(told)


def test_a_soft_budget_learns_how_long_answers_are() -> None:
    """300 tokens are expected of the first answer, of the next what the target's answers have been."""
    around = spending(Budget("soft", usd=1, hard=False))
    usage = {"prompt_tokens": 20, "completion_tokens": 2000, "total_tokens": 2020}

    def expected() -> int:
        told = tell(plan(), ok(usage=usage), **around)
        (step,) = [step for step in told.steps if isinstance(step, Reserve)]
        assert step.bound.expected is not None
        return step.bound.expected

    assert 300_000 < expected() < 320_000
    assert expected() == pytest.approx(2_020_000, rel=0.01)


def test_a_saved_config_needs_the_callers_own_bound() -> None:
    """Its targets are the gateway's: a hard budget refuses, saying so, unless the call states `max_cost`."""
    around = spending(DOLLAR)
    told = tell(plan_config("pc-mine", None), **around)
    assert isinstance(told.error, BudgetExceededError)
    assert "pc-mine" in str(told.error)
    assert "max_cost=" in str(told.error)
    bounded = CallOptions(max_cost=Decimal("0.01"))
    told = tell(plan_config("pc-mine", None), RESET, options=bounded, **around)
    assert bounds(told) == [Decimal("0.01")]
    assert state(around).spent_usd == Decimal("0.01")
    assert "max_tokens" not in body(told)


def by_gateway(*models: str, **more: Any) -> Plan:
    """A fallback that the gateway runs."""
    strategy = Fallback(*(Target(model, provider="openai") for model in models))
    return plan(target(model=None, key="", strategy=strategy, **more), run_on="gateway")


GATEWAY = PriceBook({"gpt-4o": Price(1, 10), "gpt-4o-mini": Price(1, 1), "o3": Price(1, 20)}, genai=False)


def test_a_strategy_of_the_gateways_holds_what_its_dearest_target_may_cost() -> None:
    """Whichever answers, it is covered; and it settles at the price of the one that did."""
    around = {**spending(DOLLAR), "prices": GATEWAY}
    headers = {"x-portkey-last-used-option-index": "config.targets[1]"}
    told = tell(by_gateway("gpt-4o", "gpt-4o-mini"), ok(headers=headers, model="gpt-4o-mini"), **around)
    assert bounds(told)[0] > Decimal("0.04")
    assert state(around).spent_usd == COST
    assert body(told)["max_tokens"] == 4096
    capped = tell(by_gateway("o3", "gpt-4o"), **around)
    assert isinstance(capped.error, BudgetExceededError)
    assert "different names" in str(capped.error)
    assert tell(by_gateway("o3", "gpt-4o"), ok(), body={"max_tokens": 5}, **around).error is None


def test_what_the_gateway_chooses_counts_for_each_it_may_choose() -> None:
    """A budget of one of its models applies; one counted by model cannot be kept, which is said."""
    one = {**spending(Budget("mini", usd=1, when={"model": "gpt-4o-mini"})), "prices": GATEWAY}
    assert bounds(tell(by_gateway("gpt-4o", "gpt-4o-mini"), ok(), **one))[0] > Decimal("0.04")
    each = {**spending(Budget("each", usd=1, by="model")), "prices": GATEWAY}
    told = tell(by_gateway("gpt-4o", "gpt-4o-mini"), **each)
    assert isinstance(told.error, ConfigurationError)
    assert "run_on='client'" in str(told.error)
    assert tell(by_gateway("gpt-4o", "gpt-4o"), ok(), **each).error is None


def test_embeddings_are_set_aside_for_their_input_alone() -> None:
    """They have no output to be capped, and settle to what they cost."""
    around = spending(DOLLAR)
    request = Request((), body={"input": ["a text"]}, operation="embeddings")
    vectors = {"data": [{"index": 0, "embedding": [1.0]}], "usage": {"prompt_tokens": 3, "total_tokens": 3}}
    clock = Clock()
    going = journey(request, plan(), Surroundings(URL, {}, Deadlines(), clock=clock, chance=lambda: 0.5, **around))
    told = feed(going, [HttpReply(200, JSON, json.dumps(vectors).encode())], clock)
    assert isinstance(told.shown[-1], Embeddings)
    assert "max_tokens" not in body(told)
    assert Decimal(0) < bounds(told)[0] < Decimal("0.001")
    assert state(around).spent_usd == Decimal("0.000003")

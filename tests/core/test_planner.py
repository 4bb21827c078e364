from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from portkey_router.errors import ConfigurationError, UnknownModelError
from portkey_router.planner import Attempt, Plan, plan_config, plan_headers, plan_strategy
from portkey_router.settings import Settings
from portkey_router.targets import (
    FALLBACK_STATUS_CODES,
    Conditional,
    Fallback,
    LoadBalance,
    Single,
    Sticky,
    Strategy,
    Target,
    When,
    leaves,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SETTINGS = Settings(virtual_keys={name: SecretStr(f"vk-{name}") for name in ("openai", "anthropic", "google")})
PAID = {"metadata.plan": {"$eq": "paid"}}


def first(weights: Sequence[float]) -> int:
    """Draw the first that is left."""
    return 0


def plan(
    strategy: Strategy, *, run_on: Any = "client", max_retries: int = 2, draw: Callable[[Sequence[float]], int] = first
) -> Plan:
    """A plan under three keys."""
    return plan_strategy(strategy, SETTINGS, run_on=run_on, max_retries=max_retries, draw=draw)


def config_of(planned: Plan, position: int) -> dict[str, Any]:
    """The config that an attempt sends."""
    config = json.loads(planned.attempts[position].headers["x-portkey-config"])
    assert isinstance(config, dict)
    return config


def test_a_single_target_is_tried_and_tried_again() -> None:
    """One attempt, one try more than its retries, and no status that leads elsewhere."""
    (attempt,) = plan(Single("gpt-4o"), max_retries=3).attempts
    assert (attempt.target, attempt.model, attempt.provider, attempt.tries) == ("gpt-4o", "gpt-4o", "openai", 4)
    assert attempt.headers == {"x-portkey-virtual-key": "vk-openai"}
    assert attempt.fall_over_on == frozenset()


def test_a_fallback_keeps_its_order_and_says_why() -> None:
    """Each attempt names the one before it, and moves on after the strategy's statuses only."""
    planned = plan(Fallback("gpt-4o", "claude-3", "gemini-2", on_status_codes=[429, 500]))
    assert [attempt.target for attempt in planned.attempts] == ["gpt-4o", "claude-3", "gemini-2"]
    assert [attempt.reason for attempt in planned.attempts] == [
        "first choice",
        "if gpt-4o fails",
        "if claude-3 fails",
    ]
    assert {attempt.fall_over_on for attempt in planned.attempts} == {frozenset({429, 500})}
    assert plan(Fallback("gpt-4o")).attempts[0].fall_over_on == frozenset(FALLBACK_STATUS_CODES)


def test_load_balancing_draws_by_weight() -> None:
    """The first attempt is drawn by weight: three in four here, over a thousand calls."""
    chance = random.Random(7)  # noqa: S311  (a test's own, seeded)
    strategy = LoadBalance(Target("gpt-4o", weight=3), Target("claude-3"))
    draws = Counter(
        plan(strategy, draw=lambda w: chance.choices(range(len(w)), w)[0]).attempts[0].target for _ in range(1000)
    )
    assert 700 < draws["gpt-4o"] < 800
    assert draws["gpt-4o"] + draws["claude-3"] == 1000


@given(st.lists(st.sampled_from([0, 0.5, 1, 3]), min_size=1, max_size=6).filter(any), st.randoms(use_true_random=False))
def test_load_balancing_asks_each_weighted_target_once(weights: list[float], chance: random.Random) -> None:
    """Whatever is drawn, every target with a weight stands in the plan once, those of weight 0 never."""
    strategy = LoadBalance(*(Target("gpt-4o", name=f"t{n}", weight=w) for n, w in enumerate(weights)))
    seen: list[list[float]] = []

    def draw(left: Sequence[float]) -> int:
        seen.append(list(left))
        return chance.randrange(len(left))

    names = [attempt.target for attempt in plan(strategy, draw=draw).attempts]
    assert sorted(names) == sorted(f"t{n}" for n, weight in enumerate(weights) if weight)
    assert seen[0] == [weight for weight in weights if weight]
    assert [len(left) for left in seen] == list(range(len(names), 0, -1))


def test_load_balancing_says_why() -> None:
    """The reason names the share, and whom a stand-in stands in for."""
    planned = plan(LoadBalance(Target("gpt-4o", weight=3), Target("claude-3")), draw=lambda weights: len(weights) - 1)
    assert [attempt.reason for attempt in planned.attempts] == [
        "drawn; weight 1 of 4",
        "if claude-3 fails; weight 3 of 4",
    ]


@pytest.mark.parametrize(
    ("strategy", "named"),
    [
        (Fallback(LoadBalance("gpt-4o"), "claude-3"), "a strategy inside a strategy"),
        (LoadBalance("gpt-4o", sticky=Sticky("metadata.user")), "sticky"),
        (Conditional(When(PAID, "gpt-4o"), default="claude-3"), "Conditional"),
    ],
)
def test_what_only_the_gateway_can_run(strategy: Strategy, named: str) -> None:
    """Run by the client these are refused, with the way out; run by the gateway they are planned."""
    with pytest.raises(ConfigurationError, match=rf"{named}.*run_on='gateway'"):
        plan(strategy)
    assert plan(strategy, run_on="gateway").attempts


def test_a_fallback_on_the_gateway_has_the_targets_left_in_reserve() -> None:
    """The whole config once; then, for streams cut short, what is left of it."""
    planned = plan(Fallback("gpt-4o", "claude-3", "gemini-2"), run_on="gateway", max_retries=1)
    assert [attempt.target for attempt in planned.attempts] == [
        "gpt-4o > claude-3 > gemini-2",
        "claude-3 > gemini-2",
        "gemini-2",
    ]
    assert [attempt.tries for attempt in planned.attempts] == [1, 1, 1]
    assert [len(config_of(planned, position)["targets"]) for position in range(3)] == [3, 2, 1]
    leaf = config_of(planned, 1)["targets"][0]
    assert (leaf["virtual_key"], leaf["retry"]["attempts"]) == ("vk-anthropic", 1)
    assert planned.attempts[1].reason == "if the stream of gpt-4o is cut short"
    assert [attempt.model for attempt in planned.attempts] == [None, None, None]


def test_anything_else_on_the_gateway_is_sent_twice_at_most() -> None:
    """A load balancer chooses anew: the same config once more, after a stream cut short."""
    planned = plan(LoadBalance("gpt-4o", "claude-3"), run_on="gateway")
    assert [attempt.tries for attempt in planned.attempts] == [2]
    assert leaves(planned.attempts[0].strategy or Single("none")) == (Target("gpt-4o"), Target("claude-3"))


def test_a_saved_config() -> None:
    """A saved config is sent by its id, under its own name; an inline one without showing what is in it."""
    (saved,) = plan_config("pc-1", "gpt-4o").attempts
    assert (saved.target, saved.model, saved.tries) == ("pc-1", "gpt-4o", 2)
    assert saved.headers == {"x-portkey-config": "pc-1"}
    for inline in ({"virtual_key": "vk-1"}, '{"virtual_key": "vk-1"}', ' {"virtual_key": "vk-1"}'):
        (attempt,) = plan_config(inline, None).attempts
        assert attempt.target == "inline config"
        assert "vk-1" not in repr(attempt)
        assert json.loads(attempt.headers["x-portkey-config"]) == {"virtual_key": "vk-1"}


def test_no_model_is_refused() -> None:
    """A target without a model is refused."""
    with pytest.raises(ConfigurationError, match="No model"):
        plan(Single(Target()))


def test_default_headers_are_a_plan_of_their_own() -> None:
    """A config in them is the gateway's to run, under all of them; a key or provider is one client attempt."""
    config = plan_headers(
        Settings(route={"x-portkey-config": "pc-1", "x-portkey-virtual-key": "vk"}), "m", max_retries=2
    )
    assert config.run_on == "gateway"
    assert config.attempts[0].headers == {"x-portkey-config": "pc-1", "x-portkey-virtual-key": "vk"}
    keyed = plan_headers(Settings(route={"x-portkey-virtual-key": "vk"}), "m", max_retries=2)
    assert (keyed.run_on, keyed.attempts[0].tries, keyed.attempts[0].model) == ("client", 3, "m")


def test_a_target_without_a_key_is_refused_before_anything_is_sent() -> None:
    """One unpaid target spoils the plan, not the call half-way through."""
    with pytest.raises(UnknownModelError, match="PORTKEY_VIRTUAL_KEY_COHERE"):
        plan(Fallback("gpt-4o", "command-r"))
    with pytest.raises(UnknownModelError, match="PORTKEY_VIRTUAL_KEY_COHERE"):
        plan(Fallback("gpt-4o", "command-r"), run_on="gateway")


def test_a_plan_prints_as_a_table_without_keys() -> None:
    """`print(plan)` shows who is asked, how often and why; keys are neither in it nor in the repr."""
    planned = plan(Fallback("gpt-4o", Target("claude-3", name="spare")), max_retries=1)
    assert str(planned).splitlines() == [
        "fallback, run on the client",
        "#  target  model     provider   tries  why",
        "1  gpt-4o  gpt-4o    openai     2      first choice",
        "2  spare   claude-3  anthropic  2      if gpt-4o fails",
    ]
    assert "vk-" not in repr(planned)
    assert "(the config's)" in str(plan_config("pc-1", None))


def test_another_reason_leaves_the_rest_as_it_was() -> None:
    """Every field is taken over, those added later included."""
    values = {field.name: object() for field in fields(Attempt)}
    attempt = Attempt(**values)  # type: ignore[arg-type]  # each value is another, whatever its type
    assert attempt.because("so") == replace(attempt, reason="so")

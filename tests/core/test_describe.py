from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portkey_router.abilities import Abilities
from portkey_router.describe import strategy_from_dict, strategy_to_dict
from portkey_router.errors import ConfigurationError
from portkey_router.targets import Conditional, CostAware, Fallback, LoadBalance, Single, Sticky, Strategy, Target, When

PAID = {"metadata.plan": {"$eq": "paid"}}
KEY = "vk-planted-0123456789"
NAMES = st.text("abcdefgh-4o", min_size=1, max_size=8)
CODES = st.lists(st.integers(400, 599), min_size=1, max_size=3)
WEIGHTS = st.floats(0.25, 10)
TARGETS = st.builds(
    Target,
    NAMES,
    provider=st.none() | st.sampled_from(["openai", "@slug"]),
    custom_host=st.none() | st.just("http://127.0.0.1:1/v1"),
    weight=WEIGHTS,
    override_params=st.dictionaries(st.sampled_from(["max_tokens", "seed"]), st.integers(0, 9)),
    request_timeout=st.none() | st.floats(0.5, 60),
    cache=st.none() | st.just({"mode": "simple", "max_age": 60}),
    forward_headers=st.lists(NAMES, max_size=2),
    options=st.dictionaries(st.just("aws_region"), NAMES),
    abilities=st.none() | st.builds(Abilities, st.integers(1, 9), st.integers(1, 9), images=st.booleans()),
    quality=st.none() | st.floats(0, 5),
    name=st.none() | NAMES,
)


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some, common = st.lists(inner, min_size=1, max_size=3), {"weight": WEIGHTS, "name": st.none() | NAMES}
    sticky = st.none() | st.builds(Sticky, st.just("metadata.user"), ttl=st.integers(1, 9))
    return st.one_of(
        st.builds(lambda of, **kw: Fallback(*of, **kw), some, on_status_codes=CODES, **common),
        st.builds(lambda of, **kw: LoadBalance(*of, **kw), some, sticky=sticky, on_status_codes=CODES, **common),
        st.builds(lambda of, **kw: Conditional(*(When(PAID, one) for one in of), **kw), some, default=inner, **common),
    )


LIMITS = st.none() | st.floats(0, 9)
COST_AWARE = st.builds(
    lambda of, **kw: CostAware(*of, **kw),
    st.lists(TARGETS, min_size=1, max_size=3),
    max_price=LIMITS,
    max_latency=LIMITS,
    min_quality=LIMITS,
    unknown_price=st.sampled_from(["last", "exclude", "error"]),
    latency_price=st.floats(0, 1),
    on_status_codes=CODES,
    weight=WEIGHTS,
    name=st.none() | NAMES,
)
STRATEGIES = st.recursive(TARGETS | COST_AWARE, _nested, max_leaves=6) | st.builds(Single, TARGETS)


@given(STRATEGIES)
def test_strategies_round_trip(strategy: Strategy | Target) -> None:
    """What is described as JSON and read back is equal, however nested."""
    assert strategy_from_dict(json.loads(json.dumps(strategy_to_dict(strategy)))) == strategy


def test_no_key_is_described() -> None:
    """Keys stay out, also those among the options; what is not secret stays."""
    target = Target("gpt-4o", provider="openai", api_key=KEY, options={"aws_secret_access_key": KEY, "aws_region": "x"})
    described = strategy_to_dict(Fallback(target, "claude"))
    assert KEY not in json.dumps(described)
    assert described["targets"] == [
        {"model": "gpt-4o", "provider": "openai", "options": {"aws_region": "x"}},
        {"model": "claude"},
    ]


def test_a_name_is_described_as_its_target() -> None:
    """A bare model name and its target read the same."""
    assert strategy_to_dict("gpt-4o") == strategy_to_dict(Target("gpt-4o")) == {"model": "gpt-4o"}


@pytest.mark.parametrize(
    "described",
    [
        {"mode": "cheapest", "targets": []},
        {"mode": "fallback"},
        {"mode": "fallback", "targets": []},
        {"mode": "fallback", "targets": ["gpt-4o"]},
        {"mode": "fallback", "targets": 5},
        {"mode": "fallback", "targets": [{"model": "a"}], "colour": "red"},
        {"mode": "single", "targets": []},
        {"mode": "loadbalance", "targets": [{"model": "a"}], "sticky": "user"},
        {"mode": "loadbalance", "targets": [{"model": "a"}], "weight": "heavy"},
        {"mode": "conditional", "conditions": [{"then": {"model": "a"}}], "default": {"model": "b"}},
        {"mode": ["fallback"], "targets": [{"model": "a"}]},
        {"modell": "gpt-4o"},
        "gpt-4o",
        5,
    ],
)
def test_anything_else_is_refused(described: Any) -> None:
    """A description that was tampered with is a ConfigurationError, whatever is wrong with it."""
    with pytest.raises(ConfigurationError):
        strategy_from_dict(described)

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import SecretStr

from portkey_router.compile import compile_config
from portkey_router.errors import ConfigurationError
from portkey_router.settings import Settings
from portkey_router.targets import (
    FALLBACK_STATUS_CODES,
    RETRY_STATUS_CODES,
    Conditional,
    CostAware,
    Fallback,
    LoadBalance,
    Single,
    Sticky,
    Strategy,
    Target,
    When,
    as_strategy,
)

SCHEMA = json.loads((Path(__file__).parents[1] / "data" / "portkey-config.schema.json").read_text())
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)
PAID = {"metadata.plan": {"$eq": "paid"}}
BIG = Target("gpt-4o", virtual_key="vk-1", name="big")
SMALL = Target("@groq/llama-3", override_params={"max_tokens": 50}, name="small")
RAW = Target("claude-3", provider="anthropic", api_key="sk-own", request_timeout=1.5, weight=3)
LOCAL = Target("m", provider="openai", custom_host="http://127.0.0.1:1/v1", forward_headers=["x-a"])
CACHED = Target("gpt-4o", virtual_key="vk-1", cache={"mode": "semantic", "max_age": 60})
CLOUD = Target(
    "anthropic.claude", provider="bedrock", options={"aws_region": "eu-west-1", "aws_secret_access_key": "s"}
)
RETRY = {"attempts": 2, "on_status_codes": list(RETRY_STATUS_CODES)}

STRATEGIES: list[Strategy] = [
    Single(BIG),
    Single(SMALL),
    Single(RAW),
    Single(CACHED),
    Single(CLOUD),
    Single(Target(provider="openai", api_key="sk-own")),
    Fallback(BIG, SMALL, RAW, LOCAL, CACHED, CLOUD),
    Fallback(BIG, SMALL, on_status_codes=[429]),
    LoadBalance(BIG, RAW, name="split"),
    LoadBalance(BIG, SMALL, sticky=Sticky("metadata.user_id", ttl=60)),
    CostAware(SMALL, BIG, RAW, max_price=0.1, name="cheap"),
    Fallback(LoadBalance(BIG, RAW), SMALL),
    LoadBalance(Fallback(BIG, SMALL, weight=2), RAW),
    Conditional(When(PAID, BIG), default=SMALL),
    Conditional(
        When({"$and": [PAID, {"params.model": {"$in": ["a"]}}]}, Fallback(BIG, RAW)), default=LoadBalance(LOCAL)
    ),
    Fallback(Conditional(When(PAID, BIG), default=SMALL), CACHED),
]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=repr)
@pytest.mark.parametrize("max_retries", [0, 5])
def test_what_is_compiled_is_valid(strategy: Strategy, max_retries: int) -> None:
    """Hosted Portkey's own schema, closed to unknown fields, accepts every strategy we compile."""
    config = compile_config(strategy, max_retries=max_retries)
    VALIDATOR.validate(config)
    assert "use_retry_after_header" not in json.dumps(config)


def test_the_schema_would_refuse_a_slip() -> None:
    """The schema does refuse what we must not send, so that being valid means something."""
    assert not VALIDATOR.is_valid({"retry": {"attempts": 1}, "colour": "red"})
    assert not VALIDATOR.is_valid({"retry": {}})
    assert not VALIDATOR.is_valid({"strategy": {"mode": "cheapest"}, "targets": []})
    assert not VALIDATOR.is_valid({"strategy": {"mode": "conditional"}, "targets": []})


def leaves_of(config: Any) -> list[dict[str, Any]]:
    """The leaves of a config, in order."""
    if "targets" not in config:
        return [config]
    return [leaf for target in config["targets"] for leaf in leaves_of(target)]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=repr)
def test_every_leaf_states_its_retries_and_every_fallback_its_codes(strategy: Strategy) -> None:
    """Nothing is left to a default of the gateway, which would retry again or fall back on a wrong request."""
    config = compile_config(strategy, max_retries=0)
    assert all(leaf["retry"] == {**RETRY, "attempts": 0} for leaf in leaves_of(config))
    waiting = [config]
    while waiting:
        node = waiting.pop()
        waiting += node.get("targets", [])
        if node.get("strategy", {}).get("mode") == "fallback":
            assert node["strategy"]["on_status_codes"]
            assert 400 not in node["strategy"]["on_status_codes"]


def test_a_fallback_in_full() -> None:
    """Slugs, virtual keys and raw keys each as Portkey documents them; times in milliseconds."""
    config = compile_config(Fallback(BIG, SMALL, RAW, name="all"))
    assert config == {
        "name": "all",
        "strategy": {"mode": "fallback", "on_status_codes": list(FALLBACK_STATUS_CODES)},
        "targets": [
            {"name": "big", "virtual_key": "vk-1", "override_params": {"model": "gpt-4o"}, "retry": RETRY},
            {
                "name": "small",
                "provider": "@groq",
                "override_params": {"model": "llama-3", "max_tokens": 50},
                "retry": RETRY,
            },
            {
                "provider": "anthropic",
                "api_key": "sk-own",
                "override_params": {"model": "claude-3"},
                "request_timeout": 1500,
                "retry": RETRY,
            },
        ],
    }


def test_load_balancing_in_full() -> None:
    """Every target states its weight, a nested strategy too; stickiness goes by Portkey's name for it."""
    config = compile_config(LoadBalance(Fallback(BIG, weight=2), RAW, sticky=Sticky("metadata.user_id", ttl=60)))
    assert [target["weight"] for target in config["targets"]] == [2, 3]
    assert config["strategy"] == {
        "mode": "loadbalance",
        "sticky_session": {"hash_fields": ["metadata.user_id"], "ttl": 60},
    }


def test_conditions_refer_to_unique_names() -> None:
    """Each `then` and the default name one target, which is there once; unnamed ones are named by their place."""
    shared = Target("b")
    config = compile_config(Conditional(When(PAID, Target("a")), When(PAID, shared), When(PAID, BIG), default=shared))
    names = [target["name"] for target in config["targets"]]
    assert names == ["target-0", "target-1", "big"]
    assert [condition["then"] for condition in config["strategy"]["conditions"]] == names
    assert config["strategy"]["default"] == "target-1"


def test_ambiguous_names_are_refused() -> None:
    """Two targets of one name would make `then` a matter of chance; a name like one of ours is avoided."""
    with pytest.raises(ConfigurationError, match="same name"):
        compile_config(Conditional(When(PAID, Target("a", name="x")), default=Target("b", name="x")))
    config = compile_config(Conditional(When(PAID, Target("a", name="target-1")), default=Target("b")))
    assert len({target["name"] for target in config["targets"]}) == 2
    assert config["strategy"]["conditions"][0]["then"] == "target-1"


@pytest.mark.parametrize(
    "query",
    [
        {"plan": {"$eq": "paid"}},
        {"metadata.user.plan": {"$eq": "paid"}},
        {"metadata.": {"$eq": "paid"}},
        {"header.x": {"$eq": "paid"}},
        {"metadata.plan": "paid"},
        {"metadata.plan": {}},
        {"metadata.plan": {"$equals": "paid"}},
        {"metadata.plan": {"$eq": "a", "$like": "b"}},
        {"$and": [{"plan": {"$eq": "paid"}}]},
        {"$or": {"metadata.plan": {"$eq": "paid"}}},
        {"$and": "metadata.plan"},
        {"$and": ["metadata.plan"]},
        {"$not": [PAID]},
    ],
)
def test_conditions_that_never_match_are_refused(query: dict[str, Any]) -> None:
    """A query the gateway would not understand is refused before it is sent."""
    with pytest.raises(ConfigurationError, match="When"):
        compile_config(Conditional(When(query, "a"), default="b"))


@pytest.mark.parametrize(
    "query", [{"url.pathname": {"$eq": "/v1/chat/completions"}}, {"$or": [PAID, {"$and": [PAID]}]}]
)
def test_conditions_that_may_match_pass(query: dict[str, Any]) -> None:
    """Every documented form of a query is taken as it is."""
    config = compile_config(Conditional(When(query, "a"), default="b"))
    assert config["strategy"]["conditions"][0]["query"] == query


@pytest.mark.parametrize("max_retries", [6, -1, 100])
def test_more_retries_than_the_gateway_makes_are_refused(max_retries: int) -> None:
    """The gateway stops at five; more would not be what was asked for."""
    with pytest.raises(ConfigurationError, match="max_retries"):
        compile_config(Single(BIG), max_retries=max_retries)


def test_keys_are_filled_in() -> None:
    """`resolve` gives each leaf its key, nested ones too."""
    settings = Settings(virtual_keys={"openai": SecretStr("vk-o"), "anthropic": SecretStr("vk-a")})
    config = compile_config(Fallback(LoadBalance("gpt-4o"), "claude-3"), resolve=settings.resolve)
    assert [leaf["virtual_key"] for leaf in leaves_of(config)] == ["vk-o", "vk-a"]


def test_a_single_model() -> None:
    """One name is one target under mode single."""
    assert compile_config(as_strategy("gpt-4o")) == {
        "strategy": {"mode": "single"},
        "targets": [{"override_params": {"model": "gpt-4o"}, "retry": RETRY}],
    }

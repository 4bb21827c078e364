from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from portkey_router.flow.scope import scope_of
from portkey_router.targets import Conditional, CostAware, Fallback, LoadBalance, Target, When
from tests.core.cached import PLANTED, SETTINGS, cache_of, cached
from tests.core.fakes import HELLO

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
BY_PLAN = Conditional(When({"metadata.plan": {"$eq": "paid"}}, "gpt-4o"), default="gpt-4o-mini")


def digest(messages: Any = HELLO, *, router: dict[str, Any] | None = None, **call: Any) -> str:
    """The exact digest of a call's key."""
    made = cached(**(router or {}))
    request = made.request(messages, **call)
    route = {name: call[name] for name in ("strategy", "config", "run_on", "virtual_key") if name in call}
    plan = made.plan_for(request.model, **route)
    params = {**request.body, **scope_of(request, plan, made.settings)}
    return cache_of(made).key(messages, model=request.model, params=params).exact


DECIDES: list[dict[str, Any]] = [
    {"model": "gpt-4o-mini"},
    {"temperature": 0},
    {"temperature": 0.5},
    {"max_tokens": 7},
    {"stop": ["END"]},
    {"seed": 1},
    {"n": 2},
    {"logprobs": True},
    {"top_k": 3},
    {"extra_body": {"top_p": 0.5}},
    {"user": "u1"},
    {"reasoning_effort": "high"},
    {"modalities": ["text", "audio"]},
    {"tools": TOOLS},
    {"tools": TOOLS, "tool_choice": "none"},
    {"response_format": {"type": "json_object"}},
    {"run_on": "gateway"},
    {"strategy": Target("gpt-4o", override_params={"temperature": 0})},
    {"strategy": Target("gpt-4o", override_params={"max_tokens": 9})},
    {"strategy": Target("gpt-4o", provider="openai", custom_host="http://other.test/v1")},
    {"strategy": Fallback("gpt-4o", "claude-sonnet-4-5")},
    {"strategy": Fallback("claude-sonnet-4-5", "gpt-4o")},
    {"strategy": Fallback("gpt-4o", "claude-sonnet-4-5"), "run_on": "gateway"},
    {"strategy": LoadBalance("gpt-4o", "claude-sonnet-4-5")},
    {"strategy": LoadBalance("gpt-4o", Target("claude-sonnet-4-5", weight=3))},
    {"strategy": CostAware("gpt-4o", "claude-sonnet-4-5")},
    {"strategy": BY_PLAN, "run_on": "gateway"},
    {"strategy": BY_PLAN, "run_on": "gateway", "metadata": {"plan": "paid"}},
    {"config": "pc-a"},
    {"config": "pc-b"},
    {"config": "pc-a", "metadata": {"plan": "paid"}},
    {"config": {"provider": "openai"}},
    {"config": {"provider": "openai", "override_params": {"max_tokens": 3}}},
    {"extra_headers": {"x-portkey-config": "pc-c"}},
    {"extra_headers": {"X-Portkey-Provider": "openai"}},
    {"router": {"settings": replace(SETTINGS, base_url="http://127.0.0.1:1/v1")}},
    {"router": {"settings": replace(SETTINGS, headers={"x-portkey-custom-host": "http://a.test"})}},
    {"messages": [{"role": "system", "content": "Be brief."}, *HELLO]},
    {"messages": [*HELLO, {"role": "assistant", "content": "Hi"}, *HELLO]},
]


def test_whatever_may_change_the_answer_makes_a_key_of_its_own() -> None:
    """Model, body, tools, strategy with its order, weights and overrides, config, gateway, earlier turns."""
    digests = [digest(**case) for case in [{}, *DECIDES]]
    twice = [case for case, each in zip(DECIDES, digests[1:], strict=True) if digests.count(each) > 1]
    assert not twice


@pytest.mark.parametrize(
    "same",
    [
        {"stream": True},
        {"stream": True, "stream_options": {"include_usage": False}},
        {"metadata": {"_user": "u1"}},
        {"tags": {"team": "a"}},
        {"trace_id": "t-1", "span_id": "s-1", "parent_span_id": "p", "span_name": "n"},
        {"timeout": 3.0, "max_retries": 5},
        {"cache_namespace": "of the gateway", "cache_force_refresh": True},
        {"wire_stream": True, "on_stream_break": "restart", "retry_after_max": 1.0},
        {"extra_headers": {"x-portkey-trace-id": "t", "x-other": "1"}},
        {"refresh": True, "cache_ttl": 5, "cache_tags": ["a"]},
        {"router": {"settings": replace(SETTINGS, api_key=SecretStr("pk-other"))}},
        {"router": {"settings": replace(SETTINGS, virtual_keys={"openai": SecretStr("vk-other")})}},
        {"router": {"max_retries": 4}},
        {"temperature": None},
    ],
)
def test_whatever_may_not_keeps_the_key(same: dict[str, Any]) -> None:
    """Keys, ids, metadata, tags, timeouts, retries, and how the answer travels."""
    assert digest(**same) == digest()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Target("gpt-4o", virtual_key="vk-a"), Target("gpt-4o", virtual_key="vk-b")),
        (Target("gpt-4o", request_timeout=1.0), Target("gpt-4o", request_timeout=2.0)),
        (
            Target("gpt-4o", provider="openai", api_key="sk-a"),
            Target("gpt-4o", provider="openai", api_key="sk-b"),
        ),
    ],
)
def test_a_targets_keys_and_timeouts_are_not_in_it(one: Target, other: Target) -> None:
    """The same target by another key, or with other patience, gives the same answer; in a strategy as well."""
    assert digest(strategy=one) == digest(strategy=other)
    assert digest(strategy=Fallback(one, "gpt-4o-mini")) == digest(strategy=Fallback(other, "gpt-4o-mini"))


def test_an_override_that_is_named_like_a_timeout_is_a_parameter() -> None:
    """What a target puts in the body decides the answer, whatever its name."""
    assert digest(strategy=Target("gpt-4o", override_params={"request_timeout": 1})) != digest(
        strategy=Target("gpt-4o", override_params={"request_timeout": 2})
    )


def test_a_drawn_order_is_not_in_it() -> None:
    """Load balancing asks another target first each time: the strategy as a whole is the scope."""
    strategy = LoadBalance("gpt-4o", "claude-sonnet-4-5")
    assert len({digest(strategy=strategy) for _ in range(12)}) == 1


def test_no_key_is_in_the_scope() -> None:
    """What is hashed names no key."""
    strategy = Fallback(Target("gpt-4o", virtual_key=PLANTED), Target("gpt-4o", provider="openai", api_key=PLANTED))
    for options in (
        {"strategy": strategy},
        {"config": {"provider": "openai", "api_key": PLANTED}},
        {"virtual_key": PLANTED},
        {"extra_headers": {"authorization": PLANTED, "x-portkey-virtual-key": PLANTED}},
    ):
        made = cached()
        request = made.request(HELLO, model="gpt-4o", **options)
        route: dict[str, Any] = {name: value for name, value in options.items() if name != "extra_headers"}
        scope = scope_of(request, made.plan_for("gpt-4o", **route), made.settings)
        assert PLANTED not in repr(scope)

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.tools import tool

from langchain_portkey_router import ChatPortkey
from portkey_router import Conditional, Fallback, LoadBalance, Target, When
from portkey_router.cache.llm_string import settings_of

if TYPE_CHECKING:
    from portkey_router.sandbox import PortkeyDouble


@tool
def look_up(word: str) -> str:
    """Look a word up."""
    return word


def model(**options: Any) -> ChatPortkey:
    """A model that asks nothing of the environment."""
    return ChatPortkey(**{"model": "@a/gpt-4o", "api_key": "PLANTED-key", **options})


def key(llm: ChatPortkey, **call: Any) -> str:
    """The key of a call in LangChain's cache."""
    return llm._get_llm_string(**call)


DECIDES: list[dict[str, Any]] = [
    {"model": "@a/gpt-4o-mini"},
    {"temperature": 0},
    {"temperature": 0.5},
    {"max_tokens": 7},
    {"stop": ["END"]},
    {"seed": 1},
    {"model_kwargs": {"top_k": 3}},
    {"extra_body": {"top_k": 3}},
    {"reasoning_effort": "high"},
    {"base_url": "http://127.0.0.1:1/v1"},
    {"output_version": "v1"},
    {"config": "pc-a"},
    {"config": {"provider": "openai", "api_key": "PLANTED-key-in-a-config"}},
    {"config": {"provider": "openai", "api_key": "PLANTED-other"}},
    {"model": None, "strategy": Fallback("@a/x", "@b/y")},
    {"model": None, "strategy": Fallback("@b/y", "@a/x")},
    {"model": None, "strategy": LoadBalance("@a/x", Target("@b/y", weight=3))},
    {"default_headers": {"x-portkey-config": "pc-b"}},
    {"default_headers": {"x-portkey-provider": "openai"}},
]


def test_what_decides_the_answer_is_in_the_key() -> None:
    """Model, parameters, strategy with its order and weights, config, gateway: each makes a key of its own."""
    keys = [key(model(**options)) for options in [{}, *DECIDES]]
    assert len(set(keys)) == len(keys)
    assert len({settings_of(each) for each in keys}) == len(keys), "and for a cache of ours, which reads it"


def test_what_a_call_decides_is_in_the_key() -> None:
    """A call's model, parameters, tools, stop and strategy."""
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    calls: list[dict[str, Any]] = [
        {},
        {"model": "@a/o3"},
        {"temperature": 1},
        {"tools": tools},
        {"tools": tools, "tool_choice": "required"},
        {"stop": ["a"]},
        {"response_format": {"type": "json_object"}},
        {"strategy": Fallback("@a/x")},
        {"portkey_config": "pc-a"},
        {"extra_headers": {"x-portkey-config": "pc-b"}},
    ]
    keys = [key(model(), **call) for call in calls]
    assert len(set(keys)) == len(keys)
    assert len({settings_of(each) for each in keys}) == len(keys)


@pytest.mark.parametrize(
    "options",
    [
        {"trace_id": "t"},
        {"portkey_metadata": {"_user": "u"}},
        {"timeout": 3},
        {"max_retries": 0},
        {"cache_namespace": "n"},
        {"cache_force_refresh": True},
        {"default_headers": {"x-custom": "1"}},
        {"stream_usage": False},
        {"api_key": "PLANTED-other"},
    ],
)
def test_what_only_accompanies_a_model_is_not(options: dict[str, Any]) -> None:
    """Traces, metadata, patience, the gateway's cache and keys do not part two equal models."""
    assert key(model(**options)) == key(model())


@pytest.mark.parametrize(
    "call",
    [
        {"trace_id": "t", "span_id": "s", "parent_span_id": "p", "span_name": "n"},
        {"portkey_metadata": {"_user": "u"}},
        {"extra_headers": {"x-custom": "1"}},
        {"timeout": 3, "max_retries": 0},
        {"cache_namespace": "n", "cache_force_refresh": True},
        {"virtual_key": "PLANTED-virtual"},
    ],
)
def test_what_only_accompanies_a_call_is_not(call: dict[str, Any]) -> None:
    """The same of a call."""
    assert key(model(), **call) == key(model())


def test_metadata_counts_where_it_may_choose_the_target() -> None:
    """A conditional strategy, however deep, and a config may route by metadata: then it is in the key."""
    conditional = Conditional(When({"metadata.plan": {"$eq": "paid"}}, "@a/x"), default="@b/y")
    for route in ({"strategy": conditional, "run_on": "gateway"}, {"config": "pc-a"}):
        llm = model(**{"model": None, **route})
        assert settings_of(key(llm, portkey_metadata={"plan": "paid"})) != settings_of(key(llm))
    paid, free = ({"X-Portkey-Metadata": f'{{"plan": "{plan}"}}'} for plan in ("paid", "free"))
    saved, plain = model(config="pc-a"), model()
    assert settings_of(key(saved, extra_headers=paid)) != settings_of(key(saved, extra_headers=free))
    assert settings_of(key(plain, extra_headers=paid)) == settings_of(key(plain, extra_headers=free))
    by_header = [model(config="pc-a", default_headers=headers) for headers in (paid, free)]
    assert settings_of(key(by_header[0])) != settings_of(key(by_header[1]))
    nested = model(model=None, strategy=Fallback(conditional, "@c/z"), run_on="gateway")
    assert key(nested, portkey_metadata={"plan": "paid"}) != key(nested)
    assert "_user" not in key(model(strategy=Fallback("@a/x"), model=None, portkey_metadata={"_user": "u"}))


def test_no_key_holds_a_secret() -> None:
    """Not of the model, its headers, its strategy, its config, nor of a call."""
    held = Target("gpt-4o", provider="openai", api_key="PLANTED-target", virtual_key=None)
    models = [model(**options) for options in DECIDES]
    models.append(model(model=None, strategy=Fallback(held, Target("x", virtual_key="PLANTED-virtual"))))
    models.append(model(default_headers={"x-portkey-virtual-key": "PLANTED-v", "Authorization": "PLANTED-a"}))
    for llm in models:
        told = key(llm, virtual_key="PLANTED-v", extra_headers={"Authorization": "PLANTED-a"})
        assert "PLANTED" not in told
    assert "PLANTED" not in key(model(), strategy=Fallback(held))
    assert "PLANTED" not in key(model(), portkey_config={"provider": "openai", "api_key": "PLANTED-c"})


def test_the_environments_strategy_is_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """PORTKEY_STRATEGY, PORTKEY_FALLBACKS and PORTKEY_CONFIG_ID decide the answer as an argument would."""
    plain = key(model(), stop=None)
    monkeypatch.setenv("PORTKEY_STRATEGY", "fallback")
    monkeypatch.setenv("PORTKEY_FALLBACKS", '[{"model": "x", "provider": "openai", "virtual_key": "PLANTED-fb"}]')
    fallbacks = key(model(), stop=None)
    monkeypatch.setenv("PORTKEY_CONFIG_ID", "pc-env")
    assert len({plain, fallbacks, key(model(), stop=None)}) == 3
    assert "PLANTED" not in fallbacks


def test_a_changed_model_has_a_changed_key() -> None:
    """Assignment, a change inside a dict, `model_copy`: none is answered from the old model's entry."""
    llm = model(model_kwargs={"top_k": 1})
    seen = {key(llm), str(llm._serialized)}
    llm.temperature = 1.0
    seen |= {key(llm), str(llm._serialized)}
    assert len(seen) == 4
    llm.model_kwargs["top_k"] = 2
    assert key(llm) not in seen
    copied = llm.model_copy(update={"model_name": "@a/gpt-4o-mini"})
    assert key(copied) != key(llm)
    assert copied._serialized["kwargs"]["model_name"] == "@a/gpt-4o-mini"
    assert "gpt-4o-mini" not in str(llm._serialized)


def test_langchains_cache_answers_by_that_key(portkey: PortkeyDouble) -> None:
    """Equal calls are answered once; a changed model, a copy, other tools and a per-call model are asked."""
    llm = ChatPortkey(model="gpt-4o", cache=InMemoryCache())
    for number in range(3):
        assert llm.invoke("Hello", trace_id=f"trace-{number}").text
    assert [request.body["model"] for request in portkey.requests] == ["gpt-4o"]
    llm.temperature = 0.5
    llm.invoke("Hello")
    llm.model_copy(update={"model_name": "claude-sonnet-4-5"}).invoke("Hello")
    assert portkey.requests[-1].body["model"] == "claude-sonnet-4-5"
    llm.bind_tools([look_up]).invoke("Hello")
    llm.invoke("Hello", model="claude-sonnet-4-5")
    llm.temperature = None
    llm.invoke("Hello")  # as the first
    models = [request.body["model"] for request in portkey.requests]
    assert models == ["gpt-4o", "gpt-4o", "claude-sonnet-4-5", "gpt-4o", "claude-sonnet-4-5"]

from __future__ import annotations

import copy
import json
import pickle
import socket
import subprocess
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core import Settings
from llama_index.core.base.llms.types import ChatMessage
from pydantic import SecretStr, ValidationError

from llama_index_portkey import PortkeyLLM
from portkey_router import Deadlines, Fallback, MissingCredentialError, ModelRule, Price, Target

if TYPE_CHECKING:
    from portkey_router.sandbox import PortkeyDouble

HELLO = [ChatMessage("Hello")]


def model(**options: Any) -> PortkeyLLM:
    """A model that asks nothing of the environment."""
    return PortkeyLLM(**{"api_key": "k", "virtual_keys": {"openai": "a", "anthropic": "b"}, **options})


@pytest.mark.parametrize(
    ("options", "window", "name"),
    [
        ({"model": "gpt-4o"}, 128_000, "gpt-4o"),
        ({"model": "claude-sonnet-4-5-20250929"}, 200_000, "claude-sonnet-4-5-20250929"),
        ({"model": "@openai-prod/weird-model"}, 128_000, "@openai-prod/weird-model"),
        ({"model": "@a/weird-model", "context_window": 8_000}, 8_000, "@a/weird-model"),
        ({"strategy": Fallback("gpt-4.1", "claude-sonnet-4-5")}, 200_000, "gpt-4.1"),
        ({"strategy": Fallback("gpt-4.1", "@a/weird-model")}, 1_000_000, "gpt-4.1"),
        ({"config": "pc-mine"}, 128_000, "pc-mine"),
        ({}, 128_000, "unknown"),
    ],
)
def test_metadata_of_any_model(options: Any, window: int, name: str) -> None:
    """The smallest known window of those that may answer; a stranger raises nothing."""
    metadata = model(**options).metadata
    assert (metadata.context_window, metadata.model_name, metadata.num_output) == (window, name, -1)
    assert metadata.is_chat_model
    assert metadata.is_function_calling_model


def test_metadata_of_what_is_set() -> None:
    """Flags and limits are those given; a changed model is known at once."""
    llm = model(model="gpt-4o", max_tokens=7, is_function_calling_model=False)
    assert (llm.metadata.num_output, llm.metadata.is_function_calling_model) == (7, False)
    llm.model = "claude-sonnet-4-5"
    assert llm.metadata.context_window == 200_000


def test_metadata_opens_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither making a model nor asking what it is touches the network, or a table of prices."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a connection was made")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    llm = model(model="gpt-4o")
    assert llm.metadata.context_window
    assert llm.to_payload()
    program = (
        "import sys; from llama_index_portkey import PortkeyLLM;"
        "PortkeyLLM(model='@a/gpt-4o', api_key='k').to_payload();"
        "sys.exit('genai_prices' in sys.modules or 'openai' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_the_payload_says_model_temperature_and_route() -> None:
    """What tracers read; no temperature where none is sent."""
    llm = model(strategy=Fallback("gpt-4o", Target("claude-sonnet-4-5", virtual_key="vk")), temperature=0)
    payload = llm.to_payload()
    assert (payload["class_name"], payload["model_name"], payload["temperature"]) == ("portkey_llm", "gpt-4o", 0)
    assert payload["portkey"] == {
        "run_on": "client",
        "strategy": {"mode": "fallback", "targets": [{"model": "gpt-4o"}, {"model": "claude-sonnet-4-5"}]},
        "config": None,
    }
    plain = model(model="gpt-4o", provider="openai").to_payload()
    assert (plain["model"], plain["provider"]) == ("gpt-4o", "openai")
    assert "temperature" not in plain
    assert model(config="pc-mine").to_payload()["portkey"]["config"] == "pc-mine"


@pytest.mark.parametrize("called", [False, True], ids=["before the first call", "after it"])
def test_written_down_and_restored(portkey: PortkeyDouble, called: bool) -> None:
    """to_dict, from_dict, to_json, pickle and deepcopy, before and after the first call; keys from the environment."""
    llm = PortkeyLLM(
        strategy=Fallback("gpt-4o", Target("claude-sonnet-4-5", weight=2)),
        api_key=portkey.api_key,
        temperature=0.5,
        system_prompt="be brief",
        deadlines=Deadlines(first_token=7),
        portkey_metadata={"team": "a"},
    )
    if called:
        llm.chat(HELLO)
    written = json.loads(json.dumps(llm.to_dict()))
    assert written["class_name"] == "portkey_llm"
    for restored in (
        PortkeyLLM.from_dict(written),
        PortkeyLLM.from_json(llm.to_json()),
        pickle.loads(pickle.dumps(llm)),  # noqa: S301  (our own)
        copy.deepcopy(llm),
        llm.model_copy(),
    ):
        assert isinstance(restored, PortkeyLLM)
        assert (restored.strategy, restored.temperature, restored.system_prompt) == (llm.strategy, 0.5, "be brief")
        assert restored.to_payload() == llm.to_payload()
        assert restored.chat(HELLO).message.content == "gpt-4o answers to: Hello"
    assert copy.deepcopy(llm).deadlines == Deadlines(first_token=7)


def test_a_saved_config_is_written_down_and_a_whole_one_is_not(portkey: PortkeyDouble) -> None:
    """Its id is no secret; a config given whole may hold keys."""
    assert PortkeyLLM.from_dict(PortkeyLLM(config="pc-mine").to_dict()).portkey_config == "pc-mine"
    whole = PortkeyLLM(config={"provider": "openai", "api_key": "sk-PLANTED"})
    assert whole.to_dict()["portkey_config"] is None
    assert pickle.loads(pickle.dumps(whole)).portkey_config is None  # noqa: S301  (our own)


def test_a_pickle_opens_where_there_is_no_key(portkey: PortkeyDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is restored all the same; the first call says which key is missing."""
    stored = pickle.dumps(PortkeyLLM(model="gpt-4o"))
    monkeypatch.delenv("PORTKEY_API_KEY")
    monkeypatch.delenv("PORTKEY_GATEWAY_URL")
    restored = pickle.loads(stored)  # noqa: S301  (our own)
    assert restored.model == "gpt-4o"
    assert restored.metadata.context_window == 128_000
    with pytest.raises(MissingCredentialError, match="PORTKEY_API_KEY"):
        restored.chat(HELLO)


def test_rules_deadlines_and_prices_reach_the_router(portkey: PortkeyDouble) -> None:
    """The router's own settings can be given to the model, and a changed field makes another router."""
    llm = PortkeyLLM(
        model="acme-1",
        model_rules=[ModelRule("acme-*", "openai")],
        deadlines=Deadlines(first_token=7),
        prices={"acme-1": Price(input=Decimal(1), output=Decimal(2))},
        timeout=30,
    )
    router = llm._the_router()
    assert (router.deadlines.first_token, router.deadlines.total) == (7, 30)
    cost = llm.chat(HELLO).additional_kwargs["portkey"]["cost"]
    assert cost["source"] == "user"
    assert Decimal(cost["amount"]) > 0
    assert llm._the_router() is router
    llm.max_retries = 0
    assert llm._the_router().max_retries == 0


def test_arguments_that_are_no_fields(portkey: PortkeyDouble) -> None:
    """A provider's own go into the body; headers among them are headers; OpenAI's client is refused by name."""
    more: dict[str, Any] = {"top_k": 1}
    assert PortkeyLLM(model="gpt-4o", **more).additional_kwargs == {"top_k": 1}
    llm = PortkeyLLM(
        model="gpt-4o", additional_kwargs={"extra_headers": {"x-custom": "1"}}, default_headers={"x-a": "2"}
    )
    llm.chat(HELLO)
    sent = portkey.requests[-1]
    assert (sent.headers["x-custom"], sent.headers["x-a"]) == ("1", "2")
    assert "extra_headers" not in sent.body
    metadata: dict[str, Any] = {"metadata": {"_user": "u"}}
    assert PortkeyLLM(model="gpt-4o", **metadata).portkey_metadata == {"_user": "u"}
    client: dict[str, Any] = {"http_client": object()}
    with pytest.raises(ValidationError, match="http_client"):
        PortkeyLLM(model="gpt-4o", **client)


def test_settings_keep_it(portkey: PortkeyDouble) -> None:
    """`Settings.llm` is the same object, and its key stays hidden."""
    llm = PortkeyLLM(model="gpt-4o", api_key="pk-secret")
    before = Settings._llm
    try:
        Settings.llm = llm
        assert Settings.llm is llm
    finally:
        Settings._llm = before
    assert isinstance(llm.api_key, SecretStr)

from __future__ import annotations

import copy
import pickle
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from pydantic import ValidationError

from langchain_portkey_router import ChatPortkey
from portkey_router import Deadlines, ModelRule, Price

if TYPE_CHECKING:
    from portkey_router.sandbox import PortkeyDouble


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("virtualkey", "virtual_key"),
        ("modle", "model"),
        ("portkey_virtual_key", "virtual_key"),
        ("default_header", "default_headers"),
        ("max_retry", "max_retries"),
        ("provider_api_key", "no argument"),
        ("temprature", "'temperature'.*extra_body"),
        ("max_token", "'max_tokens'"),
    ],
)
def test_a_misspelt_argument_is_refused(name: str, meant: str) -> None:
    """It would go into the request's body, and a key with it; the value is not shown."""
    misspelt: dict[str, Any] = {name: "vk-PLANTED-value"}
    with pytest.raises(ValidationError, match=meant) as caught:
        ChatPortkey(model="@a/b", api_key="pk-test", **misspelt)
    assert "PLANTED" not in str(caught.value)


@pytest.mark.parametrize("name", ["top_k", "min_p", "prompt_cache_key", "safety_settings", "thinking", "verbosity"])
def test_a_providers_own_field_goes_into_the_body(name: str) -> None:
    """What is no argument of ours and like none of ours is a field of the body, as in ChatOpenAI."""
    more: dict[str, Any] = {name: 1}
    assert ChatPortkey(model="@a/b", api_key="pk-test", **more).model_kwargs == {name: 1}


@pytest.mark.parametrize("name", ["http_client", "organization", "default_query", "use_responses_api", "openai_proxy"])
def test_arguments_of_openais_client_are_refused(name: str) -> None:
    """They would go into the request's body: who swaps the class is told which to leave out. None says nothing."""
    client: dict[str, Any] = {name: object()}
    nothing: dict[str, Any] = {name: None}
    with pytest.raises(ValidationError, match=f"{name}: .* leave it out"):
        ChatPortkey(model="@a/b", api_key="pk-test", **client)
    assert ChatPortkey(model="@a/b", api_key="pk-test", **nothing).model_kwargs == {}


def test_the_model_is_read_under_both_names() -> None:
    """`llm.model` and `llm.model_name`, as in ChatOpenAI; what is written down has it once."""
    llm = ChatPortkey(model="@a/b", api_key="pk-test")
    llm.model_name = "@a/c"
    assert (llm.model, llm.model_name) == ("@a/c", "@a/c")
    assert "model" not in llm.model_dump()


@pytest.mark.parametrize("timeout", [httpx.Timeout(10, connect=3), (3, 10), "10 s"])
def test_a_timeout_that_is_no_number_is_told_what_to_give(timeout: Any) -> None:
    """ChatOpenAI takes these; here one number bounds the call, and `Deadlines` the rest."""
    with pytest.raises(ValidationError, match=r"seconds for the whole call.*Deadlines"):
        ChatPortkey(model="@a/b", api_key="pk-test", timeout=timeout)


def test_a_gateway_config_as_a_strategy_is_told_where_to_go() -> None:
    """Portkey's own config as a dict goes to `config=`."""
    config = {"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": "vk-PLANTED"}]}
    with pytest.raises(ValidationError, match="config=") as caught:
        ChatPortkey(api_key="pk-test", strategy=config)
    assert "PLANTED" not in str(caught.value)


def test_rules_deadlines_and_prices_reach_the_router(portkey_sandbox: PortkeyDouble) -> None:
    """The router's own settings can be given to the model, survive its copies, and stay out of what is written down."""
    llm = ChatPortkey(
        model="acme-1",
        api_key=portkey_sandbox.api_key,
        base_url=portkey_sandbox.url,
        virtual_keys={"openai": "vk-openai"},
        model_rules=[ModelRule("acme-*", "openai")],
        deadlines=Deadlines(first_token=7),
        prices={"acme-1": Price(input=Decimal(1), output=Decimal(2))},
    )
    assert llm._the_router().deadlines.first_token == 7
    for model in (llm, copy.deepcopy(llm)):
        cost = model.invoke("Hello").response_metadata["portkey"]["cost"]
        assert cost["source"] == "user"
        assert Decimal(cost["amount"]) > 0
    assert pickle.loads(pickle.dumps(llm)).deadlines == Deadlines(first_token=7)  # noqa: S301  (our own)
    assert "acme-*" not in llm._get_llm_string()

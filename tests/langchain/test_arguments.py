from __future__ import annotations

import copy
import pickle
from decimal import Decimal
from typing import TYPE_CHECKING, Any

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

"""What answers cost, from the call to the figure, against a double of hosted Portkey."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from langchain_portkey_router import ChatPortkey
from portkey_router import Fallback, PortkeyRouter, Price, PriceBook, Target, Usage, build_router
from portkey_router.sandbox import Fault

if TYPE_CHECKING:
    from portkey_router import Completion, Cost
    from portkey_router.sandbox import PortkeyDouble

HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def server(portkey_sandbox: PortkeyDouble) -> PortkeyDouble:
    """An account with keys of three providers; the third is known by its slug alone."""
    portkey_sandbox.add_virtual_key("vk-anthropic", provider="anthropic")
    portkey_sandbox.add_provider("azure-prod", provider="azure-openai")
    return portkey_sandbox


def router(server: PortkeyDouble, **options: Any) -> PortkeyRouter:
    """A router at the double, with keys for models of OpenAI and Anthropic."""
    keys = {"openai": "vk-openai", "anthropic": "vk-anthropic"}
    return build_router(base_url=server.url, api_key=server.api_key, virtual_keys=keys, max_retries=0, **options)


def known(answer: Completion | None) -> tuple[Usage, Cost]:
    """The usage and the cost of an answer that has both."""
    assert answer is not None
    assert answer.usage is not None
    assert answer.cost is not None
    return answer.usage, answer.cost


def at_rates(usage: Usage, sent: str, made: str) -> Decimal:
    """What such usage costs at these rates, nothing of it cached."""
    return (usage.input_tokens * Decimal(sent) + usage.output_tokens * Decimal(made)) / 10**6


@pytest.mark.parametrize("run_on", ["client", "gateway"])
def test_the_target_that_answered_is_priced(server: PortkeyDouble, run_on: Any) -> None:
    """After a fallback the cost is that of the model that answered, whoever ran the fallback; its rates say so."""
    server.always("vk-openai", Fault.status(503))
    asked = router(server, strategy=Fallback("gpt-4o", "claude-sonnet-4-5"), run_on=run_on)
    usage, cost = known(asked.complete(HELLO))
    assert (cost.provider, cost.model, cost.source, cost.guessed) == (
        "anthropic",
        "claude-sonnet-4-5",
        "genai-prices",
        False,
    )
    assert cost.amount == at_rates(usage, "3", "15")


def test_a_stream_is_priced(server: PortkeyDouble) -> None:
    """A stream's cost is there with its usage, at its end, and is that of the same call unstreamed."""
    asked = router(server, model="gpt-4o")
    with asked.stream(HELLO, stream_options={"include_usage": True}) as chunks:
        assert "".join(chunk.content for chunk in chunks)
    usage, cost = known(chunks.completion)
    assert cost.amount == at_rates(usage, "2.5", "10")
    assert known(asked.complete(HELLO)) == (usage, cost)


async def test_async(server: PortkeyDouble) -> None:
    """The same in a loop."""
    usage, cost = known(await router(server, model="gpt-4o").acomplete(HELLO))
    assert cost.amount == at_rates(usage, "2.5", "10")


def test_a_slug_is_priced_by_who_answered(server: PortkeyDouble) -> None:
    """A slug tells no provider: the reply does, unless the target says whose prices it has."""
    asked = router(server)
    _, cost = known(asked.complete(HELLO, model="@azure-prod/gpt-4o"))
    assert (cost.provider, cost.guessed) == ("azure-openai", False)
    stated = Target("@azure-prod/gpt-4o", provider="openai")
    _, cost = known(asked.complete(HELLO, strategy=stated))
    assert (cost.provider, cost.guessed) == ("openai", False)


def test_a_key_found_by_the_models_name_tells_no_provider(server: PortkeyDouble) -> None:
    """Under PORTKEY_VIRTUAL_KEY_OPENAI there may stand a key of Azure's: the reply knows better than the name."""
    asked = build_router(base_url=server.url, api_key=server.api_key, virtual_keys={"openai": "azure-prod"})
    _, cost = known(asked.complete(HELLO, model="gpt-4o"))
    assert (cost.provider, cost.guessed) == ("azure-openai", False)


def test_unknown_is_none(server: PortkeyDouble) -> None:
    """A model that nobody has a price for: no cost, and no 0."""
    answer = router(server).complete(HELLO, model="gpt-99")
    assert answer.usage is not None
    assert answer.cost is None


def test_ones_own_price(server: PortkeyDouble) -> None:
    """Prices by model, as a mapping or a book; `prices=False` leaves every cost unknown."""
    prices = {"@azure-prod/gpt-4o": Price(1, 2)}
    for given in (prices, PriceBook(prices)):
        usage, cost = known(router(server, prices=given).complete(HELLO, model="@azure-prod/gpt-4o"))
        assert (cost.source, cost.amount) == ("user", at_rates(usage, "1", "2"))
    for run_on in ("client", "gateway"):
        strategy = Fallback("@azure-prod/gpt-4o", "claude-sonnet-4-5")
        _, cost = known(router(server, prices=prices, strategy=strategy, run_on=run_on).complete(HELLO))
        assert cost.source == "user", "by the slug that the target has, which the reply does not repeat"
    assert router(server, prices=False).complete(HELLO, model="gpt-4o").cost is None


def test_the_gateways_cache_costs_nothing(server: PortkeyDouble) -> None:
    """The second of two equal calls comes from Portkey's cache, for which nobody bills."""
    target = Target("gpt-4o", virtual_key="vk-openai", cache={"mode": "simple"})
    asked = router(server, strategy=Fallback(target), run_on="gateway")
    costs = [known(asked.complete(HELLO))[1] for _ in range(2)]
    assert [cost.source for cost in costs] == ["genai-prices", "cache"]
    assert costs[1].amount == 0


def test_langchain(server: PortkeyDouble) -> None:
    """The cost is under `portkey` in the response's metadata, as strings; usage_metadata holds whole numbers only."""
    model = ChatPortkey(
        model="gpt-4o", base_url=server.url, api_key=server.api_key, virtual_keys={"openai": "vk-openai"}
    )
    whole = model.invoke("Hello")
    streamed = model.stream("Hello")
    last = next(streamed)
    for chunk in streamed:
        last += chunk
    for message in (whole, last):
        cost = message.response_metadata["portkey"]["cost"]
        assert (cost["source"], cost["model"], cost["currency"]) == ("genai-prices", "gpt-4o", "USD")
        assert Decimal(cost["amount"]) > 0
        assert message.usage_metadata is not None
        assert isinstance(message.usage_metadata["total_tokens"], int)
    unknown = model.invoke("Hello", model="gpt-99")
    assert unknown.response_metadata["portkey"]["cost"] is None

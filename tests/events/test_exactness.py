from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage

from langchain_portkey_router import UsageCallbackHandler
from langchain_portkey_router._convert import to_usage
from portkey_router import CallFinished, Fallback, PortkeyRouter, Price, PriceBook, Target, Usage, usage_report
from portkey_router.settings import load_settings
from portkey_router.wire.usage import decode_usage
from tests.core.fakes import DONE, EVENTS, AsyncPort, Reply, Stream, SyncPort, delta, event, failed, ok
from tests.langchain.scripted import Scripted

SHAPES = {
    shape["name"]: shape
    for shape in json.loads((Path(__file__).parents[1] / "data" / "usage_shapes.json").read_text())["shapes"]
}
HELLO = [{"role": "user", "content": "Hello"}]
NANO = Decimal(1).scaleb(-9)


def prices_of(shape: dict[str, Any]) -> dict[str, Price]:
    """The price of the shape's model, by its provider and name; none where the provider reports the cost."""
    if not shape["rates"]:
        return {}
    tiers = [(shape["above"][0], Price(**shape["above"][1]))] if "above" in shape else ()
    return {shape["model"]: Price(**shape["rates"], tiers=tiers)}


def router(*replies: Reply, prices: Any, **options: Any) -> PortkeyRouter:
    """A router over scripted replies, with these prices and no others."""
    found = load_settings(api_key="pk", base_url="http://gateway.test/v1", virtual_keys={"openai": "vk"}, env_file=None)
    ports = SyncPort(*replies), AsyncPort(*replies)
    return PortkeyRouter(found, ports=ports, prices=PriceBook(prices, genai=False), max_retries=0, **options)


def plain(shape: dict[str, Any], **headers: str) -> Reply:
    """The answer as one body."""
    told = {"x-portkey-provider": shape["provider"], **{name.replace("_", "-"): headers[name] for name in headers}}
    return ok("Hi", headers=told, usage=shape["usage"], model=shape["model"])


def streamed(shape: dict[str, Any], cuts: Any = (), *, often: bool = False) -> Stream:
    """The answer as a stream, cut anywhere; `often`: with its usage so far in every chunk, as some providers do."""
    model, usage = shape["model"], shape["usage"]
    part = {**usage, "prompt_tokens": usage["prompt_tokens"], "completion_tokens": 1, "total_tokens": None}
    early = event({"id": "s", "model": model, "choices": [], "usage": part}) if often else b""
    last = event({"id": "s", "model": model, "choices": [], "usage": usage})
    body = b"".join(
        [delta(role="assistant"), early, delta(content="Hel"), early, delta(content="lo"), delta("stop"), last, DONE]
    )
    edges = [0, *sorted({cut % len(body) for cut in cuts}), len(body)]
    pieces = [body[start:end] for start, end in itertools.pairwise(edges) if start < end]
    return Stream(pieces, headers={**EVENTS, "x-portkey-provider": shape["provider"]})


def target(shape: dict[str, Any]) -> Target:
    """The shape's model, by a slug that names no provider."""
    return Target(f"@slug/{shape['model']}")


def asked(made: PortkeyRouter, how: str) -> CallFinished:
    """The end of one call, as a report of the block around it has it."""

    async def collect() -> None:
        async with made.astream(HELLO) as chunks:
            async for _ in chunks:
                pass

    with usage_report() as report:
        if how == "complete":
            made.complete(HELLO)
        elif how == "acomplete":
            asyncio.run(made.acomplete(HELLO))
        elif how == "stream":
            list(made.stream(HELLO))
        else:
            asyncio.run(collect())
    [call] = report.calls
    assert report.cost_usd == (call.cost.amount if call.cost else 0)
    return call


def nano(call: CallFinished) -> Decimal:
    """The cost of a call in billionths of a dollar."""
    assert call.cost is not None
    return call.cost.amount / NANO


@pytest.mark.parametrize("name", SHAPES)
def test_the_data_agrees_with_itself(name: str) -> None:
    """The costs that are written down follow from the tokens and the rates, by fractions."""
    shape = SHAPES[name]
    rates = shape["above"][1] if "above" in shape else shape["rates"]
    by_hand = sum(Fraction(rates[kind]) * count for kind, count in shape["billed"].items()) if rates else Fraction()
    expected = Fraction(shape["reported"]) if "reported" in shape else by_hand / 10**6
    assert expected * 10**9 == shape["nano"]


def test_enough_providers() -> None:
    """At least eight providers are among them, and each of the habits asked for."""
    assert len({shape["provider"] for shape in SHAPES.values()}) >= 8
    assert {"cache_read", "cache_write"} <= {kind for shape in SHAPES.values() for kind in shape["billed"]}
    assert any("above" in shape for shape in SHAPES.values())
    assert any("reported" in shape for shape in SHAPES.values())


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("how", ["complete", "acomplete", "stream", "astream"])
def test_to_the_nano_dollar(name: str, how: str) -> None:
    """Plain and streamed, sync and async, each shape costs what it costs, to the last digit."""
    shape = SHAPES[name]
    reply = streamed(shape) if "stream" in how else plain(shape)
    call = asked(router(reply, prices=prices_of(shape), strategy=target(shape)), how)
    assert nano(call) == shape["nano"]
    assert call.usage is not None
    assert call.usage.output_tokens == shape["billed"]["output"]
    assert (call.model, call.provider, call.outcome, call.estimated) == (shape["model"], shape["provider"], "ok", False)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("how", ["complete", "astream"])
def test_after_a_fallback(name: str, how: str) -> None:
    """After another target has failed, the one that answered is priced; the other cost nothing."""
    shape = SHAPES[name]
    reply = streamed(shape) if how == "astream" else plain(shape)
    first: Reply = Stream([b"{}"], status=503) if how == "astream" else failed(503)
    prices = {"dear": Price(999, 999), **prices_of(shape)}
    call = asked(router(first, reply, prices=prices, strategy=Fallback(Target("@other/dear"), target(shape))), how)
    assert (nano(call), call.attempts, call.target) == (shape["nano"], 2, f"@slug/{shape['model']}")


@pytest.mark.parametrize("name", SHAPES)
def test_a_hit_costs_nothing(name: str) -> None:
    """From the gateway's cache each of them is free, and used nothing."""
    shape = SHAPES[name]
    made = router(plain(shape, x_portkey_cache_status="HIT"), prices=prices_of(shape), strategy=target(shape))
    with usage_report() as report:
        made.complete(HELLO)
    assert str(report.cost_usd) == "0"
    assert (report.totals.hits, report.totals.input_tokens, report.totals.unpriced) == (1, 0, 0)


@pytest.mark.parametrize("name", [name for name in SHAPES if "reported" not in SHAPES[name]])
def test_unknown_is_unknown(name: str) -> None:
    """Without a price each of them is counted, and has no cost, which is not 0."""
    shape = SHAPES[name]
    call = asked(router(plain(shape), prices={}, strategy=target(shape)), "complete")
    assert call.cost is None
    assert call.usage is not None


@pytest.mark.parametrize("name", SHAPES)
def test_by_langchains_counts(name: str) -> None:
    """The same call of a LangChain model that is not ours costs the same, by the counts that LangChain keeps."""
    shape = SHAPES[name]
    usage = decode_usage(shape["usage"], shape["provider"])
    told = {"model_name": shape["model"], "model_provider": shape["provider"], "token_usage": shape["usage"]}
    message = AIMessage("Hi", usage_metadata=to_usage(usage), response_metadata=told)
    book = PriceBook(prices_of(shape), genai=False)
    with UsageCallbackHandler(prices=book) as counted:
        Scripted(answers=[message]).invoke("Hello")
    assert counted.cost_usd / NANO == shape["nano"]


# ---- properties ------------------------------------------------------------------------------------------------------

ANY_SHAPE = st.sampled_from(list(SHAPES.values()))
RATE = st.integers(0, 10**6).map(lambda thousandths: Decimal(thousandths).scaleb(-3))
PRICE = st.builds(Price, RATE, RATE, cache_read=RATE, cache_write=RATE, reasoning=st.none() | RATE)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Any usage whose counts agree with one another."""
    fresh, read, write, said, thought = (draw(st.integers(0, 10**7)) for _ in range(5))
    sent, made = fresh + read + write, said + thought
    return Usage(sent, made, sent + made, read, write, thought)


def costs(usage: Usage, price: Price) -> Decimal:
    """What a usage costs; that of nothing is nothing."""
    cost = PriceBook({"m": price}, genai=False).cost(usage, model="m")
    return Decimal(0) if cost is None else cost.amount


@given(usages(), PRICE)
def test_never_negative_and_exact(usage: Usage, price: Price) -> None:
    """A cost is the sum of tokens times rates in exact fractions, and so never below 0."""
    read, write, thought = (
        count or 0 for count in (usage.cache_read_tokens, usage.cache_write_tokens, usage.reasoning_tokens)
    )
    parts = (
        (usage.input_tokens - read - write, price.input),
        (read, price.cache_read),
        (write, price.cache_write),
        (usage.output_tokens - thought, price.output),
        (thought, price.output if price.reasoning is None else price.reasoning),
    )
    exact = sum((count * Fraction(str(rate)) for count, rate in parts), Fraction()) / 10**6
    assert Fraction(costs(usage, price)) == exact >= 0


@given(usages(), usages(), PRICE)
def test_additive(one: Usage, other: Usage, price: Price) -> None:
    """Two parts of an answer cost what the answer costs whose usage is their sum."""
    names = [name for name in Usage.__dataclass_fields__ if name.endswith("_tokens")]
    summed: dict[str, Any] = {name: (getattr(one, name) or 0) + (getattr(other, name) or 0) for name in names}
    both = replace(one, **summed)
    assert costs(one, price) + costs(other, price) == costs(both, price)


@settings(max_examples=60, deadline=None)
@given(ANY_SHAPE, st.lists(st.integers(0, 5000), max_size=12), st.booleans())
def test_however_a_stream_is_cut(shape: dict[str, Any], cuts: list[int], often: bool) -> None:
    """Bytes cut anywhere, usage stated once or in every chunk: a stream costs what the whole answer costs."""
    made = router(streamed(shape, cuts, often=often), prices=prices_of(shape), strategy=target(shape))
    assert nano(asked(made, "stream")) == shape["nano"]


@settings(max_examples=60, deadline=None)
@given(ANY_SHAPE, st.permutations(["one", "two", "three"]), st.integers(0, 3))
def test_whatever_the_order_of_fallbacks(shape: dict[str, Any], others: list[str], place: int) -> None:
    """Wherever the target that answers stands, and whoever failed before it, the cost is the same."""
    targets = [Target(f"@x/{name}") for name in others]
    targets.insert(place, target(shape))
    prices = {**dict.fromkeys(others, Price(999, 999)), **prices_of(shape)}
    made = router(*(failed(503) for _ in range(place)), plain(shape), prices=prices, strategy=Fallback(*targets))
    call = asked(made, "complete")
    assert (nano(call), call.attempts) == (shape["nano"], place + 1)

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from portkey_router.batches import BYTES_A_TOKEN, BatchLimits, limits_of, merged, partial, split
from portkey_router.errors import ConfigurationError
from portkey_router.messages import Cost, Embeddings, Route, Usage
from portkey_router.planner import RunOn, plan_config, plan_strategy
from portkey_router.settings import Settings
from portkey_router.targets import Fallback, Target, TargetLike, as_strategy

KEYS = {name: SecretStr("k") for name in ("openai", "google", "cohere", "mistral", "aws", "azure")}
SETTINGS = Settings(virtual_keys=KEYS)


def tokens(text: str) -> int:
    """The estimate for a text."""
    return -(-len(text.encode(errors="replace")) // BYTES_A_TOKEN)


@given(
    st.lists(st.text(min_size=1, max_size=30), max_size=60),
    st.integers(min_value=1, max_value=9),
    st.integers(min_value=1, max_value=60),
)
def test_batches_lose_nothing_and_keep_the_limits(texts: list[str], count: int, most: int) -> None:
    """Every text is in one batch, in order; none too large but of one text; none needless."""
    limits = BatchLimits(texts=count, tokens=most)
    batches = split(texts, limits)
    assert [position for batch in batches for position in batch] == list(range(len(texts)))
    sizes = [sum(tokens(texts[position]) for position in batch) for batch in batches]
    for batch, size in zip(batches, sizes, strict=True):
        assert 1 <= len(batch) <= count
        assert size <= most or len(batch) == 1
    for batch, size, following in zip(batches, sizes, batches[1:], strict=False):
        assert len(batch) == count or size + tokens(texts[following.start]) > most


def limits(strategy: TargetLike, run_on: RunOn = "client", model: str | None = None) -> BatchLimits:
    """The limits of a call over these targets."""
    plan = plan_strategy(
        as_strategy(strategy), SETTINGS, run_on=run_on, max_retries=0, draw=lambda weights: len(weights) - 1
    )
    return limits_of(plan, model)


@pytest.mark.parametrize("run_on", ["client", "gateway"])
@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("text-embedding-3-small", BatchLimits(2048, 300_000)),
        ("@openai-prod/text-embedding-3-small", BatchLimits(2048, 300_000)),
        ("@google-prod/text-embedding-004", BatchLimits(1, 300_000, base64=False)),
        ("gemini-embedding-001", BatchLimits(1, 300_000, base64=False)),
        ("google/text-embedding-004", BatchLimits(1, 300_000, base64=False)),
        ("embed-english-v3.0", BatchLimits(96, 300_000, base64=False)),
        ("mistral-embed", BatchLimits(512, 16_000, base64=False)),
        ("amazon.titan-embed-text-v2:0", BatchLimits(1, 300_000, base64=False)),
        ("eu.cohere.embed-english-v3", BatchLimits(96, 300_000, base64=False)),
        (Target("text-embedding-005", provider="vertex-ai", api_key="k"), BatchLimits(250, 20_000, base64=False)),
        (Target("gemini-embedding-001", provider="vertex-ai", api_key="k"), BatchLimits(1, 300_000, base64=False)),
        (Target("voyage-3", provider="voyage", api_key="k"), BatchLimits(1000, 120_000)),
        (Fallback("mistral-embed", "cohere/mistral-embed"), BatchLimits(96, 16_000, base64=False)),
    ],
)
def test_limits_of_known_providers(strategy: TargetLike, expected: BatchLimits, run_on: RunOn) -> None:
    """The strictest of all targets, by the provider stated or by the model's name."""
    assert limits(strategy, run_on) == expected


def test_limits_of_a_saved_config() -> None:
    """Its targets are not known: the model's name tells, else OpenAI's limits hold."""
    assert limits_of(plan_config("pc-a", "mistral-embed"), "mistral-embed").texts == 512
    assert limits_of(plan_config("pc-a", None), None) == BatchLimits()


@pytest.mark.parametrize("given", [{"texts": 0}, {"tokens": -1}, {"texts": 1.5}, {"texts": True}])
def test_limits_are_whole_numbers(given: dict[str, Any]) -> None:
    """Anything else is refused by the names that callers use."""
    with pytest.raises(ConfigurationError, match="batch_size and batch_tokens"):
        BatchLimits(**given)


def answer(*vectors: list[float], usage: Usage | None = None, cost: str | None = None, by: str = "a") -> Embeddings:
    """One batch's answer."""
    costs = (None if cost is None else Cost(Decimal(cost), "user", by, "m"),)
    return Embeddings(vectors, "m", (Route("t", by),), usage, costs)


def test_merged_keeps_the_order_and_sums() -> None:
    """Batches that come in any order make one answer in the order of the texts; usage and cost add up."""
    whole = merged(
        {
            2: answer([3.0], usage=Usage(2, 0, 2, reported_cost=Decimal("0.2")), cost="0.5", by="b"),
            0: answer([1.0], [2.0], usage=Usage(5, 0, 5, cache_read_tokens=1), cost="0.1"),
        },
        "asked",
    )
    assert whole.vectors == ([1.0], [2.0], [3.0])
    assert whole.usage == Usage(7, 0, 7, cache_read_tokens=1)
    assert [route.target for route in whole.routes] == ["a", "b"]
    assert whole.cost == Cost(Decimal("0.6"), "user", "b", "m")
    assert [cost.amount for cost in whole.costs if cost] == [Decimal("0.1"), Decimal("0.5")]
    assert (whole.dimensions, whole.model) == (1, "m")


def test_what_is_not_known_of_one_batch_is_not_known_of_all() -> None:
    """A missing usage or cost is None in the sum, never a sum of the others; what cannot be right says so."""
    whole = merged({0: answer([1.0], usage=Usage(1, 0, 1), cost="1"), 1: answer([2.0])}, None)
    assert (whole.usage, whole.cost) == (None, None)
    impossible = merged({0: answer([1.0], usage=Usage(1, 0, 1)), 1: answer([1.0], usage=Usage(impossible="no"))}, None)
    assert impossible.usage is not None
    assert impossible.usage.impossible == "no"


def test_no_batches() -> None:
    """No texts make an empty answer."""
    nothing = merged({}, "asked")
    assert (nothing.vectors, nothing.model, nothing.dimensions, nothing.usage, nothing.cost) == (
        (),
        "asked",
        0,
        None,
        None,
    )


def test_batches_of_two_lengths() -> None:
    """A config that the gateway runs may mix spaces behind our back: that is no answer."""
    with pytest.raises(ConfigurationError, match=r"different dimensions: 1 \(m\), 2 \(m\)"):
        merged({0: answer([1.0]), 1: answer([1.0, 2.0])}, None)


def test_partial_knows_the_positions() -> None:
    """What was finished, by the position of each text."""
    kept = partial({4: answer([5.0], usage=Usage(1, 0, 1), cost="1"), 0: answer([1.0], [2.0], usage=Usage(2, 0, 2))})
    assert kept.vectors == {0: [1.0], 1: [2.0], 4: [5.0]}
    assert kept.usage == Usage(3, 0, 3)
    assert kept.cost is None
    assert len(kept.routes) == 2

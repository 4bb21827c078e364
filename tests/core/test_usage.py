from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portkey_router.messages import Usage
from portkey_router.wire.usage import count_of, decode_usage, usage_of


def counted(sent: int, made: int, **more: Any) -> dict[str, Any]:
    """Counts in OpenAI's shape, total included."""
    return {"prompt_tokens": sent, "completion_tokens": made, "total_tokens": sent + made, **more}


# Usages as the providers send them through the gateway 1.15.2: (provider, usage, what it means).
RECORDED = {
    # platform.openai.com/docs/guides/prompt-caching
    "openai": (
        "openai",
        counted(
            2006,
            300,
            prompt_tokens_details={"cached_tokens": 1920, "audio_tokens": 0},
            completion_tokens_details={
                "reasoning_tokens": 64,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 10,
                "rejected_prediction_tokens": 20,
            },
        ),
        Usage(2006, 300, 2306, 1920, None, 64, 0, 0),
    ),
    # learn.microsoft.com/azure, prompt caching: OpenAI's shape, with null for details that are not there
    "azure": (
        "azure-openai",
        {**counted(1566, 1518), "completion_tokens_details": None, "prompt_tokens_details": {"cached_tokens": 1408}},
        Usage(1566, 1518, 3084, 1408),
    ),
    # Portkey-AI/gateway#1564: 100 tokens fresh, 50 read, none written; the total has them, prompt_tokens has not
    "anthropic": (
        "anthropic",
        {
            "prompt_tokens": 100,
            "completion_tokens": 100,
            "total_tokens": 250,
            "prompt_tokens_details": {"cached_tokens": 50},
            "cache_read_input_tokens": 50,
            "cache_creation_input_tokens": 0,
        },
        Usage(150, 100, 250, 50, 0),
    ),
    # the same transform, where the call wrote to the cache
    "anthropic, written": (
        "anthropic",
        {
            "prompt_tokens": 21,
            "completion_tokens": 393,
            "total_tokens": 189_000,
            "prompt_tokens_details": {"cached_tokens": 0},
            "cache_read_input_tokens": 0,
            "cache_creation_input_tokens": 188_586,
        },
        Usage(188_607, 393, 189_000, 0, 188_586),
    ),
    # the older gateways' Bedrock (Portkey-AI/gateway#1211)
    "bedrock, older": (
        "bedrock",
        {
            "prompt_tokens": 368,
            "completion_tokens": 19,
            "total_tokens": 10_923,
            "cache_read_input_tokens": 10_536,
            "cache_creation_input_tokens": 0,
        },
        Usage(10_904, 19, 10_923, 10_536, 0),
    ),
    # the same call through 1.15.2, which adds them itself
    "bedrock": (
        "bedrock",
        {
            "prompt_tokens": 10_904,
            "completion_tokens": 19,
            "total_tokens": 10_923,
            "prompt_tokens_details": {"cached_tokens": 10_536},
            "cache_read_input_tokens": 10_536,
            "cache_creation_input_tokens": 0,
        },
        Usage(10_904, 19, 10_923, 10_536, 0),
    ),
    # the gateway's Google transform: candidatesTokenCount without thoughtsTokenCount, totalTokenCount with it
    "google": (
        "google",
        {
            "prompt_tokens": 1014,
            "completion_tokens": 60,
            "total_tokens": 1874,
            "completion_tokens_details": {"reasoning_tokens": 800, "audio_tokens": 0},
            "prompt_tokens_details": {"cached_tokens": 1000, "audio_tokens": 0},
        },
        Usage(1014, 860, 1874, 1000, None, 800, 0, 0),
    ),
    # the same with tokens of Gemini's own tools (toolUsePromptTokenCount) in the total
    "google, tools": (
        "google",
        {
            "prompt_tokens": 14,
            "completion_tokens": 60,
            "total_tokens": 974,
            "completion_tokens_details": {"reasoning_tokens": 800},
        },
        Usage(14, 860, 974, None, None, 800),
    ),
    # api-docs.deepseek.com, "Context Caching"
    "deepseek": (
        "deepseek",
        counted(
            300,
            50,
            prompt_cache_hit_tokens=256,
            prompt_cache_miss_tokens=44,
            prompt_tokens_details={"cached_tokens": 256},
            completion_tokens_details={"reasoning_tokens": 12},
        ),
        Usage(300, 50, 350, 256, None, 12),
    ),
    "deepseek, older": (
        "deepseek",
        counted(300, 50, prompt_cache_hit_tokens=256, prompt_cache_miss_tokens=44),
        Usage(300, 50, 350, 256),
    ),
    # docs.mistral.ai/api: three counts, nothing else
    "mistral": ("mistral-ai", counted(16, 34), Usage(16, 34, 50)),
    # openrouter.ai/docs, "Usage Accounting"; with a key of one's own the fee stands in `cost`
    "openrouter": (
        "openrouter",
        counted(
            194,
            2,
            cost=0.95,
            is_byok=False,
            cost_details={"upstream_inference_cost": 0.95},
            completion_tokens_details={"reasoning_tokens": 0},
            prompt_tokens_details={"cached_tokens": 0, "cache_write_tokens": 100, "audio_tokens": 0},
        ),
        Usage(194, 2, 196, 0, 100, 0, 0, None, reported_cost=Decimal("0.95")),
    ),
    # groq-typescript, CompletionUsage: times beside the counts
    "groq": (
        "groq",
        counted(
            4641, 1817, queue_time=0.05, prompt_time=0.1, total_time=2.4, prompt_tokens_details={"cached_tokens": 4608}
        ),
        Usage(4641, 1817, 6458, 4608),
    ),
    # docs.cloud.google.com, Grok's reasoning: outside completion_tokens, inside the total; ticks of 0
    "xai": (
        "x-ai",
        {
            "prompt_tokens": 663,
            "completion_tokens": 50,
            "total_tokens": 837,
            "prompt_tokens_details": {"cached_tokens": 654, "audio_tokens": 0, "image_tokens": 0, "text_tokens": 663},
            "completion_tokens_details": {"reasoning_tokens": 124, "audio_tokens": 0},
            "cost_in_usd_ticks": 0,
            "num_sources_used": 0,
        },
        Usage(663, 174, 837, 654, None, 124, 0, 0),
    ),
    # docs.x.ai, "Cost Tracking": 10^10 ticks are a dollar
    "xai, ticks": (
        "x-ai",
        counted(199, 1, cost_in_usd_ticks=37_756_000),
        Usage(199, 1, 200, reported_cost=Decimal("0.0037756")),
    ),
    # docs.perplexity.ai, chat completions
    "perplexity": (
        "perplexity-ai",
        counted(14, 70, cost={"input_tokens_cost": 0.0, "request_cost": 0.006, "total_cost": 0.006}),
        Usage(14, 70, 84, reported_cost=Decimal("0.006")),
    ),
    # the gateway's Workers AI transform, which has no counts
    "workers-ai": (
        "workers-ai",
        {"prompt_tokens": -1, "completion_tokens": -1, "total_tokens": -1},
        Usage(0, 0, 0, impossible="no tokens are counted"),
    ),
}


@pytest.mark.parametrize("name", RECORDED)
def test_the_habits_of_providers(name: str) -> None:
    """Whoever answered: input includes what the cache served, output the reasoning, and the total is their sum."""
    provider, usage, expected = RECORDED[name]
    decoded = decode_usage(usage, provider)
    assert decoded == expected
    if name not in {"google, tools", "workers-ai"}:
        assert decoded is not None
        assert decoded.input_tokens + decoded.output_tokens == decoded.total_tokens


@pytest.mark.parametrize("name", [name for name in RECORDED if name != "google, tools"])
def test_the_arithmetic_tells_without_the_provider(name: str) -> None:
    """A gateway that does not say who answered: the counts alone tell where the total is stated."""
    _, usage, expected = RECORDED[name]
    assert decode_usage(usage) == expected


def test_anthropic_without_a_total() -> None:
    """Where no total tells, Anthropic's cached tokens are outside; Bedrock's are, only if they must be."""
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "cache_read_input_tokens": 50}
    assert decode_usage(usage, "anthropic") == Usage(150, 10, 160, 50)
    assert decode_usage(usage, "bedrock") == Usage(100, 10, 110, 50)
    assert decode_usage({**usage, "prompt_tokens": 40}, "bedrock") == Usage(90, 10, 100, 50)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, None),
        ([], None),
        ({}, Usage(impossible="no tokens are counted")),
        ({"prompt_tokens": 5, "completion_tokens": 2}, Usage(5, 2, 7)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 9}, Usage(5, 2, 9)),
        (
            {"prompt_tokens": None, "completion_tokens": "2", "prompt_tokens_details": 5},
            Usage(0, 0, 0, impossible="no tokens are counted"),
        ),
        ({"prompt_tokens": 5.0, "completion_tokens": -1}, Usage(5, 0, 5)),
        ({"prompt_tokens": True, "completion_tokens": 2}, Usage(0, 2, 2)),
        ({"prompt_tokens": float("nan"), "completion_tokens": 2, "cost": float("inf")}, Usage(0, 2, 2)),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 4,
                "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 1},
                "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 0},
                "cache_creation_input_tokens": 6,
            },
            Usage(9, 4, 13, 3, 6, 2, 1, 0),
        ),
        (counted(5, 2, cache_write_tokens=3), Usage(5, 2, 7, None, 3)),
        (counted(5, 2, prompt_tokens_details={"cache_creation_tokens": 3}), Usage(5, 2, 7, None, 3)),
        (counted(5, 2, service_tier="priority"), Usage(5, 2, 7, service_tier="priority")),
    ],
    ids=str,
)
def test_counts(usage: Any, expected: Usage | None) -> None:
    """Counts are read where they are; what is not stated is None, what is no count is not counted."""
    assert decode_usage(usage) == expected


@pytest.mark.parametrize(
    ("usage", "why"),
    [
        (counted(5, 2, prompt_tokens_details={"cached_tokens": 6}), "6 cached tokens are more than the 5"),
        (counted(5, 2, completion_tokens_details={"reasoning_tokens": 3}), "3 reasoning tokens are more than the 2"),
        ({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 6}, "total of 6 is less than"),
    ],
)
def test_impossible_counts_are_stated(usage: Any, why: str) -> None:
    """Counts that contradict one another are kept, with the reason why they cannot be right."""
    decoded = decode_usage(usage)
    assert decoded is not None
    assert why in (decoded.impossible or "")


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"cost": 0.95, "cost_details": {"upstream_inference_cost": 19}}, "19.95"),  # a key of one's own
        ({"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.5}}, "0.5"),
        ({"cost": 0.0004, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.0005}}, "0.0004"),
        ({"cost": 0.0004, "cost_details": {"upstream_inference_cost": None}}, "0.0004"),
        ({"cost": 0}, "0"),  # a free model
        ({"cost": 1e-7}, "0.0000001"),
    ],
)
def test_the_cost_that_the_provider_reports(usage: Any, cost: str) -> None:
    """A cost is as the provider wrote it, to the last digit; its own bill and the reseller's fee are one."""
    decoded = decode_usage(usage)
    assert decoded is not None
    assert decoded.reported_cost == Decimal(cost)


@pytest.mark.parametrize("cost", [-1, True, "0.1", None, [], {"total_cost": "1"}, {}])
def test_a_cost_that_is_none(cost: object) -> None:
    """What is no amount is no cost."""
    assert (decode_usage({"cost": cost}) or Usage()).reported_cost is None


def test_the_tier_beside_the_usage() -> None:
    """OpenAI says beside the usage which tier was billed, Anthropic within it; the inner one wins."""
    assert usage_of({"usage": counted(1, 1), "service_tier": "flex"}) == Usage(1, 1, 2, service_tier="flex")
    inner = {"usage": counted(1, 1, service_tier="batch"), "service_tier": "flex"}
    assert usage_of(inner) == Usage(1, 1, 2, service_tier="batch")
    assert usage_of({"usage": counted(1, 1), "service_tier": 5}) == Usage(1, 1, 2)
    assert usage_of({"service_tier": "flex"}) is None


def test_a_count() -> None:
    """Whole, from 0 up, and no boolean."""
    assert [count_of(value) for value in (0, 3, 2.0, True, -1, "3", None, float("inf"))] == [0, 3, 2] + [None] * 5


ODD = (
    st.none()
    | st.booleans()
    | st.integers(-5, 50)
    | st.floats()
    | st.text(max_size=3)
    | st.just([1])
    | st.integers(min_value=10**30)
)
NAMES = (
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "prompt_cache_hit_tokens",
    "cache_write_tokens",
    "cost",
    "cost_in_usd_ticks",
    "is_byok",
    "service_tier",
    "reasoning_tokens",
)
DETAILS = ("cached_tokens", "cache_write_tokens", "audio_tokens", "reasoning_tokens", "upstream_inference_cost")
SOME = st.dictionaries(st.sampled_from(DETAILS), ODD) | ODD


@given(
    st.dictionaries(st.sampled_from(NAMES), ODD),
    st.fixed_dictionaries(
        {}, optional={"prompt_tokens_details": SOME, "completion_tokens_details": SOME, "cost_details": SOME}
    ),
    st.sampled_from([None, "openai", "anthropic", "bedrock", "google", "vertex-ai", "x-ai"]),
)
def test_any_json_is_counts(usage: dict[str, Any], details: dict[str, Any], provider: str | None) -> None:
    """Nothing that a provider could write raises, no count is negative, and the total is never less than its parts."""
    decoded = decode_usage({**usage, **details}, provider)
    assert decoded is not None
    assert min(decoded.input_tokens, decoded.output_tokens) >= 0
    assert decoded.total_tokens >= decoded.input_tokens + decoded.output_tokens
    assert decoded.reported_cost is None or decoded.reported_cost >= 0
    cached = (decoded.cache_read_tokens or 0) + (decoded.cache_write_tokens or 0)
    assert decoded.impossible is not None or cached <= decoded.input_tokens


@given(*(st.integers(1, 10**6) for _ in range(5)))
def test_one_call_is_one_usage_whichever_way_it_is_told(fresh: int, read: int, write: int, said: int, why: int) -> None:
    """Told by OpenAI's habit, Anthropic's or Gemini's, the same call comes out with the same input and output."""
    inside = counted(
        fresh + read,
        said + why,
        prompt_tokens_details={"cached_tokens": read},
        completion_tokens_details={"reasoning_tokens": why},
    )
    gemini = {**inside, "completion_tokens": said}
    assert decode_usage(inside, "openai") == decode_usage(gemini, "google")
    anthropic = {
        "prompt_tokens": fresh,
        "completion_tokens": said,
        "total_tokens": fresh + read + write + said,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": write,
    }
    assert decode_usage(anthropic, "anthropic") == decode_usage(
        {**anthropic, "prompt_tokens": fresh + read + write}, "bedrock"
    )

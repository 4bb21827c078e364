"""Token counts, normalised once, whatever the provider's habit: input includes cached tokens, output reasoning.

The habits are those that come through the Portkey gateway (1.15.2) in OpenAI's shape; each is told by arithmetic where
the counts allow it, by the provider's name only where they do not.
"""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from portkey_router.messages import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["count_of", "decode_usage", "usage_of"]

# Whose prompt_tokens leave out what the cache served, as the gateway passes them on (Portkey-AI/gateway#1564).
_LEAVE_OUT_CACHED = frozenset({"anthropic", "vertex-ai"})
_ANTHROPIC_FIELDS = frozenset({"cache_creation_input_tokens", "cache_read_input_tokens"})
# xAI bills in ticks (docs.x.ai, "Cost Tracking").
_TICKS_PER_USD = Decimal(10) ** 10


def usage_of(body: Mapping[str, Any], provider: str | None = None) -> Usage | None:
    """The usage in a reply's body or in an event; OpenAI states the service tier that was billed beside it."""
    usage = decode_usage(body.get("usage"), provider)
    tier = body.get("service_tier")
    if usage is None or usage.service_tier or not isinstance(tier, str) or not tier:
        return usage
    return replace(usage, service_tier=tier)


def decode_usage(usage: Any, provider: str | None = None) -> Usage | None:
    """Token counts of a reply; None where it has none. `provider` is Portkey's name of who answered.

    Nothing in here raises: what is no count is not counted, and counts that contradict one another are stated as such
    in `Usage.impossible`.
    """
    if not isinstance(usage, dict):
        return None
    prompt = _details(usage, "prompt_tokens_details")
    made_of = _details(usage, "completion_tokens_details")
    read, write = _cached(usage, prompt)
    thought = _first(made_of.get("reasoning_tokens"), usage.get("reasoning_tokens"))
    sent, made, total = (count_of(usage.get(f"{name}_tokens")) or 0 for name in ("prompt", "completion", "total"))
    apart = bool(usage.keys() & _ANTHROPIC_FIELDS)
    cached = (read or 0) + (write or 0)
    made += _thoughts_left_out(sent, made, total, thought or 0, cached=cached if apart else 0, provider=provider)
    if apart:
        sent += _cached_left_out(sent, total - made, cached, provider)
    return Usage(
        input_tokens=sent,
        output_tokens=made,
        total_tokens=max(total, sent + made),
        cache_read_tokens=read,
        cache_write_tokens=write,
        reasoning_tokens=thought,
        audio_input_tokens=count_of(prompt.get("audio_tokens")),
        audio_output_tokens=count_of(made_of.get("audio_tokens")),
        reported_cost=_reported_cost(usage),
        service_tier=_text(usage.get("service_tier")),
        impossible=_impossible(sent, made, total, cached, thought or 0),
    )


def count_of(value: Any) -> int | None:
    """A count, where a reply holds one; the gateway writes -1 where a provider states none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < math.inf else None


def _cached(usage: Mapping[str, Any], prompt: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Tokens read from and written to the provider's cache, under each name they go by."""
    read = _first(
        prompt.get("cached_tokens"),  # OpenAI, Azure, Google, Groq, xAI, OpenRouter
        usage.get("cache_read_input_tokens"),  # Anthropic and Bedrock, beside or without the details
        usage.get("prompt_cache_hit_tokens"),  # DeepSeek; its prompt_tokens are hits and misses together
    )
    write = _first(
        usage.get("cache_creation_input_tokens"),  # Anthropic and Bedrock
        prompt.get("cache_write_tokens"),  # OpenRouter
        prompt.get("cache_creation_tokens"),
        usage.get("cache_write_tokens"),
    )
    return read, write


def _cached_left_out(sent: int, total_sent: int, cached: int, provider: str | None) -> int:
    """The cached tokens that prompt_tokens lacks, of those that Anthropic's fields name.

    Anthropic's total includes them while its prompt_tokens does not, directly and on Vertex (gateway#1564); so did
    Bedrock's until the gateway added them (gateway#1210, #1211). Where there is no total to tell, they are outside if
    they are too many to be inside, or if it was Anthropic who answered.
    """
    if total_sent == sent + cached or cached > sent:
        return cached
    return cached if total_sent <= 0 and provider in _LEAVE_OUT_CACHED else 0


def _thoughts_left_out(sent: int, made: int, total: int, thought: int, *, cached: int, provider: str | None) -> int:
    """The reasoning tokens that completion_tokens lacks: Gemini's thoughts and xAI's reasoning are in the total only.

    Gemini's total may have tokens of its own tools as well. Where there is no total, more reasoning than completion
    must be beside it.
    """
    missing = total - sent - made
    if missing in {thought, thought + cached} and thought:
        return thought
    if missing > thought and provider in {"google", "vertex-ai"} and not cached:
        return thought
    return thought if not total and thought > made else 0


def _impossible(sent: int, made: int, total: int, cached: int, thought: int) -> str | None:
    """Why the counts cannot be right; None where they can."""
    if not sent and not made:
        return "no tokens are counted"
    if cached > sent:
        return f"{cached} cached tokens are more than the {sent} of the input"
    if thought > made:
        return f"{thought} reasoning tokens are more than the {made} of the output"
    if 0 < total < sent + made:
        return f"the total of {total} is less than input and output together, {sent + made}"
    return None


def _reported_cost(usage: Mapping[str, Any]) -> Decimal | None:
    """What the provider says the call cost, in USD: OpenRouter's `cost`, Perplexity's, xAI's ticks.

    With a key of one's own, OpenRouter's `cost` is its fee, and the provider's own bill stands beside it
    (openrouter.ai/docs, "Usage Accounting"). Ticks of 0 are what resellers of Grok send, so they say nothing.
    """
    ticks = _money(usage.get("cost_in_usd_ticks"))
    if ticks:
        return ticks / _TICKS_PER_USD
    cost = usage.get("cost")
    if isinstance(cost, dict):
        return _money(cost.get("total_cost"))
    fee, upstream = _money(cost), _money(_details(usage, "cost_details").get("upstream_inference_cost"))
    if fee is None or upstream is None:
        return fee
    own_key = usage.get("is_byok")
    return fee + upstream if own_key is True or (own_key is None and upstream > fee) else fee


def _money(value: Any) -> Decimal | None:
    """An amount; floats by their shortest spelling, which is what the provider wrote."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        return None
    return Decimal(str(value))


def _first(*values: Any) -> int | None:
    """The first count among these; a 0 yields to a later count above it."""
    counts = [count for value in values if value is not None and (count := count_of(value)) is not None]
    return next((count for count in counts if count), counts[0] if counts else None)


def _details(usage: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = usage.get(name)
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None

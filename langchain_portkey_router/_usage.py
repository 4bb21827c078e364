"""What answers of any LangChain chat model say of their usage, as the core's `Usage`: no I/O, no clock."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration

from portkey_router.messages import Usage
from portkey_router.providers import portkey_provider
from portkey_router.tokens import tokens_of_messages, tokens_of_text
from portkey_router.wire.usage import decode_usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import LLMResult

__all__ = ["answers_in", "estimated_usage", "from_langchain_cache", "provider_named", "usage_of_answers"]

# LangChain's names of providers -> Portkey's, where neither spelling is the other's.
_PROVIDERS = {
    "anthropic_bedrock": "bedrock",
    "azure_openai": "azure-openai",
    "bedrock_converse": "bedrock",
    "google_anthropic_vertex": "vertex-ai",
    "google_genai": "google",
    "google_vertexai": "vertex-ai",
    "mistralai": "mistral-ai",
    "together": "together-ai",
}
_TIERS = ("flex", "priority")
_COSTS = ("cost", "response_cost")


def provider_named(name: str | None) -> str | None:
    """Portkey's name of a provider that LangChain names (`ls_provider`, `model_provider`)."""
    return None if not name else portkey_provider(_PROVIDERS.get(name.lower(), name))


def answers_in(result: LLMResult | None) -> list[AIMessage]:
    """The messages of a result: one for each of the `n` choices."""
    generations = (generation for row in (result.generations if result else ()) for generation in row)
    messages = (generation.message for generation in generations if isinstance(generation, ChatGeneration))
    return [message for message in messages if isinstance(message, AIMessage)]


def from_langchain_cache(answers: Iterable[AIMessage]) -> bool:
    """Whether LangChain's cache answered: it writes a whole 0 as `total_cost`, and nobody else does."""
    marks = [dict(answer.usage_metadata or {}).get("total_cost") for answer in answers]
    return bool(marks) and all(mark == 0 and isinstance(mark, int) for mark in marks)


def usage_of_answers(answers: Sequence[AIMessage], llm_output: Mapping[str, Any] | None = None) -> Usage | None:
    """The usage of one call, whose `n` choices each repeat it, share it out, or leave it to the first.

    Where no message states it, an OpenAI-shaped `token_usage` in `llm_output` does.
    """
    stated = [usage for answer in answers if (usage := _usage_of(answer)) is not None]
    distinct = list(dict.fromkeys(stated))
    if not distinct:
        return decode_usage((llm_output or {}).get("token_usage") or None)
    return distinct[0] if len(distinct) == 1 else _summed(stated)


def _usage_of(answer: AIMessage) -> Usage | None:
    usage = answer.usage_metadata
    if not usage or not (usage.get("input_tokens") or usage.get("output_tokens")):
        return None
    metadata = answer.response_metadata
    sent, made = usage.get("input_token_details") or {}, usage.get("output_token_details") or {}
    tier = metadata.get("service_tier") or next((tier for tier in _TIERS if tier in sent or tier in made), None)
    read, thought = _count(sent, "cache_read"), _count(made, "reasoning")
    # Anthropic's are told apart by how long they are kept, and then not counted as `cache_creation` again.
    kept = sum(_count(sent, f"ephemeral_{age}_input_tokens") or 0 for age in ("5m", "1h"))
    write = max(_count(sent, "cache_creation") or 0, kept) or _count(sent, "cache_creation")
    raw = decode_usage(metadata.get("token_usage"))
    counted = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
    return Usage(
        *counted,
        max(usage.get("total_tokens", 0), sum(counted)),
        cache_read_tokens=read,
        cache_write_tokens=write,
        reasoning_tokens=thought,
        audio_input_tokens=_count(sent, "audio"),
        audio_output_tokens=_count(made, "audio"),
        reported_cost=_reported(metadata) or (raw.reported_cost if raw else None),
        service_tier=tier if isinstance(tier, str) else None,
    )


def _count(details: Mapping[str, Any], name: str) -> int | None:
    """A count, under its name or with a service tier's before it, as langchain-openai writes it."""
    for spelling in (name, *(f"{tier}_{name}" for tier in _TIERS)):
        if isinstance(details.get(spelling), int):
            return int(details[spelling])
    return None


def _reported(metadata: Mapping[str, Any]) -> Any:
    """A cost that the integration passes on; by the core's reading, which refuses what is no amount."""
    costs = (metadata.get(name) for name in _COSTS)
    read = (decode_usage({"cost": cost}) for cost in costs if cost is not None)
    return next((usage.reported_cost for usage in read if usage and usage.reported_cost is not None), None)


def _summed(usages: Sequence[Usage]) -> Usage:
    total = usages[0]
    for usage in usages[1:]:
        counts = {name: _plus(getattr(total, name), getattr(usage, name)) for name in _SUMMED}
        total = replace(total, **counts)
    return total


_SUMMED = (*(name for name in Usage.__dataclass_fields__ if name.endswith("_tokens")), "reported_cost")


def _plus(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else one + other


def estimated_usage(prompt: Sequence[BaseMessage], answers: Sequence[AIMessage]) -> Usage:
    """What an answer that was left early has used, by the length of its texts."""
    sent = tokens_of_messages([{"content": message.text} for message in prompt])
    made = sum(tokens_of_text(answer.text) for answer in answers)
    return Usage(sent, made, sent + made)

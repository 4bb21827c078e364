"""What a call is called in OpenTelemetry: names and values of attributes, as literals."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portkey_router.events import CallFinished

__all__ = ["call_attributes", "is_model_span", "metric_attributes"]

# Portkey's provider ids -> the conventions' well-known values, where they differ.
_PROVIDERS = {
    "azure-openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "google": "gcp.gemini",
    "mistral-ai": "mistral_ai",
    "perplexity-ai": "perplexity",
    "vertex-ai": "gcp.vertex_ai",
    "x-ai": "x_ai",
}
# Who makes spans for all of LlamaIndex, by the names of their tracers; a model's span is named for its method.
_OF_LLAMA_INDEX = ("llamaindex.opentelemetry", "openinference.instrumentation.llama_index")
_MODEL_METHOD = re.compile(r"\.a?(stream_)?(chat|complete)$")
_OF_MODEL_SPANS = ("gen_ai.operation.name", "gen_ai.system", "llm.model_name", "llm.request.type")


def is_model_span(span: Any) -> bool:
    """Whether a span is another instrumentor's for a call of a model: by its attributes, or by who made it for what.

    One that has ended, before the stream that it is for, still is; one that nobody records shows neither.
    """
    attributes = getattr(span, "attributes", None) or {}
    if attributes.get("openinference.span.kind") == "LLM" or any(name in attributes for name in _OF_MODEL_SPANS):
        return True
    scope = getattr(span, "instrumentation_scope", None)
    made_for_all = scope is not None and scope.name.startswith(_OF_LLAMA_INDEX)
    return bool(made_for_all and _MODEL_METHOD.search(span.name))


def call_attributes(call: CallFinished, *, annotate: bool = False) -> dict[str, Any]:
    """The attributes of a call's span; to `annotate` another's, those that only we know."""
    named: dict[str, Any] = {} if annotate else {**_identity(call), **_usage(call)}
    named |= {
        "portkey.trace_id": call.trace_id,
        "portkey.call_id": call.call_id,
        "portkey.target": call.target,
        "portkey.attempts": call.attempts,
        "portkey.retries": call.retries,
        "portkey.cache": call.cache,
        "portkey.cache_status": call.cache_status,
        "portkey.outcome": call.outcome,
        "portkey.usage.estimated": call.estimated or None,
        **{f"portkey.tag.{name}": _plain(value) for name, value in call.tags.items()},
    }
    if call.cost is not None:
        named |= {
            "gen_ai.usage.cost.amount": float(call.cost.amount),
            "gen_ai.usage.cost.currency": call.cost.currency,
            "gen_ai.usage.cost.source": "provider" if call.cost.source == "reported" else "local",
            "portkey.cost.usd": f"{call.cost.amount:f}",  # exact; the convention's is a float
            "portkey.cost.source": call.cost.source,
        }
    return {name: value for name, value in named.items() if value is not None}


def _identity(call: CallFinished) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": call.operation,
        "gen_ai.provider.name": _provider(call),
        "gen_ai.request.model": call.requested_model,
        "gen_ai.request.stream": call.streamed or None,
        "gen_ai.response.model": call.model,
        "gen_ai.response.time_to_first_chunk": call.first_token,
        "error.type": call.outcome if call.failed else None,
    }


def _usage(call: CallFinished) -> dict[str, Any]:
    usage = call.usage
    if usage is None or call.hit:
        return {}
    return {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read_tokens,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
    }


def metric_attributes(call: CallFinished, tags: Sequence[str]) -> dict[str, Any]:
    """The attributes of a call's metrics: few, since each combination is a time series."""
    named = {
        "gen_ai.operation.name": call.operation,
        "gen_ai.provider.name": _provider(call),
        "gen_ai.request.model": call.requested_model,
        "gen_ai.response.model": call.model,
        "error.type": call.outcome if call.failed else None,
        "portkey.target": call.target,
        **{f"portkey.tag.{name}": _plain(call.tags.get(name)) for name in tags},
    }
    return {name: value for name, value in named.items() if value is not None}


def _provider(call: CallFinished) -> str:
    provider = call.provider or "portkey"
    return _PROVIDERS.get(provider, provider)


def _plain(value: Any) -> Any:
    """A tag as an attribute: plain values, and lists of text."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return tuple(map(str, value)) if isinstance(value, list | tuple | set | frozenset) else None

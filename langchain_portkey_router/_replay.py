"""Answers from a cache as ChatPortkey gives them out, whole or in chunks; and a streamed answer as it is kept."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk

from langchain_portkey_router._convert import MODEL_PROVIDER, to_result
from portkey_router.describe import route_to_dict
from portkey_router.messages import Completion, Cost, Route

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from langchain_core.messages import ToolCallChunk

__all__ = ["OF_THE_CALL", "as_hits", "cache_of", "chunks_of", "generations_of", "told_of_hit"]

# Of a message's metadata: of the call that was made, and none of the answer's.
OF_THE_CALL = frozenset(
    {"headers", "id", "portkey", "request_id", "system_fingerprint", "token_usage", "trace_id", "usage"}
)
# A streamed text comes in pieces of about this many words.
_PIECES = re.compile(r"(?:\s*\S+){1,4}\s*|\s+")


def told_of_hit(model: str | None, served: Mapping[str, Any], cache: Mapping[str, Any]) -> dict[str, Any]:
    """The `portkey` block of an answer from a cache: as the router writes it, with who once `served` it, and cost 0."""
    provider, named = served.get("provider"), model or ""
    route = Route("", served.get("target") or "", provider=provider)
    free = Cost(Decimal(0), "cache", provider, named)
    return route_to_dict(Completion((), named, route, cost=free, cache=cache))


def cache_of(message: Any) -> dict[str, Any] | None:
    """What a message says of the cache that it comes from; None where it comes from a model."""
    metadata: Mapping[str, Any] = getattr(message, "response_metadata", None) or {}
    return (metadata.get("portkey") or {}).get("cache")


def as_hits(generations: Sequence[ChatGeneration]) -> list[ChatGeneration]:
    """A cache's generations as the model's answers: no usage, no cost, and word of the cache.

    A cache that is not ours gives its own objects, as they were made: they are copied.
    """
    return [_as_hit(each) for each in generations]


def _as_hit(generation: ChatGeneration) -> ChatGeneration:
    message = generation.message
    if not isinstance(message, AIMessage):  # a cache that is not ours may hold anything
        message = AIMessage(message.content)
    told = dict(message.response_metadata)
    if cache_of(message) is None:
        portkey = told_of_hit(told.get("model_name"), told.get("portkey") or {}, _saved(message))
        told = {**{name: value for name, value in told.items() if name not in OF_THE_CALL}, "portkey": portkey}
    # LangChain marks its hits by a `total_cost` of 0.
    usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0, "total_cost": 0}
    fresh = message.model_copy(update={"usage_metadata": usage, "response_metadata": told})
    return ChatGeneration(message=fresh, generation_info=generation.generation_info)


def _saved(message: AIMessage) -> dict[str, Any]:
    """What a cache that is not ours says too little of: as `Hit.as_dict`."""
    usage: Mapping[str, Any] = message.usage_metadata or {}
    paid = (message.response_metadata.get("portkey") or {}).get("cost") or {}
    return {
        "layer": "langchain",
        "similarity": None,
        "age_seconds": None,
        "saved_input_tokens": usage.get("input_tokens"),
        "saved_output_tokens": usage.get("output_tokens"),
        "saved_cost": paid.get("amount"),
        "currency": "USD",
    }


def chunks_of(generation: ChatGeneration) -> Iterator[ChatGenerationChunk]:
    """An answer as a stream would have brought it; the last chunk knows everything, as a model's does."""
    message = generation.message
    told = message.response_metadata
    named = {name: told[name] for name in ("output_version",) if name in told}
    common = {"model_provider": told.get("model_provider", MODEL_PROVIDER), **named}
    # Beside the first piece: in a chunk of their own, LangChain would make blocks of them that the content has as well.
    beside = deepcopy(message.additional_kwargs)
    for part in _parts(message):
        yield ChatGenerationChunk(message=AIMessageChunk(**part, additional_kwargs=beside, response_metadata=common))
        beside = {}
    last = AIMessageChunk(
        content="",
        usage_metadata=getattr(message, "usage_metadata", None),
        additional_kwargs=beside,
        response_metadata=told,
        name=message.name,
        chunk_position="last",
    )
    yield ChatGenerationChunk(message=last, generation_info=generation.generation_info)


def _parts(message: Any) -> Iterator[dict[str, Any]]:
    if isinstance(message.content, str):
        yield from ({"content": piece} for piece in _PIECES.findall(message.content))
    elif message.content:
        yield {"content": deepcopy(message.content)}  # LangChain numbers the blocks of chunks in place
    if calls := _call_chunks(message):
        yield {"content": "", "tool_call_chunks": calls}


def _call_chunks(message: Any) -> list[ToolCallChunk]:
    calls = [(call, json.dumps(call["args"])) for call in getattr(message, "tool_calls", ())]
    calls += [(call, call["args"]) for call in getattr(message, "invalid_tool_calls", ())]
    return [
        tool_call_chunk(name=call["name"], args=arguments, id=call["id"], index=index)
        for index, (call, arguments) in enumerate(calls)
    ]


def generations_of(completion: Completion, output_version: str | None) -> list[ChatGeneration]:
    """A streamed answer's generations, as LangChain would keep them had it been asked for whole."""
    generations = to_result(completion).generations
    if output_version == "v1":
        for each in generations:
            told = {**each.message.response_metadata, "output_version": output_version}
            update = {"content": each.message.content_blocks, "response_metadata": told}
            each.message = each.message.model_copy(update=update)
    return generations

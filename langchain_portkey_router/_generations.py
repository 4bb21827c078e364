"""LangChain's answers as JSON and back: generations of chat models and of others, field by field.

What is read builds `Generation`, `ChatGeneration` and `AIMessage`, and nothing else, whatever the JSON says.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from langchain_core.messages import AIMessage, AIMessageChunk, message_chunk_to_message
from langchain_core.outputs import ChatGeneration, Generation

from langchain_portkey_router._replay import OF_THE_CALL, told_of_hit
from portkey_router.cache.entry import CorruptEntryError
from portkey_router.cache.policy import answer_of_generations
from portkey_router.cache.results import NewAnswer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portkey_router.cache.entry import Entry
    from portkey_router.cache.results import Hit

__all__ = ["KIND", "as_hit", "generations_of_entry", "new_answer"]

KIND = "langchain"


# ---- to JSON ---------------------------------------------------------------------------------------------------------


def new_answer(generations: Sequence[Generation]) -> NewAnswer | None:
    """The answer as it is stored; None where a message is no `AIMessage`, and could not be built again."""
    if any(not isinstance(getattr(each, "message", None), AIMessage | None) for each in generations):
        return None
    messages = [message for each in generations if (message := _message(each)) is not None]
    told = messages[0].response_metadata if messages else {}
    usages = [message.usage_metadata for message in messages[:1] if message.usage_metadata]
    return NewAnswer(
        kind=KIND,
        answer=[_dumped(each) for each in generations],
        alternatives=answer_of_generations(generations),
        model=told.get("model_name") or told.get("model"),
        input_tokens=usages[0]["input_tokens"] if usages else None,
        output_tokens=usages[0]["output_tokens"] if usages else None,
        cost=_cost(told),
    )


def _message(generation: Generation) -> AIMessage | None:
    message = getattr(generation, "message", None)
    whole = message_chunk_to_message(message) if isinstance(message, AIMessageChunk) else message
    return whole if isinstance(whole, AIMessage) else None


def _dumped(generation: Generation) -> dict[str, Any]:
    message = _message(generation)
    info = _plain(generation.generation_info or {})
    if message is None:
        return {"text": generation.text, "info": info or None}
    told = _plain(message.response_metadata)
    return {
        "content": message.content,
        "info": info or None,
        "name": message.name,
        "more": _plain(message.additional_kwargs),
        "meta": {name: part for name, part in told.items() if name not in OF_THE_CALL},
        "served": _served(told),
        "calls": message.tool_calls or None,
        "invalid_calls": message.invalid_tool_calls or None,
    }


def _served(told: dict[str, Any]) -> dict[str, Any] | None:
    """Who answered, where ChatPortkey says it."""
    ours = told.get("portkey") or {}
    return {name: ours[name] for name in ("provider", "target") if ours.get(name)} or None


def _plain(told: dict[str, Any]) -> dict[str, Any]:
    """What of some metadata is JSON."""
    return {str(name): value for name, value in told.items() if _is_json(value)}


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _cost(told: dict[str, Any]) -> Decimal | None:
    """What the call cost, where ChatPortkey says it."""
    cost = (told.get("portkey") or {}).get("cost") or {}
    try:
        return Decimal(cost["amount"])
    except (KeyError, TypeError, ValueError, InvalidOperation):
        return None


# ---- and back --------------------------------------------------------------------------------------------------------


def generations_of_entry(entry: Entry) -> list[Generation]:
    """The generations of an entry. Raises `CorruptEntryError`, or pydantic's errors, which are `ValueError`s."""
    if entry.kind != KIND or not isinstance(entry.answer, list) or not entry.answer:
        raise CorruptEntryError(f"an answer of the form {entry.kind!r}")
    return [_loaded(each) for each in entry.answer]


def _loaded(told: Any) -> Generation:
    if not isinstance(told, dict):
        raise CorruptEntryError("a generation of another form")
    served = told.get("served")
    if not (served is None or (isinstance(served, dict) and all(isinstance(each, str) for each in served.values()))):
        raise CorruptEntryError("who answered, in another form")
    if "content" not in told:
        return Generation(text=told["text"], generation_info=told["info"])
    message = AIMessage(
        content=told["content"],
        name=told["name"],
        additional_kwargs=told["more"],
        response_metadata={**told["meta"], "portkey": served},
        tool_calls=told["calls"] or [],
        invalid_tool_calls=told["invalid_calls"] or [],
    )
    return ChatGeneration(message=message, generation_info=told["info"])


def as_hit(hit: Hit[list[Generation]]) -> list[Generation]:
    """The generations as they are given out: with ids of their own, no usage, no cost, and word of the cache.

    A stored id would make LangGraph replace the earlier message with this one. A plain `Generation` has no room for it.
    """
    told = hit.as_dict()
    for generation in hit.value:
        if isinstance(generation, ChatGeneration) and isinstance(generation.message, AIMessage):
            message = generation.message
            message.id = f"lc_cache--{uuid4()}"
            message.usage_metadata = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
            served = message.response_metadata.get("portkey") or {}
            message.response_metadata["portkey"] = told_of_hit(hit.entry.model, served, told)
    return hit.value

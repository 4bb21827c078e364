"""A completion as the events of a stream, in the OpenAI chat shape."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from portkey_router.sandbox.words import tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["DONE", "events", "frame"]

Event = dict[str, Any]

DONE = b"data: [DONE]\n\n"
# Three tokens an event: a short sentence still comes in several.
PIECE = 3


def frame(event: Any) -> bytes:
    """One event as it is sent: `data: {...}` and an empty line."""
    return b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n"


def events(completion: Mapping[str, Any], *, include_usage: bool) -> list[Event]:
    """The chunks (`object: chat.completion.chunk`): role, deltas, finish reason, and the usage if it was asked for.

    With usage asked for, every other chunk says `"usage": null`, as OpenAI's do, and the last has empty `choices`.
    """
    head = {key: completion[key] for key in ("id", "created", "model", "system_fingerprint", "service_tier")}
    head["object"] = "chat.completion.chunk"
    if include_usage:
        head["usage"] = None
    deltas = [
        (choice["index"], delta, logprobs, reason)
        for choice in completion["choices"]
        for delta, logprobs, reason in _deltas(choice)
    ]
    listed = [
        head | {"choices": [{"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}]}
        for index, delta, logprobs, reason in deltas
    ]
    if include_usage:
        listed.append(head | {"choices": [], "usage": completion["usage"]})
    return listed


def _deltas(choice: Mapping[str, Any]) -> Iterator[tuple[Event, Event | None, str | None]]:
    """(delta, logprobs, finish_reason) of one choice, in order."""
    message = choice["message"]
    calls = message.get("tool_calls") or []
    yield {"role": "assistant", "content": None if calls else ""}, None, None
    for piece in _pieces(message.get("reasoning_content") or ""):
        yield {"reasoning_content": piece}, None, None
    listed = (choice.get("logprobs") or {}).get("content")
    for place, piece in enumerate(_pieces(message["content"] or "")):
        part = listed[place * PIECE : (place + 1) * PIECE] if listed else None
        yield {"content": piece}, {"content": part, "refusal": None} if part else None, None
    for index, call in enumerate(calls):
        function = call["function"]
        opening = {"index": index, "id": call["id"], "type": "function"}
        yield {"tool_calls": [opening | {"function": {"name": function["name"], "arguments": ""}}]}, None, None
        for piece in _pieces(function["arguments"]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}, None, None
    yield {}, None, choice["finish_reason"]


def _pieces(text: str) -> list[str]:
    parts = tokens(text)
    return ["".join(parts[start : start + PIECE]) for start in range(0, len(parts), PIECE)]

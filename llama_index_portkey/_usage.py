"""What answers of any LlamaIndex LLM say of their usage, as the core's `Usage`: no I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portkey_router.messages import Usage
from portkey_router.wire.usage import count_of, decode_usage

__all__ = ["model_of", "usage_of_response"]


def usage_of_response(response: Any) -> Usage | None:
    """The usage of a `ChatResponse` or `CompletionResponse`: in its `raw`, or else in `additional_kwargs`.

    OpenAI's shape, as most have it, Anthropic's (whose input leaves out cached tokens), and Google's.
    """
    raw = getattr(response, "raw", None)
    for name, read in (("usage", _of_usage), ("usage_metadata", _of_google)):
        stated = _plain(_part(raw, name))
        if stated:
            return read(stated)
    more = getattr(response, "additional_kwargs", None) or {}
    usage = decode_usage(more) if "prompt_tokens" in more else None
    return None if usage is None or usage.impossible else usage


def model_of(response: Any, serialized: Mapping[str, Any] | None) -> str | None:
    """The model that answered, or else the one that was asked."""
    raw, more, asked = getattr(response, "raw", None), getattr(response, "additional_kwargs", None), serialized or {}
    names = (_part(raw, "model"), (more or {}).get("model_name"), asked.get("model"), asked.get("model_name"))
    return next((name for name in names if isinstance(name, str) and name), None)


def _part(raw: Any, name: str) -> Any:
    return raw.get(name) if isinstance(raw, Mapping) else getattr(raw, name, None)


def _plain(part: Any) -> dict[str, Any]:
    dump = getattr(part, "model_dump", None)
    if callable(dump):
        part = dump()
    return dict(part) if isinstance(part, Mapping) else {}


def _of_usage(stated: Mapping[str, Any]) -> Usage | None:
    if "input_tokens" not in stated:
        return decode_usage(stated)
    names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    fresh, made, read, write = (count_of(stated.get(name)) for name in names)
    sent = (fresh or 0) + (read or 0) + (write or 0)
    return Usage(sent, made or 0, sent + (made or 0), read, write)


def _of_google(stated: Mapping[str, Any]) -> Usage | None:
    names = ("prompt_token_count", "candidates_token_count", "thoughts_token_count", "cached_content_token_count")
    sent, made, thought, read = (count_of(stated.get(name)) for name in names)
    output = (made or 0) + (thought or 0)
    return Usage(sent or 0, output, (sent or 0) + output, read, None, thought)

"""Token counts before a call: an estimate, from the text's length alone.

A quarter of the bytes in UTF-8, three tokens a message and three for the answer's start, 85 for an image or another
attachment, one for each 1600 bytes of audio (OpenAI counts ten a second, an MP3 has 16 kB), tools as their JSON.
Nothing is downloaded and no tokenizer is needed. `benchmarks/routing.py` holds it against OpenAI's encodings: a tenth
off for English and JSON, a sixth for code and German; Chinese right by o200k and a third too low by cl100k, Russian too
high by 70 % by o200k. What the provider counted is in an answer's `usage`, and teaches `costing.Experience` a target's
ratio.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["tokens_of_messages", "tokens_of_text"]

BYTES_A_TOKEN = 4
TOKENS_A_MESSAGE = 3
TOKENS_OF_THE_ANSWER = 3
TOKENS_AN_ATTACHMENT = 85
BASE64_AN_AUDIO_TOKEN = 1600 * 4 // 3

_as_json = json.JSONEncoder(default=str).encode  # made once: json.dumps would make one for each tool of each call


def tokens_of_text(text: str) -> int:
    """About how many tokens a text is."""
    size = len(text) if text.isascii() else len(text.encode(errors="replace"))  # most are, and need no copy
    return -(-size // BYTES_A_TOKEN)


def tokens_of_messages(
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] = (),
    *,
    count: Callable[[str], int] | None = None,
) -> int:
    """About how many tokens a chat request is, in the OpenAI chat shape, its tools included.

    `count` counts those of a text, in the place of `tokens_of_text` (see `portkey_router.tokenizer`).
    """
    count = count or tokens_of_text
    counted = sum(_tokens_of(message, count) + TOKENS_A_MESSAGE for message in messages)
    return counted + TOKENS_OF_THE_ANSWER + sum(count(_as_json(tool)) for tool in tools)


def _tokens_of(message: Mapping[str, Any], count: Callable[[str], int]) -> int:
    content = message.get("content") or ""
    counted = count(content) if isinstance(content, str) else sum(_tokens_of_part(part, count) for part in content)
    for name in ("name", "tool_call_id"):
        if named := message.get(name):
            counted += count(named)
    calls = message.get("tool_calls")
    return counted + (count(json.dumps(calls, ensure_ascii=False)) if calls else 0)


def _tokens_of_part(part: Mapping[str, Any], count: Callable[[str], int]) -> int:
    if isinstance(text := part.get("text"), str):
        return count(text)
    audio = part.get("input_audio")
    data = audio.get("data") if isinstance(audio, dict) else None
    spoken = len(data) // BASE64_AN_AUDIO_TOKEN if isinstance(data, str) else 0
    return max(TOKENS_AN_ATTACHMENT, spoken)

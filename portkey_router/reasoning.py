"""A model's reasoning: wherever its provider puts it, and whether there will be any."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["thinks_first", "thoughts_of"]


def thoughts_of(said: Mapping[str, Any]) -> str:
    """The reasoning in a message or in a stream's delta, wherever its provider puts it.

    DeepSeek, Groq and others: `reasoning_content` (OpenRouter: `reasoning`). Claude, by Portkey: `content_blocks`.
    """
    for name in ("reasoning_content", "reasoning"):
        if isinstance(text := said.get(name), str) and text:
            return text
    blocks = said.get("content_blocks")
    return "".join(_thinking(block) for block in (blocks if isinstance(blocks, list) else ()))


def _thinking(block: Any) -> str:
    held = block.get("delta", block) if isinstance(block, dict) else {}
    text = held.get("thinking") if isinstance(held, dict) else None
    return text if isinstance(text, str) else ""


_THINKERS = re.compile(
    r"o\d(?!\d)|gpt-5(?!-chat)|gpt-oss|gemini-(?:2\.5|[3-9])|deepseek-(?:reasoner|r\d)|grok-(?:3-mini|[4-9])|qwq|qwen3"
    r"|magistral|sonar-(?:reasoning|deep)|kimi-k\d-thinking|.*(?:thinking|reason)"
)
_ASKED_TO_THINK = ("reasoning_effort", "reasoning", "thinking", "thinking_config")
_NOT_TO = ("none", "minimal", "disabled", False)


@lru_cache(maxsize=512)
def _is_thinker(model: str) -> bool:
    return _THINKERS.match(model.rsplit("/", 1)[-1].lower()) is not None


def thinks_first(model: str | None, body: Mapping[str, Any]) -> bool:
    """Whether a model thinks before its first word, so that it may be silent for long: by its name, or as it is asked.

    A guess that only decides how long a first token is waited for; an unknown model is taken to answer at once.
    """
    for name in _ASKED_TO_THINK:
        asked = body.get(name)
        if asked is not None:
            how = (asked.get("type") or asked.get("effort")) if isinstance(asked, dict) else asked
            return how not in _NOT_TO
    return model is not None and _is_thinker(model)

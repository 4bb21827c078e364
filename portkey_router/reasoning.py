"""A model's reasoning, wherever its provider puts it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["thoughts_of"]


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

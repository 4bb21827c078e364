"""What an answer holds, as LangChain's standard content blocks: OpenAI's translation, and what others say beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages.block_translators import register_translator
from langchain_core.messages.block_translators.openai import translate_content, translate_content_chunk

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from langchain_core.messages import AIMessage, AIMessageChunk
    from langchain_core.messages.content import ContentBlock

__all__ = ["register"]


def register(model_provider: str) -> None:
    """Read this provider's answers as OpenAI's, whoever served them: the gateway has translated them."""
    register_translator(model_provider, _of_message, _of_chunk)


def _of_message(message: AIMessage) -> list[ContentBlock]:
    return _with_the_rest(translate_content(message), message.additional_kwargs)


def _of_chunk(message: AIMessageChunk) -> list[ContentBlock]:
    blocks = _with_the_rest(translate_content_chunk(message), message.additional_kwargs)
    if message.chunk_position == "last":
        return blocks
    # A stream's blocks are added up by index. LangChain numbers text by its place and calls by their own, so that a
    # call would be added to the thoughts or the text before it.
    return [{**block, "index": _place(block)} for block in blocks]  # type: ignore[misc]  # of every kind


def _place(block: ContentBlock) -> str:
    kind = block["type"]
    return f"lc_{kind}_{block.get('index', 0) if kind == 'tool_call_chunk' else 0}"


def _with_the_rest(blocks: list[ContentBlock], extra: Mapping[str, Any]) -> list[ContentBlock]:
    thoughts = extra.get("reasoning_content")
    if thoughts and not any(block["type"] == "reasoning" for block in blocks):
        blocks = [{"type": "reasoning", "reasoning": thoughts}, *blocks]
    return [*blocks, *_images(extra.get("images") or ())]


def _images(parts: Iterable[Any]) -> list[ContentBlock]:
    """Images that a model made, which come as `image_url` parts."""
    made: list[ContentBlock] = []
    for part in parts:
        url = (part.get("image_url") or {}).get("url") if isinstance(part, dict) else None
        if not isinstance(url, str):
            continue
        head, comma, data = url.partition(";base64,")
        if comma and head.startswith("data:"):
            made.append({"type": "image", "base64": data, "mime_type": head.removeprefix("data:")})
        else:
            made.append({"type": "image", "url": url})
    return made

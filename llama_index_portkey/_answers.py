"""What an answer holds, as LlamaIndex's content blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import (
    AudioBlock,
    CitationBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from portkey_router.reasoning import thoughts_of
from portkey_router.wire.replies import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from llama_index.core.base.llms.types import ContentBlock

__all__ = ["blocks_of"]

# What a message of text alone has.
_PLAIN = frozenset({"content", "refusal", "role"})


def blocks_of(message: Mapping[str, Any]) -> list[ContentBlock]:
    """Thoughts, text, sources, tool calls, and images and audio that the model made; never empty."""
    content = message.get("content")
    if isinstance(content, str) and not any(value for name, value in message.items() if name not in _PLAIN):
        return [TextBlock.model_construct(text=content)]
    blocks: list[ContentBlock] = list(_thinking(message))
    text = text_of(content)
    if text:
        blocks.append(TextBlock(text=text))
    blocks += _citations(message.get("annotations"), text)
    blocks += _images([*_list(content), *_list(message.get("images"))])
    audio = message.get("audio")
    if isinstance(audio, dict) and audio.get("data"):
        blocks.append(AudioBlock(audio=str(audio["data"]).encode(), format=audio.get("format")))
        if not text and audio.get("transcript"):
            blocks.append(TextBlock(text=str(audio["transcript"])))
    blocks += [_call(call) for call in message.get("tool_calls") or ()]
    return blocks or [TextBlock(text="")]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _thinking(message: Mapping[str, Any]) -> Iterator[ThinkingBlock]:
    """The thoughts, with what their provider says beside them (Claude: the signature)."""
    thoughts = thoughts_of(message)
    notes = {
        name: value
        for block in _list(message.get("content_blocks"))
        if isinstance(block, dict) and block.get("type") in {"thinking", "redacted_thinking"}
        for name, value in block.items()
        if name in {"signature", "data"}
    }
    if thoughts or notes:
        yield ThinkingBlock(content=thoughts or None, additional_information=notes)


def _citations(annotations: Any, text: str) -> Iterator[CitationBlock]:
    """Pages that a model which searches the web names, with the words of the answer that they bear out."""
    for annotation in _list(annotations):
        cited = annotation.get("url_citation") if isinstance(annotation, dict) else None
        if not isinstance(cited, dict) or not isinstance(cited.get("url"), str):
            continue
        places = {name: cited[name] for name in ("start_index", "end_index") if isinstance(cited.get(name), int)}
        words = text[places.get("start_index", 0) : places.get("end_index", 0)]
        yield CitationBlock(
            cited_content=TextBlock(text=words),
            source=cited["url"],
            title=str(cited.get("title") or cited["url"]),
            additional_location_info=places,
        )


def _images(parts: list[Any]) -> Iterator[ImageBlock]:
    """Images that a model made, which come as `image_url` parts."""
    for part in parts:
        url = (part.get("image_url") or {}).get("url") if isinstance(part, dict) else None
        if not isinstance(url, str):
            continue
        head, comma, data = url.partition(";base64,")
        if comma and head.startswith("data:"):
            yield ImageBlock(image=data.encode(), image_mimetype=head.removeprefix("data:"))
        else:
            yield ImageBlock(url=url)


def _call(call: Mapping[str, Any]) -> ToolCallBlock:
    """The arguments stay the text that came: sent back it is the same, and the provider's prompt cache knows it."""
    function = call.get("function") or {}
    return ToolCallBlock(
        tool_call_id=call.get("id"),
        tool_name=function.get("name") or "",
        tool_kwargs=function.get("arguments") or "{}",
    )

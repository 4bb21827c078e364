"""LlamaIndex's content blocks as the parts of an OpenAI chat message. Files that blocks name by path are read here.

What a chat request has no place for is refused, by name, before anything is sent.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from io import IOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filetype  # type: ignore[import-untyped]  # it has no types
from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from portkey_router.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llama_index.core.base.llms.types import BaseContentBlock

__all__ = ["to_parts"]

Part = dict[str, Any]

# Of an assistant's own earlier answer: its thoughts and its sources, which a chat request has no place for, and its
# calls, which stand beside the content.
_NOT_SENT_BACK = (ThinkingBlock, CitationBlock, ToolCallBlock)
_AUDIO_FORMATS = {"mpeg": "mp3", "mpga": "mp3", "x-wav": "wav", "wave": "wav"}


def to_parts(blocks: Iterable[BaseContentBlock], *, role: str, where: str, cache_points: bool) -> list[Part]:
    """The parts of a message's content. Raises `ConfigurationError` for a block that cannot be sent.

    `where` names the message in the error (`messages[2]`). `cache_points`: whether every model that may answer takes
    them; where not, they are left out.
    """
    parts: list[Part] = []
    for position, block in enumerate(blocks):
        place = f"{where}.blocks[{position}]"
        if isinstance(block, CachePoint):
            if cache_points:
                _mark(parts, block, place)
        elif role != "assistant" or not isinstance(block, _NOT_SENT_BACK):
            parts += _parts(block, place)
    return parts


def _mark(parts: list[Part], point: CachePoint, where: str) -> None:
    """Anthropic's mark, on the part up to which the prompt is cached."""
    if not parts:
        raise ConfigurationError(f"{where}: a CachePoint stands after what is to be cached, in the same message.")
    control = point.cache_control
    ttl = {} if control.ttl == "5m" else {"ttl": control.ttl}  # five minutes are Anthropic's own default
    parts[-1]["cache_control"] = {"type": control.type, **ttl}


def _parts(block: BaseContentBlock, where: str) -> list[Part]:
    match block:
        case TextBlock():
            return [{"type": "text", "text": block.text}]
        case ImageBlock():
            detail = {"detail": block.detail} if block.detail else {}
            url = _url(block.image, block.path, block.url, block.image_mimetype, where)
            return [{"type": "image_url", "image_url": {"url": url, **detail}}]
        case AudioBlock():
            return [_audio(block, where)]
        case VideoBlock():
            url = _url(block.video, block.path, block.url, block.video_mimetype, where)
            return [{"type": "video_url", "video_url": {"url": url}}]
        case DocumentBlock():
            return [_document(block, where)]
        case CitableBlock():
            return [part for nested in block.content for part in _parts(nested, where)]
        case CitationBlock():
            return _parts(block.cited_content, where)
        case ThinkingBlock():
            return []
    raise ConfigurationError(f"{where}: a {type(block).__name__} cannot be sent in a message of this role.")


def _audio(block: AudioBlock, where: str) -> Part:
    data = _base64(block.audio, block.path)
    if data is None:
        raise ConfigurationError(f"{where}: audio is sent as data or by its path; a chat request takes no URL.")
    spelled = (block.format or _guess(data) or "").rsplit("/", 1)[-1]
    if not spelled:
        raise ConfigurationError(f"{where}: say what the audio is: AudioBlock(..., format='wav').")
    return {"type": "input_audio", "input_audio": {"data": data, "format": _AUDIO_FORMATS.get(spelled, spelled)}}


def _document(block: DocumentBlock, where: str) -> Part:
    mime = {"mime_type": block.document_mimetype} if block.document_mimetype else {}
    url = _url(block.data, block.path, block.url, block.document_mimetype, where)
    if not url.startswith("data:"):  # for the providers that fetch files themselves: Anthropic, Google, Bedrock
        return {"type": "file", "file": {"file_url": url, **mime}}
    name = block.title or "document"
    if not Path(name).suffix:
        name += "." + url.partition(";")[0].rsplit("/", 1)[-1]
    return {"type": "file", "file": {"filename": name, "file_data": url}}


def _url(data: bytes | IOBase | None, path: Any, url: Any, mime: str | None, where: str) -> str:
    """Where the data is: the URL given, or the data itself as one."""
    text = _base64(data, path)
    if text is None:
        if not url:
            raise ConfigurationError(f"{where}: this block is empty: give it data, a path or a url.")
        return str(url)
    kind = mime or _guess(text)
    if kind is None:
        raise ConfigurationError(f"{where}: what kind of data this is cannot be told from it: give its mimetype.")
    return f"data:{kind};base64,{text}"


def _base64(data: bytes | IOBase | None, path: Any) -> str | None:
    """The data in base64, which is how LlamaIndex keeps bytes; None where there is neither data nor a path."""
    if isinstance(data, bytes):
        return data.decode()
    if isinstance(data, IOBase):
        data.seek(0)
        return b64encode(data.read()).decode()
    return b64encode(Path(path).read_bytes()).decode() if path else None


def _guess(text: str) -> str | None:
    mime: str | None = filetype.guess_mime(b64decode(text[:16_384]))
    return mime

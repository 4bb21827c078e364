"""LangChain's content blocks, of every version and provider, as the parts of an OpenAI chat message: no I/O.

What a chat request has no place for is refused here, by name, before anything is sent.
"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from portkey_router.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["to_parts", "tool_calls_in"]

Block = dict[str, Any]

# Parts in OpenAI's own shape, and those of providers that take more: they go out as they are.
_AS_THEY_ARE = frozenset({"text", "input_audio", "refusal", "video_url"})
# Blocks of an assistant's own earlier answer: its thoughts, which a chat request has no place for, and its calls,
# which stand beside the content.
_NOT_SENT_BACK = frozenset(
    {
        "reasoning",
        "reasoning_content",
        "thinking",
        "redacted_thinking",
        "non_standard",
        "tool_call",
        "tool_call_chunk",
        "invalid_tool_call",
        "tool_use",
        "function_call",
        "server_tool_call",
        "server_tool_call_chunk",
        "server_tool_result",
    }
)
_TAKEN = "text, image, audio, file, or OpenAI's own parts (image_url, input_audio, file)"
_AUDIO_FORMATS = {"mpeg": "mp3", "mpga": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav"}


def to_parts(content: Sequence[str | Mapping[str, Any]], *, role: str, where: str) -> list[Block]:
    """The parts of a message's content. Raises `ConfigurationError` for a block that cannot be sent.

    `where` names the message in the error (`messages[2]`).
    """
    parts = []
    for position, block in enumerate(content):
        if isinstance(block, str):
            parts.append({"type": "text", "text": block})
        elif role != "assistant" or block.get("type") not in _NOT_SENT_BACK:
            parts.append(_part(dict(block), f"{where}.content[{position}]"))
    return parts


def tool_calls_in(content: Sequence[str | Mapping[str, Any]], known: Sequence[str | None]) -> list[Block]:
    """An assistant's tool calls that only its content has, in OpenAI's shape; `known` are the ids of the others."""
    found = []
    for block in content:
        if isinstance(block, str) or block.get("type") not in {"tool_use", "tool_call", "function_call"}:
            continue
        call_id = block.get("call_id") or block.get("id")
        if call_id in known:
            continue
        arguments = block.get("input", block.get("args", block.get("arguments", {})))
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        found.append({"type": "function", "id": call_id, "function": {"name": block.get("name"), "arguments": text}})
    return found


def _part(block: Block, where: str) -> Block:
    kind = block.get("type")
    if kind in _AS_THEY_ARE and (kind != "text" or isinstance(block.get("text"), str)):
        # LangChain's own notes on a text have no place in a request; Anthropic's cache_control has.
        notes = {"annotations", "extras", "id", "index"} if kind == "text" else {"extras", "index"}
        return {name: value for name, value in block.items() if name not in notes}
    convert = _CONVERSIONS.get(str(kind)) or _untyped(block)
    if convert is None:
        raise ConfigurationError(f"{where}: a block of type {kind!r} cannot be sent; what can is {_TAKEN}.")
    try:
        part = convert(block, where)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(f"{where}: this block of type {kind!r} is not complete: {error!r}.") from error
    if "cache_control" in block:
        part["cache_control"] = block["cache_control"]
    return part


def _untyped(block: Block) -> Callable[[Block, str], Block] | None:
    """Bedrock's blocks have no type: their one key names it."""
    return next((_CONVERSIONS[name] for name in ("image", "json", "guard_content") if name in block), None)


def _image_url(block: Block, _: str) -> Block:
    given = block["image_url"]
    return {"type": "image_url", "image_url": {"url": given} if isinstance(given, str) else dict(given)}


def _image(block: Block, where: str) -> Block:
    """LangChain's, Anthropic's and Bedrock's images."""
    if isinstance(bedrock := block.get("image"), dict):
        url = _data_url(f"image/{bedrock['format']}", bedrock["source"]["bytes"])
    else:
        url = _url_of(block, where)
    detail = block.get("detail") or (block.get("extras") or {}).get("detail")
    return {"type": "image_url", "image_url": {"url": url, **({"detail": detail} if detail else {})}}


def _audio(block: Block, where: str) -> Block:
    data = block.get("base64") or block.get("data")
    if not data:
        raise ConfigurationError(f"{where}: audio is sent as base64 with its mime_type; a chat request takes no URL.")
    spelled = block["mime_type"].split("/")[-1].split(";")[0]
    return {
        "type": "input_audio",
        "input_audio": {"data": data, "format": _AUDIO_FORMATS.get(spelled, spelled)},
    }


def _file(block: Block, where: str) -> Block:
    if isinstance(own := block.get("file"), dict):
        named = {"filename": "file"} if "file_data" in own and "filename" not in own else {}
        return {"type": "file", "file": {**named, **own}}
    if file_id := block.get("file_id") or (block.get("id") if block.get("source_type") == "id" else None):
        return {"type": "file", "file": {"file_id": file_id}}
    source = block.get("source")
    if isinstance(source, dict) and source.get("type") == "text":
        return {"type": "text", "text": source["data"]}
    url = _url_of(block, where)
    mime = block.get("mime_type") or (source or {}).get("media_type")
    if not url.startswith(
        "data:"
    ):  # the gateway hands it to the providers that fetch files: Anthropic, Google, Bedrock
        return {"type": "file", "file": {"file_url": url, **({"mime_type": mime} if mime else {})}}
    notes = {**(block.get("metadata") or {}), **(block.get("extras") or {}), **block}
    name = notes.get("filename") or notes.get("title") or f"file.{str(mime).rsplit('/', 1)[-1]}"  # OpenAI wants a name
    return {"type": "file", "file": {"filename": name, "file_data": url}}


def _url_of(block: Block, where: str) -> str:
    """Where the data is: a URL, or the data itself as one."""
    source = block.get("source")
    if isinstance(source, dict):  # Anthropic's
        return str(source["url"]) if source.get("type") == "url" else _data_url(source["media_type"], source["data"])
    if url := block.get("url"):
        return str(url)
    data = block.get("base64") or block.get("data")
    if not data:
        raise ConfigurationError(f"{where}: give the {block.get('type')} as a url, or as base64 with its mime_type.")
    return _data_url(block["mime_type"], data)


def _data_url(mime: str, data: str | bytes) -> str:
    text = b64encode(data).decode() if isinstance(data, bytes) else data
    return f"data:{mime};base64,{text}"


def _media(block: Block, where: str) -> Block:
    """Google's, which say by the mime type what they are."""
    kind = block["mime_type"].split("/")[0]
    whole = {**block, "url": block.get("file_uri") or block.get("url")}
    if isinstance(block.get("data"), bytes):
        whole["data"] = b64encode(block["data"]).decode()
    return {"image": _image, "audio": _audio}.get(kind, _file)(whole, where)


def _plain_text(block: Block, _: str) -> Block:
    return {"type": "text", "text": block["text"]}


def _json(block: Block, _: str) -> Block:
    return {"type": "text", "text": json.dumps(block["json"], ensure_ascii=False)}


def _guarded(block: Block, _: str) -> Block:
    text = block["guard_content"]["text"]
    return {"type": "text", "text": text["text"] if isinstance(text, dict) else text}


_CONVERSIONS: dict[str, Callable[[Block, str], Block]] = {
    "image_url": _image_url,
    "image": _image,
    "audio": _audio,
    "file": _file,
    "document": _file,
    "media": _media,
    "text-plain": _plain_text,
    "json": _json,
    "guard_content": _guarded,
}

"""LlamaIndex's messages and answers to and from the core's, and nothing else: no I/O of its own, no clock."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    LogProb,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from pydantic import BaseModel

from llama_index_portkey._answers import blocks_of
from llama_index_portkey.content import to_parts
from portkey_router.describe import route_to_dict
from portkey_router.reasoning import thoughts_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llama_index.core.base.llms.types import ContentBlock

    from portkey_router.messages import Choice, Chunk, Completion, ToolCallDelta, Usage

__all__ = ["StreamedAnswer", "calls_of", "to_messages", "to_response"]

_ROLES = {MessageRole.CHATBOT: "assistant", MessageRole.MODEL: "assistant"}


# ---- what is sent ----------------------------------------------------------------------------------------------------


def to_messages(messages: Sequence[ChatMessage], *, cache_points: bool = False) -> list[dict[str, Any]]:
    """LlamaIndex messages in the OpenAI chat shape. Raises `ConfigurationError` for a block that cannot be sent.

    `cache_points`: whether every model that may answer takes `cache_control`.
    """
    return [
        _to_message(message, f"messages[{position}]", cache_points=cache_points)
        for position, message in enumerate(messages)
    ]


def _to_message(message: ChatMessage, where: str, *, cache_points: bool) -> dict[str, Any]:
    role = _ROLES.get(message.role) or message.role.value
    more = message.additional_kwargs
    converted: dict[str, Any] = {"role": role, "content": _content(message, role, where, cache_points=cache_points)}
    calls = calls_of(message) if role == "assistant" else []
    if calls:
        converted["tool_calls"] = calls
        converted["content"] = converted["content"] or None
    for name in ("name", "tool_call_id"):
        if more.get(name) is not None:
            converted[name] = more[name]
    return converted


def _content(message: ChatMessage, role: str, where: str, *, cache_points: bool) -> str | list[dict[str, Any]]:
    blocks = message.blocks
    if len(blocks) == 1 and isinstance(blocks[0], TextBlock):
        return blocks[0].text
    parts = to_parts(blocks, role=role, where=where, cache_points=cache_points)
    if all(part.keys() == {"type", "text"} for part in parts):
        return "\n".join(part["text"] for part in parts)  # as `ChatMessage.content` joins them
    return parts


def calls_of(message: ChatMessage) -> list[dict[str, Any]]:
    """An assistant's tool calls: of its blocks, else of the list that LlamaIndex had before there were such blocks."""
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    if blocks:
        return [_call(block.tool_call_id, block.tool_name, block.tool_kwargs) for block in blocks]
    found = []
    for kept in message.additional_kwargs.get("tool_calls") or ():
        call = kept.model_dump() if isinstance(kept, BaseModel) else kept
        function = call.get("function") or {"name": call.get("name"), "arguments": call.get("input")}
        found.append(_call(call.get("id"), function.get("name"), function.get("arguments")))
    return found


def _call(call_id: str | None, name: str | None, arguments: Any) -> dict[str, Any]:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": text or "{}"}}


# ---- a whole answer --------------------------------------------------------------------------------------------------


def to_response(completion: Completion, *, delta: str | None = None) -> ChatResponse:
    """A whole answer, its first choice; `raw` has all of them, as plain JSON. `delta=""` ends a stream."""
    choice = completion.choices[0]
    return ChatResponse.model_construct(
        message=_answer(choice.message),
        raw=_raw(completion),
        delta=delta,
        logprobs=_logprobs(choice),
        additional_kwargs=_facts(completion),
    )


def _answer(message: Mapping[str, Any]) -> ChatMessage:
    blocks = blocks_of(message)
    more: dict[str, Any] = {}
    if calls := message.get("tool_calls"):
        more["tool_calls"] = [dict(call) for call in calls]  # structured streams look for them here only
    if refusal := message.get("refusal"):
        more["refusal"] = refusal
    return ChatMessage.model_construct(role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs=more)


def _facts(completion: Completion) -> dict[str, Any]:
    """Token counts under LlamaIndex's names, and under `portkey` who answered, after what, and what it cost."""
    usage = completion.usage
    counts = (
        {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.total_tokens,
        }
        if usage
        else {}
    )
    return {
        **counts,
        "finish_reason": completion.finish_reason,
        "model_name": completion.model,
        "portkey": route_to_dict(completion),
    }


def _raw(completion: Completion) -> dict[str, Any]:
    """The reply's body (of a stream, the body it would have had), with the usage in one meaning whoever answered."""
    raw = dict(completion.raw) or {
        "id": completion.id,
        "object": "chat.completion",
        "model": completion.model,
        "choices": [
            {"index": choice.index, "message": dict(choice.message), "finish_reason": choice.finish_reason}
            for choice in completion.choices
        ],
    }
    if completion.usage is not None:
        raw["usage"] = _usage(completion.usage, raw.get("usage") or {})
    return raw


def _usage(usage: Usage, said: Mapping[str, Any]) -> dict[str, Any]:
    """In OpenAI's shape, over what the provider `said`: details only where it stated them."""
    sent = {"cached_tokens": usage.cache_read_tokens, "audio_tokens": usage.audio_input_tokens}
    made = {"reasoning_tokens": usage.reasoning_tokens, "audio_tokens": usage.audio_output_tokens}
    counts = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
    }
    whole = {**said, **_stated(counts)}
    for name, details in (("prompt_tokens_details", sent), ("completion_tokens_details", made)):
        merged = {**(said.get(name) or {}), **_stated(details)}
        if merged:
            whole[name] = merged
    return whole


def _stated(counts: Mapping[str, int | None]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count is not None}


def _logprobs(choice: Choice) -> list[list[LogProb]] | None:
    """For each token of the answer its candidates, or itself where none were asked for."""
    tokens = (choice.logprobs or {}).get("content")
    if not tokens:
        return None
    return [[_logprob(each) for each in token.get("top_logprobs") or [token]] for token in tokens]


def _logprob(said: Mapping[str, Any]) -> LogProb:
    return LogProb(token=said["token"], logprob=said["logprob"], bytes=said.get("bytes") or [])


# ---- a stream --------------------------------------------------------------------------------------------------------


class StreamedAnswer:
    """Turns a stream's pieces into LlamaIndex's, each of which holds the whole answer so far."""

    __slots__ = ("_calls", "_text", "_thoughts")

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._text = ""
        self._thoughts = ""
        self._calls: dict[int, dict[str, Any]] = {}

    def add(self, chunk: Chunk) -> ChatResponse | None:
        """The answer so far; None for a piece that adds nothing to it. Usage and route come with the last.

        Where a broken stream begins anew (`on_stream_break="restart"`), an empty piece says so (`portkey_reset`).
        """
        if chunk.reset:
            self._begin()  # all that was shown is void
            return _void()
        thought = chunk.reasoning or (thoughts_of(chunk.extra) if chunk.extra else "")
        if chunk.index or not (chunk.content or thought or chunk.tool_calls):
            return None
        self._text += chunk.content
        self._thoughts += thought
        for delta in chunk.tool_calls:
            self._grow(delta)
        blocks: list[ContentBlock] = [TextBlock.model_construct(text=self._text)]
        if self._thoughts:
            blocks.insert(0, ThinkingBlock.model_construct(content=self._thoughts))
        more: dict[str, Any] = {}
        if self._calls:
            calls = [{**call, "function": dict(call["function"])} for call in self._calls.values()]
            blocks += [_growing(call) for call in calls]
            more["tool_calls"] = calls  # structured streams look for them here only
        return ChatResponse.model_construct(
            message=ChatMessage.model_construct(role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs=more),
            delta=chunk.content,
            raw=_raw_chunk(chunk, thought),
            additional_kwargs={"thinking_delta": thought} if thought else {},
        )

    def _grow(self, delta: ToolCallDelta) -> None:
        call = self._calls.setdefault(
            delta.index, {"id": None, "type": "function", "function": {"name": "", "arguments": ""}}
        )
        call["id"] = delta.id or call["id"]
        call["function"]["name"] = delta.name or call["function"]["name"]
        call["function"]["arguments"] += delta.arguments


def _void() -> ChatResponse:
    message = ChatMessage(role=MessageRole.ASSISTANT, content="")
    return ChatResponse(message=message, delta="", additional_kwargs={"portkey_reset": True})


def _growing(call: Mapping[str, Any]) -> ToolCallBlock:
    function = call["function"]
    return ToolCallBlock.model_construct(
        tool_call_id=call["id"], tool_name=function["name"], tool_kwargs=function["arguments"]
    )


def _raw_chunk(chunk: Chunk, thought: str) -> dict[str, Any]:
    """The piece in OpenAI's shape, as plain JSON."""
    delta: dict[str, Any] = {"content": chunk.content}
    if thought:
        delta["reasoning_content"] = thought
    if chunk.tool_calls:
        delta["tool_calls"] = [
            {"index": call.index, "id": call.id, "function": {"name": call.name, "arguments": call.arguments}}
            for call in chunk.tool_calls
        ]
    choice = {"index": 0, "delta": delta, "finish_reason": chunk.finish_reason}
    return {"id": chunk.id, "object": "chat.completion.chunk", "model": chunk.model, "choices": [choice]}

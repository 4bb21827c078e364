"""LangChain's messages to and from the core's, and nothing else: no I/O, no clock."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.messages.utils import convert_to_openai_messages
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from langchain_portkey_router._content import to_parts, tool_calls_in
from langchain_portkey_router._restart import reset_chunk
from portkey_router.describe import route_to_dict
from portkey_router.reasoning import thoughts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from langchain_core.messages import BaseMessage

    from portkey_router.messages import Choice, Chunk, Completion, Usage

__all__ = ["MODEL_PROVIDER", "to_chunk", "to_last_chunk", "to_messages", "to_result", "to_usage"]

MODEL_PROVIDER = "portkey"
# The key under which LangChain's tracers look for who really served a call behind a gateway.
GATEWAY_METADATA = "lc_gateway_metadata"


def to_messages(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """LangChain messages in the OpenAI chat shape, content blocks of every LangChain version included.

    Raises `ConfigurationError` for a block that cannot be sent.
    """
    if all(isinstance(message.content, str) for message in messages):
        return convert_to_openai_messages(messages)
    return [
        converted
        for position, message in enumerate(messages)
        for converted in _message_with_parts(message, f"messages[{position}]")
    ]


def _message_with_parts(message: BaseMessage, where: str) -> list[dict[str, Any]]:
    content = message.content
    if isinstance(content, str) or _holds_tool_results(content):
        return convert_to_openai_messages([message])  # tool results among a user's blocks are messages of their own
    [converted] = convert_to_openai_messages([message.model_copy(update={"content": ""})])
    parts = to_parts(content, role=converted["role"], where=where)
    if isinstance(message, AIMessage):
        calls = tool_calls_in(content, [call["id"] for call in message.tool_calls])
        if calls:
            converted["tool_calls"] = [*converted.get("tool_calls", ()), *calls]
    converted["content"] = parts or (None if converted.get("tool_calls") else "")
    return [converted]


def _holds_tool_results(content: Sequence[str | Mapping[str, Any]]) -> bool:
    return any(not isinstance(block, str) and block.get("type") == "tool_result" for block in content)


def to_usage(usage: Usage | None) -> UsageMetadata | None:
    """Token counts as LangChain keeps them; details only where the provider stated them. Never a float in here."""
    if usage is None:
        return None
    sent = {
        "cache_read": usage.cache_read_tokens,
        "cache_creation": usage.cache_write_tokens,
        "audio": usage.audio_input_tokens,
    }
    made = {"reasoning": usage.reasoning_tokens, "audio": usage.audio_output_tokens}
    metadata = UsageMetadata(
        input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, total_tokens=usage.total_tokens
    )
    if any(value is not None for value in sent.values()):
        metadata["input_token_details"] = InputTokenDetails(**_stated(sent))  # type: ignore[typeddict-item]
    if any(value is not None for value in made.values()):
        metadata["output_token_details"] = OutputTokenDetails(**_stated(made))  # type: ignore[typeddict-item]
    return metadata


def _stated(details: dict[str, int | None]) -> dict[str, int]:
    return {name: value for name, value in details.items() if value is not None}


def to_result(completion: Completion) -> ChatResult:
    """A whole answer; each of its choices is a generation. The usage, being the call's, is on the first alone."""
    generations = [
        ChatGeneration(
            message=_to_message(choice, completion, usage=completion.usage if position == 0 else None),
            generation_info={**_generation_info(choice.finish_reason, choice.logprobs), **_served_by(completion)},
        )
        for position, choice in enumerate(completion.choices)
    ]
    return ChatResult(generations=generations, llm_output=_response_metadata(completion))


def _to_message(choice: Choice, completion: Completion, *, usage: Usage | None) -> AIMessage:
    message = choice.message
    calls, invalid = _to_tool_calls(message.get("tool_calls") or ())
    return AIMessage(
        content=message.get("content") or "",
        tool_calls=calls,
        invalid_tool_calls=invalid,
        additional_kwargs=_additional(message),
        usage_metadata=to_usage(usage),
        response_metadata={
            **_response_metadata(completion),
            **_generation_info(choice.finish_reason, choice.logprobs),
        },
        name=message.get("name"),
    )


def _to_tool_calls(calls: Iterable[Mapping[str, Any]]) -> tuple[list[Any], list[Any]]:
    """Tool calls whose arguments are a JSON object, and those whose are not, which LangChain keeps apart."""
    good, bad = [], []
    for call in calls:
        function = call["function"]
        try:
            arguments = json.loads(function.get("arguments") or "{}", strict=False)
        except ValueError as error:
            arguments = error
        if isinstance(arguments, dict):
            good.append(tool_call(name=function["name"], args=arguments, id=call.get("id")))
        else:
            why = f"the arguments are no JSON object: {arguments}" if isinstance(arguments, ValueError) else None
            name, raw = function.get("name"), function.get("arguments")
            bad.append(invalid_tool_call(name=name, args=raw, id=call.get("id"), error=why or "not a JSON object"))
    return good, bad


def _additional(message: Mapping[str, Any]) -> dict[str, Any]:
    """What an answer may hold beside its content and its tool calls."""
    names = ("refusal", "audio", "annotations", "content_blocks", "images")
    thoughts = thoughts_of(message)
    said = {"reasoning_content": thoughts} if thoughts else {}
    return {**said, **{name: message[name] for name in names if message.get(name)}}


def _generation_info(finish_reason: str | None, logprobs: Mapping[str, Any] | None) -> dict[str, Any]:
    info: dict[str, Any] = {"finish_reason": finish_reason}
    return {**info, "logprobs": dict(logprobs)} if logprobs else info


def _served_by(completion: Completion) -> dict[str, Any]:
    """For tracers, which put it in place of what was asked for; LangChain keeps it out of the message."""
    served = {"provider": completion.route.provider, "model": completion.model}
    return {GATEWAY_METADATA: {name: value for name, value in served.items() if value}}


def _response_metadata(completion: Completion) -> dict[str, Any]:
    """Who answered: `model_name` as served, and under `portkey` the route there. Plain JSON, without keys."""
    metadata: dict[str, Any] = {
        "model_name": completion.model,
        "model_provider": MODEL_PROVIDER,
        "portkey": route_to_dict(completion),
    }
    fingerprint = completion.raw.get("system_fingerprint")
    if fingerprint:
        metadata["system_fingerprint"] = fingerprint
    if completion.id:
        metadata["id"] = completion.id
    return metadata


def to_chunk(chunk: Chunk) -> ChatGenerationChunk:
    """One piece of a stream. Usage, finish reason and route are left to the last chunk, which states them once."""
    if chunk.reset:
        return reset_chunk()
    extra: dict[str, Any] = {}
    beside = chunk.extra or {}
    if thoughts := chunk.reasoning or thoughts_of(beside):
        extra["reasoning_content"] = thoughts
    if images := beside.get("images"):
        extra["images"] = images
    if chunk.refusal:
        extra["refusal"] = chunk.refusal
    message = AIMessageChunk(
        content=chunk.content,
        additional_kwargs=extra,
        tool_call_chunks=[
            tool_call_chunk(name=call.name, args=call.arguments, id=call.id, index=call.index)
            for call in chunk.tool_calls
        ],
        response_metadata={"model_provider": MODEL_PROVIDER},
    )
    info = {"logprobs": dict(chunk.logprobs)} if chunk.logprobs else None
    return ChatGenerationChunk(message=message, generation_info=info)


def to_last_chunk(completion: Completion) -> ChatGenerationChunk:
    """The end of a stream: nothing to read, everything to know."""
    info: dict[str, Any] = {"finish_reason": completion.finish_reason}
    message = AIMessageChunk(
        content="",
        usage_metadata=to_usage(completion.usage),
        response_metadata={**_response_metadata(completion), **info},
        chunk_position="last",
    )
    return ChatGenerationChunk(message=message, generation_info={**info, **_served_by(completion)})

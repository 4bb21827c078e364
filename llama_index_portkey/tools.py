"""Tools there and back: as a request has them, and the calls in an answer as LlamaIndex runs them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.llms.utils import parse_partial_json

from llama_index_portkey._convert import calls_of
from llama_index_portkey.errors import StructuredOutputError
from portkey_router.wire.json_schema import strict_schema, tool_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llama_index.core.base.llms.types import ChatResponse
    from llama_index.core.tools.types import BaseTool

__all__ = ["selections", "single_call", "to_tools", "tool_of"]


def to_tools(tools: Sequence[BaseTool], *, strict: bool) -> list[dict[str, Any]]:
    """LlamaIndex's tools as a request has them."""
    specs = [tool.metadata.to_openai_tool(skip_length_check=True) for tool in tools]
    return [{**spec, "function": _strictly(spec["function"])} for spec in specs] if strict else specs


def tool_of(schema: Mapping[str, Any], name: str, *, strict: bool) -> dict[str, Any]:
    """A tool whose arguments are an object of this schema."""
    said = str(schema.get("description") or "The answer, in this shape.")
    parameters = {key: value for key, value in schema.items() if key != "description"}
    function = {"name": tool_name(str(schema.get("title") or name)), "description": said, "parameters": parameters}
    return {"type": "function", "function": _strictly(function) if strict else function}


def _strictly(function: Mapping[str, Any]) -> dict[str, Any]:
    """OpenAI's strict mode, where the parameters have a strict form."""
    parameters = strict_schema(function.get("parameters") or {})
    return dict(function) if parameters is None else {**function, "parameters": parameters, "strict": True}


def single_call(response: ChatResponse) -> ChatResponse:
    """The answer with the first of its tool calls alone."""
    message = response.message
    calls = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    if len(calls) > 1:
        message.blocks = [block for block in message.blocks if block not in calls[1:]]
        message.additional_kwargs["tool_calls"] = message.additional_kwargs.get("tool_calls", [])[:1]
    return response


def selections(response: ChatResponse) -> list[ToolSelection]:
    """The tool calls of an answer, or as far as they have come. Raises `StructuredOutputError`, see `_arguments`."""
    ended = response.additional_kwargs.get("finish_reason")
    return [
        ToolSelection(
            tool_id=call["id"] or "",
            tool_name=call["function"]["name"] or "",
            tool_kwargs=_arguments(call["function"]["arguments"], call["function"]["name"], ended),
        )
        for call in calls_of(response.message)
    ]


def _arguments(text: str, name: str, ended: str | None) -> Any:
    """Arguments as an object. Unfinished ones are closed where the stream goes on, and an error where it has ended."""
    try:
        if ended is None:
            return parse_partial_json(text)
        arguments = json.loads(text, strict=False)
    except ValueError:
        if ended is None:
            return {}
        arguments = None
    if not isinstance(arguments, dict):
        raise StructuredOutputError(
            f"The arguments of {name} are no JSON object, and the answer has ended (finish_reason {ended!r}): "
            "allow it more tokens, or ask again."
        )
    return arguments

"""Messages in a form that is equal where the conversations are, from OpenAI's shape and from LangChain's JSON dump.

A turn is `{"role", "content", ...}`; its content is a list of texts (`str`) and of other parts (`dict`). Ids, usage and
response metadata are gone; a tool's result names its call by position, arguments are parsed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Turn", "turns_of_dump", "turns_of_messages"]

Turn = dict[str, Any]

_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant", "HumanMessageChunk": "user"}
# Of a message: said elsewhere in a turn, or different each time the same conversation is had.
_NOT_SAID = frozenset(
    {
        "additional_kwargs",
        "artifact",
        "chunk_position",
        "content",
        "example",
        "id",
        "invalid_tool_calls",
        "reasoning_content",
        "response_metadata",
        "role",
        "tool_call_chunks",
        "tool_call_id",
        "tool_calls",
        "type",
        "usage_metadata",
    }
)
_THOUGHTS = frozenset({"reasoning", "reasoning_content", "redacted_thinking", "thinking"})
_CALLS = frozenset({"function_call", "tool_call", "tool_call_chunk", "tool_use"})
_LANGCHAINS_ID = "lc_"  # of the ids that it gives to blocks
_ANSWERED = ("call_id", "tool_use_id")
_IDS = frozenset({"cache_control", "id", "index", "signature", *_ANSWERED})


def turns_of_messages(messages: Iterable[Mapping[str, Any]]) -> list[Turn]:
    """The turns of a conversation in OpenAI's shape."""
    known: dict[str, int] = {}
    return [_turn(message, known) for message in messages]


def turns_of_dump(prompt: str) -> list[Turn] | None:
    """The turns of LangChain's dump of a list of messages; None for any other text: a plain prompt."""
    if not prompt.startswith("[{"):
        return None
    try:
        dumped = json.loads(prompt)
    except (ValueError, RecursionError):
        return None
    if not all(_is_message(each) for each in dumped):
        return None
    return turns_of_messages(_as_openai(each) for each in dumped)


def _is_message(dumped: Any) -> bool:
    return (
        isinstance(dumped, dict)
        and dumped.get("lc") == 1
        and isinstance(dumped.get("kwargs"), dict)
        and "content" in dumped["kwargs"]
    )


def _as_openai(dumped: Mapping[str, Any]) -> Mapping[str, Any]:
    """A dumped message's fields under OpenAI's names; those of `additional_kwargs` beside them."""
    said = _unescape(dumped["kwargs"])
    kind = str(said.get("type") or "")
    more = said.get("additional_kwargs") or {}
    role = more.get("__openai_role__") or said.get("role") or _ROLES.get(kind, kind.removesuffix("MessageChunk"))
    rest = {name: value for name, value in more.items() if name != "__openai_role__"}
    if said.get("status") == "success":
        said = {name: value for name, value in said.items() if name != "status"}
    return {**rest, **said, "role": role.lower()}


def _unescape(value: Any) -> Any:
    """LangChain wraps what might look like its own constructors."""
    if isinstance(value, dict):
        if value.keys() == {"__lc_escaped__"}:
            return value["__lc_escaped__"]
        return {name: _unescape(part) for name, part in value.items()}
    return [_unescape(part) for part in value] if isinstance(value, list) else value


def _turn(message: Mapping[str, Any], known: dict[str, int]) -> Turn:
    calls = [*(message.get("tool_calls") or ()), *(message.get("invalid_tool_calls") or ())]
    role = message.get("role")
    turn: Turn = {"role": role, "content": _content(message.get("content"), known, role=role, called=bool(calls))}
    for name, value in message.items():
        if value and name not in _NOT_SAID:
            turn[name] = value
    if calls:
        turn["calls"] = [_call(call, known) for call in calls]
    if answered := message.get("tool_call_id"):
        turn["answers"] = known.get(answered, -1)
    return turn


def _content(content: Any, known: Mapping[str, int], *, role: Any, called: bool) -> list[str | dict[str, Any]]:
    if content is None or isinstance(content, str):
        return [content] if content else []
    left_out = (_THOUGHTS | _CALLS if called else _THOUGHTS) if role == "assistant" else frozenset()
    parts: list[str | dict[str, Any]] = []
    for part in content:
        if isinstance(part, str):
            parts.append(part)
        elif part.get("type") in {"text", "input_text"} and isinstance(part.get("text"), str):
            parts.append(part["text"])
        elif part.get("type") not in left_out:
            parts.append(_part(part, known, role=role))
    return parts


def _part(part: Mapping[str, Any], known: Mapping[str, int], *, role: Any) -> dict[str, Any]:
    """What is no text. An id takes part where it names a file, and a call that is answered by its position."""
    told = {name: value for name, value in part.items() if name not in _IDS}
    named = str(part.get("id") or "")
    if named and (part.get("source_type") == "id" or (role != "assistant" and not named.startswith(_LANGCHAINS_ID))):
        told["id"] = named
    answered = [known.get(str(part[name]), -1) for name in _ANSWERED if name in part]
    return {**told, "answers": answered} if answered else told


def _call(call: Mapping[str, Any], known: dict[str, int]) -> list[Any]:
    """The function's name and its arguments; the call's id is remembered by its position in the conversation."""
    known[str(call.get("id"))] = len(known)
    function = call.get("function") or call
    arguments = function.get("arguments", function.get("args"))
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}", strict=False)
        except (ValueError, RecursionError):
            return [function.get("name"), arguments]
    return [function.get("name"), arguments or {}]

"""Which of its tools a request calls, and with what arguments."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from portkey_router.sandbox.schema_fill import fill

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["chosen_tools"]

PART_OF_NAME = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
# Verbs that begin a tool's name and need not occur in a question: `get_weather` answers "What is the weather?".
VERBS = frozenset(
    """
    call compute create do fetch find get list load look make query read run search set show use
    """.split()  # noqa: SIM905  (words read better as a text than as a list of seventy lines)
)


def chosen_tools(body: Mapping[str, Any], text: str) -> list[tuple[str, Any]]:
    """The calls to make, as (name, arguments); none means a text answer.

    `tool_choice` decides: "none", a named tool, "required", or "auto" (the default). Left to choose, the tools whose
    names occur in the text are called, in that order; with `parallel_tool_calls: false` only the first. After a tool
    result nothing more is called, unless `tool_choice` is "required" and a tool has not been called yet.
    """
    tools = {
        tool["function"]["name"]: tool["function"].get("parameters") or {}
        for tool in body.get("tools") or []
        if isinstance(tool, dict) and isinstance(tool.get("function"), dict)
    }
    choice = body.get("tool_choice") or "auto"
    if not tools or choice == "none":
        return []
    if isinstance(choice, dict):
        name = str(choice.get("function", {}).get("name") or choice.get("name"))
        return [(name, _arguments(tools, name, text))] if name in tools else []
    after_result = body["messages"][-1].get("role") in {"tool", "function"}
    mentioned = _mentioned(tools, text)
    if after_result:
        called = _called(body["messages"])
        fresh = [name for name in tools if name not in called]
        names = fresh[:1] if choice in {"required", "any"} else []
    elif choice in {"required", "any"}:
        names = mentioned or list(tools)[:1]
    else:
        names = mentioned
    if body.get("parallel_tool_calls") is False:
        names = names[:1]
    return [(name, _arguments(tools, name, text)) for name in names]


def _called(messages: Sequence[Mapping[str, Any]]) -> set[str]:
    """The tools that were called since the last user message."""
    names: set[str] = set()
    for message in reversed(messages):
        if message.get("role") == "user":
            break
        names |= {call["function"]["name"] for call in message.get("tool_calls") or []}
    return names


def _place(name: str, text: str) -> int:
    """Where a name occurs in the text; -1 where it does not."""
    match = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE)
    return match.start() if match else -1


def _mentioned(tools: Mapping[str, Any], text: str) -> list[str]:
    """The tools named in the text, in its order; where none is, the tools all of whose words are in it."""
    places = {name: _place(name, text) for name in tools}
    if named := sorted((place, name) for name, place in places.items() if place >= 0):
        return [name for _, name in named]
    found: list[tuple[int, str]] = []
    for name in tools:
        words = [word for word in PART_OF_NAME.findall(name) if word.lower() not in VERBS]
        at = [_place(word, text) for word in words]
        if at and min(at) >= 0:
            found.append((min(at), name))
    return [name for _, name in sorted(found)]


def _arguments(tools: Mapping[str, Any], name: str, text: str) -> Any:
    """The arguments, out of what the text says after the tool's name and before the next one's."""
    places = sorted((place, other) for other in tools if (place := _place(other, text)) >= 0)
    start = next((place + len(name) for place, other in places if other == name), 0)
    end = next((place for place, _ in places if place >= start and start), len(text))
    said = text[start:end]
    # "Use the tool of that name." says nothing about its arguments: then the whole text does, less the names.
    if not re.search(r"\d|[\"'“„«「`=:]", said):
        for _, other in sorted(places, key=lambda found: -len(found[1])):
            text = re.sub(rf"(?<!\w){re.escape(other)}(?!\w)", " ", text, flags=re.IGNORECASE)
        said = text
    return fill(tools[name], said)

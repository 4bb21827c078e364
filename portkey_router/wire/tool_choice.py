"""Which tool a model must call: the frameworks' spellings, as OpenAI's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["as_tool_choice"]


def as_tool_choice(
    choice: Mapping[str, Any] | str | bool | None,  # noqa: FBT001  (one of LangChain's spellings)
    tools: Sequence[Mapping[str, Any]],
) -> dict[str, Any] | str | None:
    """`"any"`, `"required"` or True demand a tool, a tool's name that one; `"auto"`, `"none"` and dicts stay.

    `tools` are those of the request, in OpenAI's shape. Raises `ValueError` for a name that is none of theirs.
    """
    if choice in ("any", "required") or choice is True:
        return "required"
    if not choice:
        return None
    if not isinstance(choice, str):
        return dict(choice)
    names = [tool.get("function", {}).get("name") for tool in tools]
    if choice in {"auto", "none"}:
        return choice
    if choice not in names:
        raise ValueError(f"tool_choice names {choice!r}, which is none of the tools: {names}.")
    return {"type": "function", "function": {"name": choice}}

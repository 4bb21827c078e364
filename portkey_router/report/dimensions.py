"""What calls are summed by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from portkey_router.events import CallFinished

__all__ = ["OF_A_CALL", "values_of"]

OF_A_CALL: Mapping[str, Callable[[CallFinished], Any]] = {
    "model": lambda call: call.model or call.requested_model,
    "requested_model": lambda call: call.requested_model,
    "provider": lambda call: call.provider,
    "target": lambda call: call.target,
    "operation": lambda call: call.operation,
    "outcome": lambda call: call.outcome,
    "cache": lambda call: call.cache,
}
"""What a call itself knows, before its tags."""

# Other names that the same tag goes by, in LangSmith, LangGraph and Langfuse.
_ALSO = {
    "user": ("user_id", "langfuse_user_id"),
    "session": ("session_id", "thread_id", "conversation_id", "langfuse_session_id"),
}
_TAG = "tag:"


def values_of(call: CallFinished, name: str) -> list[Hashable]:
    """The values of a dimension that a call has; None where it has none. `tag:NAME` is a tag, whatever its name."""
    if name in OF_A_CALL:
        return [OF_A_CALL[name](call)]
    tags = call.tags
    if name == "tag":
        return list(dict.fromkeys(_hashable(tag) for tag in tags.get("tags") or ())) or [None]
    name = name.removeprefix(_TAG)
    for spelling in (name, *_ALSO.get(name, ())):
        if tags.get(spelling) is not None:
            return [_hashable(tags[spelling])]
    return [None]


def _hashable(value: Any) -> Hashable:
    try:
        hash(value)
    except TypeError:
        return str(value)
    return value if isinstance(value, str | int | float | bool | tuple | frozenset) else str(value)

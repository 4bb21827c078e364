"""The run of LangChain that a call belongs to: what it says of the call, and who wants to hear of it.

LangChain tells `_generate` its run, and `_stream` not. So a handler of ours notes the run as it starts, in the context
in which `_stream` begins directly after.
"""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables.config import ensure_config, merge_configs

from portkey_router.events import plain_tags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from uuid import UUID

    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import RunnableConfig

    from portkey_router.events import Event

    Listener = Callable[[Event], object]
    RunManager = CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun

__all__ = ["call_of_run", "note_run", "noted_run", "tags_of_run", "with_noted_run"]

# What LangChain and LangGraph put there themselves, but for what says which part of an app is calling.
_THEIRS = ("__", "checkpoint_", "langgraph_", "langsmith", "lc_", "ls_")
_KEPT = frozenset({"langgraph_node", "lc_agent_name"})
_TAGS_OF_THEIRS = ("graph:step:", "langsmith:", "map:key:", "seq:step:")


def tags_of_run(
    metadata: Mapping[str, Any] | None, tags: Sequence[str] | None, run_id: UUID | None = None
) -> dict[str, Any]:
    """The tags of a run: its metadata's plain values by name, its tags as `tags`, LangChain's id of it as `run_id`.

    Names that LangChain owns are left out, and so are names of secrets: events go to logs.
    """
    given = metadata or {}
    found = plain_tags({name: given[name] for name in given if name in _KEPT or not name.startswith(_THEIRS)})
    own = tuple(tag for tag in tags or () if not tag.startswith(_TAGS_OF_THEIRS))
    if own:
        found["tags"] = own
    if run_id is not None:
        found["run_id"] = str(run_id)
    return found


@dataclass(frozen=True, slots=True)
class _Noted:
    """A run that has just started: its tags, who wants the events of its call, and by whom LangChain told of it."""

    run_id: UUID
    tags: Mapping[str, Any]
    listeners: tuple[Listener, ...] = ()
    told_by: RunManager | None = None


_noted: ContextVar[_Noted | None] = ContextVar("portkey_noted_run", default=None)


def note_run(run_id: UUID, tags: Mapping[str, Any], listener: Listener | None = None) -> None:
    """Note that a run starts here; said again, that somebody else wants the events of its call."""
    noted = _noted.get()
    if noted is None or noted.run_id != run_id:
        noted = _Noted(run_id, tags)
    if listener is not None and listener not in noted.listeners:
        noted = replace(noted, listeners=(*noted.listeners, listener))
    _noted.set(noted)


@contextlib.contextmanager
def noted_run(run_manager: RunManager | None) -> Iterator[None]:
    """For as long as the block runs, the run is noted."""
    token = _noted.set(None if run_manager is None else _told(run_manager))
    try:
        yield
    finally:
        _noted.reset(token)


def _told(run_manager: RunManager) -> _Noted:
    """A run of which LangChain tells."""
    tags = tags_of_run(run_manager.metadata, run_manager.tags, run_manager.run_id)
    asked = (getattr(handler, "portkey_listeners", None) for handler in run_manager.handlers)
    found = [listener for ask in asked if ask is not None for listener in ask(run_manager.run_id)]
    return _Noted(run_manager.run_id, tags, tuple(dict.fromkeys(found)), run_manager)


def call_of_run(given: Mapping[str, Any], run_manager: RunManager | None) -> dict[str, Any]:
    """A call's own arguments, with the tags and listeners of its run: the one told, or else the one noted."""
    run = _noted.get()
    if run_manager is not None and (run is None or run.told_by is not run_manager):
        run = _told(run_manager)
    _noted.set(None)
    if run is None:
        return {**given}
    call = {**given, "portkey_tags": {**run.tags, **(given.get("portkey_tags") or {})}}
    own = given.get("on_event")
    listeners = run.listeners if own is None else (*run.listeners, own)
    if listeners:
        call["on_event"] = listeners[0] if len(listeners) == 1 else _telling(listeners)
    return call


def _telling(listeners: Sequence[Listener]) -> Listener:
    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return tell


class _Notes(BaseCallbackHandler):
    """Notes the runs of chat models."""

    run_inline = True  # in the context of the run, in async code too
    ignore_llm = ignore_chain = ignore_agent = ignore_retriever = ignore_retry = ignore_custom_event = True
    ignore_chat_model = False

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],  # noqa: ARG002  (the hook's signature)
        messages: list[list[BaseMessage]],  # noqa: ARG002  (the hook's signature)
        *,
        run_id: UUID,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Note it."""
        note_run(run_id, tags_of_run(metadata, tags, run_id))


_NOTES = _Notes()


def with_noted_run(config: RunnableConfig | None) -> RunnableConfig:
    """The config of a call whose run is to be noted."""
    return merge_configs(ensure_config(config), {"callbacks": [_NOTES]})

"""The marker of a restarted stream (`on_stream_break="restart"`), and sums of chunks that heed it.

The marker is an empty chunk with `additional_kwargs["portkey_reset"]`: whoever has shown chunks before it takes them
back, since a whole new answer follows. Added up, chunks forget what came before the marker: by `+`, and where
LangChain adds them for callbacks, traces and `invoke`.
"""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessageChunk, BaseMessageChunk
from langchain_core.outputs import ChatGenerationChunk

__all__ = ["RESET", "RestartableChunk", "reset_chunk"]

RESET = "portkey_reset"


class ResetMessageChunk(AIMessageChunk):
    """The marker: what is added before it is gone."""

    def __radd__(self, before: Any) -> ResetMessageChunk:
        return self

    def __add__(self, other: Any) -> BaseMessageChunk:  # type: ignore[override]  # as its base: a chunk or a list of them
        """The new answer so far; no marker any more."""
        empty: BaseMessageChunk = AIMessageChunk(content="", response_metadata=self.response_metadata, id=self.id)
        total: BaseMessageChunk = empty + other
        return total


class RestartableChunk(ChatGenerationChunk):
    """A chunk of a stream that may restart: added to others, those before the last marker are left out."""

    @classmethod
    def lc_id(cls) -> list[str]:
        """As written down it is a chunk like others."""
        return [*super().lc_id()[:-1], ChatGenerationChunk.__name__]

    def __add__(self, other: ChatGenerationChunk | list[ChatGenerationChunk]) -> ChatGenerationChunk:
        """The sum from the last marker on."""
        chunks: list[ChatGenerationChunk] = [self, *(other if isinstance(other, list) else [other])]
        last = max((i for i, chunk in enumerate(chunks) if RESET in chunk.message.additional_kwargs), default=None)
        if last is None:
            return super().__add__(other)
        rest = chunks[last:]
        first = ChatGenerationChunk(message=AIMessageChunk(content="", id=rest[0].message.id))
        return first + rest[1:] if rest[1:] else rest[0]


def reset_chunk() -> ChatGenerationChunk:
    """The marker."""
    return ChatGenerationChunk(message=ResetMessageChunk(content="", additional_kwargs={RESET: True}))

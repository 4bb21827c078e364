"""One question by any of LlamaIndex's eight verbs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llama_index_portkey import PortkeyLLM

CHAT = ("chat", "achat", "stream_chat", "astream_chat")
COMPLETION = ("complete", "acomplete", "stream_complete", "astream_complete")


def ask(llm: PortkeyLLM, verb: str, question: str | Sequence[ChatMessage], **options: Any) -> Any:
    """The answer; of a stream its last piece, whose deltas were checked to add up to it."""
    given = question if verb in COMPLETION or not isinstance(question, str) else [ChatMessage(question)]
    called = getattr(llm, verb)
    if verb in {"chat", "complete"}:
        return called(given, **options)
    if verb in {"achat", "acomplete"}:
        return asyncio.run(called(given, **options))
    if verb in {"stream_chat", "stream_complete"}:
        return last_of(list(called(given, **options)))
    return last_of(asyncio.run(_collect(called, given, options)))


async def _collect(called: Any, given: Any, options: dict[str, Any]) -> list[Any]:
    return [piece async for piece in await called(given, **options)]


def last_of(pieces: Sequence[ChatResponse] | Sequence[CompletionResponse]) -> Any:
    """The last piece, checked to be what the deltas add up to."""
    assert pieces
    assert "".join(piece.delta or "" for piece in pieces) == text_of(pieces[-1])
    return pieces[-1]


def text_of(response: ChatResponse | CompletionResponse) -> str:
    """The text of an answer of either kind."""
    return response.text if isinstance(response, CompletionResponse) else response.message.content or ""


def attempts(response: Any) -> list[tuple[str, str]]:
    """Target and outcome of every attempt."""
    return [(each["target"], each["outcome"]) for each in response.additional_kwargs["portkey"]["attempts"]]

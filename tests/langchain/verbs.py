"""One question by any of LangChain's four verbs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, AIMessageChunk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.runnables import Runnable

VERBS = ("invoke", "ainvoke", "stream", "astream")


def ask(llm: Runnable[Any, AIMessage], verb: str, question: Any) -> AIMessage:
    """One answer by any of the four verbs, chunks summed."""
    if verb == "invoke":
        return llm.invoke(question)
    if verb == "ainvoke":
        return asyncio.run(llm.ainvoke(question))
    if verb == "stream":
        return total(list(llm.stream(question)))
    return total(asyncio.run(acollect(llm, question)))


async def acollect(llm: Runnable[Any, AIMessage], question: Any) -> list[AIMessage]:
    """Every chunk of an async stream."""
    return [chunk async for chunk in llm.astream(question)]


def total(chunks: Sequence[AIMessage]) -> AIMessageChunk:
    """The sum of a stream's chunks."""
    whole: AIMessageChunk | None = None
    for chunk in chunks:
        assert isinstance(chunk, AIMessageChunk)
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    return whole

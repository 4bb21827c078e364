"""The chunks of an answer as they come: what the streaming verbs give."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Self

from portkey_router.messages import Chunk, Completion

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

__all__ = ["AsyncCompletionStream", "CompletionStream"]


class CompletionStream(Iterator[Chunk]):
    """The chunks of an answer as they come. `completion` is the whole answer, once they have all come.

    Leaving it early (`close`, the end of a `with`) closes the connection.
    """

    def __init__(self, items: Generator[Chunk | Completion, None, None]) -> None:
        self._items = items
        self.completion: Completion | None = None

    def __next__(self) -> Chunk:
        for item in self._items:
            if isinstance(item, Chunk):
                return item
            self.completion = item
        raise StopIteration

    def close(self) -> None:
        """Stop here: the connection is closed, nothing more is read."""
        self._items.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncCompletionStream(AsyncIterator[Chunk]):
    """The chunks of an answer as they come. `completion` is the whole answer, once they have all come.

    Leaving it early (`aclose`, the end of an `async with`) closes the connection.
    """

    def __init__(self, items: AsyncGenerator[Chunk | Completion, None]) -> None:
        self._items = items
        self.completion: Completion | None = None

    async def __anext__(self) -> Chunk:
        async for item in self._items:
            if isinstance(item, Chunk):
                return item
            self.completion = item
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop here: the connection is closed, nothing more is read."""
        await self._items.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

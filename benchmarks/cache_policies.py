"""Who decides whether a stored answer is served: ours, plain cosine, and langchain-redis.

Each is asked by its two verbs, with LangChain messages; an answer is the number under which it was stored.
"""

from __future__ import annotations

import importlib
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol

import numpy as np
from langchain_core.embeddings import Embeddings
from langchain_core.load import dumps
from langchain_core.outputs import Generation

from portkey_router import SemanticCache
from portkey_router.cache.policy import Answer
from portkey_router.cache.results import Hit, NewAnswer
from portkey_router.cache.texts import TEXT, text_of_entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from encoders import Encoder
    from langchain_core.messages import BaseMessage
    from numpy.typing import NDArray

    from portkey_router.cache.key import CacheKey

__all__ = ["LangchainRedis", "Ours", "PlainCosine", "Policy", "redis_url"]

LLM_STRING = "[('model', 'gpt-4o'), ('stop', None), ('temperature', 0)]"
PATIENCE = 600.0  # seconds
GROWTH = 512


class Policy(Protocol):
    """A semantic cache, by what it decides."""

    name: str

    def embedded(self, messages: Sequence[BaseMessage]) -> str:
        """What it embeds of a request."""

    def lookup(self, messages: Sequence[BaseMessage]) -> int | None:
        """The number of the stored answer it serves."""

    def update(self, messages: Sequence[BaseMessage], number: int) -> None:
        """Store an answer by its number."""


class Vectors:
    """Vectors in the order they came, and the nearest to one."""

    def __init__(self, dimensions: int) -> None:
        self._rows: NDArray[np.float32] = np.empty((GROWTH, dimensions), np.float32)
        self.labels: list[int] = []

    def add(self, vector: NDArray[np.float32], label: int) -> None:
        """Append one."""
        if len(self.labels) == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._rows[len(self.labels)] = vector
        self.labels.append(label)

    def nearest(self, vector: NDArray[np.float32], threshold: float) -> int | None:
        """The label of the nearest, where it is at or above the threshold."""
        cosines = self._rows[: len(self.labels)] @ vector
        place = int(cosines.argmax())
        return self.labels[place] if cosines[place] >= threshold else None


class Ours:
    """The product: `SemanticCache` in memory, asked as `RedisSemanticCache` asks it."""

    def __init__(self, encoder: Encoder, threshold: float) -> None:
        self.name = f"Portkey Router, cosine {threshold:g} and guards"
        self._cache = SemanticCache(
            "memory://",
            encoder.numbers,
            distance_threshold=1 - threshold,
            window_tokens=encoder.window,
            timeout=PATIENCE,  # a busy machine must not look like a miss
        )

    def _key(self, messages: Sequence[BaseMessage]) -> CacheKey:
        return self._cache.key_of_langchain(dumps(messages), LLM_STRING)

    def embedded(self, messages: Sequence[BaseMessage]) -> str:
        """The question."""
        return self._key(messages).text

    def lookup(self, messages: Sequence[BaseMessage]) -> int | None:
        """By the exact layers, then by meaning within the scope."""
        found = self._cache.lookup(self._key(messages), text_of_entry)
        return int(found.value) if isinstance(found, Hit) else None

    def update(self, messages: Sequence[BaseMessage], number: int) -> None:
        """Into every layer that takes it."""
        kept = NewAnswer(TEXT, number, [Answer(str(number))])
        refused = self._cache.store(self._key(messages), kept)
        assert refused is None, refused


class PlainCosine:
    """The nearest question, where its cosine reaches the threshold."""

    def __init__(self, encoder: Encoder, threshold: float, *, dumped: bool = False) -> None:
        self.name = f"plain cosine {threshold:g}"
        if dumped:
            self.name = f"langchain-redis, distance {1 - threshold:g} (its rule)"
        self._encoder, self._threshold, self._dumped = encoder, threshold, dumped
        self._vectors: Vectors | None = None

    def embedded(self, messages: Sequence[BaseMessage]) -> str:
        """The last message's text, or all of them as LangChain dumps them."""
        return dumps(messages) if self._dumped else messages[-1].text

    def lookup(self, messages: Sequence[BaseMessage]) -> int | None:
        """The nearest alone."""
        if self._vectors is None:
            return None
        return self._vectors.nearest(self._encoder(self.embedded(messages)), self._threshold)

    def update(self, messages: Sequence[BaseMessage], number: int) -> None:
        """One more vector."""
        vector = self._encoder(self.embedded(messages))
        self._vectors = self._vectors or Vectors(len(vector))
        self._vectors.add(vector, number)


class LangchainRedis:
    """`langchain_redis.RedisSemanticCache` itself, on a real Redis; its entries are dropped at the end."""

    def __init__(self, encoder: Encoder, url: str, distance: float, name: str) -> None:
        from langchain_redis import RedisSemanticCache

        self.name = f"langchain-redis, distance {distance:g}"
        self._cache = RedisSemanticCache(_Embeddings(encoder), url, distance, name=name, prefix=name)

    def embedded(self, messages: Sequence[BaseMessage]) -> str:
        """LangChain's dump."""
        return dumps(messages)

    def lookup(self, messages: Sequence[BaseMessage]) -> int | None:
        """As LangChain asks it."""
        found = self._cache.lookup(dumps(messages), LLM_STRING)
        return int(found[0].text) if found else None

    def update(self, messages: Sequence[BaseMessage], number: int) -> None:
        """As LangChain stores in it."""
        self._cache.update(dumps(messages), LLM_STRING, [Generation(text=str(number))])

    def close(self) -> None:
        """Leave nothing in Redis."""
        self._cache.clear()


class _Embeddings(Embeddings):
    """An encoder as LangChain wants it."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """A vector each."""
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """One vector."""
        return self._encoder.numbers(text)


@contextmanager
def redis_url(given: str | None) -> Iterator[str | None]:
    """The Redis given, else one with search that is started here; None, with the reason printed, where none can be."""
    if given is not None:
        yield given
        return
    with ExitStack() as stack:
        try:
            services = importlib.import_module("tests.services.redis")
            server = stack.enter_context(services.redis_server())
        except (ImportError, RuntimeError, OSError) as error:
            print(f"No Redis, so langchain-redis is judged by its rule alone: {error}\n")
            yield None
            return
        yield str(server.url)

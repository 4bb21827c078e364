"""The caches that a ChatPortkey may have, and where it may have them from."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache

from langchain_portkey_router import ChatPortkey, RedisSemanticCache
from tests.cache.words import Words
from tests.langchain.verbs import VERBS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_core.messages import AIMessageChunk

    from portkey_router.sandbox import PortkeyDouble

OURS = ("memory", "redis")
FOREIGN = "langchain's"
PLACES = ("explicit", "global")
QUESTION = "How do I reset the password of my account?"
STREAMS = ("stream", "astream")
GENEROUS = 20.0  # seconds: no answer is a miss because this machine is busy

each_verb = pytest.mark.parametrize("verb", VERBS)
each_stream = pytest.mark.parametrize("verb", STREAMS)


def ours(url: str, words: Words | None = None, **options: Any) -> RedisSemanticCache:
    """One of ours, patient, under a name of its own."""
    usual = {
        "timeout": GENEROUS,
        "connect_timeout": GENEROUS,
        "name": f"test:{uuid4().hex}",
        "distance_threshold": 0.15,
    }
    return RedisSemanticCache(words or Words(), url, **{**usual, **options})


def sent(server: PortkeyDouble) -> int:
    """How many requests it has had."""
    return len(server.requests)


@contextlib.contextmanager
def cached(kind: str, place: str, redis_url: Any = None, **options: Any) -> Iterator[tuple[ChatPortkey, Any]]:
    """A model with such a cache, given to it or LangChain's global one; and the cache. Empty before and after."""
    cache = InMemoryCache() if kind == FOREIGN else ours("memory://" if kind == "memory" else redis_url())
    try:
        if place == "global":
            set_llm_cache(cache)
        given = {"cache": cache} if place == "explicit" else {}
        yield ChatPortkey(**{"model": "gpt-4o", **given, **options}), cache
    finally:
        set_llm_cache(None)
        cache.clear()


async def collected(llm: Any, question: Any = QUESTION) -> list[AIMessageChunk]:
    """A stream's chunks."""
    return [chunk async for chunk in llm.astream(question)]

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from portkey_router.cache.cache import SemanticCache
from tests.cache.words import Words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GENEROUS = 20.0


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Calls a cache's verb by its name, in this thread, or as a coroutine in a loop that lives as long as the test."""
    if request.param == "sync":
        yield lambda cache, verb, *args, **options: getattr(cache, verb)(*args, **options)
        return
    with asyncio.Runner() as runner:
        yield lambda cache, verb, *args, **options: runner.run(getattr(cache, f"a{verb}")(*args, **options))


@pytest.fixture
def words() -> Words:
    """An encoder that counts."""
    return Words()


@pytest.fixture
def make_cache(words: Words) -> Iterator[Callable[..., SemanticCache]]:
    """Makes caches of one name of this test's own: patient, for questions that share most words. Cleared at the end."""
    name = f"test:{uuid4().hex}"
    with contextlib.ExitStack() as stack:

        def make(url: str, embeddings: Any = words, **options: Any) -> SemanticCache:
            patient = {"timeout": GENEROUS, "connect_timeout": GENEROUS, "distance_threshold": 0.15, "name": name}
            cache = SemanticCache(url, embeddings, **{**patient, **options})
            stack.callback(cache.clear)
            return cache

        yield make


@pytest.fixture
def cache(store_url: str, make_cache: Callable[..., SemanticCache]) -> SemanticCache:
    """One cache on every kind of store."""
    return make_cache(store_url)


@pytest.fixture
def alike(searching_url: str, make_cache: Callable[..., SemanticCache]) -> SemanticCache:
    """One cache on every kind of store that compares vectors."""
    return make_cache(searching_url)

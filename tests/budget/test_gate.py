"""Rate limits by themselves, in the frameworks' own `rate_limiter` arguments."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.language_models import FakeListChatModel
from llama_index.core import MockEmbedding

import langchain_portkey_router
import llama_index_portkey
from portkey_router import RateLimit, build_ledger
from portkey_router.bound import Bound
from portkey_router.errors import AdmissionError, RateLimitExceededError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.services.redis import RedisServer

DAY = 86_400.0


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits, which are not waited for."""
    waits: list[float] = []

    async def asleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("portkey_router.ledger.gate.time.sleep", waits.append)
    monkeypatch.setattr("portkey_router.ledger.gate.asyncio.sleep", asleep)
    return waits


def ask_langchain(limiter: Any) -> None:
    """One call of a LangChain model."""
    FakeListChatModel(responses=["Hi"], rate_limiter=limiter).invoke("Hello")


async def aask_langchain(limiter: Any) -> None:
    """One call of a LangChain model, in a loop."""
    await FakeListChatModel(responses=["Hi"], rate_limiter=limiter).ainvoke("Hello")


def ask_llama_index(limiter: Any) -> None:
    """One call of a LlamaIndex model."""
    MockEmbedding(2, rate_limiter=limiter).get_text_embedding("Hello")


async def aask_llama_index(limiter: Any) -> None:
    """One call of a LlamaIndex model, in a loop."""
    await MockEmbedding(2, rate_limiter=limiter).aget_text_embedding("Hello")


FRAMEWORKS = pytest.mark.parametrize(
    ("package", "ask", "aask"),
    [
        (langchain_portkey_router, ask_langchain, aask_langchain),
        (llama_index_portkey, ask_llama_index, aask_llama_index),
    ],
    ids=["LangChain", "LlamaIndex"],
)


@FRAMEWORKS
def test_a_model_waits_for_its_place(package: Any, ask: Any, aask: Any, slept: list[float]) -> None:
    """Two calls pass, the third waits for a place, sync and async, whatever provider the limit is named after."""
    limiter = package.SharedRateLimiter(RateLimit("openai", requests=2, per=DAY))
    ask(limiter)
    asyncio.run(aask(limiter))
    assert slept == []
    ask(limiter)
    asyncio.run(aask(limiter))
    assert slept == pytest.approx([DAY / 2, DAY], rel=0.01)


@FRAMEWORKS
def test_a_limit_that_does_not_wait_raises(package: Any, ask: Any, aask: Any) -> None:
    """The framework hands the error on."""
    limiter = package.SharedRateLimiter(RateLimit("mine", requests=1, per=DAY, wait=False))
    ask(limiter)
    with pytest.raises(RateLimitExceededError) as refused:
        ask(limiter)
    assert refused.value.retry_after == pytest.approx(DAY, rel=0.01)
    with pytest.raises(RateLimitExceededError):
        asyncio.run(aask(limiter))


def test_without_blocking_langchain_is_told(slept: list[float]) -> None:
    """`acquire(blocking=False)` says whether there was a place, and takes none where there was not."""
    limiter = langchain_portkey_router.SharedRateLimiter(RateLimit("mine", requests=1, per=DAY))
    assert limiter.acquire(blocking=False)
    assert not limiter.acquire(blocking=False)
    assert not asyncio.run(limiter.aacquire(blocking=False))
    assert limiter.acquire()
    assert slept == pytest.approx([DAY], rel=0.01), "the next place, and not one further on"


def test_llama_index_counts_tokens(slept: list[float]) -> None:
    """Its limiter is told how many a call will be."""
    limiter = llama_index_portkey.SharedRateLimiter(RateLimit("mine", tokens=100, per=DAY))
    limiter.acquire(80)
    limiter.acquire(20)
    asyncio.run(limiter.async_acquire(50))
    assert slept == pytest.approx([DAY / 2], rel=0.01)


def test_frameworks_and_ledgers_share_a_limit(plain_redis: RedisServer) -> None:
    """The same name in the same Redis is the same limit, whoever asks."""
    limit = RateLimit("openai", requests=3, per=DAY, wait=False)
    shared = {"ledger": plain_redis.url, "namespace": "shared-limit"}
    langchain_portkey_router.SharedRateLimiter(limit, **shared).acquire()
    llama_index_portkey.SharedRateLimiter(limit, **shared).acquire()
    ledger = build_ledger(plain_redis.url, namespace="shared-limit", limits=[limit])
    ledger.reserve(Bound(), {"provider": "openai"})
    with pytest.raises(RateLimitExceededError):
        ledger.reserve(Bound(), {"provider": "openai"})


def test_who_gives_up_waiting_gives_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancelled task, or Ctrl-C, does not keep others waiting."""
    limiter = langchain_portkey_router.SharedRateLimiter(RateLimit("mine", requests=1, per=DAY))
    limiter.acquire()

    async def give_up() -> None:
        task = asyncio.create_task(limiter.aacquire())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(give_up())

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("portkey_router.ledger.gate.time.sleep", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            limiter.acquire()
    waits: list[float] = []
    monkeypatch.setattr("portkey_router.ledger.gate.time.sleep", waits.append)
    limiter.acquire()
    assert waits == pytest.approx([DAY], rel=0.01)


def test_it_really_waits() -> None:
    """Without a double: the third request of two each 50 ms is not there at once."""
    limiter = langchain_portkey_router.SharedRateLimiter(RateLimit("mine", requests=1, per=0.05))
    begun = time.monotonic()
    for _ in range(3):
        limiter.acquire()
    assert time.monotonic() - begun >= 0.099


def test_a_limiter_whose_redis_is_away_refuses(fresh_redis: Callable[..., RedisServer]) -> None:
    """It does not let calls through uncounted."""
    limiter = langchain_portkey_router.SharedRateLimiter(RateLimit("mine", requests=1), ledger="redis://127.0.0.1:1")
    with pytest.raises(AdmissionError, match="cannot be reached"):
        limiter.acquire()


def test_named_memory_is_shared() -> None:
    """`memory://name` is one ledger for the process; `memory://` is each one's own."""
    limit = RateLimit("mine", requests=1, per=DAY, wait=False)
    for url, refused in (("memory://gate-test", True), ("memory://", False)):
        build_ledger(url, limits=[limit]).reserve(Bound(), {})
        second = build_ledger(url, limits=[limit])
        if refused:
            with pytest.raises(RateLimitExceededError):
                second.reserve(Bound(), {})
        else:
            second.reserve(Bound(), {})

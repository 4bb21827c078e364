from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from langchain_portkey_router import ChatPortkey, RedisSemanticCache
from portkey_router import sandbox
from portkey_router.cache.policy import storable
from tests.cache.words import Words
from tests.langchain.caches import (
    QUESTION,
    collected,
    ours,
    sent,
)
from tests.langchain.verbs import ask, total

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.messages import AIMessage

    from portkey_router.cache.policy import Answer
    from portkey_router.sandbox import PortkeyDouble


class Gate:
    """A policy that has the first answer wait, before anybody is handed it, until so many calls follow it."""

    def __init__(self, followers: int) -> None:
        self._followers = followers
        self._passed = threading.Event()
        self.cache: Any = None

    def __call__(self, answers: Sequence[Answer]) -> str | None:
        """As `storable`, after a while."""
        limit = time.monotonic() + 30
        while not self._passed.is_set() and time.monotonic() < limit:
            flights = list(self.cache.flights._by_key.values())
            if sum(len(flight.waiting) for flight in flights) == self._followers:
                self._passed.set()
            time.sleep(0.005)
        return storable(answers)


def test_equal_calls_in_threads_are_one(portkey: PortkeyDouble) -> None:
    """One request, one entry; those who followed have the answer, no usage, and say whose it is."""
    gate = Gate(followers=5)
    llm = ChatPortkey(model="gpt-4o", cache=ours("memory://", cache_if=gate))
    gate.cache = llm.cache.cache
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda number: ask(llm, ("invoke", "stream")[number % 2], QUESTION), range(6)))
    check_one(answers, llm, portkey)


def test_equal_calls_in_a_loop_are_one(portkey: PortkeyDouble) -> None:
    """The same of tasks: whole answers and streams, which follow each other."""
    llm = ChatPortkey(model="gpt-4o", cache=ours("memory://"))
    portkey.always("vk-openai", sandbox.Fault.slow(first_token=0.2))

    async def streamed() -> AIMessage:
        return total(await collected(llm))

    async def together() -> list[AIMessage]:
        return await asyncio.gather(*[llm.ainvoke(QUESTION) for _ in range(3)], *[streamed() for _ in range(3)])

    check_one(asyncio.run(together()), llm, portkey, late=frozenset({"exact"}))


def check_one(
    answers: list[AIMessage], llm: ChatPortkey, portkey: PortkeyDouble, late: frozenset[str] = frozenset()
) -> None:
    """They were one call; `late` is what may have answered who came when it was over."""
    assert sent(portkey) == 1
    assert len({answer.text for answer in answers}) == 1
    layers = [answer.response_metadata["portkey"].get("cache", {}).get("layer") for answer in answers]
    assert layers.count(None) == 1
    assert set(layers) - late == {None, "shared"}
    assert sum(answer.usage_metadata["total_tokens"] > 0 for answer in answers if answer.usage_metadata) == 1
    assert len({answer.id for answer in answers}) == len(answers)
    assert (llm.cache.cache.count(), llm.cache.cache.stats().stored) == (1, 1)


class Slow(RedisSemanticCache):
    """Between its lookup and the model's call, something happens, once."""

    happens: Any = None

    def lookup(self, prompt: str, llm_string: str) -> Any:
        """As its base."""
        found, happens, self.happens = super().lookup(prompt, llm_string), self.happens, None
        if happens is not None:
            happens()
        return found


@pytest.mark.parametrize("verb", ["invoke", "stream"])
def test_an_equal_call_that_ends_between_lookup_and_call_is_not_made_twice(portkey: PortkeyDouble, verb: str) -> None:
    """Threads of a batch: one looks up, another's answer lands, and the first takes that, as if it had followed."""
    cache = Slow(Words(), "memory://", timeout=20.0, name="slow")
    llm = ChatPortkey(model="gpt-4o", cache=cache)
    cache.happens = lambda: llm.invoke(QUESTION)
    late = ask(llm, verb, QUESTION)
    assert late.response_metadata["portkey"]["cache"]["layer"] == "shared"
    assert (sent(portkey), cache.cache.stats().stored) == (1, 1)
    cache.cache.clear()
    assert ask(llm, verb, QUESTION).response_metadata["portkey"].get("cache") is None
    assert sent(portkey) == 2


class SlowToStore(RedisSemanticCache):
    """Before it stores an answer, something happens, once."""

    happens: Any = None

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Any]) -> None:
        """As its base."""
        happens, self.happens = self.happens, None
        if happens is not None:
            happens()
        super().update(prompt, llm_string, return_val)


def test_an_equal_call_before_the_answer_is_stored_is_not_made_twice(portkey: PortkeyDouble) -> None:
    """The answer has come, and LangChain is about to store it: who asks meanwhile is handed it; then it is found."""
    cache = SlowToStore(Words(), "memory://", timeout=20.0, name="storing")
    llm = ChatPortkey(model="gpt-4o", cache=cache)
    layers: list[str] = []

    def again() -> None:
        layers.append(llm.invoke(QUESTION).response_metadata["portkey"]["cache"]["layer"])

    cache.happens = again
    llm.invoke(QUESTION)
    again()
    assert (layers, sent(portkey)) == (["shared", "exact"], 1)
    cache.cache.clear()
    assert llm.invoke(QUESTION).response_metadata["portkey"].get("cache") is None, "what was stored is asked for there"

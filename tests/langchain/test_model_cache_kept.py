from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.caches import InMemoryCache

from langchain_portkey_router import ChatPortkey
from portkey_router import sandbox
from portkey_router.errors import StreamInterruptedError
from tests.langchain.caches import (
    QUESTION,
    each_stream,
    each_verb,
    ours,
    sent,
)
from tests.langchain.test_agents import get_weather
from tests.langchain.verbs import VERBS, ask

if TYPE_CHECKING:
    from portkey_router.sandbox import PortkeyDouble


@pytest.fixture(params=["ours", "langchain's"])
def streaming(request: pytest.FixtureRequest, portkey: PortkeyDouble) -> ChatPortkey:
    """A model that tries once, with a cache of ours or with LangChain's."""
    cache: Any = ours("memory://") if request.param == "ours" else InMemoryCache()
    return ChatPortkey(model="gpt-4o", max_retries=0, cache=cache)


def stored(llm: ChatPortkey) -> int:
    """How many answers its cache holds."""
    return len(llm.cache._cache) if isinstance(llm.cache, InMemoryCache) else llm.cache.cache.count()


@each_stream
def test_a_broken_stream_is_not_kept(streaming: ChatPortkey, portkey: PortkeyDouble, verb: str) -> None:
    """Interrupted: the next call asks again."""
    portkey.script("vk-openai", sandbox.Fault.cut(after=4))
    with pytest.raises(StreamInterruptedError):
        ask(streaming, verb, QUESTION)
    assert stored(streaming) == 0
    assert "cache" not in ask(streaming, verb, QUESTION).response_metadata["portkey"]
    assert stored(streaming) == 1


@each_stream
def test_a_stream_left_early_is_not_kept(streaming: ChatPortkey, portkey: PortkeyDouble, verb: str) -> None:
    """Closed after its first word."""

    async def leave() -> None:
        async for chunk in streaming.astream(QUESTION):
            if chunk.text:
                break

    if verb == "astream":
        asyncio.run(leave())
    else:
        chunks: Any = streaming.stream(QUESTION)
        next(chunks)
        chunks.close()
    assert stored(streaming) == 0
    ask(streaming, verb, QUESTION)
    assert stored(streaming) == 1


@each_stream
def test_of_a_restarted_stream_the_whole_answer_is_kept(portkey: PortkeyDouble, verb: str) -> None:
    """Of one that restarts and is whole, the second answer alone; of one that breaks again, nothing."""
    llm = ChatPortkey(model="gpt-4o", on_stream_break="restart", max_retries=1, cache=ours("memory://"))
    portkey.script("vk-openai", sandbox.Fault.cut(after=4), sandbox.Fault.cut(after=4))
    with pytest.raises(StreamInterruptedError):
        ask(llm, verb, QUESTION)
    assert stored(llm) == 0
    portkey.script("vk-openai", sandbox.Fault.cut(after=4))
    whole = ask(llm, verb, QUESTION)
    hits = [ask(llm, each, QUESTION) for each in VERBS]
    assert {hit.text for hit in hits} == {whole.text}
    assert whole.text.count("answers to") == 1
    assert all(hit.response_metadata["portkey"]["cache"] for hit in hits)


@each_verb
@pytest.mark.parametrize("case", ["tool call", "cut short", "refusal"])
def test_what_is_no_whole_answer_is_not_kept(portkey: PortkeyDouble, case: str, verb: str) -> None:
    """Tool calls, answers cut by `max_tokens`, refusals: of whole answers and of streams."""
    cache = ours("memory://")
    llm: Any = ChatPortkey(model="gpt-4o", cache=cache, max_tokens=2 if case == "cut short" else None)
    question = QUESTION
    if case == "tool call":
        llm, question = llm.bind_tools([get_weather], tool_choice="any"), 'What is the weather in "Oslo"?'
    if case == "refusal":
        cache = llm.cache = ours("memory://", cache_if=lambda answers: "refusal" if answers[0].text else None)
    for _ in range(2):
        ask(llm, verb, question)
    assert sent(portkey) == 2
    assert cache.cache.count() == 0
    assert sum(cache.cache.stats().refused.values()) == 2


@each_stream
def test_a_streamed_tool_call_is_not_kept_elsewhere(portkey: PortkeyDouble, verb: str) -> None:
    """Nor in a cache of LangChain's, which itself keeps what `invoke` brings; and that comes back as a call."""
    llm = ChatPortkey(model="gpt-4o", cache=InMemoryCache())
    tools = llm.bind_tools([get_weather], tool_choice="any")
    for _ in range(2):
        ask(tools, verb, 'What is the weather in "Oslo"?')
    assert (sent(portkey), stored(llm)) == (2, 0)
    whole = ask(tools, "invoke", 'What is the weather in "Oslo"?')
    hit = ask(tools, verb, 'What is the weather in "Oslo"?')
    assert (sent(portkey), stored(llm)) == (3, 1)
    assert hit.tool_calls == whole.tool_calls

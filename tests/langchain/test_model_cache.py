from __future__ import annotations

import asyncio
import gc
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langgraph.graph.message import add_messages
from pydantic import BaseModel

from langchain_portkey_router import ChatPortkey, UsageCallbackHandler
from langchain_portkey_router.caching import CacheCall
from portkey_router import usage_report
from tests.cache.words import Words
from tests.langchain.caches import (
    FOREIGN,
    OURS,
    PLACES,
    QUESTION,
    STREAMS,
    cached,
    collected,
    each_stream,
    each_verb,
    ours,
    sent,
)
from tests.langchain.scripted import Scripted, said
from tests.langchain.test_agents import get_weather
from tests.langchain.verbs import VERBS, ask, total

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portkey_router.sandbox import PortkeyDouble


@pytest.fixture(params=[(kind, place) for kind in (*OURS, FOREIGN) for place in PLACES], ids=" ".join)
def any_cached(request: pytest.FixtureRequest, portkey: PortkeyDouble) -> Iterator[tuple[ChatPortkey, Any]]:
    """A model with each kind of cache, given to it and global."""
    kind, place = request.param
    with cached(kind, place, lambda: request.getfixturevalue("redis_url")) as found:
        yield found


@pytest.fixture
def llm(portkey: PortkeyDouble) -> ChatPortkey:
    """A model with a cache of ours in memory."""
    return ChatPortkey(model="gpt-4o", cache=ours("memory://"))


@pytest.fixture
def strict(portkey: PortkeyDouble) -> ChatPortkey:
    """One whose cache takes no two questions for alike."""
    return ChatPortkey(model="gpt-4o", cache=ours("memory://", distance_threshold=0.0))


# ---- one cache for all verbs -----------------------------------------------------------------------------------------


@each_verb
def test_what_one_verb_stored_answers_every_verb(
    any_cached: tuple[ChatPortkey, Any], portkey: PortkeyDouble, verb: str
) -> None:
    """Whole or in chunks: the text and its model; no usage, no cost, an id of its own, and what the hit has saved."""
    llm, _ = any_cached
    first = ask(llm, verb, QUESTION)
    paid = first.response_metadata["portkey"]["cost"]["amount"]
    assert first.usage_metadata is not None
    assert float(paid) > 0
    ids = {first.id}
    for again in VERBS:
        hit = ask(llm, again, QUESTION)
        assert hit.text == first.text
        ids.add(hit.id)
        assert hit.usage_metadata == {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0, "total_cost": 0}
        told = hit.response_metadata
        assert (told["model_name"], told["finish_reason"]) == ("gpt-4o", "stop")
        assert told["portkey"]["cost"]["amount"] == "0"
        saved = told["portkey"]["cache"]
        assert saved["layer"] in {"exact", "langchain"}
        assert (saved["saved_input_tokens"], saved["saved_output_tokens"], saved["saved_cost"]) == (
            first.usage_metadata["input_tokens"],
            first.usage_metadata["output_tokens"],
            paid,
        )
    assert len(ids) == 5
    assert sent(portkey) == 1


@each_stream
def test_a_hit_is_replayed_in_chunks(any_cached: tuple[ChatPortkey, Any], verb: str) -> None:
    """Several, which join to the answer; the last one says so, and it alone has the usage."""
    llm, _ = any_cached
    whole = llm.invoke(QUESTION)
    chunks = list(llm.stream(QUESTION)) if verb == "stream" else asyncio.run(collected(llm))
    assert len([chunk for chunk in chunks if chunk.text]) > 1
    assert "".join(chunk.text for chunk in chunks) == whole.text
    assert [bool(chunk.usage_metadata) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].chunk_position == "last"
    assert len({chunk.id for chunk in chunks}) == 1


@each_verb
@pytest.mark.parametrize("kind", OURS)
def test_one_lookup_one_embedding_one_store(
    request: pytest.FixtureRequest, portkey: PortkeyDouble, kind: str, verb: str
) -> None:
    """However the miss was asked for, and whoever asked the cache: LangChain, the stream, the router."""
    words = Words()
    url = "memory://" if kind == "memory" else str(request.getfixturevalue("redis_url"))
    cache = ours(url, words)
    ask(ChatPortkey(model="gpt-4o", cache=cache), verb, QUESTION)
    stats = cache.cache.stats()
    assert (stats.lookups, stats.embedded, words.calls, stats.stored) == (1, 1, 1, 1)
    assert cache.cache.count() == 1
    cache.clear()


@each_verb
def test_the_key_is_made_once(llm: ChatPortkey, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    """What the lookup has found, the store is given: the key, and with it the vector, whatever is forgotten since."""
    made: list[str] = []
    key = llm.cache.cache.key_of_langchain

    def counted(prompt: str, *rest: str, **whose: str) -> Any:
        made.append(prompt)
        return key(prompt, *rest, **whose)

    monkeypatch.setattr(llm.cache.cache, "key_of_langchain", counted)
    ask(llm, verb, QUESTION)
    assert (len(made), llm.cache.cache.count()) == (1, 1)


@each_verb
def test_ids_of_messages_do_not_matter(any_cached: tuple[ChatPortkey, Any], portkey: PortkeyDouble, verb: str) -> None:
    """The same conversation, had again under other ids, is the same question, streamed or not."""
    llm, _ = any_cached
    ask(llm, "invoke", [HumanMessage(QUESTION, id="1")])
    ask(llm, verb, [HumanMessage(QUESTION, id="2")])
    assert sent(portkey) == 1


@each_verb
def test_a_question_alike_is_answered(llm: ChatPortkey, portkey: PortkeyDouble, verb: str) -> None:
    """By meaning, streamed or not; and it says how near it was."""
    first = llm.invoke(QUESTION)
    hit = ask(llm, verb, "How do I reset the password of my account, bank?")
    assert hit.text == first.text
    told = hit.response_metadata["portkey"]["cache"]
    assert told["layer"] == "semantic"
    assert 0.85 < told["similarity"] < 1
    assert sent(portkey) == 1


def test_every_answer_of_n_is_kept(portkey: PortkeyDouble) -> None:
    """A stream shows the first of `n` answers, and keeps all."""
    llm = ChatPortkey(model="gpt-4o", n=3, cache=ours("memory://"))
    streamed = total(list(llm.stream(QUESTION)))
    [generations] = llm.generate([[HumanMessage(QUESTION)]]).generations
    assert sent(portkey) == 1
    assert len(generations) == 3
    assert generations[0].text == streamed.text
    assert len({each.message.id for each in generations if hasattr(each, "message")}) == 3


@each_verb
@pytest.mark.parametrize("first", ["invoke", "stream"])
def test_blocks_of_v1(portkey: PortkeyDouble, first: str, verb: str) -> None:
    """In `output_version="v1"` an answer comes back as the blocks that it was, reasoning among them."""
    llm = ChatPortkey(model="o3", reasoning_effort="low", output_version="v1", cache=ours("memory://"))
    whole, hit = ask(llm, first, QUESTION), ask(llm, verb, QUESTION)
    assert sent(portkey) == 1
    assert hit.text == whole.text
    assert kinds(hit) == kinds(whole)
    assert hit.response_metadata["output_version"] == "v1"


def kinds(message: AIMessage) -> list[tuple[Any, Any]]:
    """The blocks, without what numbers them."""
    return [(block.get("type"), block.get("text") or block.get("reasoning")) for block in message.content_blocks]


# ---- whose cache -----------------------------------------------------------------------------------------------------


def test_an_explicit_cache_wins(portkey: PortkeyDouble) -> None:
    """Over LangChain's global one, which then neither answers nor keeps, for whole answers and for streams."""
    everybodys, own = ours("memory://"), ours("memory://")
    set_llm_cache(everybodys)
    try:
        llm = ChatPortkey(model="gpt-4o", cache=own)
        for verb in VERBS:
            ask(llm, verb, QUESTION)
        assert sent(portkey) == 1
        assert (own.cache.count(), everybodys.cache.stats().lookups) == (1, 0)
        without = ChatPortkey(model="gpt-4o", cache=False)
        for verb in VERBS:
            ask(without, verb, QUESTION)
        assert sent(portkey) == 5
        for verb in VERBS:
            ask(ChatPortkey(model="gpt-4o", cache=True), verb, QUESTION)
        assert sent(portkey) == 6
        assert everybodys.cache.stats().lookups == 4
    finally:
        set_llm_cache(None)


@each_verb
def test_true_without_a_cache_is_an_error(portkey: PortkeyDouble, verb: str) -> None:
    """As in LangChain, for streams too; before the network."""
    with pytest.raises(ValueError, match="set_llm_cache"):
        ask(ChatPortkey(model="gpt-4o", cache=True), verb, QUESTION)
    assert sent(portkey) == 0


# ---- nobody sees another call's --------------------------------------------------------------------------------------


def test_a_batch_gives_each_its_own(strict: ChatPortkey, portkey: PortkeyDouble) -> None:
    """Many questions at once in threads and in tasks, streams among them: each is looked up, asked and stored once."""
    questions = [f"What is the meaning of the word {word}?" for word in ("alpha", "beta", "gamma", "delta", "omega")]
    asked = strict.batch([*questions, *(f"{each} In a table." for each in questions)])
    assert [each.text for each in asked[:5]] == [answer for each in questions for answer in [strict.invoke(each).text]]

    async def together() -> list[Any]:
        tasks = [strict.ainvoke(f"{each} In a poem.") for each in questions]
        return await asyncio.gather(*tasks, *(collected(strict, f"{each} In a song.") for each in questions))

    found = asyncio.run(together())
    texts = [each.text if isinstance(each, AIMessage) else total(each).text for each in found]
    for question, text in zip(
        [f"{each} In a {it}." for it in ("poem", "song") for each in questions], texts, strict=True
    ):
        assert question in text
    stats = strict.cache.cache.stats()
    assert (sent(portkey), stats.stored, stats.lookups) == (20, 20, 25)


class Asking(Words):
    """An encoder that asks a model about every text first."""

    inner: Any = None
    verb = "invoke"
    told: list[str]

    def embed_query(self, text: str) -> list[float]:
        """In a thread."""
        self.told.append(ask(self.inner, self.verb, f"Rewrite: {text}").text)
        return super().embed_query(text)


@pytest.mark.parametrize("inner", ["ours", "another's"])
@pytest.mark.parametrize("verb", STREAMS[:1] + VERBS[:1])
def test_an_encoder_may_ask_a_model(portkey: PortkeyDouble, inner: str, verb: str) -> None:
    """With this very cache, LangChain's global one: it is not asked within itself, and keeps the user's question."""
    words = Asking()
    words.told = []
    cache = ours("memory://", words)
    set_llm_cache(cache)
    try:
        llm = ChatPortkey(model="gpt-4o")
        words.inner = llm if inner == "ours" else Scripted(answers=[said("Rewritten.", finish_reason="stop")])
        words.verb = verb if inner == "ours" else "invoke"
        assert "Rewrite" not in ask(llm, verb, QUESTION).text
        assert "Rewrite" not in ask(llm, verb, QUESTION).text
    finally:
        set_llm_cache(None)
    assert len(words.told) == 1
    stats = cache.cache.stats()
    assert (stats.lookups, stats.stored, cache.cache.count()) == (2, 1, 1)
    assert [entry.text for entry in cache.cache.inspect()] == [QUESTION]


def test_a_tool_that_asks_a_model(portkey: PortkeyDouble, llm: ChatPortkey) -> None:
    """A chain whose step asks another model with the same cache: both answers are kept, under their own questions."""
    other = ChatPortkey(model="gpt-4o-mini", cache=llm.cache)
    chain = llm | (lambda answer: f"Shorten: {answer.text}") | other | StrOutputParser()
    once, again = chain.invoke(QUESTION), chain.invoke(QUESTION)
    assert once == again
    assert sent(portkey) == 2
    assert llm.cache.cache.count() == 2


def test_no_call_is_remembered(llm: ChatPortkey) -> None:
    """What a call notes of its cache is gone with it."""
    before = noted()  # held here, so that no other takes their place
    for number in range(5):
        for verb in VERBS:
            ask(llm, verb, f"{QUESTION} {number}")
    assert not [each for each in noted() if not any(each is old for old in before)]


def noted() -> list[CacheCall]:
    """What this process keeps of calls; by type alone, as `isinstance` asks proxies of whatever other tests left."""
    gc.collect()
    return [each for each in gc.get_objects() if type(each) is CacheCall]


# ---- the frameworks around it ----------------------------------------------------------------------------------------


class Heard(BaseCallbackHandler):
    """What a handler is told of a call."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.ends: list[Any] = []

    def on_llm_new_token(self, token: Any, **_: Any) -> None:
        """A piece."""
        self.tokens.append(token)

    def on_llm_end(self, response: Any, **_: Any) -> None:
        """The whole."""
        self.ends.append(response)


@each_stream
def test_handlers_hear_a_hit_as_any_stream(llm: ChatPortkey, verb: str) -> None:
    """Each piece once, and one end with the whole answer, its usage 0."""
    whole, heard = llm.invoke(QUESTION), Heard()
    ask(llm.with_config(callbacks=[heard]), verb, QUESTION)
    assert "".join(heard.tokens) == whole.text
    assert len([token for token in heard.tokens if token]) > 1
    [end] = heard.ends
    [[generation]] = end.generations
    assert generation.text == whole.text
    assert generation.message.usage_metadata["total_tokens"] == 0


@pytest.mark.parametrize("first", ["invoke", "stream"])
def test_events_of_a_chain(llm: ChatPortkey, portkey: PortkeyDouble, first: str) -> None:
    """`astream_events` of a chain: the pieces and the end, from the model as from the cache."""
    prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), ("human", "{question}")])
    chain = prompt | llm | StrOutputParser()
    asked: Any = {"question": QUESTION}
    text = chain.invoke(asked) if first == "invoke" else "".join(chain.stream(asked))

    async def events() -> list[Any]:
        return [event async for event in chain.astream_events(asked, version="v2")]

    told = asyncio.run(events())
    pieces = [event["data"]["chunk"].text for event in told if event["event"] == "on_chat_model_stream"]
    [end] = [event["data"]["output"] for event in told if event["event"] == "on_chat_model_end"]
    assert "".join(pieces) == end.text == text
    assert sent(portkey) == 1
    assert end.response_metadata["portkey"]["cache"]["layer"] == "exact"


def test_events_of_v3(llm: ChatPortkey, portkey: PortkeyDouble) -> None:
    """`stream_events(version="v3")` is a stream too."""
    whole = llm.invoke(QUESTION)
    stream: Any = llm.stream_events(QUESTION, version="v3")
    assert str(stream.text) == whole.text
    assert sent(portkey) == 1


class Person(BaseModel):
    """A person."""

    name: str
    age: int


@each_verb
def test_structured_output(llm: ChatPortkey, portkey: PortkeyDouble, verb: str) -> None:
    """An object by its schema is text, and is kept; streamed from the cache it is parsed again."""
    people = llm.with_structured_output(Person, method="json_schema")
    first: Any = people.invoke('"Ada" is 36')
    if verb.endswith("stream"):
        found = list(people.stream('"Ada" is 36'))[-1] if verb == "stream" else asyncio.run(last(people, '"Ada" is 36'))
    else:
        found = people.invoke('"Ada" is 36') if verb == "invoke" else asyncio.run(people.ainvoke('"Ada" is 36'))
    assert first == found == Person(name="Ada", age=36)
    assert sent(portkey) == 1


async def last(runnable: Any, question: str) -> Any:
    """The last of a stream."""
    return [each async for each in runnable.astream(question)][-1]


@pytest.mark.parametrize("color", ["sync", "async"])
def test_an_agent(llm: ChatPortkey, portkey: PortkeyDouble, color: str) -> None:
    """It asks for its tool anew, and has its last answer from the cache; the conversation grows by every message."""
    agent = create_agent(llm, [get_weather], system_prompt="Be brief.")
    asked: Any = {"messages": [HumanMessage('What is the weather in "Oslo"?')]}

    def run() -> Any:
        return agent.invoke(asked) if color == "sync" else asyncio.run(agent.ainvoke(asked))

    one, two = run()["messages"], run()["messages"]
    assert [message.type for message in two] == ["human", "ai", "tool", "ai"]
    assert sent(portkey) == 3
    assert two[-1].text == one[-1].text
    assert two[-1].response_metadata["portkey"]["cache"]["layer"] == "exact"
    assert two[-1].id != one[-1].id
    conversation: Any = add_messages(one, two[1:])
    assert len(conversation) == len(one) + 3


@each_verb
@pytest.mark.parametrize("kind", ["memory", FOREIGN])
def test_reports_count_hits(portkey: PortkeyDouble, kind: str, verb: str) -> None:
    """A call and a hit, and no spend: in LangChain's handler, and in the report of the router's own events."""
    with cached(kind, "explicit") as (llm, _), UsageCallbackHandler() as usage, usage_report() as report:
        tagged: Any = llm.with_config(metadata={"user": "u1"})
        for _ in range(3):
            ask(tagged, verb, QUESTION)
    for each in (usage, report):
        assert (each.totals.calls, each.totals.hits) == (3, 2)
        assert each.totals.total_tokens == report.calls[0].usage.total_tokens  # type: ignore[union-attr]  # it has one
        assert each.cost_usd == report.calls[0].cost.amount  # type: ignore[union-attr]  # as above
    assert [call.cache for call in report.calls] == [None] + ["exact" if kind == "memory" else "langchain"] * 2
    assert {call.tags["user"] for call in report.calls} == {"u1"}
    assert [call.streamed for call in report.calls] == [verb.endswith("stream")] * 3


def test_threads_share_a_cache(strict: ChatPortkey, portkey: PortkeyDouble) -> None:
    """Eight threads, four verbs, three questions: each thread has its question's answer."""
    questions = [f"{QUESTION} Number {number}, in words." for number in ("one", "two", "three")]
    for question in questions:
        strict.invoke(question)

    def work(number: int) -> bool:
        question = questions[number % 3]
        return question in ask(strict, VERBS[number % 4], question).text

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(48)))
    assert sent(portkey) == 3

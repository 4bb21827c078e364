from __future__ import annotations

import asyncio
import copy
import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.globals import set_llm_cache
from llama_index.core import Document, MockEmbedding, SummaryIndex, VectorStoreIndex
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.chat_engine.types import ChatMode
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel

from langchain_portkey_router import RedisSemanticCache
from llama_index_portkey import PortkeyLLM
from portkey_router import Fallback, SemanticCache, Target, sandbox
from tests.cache.words import Words
from tests.llama_index.verbs import CHAT, COMPLETION, ask, text_of

if TYPE_CHECKING:
    from portkey_router.sandbox import PortkeyDouble

QUESTION = "How do I reset the password of my account?"
ALIKE = "How can I reset the password of my account?"


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def model(**options: Any) -> PortkeyLLM:
    """A model with a cache that compares words."""
    cache = SemanticCache("memory://", Words(), distance_threshold=0.2)
    return PortkeyLLM(**{"model": "gpt-4o", "cache": cache, "max_retries": 0, **options})


def told(response: Any) -> dict[str, Any] | None:
    """What an answer says of the cache."""
    block: dict[str, Any] | None = response.additional_kwargs["portkey"].get("cache")
    return block


@pytest.mark.parametrize("first", ["chat", "astream_complete"])
def test_each_of_the_eight_verbs_gives_what_another_brought(first: str, portkey: PortkeyDouble) -> None:
    """One request; every verb says the same, at no cost, and that it is the cache's."""
    llm = model()
    paid = ask(llm, first, QUESTION)
    assert told(paid) is None
    for verb in (*CHAT, *COMPLETION):
        hit = ask(llm, verb, QUESTION)
        block = told(hit)
        assert text_of(hit) == text_of(paid)
        assert block is not None
        assert (block["layer"], block["saved_input_tokens"] > 0) == ("exact", True)
        facts = hit.additional_kwargs
        assert (facts["prompt_tokens"], facts["completion_tokens"], facts["finish_reason"]) == (0, 0, "stop")
        assert (facts["portkey"]["cost"]["amount"], facts["portkey"]["cost"]["source"]) == ("0", "cache")
        assert (hit.raw["usage"]["total_tokens"], hit.raw["id"] != paid.raw["id"]) == (0, True)
        json.dumps(hit.raw)
    assert len(portkey.requests) == 1


@pytest.mark.parametrize("verb", [*CHAT, *COMPLETION])
def test_alike_by_any_verb(verb: str, portkey: PortkeyDouble) -> None:
    """A question in other words is answered by meaning."""
    llm = model()
    ask(llm, verb, QUESTION)
    block = told(ask(llm, verb, ALIKE))
    assert block is not None
    assert block["layer"] == "semantic"


@pytest.mark.parametrize("verb", CHAT)
def test_a_call_says_what_it_wants_of_the_cache(verb: str, portkey: PortkeyDouble) -> None:
    """`no_cache`, `refresh`, `namespace`, `cache_ttl` with any verb; none of it is sent."""
    llm = model()
    ask(llm, verb, QUESTION)
    assert told(ask(llm, verb, QUESTION, no_cache=True)) is None
    assert told(ask(llm, verb, QUESTION, refresh=True)) is None
    assert told(ask(llm, verb, QUESTION, namespace="other", cache_ttl=60, tenant="t", cache_tags=["a"])) is None
    assert told(ask(llm, verb, QUESTION, namespace="other", tenant="t")) is not None
    assert llm.cache.clear(tag="a") == 1
    assert len(portkey.requests) == 4
    sent = {name for request in portkey.log("vk-openai") for name in request.body}
    assert not sent & {"no_cache", "refresh", "namespace", "cache_ttl", "tenant", "cache_tags"}


def test_structured_output_by_schema_is_kept(portkey: PortkeyDouble) -> None:
    """Sync, async and streamed: asked once."""
    llm, prompt = model(), PromptTemplate('"Ada" is 36')
    people: list[Any] = [
        llm.structured_predict(Person, prompt),
        asyncio.run(llm.astructured_predict(Person, prompt)),
        list(llm.stream_structured_predict(Person, prompt))[-1],
    ]
    assert people[0] == people[1] == people[2]
    assert len(portkey.requests) == 1


def test_structured_output_by_a_tool_is_not(portkey: PortkeyDouble) -> None:
    """A tool must be called, and a tool call is never kept: nothing is looked up."""
    by_tool = model(model="claude-sonnet-4-5")
    for _ in range(2):
        by_tool.structured_predict(Person, PromptTemplate('"Ada" is 36'))
    assert len(portkey.requests) == 2
    assert by_tool.cache.stats().lookups == 0


def test_query_and_chat_engines_hit(portkey: PortkeyDouble) -> None:
    """The same question to a query engine, streamed or not, sync or async, is answered once."""
    llm = model()
    document = Document(text="A gateway routes calls.")
    index = VectorStoreIndex.from_documents([document], embed_model=MockEmbedding(8))
    answers = [
        str(index.as_query_engine(llm=llm).query(QUESTION)),
        str(asyncio.run(index.as_query_engine(llm=llm).aquery(QUESTION))),
    ]
    streamed: Any = index.as_query_engine(llm=llm, streaming=True).query(QUESTION)
    answers.append("".join(streamed.response_gen))
    assert len(set(answers)) == 1
    assert len(portkey.requests) == 1
    summary = SummaryIndex.from_documents([document])
    for _ in range(2):
        memory = ChatMemoryBuffer.from_defaults(llm=llm)
        summary.as_chat_engine(llm=llm, chat_mode=ChatMode.CONTEXT, memory=memory).chat(QUESTION)
    assert len(portkey.requests) == 2


def test_tools_are_asked_for_each_time(portkey: PortkeyDouble) -> None:
    """A tool call is an action: it is never answered from a cache."""
    from llama_index.core.tools import FunctionTool

    def get_weather(place: str) -> str:
        """Tell the weather at a place."""
        return f"sunny in {place}"

    llm, tool = model(), FunctionTool.from_defaults(get_weather)
    for _ in range(2):
        answer = llm.chat_with_tools([tool], 'What is the weather in "Oslo"?')
        assert llm.get_tool_calls_from_response(answer)[0].tool_name == "get_weather"
    assert len(portkey.requests) == 2


def test_langchains_global_cache_is_not_ours(portkey: PortkeyDouble) -> None:
    """It is neither asked nor fed, with a cache of our own or without."""
    theirs = SemanticCache("memory://")
    set_llm_cache(RedisSemanticCache(cache=theirs))
    try:
        for llm in (model(), model(cache=None)):
            llm.complete(QUESTION)
    finally:
        set_llm_cache(None)
    assert (theirs.count(), theirs.stats().lookups) == (0, 0)
    assert len(portkey.requests) == 2


def test_it_is_never_written_down_and_copies_share_it(portkey: PortkeyDouble) -> None:
    """to_dict, JSON, repr and pickle leave it out, with the password that its URL may hold; a deep copy shares it."""
    llm = model()
    for each in (llm, model(cache="redis://user:PLANTED@127.0.0.1:1")):
        restored = pickle.loads(pickle.dumps(each))  # noqa: S301  (our own)
        assert restored.cache is None
        assert PortkeyLLM.from_dict(each.to_dict()).cache is None
        for text in (repr(each), json.dumps(each.to_dict()), each.to_json(), repr(each._the_router())):
            assert "PLANTED" not in text
        assert b"PLANTED" not in pickle.dumps(each)
    llm.complete(QUESTION)
    for copied in (copy.deepcopy(llm), copy.copy(llm), llm.model_copy()):
        assert copied.cache is llm.cache
        assert told(copied.complete(QUESTION)) is not None
    assert pickle.loads(pickle.dumps(model(cache=False))).cache is False  # noqa: S301  (our own)


def test_a_url_makes_one_cache_for_the_process(portkey: PortkeyDouble) -> None:
    """Two models of one URL share it; False switches off what the environment turns on."""
    one, other = (model(cache="memory://shared") for _ in range(2))
    one.complete(QUESTION)
    assert told(other.complete(QUESTION)) is not None
    assert len(portkey.requests) == 1


def test_the_environment_turns_it_on(portkey: PortkeyDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """For every model that says nothing; with embeddings through Portkey by name, which do not go round in circles."""
    monkeypatch.setenv("PORTKEY_CACHE_ENABLED", "true")
    monkeypatch.setenv("PORTKEY_CACHE_EMBEDDINGS", "text-embedding-3-small")
    for cache in (None, False):
        llm = model(cache=cache)
        blocks = [told(llm.complete(QUESTION)) for _ in range(2)]
        assert [block is not None for block in blocks] == [False, cache is None]
    asked = [request.path for request in portkey.requests]
    assert [path.rpartition("/v1")[2] for path in asked] == ["/embeddings", *["/chat/completions"] * 3]


def test_a_hit_is_there_when_every_target_is_down(portkey: PortkeyDouble) -> None:
    """What was answered before is answered still."""
    llm = model(model=None, strategy=Fallback("gpt-4o", Target("claude-sonnet-4-5")))
    llm.chat([ChatMessage(QUESTION)])
    for key in ("vk-openai", "vk-anthropic"):
        portkey.always(key, sandbox.Fault.status(503))
    assert told(llm.chat([ChatMessage(QUESTION)])) is not None

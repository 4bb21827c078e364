from __future__ import annotations

import asyncio
import copy
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import redis
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.globals import get_llm_cache, set_llm_cache
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.language_models.llms import LLM
from langchain_core.messages import AIMessage, AIMessageChunk, ChatMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests.cache import AsyncCacheTestSuite, SyncCacheTestSuite
from langgraph.graph.message import add_messages
from pydantic import SecretStr

from langchain_portkey_router import ChatPortkey, RedisSemanticCache
from portkey_router.cache.cache import SemanticCache
from portkey_router.cache.policy import Answer
from portkey_router.cache.results import NewAnswer
from portkey_router.errors import ConfigurationError
from portkey_router.events import CacheLookup, capture_events
from portkey_router.messages import Cost
from tests.cache.words import Words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_core.language_models import BaseChatModel

GENEROUS = 20.0
QUESTION = "How do I reset the password of my account?"
ALIKE = "How do I reset the password of my account please, bank?"


@pytest.fixture
def make(searching_url: str) -> Iterator[Callable[..., RedisSemanticCache]]:
    """Makes caches of this test's own name, on every store that searches; they are cleared at the end."""
    made: list[RedisSemanticCache] = []
    usual: dict[str, Any] = {
        "timeout": GENEROUS,
        "connect_timeout": GENEROUS,
        "distance_threshold": 0.15,
        "name": f"test:{uuid4().hex}",
    }

    def one(embeddings: Any = None, **options: Any) -> RedisSemanticCache:
        made.append(RedisSemanticCache(embeddings or Words(), searching_url, **{**usual, **options}))
        return made[-1]

    yield one
    for each in made:
        each.clear()


@pytest.fixture
def cache(make: Callable[..., RedisSemanticCache]) -> RedisSemanticCache:
    """One of them."""
    return make()


@pytest.fixture
def llm_cache(cache: RedisSemanticCache) -> Iterator[RedisSemanticCache]:
    """LangChain's global one."""
    set_llm_cache(cache)
    yield cache
    set_llm_cache(None)


class TestSync(SyncCacheTestSuite):
    """LangChain's own suite."""

    @pytest.fixture
    def cache(self, make: Callable[..., RedisSemanticCache]) -> RedisSemanticCache:
        """An empty one."""
        return make()


class TestAsync(AsyncCacheTestSuite):
    """LangChain's own suite."""

    @pytest.fixture
    async def cache(self, make: Callable[..., RedisSemanticCache]) -> RedisSemanticCache:
        """An empty one."""
        return make()


def model(*answers: str, **metadata: Any) -> BaseChatModel:
    """A chat model of LangChain's own that answers in this order."""
    usage = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}
    told = {"model_name": "fake-1", "finish_reason": "stop", "headers": {"set-cookie": "secret-cookie"}, **metadata}
    messages = [AIMessage(text, usage_metadata=usage, response_metadata=told, id="run--stored") for text in answers]
    return GenericFakeChatModel(messages=iter(messages))


@pytest.mark.parametrize("use_async", [False, True])
def test_any_chat_model_is_answered_from_it(llm_cache: RedisSemanticCache, use_async: bool) -> None:
    """The same question, and one alike, with the same system prompt; another system prompt asks the model."""
    llm = model("Click here.", "Nine to five.")

    def invoke(question: str, system: str = "Be brief.") -> Any:
        messages = [SystemMessage(system), HumanMessage(question)]
        return asyncio.run(llm.ainvoke(messages)) if use_async else llm.invoke(messages)

    first, same, alike, other = invoke(QUESTION), invoke(QUESTION), invoke(ALIKE), invoke(QUESTION, "Be long.")
    assert [each.content for each in (first, same, alike, other)] == ["Click here."] * 3 + ["Nine to five."]
    layers = [each.response_metadata.get("portkey", {}).get("cache", {}).get("layer") for each in (first, same, alike)]
    assert layers == [None, "exact", "semantic"]


def test_a_hit_costs_nothing_and_says_what_it_saved(llm_cache: RedisSemanticCache) -> None:
    """Usage 0 that callbacks can add up, an id of its own, and the tokens and the money of the first call."""
    paid = {"cost": {"amount": "0.00123", "currency": "USD"}}
    llm = model("Click here.", portkey={**paid, "trace_id": "trace-1"})
    llm.invoke(QUESTION)
    counter = UsageMetadataCallbackHandler()
    one, two = llm.invoke(QUESTION, {"callbacks": [counter]}), llm.invoke(QUESTION, {"callbacks": [counter]})
    assert counter.usage_metadata["fake-1"]["total_tokens"] == 0
    assert one.id != two.id
    assert one.id not in {None, "run--stored"}
    told = one.response_metadata["portkey"]
    saved = {"saved_input_tokens": 11, "saved_output_tokens": 7, "saved_cost": "0.00123", "currency": "USD"}
    assert {name: told["cache"][name] for name in saved} == saved
    assert (told["cache"]["layer"], told["cache"]["similarity"]) == ("exact", 1.0)
    assert told["cache"]["age_seconds"] >= 0
    assert Cost.from_dict(told["cost"]) == Cost(Decimal(0), "cache", None, "fake-1")
    assert "trace-1" not in json.dumps(one.response_metadata)
    assert one.response_metadata["model_name"] == "fake-1"


def test_a_conversation_grows_with_hits(llm_cache: RedisSemanticCache) -> None:
    """LangGraph's `add_messages` appends an answer from the cache, and does not put it in an earlier one's place."""
    llm = model("Click here.")
    conversation: Any = []
    for _ in range(2):
        conversation = add_messages(conversation, HumanMessage(QUESTION))
        conversation = add_messages(conversation, llm.invoke(QUESTION))
    assert [message.type for message in conversation] == ["human", "ai", "human", "ai"]


class _Completer(LLM):
    """A model of the old kind: text in, text out."""

    asked: int = 0

    @property
    def _llm_type(self) -> str:
        return "completer"

    def _call(self, prompt: str, *_: Any, **__: Any) -> str:
        self.asked += 1
        return f"To {prompt!r}."


def test_a_model_of_plain_text(llm_cache: RedisSemanticCache) -> None:
    """Its prompts are questions as they are."""
    llm = _Completer()
    assert llm.invoke(QUESTION) == llm.invoke(QUESTION) == llm.invoke(ALIKE)
    assert llm.asked == 1


@pytest.mark.parametrize(
    "message",
    [
        AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "1"}]),
        AIMessage("Cut sh", response_metadata={"finish_reason": "length"}),
        AIMessage("I'm sorry, but I can't help with that.", response_metadata={"finish_reason": "stop"}),
        ChatMessage(content="Of another role.", role="critic"),
    ],
    ids=["tool call", "cut short", "refusal", "no AIMessage"],
)
def test_what_is_not_kept(cache: RedisSemanticCache, message: Any) -> None:
    """No tool call, no half answer, no refusal; and nothing that could not be built again."""
    with capture_events() as events:
        cache.update(QUESTION, "llm", [ChatGeneration(message=message)])
    assert cache.lookup(QUESTION, "llm") is None
    (event,) = [event for event in events if isinstance(event, CacheLookup)]
    assert event.reason is not None
    assert event.reason.startswith("not stored: ")


def test_generations_come_back_field_by_field(cache: RedisSemanticCache) -> None:
    """Blocks, names, metadata that is JSON; a chunk comes back as a whole message."""
    content: list[str | dict[str, Any]] = [{"type": "text", "text": "Hi"}, {"type": "reasoning", "summary": ["Hm."]}]
    message = AIMessage(content, name="helper", additional_kwargs={"more": [1], "odd": object()})
    chunk = ChatGenerationChunk(message=AIMessageChunk(content="Hello"), generation_info={"finish_reason": "stop"})
    cache.update(QUESTION, "llm", [ChatGeneration(message=message), chunk])
    first, second = cache.lookup(QUESTION, "llm") or ()
    assert isinstance(first, ChatGeneration)
    assert isinstance(second, ChatGeneration)
    assert (first.message.content, first.message.name) == (content, "helper")
    assert first.message.additional_kwargs == {"more": [1]}
    assert (type(second.message), second.text) == (AIMessage, "Hello")
    assert second.generation_info == {"finish_reason": "stop"}


def test_a_question_is_embedded_once(make: Callable[..., RedisSemanticCache]) -> None:
    """The update uses the lookup's vector; and it is the question that is embedded, not LangChain's JSON."""
    words = Words()
    set_llm_cache(make(words))
    try:
        model("Click here.").invoke([SystemMessage("Be brief. " * 500), HumanMessage(QUESTION)])
    finally:
        set_llm_cache(None)
    assert words.asked == [QUESTION]


def test_the_arguments_of_langchain_redis(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their names and their order; building connects nowhere and embeds nothing; a client of one's own is used."""
    monkeypatch.setattr("socket.socket.connect", None)
    words = Words()
    cache = RedisSemanticCache(words, "redis://nowhere:6379", 0.2, 60, "llmcache", "llmcache", None)
    assert words.calls == 0
    assert "llmcache" in repr(cache)
    assert "llmcache:llmcache" not in repr(cache)
    monkeypatch.undo()
    with redis.Redis.from_url(redis_url) as client:
        name = f"test:{uuid4().hex}"
        own = RedisSemanticCache(embeddings=words, redis_client=client, name=name, timeout=GENEROUS)
        own.update(QUESTION, "llm", [Generation(text="Click here.")])
        assert own.lookup(QUESTION, "llm") == [Generation(text="Click here.")]
        assert client.keys(f"{name}:e:*")
        own.clear()
        assert not client.keys(f"{name}:e:*")


@pytest.mark.parametrize("options", [{"distance_threshold": 1.5}, {"ttl": 0}, {"redis_url": "http://x"}], ids=str)
def test_mistakes_are_told_at_construction(options: dict[str, Any]) -> None:
    """What cannot be meant is an error that says what could be."""
    with pytest.raises(ConfigurationError):
        RedisSemanticCache(Words(), **options)


def test_a_dead_redis_fails_no_call() -> None:
    """With nobody listening the model answers, and answers again."""
    set_llm_cache(RedisSemanticCache(Words(), "redis://127.0.0.1:1"))
    try:
        llm = model("One.", "Two.")
        assert [llm.invoke(QUESTION).content for _ in range(2)] == ["One.", "Two."]
    finally:
        set_llm_cache(None)


@pytest.mark.parametrize("wrong", ["key_text", "cache_if"])
@pytest.mark.parametrize("use_async", [False, True])
def test_a_users_code_fails_no_call(wrong: str, use_async: bool) -> None:
    """A question that cannot be found, or a policy that raises: the model answers, and the failure is counted."""

    def broken(_: object) -> str:
        raise KeyError("mistaken")

    cache = RedisSemanticCache(Words(), "memory://", **{wrong: broken})  # type: ignore[arg-type]  # one of two callables
    set_llm_cache(cache)
    try:
        llm = model("One.", "Two.")
        answers = [asyncio.run(llm.ainvoke(QUESTION)) if use_async else llm.invoke(QUESTION) for _ in range(2)]
        assert [answer.content for answer in answers] == ["One.", "Two."]
    finally:
        set_llm_cache(None)
    assert sum(cache.cache.stats().failures.values()) >= 2
    assert cache.cache.count() == 0


def test_a_cache_can_be_shared_and_copied(cache: RedisSemanticCache) -> None:
    """Over a `SemanticCache` of one's own; a copied model's cache is the same."""
    shared = RedisSemanticCache(cache=cache.cache)
    shared.update(QUESTION, "llm", [Generation(text="Click here.")])
    assert copy.deepcopy(cache).lookup(QUESTION, "llm") == [Generation(text="Click here.")]
    assert isinstance(cache.cache, SemanticCache)


PLANTED = {
    "api_key": "sk-planted-openai-1111",
    "header": "pk-planted-portkey-2222",
    "metadata": "planted-user-3333",
    "trace": "planted-trace-4444",
    "cookie": "secret-cookie",
}


def test_no_key_reaches_redis(redis_url: str) -> None:
    """Keys, headers, metadata and trace ids of a call are nowhere in it; the user's text is in no key's name."""
    name = f"test:{uuid4().hex}"
    cache = RedisSemanticCache(Words(), redis_url, 0.15, name=name, timeout=GENEROUS)
    foreign = ChatOpenAI(
        model="gpt-4o",
        api_key=SecretStr(PLANTED["api_key"]),
        default_headers={"x-portkey-api-key": PLANTED["header"], "x-portkey-trace-id": PLANTED["trace"]},
        metadata={"user": PLANTED["metadata"]},
    )
    ours = ChatPortkey(
        model="gpt-4o",
        api_key=PLANTED["header"],
        virtual_key=PLANTED["api_key"],
        portkey_metadata={"_user": PLANTED["metadata"]},
        trace_id=PLANTED["trace"],
    )
    answer = AIMessage("Click here.", response_metadata={"headers": {"set-cookie": PLANTED["cookie"]}})
    for llm in (foreign, ours):
        llm_string = llm._get_llm_string(stop=None)
        cache.update(QUESTION, llm_string, [ChatGeneration(message=answer)])
        assert cache.lookup(ALIKE, llm_string) is not None
    with redis.Redis.from_url(redis_url) as client:
        keys = client.keys(f"{name}:*")
        assert len(keys) == 2
        stored = b"".join(keys) + b"".join(repr(client.hgetall(key)).encode() for key in keys)
        bodies = [shown.answer for shown in cache.cache.inspect()]
    for secret in PLANTED.values():
        assert secret.encode() not in stored
        assert secret not in json.dumps(bodies)
    assert not any(b"password" in key or b"reset" in key for key in keys)
    cache.clear()


def test_the_global_cache_is_not_ours_to_keep() -> None:
    """No test leaves one behind."""
    assert get_llm_cache() is None


@pytest.mark.parametrize("served", ["openai", 5, [], {"provider": 5}, {"target": []}], ids=repr)
def test_an_entry_that_names_who_answered_in_another_form_is_none(served: Any) -> None:
    """A forged entry is a miss for the call, and no error in it."""
    cache = RedisSemanticCache(Words(), f"memory://{uuid4().hex}")
    forged: dict[str, Any] = {
        "content": "Hi",
        "info": None,
        "name": None,
        "more": {},
        "meta": {},
        "calls": None,
        "invalid_calls": None,
    }
    key = cache.cache.key_of_langchain(QUESTION, "gpt")
    for told, found in ((None, True), ({"provider": "openai"}, True), (served, False)):
        cache.cache.store(key, NewAnswer("langchain", [{**forged, "served": told}], [Answer("Hi", "stop")]))
        assert bool(cache.lookup(QUESTION, "gpt")) is found

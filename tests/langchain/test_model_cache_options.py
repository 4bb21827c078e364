from __future__ import annotations

import copy
import json
import pickle
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.load import dumpd, dumps

from langchain_portkey_router import ChatPortkey, RedisSemanticCache, UsageCallbackHandler
from portkey_router import SemanticCache, usage_report
from portkey_router.errors import ConfigurationError
from portkey_router.stores.memory_cache import MemoryCacheStore
from tests.langchain.caches import FOREIGN, ours, sent
from tests.langchain.verbs import VERBS, ask

if TYPE_CHECKING:
    from portkey_router.sandbox import PortkeyDouble

QUESTION = "How do I reset the password of my account?"
SECRET_URL = "redis://user:PLANTED-password@127.0.0.1:1/0"

each_verb = pytest.mark.parametrize("verb", VERBS)
each_kind = pytest.mark.parametrize("kind", ["ours", FOREIGN])


def cache_of(kind: str) -> Any:
    """An empty cache in memory."""
    return ours("memory://") if kind == "ours" else InMemoryCache()


# ---- what a call wants -----------------------------------------------------------------------------------------------


@each_kind
@each_verb
def test_no_cache(portkey: PortkeyDouble, kind: str, verb: str) -> None:
    """Nothing is looked up and nothing kept, for this one call; and it is no field of the request."""
    llm = ChatPortkey(model="gpt-4o", cache=cache_of(kind))
    ask(llm.bind(no_cache=True), verb, QUESTION)
    ask(llm, verb, QUESTION)
    ask(llm, verb, QUESTION)
    assert sent(portkey) == 2
    ask(llm.bind(no_cache=True), verb, QUESTION)
    assert sent(portkey) == 3
    assert not any("no_cache" in request.body for request in portkey.requests)


@each_kind
@each_verb
def test_refresh(portkey: PortkeyDouble, kind: str, verb: str) -> None:
    """The model is asked, and its answer takes the old one's place: for everybody, who did not ask for it anew."""
    cache = cache_of(kind)
    llm = ChatPortkey(model="gpt-4o", cache=cache)
    old = ask(llm, verb, QUESTION)
    new = ask(llm.bind(refresh=True), verb, QUESTION)
    assert sent(portkey) == 2
    hit = ask(llm, verb, QUESTION)
    assert sent(portkey) == 2
    assert hit.response_metadata["portkey"]["cache"]
    assert old.text == new.text == hit.text
    if kind == "ours":
        stats = cache.cache.stats()
        assert (stats.lookups, stats.stored, cache.cache.count()) == (2, 2, 1)


@each_kind
@each_verb
def test_namespace_and_tenant(portkey: PortkeyDouble, kind: str, verb: str) -> None:
    """Answers of one are none of another's, in LangChain's caches too, which have no such thing."""
    llm = ChatPortkey(model="gpt-4o", cache=cache_of(kind))
    for _ in range(2):
        for apart in ({"namespace": "a"}, {"namespace": "b"}, {"tenant": "a"}, {"tenant": "b", "namespace": "a"}, {}):
            ask(llm.bind(**apart), verb, QUESTION)
    assert sent(portkey) == 5
    if kind == "ours":
        assert llm.cache.cache.clear(namespace="a", tenant="") == 1
        assert llm.cache.cache.clear(tenant="b") == 1


@each_verb
def test_cache_tags(portkey: PortkeyDouble, verb: str) -> None:
    """What an answer is tagged with, it can be cleared by."""
    llm = ChatPortkey(model="gpt-4o", cache=ours("memory://"))
    ask(llm.bind(cache_tags=["faq"]), verb, QUESTION)
    assert llm.cache.cache.clear(tag="news") == 0
    assert llm.cache.cache.clear(tag="faq") == 1


@each_verb
def test_cache_ttl(portkey: PortkeyDouble, verb: str) -> None:
    """Seconds for this one answer."""
    time = [1000.0]
    store = MemoryCacheStore(clock=lambda: time[0])
    llm = ChatPortkey(model="gpt-4o", cache=SemanticCache(store, chance=lambda: 0.0))
    ask(llm.bind(cache_ttl=10), verb, QUESTION)
    ask(llm.bind(cache_ttl=100), verb, "Another question?")
    time[0] += 11
    ask(llm, verb, "Another question?")
    assert sent(portkey) == 2
    ask(llm, verb, QUESTION)
    assert sent(portkey) == 3


@each_verb
@pytest.mark.parametrize("wish", [{"cache_ttl": 10}, {"cache_tags": ["faq"]}], ids=str)
def test_a_cache_that_cannot_says_so(portkey: PortkeyDouble, wish: dict[str, Any], verb: str) -> None:
    """A time that would not be kept, tags that nothing could be cleared by: an error, before the network."""
    llm = ChatPortkey(model="gpt-4o", cache=InMemoryCache())
    with pytest.raises(ConfigurationError, match="cache_ttl"):
        ask(llm.bind(**wish), verb, QUESTION)
    assert sent(portkey) == 0


@each_kind
def test_wishes_that_cannot_be_meant(portkey: PortkeyDouble, kind: str) -> None:
    """As of the router: an error, before the network."""
    llm = ChatPortkey(model="gpt-4o", cache=cache_of(kind))
    for wish in ({"cache_ttl": 0}, {"cache_tags": "faq"}, {"no_cache": "yes"}, {"namespace": 3}):
        with pytest.raises(ConfigurationError):
            llm.invoke(QUESTION, **wish)
    assert sent(portkey) == 0


def test_wishes_are_no_part_of_the_key() -> None:
    """What a call wants of its cache decides nothing of its answer."""
    llm = ChatPortkey(model="@a/gpt-4o", api_key="k")
    plain = llm._get_llm_string()
    for wish in ({"no_cache": True}, {"refresh": True}, {"cache_ttl": 3.0}, {"namespace": "n"}, {"cache_tags": ["t"]}):
        assert llm._get_llm_string(**wish) == plain


# ---- what may be given -----------------------------------------------------------------------------------------------


def test_what_a_cache_may_be(portkey: PortkeyDouble) -> None:
    """Ours of either package, a URL, LangChain's: at construction, by assignment, in a copy."""
    core = SemanticCache("memory://")
    for given in (core, "memory://", RedisSemanticCache(cache=core), InMemoryCache(), None, True, False):
        built = ChatPortkey(model="gpt-4o", cache=given)
        assigned = ChatPortkey(model="gpt-4o")
        assigned.cache = given
        copied = ChatPortkey(model="gpt-4o").model_copy(update={"cache": given})
        for llm in (built, assigned, copied):
            assert llm.cache is given or isinstance(llm.cache, RedisSemanticCache)
    shared = ChatPortkey(model="gpt-4o", cache=core)
    shared.invoke(QUESTION)
    assert core.count() == 1


@pytest.mark.parametrize("given", [3, {"url": "memory://"}, "http://localhost"], ids=str)
def test_what_it_may_not_be(given: Any) -> None:
    """An error that says what it may be, and no surprise at the first call."""
    with pytest.raises(ConfigurationError):
        ChatPortkey(model="@a/gpt-4o", api_key="k", cache=given)
    llm = ChatPortkey(model="@a/gpt-4o", api_key="k")
    with pytest.raises(ConfigurationError):
        llm.cache = given


# ---- the environment's -----------------------------------------------------------------------------------------------


@pytest.fixture
def environment(portkey: PortkeyDouble, monkeypatch: pytest.MonkeyPatch) -> PortkeyDouble:
    """A cache by the environment, of this test's own."""
    monkeypatch.setenv("PORTKEY_CACHE_ENABLED", "true")
    monkeypatch.setenv("PORTKEY_CACHE_URL", f"memory://{uuid4().hex}")
    return portkey


@each_verb
def test_the_environments_cache(environment: PortkeyDouble, verb: str) -> None:
    """The router's own, where there is no other: what one verb has stored, every verb is given, as from any cache."""
    llm = ChatPortkey(model="gpt-4o")
    first = ask(llm, verb, QUESTION)
    paid = first.response_metadata["portkey"]["cost"]["amount"]
    ids = {first.id}
    with usage_report() as report, UsageCallbackHandler() as usage:
        for again in VERBS:
            hit = ask(llm, again, QUESTION)
            ids.add(hit.id)
            assert hit.text == first.text
            assert hit.usage_metadata is not None
            assert hit.usage_metadata["total_tokens"] == 0
            told = hit.response_metadata["portkey"]
            assert (told["cost"]["amount"], told["attempts"]) == ("0", [])
            assert (told["cache"]["layer"], told["cache"]["saved_cost"]) == ("exact", paid)
    assert (sent(environment), len(ids)) == (1, 5)
    for each in (report, usage):
        assert (each.totals.calls, each.totals.hits, str(each.cost_usd)) == (4, 4, "0")


@each_verb
def test_every_other_cache_wins_over_the_environments(environment: PortkeyDouble, verb: str) -> None:
    """An explicit one, LangChain's global one, and `False`, which is none."""
    explicit, everybodys = ours("memory://"), ours("memory://")
    ask(ChatPortkey(model="gpt-4o"), verb, QUESTION)
    ask(ChatPortkey(model="gpt-4o", cache=explicit), verb, QUESTION)
    assert (sent(environment), explicit.cache.count()) == (2, 1)
    set_llm_cache(everybodys)
    try:
        ask(ChatPortkey(model="gpt-4o"), verb, QUESTION)
    finally:
        set_llm_cache(None)
    assert (sent(environment), everybodys.cache.count()) == (3, 1)
    for _ in range(2):
        ask(ChatPortkey(model="gpt-4o", cache=False), verb, QUESTION)
    assert sent(environment) == 5
    ask(ChatPortkey(model="gpt-4o", cache=InMemoryCache()), verb, QUESTION)
    assert sent(environment) == 6


@each_verb
def test_what_a_call_wants_of_the_environments(environment: PortkeyDouble, verb: str) -> None:
    """The same arguments, which the router then heeds; none is a field of the request."""
    llm = ChatPortkey(model="gpt-4o")
    for wish in ({"no_cache": True}, {}, {"refresh": True}, {"namespace": "a"}, {"cache_ttl": 9, "tenant": "t"}):
        ask(llm.bind(**wish), verb, QUESTION)
    assert sent(environment) == 5
    for wish in ({}, {"namespace": "a"}, {"tenant": "t"}):
        ask(llm.bind(**wish), verb, QUESTION)
    assert sent(environment) == 5
    wishes = {"no_cache", "refresh", "namespace", "cache_ttl", "tenant"}
    assert not any(wishes & set(request.body) for request in environment.requests)


# ---- written down ----------------------------------------------------------------------------------------------------


def test_no_password_is_written_down() -> None:
    """repr, dumps, JSON, pickle and the cache's key: none has the URL's password, nor does a restored model."""
    llm = ChatPortkey(model="@a/gpt-4o", api_key="PLANTED-key", cache=SECRET_URL)
    texts = [repr(llm), str(llm), dumps(llm), json.dumps(dumpd(llm)), llm.model_dump_json(), repr(llm.asdict())]
    texts += [llm._get_llm_string(), repr(llm._identifying_params), repr(llm.to_json())]
    pickled = pickle.dumps(llm)
    assert not [text for text in [*texts, pickled.decode("latin-1")] if "PLANTED" in text]


def test_a_cache_changes_nothing_that_is_written_down(portkey: PortkeyDouble) -> None:
    """Neither the key of an answer nor the model's JSON: with and without it they are the same."""
    plain = ChatPortkey(model="gpt-4o")
    for cache in (ours("memory://"), InMemoryCache(), False, True):
        llm = ChatPortkey(model="gpt-4o", cache=cache)
        assert llm._get_llm_string(stop=None) == plain._get_llm_string(stop=None)
        assert dumps(llm) == dumps(plain)
        assert llm._llm_type == plain._llm_type


def test_copies_share_their_cache_and_pickles_have_none(portkey: PortkeyDouble) -> None:
    """A deep copy is answered from it; a restored model has LangChain's global one; `False` stays."""
    llm = ChatPortkey(model="gpt-4o", cache=ours("memory://"))
    llm.invoke(QUESTION)
    for copied in (copy.deepcopy(llm), copy.copy(llm), llm.model_copy(), llm.model_copy(deep=True)):
        assert copied.invoke(QUESTION).response_metadata["portkey"]["cache"]
    assert sent(portkey) == 1
    models = (llm, *(ChatPortkey(model="gpt-4o", cache=given) for given in (False, True)))
    restored, without, everybodys = pickle.loads(pickle.dumps(models))  # noqa: S301  (our own)
    assert (restored.cache, without.cache, everybodys.cache) == (None, False, True)
    set_llm_cache(llm.cache)
    try:
        assert list(restored.stream(QUESTION))[-1].response_metadata["portkey"]["cache"]["layer"] == "exact"
    finally:
        set_llm_cache(None)

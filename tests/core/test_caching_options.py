from __future__ import annotations

import json
from typing import Any

import pytest

from portkey_router.cache.cache import SemanticCache
from portkey_router.errors import ConfigurationError
from portkey_router.events import CacheLookup, capture_events
from portkey_router.messages import CacheUse, CallOptions
from tests.cache.words import Words
from tests.core.cached import WAYS, ask, cache_of, cached, calls, question, says
from tests.core.fakes import HELLO, ok

# ---- what a call says ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_call_may_leave_the_cache_alone(way: str) -> None:
    """`no_cache`: nothing is looked up, nothing kept."""
    router = cached(says("one", way), says("two", way), says("three", way))
    assert ask(router, way, no_cache=True).text == "one"
    assert cache_of(router).count() == 0
    assert ask(router, way).text == "two"
    assert ask(router, way, no_cache=True).text == "three"
    assert ask(router, way).text == "two"


@pytest.mark.parametrize("way", WAYS)
def test_a_call_may_ask_anew(way: str) -> None:
    """`refresh`: nothing is looked up, and the new answer is kept in the place of the old one."""
    router = cached(says("one", way), says("two", way))
    assert ask(router, way).text == "one"
    fresh = ask(router, way, refresh=True)
    assert (fresh.text, fresh.cache) == ("two", None)
    assert ask(router, way).text == "two"
    assert cache_of(router).count() == 1


def test_a_call_says_for_how_long_and_under_what() -> None:
    """`cache_ttl` in seconds, `cache_tags`, `namespace` and `tenant`: each as the cache's own verbs know them."""
    now = [1000.0]
    cache = SemanticCache("memory://", now=lambda: now[0], chance=lambda: 0.0)
    router = cached(ok("one"), ok("two"), ok("three"), ok("four"), cache=cache)
    router.complete(HELLO, cache_ttl=60, cache_tags=["a"], namespace="n", tenant="t")
    assert [(each.tags, each.namespace, each.tenant) for each in cache.inspect()] == [(("a",), "n", "t")]
    assert router.complete(HELLO, namespace="n", tenant="t").text == "one"
    assert router.complete(HELLO, namespace="n").text == "two"
    assert router.complete(HELLO).text == "three"
    assert cache.clear(tag="a") == 1
    assert router.complete(HELLO, namespace="n", tenant="t").text == "four"


def test_the_routers_own_use_gives_way_to_the_calls() -> None:
    """`CallOptions(cache_use=...)` is for every call; what a call says goes over it, field by field."""
    use = CacheUse(namespace="ours", tags=("all",))
    router = cached(ok("one"), ok("two"), options=CallOptions(cache_use=use))
    router.complete(HELLO)
    router.complete(HELLO, namespace="other")
    shown = {(each.namespace, each.tags) for each in cache_of(router).inspect()}
    assert shown == {("ours", ("all",)), ("other", ("all",))}


@pytest.mark.parametrize(
    "wrong",
    [
        {"cache_ttl": 0},
        {"cache_ttl": -1},
        {"cache_ttl": float("inf")},
        {"cache_ttl": "60"},
        {"cache_tags": "a"},
        {"cache_tags": [1]},
        {"no_cache": "yes"},
        {"refresh": 3},
        {"namespace": 3},
        {"tenant": b"a"},
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_is_sent(wrong: dict[str, Any]) -> None:
    """A clear error that names the argument."""
    router = cached(ok())
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        router.complete(HELLO, **wrong)
    assert calls(router) == 0


def test_none_of_it_is_a_field_of_the_body() -> None:
    """The provider is sent none of these."""
    router = cached(ok())
    router.complete(HELLO, refresh=True, no_cache=False, cache_ttl=5, cache_tags=["a"], namespace="n", tenant="t")
    port: Any = router._sync_port
    assert json.loads(port.calls[0].body).keys() == {"model", "messages"}


def test_without_a_cache_the_words_mean_nothing() -> None:
    """A router that has none takes the same calls."""
    from portkey_router.router import PortkeyRouter
    from tests.core.cached import SETTINGS
    from tests.core.fakes import AsyncPort, SyncPort

    router = PortkeyRouter(SETTINGS, ports=(SyncPort(ok("Hello")), AsyncPort()), model="gpt-4o")
    answer = router.complete(HELLO, refresh=True, namespace="n", cache_ttl=5)
    assert (answer.text, answer.cache) == ("Hello", None)


# ---- for adapters ----------------------------------------------------------------------------------------------------


def test_what_somebody_above_has_missed_is_not_looked_up_again() -> None:
    """The miss's key and vector are used for the store; with `stores_itself`, nothing is kept here."""
    words = Words()
    cache = SemanticCache("memory://", words)
    router = cached(ok("one"), ok("two"))
    key = cache.key(question("what is a gateway"))
    missed: Any = cache.lookup(key, lambda entry: entry.answer)
    with capture_events() as events:
        router.complete(question("what is a gateway"), cache_use=CacheUse(cache, missed=missed, stores_itself=True))
        assert cache.count() == 0
        router.complete(question("what is a gateway"), cache_use=CacheUse(cache, missed=missed))
    assert not [event for event in events if isinstance(event, CacheLookup)]
    assert (cache.count(), len(words.asked)) == (1, 1)
    assert cache_of(router).count() == 0

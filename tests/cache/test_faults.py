"""A real Redis that fails, and encoders that do: the caller is never troubled, and events say what it was."""

from __future__ import annotations

import asyncio
import logging
import zlib
from typing import TYPE_CHECKING, Any

import pytest
import redis

from portkey_router.cache.cache import SemanticCache
from portkey_router.cache.results import Hit, Miss
from portkey_router.errors import ConfigurationError, StoreError
from portkey_router.events import CacheLookup, capture_events
from tests.cache.test_semantic_cache import ALIKE, OTHER, QUESTION, key, said, spoken
from tests.net_server import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cache.words import Words
    from tests.services.redis import RedisServer

Ask = Any
Start = Any  # starts a server of the test's own
NAME = "faults"


@pytest.fixture
def cached(words: Words) -> Callable[..., SemanticCache]:
    """A cache on a server of the test's own, patient: what is not paused answers, however slow the machine."""

    def make(server: RedisServer, **options: Any) -> SemanticCache:
        usual = {"timeout": 20.0, "connect_timeout": 20.0, "distance_threshold": 0.15, "name": NAME}
        return SemanticCache(server.url, words, **{**usual, **options})

    return make


def works(cache: SemanticCache, ask: Ask) -> bool:
    """Whether what is stored is found, exactly and by meaning."""
    ask(cache, "store", key(cache, QUESTION), said("Click here."))
    return all(isinstance(ask(cache, "lookup", key(cache, question), spoken), Hit) for question in (QUESTION, ALIKE))


def does_without(cache: SemanticCache, ask: Ask, reason: str) -> None:
    """Both a lookup and a store fail, silently, and an event tells why."""
    with capture_events() as events:
        miss = ask(cache, "lookup", key(cache, QUESTION), spoken)
        kept = ask(cache, "store", key(cache, OTHER), said("Nine to five."))
    assert isinstance(miss, Miss)
    assert reason in miss.reason
    assert reason in kept
    told = [event.reason for event in events if isinstance(event, CacheLookup)]
    assert told == [miss.reason, f"not stored: {kept}"]


def test_killed_and_started_again(fresh_redis: Start, cached: Any, ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    """A crash is a miss; the log tells of it once; when Redis is back (empty, without index), the cache works on."""
    server = fresh_redis()
    cache = cached(server)
    assert works(cache, ask)
    server.kill()
    with caplog.at_level(logging.WARNING, "portkey_router.cache"):
        does_without(cache, ask, "cannot be reached")
        ask(cache, "lookup", key(cache, QUESTION), spoken)
    assert [record.name for record in caplog.records] == ["portkey_router.cache"]
    fresh_redis(port=server.port)
    _after_the_breaker(cache)
    ask(cache, "lookup", key(cache, ALIKE), spoken)  # finds that the index is gone, and makes it
    assert works(cache, ask)


def test_killed_in_the_middle_of_a_call(fresh_redis: Start, cached: Any) -> None:
    """A reply that never comes is a miss."""
    server = fresh_redis()
    cache = cached(server)
    asyncio.run(cache.alookup(key(cache, QUESTION), spoken))

    async def main() -> Any:
        await cache.alookup(key(cache, QUESTION), spoken)
        server.pause()
        waiting = asyncio.create_task(cache.alookup(key(cache, ALIKE), spoken))
        await asyncio.sleep(0.1)
        server.kill()
        return await waiting

    miss = asyncio.run(main())
    assert isinstance(miss, Miss)
    assert "cannot be reached" in miss.reason


def test_paused(fresh_redis: Start, cached: Any, ask: Ask) -> None:
    """A server that hangs costs its timeout; after three in a row it is left alone; then it is tried again."""
    server = fresh_redis()
    cache = cached(server, timeout=0.05, connect_timeout=0.05)
    assert until(lambda: works(cache, ask))
    server.pause()
    does_without(cache, ask, "")
    for _ in range(3):
        ask(cache, "lookup", key(cache, QUESTION), spoken)
    does_without(cache, ask, "left alone")
    server.resume()
    does_without(cache, ask, "left alone")
    _after_the_breaker(cache)
    assert until(lambda: works(cache, ask))


def test_out_of_memory(fresh_redis: Start, cached: Any, ask: Ask) -> None:
    """A full server stores nothing, still answers what it has, and is not left alone for it."""
    server = fresh_redis("--maxmemory-policy", "noeviction")
    cache = cached(server)
    assert works(cache, ask)
    with server.client() as client:
        client.config_set("maxmemory", "1mb")
    for _ in range(5):
        assert "OOM" in _reason(ask(cache, "store", key(cache, OTHER), said("Nine to five.")))
    assert isinstance(ask(cache, "lookup", key(cache, QUESTION), spoken), Hit)
    with server.client() as client:
        client.config_set("maxmemory", "0")
    assert works(cache, ask)


def test_read_only(fresh_redis: Start, cached: Any, ask: Ask) -> None:
    """A replica is read from, and stores nothing."""
    server = fresh_redis()
    cache = cached(server)
    assert works(cache, ask)
    with server.client() as client:
        client.replicaof("127.0.0.1", "1")
        assert isinstance(ask(cache, "lookup", key(cache, QUESTION), spoken), Hit)
        assert ask(cache, "store", key(cache, OTHER), said("Nine to five.")) is not None
        client.replicaof("NO", "ONE")
    assert works(cache, ask)


def test_loading(fresh_redis: Start, cached: Any, ask: Ask, tmp_path: Path) -> None:
    """A server that still loads its data answers nothing yet, and is used once it has."""
    folder = ("--dir", str(tmp_path))
    server = fresh_redis(*folder, "--enable-debug-command", "yes", search=False)
    works(cached(server, distance_threshold=0.0), ask)
    with server.client() as client:
        client.execute_command("DEBUG", "POPULATE", 20_000)
        client.save()
    slowly = (
        "--key-load-delay",
        "1000",
        "--loading-process-events-interval-bytes",
        "1024",
    )  # microseconds: 20 s in all
    slow = fresh_redis(*folder, *slowly, search=False, ready=False)
    cache = cached(slow)
    assert until(lambda: _says_loading(slow))
    does_without(cache, ask, "LOADING")
    with slow.client() as client:
        assert until(lambda: _hurried(client))
    _after_the_breaker(cache)
    assert until(lambda: isinstance(ask(cache, "lookup", key(cache, QUESTION), spoken), Hit))


def _says_loading(server: RedisServer) -> bool:
    with server.client(retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0)) as client:
        try:
            client.get("key")
        except redis.exceptions.BusyLoadingError:
            return True
        except redis.ConnectionError:
            return False
    return False


def _hurried(client: redis.Redis) -> bool:
    """Take the delay away; CONFIG is one of the few commands that a loading server takes."""
    try:
        return bool(client.config_set("key-load-delay", "0"))
    except redis.ConnectionError:
        return False


def test_the_index_is_dropped(fresh_redis: Start, cached: Any, ask: Ask) -> None:
    """Exact hits go on; the search that finds it missing makes it anew, over what is there."""
    server = fresh_redis()
    cache = cached(server)
    assert works(cache, ask)
    with server.client() as client:
        (index,) = client.execute_command("FT._LIST")
        client.execute_command("FT.DROPINDEX", index)
    assert isinstance(ask(cache, "lookup", key(cache, QUESTION), spoken), Hit)
    miss = ask(cache, "lookup", key(cache, ALIKE), spoken)
    assert isinstance(miss, Miss)
    assert "the store failed" in miss.reason
    assert until(lambda: isinstance(ask(cache, "lookup", key(cache, ALIKE), spoken), Hit))


def test_a_key_of_another_type(fresh_redis: Start, cached: Any, ask: Ask) -> None:
    """Somebody's list under our name is a miss, is not left alone for it, and a store takes its place."""
    server = fresh_redis()
    cache = cached(server)
    row = key(cache, QUESTION).normalised[:32]
    with server.client() as client:
        client.rpush(f"{NAME}:e:{row}", "a", "list")
    for _ in range(4):
        miss = ask(cache, "lookup", key(cache, QUESTION), spoken)
        assert "WRONGTYPE" in miss.reason
    ask(cache, "put", OTHER, "Nine to five.", tags=["x"])
    assert ask(cache, "clear", tag="x") == 1
    assert works(cache, ask)


BOMB = b"1" + zlib.compress(b" " * (20 << 20))
BODIES = {
    "empty": b"",
    "of langchain-redis": b'[{"lc": 1, "type": "constructor", "id": ["langchain", "llms", "Evil"], "kwargs": {}}]',
    "a pickle": b"\x80\x04\x95\x0b\x00\x00\x00",
    "no zlib": b"1not zlib",
    "cut short": b"1" + zlib.compress(b"[1, 2, 3]" * 500)[:-9],
    "a bomb": BOMB,
    "no JSON": b"0{",
    "JSON of another form": b'0{"kind": "spoken"}',
    "wrong types": b'0["spoken",{"text":"Evil."},7,1.0,null,null,null,null,"",[],"","",null,null]',
    "a class to build": b'0["os.system",{"text":"Evil."},"How?",1.0,null,null,null,null,"",[],"","",null,null]',
    "deep": b'0["spoken",' + b"[" * 100_000 + b"]" * 100_000 + b"]",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_foreign_and_corrupt_entries(searching_redis: RedisServer, cached: Any, ask: Ask, body: bytes) -> None:
    """A miss in every layer, told and counted; a store puts a good entry in the place."""
    cache = cached(searching_redis)
    ask(cache, "clear")
    assert works(cache, ask)
    row = key(cache, QUESTION).normalised[:32]
    with searching_redis.client() as client:
        client.hset(f"{NAME}:e:{row}", "a", body)
        with capture_events() as events:
            for question in (QUESTION, ALIKE):
                miss = ask(cache, "lookup", key(cache, question), spoken)
                assert isinstance(miss, Miss)
                assert miss.reason == "an entry that cannot be read"
        assert len(events) == 2
        assert cache.stats().failures["corrupt entry"] >= 2
        assert ask(cache, "inspect") == [] or body == BODIES["a class to build"]  # which is only a kind nobody knows
    assert works(cache, ask)


@pytest.fixture(scope="module")
def searching_redis(request: pytest.FixtureRequest) -> Any:
    """A server of these tests' own, whose keys they may spoil."""
    from tests.services.fixtures import own_redis

    with own_redis() as server:
        yield server


def test_a_vector_of_another_length(searching_redis: RedisServer, cached: Any, ask: Ask) -> None:
    """Rows whose vector is spoilt are not found by meaning; the others are."""
    cache = cached(searching_redis, name="lengths")
    assert works(cache, ask)
    with searching_redis.client() as client:
        (row,) = client.keys("lengths:e:*")
        (field,) = [name for name in client.hkeys(row) if name.startswith(b"v_")]
        client.hset(row, field, b"short")
    assert isinstance(ask(cache, "lookup", key(cache, ALIKE), spoken), Miss)
    assert works(cache, ask)


def test_a_wrong_password(fresh_redis: Start, words: Words, ask: Ask) -> None:
    """Refused logins are misses, and no event or log holds the password."""
    server = fresh_redis("--requirepass", "opensesame", search=False)
    cache = SemanticCache(f"redis://:opennothing@127.0.0.1:{server.port}", words, timeout=20.0, connect_timeout=20.0)
    with capture_events() as events:
        does_without(cache, ask, "refused the login")
    assert "opennothing" not in repr(events) + repr(cache) + repr(cache.stats())


def test_nothing_listens(words: Words, ask: Ask) -> None:
    """Building connects nowhere; a lookup is a miss; but an administrator is told."""
    cache = SemanticCache("redis://127.0.0.1:1", words)
    assert words.calls == 0
    does_without(cache, ask, "cannot be reached")
    with pytest.raises(StoreError):
        ask(cache, "clear")


@pytest.mark.parametrize(
    "error", [RuntimeError("no model, key sk-abcdefgh12345678"), ValueError("too long"), KeyError("x")], ids=repr
)
def test_an_encoder_that_fails(alike: SemanticCache, words: Words, ask: Ask, error: Exception) -> None:
    """Equal questions are answered without it, answers are kept without a vector, and it is left alone after three."""
    words.error = error
    miss = ask(alike, "lookup", key(alike, QUESTION), spoken)
    assert miss.reason == "the embedding failed"
    assert ask(alike, "store", miss, said("Click here.")) is None
    assert ask(alike, "lookup", key(alike, QUESTION), spoken).layer == "exact"
    for number in range(5):
        ask(alike, "lookup", key(alike, f"{OTHER} {number}"), spoken)
    assert words.calls == 3
    assert alike.stats().failures == {"embedding": 3}


@pytest.mark.parametrize("vector", [[], [0.0] * 8, [float("nan")] * 8, [1e300] * 8, ["a"], None], ids=repr)
def test_vectors_that_are_none(make_cache: Any, ask: Ask, vector: Any) -> None:
    """No direction, no comparison."""
    cache = make_cache("memory://", lambda _: vector)
    miss = ask(cache, "lookup", key(cache, QUESTION), spoken)
    assert miss.reason == "the embedding failed"


def test_a_users_mistake_is_not_hidden(make_cache: Any, searching_url: str) -> None:
    """An asynchronous function in a synchronous call inside a loop cannot be run: that is said, not swallowed."""

    async def embed(text: str) -> list[float]:
        return [1.0, 0.0]

    cache = make_cache(searching_url, embed)

    async def main() -> None:
        cache.lookup(key(cache, QUESTION), spoken)

    with pytest.raises(ConfigurationError, match="synchronous call inside a running loop"):
        asyncio.run(main())
    assert isinstance(cache.lookup(key(cache, QUESTION), spoken), Miss)  # without a loop it has one of its own


def _reason(reason: str | None) -> str:
    return reason or ""


def _after_the_breaker(cache: SemanticCache) -> None:
    """As if its time had passed."""
    cache._lookups._store_breaker._until = 0.0

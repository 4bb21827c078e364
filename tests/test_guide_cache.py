"""The integration guide's blocks on the semantic cache, as written but for the import path: run on a real Redis."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import redis

from portkey_router.bootstrap import build_cache_store
from portkey_router.cache.cache import SemanticCache
from portkey_router.errors import ConfigurationError, NotEnabledError, StoreError
from portkey_router.guide import PortkeyError, RedisClient
from tests.cache.words import Words

if TYPE_CHECKING:
    from portkey_router.sandbox import PortkeyDouble

CAPITAL = "What is the capital of France?"
RESET = "How do I reset the password of my account at the bank when I am at home with my phone and my card?"
PLANTED = "sk-planted-0123456789"


@pytest.fixture
def server(portkey_sandbox: PortkeyDouble, monkeypatch: pytest.MonkeyPatch) -> PortkeyDouble:
    """A double of Portkey in Portkey's place."""
    monkeypatch.setenv("PORTKEY_GATEWAY_URL", portkey_sandbox.url)
    return portkey_sandbox


def client(server: PortkeyDouble, **options: Any) -> RedisClient:
    """The guide's client, with Portkey enabled."""
    return RedisClient(**{"use_portkey": True, "portkey_api_key": server.api_key, "cache": "memory://", **options})


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy makes no miss: caches of these tests wait longer than 50 ms."""
    for door in (SemanticCache.__init__, build_cache_store):
        for name in ("timeout", "connect_timeout"):
            monkeypatch.setitem(door.__kwdefaults__ or {}, name, 20.0)


@pytest.fixture
def at(fresh_redis: Any) -> dict[str, Any]:
    """Host and port of a Redis of this test's own."""
    parts = urlsplit(fresh_redis().url)
    return {"host": parts.hostname, "port": parts.port, "cache": None}


# ---- "Using Semantic Cache", "Clearing the Cache" --------------------------------------------------------------------


async def test_the_blocks_of_the_guide(server: PortkeyDouble, at: dict[str, Any]) -> None:
    """Miss, store, hit; a custom key and ttl; clear: on the Redis of `host` and `port`, with the lives asked for."""
    redis_client = client(server, portkey_cache_ttl=3600, **at)
    asked = 0

    async def answer(query: str) -> Any:
        nonlocal asked
        cached_response = await redis_client.portkey_semantic_cache(query="What is the capital of France?")
        if cached_response:
            return cached_response
        asked += 1
        response = "Paris"
        await redis_client.portkey_store_semantic_cache(query="What is the capital of France?", response=response)
        return response

    assert [await answer(CAPITAL) for _ in range(3)] == ["Paris"] * 3
    assert asked == 1
    with redis.Redis(at["host"], at["port"]) as looking:
        assert [0.9 * 3600 - 60 < looking.ttl(key) <= 3600 for key in looking.scan_iter()] == [True]
        await redis_client.portkey_store_semantic_cache(
            query="What is the capital of France?",
            response="Paris",
            cache_key="geography:france:capital",
            ttl=86400,  # 24 hours
        )
        assert [0.9 * 86400 - 60 < looking.ttl(key) <= 86400 for key in looking.scan_iter()] == [True, True]
        assert await redis_client.portkey_semantic_cache(CAPITAL, cache_key="geography:france:capital") == "Paris"
        assert await redis_client.clear_portkey_cache() == 2
        assert looking.dbsize() == 0
    assert await redis_client.portkey_semantic_cache(CAPITAL) is None


async def test_a_key_leads_to_its_own_response(server: PortkeyDouble) -> None:
    """One question under two keys: the first key gives nothing rather than the second's response."""
    redis_client = client(server)
    for key, response in (("france", "Paris"), ("spain", "Madrid")):
        assert await redis_client.portkey_store_semantic_cache("What is the capital?", response, cache_key=key)
    assert await redis_client.portkey_semantic_cache("What is the capital?", cache_key="spain") == "Madrid"
    assert await redis_client.portkey_semantic_cache("What is the capital?", cache_key="france") is None
    assert await redis_client.portkey_semantic_cache("What is the capital?", cache_key="italy") is None


# ---- what it compares questions by -----------------------------------------------------------------------------------


async def test_embeddings_that_are_given_are_used(server: PortkeyDouble, at: dict[str, Any]) -> None:
    """Questions in other words hit, by `embeddings=`; Portkey is asked nothing."""
    words = Words()
    redis_client = client(server, embeddings=words, **at)
    await redis_client.portkey_store_semantic_cache(RESET, "Click.")
    assert await redis_client.portkey_semantic_cache(f"{RESET[:-1]} again?") == "Click."
    assert words.calls
    assert server.requests == ()


@pytest.mark.parametrize("configured", ["virtual key", "fallback in the environment", "fallback", "by name"])
async def test_with_an_openai_key_portkey_embeds(
    server: PortkeyDouble, monkeypatch: pytest.MonkeyPatch, configured: str
) -> None:
    """By OpenAI's virtual key, or by the key of a fallback; the key goes to Portkey, and nowhere else."""
    fallback = {"provider": "openai", "model": "gpt-4-turbo", "api_key": PLANTED}
    options: dict[str, Any] = {}
    if configured in {"virtual key", "by name"}:
        server.add_virtual_key("vk_openai", provider="openai")
        monkeypatch.setenv("PORTKEY_VIRTUAL_KEY_OPENAI", "vk_openai")
    if configured == "by name":
        options = {"embeddings": "text-embedding-3-large"}
    if configured == "fallback in the environment":
        monkeypatch.setenv("PORTKEY_FALLBACKS", str([fallback]).replace("'", '"'))
    redis_client = client(server, **options)
    if configured == "fallback":
        await redis_client.setup_portkey_config(fallbacks=[fallback])
    assert await redis_client.portkey_store_semantic_cache(RESET, "Click.")
    assert await redis_client.portkey_semantic_cache(f"{RESET[:-1]} again?") == "Click."
    request = server.requests[0]
    large = configured == "by name"
    assert request.body["model"] == ("text-embedding-3-large" if large else "text-embedding-3-small")
    if configured.startswith("fallback"):
        assert request.headers["authorization"] == f"Bearer {PLANTED}"
    else:
        assert request.headers["x-portkey-virtual-key"] == "vk_openai"
    assert PLANTED not in repr(redis_client) + repr(redis_client.cache)


async def test_without_a_key_only_equal_questions_hit_and_it_says_so(
    server: PortkeyDouble, caplog: pytest.LogCaptureFixture
) -> None:
    """However they are spelt; the log says once what to set."""
    redis_client = client(server)
    with caplog.at_level(logging.WARNING):
        await redis_client.portkey_store_semantic_cache(CAPITAL, "Paris")
        assert await redis_client.portkey_semantic_cache("what is the capital of  France") == "Paris"
        assert await redis_client.portkey_semantic_cache("Which city is the capital of France?") is None
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1
    assert "equal questions only" in told[0]
    assert "PORTKEY_VIRTUAL_KEY_OPENAI" in told[0]


async def test_a_key_that_comes_later_makes_it_compare(server: PortkeyDouble) -> None:
    """What was stored before stays, in memory too, and is found by equal questions."""
    redis_client = client(server)
    await redis_client.portkey_store_semantic_cache(CAPITAL, "Paris")
    await redis_client.setup_portkey_config(fallbacks=[{"provider": "openai", "model": "gpt-4", "api_key": PLANTED}])
    assert await redis_client.portkey_semantic_cache(CAPITAL) == "Paris"
    assert "text-embedding-3-small" in repr(redis_client.cache)


# ---- on and off ------------------------------------------------------------------------------------------------------


async def test_the_cache_is_on_unless_it_is_switched_off(
    server: PortkeyDouble, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """`cache_enabled` switches it, None leaves it, PORTKEY_CACHE_ENABLED says how it begins; off is said once."""
    fallbacks = [{"provider": "anthropic", "model": "claude-3-opus", "api_key": "k"}]
    redis_client = client(server)

    async def works() -> bool:
        kept = await redis_client.portkey_store_semantic_cache(CAPITAL, "Paris")
        found = await redis_client.portkey_semantic_cache(CAPITAL) == "Paris"
        assert kept is found
        return found

    assert await works()
    await redis_client.setup_portkey_config(fallbacks=fallbacks, cache_enabled=False)
    assert not await works()
    assert not await works()
    assert sum("switched off" in record.getMessage() for record in caplog.records) == 1
    await redis_client.setup_portkey_config(fallbacks=fallbacks)
    assert not await works()
    await redis_client.setup_portkey_config(fallbacks=fallbacks, cache_enabled=True)
    assert await works()
    monkeypatch.setenv("PORTKEY_CACHE_ENABLED", "False")
    redis_client = client(server)
    assert not await works()
    monkeypatch.setenv("PORTKEY_CACHE_ENABLED", "true")
    redis_client = client(server)
    assert await works()


async def test_what_portkey_itself_keeps_is_switched_with_it(server: PortkeyDouble) -> None:
    """Once asked for, Portkey's own cache stays with the next strategy; `cache_enabled=False` ends it."""
    redis_client = client(server)
    fallbacks = [{"provider": "openai", "model": "gpt-4-turbo", "api_key": "k"}]
    for enabled in (True, None, False):
        await redis_client.setup_portkey_config(fallbacks=fallbacks, cache_enabled=enabled)
        await redis_client.portkey.generate_response(messages=[{"role": "user", "content": "Hello"}])
    configs = [str(request.headers.get("x-portkey-config")) for request in server.requests]
    assert ["max_age" in config for config in configs] == [True, True, False]


# ---- what goes wrong -------------------------------------------------------------------------------------------------


async def test_not_enabled_is_a_runtime_error_for_every_verb() -> None:
    """As the guide's error handling expects; nothing is connected."""
    redis_client = RedisClient(use_portkey=False)
    for verb in (
        lambda: redis_client.portkey_semantic_cache(CAPITAL),
        lambda: redis_client.portkey_store_semantic_cache(CAPITAL, "Paris"),
        redis_client.clear_portkey_cache,
    ):
        with pytest.raises(RuntimeError, match="pass use_portkey=True") as caught:
            await verb()
        assert isinstance(caught.value, PortkeyError)
    with pytest.raises(NotEnabledError):
        _ = redis_client.cache


async def test_a_redis_that_is_away_is_a_miss_and_clearing_says_so(server: PortkeyDouble) -> None:
    """A lookup gives None, a store False; who clears is told, by a PortkeyError."""
    redis_client = client(server, host="127.0.0.1", port=9, cache=None)
    assert await redis_client.portkey_semantic_cache(CAPITAL) is None
    assert await redis_client.portkey_store_semantic_cache(CAPITAL, "Paris") is False
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:9 cannot be reached"):
        await redis_client.clear_portkey_cache()


async def test_a_response_that_is_no_json_is_told(server: PortkeyDouble) -> None:
    """With what to give instead, not as a miss for ever."""
    redis_client = client(server)
    with pytest.raises(ConfigurationError, match=r"of an answer, its text.*no object"):
        await redis_client.portkey_store_semantic_cache(CAPITAL, object())
    assert await redis_client.portkey_store_semantic_cache(CAPITAL, {"city": ["Paris"]})
    assert await redis_client.portkey_semantic_cache(CAPITAL) == {"city": ["Paris"]}


async def test_a_cache_of_ones_own_is_used(server: PortkeyDouble) -> None:
    """With all that it is set to; an address of six numbers is one."""
    own = SemanticCache("memory://", namespace="guide")
    redis_client = client(server, cache=own)
    await redis_client.portkey_store_semantic_cache(CAPITAL, "Paris")
    assert [entry.namespace for entry in own.inspect()] == ["guide"]
    assert "::1" in repr(client(server, host="::1", port=9, cache=None).cache._store._client)  # type: ignore[attr-defined]

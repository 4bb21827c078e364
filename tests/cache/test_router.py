from __future__ import annotations

import re
import socket
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from portkey_router import PortkeyRouter, SemanticCache, Target, build_router, sandbox
from portkey_router.events import CacheLookup, CallFinished, capture_events
from tests.core.cached import PLANTED, WAYS, ask, question
from tests.net_server import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from portkey_router.sandbox import PortkeyDouble
    from tests.cache.words import Words
    from tests.services.redis import RedisServer

ASKED = "how do I reset the password of my account"
ALIKE = "how can I reset the password of my account"


def router(cache: SemanticCache, **options: Any) -> PortkeyRouter:
    """A router of the environment's, with this cache."""
    return build_router(**{"model": "gpt-4o", "cache": cache, "max_retries": 0, **options})


@pytest.mark.parametrize("way", WAYS)
def test_every_store_answers_every_way(way: str, cache: SemanticCache, portkey: PortkeyDouble) -> None:
    """Asked twice, sent once, on every kind of store; the second costs nothing and says where it came from."""
    made = router(cache)
    one, two = ask(made, way, question(ASKED)), ask(made, way, question(ASKED))
    assert one.text == two.text
    assert two.cache is not None
    assert two.cost is not None
    assert (two.cache["layer"], two.cost.amount) == ("exact", Decimal(0))
    assert len(portkey.requests) == 1


@pytest.mark.parametrize("way", ["complete", "astream"])
def test_every_store_that_compares_answers_alike(way: str, alike: SemanticCache, portkey: PortkeyDouble) -> None:
    """By meaning, within the same model, system prompt and parameters only."""
    made = router(alike)
    ask(made, way, question(ASKED))
    hit = ask(made, way, question(ALIKE))
    assert hit.cache is not None
    assert hit.cache["layer"] == "semantic"
    system = [{"role": "system", "content": "Be rude."}]
    assert ask(made, way, [*system, *question(ALIKE)]).cache is None
    assert ask(made, way, question(ALIKE), model="gpt-4o-mini").cache is None
    assert len(portkey.requests) == 3


def refuses(server: RedisServer) -> bool:
    """Whether it is gone."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", server.port)) != 0


@pytest.mark.parametrize("way", WAYS)
def test_a_redis_that_dies_in_mid_call_costs_the_caller_nothing(
    way: str, fresh_redis: Callable[..., RedisServer], words: Words, portkey: PortkeyDouble
) -> None:
    """It answers the lookup and is gone when the answer is to be kept: the answer comes, and an event says why not."""
    server = fresh_redis()
    cache = SemanticCache(server.url, words, timeout=20.0, connect_timeout=20.0)
    made = router(cache)
    portkey.always("vk-openai", sandbox.Fault.slow(first_token=0.0))

    def kill(event: Any) -> None:
        if isinstance(event, CacheLookup) and event.reason == "nothing alike":
            server.kill()
            assert until(lambda: refuses(server))

    with capture_events() as events:
        answer = ask(made, way, question(ASKED), on_event=kill)
        again = ask(made, way, question(ASKED))
    assert answer.text == again.text
    assert (answer.cache, again.cache) == (None, None)
    reasons = [str(event.reason) for event in events if isinstance(event, CacheLookup)]
    assert [reason.partition(":")[0] for reason in reasons] == [
        "nothing alike",
        "not stored",
        "the store failed",
        "not stored",
    ]
    assert [event.outcome for event in events if isinstance(event, CallFinished)] == ["ok", "ok"]
    assert len(cache.flights) == 0


def test_no_key_reaches_redis(redis_url: str, make_cache: Callable[..., SemanticCache], portkey: PortkeyDouble) -> None:
    """Keys of every kind, ids and metadata: none is in what the cache wrote. No user's text is in a name."""
    import redis

    cache = make_cache(redis_url)
    name = cache.name
    portkey.add_virtual_key(f"{PLANTED}-virtual", provider="openai")
    told = {"trace_id": f"{PLANTED}-trace", "metadata": {"_user": f"{PLANTED}-user"}, "tags": {"t": f"{PLANTED}-tag"}}
    header = {"x-other-key": f"{PLANTED}-header"}
    made = router(cache, virtual_keys={"openai": f"{PLANTED}-virtual"}, metadata={"a": f"{PLANTED}-meta"})
    made.complete(question("a plain question"), extra_headers=header, **told)
    made.complete(question("a plain question"), virtual_key=f"{PLANTED}-virtual", **told)
    made.complete(question("one more question"), strategy=Target("gpt-4o", virtual_key=f"{PLANTED}-virtual"), **told)
    config = {"virtual_key": f"{PLANTED}-virtual", "override_params": {"model": "gpt-4o"}}
    made.complete(question("a last question"), config=config, **told)
    assert cache.count() == 3
    with redis.Redis.from_url(redis_url) as client:
        names = [key for key in client.scan_iter(match=f"*{name}*") if client.type(key) == b"hash"]
        assert len(names) == 3
        for key in names:
            held = b" ".join(part for pair in client.hgetall(key).items() for part in pair)
            assert PLANTED.encode() not in key + held
            assert b"PLANTED" not in _opened(held)
            assert re.fullmatch(rb"[^ ]+", key)
            assert b"question" not in key


def _opened(held: bytes) -> bytes:
    """The entries' bodies, unpacked where they were compressed."""
    import zlib

    start = held.find(b"\x78\x5e")
    return held if start < 0 else held + zlib.decompressobj().decompress(held[start:])

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from portkey_router import ConfigurationError
from portkey_router.sinks import RedisStreamSink
from tests.events.calls import call, cost, decided

if TYPE_CHECKING:
    from tests.services.redis import RedisServer

LONG = 30.0


@pytest.mark.parametrize("held", [False, True], ids=["url", "client"])
def test_entries(plain_redis: RedisServer, held: bool) -> None:
    """Each event is an entry, in order, with its fields and the whole event as JSON; the stream keeps its length."""
    name = f"test:{uuid4().hex}"
    with plain_redis.client(decode_responses=False) as redis:
        sink = (
            RedisStreamSink(client=redis, stream=name, max_length=100)
            if held
            else RedisStreamSink(plain_redis.url, stream=name, max_length=100)
        )
        sink.handle(decided("call-7"))
        sink.handle(call(call_id="call-7", cost=cost("0.000000001")))
        assert sink.flush(LONG)
        [(_, first), (_, second)] = redis.xrange(name)
        assert (first[b"event"], second[b"event"]) == (b"RouteDecided", b"CallFinished")
        assert second[b"call_id"] == b"call-7"
        data = json.loads(second[b"data"])
        assert (data["cost"]["amount"], data["time"]) == ("0.000000001", second[b"time"].decode())
        for _ in range(2000):
            sink.handle(call())
        assert sink.close(LONG)
        assert sink.dropped == 0
        assert 100 <= redis.xlen(name) <= 300
        redis.delete(name)


def test_redis_that_is_not_there(caplog: pytest.LogCaptureFixture) -> None:
    """Without a server the events are dropped, counted and reported; the calls notice nothing."""
    sink = RedisStreamSink("redis://127.0.0.1:1")
    sink.handle(call())
    assert sink.flush(LONG)
    assert sink.dropped == 1
    assert "RedisStreamSink dropped 1 events: it could not write them." in caplog.text
    assert sink.close(LONG)


def test_a_stream_that_is_no_stream(plain_redis: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    """An error that Redis answers is an error of the sink: counted, and reported as Redis puts it."""
    name = f"test:{uuid4().hex}"
    with plain_redis.client() as redis:
        redis.set(name, "taken")
        sink = RedisStreamSink(client=redis, stream=name)
        sink.handle(call())
        assert sink.close(LONG)
        redis.delete(name)
    assert sink.dropped == 1
    assert "WRONGTYPE" in caplog.text


def test_what_cannot_be() -> None:
    """Told at once: no length, an asynchronous client, no URL, no redis-py."""
    import redis.asyncio

    with pytest.raises(ConfigurationError, match="max_length"):
        RedisStreamSink("redis://localhost", max_length=0)
    with pytest.raises(ConfigurationError, match="synchronous client"):
        RedisStreamSink(client=redis.asyncio.Redis())
    with pytest.raises(ConfigurationError, match="redis://"):
        RedisStreamSink()


def test_without_redis_py(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where redis-py is not installed, the error names the extra that brings it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "redis" else sys)
    with pytest.raises(ConfigurationError, match=r"portkey-router\[redis\]"):
        RedisStreamSink("redis://localhost")

"""Circuits that processes share by a real Redis."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from portkey_router import ConfigurationError, Fallback, PortkeyRouter, Target, sandbox
from portkey_router.health import Admission
from portkey_router.stores.redis_client import RedisClient
from portkey_router.stores.shared_health import SharedHealth
from tests.net_server import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from portkey_router.sandbox import PortkeyDouble
    from tests.services.redis import RedisServer

HELLO = [{"role": "user", "content": "Hello"}]
LONG = 60.0


@pytest.fixture
def two(plain_redis: RedisServer) -> Iterator[tuple[SharedHealth, SharedHealth]]:
    """What two processes know, of the same targets."""
    name = uuid4().hex
    with ExitStack() as stack:
        one, other = (
            stack.enter_context(closing(SharedHealth(RedisClient(plain_redis.url), name=name, every=0.01)))
            for _ in range(2)
        )
        yield one, other


def open_for(health: SharedHealth, key: str) -> float:
    """How long the circuit is open, as this process knows."""
    return health.look(key, time.monotonic()).open_for


def test_a_circuit_that_one_opens_is_open_for_the_other(two: tuple[SharedHealth, SharedHealth]) -> None:
    """For as long; a target that the other has never failed at."""
    one, other = two
    other.admit("k", time.monotonic())
    assert one.failed("k", time.monotonic(), 0.5, cooldown=LONG) == pytest.approx(LONG)
    assert until(lambda: open_for(other, "k") > LONG / 2)
    assert other.admit("k", time.monotonic()) is Admission.WAIT


def test_the_first_success_closes_it_for_all(two: tuple[SharedHealth, SharedHealth]) -> None:
    """Long before its time is over."""
    one, other = two
    other.admit("k", time.monotonic())
    one.failed("k", time.monotonic(), 0.5, cooldown=LONG)
    assert until(lambda: open_for(other, "k") > 0)
    assert one.succeeded("k", time.monotonic(), 0.1)
    assert until(lambda: open_for(other, "k") == 0)
    assert other.admit("k", time.monotonic()) is Admission.GO


def test_other_targets_are_not_touched(two: tuple[SharedHealth, SharedHealth]) -> None:
    """What is told is told of one target."""
    one, other = two
    for key in ("a", "b"):
        other.admit(key, time.monotonic())
    one.failed("a", time.monotonic(), 0.5, cooldown=LONG)
    assert until(lambda: open_for(other, "a") > 0)
    assert open_for(other, "b") == 0


def test_keys_expire_with_the_circuit(plain_redis: RedisServer, two: tuple[SharedHealth, SharedHealth]) -> None:
    """Nothing is left behind by a process that died meanwhile."""
    one, _ = two
    one.failed("k", time.monotonic(), 0.5, cooldown=0.2)
    with plain_redis.client() as client:
        assert until(lambda: not client.keys(f"{one._prefix}*"))


def test_without_redis_a_process_goes_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    """Said once; no call waits for it, and nothing is raised."""
    with closing(SharedHealth(RedisClient("redis://127.0.0.1:1"), every=0.001)) as alone:
        assert alone.failed("k", time.monotonic(), 0.5, cooldown=LONG) > 0
        assert alone.admit("k", time.monotonic()) is Admission.WAIT
        assert until(lambda: "not shared" in caplog.text)
        assert alone.succeeded("k", time.monotonic(), 0.1)
    assert caplog.text.count("not shared") == 1


def test_an_idle_thread_ends_and_begins_again(plain_redis: RedisServer) -> None:
    """Once no target was asked for a minute of the clock it is handed."""
    now = [0.0]
    with closing(SharedHealth(RedisClient(plain_redis.url), clock=lambda: now[0], every=0.001)) as health:
        health.admit("k", now[0])
        first = health._thread
        assert first is not None
        now[0] = 61.0
        assert until(lambda: not first.is_alive())
        health.admit("k", now[0])
        assert health._thread is not None
        assert health._thread is not first


def test_a_router_shares_by_a_url(plain_redis: RedisServer, portkey_sandbox: PortkeyDouble) -> None:
    """One process finds a target down; another, that has never asked it, asks the next; no key or slug is written."""
    for slug in ("planted-slug-a", "planted-slug-b"):
        portkey_sandbox.add_virtual_key(slug, provider="openai")
    strategy = Fallback(Target("a", virtual_key="planted-slug-a"), Target("b", virtual_key="planted-slug-b"))

    def router(health: Any) -> PortkeyRouter:
        return PortkeyRouter.from_env(
            base_url=portkey_sandbox.url, api_key=portkey_sandbox.api_key, strategy=strategy, health=health
        )

    with ExitStack() as stack:
        one, other = (
            stack.enter_context(closing(SharedHealth(RedisClient(plain_redis.url), every=0.01))) for _ in range(2)
        )
        router(other).complete(HELLO)
        portkey_sandbox.always("planted-slug-a", sandbox.Fault.status(429, retry_after=60))
        router(one).complete(HELLO)
        key = router(one).plan(HELLO).attempts[0].key
        assert until(lambda: open_for(other, key) > 0)
        asked = len(portkey_sandbox.log("planted-slug-a"))
        assert [each.target for each in router(other).complete(HELLO).route.attempts] == ["b"]
        assert len(portkey_sandbox.log("planted-slug-a")) == asked
        with plain_redis.client() as client:
            names: list[bytes] = client.keys("portkey-router:health:*")
        assert names
        assert not [name for name in names if b"planted" in name]


def test_a_url_builds_one_health_for_the_process(plain_redis: RedisServer) -> None:
    """However many routers name it; one that is none is refused, before any network."""
    make: Callable[..., PortkeyRouter] = PortkeyRouter.from_env
    one, other = (make(api_key="pk", model="@a/b", health=plain_redis.url) for _ in range(2))
    assert isinstance(one.health, SharedHealth)
    assert one.health is other.health
    with pytest.raises(ConfigurationError):
        make(api_key="pk", model="@a/b", health="http://nowhere")

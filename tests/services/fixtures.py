"""The real services as fixtures. One that cannot be had skips its tests by name; where `CI` is set, they fail."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

import pytest

from portkey_router.sandbox.fixtures import NO_CI
from tests.services.redis import RedisCluster, RedisServer, redis_cluster, redis_server
from tests.services.redis_install import RedisUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

__all__ = ["fresh_redis", "plain_redis", "redis_nodes", "redis_url", "searching_url", "store_url"]

T = TypeVar("T")


def _had(stack: contextlib.ExitStack, service: AbstractContextManager[T], what: str) -> T:
    try:
        return stack.enter_context(service)
    except RedisUnavailableError as error:
        if os.environ.get("CI", "").strip().lower() not in NO_CI:
            raise
        pytest.skip(f"{what} IS MISSING, so nothing is tested against it: {error}")


@contextlib.contextmanager
def own_redis(*options: str, search: bool = True) -> Iterator[RedisServer]:
    """A server for one file's tests; for fixtures of theirs."""
    with contextlib.ExitStack() as stack:
        yield _had(stack, redis_server(*options, search=search), "REDIS WITH SEARCH")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL of a Redis with search, one for the session: `REDIS_URL`'s, or else one that is started.

    Other tests use it too, and it may be somebody's own: keep to keys of your own prefix, and never flush.
    """
    if given := os.environ.get("REDIS_URL", "").strip():
        yield given
        return
    with contextlib.ExitStack() as stack:
        yield _had(stack, redis_server(), "REDIS WITH SEARCH").url


@pytest.fixture(scope="session")
def plain_redis() -> Iterator[RedisServer]:
    """A Redis of our own without search, one for the session: keep to keys of your own prefix."""
    with contextlib.ExitStack() as stack:
        yield _had(stack, redis_server(search=False), "REDIS")


@pytest.fixture(scope="session")
def redis_nodes() -> Iterator[RedisCluster]:
    """A cluster of three masters without search, one for the session."""
    with contextlib.ExitStack() as stack:
        yield _had(stack, redis_cluster(), "A REDIS CLUSTER")


@pytest.fixture(params=["memory", "redis-resp2", "redis-resp3", "redis-without-search", "cluster"])
def store_url(request: pytest.FixtureRequest) -> str:
    """The URL of every kind of store, one after the other. Keep to a name of your own in it."""
    match request.param:
        case "memory":
            return f"memory://{uuid4().hex}"
        case "redis-without-search":
            return str(request.getfixturevalue("plain_redis").url)
        case "cluster":
            return str(request.getfixturevalue("redis_nodes").url).replace("redis://", "redis+cluster://")
        case kind:
            url = str(request.getfixturevalue("redis_url"))
            return f"{url}{'&' if '?' in url else '?'}protocol={kind[-1]}"


@pytest.fixture(params=["memory", "redis-resp2", "redis-resp3"])
def searching_url(request: pytest.FixtureRequest) -> str:
    """The URL of every kind of store that compares vectors, one after the other."""
    if request.param == "memory":
        return f"memory://{uuid4().hex}"
    url = str(request.getfixturevalue("redis_url"))
    return f"{url}{'&' if '?' in url else '?'}protocol={request.param[-1]}"


@pytest.fixture
def fresh_redis() -> Iterator[Callable[..., RedisServer]]:
    """Starts servers of this test's own, to be filled, paused or killed: `fresh_redis("--maxmemory", "2mb")`."""
    with contextlib.ExitStack() as stack:

        def start(*options: str, search: bool = True, port: int | None = None, ready: bool = True) -> RedisServer:
            return _had(stack, redis_server(*options, search=search, port=port, ready=ready), "REDIS WITH SEARCH")

        yield start

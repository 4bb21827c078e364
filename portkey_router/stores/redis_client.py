"""The only file that imports redis-py: it performs the stores' commands, in the caller's thread or the caller's loop.

Each run has a deadline of its own, whatever the connection's settings (redis-py has one for all commands, and tries
again behind one's back). Asynchronous connections belong to their loop and end with it: nothing has to be closed.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import inspect
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from portkey_router.deadline import Deadline
from portkey_router.errors import ConfigurationError
from portkey_router.sansio import arun_steps, run_steps
from portkey_router.stores.commands import Keys, Meanwhile
from portkey_router.stores.per_loop import PerLoop
from portkey_router.stores.redis_failures import Failures, reply_or_raise
from portkey_router.stores.redis_trips import AsyncCluster, AsyncNode, Cluster, Node
from portkey_router.transport.sockets import in_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from portkey_router.stores.commands import Command, Commands
    from portkey_router.stores.redis_trips import AsyncTrips, Trips

__all__ = ["RedisClient"]

T = TypeVar("T")

SCHEMES = ("redis", "rediss", "redis+cluster", "rediss+cluster", "unix")


@dataclass(frozen=True, slots=True)
class _Settings:
    """Of the connections that we open. Seconds."""

    url: str = field(repr=False)
    timeout: float
    connect_timeout: float
    max_connections: int

    @property
    def cluster(self) -> bool:
        return "+cluster" in self.url.partition(":")[0]

    @property
    def plain_url(self) -> str:
        """As redis-py spells it."""
        return self.url.replace("+cluster", "", 1) if self.cluster else self.url


class RedisClient:
    """Performs commands on a Redis, a Valkey, or a cluster of them. Building one connects nowhere.

    - `url`: `redis://user:password@host:6379/0`, `rediss://` with TLS, `unix://`, and `redis+cluster://` or
      `rediss+cluster://` for a cluster, by one of its nodes. Options of redis-py's URLs are taken
      (`?protocol=2&ssl_ca_certs=/path`).
    - `client`: one you already hold, in the place of `url`: `redis.Redis`, `redis.RedisCluster`, or the same of
      `redis.asyncio`. An asynchronous client serves asynchronous calls of one loop. A synchronous one serves both:
      asynchronous calls then connect to the same server on their own (but not to a cluster: give its URL).
    - `timeout`: seconds for all replies of one run (synchronous calls to a cluster: for each reply).
      `connect_timeout`: seconds for getting a connection, on top. `max_connections`: per process, and per loop.

    `run` and `arun` raise `StoreError` where Redis fails and nobody handles it, and `ConfigurationError` before the
    network: redis-py is missing, the URL is none, or a client is used from a loop that is not its own.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        client: Any = None,
        timeout: float = 1.0,
        connect_timeout: float = 0.5,
        max_connections: int = 50,
    ) -> None:
        if (url is None) == (client is None):
            raise ConfigurationError("RedisClient takes either a URL (redis://localhost:6379) or client=, one of them.")
        if importlib.util.find_spec("redis") is None:
            raise ConfigurationError('Redis needs redis-py: pip install "portkey-router[redis]"')
        self._settings = _Settings(_checked(url), timeout, connect_timeout, max_connections)
        self._sync: Trips | None = None
        self._held: AsyncTrips | None = None
        self._held_by: asyncio.AbstractEventLoop | None = None
        opener: Callable[[], AsyncTrips] = functools.partial(_open_async, self._settings)
        if client is not None:
            self._sync, self._held = _trips_of(client, connect_timeout)
            opener = functools.partial(_open_beside, client, self._settings)
        self._loops = PerLoop(opener)
        weakref.finalize(self, self._loops.release).atexit = False

    def __repr__(self) -> str:
        if not self._settings.url:
            return "RedisClient(client=...)"
        parts = urlsplit(self._settings.url)
        port = f":{parts.port}" if parts.port else ""
        return f"RedisClient({parts.scheme}://{parts.hostname or ''}{port}{parts.path})"

    def run(self, commands: Commands[T], *, timeout: float | Deadline | None = None) -> T:
        """Perform a store's commands in this thread, within `timeout` in place of the client's; gives their result."""
        trips = self._sync_trips()
        deadline = self._deadline(timeout)

        def perform(step: Command | list[Command] | Keys | Meanwhile) -> Any:
            if isinstance(step, list):
                return trips.perform(step, deadline)
            if isinstance(step, Meanwhile):
                return trips.perform(step.commands, deadline, step.work)
            if isinstance(step, Keys):
                return [key for node in trips.nodes() for key in run_steps(step.of_one_node(), one_on(node))]
            return reply_or_raise(trips.perform([step], deadline)[0])

        def one_on(node: Trips) -> Callable[[Command], Any]:
            return lambda command: reply_or_raise(node.perform([command], deadline)[0])

        return run_steps(commands, perform)

    async def arun(self, commands: Commands[T], *, timeout: float | Deadline | None = None) -> T:  # noqa: ASYNC109  (as `run`)
        """Perform a store's commands in the running loop, as `run`."""
        trips = await self._async_trips()
        deadline = self._deadline(timeout)

        async def perform(step: Command | list[Command] | Keys | Meanwhile) -> Any:
            if isinstance(step, list):
                return await trips.perform(step, deadline)
            if isinstance(step, Meanwhile):
                return await trips.perform(step.commands, deadline, step.work)
            if isinstance(step, Keys):
                nodes = await trips.nodes()
                return [key for node in nodes for key in await arun_steps(step.of_one_node(), one_on(node))]
            return reply_or_raise((await trips.perform([step], deadline))[0])

        def one_on(node: AsyncTrips) -> Callable[[Command], Awaitable[Any]]:
            async def one(command: Command) -> Any:
                return reply_or_raise((await node.perform([command], deadline))[0])

            return one

        return await arun_steps(commands, perform)

    def close(self) -> None:
        """Close the synchronous connections, but not those of a client you hold. The next run opens others."""
        if self._settings.url and self._sync is not None:
            self._sync.close()
            self._sync = None

    async def aclose(self) -> None:
        """Close the running loop's connections, but not those of a client you hold. The next run opens others."""
        await self._loops.aclose()

    def _deadline(self, timeout: float | Deadline | None) -> Deadline:
        if isinstance(timeout, Deadline):
            return timeout
        return Deadline(self._settings.timeout if timeout is None else timeout)

    def _sync_trips(self) -> Trips:
        if self._sync is None:
            if self._held is not None:
                raise ConfigurationError(
                    "This store was given an asynchronous Redis client, which synchronous calls cannot use. Give it "
                    "the URL, or a synchronous client, which serves both."
                )
            # Two threads may each make one at the same moment: the one that is not kept goes with its first call.
            self._sync = opened = _open_sync(self._settings)
            # A dropped client closes its sockets; among garbage each would warn that nobody had.
            weakref.finalize(self, opened.close).atexit = False
        return self._sync

    async def _async_trips(self) -> AsyncTrips:
        if self._held is None:
            if not self._loops.ready:
                await in_thread(_libraries)
            return self._loops.get()
        loop = asyncio.get_running_loop()
        if self._held_by is None:
            self._held_by = loop
        if self._held_by is not loop:
            raise ConfigurationError(
                "An asynchronous Redis client belongs to the event loop that first used it, and this is another. Give "
                "the URL (each loop then has connections of its own), or one client per loop."
            )
        return self._held


def _checked(url: Any) -> str:
    if url is None:
        return ""
    scheme, found, _ = url.partition("://") if isinstance(url, str) else (type(url).__name__, "", "")
    if found and "sentinel" in scheme:
        raise ConfigurationError(
            "URLs of Sentinels are not taken. Give client=redis.sentinel.Sentinel([(host, port)]).master_for(name)."
        )
    if scheme not in SCHEMES or not found:
        # Of a URL without a scheme nothing is quoted: it may begin with a password.
        what = f"{scheme[:20]!r} is no scheme of a Redis URL" if found else "A Redis URL begins with its scheme"
        raise ConfigurationError(f"{what}; they are: {', '.join(f'{each}://' for each in SCHEMES)}.")
    try:
        urlsplit(url).port  # noqa: B018  (it raises, and quotes what it read: perhaps a part of a password)
    except ValueError:
        raise ConfigurationError(
            "The Redis URL cannot be read: expected redis://user:password@localhost:6379/0, and in a password %2F, "
            "%23, %3F, %40, %3A for / # ? @ :"
        ) from None
    return str(url)


# ---- redis-py --------------------------------------------------------------------------------------------------------


@functools.cache
def _libraries() -> tuple[Any, Any, Failures]:
    """redis-py, its asynchronous half, and its errors, imported at the first use: it takes longer than all of us."""
    import redis  # noqa: PLC0415  (see above)
    import redis.asyncio  # noqa: PLC0415  (see above)

    return redis, redis.asyncio, Failures(redis.exceptions)


def _no_retry(module: Any) -> Any:
    """A lookup that fails is a miss, at once."""
    redis, _, _ = _libraries()
    return module.retry.Retry(redis.backoff.NoBackoff(), 0)


def _open_sync(settings: _Settings) -> Trips:
    redis, _, failures = _libraries()
    options: dict[str, Any] = {
        "retry": _no_retry(redis),
        "socket_connect_timeout": settings.connect_timeout,
        "max_connections": settings.max_connections,
        "protocol": 2,  # smaller replies, and none that nobody asked for; the URL's own wins
    }
    if settings.cluster:
        options["socket_timeout"] = settings.timeout
        return Cluster(lambda: _made(redis.RedisCluster, settings.plain_url, options), failures)
    # The handshake's; replies have the run's deadline.
    options |= {"socket_timeout": settings.connect_timeout, "timeout": settings.connect_timeout}
    return Node(_made(redis.BlockingConnectionPool, settings.plain_url, options), failures)


def _open_async(settings: _Settings) -> AsyncTrips:
    _, aioredis, failures = _libraries()
    options: dict[str, Any] = {
        "retry": _no_retry(aioredis),
        "socket_connect_timeout": settings.connect_timeout,
        "socket_timeout": None,  # there the loop's own timeouts are exact
        "max_connections": settings.max_connections,
        "protocol": 2,  # as above
    }
    if settings.cluster:
        client = _made(aioredis.RedisCluster, settings.plain_url, options)
        return AsyncCluster(client, failures, settings.connect_timeout)
    pool = _made(aioredis.BlockingConnectionPool, settings.plain_url, options | {"timeout": None})
    return AsyncNode(pool, failures, settings.connect_timeout)


def _made(kind: Any, url: str, options: dict[str, Any]) -> Any:
    """A pool or a cluster's client. A pool's connections would tell of an unknown option only when they are made."""
    try:
        made = kind.from_url(url, **options)
        if hasattr(made, "connection_class"):
            made.connection_class(**made.connection_kwargs)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"The Redis URL has an option that redis-py does not take: {error}") from None
    return made


def _trips_of(client: Any, connect_timeout: float) -> tuple[Trips | None, AsyncTrips | None]:
    """Round trips over a client that somebody holds: synchronous ones, or asynchronous ones."""
    redis, aioredis, failures = _libraries()
    if isinstance(client, redis.RedisCluster):
        return Cluster(lambda: client, failures), None
    if isinstance(client, aioredis.RedisCluster):
        return None, AsyncCluster(client, failures, connect_timeout)
    if isinstance(client, aioredis.Redis):
        return None, AsyncNode(client.connection_pool, failures, connect_timeout)
    if isinstance(client, redis.Redis):
        return Node(client.connection_pool, failures), None
    raise ConfigurationError(
        "client= takes a redis.Redis, a redis.RedisCluster, or the same of redis.asyncio, and no "
        f"{type(client).__name__}."
    )


# What an asynchronous connection needs to know of a synchronous client's, to reach the same server as the same user.
_SAME = ("host", "port", "path", "db", "username", "password", "credential_provider", "protocol", "client_name")


def _open_beside(client: Any, settings: _Settings) -> AsyncTrips:
    """Asynchronous connections to where a synchronous client goes."""
    redis, aioredis, failures = _libraries()
    pool = getattr(client, "connection_pool", None)
    kinds = {
        redis.Connection: aioredis.Connection,
        redis.SSLConnection: aioredis.SSLConnection,
        redis.UnixDomainSocketConnection: aioredis.UnixDomainSocketConnection,
    }
    kind = kinds.get(getattr(pool, "connection_class", None))
    if pool is None or kind is None:
        raise ConfigurationError(
            f"Asynchronous calls cannot connect as this {type(client).__name__} does. Give the URL, or an asynchronous "
            "client."
        )
    known = {*_SAME, *(name for name in inspect.signature(kind).parameters if name.startswith("ssl_"))}
    same = {name: value for name, value in pool.connection_kwargs.items() if name in known}
    own = aioredis.BlockingConnectionPool(
        connection_class=kind,
        timeout=None,
        retry=_no_retry(aioredis),
        socket_connect_timeout=settings.connect_timeout,
        socket_timeout=None,
        max_connections=settings.max_connections,
        **same,
    )
    return AsyncNode(own, failures, settings.connect_timeout)

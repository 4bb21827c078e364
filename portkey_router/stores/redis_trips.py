"""One round trip to Redis: commands out, replies back in their order, a `StoreError` for each that was refused.

Below redis-py's clients, on its connections: there a deadline can be one run's, and replies stay as Redis gave them.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
from typing import TYPE_CHECKING, Any, Protocol

from portkey_router.deadline import Deadline
from portkey_router.stores.commands import packed
from portkey_router.transport.sockets import close_socket, let_go_of_copies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from portkey_router.stores.commands import Command
    from portkey_router.stores.redis_failures import Failures

__all__ = ["AsyncCluster", "AsyncNode", "AsyncTrips", "Cluster", "Node", "Trips"]


class Trips(Protocol):
    """Round trips in any thread."""

    def perform(
        self, commands: list[Command], deadline: Deadline, meanwhile: Callable[[], object] | None = None
    ) -> list[Any]:
        """The replies; `meanwhile` may be done before they are read. Raises `StoreError` where there are none."""

    def nodes(self) -> Sequence[Trips]:
        """Round trips to each server that has keys of its own."""

    def close(self) -> None:
        """Close the connections."""


class AsyncTrips(Protocol):
    """Round trips in one loop."""

    async def perform(
        self, commands: list[Command], deadline: Deadline, meanwhile: Callable[[], object] | None = None
    ) -> list[Any]:
        """The replies; `meanwhile` may be done before they are read. Raises `StoreError` where there are none."""

    async def nodes(self) -> Sequence[AsyncTrips]:
        """Round trips to each server that has keys of its own."""

    def abort(self) -> None:
        """Close the connections, in their loop."""

    def drop(self, *, forked: bool) -> None:
        """Close their sockets without a word to the loop."""


class Node:
    """One server, or whatever else hands out connections (a Sentinel's pool)."""

    def __init__(self, pool: Any, failures: Failures) -> None:
        self._pool = pool
        self._failures = failures

    def perform(
        self, commands: list[Command], deadline: Deadline, meanwhile: Callable[[], object] | None = None
    ) -> list[Any]:
        """The replies. Raises `StoreError` where there are none."""
        try:
            return self._exchange(commands, deadline, meanwhile)
        except Exception as error:
            raise self._failures.failed(error, _place(self._pool), deadline) from error

    def _exchange(
        self, commands: list[Command], deadline: Deadline, meanwhile: Callable[[], object] | None
    ) -> list[Any]:
        with deadline.paused():
            connection = self._pool.get_connection()
        replies: list[Any] = []
        try:
            connection.send_packed_command([packed(commands)])
            if meanwhile is not None:
                meanwhile()
            for _ in commands:
                if not connection.can_read(deadline.left()):
                    raise TimeoutError  # noqa: TRY301  (the connection is closed below, whatever ended the trip)
                try:
                    replies.append(connection.read_response(disable_decoding=True))
                except self._failures.response as error:
                    replies.append(self._failures.refused(error))
        except BaseException:
            connection.disconnect()  # what is still to be read would be taken for the next command's
            raise
        finally:
            self._pool.release(connection)
        return replies

    def nodes(self) -> Sequence[Trips]:
        """This one."""
        return [self]

    def close(self) -> None:
        """Close the connections."""
        self._pool.disconnect()


class Cluster:
    """A cluster: redis-py finds each command's node, under the timeouts of its connections. `client` connects.

    With `node`, all commands go to that one. Commands of search have no key: they go to any master, whose coordinator
    asks the others.
    """

    def __init__(self, client: Callable[[], Any], failures: Failures, node: Any = None) -> None:
        self._client = functools.cache(client)
        self._failures = failures
        self._node = node

    def perform(
        self,
        commands: list[Command],
        deadline: Deadline,
        meanwhile: Callable[[], object] | None = None,  # noqa: ARG002  (redis-py sends and reads in one)
    ) -> list[Any]:
        """The replies. Raises `StoreError` where there are none."""
        try:
            client = self._client()
            if _one_by_one(commands):
                return [self._one(client, command) for command in commands]
            pipeline = client.pipeline()
            for command in commands:
                pipeline.execute_command(*command, NEVER_DECODE=True)
            return self._failures.settled(pipeline.execute(raise_on_error=False))
        except Exception as error:
            raise self._failures.failed(error, "the cluster", deadline) from error

    def _one(self, client: Any, command: Command) -> Any:
        try:
            return client.execute_command(*command, NEVER_DECODE=True, **_target(client, command, self._node))
        except self._failures.response as error:
            return self._failures.refused(error)

    def nodes(self) -> Sequence[Trips]:
        """Its masters."""
        return [Cluster(self._client, self._failures, node) for node in self._client().get_primaries()]

    def close(self) -> None:
        """Close the connections, where there are any."""
        if self._client.cache_info().currsize:
            self._client().disconnect_connection_pools()  # its `close` leaves those of the nodes open


class AsyncNode:
    """One server, for one loop."""

    def __init__(self, pool: Any, failures: Failures, connect_timeout: float) -> None:
        self._pool = pool
        self._failures = failures
        self._connect_timeout = connect_timeout

    async def perform(
        self, commands: list[Command], deadline: Deadline, meanwhile: Callable[[], object] | None = None
    ) -> list[Any]:
        """The replies. Raises `StoreError` where there are none."""
        try:
            return await self._exchange(commands, deadline, meanwhile)
        except Exception as error:
            raise self._failures.failed(error, _place(self._pool), deadline) from error

    async def _exchange(
        self, commands: list[Command], deadline: Deadline, meanwhile: Callable[[], object] | None
    ) -> list[Any]:
        with deadline.paused(), _connecting(self._connect_timeout):
            async with asyncio.timeout(self._connect_timeout):
                connection = await self._pool.get_connection()
        try:
            async with asyncio.timeout(deadline.left()):
                await connection.send_packed_command([packed(commands)])
                if meanwhile is not None:
                    meanwhile()
                return [await self._reply(connection) for _ in commands]
        except BaseException:
            await connection.disconnect(nowait=True)  # as in `Node`
            raise
        finally:
            await self._pool.release(connection)

    async def _reply(self, connection: Any) -> Any:
        try:
            return await connection.read_response(disable_decoding=True)
        except self._failures.response as error:
            return self._failures.refused(error)

    async def nodes(self) -> Sequence[AsyncTrips]:
        """This one."""
        return [self]

    def _connections(self) -> list[Any]:
        return [*self._pool._available_connections, *self._pool._in_use_connections]  # noqa: SLF001  (no public way)

    def abort(self) -> None:
        """Close the connections, in their loop."""
        _abort(self._connections())

    def drop(self, *, forked: bool) -> None:
        """Close their sockets without a word to the loop."""
        _drop(self._connections(), forked=forked)


class AsyncCluster:
    """A cluster, for one loop; as `Cluster`."""

    def __init__(self, client: Any, failures: Failures, connect_timeout: float, node: Any = None) -> None:
        self._client = client
        self._failures = failures
        self._connect_timeout = connect_timeout
        self._node = node

    async def perform(
        self,
        commands: list[Command],
        deadline: Deadline,
        meanwhile: Callable[[], object] | None = None,  # noqa: ARG002  (redis-py sends and reads in one)
    ) -> list[Any]:
        """The replies. Raises `StoreError` where there are none."""
        try:
            with deadline.paused():
                await self._connected()
            async with asyncio.timeout(deadline.left()):
                return await self._exchange(commands)
        except Exception as error:
            raise self._failures.failed(error, "the cluster", deadline) from error

    async def _connected(self) -> None:
        with _connecting(self._connect_timeout):
            async with asyncio.timeout(self._connect_timeout):
                await self._client.initialize()

    async def _exchange(self, commands: list[Command]) -> list[Any]:
        if _one_by_one(commands):
            return [await self._one(command) for command in commands]
        pipeline = self._client.pipeline()
        for command in commands:
            pipeline.execute_command(*command, NEVER_DECODE=True)
        return self._failures.settled(await pipeline.execute(raise_on_error=False))

    async def _one(self, command: Command) -> Any:
        options = _target(self._client, command, self._node)
        try:
            return await self._client.execute_command(*command, NEVER_DECODE=True, **options)
        except self._failures.response as error:
            return self._failures.refused(error)

    async def nodes(self) -> Sequence[AsyncTrips]:
        """Its masters."""
        try:
            await self._connected()
        except Exception as error:
            raise self._failures.failed(error, "the cluster", Deadline(self._connect_timeout)) from error
        primaries = self._client.get_primaries()
        return [AsyncCluster(self._client, self._failures, self._connect_timeout, node) for node in primaries]

    def abort(self) -> None:
        """Close the connections, in their loop."""
        _abort(self._connections())
        self._client._initialize = True  # noqa: SLF001  (silences its warning: nothing is open any more)

    def _connections(self) -> list[Any]:
        manager = self._client.nodes_manager
        nodes = {id(node): node for each in (manager.nodes_cache, manager.startup_nodes) for node in each.values()}
        return [connection for node in nodes.values() for connection in node._connections]  # noqa: SLF001  (as above)

    def drop(self, *, forked: bool) -> None:
        """Close their sockets without a word to the loop."""
        _drop(self._connections(), forked=forked)
        self._client._initialize = True  # noqa: SLF001  (as above)


def _one_by_one(commands: list[Command]) -> bool:
    """Whether commands on a cluster go out alone: redis-py's pipelines need a key in each."""
    return len(commands) == 1 or any(_keyless(command) for command in commands)


def _keyless(command: Command) -> bool:
    return str(command[0]).startswith("FT.")


def _target(client: Any, command: Command, node: Any) -> dict[str, Any]:
    if node is None and _keyless(command):
        node = random.choice(client.get_primaries())  # noqa: S311  (no secret: it spreads the load)
    return {} if node is None else {"target_nodes": node}


# ---- connections of redis-py -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _connecting(seconds: float) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise ConnectionError(f"no connection within {seconds * 1000:g} ms") from error


def _place(pool: Any) -> str:
    """Where a pool connects to, for messages."""
    told = getattr(pool, "connection_kwargs", {})
    return str(told.get("path") or f"{told.get('host', 'localhost')}:{told.get('port', 6379)}")


def _transports(connections: Iterable[Any]) -> list[Any]:
    writers = (getattr(connection, "_writer", None) for connection in connections)
    return [writer.transport for writer in writers if writer is not None]


def _abort(connections: list[Any]) -> None:
    """At once: redis-py would wait, with TLS for the other side's goodbye, which may never come."""
    for transport in _transports(connections):
        transport.abort()
    _forget(connections)


def _forget(connections: list[Any]) -> None:
    for connection in connections:
        connection._reader = connection._writer = None  # noqa: SLF001  (or it would warn that it is open)


def _drop(connections: list[Any], *, forked: bool) -> None:
    transports = _transports(connections)
    if forked:
        let_go_of_copies(transports)
    for transport in transports:
        close_socket(transport)
        transport._closing = True  # noqa: SLF001  (or its writer would warn, from Python 3.12 on)
    _forget(connections)

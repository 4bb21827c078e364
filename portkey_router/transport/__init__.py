"""HTTP by aiohttp: one session per running loop, exact deadlines, and nothing to close by hand.

A session belongs to its loop. It closes when that loop shuts down its async generators (`asyncio.run`, uvicorn); loops
that end without that are swept at the next use and at exit. A forked child never uses its parent's connections.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import functools
import io
import os
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from portkey_router.loop_end import LoopEnd
from portkey_router.transport.failures import Failures, late
from portkey_router.transport.sockets import close_socket, in_thread, let_go_of_copies, look_up, proxy_for
from portkey_router.wire.http import HttpReply

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiohttp import ClientResponse, ClientSession, ClientTimeout, TCPConnector

    from portkey_router.errors import DeadlineExceededError
    from portkey_router.wire.http import Expiry, HttpCall

__all__ = ["HttpStream", "Transport", "shared"]

# How long a connection may idle before it is no longer trusted. A server may close an idle connection just as we send
# on it, and then nobody knows whether the request was read. It is never sent again here, because it may have been
# billed: it is a ConnectFailedError, and the flow above decides. Short idling makes that rare (most servers and load
# balancers wait 60 s and more).
KEEPALIVE = 15.0
# How long a loop's end waits for calls in flight.
PATIENCE = 1.0
# From this size on aiohttp wants a file, which it sends piece by piece, and warns of bytes.
LARGE_BODY = 1 << 20


@functools.cache
def _aiohttp() -> Any:
    """The library, imported at the first call: it takes longer to import than all of us."""
    import aiohttp  # noqa: PLC0415  (see above)

    return aiohttp


@functools.cache
def _connector_class() -> type[TCPConnector]:
    class Connector(_aiohttp().TCPConnector):  # type: ignore[misc]  # its base is known at run time only
        """Closes what is given up at once.

        aiohttp closes politely: what is still unsent is sent first, and a provider that has read the whole of a
        cancelled request may bill it.
        """

        def _release(self, key: Any, protocol: Any, *, should_close: bool = False) -> None:
            # A loop that has closed meanwhile can abort nothing: its sockets are swept elsewhere.
            if should_close and protocol.transport is not None and not self._loop.is_closed():
                protocol.transport.abort()
            super()._release(key, protocol, should_close=should_close)

    return Connector


@functools.cache
def _resolver_class() -> type[Any]:
    from aiohttp.abc import AbstractResolver  # noqa: PLC0415  (see `_aiohttp`)

    class Resolver(AbstractResolver):
        """The system's own lookup, as every other program uses. aiohttp asks it once per name, and remembers."""

        async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[Any]:
            return await in_thread(functools.partial(look_up, host, port, family))

        async def close(self) -> None:
            """Nothing is held."""

    return Resolver


@functools.cache
def _failures() -> Failures:
    return Failures(_aiohttp())


@functools.lru_cache(maxsize=64)
def _timeout(connect: float) -> ClientTimeout:
    """No deadline of aiohttp's but the connection's, and that one not rounded up to whole seconds."""
    timeout: ClientTimeout = _aiohttp().ClientTimeout(
        total=None, connect=connect, sock_connect=None, sock_read=None, ceil_threshold=float("inf")
    )
    return timeout


def _left(call: HttpCall) -> float:
    left = call.expiry.remaining()
    if left <= 0:
        raise late(call.url, call.expiry)
    return left


# ---- one loop's session ----------------------------------------------------------------------------------------------


class _Pool:
    """One loop's session and what is in flight on it. `pools` is where its owner keeps it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pools: dict[asyncio.AbstractEventLoop, _Pool]) -> None:
        aiohttp = _aiohttp()
        self.loop = loop
        self.pools = pools
        self.dropped = False
        self.busy = 0
        self.responses: set[ClientResponse] = set()
        self._proxies: dict[tuple[str, str], str | None] = {}
        self.session: ClientSession = aiohttp.ClientSession(
            connector=_connector_class()(limit=0, keepalive_timeout=KEEPALIVE, resolver=_resolver_class()()),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        # aiohttp would send a GET, PUT or DELETE again by itself where a reused connection breaks (see `KEEPALIVE`).
        self.session._retry_connection = False  # noqa: SLF001  (no public way)
        self._end = LoopEnd(loop, self._shut, give_up=self._give_up)

    def _give_up(self) -> None:
        self.busy = 0  # nothing can come of calls in flight any more

    def proxy(self, url: str) -> str | None:
        """The environment's proxy for this URL.

        aiohttp's `trust_env` reads the environment again for each request, in two threads, and lets a `.netrc` add a
        login where there is a key already.
        """
        parts = urlsplit(url)
        origin = parts.scheme, parts.hostname or ""
        if origin not in self._proxies:
            self._proxies[origin] = proxy_for(*origin)
        return self._proxies[origin]

    async def request(self, call: HttpCall) -> ClientResponse:
        """The reply, once its headers are there."""
        body: Any = call.body or None
        response = await self.session.request(
            call.method,
            call.url,
            headers=call.headers,
            data=io.BytesIO(body) if body is not None and len(body) >= LARGE_BODY else body,
            allow_redirects=False,
            timeout=_timeout(call.connect),
            proxy=self.proxy(call.url),
        )
        self.responses.add(response)
        return response

    def let_go(self, response: ClientResponse | None) -> None:
        """This call is over: its connection goes back if the reply was read to its end, and is closed if not."""
        self.busy -= 1
        if response is not None:
            self.responses.discard(response)
            response.close()

    def _transports(self) -> Iterable[Any]:
        """Of every open connection, idle or in use."""
        connector: Any = self.session.connector
        if connector is None:
            return []
        idle = [protocol for queue in connector._conns.values() for protocol, _ in queue]  # noqa: SLF001  (no public way)
        protocols = [*idle, *connector._acquired]  # noqa: SLF001  (no public way)
        return [protocol.transport for protocol in protocols if protocol.transport is not None]

    async def close(self) -> None:
        """Close the session, in its loop, after a bounded wait for calls in flight."""
        await self._end.aclose()

    async def _shut(self) -> None:
        if self.dropped:
            return
        patience = time.monotonic() + PATIENCE
        while self.busy and time.monotonic() < patience:  # noqa: ASYNC110  (once in a loop's life; an event would cost each call)
            await asyncio.sleep(0.005)
        if self.pools.get(self.loop) is self:
            del self.pools[self.loop]
        for response in list(self.responses):
            response.close()
        for transport in self._transports():
            transport.abort()
        await self.session.close()
        for _ in range(3):  # a loop closes a socket a turn after it was told to; uvloop takes three
            await asyncio.sleep(0)
        self.dropped = True

    def drop(self) -> None:
        """Close every socket without a word to the loop: it runs no more, or is another process's."""
        self.dropped = True
        connector: Any = self.session.connector
        for transport in self._transports():
            close_socket(transport)
        if connector is not None:
            connector._closed = True  # noqa: SLF001  (its close() would talk to the loop)
            connector._conns.clear()  # noqa: SLF001  (as above)
            connector._acquired.clear()  # noqa: SLF001  (as above)
        for response in self.responses:
            if response.connection is not None:
                response.connection.release()  # a closed connector's: it only forgets
            response._connection, response._closed = None, True  # noqa: SLF001  (its close() would talk to the loop)
        self.responses.clear()
        self._end.forget()


# ---- the transport ---------------------------------------------------------------------------------------------------


class HttpStream:
    """An opened reply, read piece by piece in the loop that opened it. Header names are lower-case."""

    __slots__ = ("_call", "_done", "_ended", "_pool", "_response", "headers", "status")

    def __init__(self, pool: _Pool, response: ClientResponse, call: HttpCall) -> None:
        self.status = response.status
        self.headers = _headers(response)
        self._pool = pool
        self._response = response
        self._call = call
        self._done = False
        self._ended = False

    async def read(self, expiry: Expiry) -> bytes:
        """The next piece as it arrived; `b""` at the clean end."""
        if self._ended:
            return b""
        left = expiry.remaining()
        if left <= 0:
            self.abort()
            raise self.late(expiry)
        if ready := self._ready():
            return ready
        deadline = None
        try:
            async with asyncio.timeout(left) as deadline:
                return await self.pull()
        except TimeoutError as error:
            if deadline is None or not deadline.expired():
                raise
            raise self.late(expiry) from error

    def late(self, expiry: Expiry) -> DeadlineExceededError:
        """The error that says that this deadline passed."""
        return late(self._call.url, expiry)

    def _ready(self) -> bytes:
        """What has arrived already; `b""` if that is nothing, or bad news (which `pull` will tell)."""
        content = self._response.content
        return content.read_nowait() if content.exception() is None else b""

    async def pull(self) -> bytes:
        """As `read`, for a caller that keeps the deadline itself."""
        try:
            piece = await self._response.content.readany()
        except (_aiohttp().ClientError, RuntimeError) as error:
            if rest := self._salvage():
                return rest
            self.abort()
            failure, cause = _failures().broken(error, self._call), _failures().cause(error)
        except BaseException:
            self.abort()
            raise
        else:
            if not piece:
                self._ended = True
                self.abort()
            return piece
        try:
            raise failure from cause
        finally:
            del failure, cause  # or the error's traceback would hold this frame, and it the error

    def _salvage(self) -> bytes:
        """What arrived in the same moment as the connection's end; it may hold the end of the answer."""
        if self._done:
            return b""
        buffer: Any = getattr(self._response.content, "_buffer", ())
        rest = b"".join(buffer)
        if rest:
            buffer.clear()
        return rest

    async def read_all(self, expiry: Expiry) -> bytes:
        """The rest of the body."""
        pieces = []
        while piece := await self.read(expiry):
            pieces.append(piece)
        return b"".join(pieces)

    def abort(self) -> None:
        """Let go: a connection read to its end goes back to the pool, another is closed at once. Idempotent."""
        if self._done:
            return
        self._done = True
        if self._pool.dropped:
            return
        if self._pool.loop.is_closed():
            self._pool.pools.pop(self._pool.loop, None)
            self._pool.drop()
        else:
            self._pool.let_go(self._response)

    def __del__(self) -> None:
        if not getattr(self, "_done", True):
            # Garbage is collected in any thread; a loop that is gone is swept elsewhere.
            with contextlib.suppress(RuntimeError):
                self._pool.loop.call_soon_threadsafe(self._pool.let_go, self._response)


def _headers(response: ClientResponse) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


class Transport:
    """HTTP in the running loop, whichever that is. Needs no closing; `aclose()` closes this loop's connections."""

    def __init__(self) -> None:
        self._pools: dict[asyncio.AbstractEventLoop, _Pool] = {}

    def prepare(self) -> None:
        """Import what the first call needs, where that holds up nobody's loop."""
        _connector_class()
        _resolver_class()

    async def send(self, call: HttpCall) -> HttpReply:
        """The whole reply, within `call.expiry`."""
        left = _left(call)
        pool = self._pool() if self._pools else await self._first(call)
        response = deadline = None
        pool.busy += 1
        try:
            async with asyncio.timeout(left) as deadline:
                response = await pool.request(call)
                body = await response.read()
        except _failures().foreign as error:
            failure, cause = _failures().of(error, call, deadline), _failures().cause(error)
        else:
            return HttpReply(response.status, _headers(response), body)
        finally:
            pool.let_go(response)
        try:
            raise failure from cause
        finally:
            del failure, cause  # or the error's traceback would hold this frame, and it the error

    async def open(self, call: HttpCall) -> HttpStream:
        """The reply, once its headers are there, within `call.expiry`."""
        left = _left(call)
        pool = self._pool() if self._pools else await self._first(call)
        deadline = None
        pool.busy += 1
        try:
            async with asyncio.timeout(left) as deadline:
                response = await pool.request(call)
        except BaseException as error:
            pool.let_go(None)
            if not isinstance(error, _failures().foreign):
                raise
            failure, cause = _failures().of(error, call, deadline), _failures().cause(error)
        else:
            return HttpStream(pool, response, call)
        try:
            raise failure from cause
        finally:
            del failure, cause  # or the error's traceback would hold this frame, and it the error

    async def aclose(self) -> None:
        """Close this loop's session, after a bounded wait for calls in flight. The next call opens another."""
        pool = self._pools.get(asyncio.get_running_loop())
        if pool is not None:
            await pool.close()

    async def _first(self, call: HttpCall) -> _Pool:
        """A loop's session, once aiohttp is imported, which takes a while: not in the loop's thread."""
        try:
            async with asyncio.timeout(_left(call)):
                await in_thread(self.prepare)
        except TimeoutError as error:
            raise late(call.url, call.expiry) from error
        return self._pool()

    def _pool(self) -> _Pool:
        loop = asyncio.get_running_loop()
        if len(self._pools) > 1:
            self._sweep()
        pool = self._pools.get(loop)
        if pool is None:
            self._sweep()
            pool = self._pools[loop] = _Pool(loop, self._pools)
            _used.add(self)
        return pool

    def _sweep(self) -> None:
        """Drop the sessions of loops that closed without a word."""
        for loop in list(self._pools):
            if loop.is_closed() and (pool := self._pools.pop(loop, None)) is not None:
                pool.drop()

    def _forget(self) -> None:
        """Drop every session: they are the parent's, and this is the forked child."""
        while self._pools:
            pool = self._pools.popitem()[1]
            let_go_of_copies(pool._transports())  # noqa: SLF001  (this module's own)
            pool.drop()

    def _finish(self) -> None:
        """Close every session: the interpreter ends."""
        for loop, pool in list(self._pools.items()):
            if loop.is_running():  # in a thread that nobody joined
                closing = asyncio.run_coroutine_threadsafe(pool.close(), loop)
                with contextlib.suppress(concurrent.futures.TimeoutError, concurrent.futures.CancelledError):
                    closing.result(PATIENCE * 2)
        while self._pools:
            self._pools.popitem()[1].drop()


# Transports that have had a session: what a forked child forgets and the interpreter's end closes.
_used: set[Transport] = set()


def _after_fork() -> None:
    for transport in _used:
        transport._forget()  # noqa: SLF001  (this module's own)


def _at_exit() -> None:
    for transport in _used:
        transport._finish()  # noqa: SLF001  (this module's own)


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@functools.cache
def shared() -> Transport:
    """The process's own transport: routers share its connections."""
    return Transport()

"""An HTTP server on loopback in a thread of its own, and how a `Reply` goes through its sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

from aiohttp import web

from portkey_router.sandbox.replies import PING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from portkey_router.sandbox.replies import Reply

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

__all__ = ["close_listener", "parsed", "send", "serving"]

START_SECONDS = 10.0
# What was written must reach the client before the reset does, which would overtake it.
SETTLE_SECONDS = 0.05
PING_SECONDS = 0.05
# Turns of the loop after which nothing is under way that needs no other side.
TURNS = 8
BIGGEST_BODY = 64 * 2**20


@contextlib.contextmanager
def serving(handler: Handler) -> Iterator[str]:
    """Serve every request with the handler; yields `http://127.0.0.1:PORT`. The server ends with the block."""
    loop = asyncio.new_event_loop()
    started: list[str] = []
    failed: list[BaseException] = []
    ready, stop = threading.Event(), asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except ConnectionResetError:  # the client has gone, which is its right, and no error of the server's to log
            return web.Response()

    async def run() -> None:
        app = web.Application(client_max_size=BIGGEST_BODY)
        app.router.add_route("*", "/{path:.*}", handle)
        # A request is dropped when its client goes, or when the server does: nobody waits for a hanging one.
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.01)
        await runner.setup()
        try:
            server = await loop.create_server(_of(runner), "127.0.0.1", 0)
            host, port = server.sockets[0].getsockname()
            started.append(f"http://{host}:{port}")
            ready.set()
            await stop.wait()
            await close_listener(server)
        finally:
            transports = [connection.transport for connection in _of(runner).connections]
            await runner.cleanup()
            for transport in transports:
                if transport is not None:
                    transport.abort()  # else one with bytes still to send would outlive the loop
            await _settle()  # an aborted connection closes its socket a turn later

    def work() -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as own:
                own.run(run())
        except BaseException as error:  # noqa: BLE001 - told to the thread that waits
            failed.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=work, name="portkey-sandbox", daemon=True)
    thread.start()
    ready.wait(START_SECONDS)
    if not started:
        raise RuntimeError("The sandbox's server did not start") from next(iter(failed), None)
    try:
        yield started[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
    if failed:
        raise failed[0]


def _of(runner: web.AppRunner) -> web.Server:
    if runner.server is None:
        raise RuntimeError("the runner was not set up")
    return runner.server


async def close_listener(server: asyncio.Server) -> None:
    """Take no more connections, let those just accepted arrive at the application, and only then close.

    asyncio loses a connection, unclosed, that is accepted a turn of the loop before its server is
    closed (python/cpython#109564).
    """
    loop = asyncio.get_running_loop()
    for listening in server.sockets:
        with contextlib.suppress(NotImplementedError):  # Windows' loop has no readers
            loop.remove_reader(listening.fileno())
    await _settle()
    server.close()


async def _settle() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def parsed(request: web.Request) -> Any:
    """The request's JSON; its text where it is none."""
    text = (await request.read()).decode(errors="replace")
    try:
        return json.loads(text)
    except ValueError:
        return text


async def send(request: web.Request, reply: Reply) -> web.StreamResponse:
    """Send the reply, its delays and its ending included.

    Raises:
        ConnectionResetError: the client went away.
        asyncio.CancelledError: likewise, while the server was waiting.
    """
    if reply.ending == "never":
        await asyncio.Event().wait()
    if reply.frames is not None:
        return await _send_stream(request, reply)
    await asyncio.sleep(reply.late)
    if reply.ending == "whole":
        response = web.Response(status=reply.status, headers=dict(reply.headers), body=reply.body)
        await response.prepare(request)
        await response.write_eof()
        return response
    return await _send_half(request, reply)


async def _send_stream(request: web.Request, reply: Reply) -> web.StreamResponse:
    response = web.StreamResponse(status=reply.status, headers=dict(reply.headers))
    await response.prepare(request)
    wait = reply.late
    for frame in reply.frames or ():
        if wait:
            await asyncio.sleep(wait)
        await response.write(frame)
        wait = reply.between
    if reply.ending in {"silent", "pings"}:
        await _stall(response, ping=reply.ending == "pings")
    elif reply.ending == "reset":
        await _reset(request)  # nothing can be written any more, its end neither
    else:
        await response.write_eof()
    return response


async def _stall(response: web.StreamResponse, *, ping: bool) -> None:
    """Keep the stream open until the client goes."""
    while ping:
        await response.write(PING)
        await asyncio.sleep(PING_SECONDS)
    await asyncio.Event().wait()


async def _send_half(request: web.Request, reply: Reply) -> web.StreamResponse:
    """Half of a body whose length was announced, then the end of the connection; no body: the end at once."""
    response = web.StreamResponse(status=reply.status, headers=dict(reply.headers))
    if reply.body:
        response.content_length = len(reply.body)
        await response.prepare(request)
        await response.write(reply.body[: len(reply.body) // 2])
    if reply.ending == "reset":
        await _reset(request)
    elif request.transport is not None:
        request.transport.close()
    return response


async def _reset(request: web.Request) -> None:
    """End the connection with a reset (RST) instead of an orderly close (FIN)."""
    await asyncio.sleep(SETTLE_SECONDS)
    if (transport := request.transport) is not None:
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

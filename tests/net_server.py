"""A small HTTP server on loopback, in a thread of its own: what it does is named by the path.

`/json` answers; `/slow-headers`, `/slow-body` and `/slow-stream` stop at that point until the client has gone;
`/stream` sends `PIECES` with pauses; `/stepwise` sends one for each `step`; `/burst` sends them at once, and its end;
`/flood` never stops sending; `/reset` and `/reset-stream` break the connection; `/short` and `/short-stream` end too
early; `/garbage` is not HTTP; `/redirect` points to `/json`; `/hang-up` closes an idle connection after it answered;
`/echo` answers with the request.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from portkey_router.sandbox.server import close_listener

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

BODY = b'{"answer": 42}'
PIECES = tuple(b"data: piece %d\n\n" % number for number in range(5))
GENEROUS = 20.0  # seconds: only ever reached by a test that fails
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Seen:
    """A request as it arrived, and the number of the connection it came on."""

    connection: int
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class NetServer:
    """What happened so far; `wait` for more of it."""

    url: str = ""
    port: int = 0
    accepted: int = 0
    ended: int = 0  # connections whose client has gone, or that the server closed
    sent: int = 0  # bytes of `/flood`
    steps: int = 0  # pieces of `/stepwise` that may be sent
    requests: list[Seen] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def note(self, change: Callable[[], object]) -> None:
        """Record something and wake who waits for it."""
        with self._changed:
            change()
            self._changed.notify_all()

    def wait(self, until: Callable[[NetServer], bool]) -> bool:
        """Whether it comes about within a generous time."""
        with self._changed:
            return self._changed.wait_for(lambda: until(self), GENEROUS)

    def step(self) -> None:
        """Let `/stepwise` send one more piece."""
        self.note(lambda: self.count(steps=1))

    def count(self, **change: int) -> None:
        """Add to the counts."""
        for name, more in change.items():
            setattr(self, name, getattr(self, name) + more)

    @property
    def open(self) -> int:
        """Connections still open."""
        return self.accepted - self.ended


@contextlib.contextmanager
def net_server(tls: ssl.SSLContext | None = None) -> Iterator[NetServer]:
    """A server on a free port of 127.0.0.1, which ends with the block."""
    server = NetServer()
    loop = asyncio.new_event_loop()
    stop, ready = asyncio.Event(), threading.Event()

    async def serve() -> None:
        tasks: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = loop.create_task(_serve(server, reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        listener = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
        server.port = listener.sockets[0].getsockname()[1]
        server.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.port}"
        ready.set()
        await stop.wait()
        await close_listener(listener)
        for _ in range(5):  # a connection may be on its way from the kernel to its task, or from its end to its close
            await asyncio.sleep(0.002)
            for task in list(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        finally:
            loop.close()

    thread = threading.Thread(target=run, name="net-server", daemon=True)
    thread.start()
    assert ready.wait(GENEROUS)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(GENEROUS)


async def _serve(server: NetServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    server.note(lambda: server.count(accepted=1))
    number = server.accepted
    try:
        while (seen := await _request(reader, number)) is not None:
            server.note(lambda seen=seen: server.requests.append(seen))  # type: ignore[misc]
            if not await _answer(server, seen, reader, writer):
                break
    except (ConnectionError, asyncio.IncompleteReadError):
        pass  # the client has gone, which is what `ended` says
    finally:
        writer.transport.abort()
        server.note(lambda: server.count(ended=1))


async def _request(reader: asyncio.StreamReader, number: int) -> Seen | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode().rstrip().split("\r\n")
    method, path, _ = first.split()
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    if headers.get("transfer-encoding") == "chunked":
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    return Seen(number, method, path.partition("?")[0], headers, body)


def _whole(body: bytes, status: str = "200 OK", extra: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nX-Some-Header: Yes\r\n{extra}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)


def _reset(writer: asyncio.StreamWriter) -> bool:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


async def _until_gone(reader: asyncio.StreamReader) -> bool:
    await reader.read(1)
    return False


async def _answer(server: NetServer, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Do what the path says; whether the connection goes on."""
    match seen.path:
        case "/slow-headers":
            return await _until_gone(reader)
        case "/slow-body":
            writer.write(_whole(BODY)[:-5])
            return await _until_gone(reader)
        case "/stream" | "/stepwise" | "/burst" | "/slow-stream" | "/reset-stream" | "/short-stream" | "/flood":
            return await _stream(server, seen, reader, writer)
        case "/reset":
            return _reset(writer)
        case "/short":
            writer.write(_whole(BODY)[:-5])
            await writer.drain()
            return False
        case "/garbage":
            writer.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
            await writer.drain()
            return await _until_gone(reader)
        case "/redirect":
            writer.write(_whole(b"", "302 Found", "Location: /json\r\n"))
        case "/hang-up":
            writer.write(_whole(BODY))
            await writer.drain()
            return False
        case "/echo":
            echo = {"method": seen.method, "headers": seen.headers, "size": len(seen.body)}
            writer.write(_whole(json.dumps(echo).encode()))
        case _:
            writer.write(_whole(BODY))
    await writer.drain()
    return True


async def _stream(server: NetServer, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    writer.write(CHUNKED)
    if seen.path == "/flood":
        piece = b"x" * 16384
        while True:
            writer.write(_chunk(piece))
            await writer.drain()
            server.note(lambda: server.count(sent=len(piece)))
            if reader.at_eof():
                return False
    if seen.path == "/burst":
        writer.write(b"".join(map(_chunk, PIECES)) + _chunk(b""))
        await writer.drain()
        return True
    whole = seen.path in {"/stream", "/stepwise"}
    for number, piece in enumerate(PIECES if whole else PIECES[:2]):
        while seen.path == "/stepwise" and server.steps <= number:  # noqa: ASYNC110  (told from another thread)
            await asyncio.sleep(0.002)
        writer.write(_chunk(piece))
        await writer.drain()
        await asyncio.sleep(0.01)
    match seen.path:
        case "/slow-stream":
            return await _until_gone(reader)
        case "/reset-stream":
            return _reset(writer)
        case "/short-stream":
            return False
    writer.write(_chunk(b""))
    await writer.drain()
    return True


def until(condition: Callable[[], bool]) -> bool:
    """Whether it comes about within a generous time; for what no one reports."""
    end = time.monotonic() + GENEROUS
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True

"""The portal: one background loop per process, on which the HTTP of synchronous callers runs. Nothing else runs there.

Exact deadlines and prompt cancellation need asynchronous sockets. A caller's thread hands a call to the loop and
waits; the pieces of a stream cross back in a queue, many at a time.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import os
import queue
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from portkey_router.errors import ConnectFailedError
from portkey_router.transport import shared

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from portkey_router.transport import HttpStream, Transport
    from portkey_router.wire.http import Expiry, HttpCall, HttpReply

__all__ = ["SyncHttpStream", "SyncTransport"]

T = TypeVar("T")

# Unread bytes of one stream above which its socket is read no further.
UNREAD = 256 * 1024
# How long the interpreter's end waits for the portal's.
PATIENCE = 2.0


class _Portal:
    """A loop in a daemon thread of its own."""

    def __init__(self) -> None:
        # Not the policy's: that may be one of a GUI, which lives in the main thread only.
        self.loop: asyncio.AbstractEventLoop = (
            asyncio.ProactorEventLoop() if os.name == "nt" else asyncio.SelectorEventLoop()  # type: ignore[attr-defined,unused-ignore]
        )
        # Only our code runs on it: in debug mode asyncio would report a slow machine, on the user's stderr.
        self.loop.slow_callback_duration = float("inf")
        self.tasks: set[asyncio.Task[Any]] = set()
        self.closing = False
        self.pid = os.getpid()
        self._stop = asyncio.Event()
        self.thread = threading.Thread(target=self._serve, name="portkey-router-portal", daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        # Its end cancels what is in flight and shuts down the async generators, which closes the session.
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(self._until_stopped())

    async def _until_stopped(self) -> None:
        await self._stop.wait()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` on the loop and wait. Whatever ends the wait early (Ctrl-C) cancels it."""
        if self.closing:
            work.close()
            raise ConnectFailedError("the interpreter is ending: no call can be made any more")
        job = _Job(self, work)
        try:
            self.loop.call_soon_threadsafe(job.start)
            return job.answer.result()
        except BaseException:
            self.soon(job.cancel)
            raise
        finally:
            del job  # an error's traceback holds this frame, and the job the error

    def soon(self, callback: Callable[[], object]) -> None:
        """Call it on the loop, from any thread; never raises."""
        if self.pid == os.getpid():  # else it is the parent's loop, and its wake-up socket shared
            with contextlib.suppress(RuntimeError):  # the loop is closed, and all it had in flight
                self.loop.call_soon_threadsafe(callback)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task of the loop, kept until it is done (a loop itself keeps none)."""
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def close(self) -> None:
        """Cancel what is in flight and end, within a bounded time."""
        self.closing = True
        self.soon(self._stop.set)
        if self.pid == os.getpid():
            self.thread.join(PATIENCE)


def _farewell() -> SystemExit:
    """What those who still wait at the interpreter's end are told: daemon threads, which it ends without a word.

    They must not wait for ever: somebody's exit handler may be waiting for them.
    """
    return SystemExit("the interpreter is ending")


class _Job(Generic[T]):
    """One call on its way: `start`, `done` and `cancel` run on the loop, `answer` is waited for elsewhere."""

    __slots__ = ("answer", "portal", "task", "work")

    def __init__(self, portal: _Portal, work: Coroutine[Any, Any, T]) -> None:
        self.portal = portal
        self.work = work
        self.task: asyncio.Task[T] | None = None
        self.answer: concurrent.futures.Future[T] = concurrent.futures.Future()

    def start(self) -> None:
        self.task = self.portal.spawn(self.work)
        self.task.add_done_callback(self.done)

    def done(self, task: asyncio.Task[T]) -> None:
        error = None if task.cancelled() else task.exception()
        if self.portal.closing and (error is not None or task.cancelled()):
            self.answer.set_exception(_farewell())
        elif task.cancelled():
            self.answer.cancel()
        elif error is not None:
            self.answer.set_exception(error)
        else:
            self.answer.set_result(task.result())

    def cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()


_lock = threading.Lock()
_current: _Portal | None = None


def _portal(transport: Transport) -> _Portal:
    global _current  # noqa: PLW0603  (one thread per process is the point; it holds no settings)
    if _current is None:
        transport.prepare()  # in this thread, which waits anyway
        with _lock:
            if _current is None:
                _current = _Portal()
                atexit.register(_current.close)
    return _current


def _after_fork() -> None:
    """The child has no portal: its thread stayed with the parent. The lock may have been held there."""
    global _current, _lock
    _current, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _Pump:
    """Reads a stream on the portal into a queue; the caller's thread takes from it.

    `taken` is written by the reader alone and `put` by the loop alone, so neither needs a lock.
    """

    def __init__(self, portal: _Portal, stream: HttpStream) -> None:
        self.portal = portal
        self.stream = stream
        self.pieces: queue.SimpleQueue[bytes | BaseException] = queue.SimpleQueue()
        self.put = self.taken = 0
        self.room: asyncio.Event | None = None
        self.task = portal.spawn(self._run())

    async def _run(self) -> None:
        try:
            while piece := await self.stream.pull():
                self.put += len(piece)
                self.pieces.put(piece)
                if self.put - self.taken > UNREAD:
                    await self._wait_for_room()
            self.pieces.put(b"")
        except BaseException as error:
            self.stream.abort()
            self.pieces.put(_farewell() if self.portal.closing else error)
            if isinstance(error, asyncio.CancelledError):
                raise

    async def _wait_for_room(self) -> None:
        room = self.room = asyncio.Event()
        # Asked again after the event can be seen: the reader may have taken the last piece in between.
        if self.put - self.taken > UNREAD // 2:
            await room.wait()
        self.room = None

    def take(self, size: int) -> None:
        """The reader has taken so many bytes."""
        self.taken += size
        room = self.room
        if room is not None and self.put - self.taken <= UNREAD // 2:
            self.portal.soon(room.set)

    def cancel(self) -> None:
        self.portal.soon(self.task.cancel)


class SyncHttpStream:
    """An opened reply, read piece by piece in any one thread. Header names are lower-case."""

    __slots__ = ("_end", "_pump", "headers", "status")

    def __init__(self, pump: _Pump) -> None:
        self.status: int = pump.stream.status
        self.headers: Mapping[str, str] = pump.stream.headers
        self._pump = pump
        self._end: bytes | BaseException | None = None

    def read(self, expiry: Expiry) -> bytes:
        """The next bytes: every piece that has arrived, or else the next to come; `b""` at the clean end."""
        if self._end is None:
            try:
                pieces = self._next(expiry)
            except BaseException:
                self.abort()
                raise
            if pieces:
                return pieces
        if isinstance(self._end, asyncio.CancelledError):
            raise ConnectFailedError("this stream was closed: nothing more can be read from it")
        if isinstance(self._end, BaseException):
            raise self._end
        return b""

    def _next(self, expiry: Expiry) -> bytes:
        pump = self._pump
        left = expiry.remaining()
        if left <= 0 or pump.portal.pid != os.getpid():
            raise pump.stream.late(expiry)
        try:
            piece = pump.pieces.get(timeout=min(left, threading.TIMEOUT_MAX))
        except queue.Empty:
            raise pump.stream.late(expiry) from None
        pieces: list[bytes] = []
        with contextlib.suppress(queue.Empty):  # all that has arrived is taken
            while isinstance(piece, bytes) and piece:
                pieces.append(piece)
                piece = pump.pieces.get_nowait()
            self._end = piece
        taken = b"".join(pieces)
        pump.take(len(taken))
        return taken

    def read_all(self, expiry: Expiry) -> bytes:
        """The rest of the body."""
        pieces = []
        while piece := self.read(expiry):
            pieces.append(piece)
        return b"".join(pieces)

    def abort(self) -> None:
        """Let go: a connection read to its end went back to the pool, another is closed in a moment. Idempotent."""
        if not self._pump.task.done():
            self._pump.cancel()

    def __del__(self) -> None:
        if hasattr(self, "_pump"):
            self.abort()


class SyncTransport:
    """HTTP for synchronous callers, in any thread, inside a running loop, and after a fork."""

    def __init__(self, transport: Transport | None = None) -> None:
        self._transport = shared() if transport is None else transport

    def send(self, call: HttpCall) -> HttpReply:
        """The whole reply, within `call.expiry`."""
        return _portal(self._transport).call(self._transport.send(call))

    def open(self, call: HttpCall) -> SyncHttpStream:
        """The reply, once its headers are there, within `call.expiry`."""
        portal = _portal(self._transport)
        return portal.call(self._open(portal, call))

    async def _open(self, portal: _Portal, call: HttpCall) -> SyncHttpStream:
        return SyncHttpStream(_Pump(portal, await self._transport.open(call)))

"""A thread that writes, and a queue before it that never makes anybody wait.

A queue belongs to one process: after a fork the child begins with an empty one and a thread of its own, and what the
parent had not written yet is the parent's to write.
"""

from __future__ import annotations

import atexit
import logging
import os
import queue
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from portkey_router.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Background", "Queued"]

T = TypeVar("T")

_logger = logging.getLogger("portkey_router.sinks")

PATIENCE = 2.0
"""Seconds that the interpreter's end waits for all queues together."""
_BATCH = 256
_TRIES = 3
_PAUSES = (0.1, 1.0)
_REPORT_EVERY = 60.0


class Background(Generic[T]):
    """Hands what is `put` to `write`, some at a time, in a daemon thread that starts with the first.

    `size` is how many may wait; beyond that they are dropped and counted in `dropped`, and so are those that `write`
    has refused three times. Both are reported in the log, at most once a minute.
    """

    def __init__(self, name: str, write: Callable[[Sequence[T]], object], *, size: int = 10_000) -> None:
        if size < 1:
            raise ConfigurationError(f"queue_size is how many events may wait, from 1 up; it is {size}.")
        self.name = name
        self._write = write
        self._size = size
        self._start_anew()
        _running.add(self)

    def _start_anew(self) -> None:
        # Its put() may be interrupted by itself, in a finalizer: that of queue.Queue would wait for its own lock.
        self._queue: queue.SimpleQueue[T | threading.Event] = queue.SimpleQueue()
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._leaving = threading.Event()
        self._reported = (0, float("-inf"))
        self.dropped = 0

    def put(self, item: T) -> None:
        """Take an item; never waits, never raises."""
        if self._queue.qsize() >= self._size or self._leaving.is_set():
            self._drop(1)
            return
        self._queue.put(item)
        if self._thread is None:
            self._start()

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all that was put before has been written or dropped; False if that took longer."""
        if self._thread is None or not self._thread.is_alive():
            return self._queue.empty()
        passed = threading.Event()
        self._queue.put(passed)
        return passed.wait(timeout)

    def close(self, timeout: float = PATIENCE) -> bool:
        """Write what is waiting, within `timeout`, and end; False where some had to be left. Idempotent."""
        self._leaving.set()  # no pauses any more, and nothing new
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return True
        done = not thread.is_alive() or self.flush(timeout)
        left = 0 if done else self._queue.qsize()
        if left:
            self._drop(left)
            _logger.warning("%s ended with %d events unwritten.", self.name, left)
        return done

    def _drop(self, count: int) -> None:
        with self._lock:
            self.dropped += count

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                try:
                    thread = threading.Thread(target=self._serve, name=f"portkey-router-{self.name}", daemon=True)
                    thread.start()
                except RuntimeError:  # the interpreter is ending: no thread can be started any more
                    self._drop(1)
                else:
                    self._thread = thread

    def _serve(self) -> None:
        while True:
            batch, markers = self._next_batch()
            if batch:
                self._deliver(batch)
            self._report()
            for marker in markers:
                marker.set()
            if markers and self._leaving.is_set() and self._queue.empty():
                return

    def _next_batch(self) -> tuple[list[T], list[threading.Event]]:
        """What is there, waiting for the first; up to a marker."""
        batch: list[T] = []
        item = self._queue.get()
        while not isinstance(item, threading.Event):
            batch.append(item)
            if len(batch) >= _BATCH:
                return batch, []
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return batch, []
        return batch, [item]

    def _deliver(self, batch: Sequence[T]) -> None:
        for tried in range(1, _TRIES + 1):
            try:
                self._write(batch)
            except Exception as error:  # noqa: BLE001  (whatever it is, the queue goes on; it is logged)
                if tried == _TRIES or self._leaving.is_set():
                    self._drop(len(batch))
                    self._report(error)
                    return
                self._leaving.wait(_PAUSES[tried - 1])
            else:
                return

    def _report(self, error: Exception | None = None) -> None:
        """Say that events were dropped, and for what error, at most once a minute."""
        before, when = self._reported
        lost, now = self.dropped - before, time.monotonic()
        if lost and now - when >= _REPORT_EVERY:
            self._reported = self.dropped, now
            why = "they came faster than it writes" if error is None else "it could not write them"
            _logger.warning("%s dropped %d events: %s.", self.name, lost, why, exc_info=error)


class Queued:
    """A sink that writes by a `Background`."""

    _queue: Background[Any]

    @property
    def dropped(self) -> int:
        """How many events were lost: the queue was full, or they could not be written."""
        return self._queue.dropped

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all that was handed over has been written or dropped; False if that took longer (seconds)."""
        return self._queue.flush(timeout)

    def close(self, timeout: float = PATIENCE) -> bool:
        """Write what is waiting, and end; False where some had to be left."""
        return self._queue.close(timeout)


_running: weakref.WeakSet[Background[Any]] = weakref.WeakSet()


def _at_exit() -> None:
    deadline = time.monotonic() + PATIENCE
    for background in list(_running):
        background.close(max(0.0, deadline - time.monotonic()))


def _after_fork() -> None:
    for background in list(_running):
        background._start_anew()  # noqa: SLF001  (of this module)


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

"""Work that nobody waits for: in a thread for synchronous callers, in a task of their loop for asynchronous ones."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["Asides"]

AT_ONCE = 4


class Asides:
    """Does a few things at a time; what comes while all hands are full is not done."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._free = threading.BoundedSemaphore(at_once)
        self._tasks: set[asyncio.Task[Any]] = set()

    def in_thread(self, work: Callable[[], object]) -> bool:
        """Do it in a daemon thread; whether it is being done."""
        if not self._free.acquire(blocking=False):
            return False

        def run() -> None:
            try:
                work()
            finally:
                self._free.release()

        # In the caller's context, as a task is: a judge that calls an LLM is known to be a cache's.
        here = contextvars.copy_context()
        threading.Thread(target=here.run, args=(run,), name="portkey-router-judge", daemon=True).start()
        return True

    def in_loop(self, work: Callable[[], Coroutine[Any, Any, object]]) -> bool:
        """Do it in a task of the running loop; whether it is being done."""
        if not self._free.acquire(blocking=False):
            return False
        task = asyncio.get_running_loop().create_task(work())
        self._tasks.add(task)  # a loop itself keeps none
        task.add_done_callback(self._done)
        return True

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._free.release()
        if not task.cancelled():
            task.exception()  # looked at: the work reports its failures itself

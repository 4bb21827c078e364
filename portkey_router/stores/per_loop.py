"""One resource per running event loop, closed with it, and with nothing for the user to close.

A loop that shuts down its async generators (`asyncio.run`, uvicorn) closes its resource then. Loops that end without
that are swept at the next use and at exit. A forked child forgets its parent's.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from portkey_router.loop_end import LoopEnd

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LoopBound", "PerLoop"]


class LoopBound(Protocol):
    """What belongs to one loop."""

    def abort(self) -> None:
        """Close it at once, in its loop."""

    def drop(self, *, forked: bool) -> None:
        """Close its sockets without a word to the loop, which runs no more, or (`forked`) is the parent process's."""


R = TypeVar("R", bound=LoopBound)


class _Held(Generic[R]):
    """A loop's resource, which the loop's end closes."""

    def __init__(self, resource: R, loop: asyncio.AbstractEventLoop, owner: PerLoop[R]) -> None:
        self.resource = resource
        self.loop = loop
        self.owner = owner
        self.gone = False
        self._end = LoopEnd(loop, self._shut)

    async def _shut(self) -> None:
        if self.gone:
            return
        self.gone = True
        self.owner.forget(self)
        self.resource.abort()
        for _ in range(3):  # a loop closes a socket a turn after it was told to; uvloop takes three
            await asyncio.sleep(0)

    def close(self) -> None:
        """Close it; called in its loop, which may be at its end: nothing is left for it to do."""
        if not self.gone:
            self.gone = True
            self.owner.forget(self)
            self.resource.abort()
            self._end.forget()

    async def aclose(self) -> None:
        """Close it, in its loop."""
        await self._end.aclose()

    def drop(self, *, forked: bool = False) -> None:
        """Close it without its loop."""
        self.gone = True
        self.resource.drop(forked=forked)
        self._end.forget()


class PerLoop(Generic[R]):
    """Gives the running loop's resource, and opens it first where there is none."""

    def __init__(self, opener: Callable[[], R]) -> None:
        self._opener = opener
        self._held: dict[asyncio.AbstractEventLoop, _Held[R]] = {}

    def get(self) -> R:
        """The running loop's."""
        loop = asyncio.get_running_loop()
        if len(self._held) > 1:
            self.sweep()
        held = self._held.get(loop)
        if held is None:
            self.sweep()
            held = self._held[loop] = _Held(self._opener(), loop, self)
            _used.add(self)
        return held.resource

    @property
    def ready(self) -> bool:
        """Whether the running loop has one."""
        return asyncio.get_running_loop() in self._held

    async def aclose(self) -> None:
        """Close the running loop's; the next use opens another."""
        held = self._held.get(asyncio.get_running_loop())
        if held is not None:
            await held.aclose()

    def forget(self, held: _Held[R]) -> None:
        """It is being closed."""
        if self._held.get(held.loop) is held:
            del self._held[held.loop]
        self._note()

    def release(self) -> None:
        """Nobody will ask for any more: close them all, each in its loop. From any thread; never raises."""
        self.sweep()
        for loop, held in list(self._held.items()):
            with contextlib.suppress(RuntimeError):  # it has closed meanwhile: swept at exit
                loop.call_soon_threadsafe(held.close)

    def sweep(self) -> None:
        """Drop those of loops that closed without a word."""
        for loop in list(self._held):
            if loop.is_closed() and (held := self._held.pop(loop, None)) is not None:
                held.drop()
        self._note()

    def drop_all(self, *, forked: bool) -> None:
        """Drop every one: the interpreter ends, or this is a forked child."""
        while self._held:
            self._held.popitem()[1].drop(forked=forked)
        self._note()

    def _note(self) -> None:
        if not self._held:
            _used.discard(self)


# Those that hold something: what a forked child forgets and the interpreter's end closes.
_used: set[PerLoop[Any]] = set()


def _after_fork() -> None:
    for each in list(_used):
        each.drop_all(forked=True)


def _at_exit() -> None:
    for each in list(_used):
        each.drop_all(forked=False)


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

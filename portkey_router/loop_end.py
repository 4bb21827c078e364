"""The end of an event loop: what belongs to the loop is closed with it, and nobody has to close it by hand."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

__all__ = ["LoopEnd"]


class LoopEnd:
    """Awaits `close()` in the loop before it ends. More than once: where it was closed before, it does nothing.

    A loop's end shows itself when it shuts down its async generators (`asyncio.run`, uvicorn); of a loop that never
    does, only uvloop's `close()` can be met in time. `give_up()` is called before the latter: the loop runs no more,
    and nothing can come of what was under way.
    """

    __slots__ = ("_close", "_give_up", "_keeper", "_loop", "_over")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        close: Callable[[], Awaitable[None]],
        *,
        give_up: Callable[[], None] = lambda: None,
    ) -> None:
        self._loop = loop
        self._close = close
        self._give_up = give_up
        self._over = False
        self._keeper = self._keep()
        # Past that point the loop would only warn of a generator it will not close: its owner has to sweep.
        if not getattr(loop, "_asyncgens_shutdown_called", False):
            with contextlib.suppress(StopIteration):  # how a generator's first `yield` looks from below
                self._keeper.__anext__().send(None)
        if not isinstance(loop, asyncio.BaseEventLoop):
            self._close_before(loop)

    async def _keep(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self._close()
            self._over = True

    def _close_before(self, loop: Any) -> None:
        """Have uvloop's `close()` close our sockets first: it reports those that it finds open, before any sweep."""
        close = loop.close

        def close_all() -> None:
            if not (self._over or loop.is_closed() or loop.is_running()):
                self._give_up()
                loop.run_until_complete(self.aclose())
            close()

        with contextlib.suppress(AttributeError):  # a loop of another make, whose methods are fixed
            loop.close = close_all

    async def aclose(self) -> None:
        """Close now, in the loop."""
        await self._close()
        self._over = True
        with contextlib.suppress(RuntimeError):  # the loop is at it already
            await self._keeper.aclose()

    def forget(self) -> None:
        """It was closed otherwise: nothing is left to do. From any thread, also where the loop is closed."""
        self._over = True
        with contextlib.suppress(StopIteration, RuntimeError):  # its end; or it is running, in the forking process
            self._keeper.aclose().send(None)

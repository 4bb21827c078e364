"""A user's callable, asynchronous or not, in the two forms that synchronous and asynchronous callers need."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

from portkey_router.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["both_ways", "in_thread", "is_asynchronous"]


def both_ways(function: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[..., Awaitable[Any]]]:
    """Its synchronous and its asynchronous form; the one it lacks runs in a loop, or in a thread, of its own."""
    if is_asynchronous(function):
        return _in_own_loop(function), function
    return function, in_thread(function)


def is_asynchronous(function: Any) -> bool:
    """Whether calling it gives something to await; also of an object that can be called."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004  (its method is asked, not whether it has one)


def in_thread(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """The asynchronous form of a function that may block."""

    async def call(*arguments: Any) -> Any:
        return await asyncio.to_thread(function, *arguments)

    return call


def _in_own_loop(function: Callable[..., Any]) -> Callable[..., Any]:
    async def awaited(*arguments: Any) -> Any:
        return await function(*arguments)

    def call(*arguments: Any) -> Any:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(awaited(*arguments))
        raise ConfigurationError(
            f"{getattr(function, '__qualname__', type(function).__qualname__)} is asynchronous, and this is a "
            "synchronous call inside a running loop. Use the cache's asynchronous verb, or give a synchronous function."
        )

    return call

"""The last few of something, by key."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

__all__ = ["Recent"]

V = TypeVar("V")


class Recent(Generic[V]):
    """Keeps the `limit` values used last. Each step is one operation of a dict, so threads need no lock."""

    __slots__ = ("_limit", "_values")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[str, V] = OrderedDict()

    def get(self, key: str) -> V | None:
        """The value, which is then the last used."""
        value = self._values.get(key)
        if value is not None:
            try:  # noqa: SIM105  (on the way of each lookup, and this costs nothing)
                self._values.move_to_end(key)
            except KeyError:  # another thread has just let go of it
                pass
        return value

    def put(self, key: str, value: V) -> None:
        """Keep it, and let go of those used longest ago."""
        self._values[key] = value
        while len(self._values) > self._limit:
            try:  # noqa: SIM105  (as above)
                self._values.popitem(last=False)
            except KeyError:
                pass

    def drop(self, key: str) -> None:
        """Let go of it."""
        self._values.pop(key, None)

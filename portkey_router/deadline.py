"""A deadline that stands still while others work: for what is bounded, and waits for what is not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Deadline"]


class Deadline:
    """The moment by which something must be done. `seconds` is how long that was at the start."""

    __slots__ = ("at", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.at = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds, never below 0."""
        return max(self.at - time.monotonic(), 0.0)

    def paused(self) -> _Paused:
        """What the block takes does not count."""
        return _Paused(self)


class _Paused:
    __slots__ = ("_begun", "_deadline")

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._begun = 0.0

    def __enter__(self) -> None:
        self._begun = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadline.at += time.monotonic() - self._begun

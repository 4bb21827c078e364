"""A deadline that stands still while others work: for what is bounded, and waits for what is not."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

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

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """What the block takes does not count."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.at += time.monotonic() - begun

"""A breaker: what has failed several times in a row is left alone for a while, so that nobody waits for it.

A state machine that is handed the time (seconds of a monotonic clock).
"""

from __future__ import annotations

__all__ = ["Breaker"]


class Breaker:
    """Opens after `failures` in a row, for `cooldown` seconds; then one try decides."""

    __slots__ = ("_cooldown", "_failed", "_failures", "_until")

    def __init__(self, failures: int = 3, cooldown: float = 5.0) -> None:
        self._failures = failures
        self._cooldown = cooldown
        self._failed = 0
        self._until = 0.0

    def allows(self, now: float) -> bool:
        """Whether to try. After the cooldown it says yes once, and again only a cooldown later or after a success."""
        if self._failed < self._failures:
            return True
        if now < self._until:
            return False
        self._until = now + self._cooldown
        return True

    def failed(self, now: float) -> None:
        """It failed."""
        self._failed += 1
        if self._failed >= self._failures:
            self._until = now + self._cooldown

    def succeeded(self) -> None:
        """It worked."""
        self._failed = 0

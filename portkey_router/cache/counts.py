"""Counts of what a cache did, kept in this process."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING

from portkey_router.cache.results import CacheStats
from portkey_router.locks import ForkLock

if TYPE_CHECKING:
    from portkey_router.cache.entry import Entry

__all__ = ["Counts"]

GROUPS = ("hits", "misses", "vetoes", "refused", "failures")


class Counts:
    """Adds up, from any thread."""

    def __init__(self) -> None:
        self._lock = ForkLock()
        self._groups: dict[str, Counter[str]] = {group: Counter() for group in GROUPS}
        self._single: Counter[str] = Counter()
        self._saved_cost = Decimal(0)

    def add(self, group: str, what: str) -> None:
        """One more of a kind. What follows a colon (the time word, the finish reason) makes no kind of its own."""
        with self._lock:
            self._groups[group][what.partition(":")[0]] += 1

    def one(self, what: str) -> None:
        """One more: `stored`, `embedded` or `reused`."""
        with self._lock:
            self._single[what] += 1

    def hit(self, layer: str, entry: Entry) -> None:
        """A hit, and what it saved."""
        with self._lock:
            self._groups["hits"][layer] += 1
            self._single["saved_tokens"] += (entry.input_tokens or 0) + (entry.output_tokens or 0)
            self._saved_cost += entry.cost or 0

    def stats(self) -> CacheStats:
        """As they stand."""
        with self._lock:
            groups = {group: dict(counter) for group, counter in self._groups.items()}
            return CacheStats(**groups, **self._single, saved_cost=self._saved_cost)  # type: ignore[arg-type]  # by name

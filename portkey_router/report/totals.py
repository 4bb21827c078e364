"""Calls added up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from portkey_router.events import CallFinished

__all__ = ["RunningTotals", "UsageTotals", "totals_of"]

# A context of our own: the caller's may round.
_EXACT = Context(prec=60)
_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")


@dataclass(frozen=True, slots=True)
class UsageTotals:
    """What some calls used and cost together.

    `cost_usd` is the sum of all costs that are known; `unpriced` counts the calls that used tokens of unknown price,
    which are missing from it. `hits` are calls that a cache answered: they cost nothing, and their tokens are not
    counted; `saved_usd` is what those had cost that say so. `failed` calls gave no answer, `estimated` ones did not
    state their usage. `input_tokens` include cached ones, `output_tokens` reasoning.
    """

    calls: int = 0
    cost_usd: Decimal = Decimal(0)
    saved_usd: Decimal = Decimal(0)
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    hits: int = 0
    failed: int = 0
    unpriced: int = 0
    estimated: int = 0

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


class RunningTotals:
    """Totals that grow by one call at a time, without keeping it."""

    __slots__ = ("_counts", "cost_usd", "saved_usd")

    def __init__(self) -> None:
        self.cost_usd = self.saved_usd = Decimal(0)
        self._counts: Counter[str] = Counter()

    def add(self, call: CallFinished) -> None:
        """Count a call."""
        counts = self._counts
        counts["calls"] += 1
        counts["failed"] += call.failed
        if call.hit:
            counts["hits"] += 1
            if call.saved_usd is not None:
                self.saved_usd = _EXACT.add(self.saved_usd, call.saved_usd)
            return
        if call.cost is not None:
            self.cost_usd = _EXACT.add(self.cost_usd, call.cost.amount)
        if call.usage is None:
            return
        for name in _TOKENS:
            counts[name] += getattr(call.usage, name) or 0
        counts["unpriced"] += call.cost is None
        counts["estimated"] += call.estimated

    @property
    def totals(self) -> UsageTotals:
        """What there is by now."""
        return UsageTotals(cost_usd=self.cost_usd, saved_usd=self.saved_usd, **self._counts)


def totals_of(calls: Iterable[CallFinished]) -> UsageTotals:
    """The sum over calls."""
    running = RunningTotals()
    for call in calls:
        running.add(call)
    return running.totals

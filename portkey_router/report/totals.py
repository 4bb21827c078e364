"""Calls added up."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from portkey_router.messages import total_cost

if TYPE_CHECKING:
    from collections.abc import Iterable

    from portkey_router.events import CallFinished

__all__ = ["UsageTotals", "totals_of"]


@dataclass(frozen=True, slots=True)
class UsageTotals:
    """What some calls used and cost together.

    `cost_usd` is the sum of all costs that are known; `unpriced` counts the calls that used tokens of unknown price,
    which are missing from it. `hits` are calls that a cache answered: they cost nothing, and their tokens are not
    counted. `failed` calls gave no answer, `estimated` ones did not state their usage. `input_tokens` include cached
    ones, `output_tokens` reasoning.
    """

    calls: int = 0
    cost_usd: Decimal = Decimal(0)
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


def totals_of(calls: Iterable[CallFinished]) -> UsageTotals:
    """The sum over calls."""
    calls = tuple(calls)
    used = [(call.usage, call) for call in calls if call.usage is not None and not call.hit]
    usages = [usage for usage, _ in used]
    cost = total_cost([call.cost for call in calls if call.cost is not None and not call.hit])
    return UsageTotals(
        calls=len(calls),
        cost_usd=cost.amount if cost else Decimal(0),
        input_tokens=sum(usage.input_tokens for usage in usages),
        output_tokens=sum(usage.output_tokens for usage in usages),
        cache_read_tokens=sum(usage.cache_read_tokens or 0 for usage in usages),
        cache_write_tokens=sum(usage.cache_write_tokens or 0 for usage in usages),
        reasoning_tokens=sum(usage.reasoning_tokens or 0 for usage in usages),
        hits=sum(call.hit for call in calls),
        failed=sum(call.failed for call in calls),
        unpriced=sum(call.cost is None for _, call in used),
        estimated=sum(call.estimated for _, call in used),
    )

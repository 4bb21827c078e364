"""What `usage` shows: a line for each row, from whichever source, as a table and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from decimal import Decimal

    from portkey_router.report import Durations, SummaryRow

__all__ = ["NONE", "UsageLine", "columns_of", "line_of"]

NONE = "-"
"""The label of calls that lack the dimension."""
_ERRORS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class UsageLine:
    """A row: its `label`, what is plotted of it, its `cells` by column, and what JSON tells.

    `failures` is a share, from 0 to 1; `typical` and `slow` are seconds: the median and the 95th percentile, or the
    mean and None. None is what the source does not know. `errors` names the most frequent ones, with their counts. An
    empty cell is not shown where its whole column is empty.
    """

    label: str
    cost: Decimal | None
    failures: float | None
    typical: float | None
    slow: float | None
    cells: dict[str, str]
    told: dict[str, Any]
    errors: str = ""


def line_of(by: str, value: Any, row: SummaryRow) -> UsageLine:
    """A row of a summary."""
    totals = row.totals
    label = NONE if value is None else str(value)
    cells = {
        by: label,
        "calls": f"{totals.calls:,}",
        "failed": f"{totals.failed:,} ({row.failure_share:.1%})" if totals.failed else "",
        "cost USD": f"{totals.cost_usd:f}",
        "unpriced": f"{totals.unpriced:,}" if totals.unpriced else "",
        "seconds p50, p95": _seconds(row.seconds),
        "first token": _seconds(row.first_token),
        "hits": f"{row.hit_share:.1%}" if totals.hits else "",
        "saved USD, about": f"{row.saved_usd:.4f}" if totals.hits else "",
    }
    told = {by: value, **row.as_dict()}
    failures = row.failure_share if totals.calls else None
    times = row.seconds.p50, row.seconds.p95
    return UsageLine(label, totals.cost_usd, failures, *times, cells, told, _errors(row))


def _errors(row: SummaryRow) -> str:
    shown = [f"{count:,} {name}" for name, count in list(row.errors.items())[:_ERRORS_SHOWN]]
    more = len(row.errors) - len(shown)
    return ", ".join([*shown, *([f"{more} other classes"] if more else [])])


def _seconds(durations: Durations) -> str:
    found = [seconds for seconds in (durations.p50, durations.p95) if seconds is not None]
    return ", ".join(f"{seconds:.2f}" for seconds in found)


def columns_of(lines: Sequence[UsageLine]) -> tuple[list[str], Callable[[UsageLine], list[str]]]:
    """The columns that have something in any line, and what gives a line's cells of them."""
    names = [name for name in lines[0].cells if any(line.cells.get(name) for line in lines)] if lines else []
    return names, lambda line: [line.cells.get(name) or NONE for name in names]

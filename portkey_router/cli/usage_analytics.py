"""What Portkey's own analytics know of the calls: by day, model, user, or a metadata field."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import typer

from portkey_router.cli.usage_lines import UsageLine

if TYPE_CHECKING:
    from datetime import datetime

    from portkey_router.admin import AdminClient

__all__ = ["check_by", "lines_of_analytics"]

_MILLISECONDS = 1000
_TAG = "tag:"


def check_by(by: str) -> None:
    """Analytics do not know all that an event says."""
    if by not in {"day", "model", "user"} and not by.startswith(_TAG):
        raise typer.BadParameter(
            f"Portkey's analytics know day, model, user and tag:NAME; --by {by} needs --jsonl or --redis"
        )


def lines_of_analytics(client: AdminClient, by: str, query: dict[str, Any]) -> list[UsageLine]:
    """A line for each day, model, user, or value of the metadata field after `tag:`."""
    return _by_day(client, query) if by == "day" else _by_group(client, by, query)


@dataclass(slots=True)
class _Day:
    requests: Decimal = Decimal(0)
    errors: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    latencies: list[tuple[Decimal, Decimal]] = field(default_factory=list)  # average in ms, of how many

    @property
    def latency(self) -> Decimal | None:
        """The mean of a request, in ms; of the spans alone where their requests are not known."""
        known = sum((count for _, count in self.latencies), Decimal(0))
        if known:
            return sum((average * count for average, count in self.latencies), Decimal(0)) / known
        return (
            sum((average for average, _ in self.latencies), Decimal(0)) / len(self.latencies)
            if self.latencies
            else None
        )


def _by_day(client: AdminClient, query: dict[str, Any]) -> list[UsageLine]:
    found: dict[str, _Day] = defaultdict(_Day)
    counts: dict[datetime | None, Decimal] = {}
    for point in client.analytics.graph("requests", **query).points:
        counts[point.timestamp] = _number(point, "total")
        found[_day(point.timestamp)].requests += counts[point.timestamp]
    for point in client.analytics.graph("errors", **query).points:
        found[_day(point.timestamp)].errors += _number(point, "total")
    for point in client.analytics.cost(**query).points:
        found[_day(point.timestamp)].cost += _number(point, "total")
    for point in client.analytics.graph("latency", **query).points:
        count = counts.get(point.timestamp, Decimal(0))
        found[_day(point.timestamp)].latencies.append((_number(point, "avg"), count))
    return [_line_of_day(day, sums) for day, sums in sorted(found.items())]


def _line_of_day(day: str, sums: _Day) -> UsageLine:
    share = float(sums.errors / sums.requests) if sums.requests else None
    mean = None if sums.latency is None else float(sums.latency) / _MILLISECONDS
    failed = f"{sums.errors:,f}" + (f" ({share:.1%})" if share is not None else "")
    cells = {
        "day": day,
        "calls": f"{sums.requests:,f}",
        "failed": failed if sums.errors else "",
        "cost USD": f"{sums.cost:f}",
        "mean s": "" if mean is None else f"{mean:.2f}",
    }
    told = {
        "day": day,
        "calls": int(sums.requests),
        "failed": int(sums.errors),
        "failure_share": None if share is None else round(share, 6),
        "cost_usd": f"{sums.cost:f}",
        "seconds_mean": None if mean is None else round(mean, 3),
    }
    return UsageLine(day, sums.cost, share, mean, None, cells, told)


def _day(moment: datetime | None) -> str:
    return "?" if moment is None else moment.astimezone(UTC).date().isoformat()


def _number(point: Any, name: str) -> Decimal:
    value = getattr(point, name, None)
    return Decimal(str(value)) if isinstance(value, int | float | Decimal) else Decimal(0)


def _by_group(client: AdminClient, by: str, query: dict[str, Any]) -> list[UsageLine]:
    analytics = client.analytics
    if by.startswith(_TAG):
        groups = analytics.by_metadata(by.removeprefix(_TAG), **query)
    else:
        groups = analytics.by_model(**query) if by == "model" else analytics.by_user(**query)
    return [_line_of_group(by, group.name, group.requests, group.cost) for group in groups]


def _line_of_group(by: str, name: str | None, calls: int | None, cost: Decimal | None) -> UsageLine:
    cells = {
        by: name or "",
        "calls": "" if calls is None else f"{calls:,}",
        "cost USD": "" if cost is None else f"{cost:f}",
    }
    told = {by: name, "calls": calls, "cost_usd": None if cost is None else f"{cost:f}"}
    return UsageLine(name or "-", cost, None, None, None, cells, told)

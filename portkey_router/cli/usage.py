"""`usage`: what was asked, spent and lost, by day, model, user or tag, from Portkey's analytics."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portkey_router.cli.options import Json, Timeout, admin_client
from portkey_router.cli.output import progress, show_rows
from portkey_router.errors import ConfigurationError

if TYPE_CHECKING:
    from portkey_router.admin import AdminClient

__all__ = ["register"]

WIDTH = 24
GROUPS = ("day", "model", "user", "tag")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("usage", rich_help_panel="Calls")(usage)


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


def usage(
    *,
    workspace: Annotated[
        str | None, typer.Option("--workspace", metavar="SLUG", help="The workspace's slug; also PORTKEY_WORKSPACE.")
    ] = None,
    by: Annotated[str, typer.Option("--by", metavar="|".join(GROUPS), help="What the rows are.")] = "day",
    tag: Annotated[str | None, typer.Option("--tag", metavar="FIELD", help="The metadata field of --by tag.")] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="So many days, until now.")] = 7,
    since: Annotated[datetime | None, typer.Option("--since", help="From this day on (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option("--until", help="Up to this moment (UTC), by default now.")] = None,
    model: Annotated[list[str] | None, typer.Option("--model", help="Only this model (openai__gpt-4o).")] = None,
    virtual_key: Annotated[list[str] | None, typer.Option("--virtual-key", help="Only this key.")] = None,
    timeout: Timeout = 30.0,
    as_json: Json = False,
) -> None:
    """Show requests, failures, cost and latency by day; requests and cost by model, user or tag. With bars of cost."""
    if by not in GROUPS:
        raise typer.BadParameter(f"--by is one of {', '.join(GROUPS)}, not {by!r}")
    if (by == "tag") != (tag is not None):
        raise typer.BadParameter("--by tag and --tag FIELD go together")
    slug = workspace or os.environ.get("PORTKEY_WORKSPACE", "").strip()
    if not slug:
        raise ConfigurationError("Analytics are a workspace's: pass --workspace SLUG, or set PORTKEY_WORKSPACE.")
    end = _moment(until) or datetime.now(UTC)
    query: dict[str, Any] = {"since": _moment(since) or end - timedelta(days=days), "until": end, "workspace": slug}
    query |= {"ai_org_model": model} if model else {}
    query |= {"virtual_keys": virtual_key} if virtual_key else {}
    client = admin_client(timeout=timeout)
    with progress("Asking Portkey's analytics"):
        rows = _by_day(client, query) if by == "day" else _by_group(client, by, tag or "", query)
    columns = list(rows[0]) if rows else []
    most = max((row["cost"] or Decimal(0) for row in rows), default=Decimal(0))
    table = [[*(_shown(name, value) for name, value in row.items()), _bar(row["cost"], most)] for row in rows]
    value = [{name: _plain(cell) for name, cell in row.items()} for row in rows]
    show_rows([*columns, "cost, drawn"], table, value, as_json=as_json, none="Nothing was asked in that time.")


def _moment(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _by_day(client: AdminClient, query: dict[str, Any]) -> list[dict[str, Any]]:
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
    return [
        {"day": day, "requests": sums.requests, "failures": sums.errors, "cost": sums.cost, "latency ms": sums.latency}
        for day, sums in sorted(found.items())
    ]


def _day(moment: datetime | None) -> str:
    return "?" if moment is None else moment.astimezone(UTC).date().isoformat()


def _number(point: Any, name: str) -> Decimal:
    value = getattr(point, name, None)
    return Decimal(str(value)) if isinstance(value, int | float | Decimal) else Decimal(0)


def _by_group(client: AdminClient, by: str, tag: str, query: dict[str, Any]) -> list[dict[str, Any]]:
    analytics = client.analytics
    if by == "tag":
        groups = analytics.by_metadata(tag, **query)
    else:
        groups = analytics.by_model(**query) if by == "model" else analytics.by_user(**query)
    return [{by: group.name, "requests": group.requests, "cost": group.cost} for group in groups]


def _shown(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if name == "cost":
        return f"${value:.4f}"
    return f"{value:.0f}" if isinstance(value, Decimal) else str(value)


def _plain(value: Any) -> Any:
    """Decimals as text: a float would round them."""
    return f"{value:f}" if isinstance(value, Decimal) else value


def _bar(cost: Decimal | None, most: Decimal) -> str:
    return "█" * round(WIDTH * (cost or Decimal(0)) / most) if most else ""

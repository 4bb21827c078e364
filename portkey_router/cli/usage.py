"""`usage`: what was asked, spent and lost, from what a sink wrote or from Portkey's analytics; a table and a plot."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from portkey_router.bootstrap import stream_entries
from portkey_router.cli.charts import MOST_BARS, bars, check_plot, save_plot
from portkey_router.cli.options import Json, Timeout, admin_client, from_variable
from portkey_router.cli.output import note, progress, show, show_rows, warn
from portkey_router.cli.usage_analytics import check_by, lines_of_analytics
from portkey_router.cli.usage_lines import UsageLine, columns_of, line_of
from portkey_router.errors import ConfigurationError
from portkey_router.report import PassedOver, UsageSummary, calls_in, files_named, lines_of
from portkey_router.settings import read_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from portkey_router.events import CallFinished

__all__ = ["register"]

GROUPS = "day|model|provider|target|user|tag:NAME"
# Also what else a report knows.
KNOWN = {*GROUPS.split("|")[:-1], "requested_model", "operation", "outcome", "cache", "session", "tag"}
DAYS = 7
MOST_ROWS = 50
_PASSWORD = re.compile(r"://[^/@]*:[^/@]+@")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("usage", rich_help_panel="Calls")(usage)


def usage(
    *,
    jsonl: Annotated[
        list[str] | None,
        typer.Option(
            "--jsonl", metavar="FILE", help="What JsonLinesSink wrote; 'calls.jsonl*' for rotated files, too."
        ),
    ] = None,
    redis: Annotated[str | None, typer.Option("--redis", metavar="URL", help="Where RedisStreamSink writes.")] = None,
    redis_env: Annotated[
        str | None, typer.Option("--redis-env", metavar="VARIABLE", help="Take that URL from this variable.")
    ] = None,
    stream: Annotated[
        str | None, typer.Option("--stream", help="The Redis stream's name; by default portkey:events.")
    ] = None,
    workspace: Annotated[
        str | None, typer.Option("--workspace", metavar="SLUG", help="The workspace's slug; also PORTKEY_WORKSPACE.")
    ] = None,
    by: Annotated[str, typer.Option("--by", metavar=GROUPS, help="What the rows are.")] = "day",
    days: Annotated[
        int | None, typer.Option("--days", min=1, max=366, help="So many days, until now; of analytics, 7 by default.")
    ] = None,
    since: Annotated[datetime | None, typer.Option("--since", help="From this day on (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option("--until", help="Up to this moment (UTC), by default now.")] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", help="Only this model; of analytics, as openai__gpt-4o.")
    ] = None,
    virtual_key: Annotated[list[str] | None, typer.Option("--virtual-key", help="Only this key (analytics).")] = None,
    plot: Annotated[
        str | None, typer.Option("--plot", metavar="FILE.png", help="Draw it, too; needs the extra [plots].")
    ] = None,
    draw: Annotated[
        bool | None, typer.Option("--bars/--no-bars", help="Bars below the table; by default, at a terminal.")
    ] = None,
    timeout: Timeout = 30.0,
    as_json: Json = False,
) -> None:
    """Show calls, cost, failures and latency by day, model, provider, target, user or tag, as a table and as bars.

    From the events that a sink wrote (--jsonl, also gzipped and - for standard input, or --redis), else from Portkey's
    analytics. Costs are exact; calls of unknown price are counted apart. Percentiles are right to within 1 %.
    """
    if by not in KNOWN and not re.fullmatch(r"tag:.+", by):
        raise typer.BadParameter(f"--by is one of {GROUPS}, not {by!r}")
    span = _Span(days, since, until)
    if plot is not None:
        check_plot(plot)
    url = _url(redis, redis_env)
    if jsonl or url:
        _check_events(jsonl, url, workspace, virtual_key)
        found = _from_events(_lines(jsonl, url, stream, span, timeout), by, span, model)
    elif stream is not None:
        raise typer.BadParameter("--stream goes with --redis URL")
    else:
        found = _from_analytics(workspace, by, span, {"ai_org_model": model, "virtual_keys": virtual_key}, timeout)
    lines, total, passed_over = found
    if plot is not None and lines:
        with progress(f"Drawing {plot}"):
            save_plot(plot, lines if by == "day" else lines[:MOST_BARS], f"Usage by {by}")
        note(f"Drawn: {plot}")
    _print(lines, total, by, draw=draw, as_json=as_json, passed_over=passed_over)


class _Span:
    """The time that is asked for, `since` included, `until` not."""

    def __init__(self, days: int | None, since: datetime | None, until: datetime | None) -> None:
        if days is not None and since is not None:
            raise typer.BadParameter("say it one way: --days, or --since")
        self.until = _moment(until)
        self.since = _moment(since)
        if days is not None:
            self.since = (self.until or datetime.now(UTC)) - timedelta(days=days)
        if self.since and self.until and self.since >= self.until:
            raise ConfigurationError("--since and --until: the earlier one first.")

    def holds(self, at: datetime) -> bool:
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)

    @property
    def limited(self) -> bool:
        return self.since is not None or self.until is not None


def _moment(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


Found = tuple[list[UsageLine], UsageLine | None, PassedOver]
Source: TypeAlias = "Callable[[PassedOver], Iterator[bytes]]"


# ---- events ----------------------------------------------------------------------------------------------------------


def _url(redis: str | None, variable: str | None) -> str | None:
    if variable is None:
        if redis and _PASSWORD.search(redis):
            warn(
                "a password after --redis stays in the shell's history, and others on this machine can read it in the "
                "list of processes; --redis-env keeps it out of both"
            )
        return redis
    if redis is not None:
        raise typer.BadParameter("give the URL one way: --redis, or --redis-env VARIABLE")
    return from_variable("--redis-env", variable)


def _check_events(jsonl: list[str] | None, url: str | None, workspace: str | None, keys: list[str] | None) -> None:
    if jsonl and url:
        raise typer.BadParameter("from one place at a time: --jsonl, or --redis")
    if workspace is not None or keys:
        raise typer.BadParameter(
            "--workspace and --virtual-key are for Portkey's analytics, without --jsonl and --redis"
        )


def _lines(jsonl: list[str] | None, url: str | None, stream: str | None, span: _Span, timeout: float) -> Source:
    if url is None:
        if stream is not None:
            raise typer.BadParameter("--stream goes with --redis URL")
        files = files_named(jsonl or ())
        return lambda passed_over: lines_of(files, passed_over)
    since = span.since.timestamp() if span.since else None
    return lambda _: stream_entries(url, stream=stream, since=since, timeout=timeout)


def _from_events(source: Source, by: str, span: _Span, models: list[str] | None) -> Found:
    passed_over, summary = PassedOver(), UsageSummary(by)
    with progress("Reading"):
        for call, at in calls_in(source(passed_over), passed_over):
            if at is None and (span.limited or by == "day"):
                passed_over.undated += 1
                if span.limited:
                    continue
            if (at is not None and not span.holds(at)) or not _of(call, models):
                passed_over.outside += 1
                continue
            summary.add(call, at)
    lines = [line_of(by, value, row) for value, row in summary.rows.items()]
    return lines, line_of(by, "total", summary.total), passed_over


def _of(call: CallFinished, models: list[str] | None) -> bool:
    return not models or call.model in models or call.requested_model in models


# ---- analytics -------------------------------------------------------------------------------------------------------


def _from_analytics(
    workspace: str | None, by: str, span: _Span, only: dict[str, list[str] | None], timeout: float
) -> Found:
    check_by(by)
    slug = workspace or read_environment().get("portkey_workspace")
    if not slug:
        raise ConfigurationError(
            "Usage of what? --jsonl FILE or --redis URL read what a sink wrote; Portkey's analytics are a workspace's: "
            "--workspace SLUG, or set PORTKEY_WORKSPACE."
        )
    until = span.until or datetime.now(UTC)
    query: dict[str, Any] = {"since": span.since or until - timedelta(days=DAYS), "until": until, "workspace": slug}
    query |= {name: values for name, values in only.items() if values}
    client = admin_client(timeout=timeout)
    with progress("Asking Portkey's analytics"):
        return lines_of_analytics(client, by, query), None, PassedOver()


# ---- showing ---------------------------------------------------------------------------------------------------------


def _print(
    lines: list[UsageLine],
    total: UsageLine | None,
    by: str,
    *,
    draw: bool | None,
    as_json: bool,
    passed_over: PassedOver,
) -> None:
    shown = lines if by == "day" else lines[:MOST_ROWS]
    columns, cells = columns_of([*shown, *([total] if total else [])])
    rows = [cells(line) for line in shown] + ([cells(total)] if total and len(lines) > 1 else [])
    value: dict[str, Any] = {"by": by, "rows": [line.told for line in lines]}
    value["passed_over"] = asdict(passed_over)
    value["total"] = {name: part for name, part in total.told.items() if name != by} if total else None
    show_rows(columns, rows if lines else [], value, as_json=as_json, none="No calls in that time.")
    if total and total.errors and not as_json:
        show(None, f"Failed: {total.errors}.", as_json=False)
    if not as_json and (sys.stdout.isatty() if draw is None else draw):
        for text in bars(lines[-MOST_BARS:] if by == "day" else lines[:MOST_BARS]):
            show(None, text, as_json=False)
    if len(lines) > len(shown) and not as_json:
        note(f"The dearest {len(shown)} of {len(lines):,} rows; --json has all.")
    if told := str(passed_over):
        note(f"Read past: {told}.")

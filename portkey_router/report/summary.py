"""Sums over any number of calls, in bounded memory: what was asked, spent, saved and lost, and how long it took."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

from portkey_router.report.dimensions import values_of
from portkey_router.report.quantiles import Quantiles
from portkey_router.report.totals import RunningTotals

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping
    from datetime import datetime

    from portkey_router.events import CallFinished
    from portkey_router.report.totals import UsageTotals

__all__ = ["OTHERS", "Durations", "SummaryRow", "UsageSummary"]

OTHERS = "(others)"
"""The row of all values beyond those that have one of their own, and the class of all errors beyond those named."""

_EXACT = Context(prec=60)
_MOST_ERRORS = 50


@dataclass(frozen=True, slots=True)
class Durations:
    """Seconds: the median and the 95th percentile, to within 1 % (see `Quantiles`). None where there are none."""

    p50: float | None = None
    p95: float | None = None


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """What some calls used, cost and took together.

    `totals` are theirs; `errors` counts failed calls by the class of their error, the most frequent first. `seconds`
    are those of calls that a model answered (neither failed, nor left early, nor from a cache), `first_token` how long
    their streams took to begin. `saved_usd` is what the hits' answers had cost; of a hit that does not say so, the
    mean of the priced calls of the same model stands for it. `unvalued` counts the hits for which there was none.
    """

    totals: UsageTotals
    errors: Mapping[str, int]
    seconds: Durations
    first_token: Durations
    saved_usd: Decimal
    unvalued: int

    @property
    def failure_share(self) -> float:
        """Failed calls of all; 0.0 of none."""
        return self.totals.failed / self.totals.calls if self.totals.calls else 0.0

    @property
    def hit_share(self) -> float:
        """Calls that a cache answered, of all; 0.0 of none."""
        return self.totals.hits / self.totals.calls if self.totals.calls else 0.0

    def as_dict(self) -> dict[str, Any]:
        """As JSON: amounts as strings, since a float would round them; times are rounded to the millisecond."""
        totals = self.totals
        return {
            "calls": totals.calls,
            "cost_usd": f"{totals.cost_usd:f}",
            "unpriced": totals.unpriced,
            "failed": totals.failed,
            "failure_share": round(self.failure_share, 6),
            "errors": dict(self.errors),
            "seconds_p50": _rounded(self.seconds.p50),
            "seconds_p95": _rounded(self.seconds.p95),
            "first_token_p50": _rounded(self.first_token.p50),
            "first_token_p95": _rounded(self.first_token.p95),
            "hits": totals.hits,
            "hit_share": round(self.hit_share, 6),
            "saved_usd_estimate": f"{self.saved_usd:f}",
            "unvalued_hits": self.unvalued,
            "input_tokens": totals.input_tokens,
            "output_tokens": totals.output_tokens,
            "estimated": totals.estimated,
        }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


@dataclass(slots=True)
class _Group:
    totals: RunningTotals = field(default_factory=RunningTotals)
    errors: Counter[str] = field(default_factory=Counter)
    seconds: Quantiles = field(default_factory=Quantiles)
    first_token: Quantiles = field(default_factory=Quantiles)
    hits: Counter[str | None] = field(default_factory=Counter)  # that do not say what they saved, by model

    def add(self, call: CallFinished, model: str | None) -> None:
        self.totals.add(call)
        if call.hit:
            self.hits[model] += call.saved_usd is None
        elif call.failed:
            named = call.outcome in self.errors or len(self.errors) < _MOST_ERRORS
            self.errors[call.outcome if named else OTHERS] += 1
        elif call.outcome == "ok":
            self.seconds.add(call.seconds)
            if call.first_token is not None:
                self.first_token.add(call.first_token)


class UsageSummary:
    """Sums by one dimension, for any number of calls: none of them is kept.

    `by` is `day` (UTC), `model`, `provider`, `target`, `user`, `tag` or another name that `UsageReport.by` knows, or
    `tag:NAME`. The first `most_rows` values get a row each, all further ones share the row `(others)`.
    """

    def __init__(self, by: str = "model", *, most_rows: int = 10_000) -> None:
        self.by = by
        self._most_rows = most_rows
        self._groups: dict[Hashable, _Group] = {}
        self._all = _Group()
        self._priced: dict[str | None, tuple[int, Decimal]] = {}

    def add(self, call: CallFinished, at: datetime | None = None) -> None:
        """Count a call, told at that moment."""
        model = self._known_model(call)
        if call.cost is not None and not call.hit:
            count, cost = self._priced.get(model, (0, Decimal(0)))
            self._priced[model] = count + 1, _EXACT.add(cost, call.cost.amount)
        self._all.add(call, model)
        for value in self._values(call, at):
            self._group(value).add(call, model)

    def _values(self, call: CallFinished, at: datetime | None) -> list[Hashable]:
        if self.by == "day":
            return [None if at is None else at.astimezone(UTC).date().isoformat()]
        return values_of(call, self.by)

    def _group(self, value: Hashable) -> _Group:
        group = self._groups.get(value)
        if group is None:
            if len(self._groups) >= self._most_rows:
                value = OTHERS
            group = self._groups.setdefault(value, _Group())
        return group

    def _known_model(self, call: CallFinished) -> str | None:
        model = call.requested_model or call.model
        return model if model in self._priced or len(self._priced) < self._most_rows else OTHERS

    @property
    def rows(self) -> dict[Any, SummaryRow]:
        """By value: days in order, all else the dearest first. The value of calls that lack the dimension is None."""
        rows = {value: self._row(group) for value, group in self._groups.items()}
        if self.by == "day":
            return dict(sorted(rows.items(), key=lambda row: (row[0] is None, str(row[0]))))
        return dict(sorted(rows.items(), key=lambda row: (-row[1].totals.cost_usd, -row[1].totals.calls, str(row[0]))))

    @property
    def total(self) -> SummaryRow:
        """All calls, each counted once."""
        return self._row(self._all)

    def _row(self, group: _Group) -> SummaryRow:
        saved, unvalued = group.totals.saved_usd, 0
        for model, hits in group.hits.items():
            count, cost = self._priced.get(model, (0, Decimal(0)))
            if count:
                mean = _EXACT.divide(_EXACT.multiply(cost, Decimal(hits)), Decimal(count))
                saved = _EXACT.add(saved, mean)
            else:
                unvalued += hits
        return SummaryRow(
            totals=group.totals.totals,
            errors=dict(group.errors.most_common()),
            seconds=Durations(group.seconds.quantile(0.5), group.seconds.quantile(0.95)),
            first_token=Durations(group.first_token.quantile(0.5), group.first_token.quantile(0.95)),
            saved_usd=_EXACT.quantize(saved, Decimal("1e-9")).normalize(_EXACT),
            unvalued=unvalued,
        )

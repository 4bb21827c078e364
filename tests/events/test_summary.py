from __future__ import annotations

import decimal
import math
import random
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portkey_router import UsageReport
from portkey_router.report import OTHERS, Durations, Quantiles, UsageSummary
from tests.events.calls import call, cost

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)


def summary_of(by: str, calls: list[Any], **options: Any) -> UsageSummary:
    """A summary of these calls, told at noon."""
    summary = UsageSummary(by, **options)
    for each in calls:
        summary.add(each, NOON)
    return summary


@given(st.lists(st.floats(1e-4, 1e6), min_size=1, max_size=300), st.floats(0, 1))
def test_quantiles_are_right_to_within_one_percent(numbers: list[float], share: float) -> None:
    """Of any numbers, in any order, the estimate is within 1 % of the number of that rank."""
    quantiles = Quantiles()
    for number in numbers:
        quantiles.add(number)
    true = sorted(numbers)[int(share * (len(numbers) - 1))]
    found = quantiles.quantile(share)
    assert found is not None
    assert math.isclose(found, true, rel_tol=0.01 + 1e-9)


def test_quantiles_take_bounded_memory() -> None:
    """However many numbers, and however far apart: at most 1,152 buckets; none of none, and one alone is exact."""
    quantiles, draw = Quantiles(), random.Random(7)  # noqa: S311  (not for secrets)
    assert quantiles.quantile(0.5) is None
    for _ in range(30_000):
        quantiles.add(10 ** draw.uniform(-9, 9))
    assert quantiles.count == 30_000
    assert len(quantiles._buckets) <= 1152
    alone = Quantiles()
    alone.add(0.0)
    assert alone.quantile(0.95) == 0.0


def test_a_row() -> None:
    """Failures by class, unknown costs apart, times of answers alone, and hits with what they would have cost."""
    calls = [
        call(cost=cost("0.010000001"), seconds=1.0, first_token=0.25),
        call(cost=cost("0.03"), seconds=3.0, tags={"user": "u1"}),
        call(cost=None),
        call(outcome="UpstreamRateLimitError", usage=None, cost=None, seconds=90.0, first_token=80.0),
        call(outcome="UpstreamRateLimitError", usage=None, cost=None),
        call(outcome="ConnectFailedError", usage=None, cost=None),
        call(outcome="left", seconds=70.0),
        call(cache_status="HIT", cost=cost("0", source="cache"), seconds=0.001),
        call("nobody-knows", cache="exact", cost=None, usage=None),
    ]
    row = summary_of("model", calls).total
    assert (row.totals.calls, row.totals.failed, row.totals.unpriced, row.totals.hits) == (9, 3, 1, 2)
    assert row.totals.cost_usd == Decimal("0.052500001")
    assert list(row.errors.items()) == [("UpstreamRateLimitError", 2), ("ConnectFailedError", 1)]
    assert (row.failure_share, row.hit_share) == (3 / 9, 2 / 9)
    assert row.seconds.p95 == row.seconds.p50 == pytest.approx(1.5, rel=0.01)
    assert row.first_token == Durations(0.25, 0.25)
    assert (row.saved_usd, row.unvalued) == (Decimal("0.017500000"), 1)


def test_what_hits_say_that_they_saved_is_taken_at_their_word() -> None:
    """The mean of other calls stands only for those that say nothing."""
    calls = [
        call(cost=cost("1")),
        call(cost=cost("0", source="cache"), cache="exact", saved_usd=Decimal("0.000000002")),
        call(cost=cost("0", source="cache"), cache="semantic", saved_usd=Decimal("0.25")),
        call(cost=cost("0", source="cache"), cache="langchain"),
    ]
    row = summary_of("model", calls).total
    assert row.totals.saved_usd == Decimal("0.250000002")
    assert (row.saved_usd, row.unvalued) == (Decimal("1.250000002"), 0)
    assert "saved USD" in str(UsageReport(calls).by("model"))
    assert "saved USD" not in str(UsageReport(calls[:1]).by("model"))


def test_the_report_and_the_summary_agree() -> None:
    """What is summed as it comes is what a report of all calls says, by whichever dimension."""
    calls = [
        call("gpt-4o", cost=cost("1"), tags={"user": "u1", "team": "search", "tags": ("a", "b")}),
        call("claude-sonnet-4-5", cost=cost("0.000000001"), provider="anthropic", tags={"user_id": "u1"}),
        call(outcome="ConnectFailedError", usage=None, cost=None),
        call(cache="exact"),
    ]
    for by in ("model", "provider", "target", "user", "team", "tag", "tag:team", "outcome"):
        table, rows = UsageReport(calls).by(by), summary_of(by, calls).rows
        assert {value: row.totals for value, row in rows.items()} == dict(table), by
    assert summary_of("user", calls).total.totals == UsageReport(calls).totals


def test_a_tag_of_a_name_that_a_call_has_itself() -> None:
    """`model` is the call's, `tag:model` a tag of that name."""
    calls = [call("gpt-4o", tags={"model": "mine"})]
    assert list(summary_of("model", calls).rows) == ["gpt-4o"]
    assert list(summary_of("tag:model", calls).rows) == ["mine"]
    assert list(UsageReport(calls).by("tag:model")) == ["mine"]


def test_days_are_utc_and_in_order() -> None:
    """A call of 23:30 in New York is the next day's; days stand in order, what has no time last."""
    summary, new_york = UsageSummary("day"), timezone(timedelta(hours=-5))
    summary.add(call(cost=cost("9")), None)
    summary.add(call(cost=cost("1")), datetime(2026, 11, 3, 23, 30, tzinfo=new_york))
    summary.add(call(cost=cost("2")), NOON)
    assert {day: str(row.totals.cost_usd) for day, row in summary.rows.items()} == {
        "2026-11-03": "2", "2026-11-04": "1", None: "9",
    }  # fmt: skip
    assert list(summary.rows) == ["2026-11-03", "2026-11-04", None]


def test_rows_models_and_errors_are_bounded() -> None:
    """Beyond so many values all share one row, and nothing is lost from the sums."""
    calls = [call(f"m{n}", tags={"user": f"u{n}"}, cost=cost("0.1")) for n in range(20)]
    calls += [call(outcome=f"Error{n}", usage=None, cost=None) for n in range(60)]
    summary = summary_of("user", calls, most_rows=5)
    assert list(summary.rows) == [OTHERS, "u0", "u1", "u2", "u3", "u4"]
    assert summary.rows[OTHERS].totals.calls == 75
    assert len(summary._priced) <= 6
    assert summary.total.totals.cost_usd == Decimal(2)
    assert (len(summary.total.errors), summary.total.errors[OTHERS]) == (51, 10)


def test_amounts_are_exact_whatever_the_callers_decimals() -> None:
    """A context that rounds to two digits rounds nothing here."""
    with decimal.localcontext(decimal.Context(prec=2)):
        summary = summary_of("model", [call(cost=cost("1234.567890123")) for _ in range(3)])
        assert str(summary.total.totals.cost_usd) == "3703.703670369"
        assert summary.total.as_dict()["cost_usd"] == "3703.703670369"


def test_as_json() -> None:
    """Amounts are text; what is not known is None."""
    told = summary_of("model", [call(outcome="ConnectFailedError", usage=None, cost=None)]).total.as_dict()
    assert (told["cost_usd"], told["seconds_p50"], told["errors"]) == ("0", None, {"ConnectFailedError": 1})

from __future__ import annotations

import asyncio
import decimal
import sys
import threading
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portkey_router import CallFinished, ConfigurationError, Usage, UsageReport, UsageTotals, usage_report
from portkey_router.events import EventHub
from portkey_router.report import totals_of
from tests.events.calls import attempt, call, cost


def test_totals() -> None:
    """Tokens and costs add up; failures, estimates and calls of unknown price are counted, and say so."""
    report = UsageReport(
        [
            call(usage=Usage(1000, 100, 1100, 400, 50, 60), cost=cost("0.0125")),
            call(usage=Usage(10, 20, 30), cost=cost("0.000000001"), estimated=True, outcome="left"),
            call(usage=None, cost=None, outcome="UpstreamUnavailableError"),
            call("gpt-99", cost=None),
        ]
    )
    assert report.totals == UsageTotals(
        calls=4,
        cost_usd=Decimal("0.012500001"),
        input_tokens=2010,
        output_tokens=1120,
        cache_read_tokens=400,
        cache_write_tokens=50,
        reasoning_tokens=60,
        failed=1,
        unpriced=1,
        estimated=1,
    )
    assert report.cost_usd == Decimal("0.012500001")


@pytest.mark.parametrize(
    "hit",
    [
        {"cache": "exact", "cost": None},
        {"cache": "semantic"},
        {"cache_status": "HIT", "cost": cost("0", source="cache")},
        {"cache_status": "SEMANTIC HIT"},
    ],
)
def test_a_hit_is_no_spend(hit: dict[str, Any]) -> None:
    """What a cache answered is a call and a hit; it used nothing, cost nothing, and has no unknown price."""
    assert totals_of([call(**hit)]) == UsageTotals(calls=1, hits=1)


def test_by() -> None:
    """By what a call knows of itself, by any tag, by several at once; the dearest first, what has none under None."""
    report = UsageReport(
        [
            call("gpt-4o", cost=cost("1"), tags={"user": "u1", "team": "search"}),
            call("claude-sonnet-4-5", requested_model="gpt-4o", cost=cost("2"), tags={"user_id": "u1"}),
            call("gpt-4o", cost=cost("4"), tags={"user": "u2", "thread_id": 7, "tags": ("a", "b", "a")}),
            call(None, requested_model="gpt-4o", usage=None, cost=None, outcome="ConnectFailedError"),
        ]
    )

    def costs(*names: str) -> dict[Any, str]:
        return {value: str(row.cost_usd) for value, row in report.by(*names).items()}

    assert list(costs("model").items()) == [("gpt-4o", "5"), ("claude-sonnet-4-5", "2")]
    assert report.by("model")["gpt-4o"].calls == 3
    assert costs("requested_model") == {"gpt-4o": "7"}
    assert costs("user") == {"u1": "3", "u2": "4", None: "0"}
    assert costs("session") == {7: "4", None: "3"}
    assert costs("team") == {"search": "1", None: "6"}
    assert costs("tag") == {"a": "4", "b": "4", None: "3"}
    assert costs("outcome") == {"ok": "7", "ConnectFailedError": "0"}
    assert costs("model", "user")["gpt-4o", "u2"] == "4"
    assert report.by("tag").total.cost_usd == 7
    assert report.by() == report.by("model")


def test_a_tag_of_any_kind_is_a_value() -> None:
    """Lists and objects are counted by their text: a tag need not be hashable."""
    report = UsageReport([call(tags={"where": ["a", "b"]}), call(tags={"where": SimpleNamespace(x=1)})])
    assert set(report.by("where")) == {"['a', 'b']", "namespace(x=1)"}


def test_one_call_is_counted_once() -> None:
    """A call told twice is one call, and the later word is the better one; other events are let pass."""
    report = UsageReport()
    report.add(call(call_id="x", cost=cost("1")))
    report.add(attempt())
    report.add(last := call(call_id="x", cost=cost("2")))
    assert report.calls == (last,)
    report.clear()
    assert len(report.calls) == 0


def test_sums_are_exact_whatever_the_callers_context() -> None:
    """A caller's decimal context neither rounds nor traps the sum."""
    calls = [call(cost=cost(amount)) for amount in ("123456789.000000001", "0.000000002")]
    with decimal.localcontext(decimal.Context(prec=3, traps=[decimal.Inexact])):
        assert str(UsageReport(calls).cost_usd) == "123456789.000000003"


NANO = st.integers(0, 10**15).map(lambda nano: Decimal(nano).scaleb(-9))
CALLS = st.lists(
    st.builds(
        lambda amount, sent, made, hit, tag: call(
            cost=None if amount is None else cost(str(amount)),
            usage=Usage(sent, made, sent + made),
            cache="exact" if hit else None,
            tags={"user": tag},
        ),
        st.none() | NANO,
        st.integers(0, 10**7),
        st.integers(0, 10**6),
        st.booleans(),
        st.sampled_from(["u1", "u2", None]),
    ),
    max_size=12,
)


@given(CALLS, CALLS, st.randoms(use_true_random=False))
def test_reports_add_up(one: list[CallFinished], other: list[CallFinished], chance: Any) -> None:
    """In any order and however divided, calls come to the same total, never below 0, and so do the rows of a table."""
    whole = [*one, *other]
    chance.shuffle(whole)
    total, parts = totals_of(whole), (totals_of(one), totals_of(other))
    for name in UsageTotals.__dataclass_fields__:
        assert getattr(total, name) == sum(getattr(part, name) for part in parts) >= 0
        rows = UsageReport(whole).by("user").values()
        assert getattr(total, name) == sum(getattr(row, name) for row in rows)


# ---- shown -----------------------------------------------------------------------------------------------------------


def two_models() -> UsageReport:
    """Two models, one of them of unknown price."""
    return UsageReport(
        [
            call("gpt-4o", cost=cost("1.25"), usage=Usage(12_000, 300, 12_300), tags={"user": "<b>"}),
            call("gpt-99", cost=None, tags={"user": "u2"}),
        ]
    )


def test_in_a_terminal() -> None:
    """A table with aligned columns and a total; a column that would hold only zeros is left out."""
    assert str(two_models().by("model")).splitlines() == [
        "model   calls   input  output  unpriced  cost USD",
        "gpt-4o      1  12,000     300         0      1.25",
        "gpt-99      1   1,000   1,000         1         0",
        "total       2  13,000   1,300         1      1.25",
    ]
    assert str(UsageReport()).splitlines() == [
        "model  target  calls  input  output  cost USD",
        "total              0      0       0         0",
    ]
    assert repr(two_models()) == "UsageReport(2 calls, 14300 tokens, $1.25)"
    assert repr(two_models().by("user")) == "UsageTable(by=user: 2 rows, $1.25)"


def test_with_rich() -> None:
    """Rich prints a report as a table of its own."""
    from rich.console import Console

    console = Console(width=100, color_system=None)
    with console.capture() as captured:
        console.print(two_models())
    shown = captured.get()
    assert "gpt-99" in shown
    assert "cost USD" in shown
    assert "13,000" in shown


def test_in_a_notebook() -> None:
    """HTML, with what users wrote escaped."""
    html = two_models().by("user")._repr_html_()
    assert "<td>&lt;b&gt;</td>" in html
    assert "<b>" not in html
    assert two_models()._repr_html_().startswith("<table>")


def test_as_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """One row for each call, or for each value; exact costs, and None where none is known."""
    made = SimpleNamespace(DataFrame=lambda rows: rows)
    monkeypatch.setitem(sys.modules, "pandas", made)
    rows = two_models().to_frame()
    assert [(row["model"], row["cost_usd"], row["user"]) for row in rows] == [
        ("gpt-4o", Decimal("1.25"), "<b>"),
        ("gpt-99", None, "u2"),
    ]
    [first, _] = two_models().by("model", "user").to_frame()
    assert (first["model"], first["user"], first["calls"], first["cost_usd"]) == ("gpt-4o", "<b>", 1, Decimal("1.25"))


def test_without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pandas is not installed, the error says what to install."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigurationError, match="pip install pandas"):
        two_models().to_frame()


# ---- as a block ------------------------------------------------------------------------------------------------------


def test_blocks_may_be_nested() -> None:
    """Each block counts its own calls, the inner ones too; after it, nothing more."""
    hub = EventHub()
    with usage_report() as outer:
        hub.for_call().emit(call())
        with usage_report() as inner:
            hub.for_call().emit(call())
        hub.for_call().emit(call())
    hub.for_call().emit(call())
    assert (len(outer.calls), len(inner.calls)) == (3, 1)


async def test_many_tasks_fill_one_report() -> None:
    """Calls of 50 tasks and 8 threads at once are all counted, once each, while somebody reads."""
    hub, stop = EventHub(), threading.Event()
    with usage_report() as report:

        def read() -> None:
            while not stop.is_set():
                str(report)

        async def work() -> None:
            for _ in range(20):
                hub.for_call().emit(call())
                await asyncio.sleep(0)

        def thread() -> None:
            for _ in range(100):
                hub.for_call().emit(call())

        reader = threading.Thread(target=read)
        reader.start()
        await asyncio.gather(*(work() for _ in range(50)), *(asyncio.to_thread(thread) for _ in range(8)))
        stop.set()
        reader.join()
    assert report.totals.calls == 50 * 20 + 8 * 100
    assert report.cost_usd == Decimal("0.0125") * 1800

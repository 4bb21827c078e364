from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from portkey_router import Price, PriceBook, Target, Usage
from portkey_router.abilities import Abilities
from portkey_router.costing import Appraisal, Appraiser, Experience, Needs
from portkey_router.targets import CostAware

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
PRICES = {
    "small": Price("0.1", "0.4", cache_read="0.01"),
    "big": Price(2, 8, per_request="0.001", tiers=[(1_000, Price(4, 16))]),
}


def appraise(
    target: Target, needs: Needs | None = None, experience: Experience | None = None, **rules: Any
) -> Appraisal:
    """One target, looked at for one call."""
    appraiser = Appraiser(PriceBook(PRICES, genai=False), experience or Experience())
    strategy = CostAware(target, **rules)
    return appraiser.appraise(strategy, target, needs or Needs(1_000), key="k", success=0.9, at=NOW)


def test_an_answer_is_priced_by_its_expected_tokens() -> None:
    """A thousand tokens in, the usual 300 out."""
    looked = appraise(Target("small"))
    assert looked.price == pytest.approx((1_000 * 0.1 + 300 * 0.4) / 1e6)
    assert looked.prospect.success == 0.9
    assert looked.excluded is None
    assert "$0.000220" in looked.reason


def test_a_cap_shortens_the_answer() -> None:
    """`max_tokens` below the usual length."""
    assert appraise(Target("small"), Needs(1_000, max_tokens=10)).price == pytest.approx((100 + 4) / 1e6)


def test_experience_corrects_the_estimate() -> None:
    """Twice the tokens, half of them cached, and an answer of 50."""
    experience = Experience()
    experience.answered("k", 1_000, Usage(2_000, 50, 2_050, cache_read_tokens=1_000), 1.0)
    looked = appraise(Target("small"), experience=experience)
    assert looked.price == pytest.approx((1_000 * 0.1 + 1_000 * 0.01 + 50 * 0.4) / 1e6)


def test_a_long_prompt_has_the_long_prompts_price() -> None:
    """Tiers, and the price of a request."""
    assert appraise(Target("big"), Needs(1_000)).price == pytest.approx((1_000 * 2 + 300 * 8) / 1e6 + 0.001)
    assert appraise(Target("big"), Needs(1_001)).price == pytest.approx((1_001 * 4 + 300 * 16) / 1e6)


def test_waiting_has_a_price_where_it_is_given_one() -> None:
    """Of answers and of failures."""
    experience = Experience()
    experience.answered("k", 1_000, Usage(1_000, 300, 1_300), 4.0)
    experience.failed("k", 10.0, 0.5)
    free = appraise(Target("small"), experience=experience)
    dear = appraise(Target("small"), experience=experience, latency_price=0.01)
    assert dear.prospect.cost - free.prospect.cost == pytest.approx(0.04)
    assert dear.prospect.failure_cost == pytest.approx(0.5 + 0.1)
    assert free.prospect.failure_cost == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("target", "rules", "why"),
    [
        (Target("gpt-4"), {}, "8,192 tokens is smaller"),
        (Target("small", abilities=Abilities(100, 10)), {}, "100 tokens is smaller"),
        (Target("nobody"), {"unknown_price": "exclude"}, "no price is known"),
        (Target("big"), {"max_price": 0.001}, "more than max_price"),
        (Target("big"), {"min_quality": 3}, "not stated"),
        (Target("big", quality=2), {"min_quality": 3}, "its quality is 2"),
    ],
)
def test_each_exclusion_has_its_reason(target: Target, rules: dict[str, Any], why: str) -> None:
    """The window, the price, the ceiling, the quality."""
    assert why in (appraise(target, Needs(9_000), **rules).excluded or "")


def test_slow_targets_are_left_out_once_that_is_known() -> None:
    """By the slowest tenth of their answers."""
    experience = Experience()
    assert appraise(Target("small"), experience=experience, max_latency=2).excluded is None
    for _ in range(5):
        experience.answered("k", 1_000, None, 3.0)
    assert "3.0 s" in (appraise(Target("small"), experience=experience, max_latency=2).excluded or "")


def test_an_unknown_price_is_no_price() -> None:
    """None, and never 0."""
    looked = appraise(Target("nobody"))
    assert looked.price is None
    assert looked.excluded is None
    assert "no price" in looked.reason


def test_rates_are_looked_up_anew_each_minute() -> None:
    """Prices change with the day; the same minute is one lookup."""
    book = PriceBook(PRICES, genai=False)
    first = book.card(None, "small", NOW)
    assert book.card(None, "small", NOW.replace(second=59)) is first
    assert book.card(None, "small", NOW.replace(minute=1)) is not first
    assert book.card(None, "nobody", NOW) is None

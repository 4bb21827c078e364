"""Budgets and limits as values: what is understood, and what is refused before anything is asked."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portkey_router.budget import Budget, RateLimit
from portkey_router.errors import ConfigurationError
from portkey_router.money import as_usd, nano, nano_floor, usd


def test_what_is_not_said_is_sensible() -> None:
    """A hard budget per calendar month in UTC with three alerts; a limit that waits."""
    budget = Budget("b", usd=5)
    assert (budget.per, budget.window, budget.timezone, budget.hard) == ("month", "calendar", UTC, True)
    assert budget.alerts == (0.5, 0.8, 1.0)
    assert Budget("b", usd=5, per=90).window == "fixed"
    limit = RateLimit("r", requests=5)
    assert (limit.seconds, limit.wait, limit.when) == (60, True, {})
    assert RateLimit("openai", requests=5).when == {"provider": frozenset({"openai"})}
    assert RateLimit("openai", requests=5, when={}).when == {}


def test_amounts_are_exact() -> None:
    """A float is what was typed; money is whole nano-dollars."""
    assert Budget("b", usd=0.1).usd == Decimal("0.1")
    assert Budget("b", usd="2.000000001").limit == 2_000_000_001
    assert Budget("b", usd=2, timezone="Europe/Berlin").timezone == ZoneInfo("Europe/Berlin")


def test_they_are_values() -> None:
    """Equal, hashable by their parts, copied and pickled."""
    budget = Budget("b", usd=2, when={"team": ["a", "b"]}, by="user")
    assert budget == Budget("b", usd="2.0", when={"team": {"b", "a"}}, by="user")
    assert copy.deepcopy(budget) == pickle.loads(pickle.dumps(budget)) == budget  # noqa: S301  (our own)
    assert "on_alert" not in repr(budget)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": ""}, "needs a name"),
        ({"usd": -1}, "US dollars"),
        ({"usd": "many"}, "US dollars"),
        ({"usd": True}, "US dollars"),
        ({"usd": float("nan")}, "US dollars"),
        ({"usd": 10_000_000}, "9,000,000"),
        ({"per": "year"}, "per is minute"),
        ({"per": 0}, "per is minute"),
        ({"per": True}, "per is minute"),
        ({"window": "rolling"}, "'sliding'"),
        ({"per": 60, "window": "calendar"}, "window='fixed'"),
        ({"timezone": "Mars/Olympus"}, "Europe/Berlin"),
        ({"timezone": 5}, "Europe/Berlin"),
        ({"when": "team"}, "when="),
        ({"when": {1: "team"}}, "when="),
        ({"by": ""}, "by="),
        ({"by": ["user"]}, "by="),
        ({"alerts": (0,)}, "alerts="),
        ({"alerts": ("half",)}, "alerts="),
    ],
)
def test_a_budget_that_makes_no_sense(options: dict[str, Any], message: str) -> None:
    """The error says what to write instead."""
    with pytest.raises(ConfigurationError, match=message):
        Budget(**{"name": "b", "usd": 1, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "limits nothing"),
        ({"requests": 0}, "requests is"),
        ({"tokens": -5}, "tokens is"),
        ({"requests": True}, "requests is"),
        ({"requests": 5, "per": "total"}, "per is minute"),
        ({"requests": 5, "wait": -1}, "wait is"),
        ({"requests": 5, "wait": "yes"}, "wait is"),
        ({"requests": 5, "when": ["team"]}, "when="),
    ],
)
def test_a_limit_that_makes_no_sense(options: dict[str, Any], message: str) -> None:
    """The error says what to write instead."""
    with pytest.raises(ConfigurationError, match=message):
        RateLimit("r", **options)


@given(st.decimals(0, 10**7, places=12))
def test_money_is_never_rounded_in_the_callers_favour(amount: Decimal) -> None:
    """Costs up, limits down, and what is whole stays what it is."""
    assert usd(nano_floor(amount)) <= amount <= usd(nano(amount))
    assert nano(amount) - nano_floor(amount) in {0, 1}
    assert nano(usd(nano(amount))) == nano(amount)


@pytest.mark.parametrize("wrong", [None, "", "x", -1, float("inf"), True, [], Decimal("NaN")])
def test_what_is_no_amount(wrong: Any) -> None:
    """None, for the caller to say so in its own words."""
    assert as_usd(wrong) is None

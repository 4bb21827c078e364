from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portkey_router.costing import Prospect, cheapest_order, expected_cost

settings.register_profile("costing", deadline=None, database=None)
settings.load_profile("costing")

AMOUNTS = st.floats(0, 10, allow_nan=False)
PROSPECTS = st.builds(Prospect, AMOUNTS, AMOUNTS, st.floats(0.001, 1))


@given(st.lists(PROSPECTS, min_size=1, max_size=6))
@settings(max_examples=150)
def test_no_order_is_cheaper(prospects: list[Prospect]) -> None:
    """Of all orders of up to six targets, the one by rank has the least expected cost."""
    ours = expected_cost([prospects[position] for position in cheapest_order(prospects)])
    best = min(expected_cost(order) for order in itertools.permutations(prospects))
    assert ours == pytest.approx(best, rel=1e-9, abs=1e-12)


@given(st.lists(st.builds(Prospect, AMOUNTS, st.just(0.0), st.floats(0.001, 1)), min_size=1, max_size=6))
def test_where_failing_is_free_the_cheapest_goes_first(prospects: list[Prospect]) -> None:
    """However rarely it answers."""
    costs = [prospects[position].cost for position in cheapest_order(prospects)]
    assert costs == sorted(costs)


def test_a_dear_failure_sends_the_unreliable_back() -> None:
    """Half of the time its failing costs 1: the reliable target, though dearer, goes first."""
    unreliable, reliable = Prospect(0.1, 1.0, 0.5), Prospect(0.5, 0.0, 1.0)
    assert cheapest_order([unreliable, reliable]) == [1, 0]
    assert expected_cost([reliable, unreliable]) == pytest.approx(0.5)
    assert expected_cost([unreliable, reliable]) == pytest.approx(0.05 + 0.5 + 0.25)


def test_what_never_answers_is_asked_last() -> None:
    """Its rank is infinite, and equals keep their order."""
    assert cheapest_order([Prospect(0, 0, 0), Prospect(9, 9, 0.1), Prospect(9, 9, 0.1)]) == [1, 2, 0]

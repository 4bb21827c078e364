"""The order in which targets that may fail are cheapest to ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Prospect", "cheapest_order", "expected_cost"]


class Prospect(NamedTuple):
    """What one target promises for one call. Costs are in USD, time that is waited priced into both.

    `cost`: of its answer. `failure_cost`: of its failing (what a broken attempt bills, and the time it took).
    `success`: the probability that it answers, all its retries counted, in [0, 1].
    """

    cost: float
    failure_cost: float
    success: float

    @property
    def rank(self) -> float:
        """Its place: the smaller, the earlier it is asked.

        C + F (1 - p) / p, with C its cost, F its failure cost and p its success. The expected cost of asking in the
        order o is the sum over i of (product over j before i of (1 - p_j)) x (p_i C_i + (1 - p_i) F_i). Exchange two
        neighbours a and b: a before b is no dearer exactly if

            p_a C_a + (1 - p_a) F_a + (1 - p_a)(p_b C_b + (1 - p_b) F_b)
                <= p_b C_b + (1 - p_b) F_b + (1 - p_b)(p_a C_a + (1 - p_a) F_a)

        that is, C_a + F_a (1 - p_a) / p_a <= C_b + F_b (1 - p_b) / p_b after division by p_a p_b. The comparison is
        one of two numbers, so sorting by it is optimal. It is the search rule of Blackwell (in Matula, "A Periodic
        Optimal Search", Amer. Math. Monthly 71, 1964) with a price for finding. Where failing costs nothing, the
        cheapest goes first, however rarely it answers; and C / p, often quoted, is not optimal.
        """
        if self.success <= 0:
            return float("inf")
        return self.cost + self.failure_cost * (1 - self.success) / self.success


def cheapest_order(prospects: Sequence[Prospect]) -> list[int]:
    """The positions of the prospects in the order that is cheapest to ask; equals stay as they were given."""
    return sorted(range(len(prospects)), key=lambda position: prospects[position].rank)


def expected_cost(prospects: Sequence[Prospect]) -> float:
    """What it costs on average to ask these in this order, until one answers or all have failed; in USD."""
    total, reached = 0.0, 1.0
    for prospect in prospects:
        total += reached * (prospect.success * prospect.cost + (1 - prospect.success) * prospect.failure_cost)
        reached *= 1 - prospect.success
    return total

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portkey_router.cache.calibrate import Calibration, calibrate
from portkey_router.cache.guards import Guards
from portkey_router.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

OFF = Guards(numbers=False, negation=False, antonyms=False, entities=False, order=False)


def at(*labelled: tuple[float, bool], guards: Guards = OFF, max_error: float = 0.01) -> Calibration:
    """A calibration on pairs of these cosines; the vectors are not of unit length, and need not be."""
    cosines = dict(enumerate(cosine for cosine, _ in labelled))

    def embed(texts: list[str]) -> Sequence[Sequence[float]]:
        return [vector(text) for text in texts]

    def vector(text: str) -> list[float]:
        side, number = text.split()
        cosine = cosines[int(number)]
        return [3.0, 0.0] if side == "first" else [2 * cosine, 2 * math.sqrt(max(0.0, 1 - cosine * cosine))]

    pairs = [(f"first {number}", f"second {number}", same) for number, (_, same) in enumerate(labelled)]
    return calibrate(pairs, embed, guards=guards, max_error=max_error)


def test_the_threshold_lies_between_the_last_good_cosine_and_the_first_bad_one() -> None:
    """Halfway, so that neither is on the edge; recall and false hits are those of that choice."""
    made = at((0.95, True), (0.9, True), (0.8, False), (0.7, True), (0.5, False))
    assert made.threshold == pytest.approx(0.85, abs=1e-3)
    assert made.distance_threshold == pytest.approx(0.15, abs=1e-3)
    assert made.recall == pytest.approx(2 / 3)
    assert (made.false_hits, made.met) == (0, True)
    assert (made.same, made.different, made.vetoed_same, made.vetoed_different) == (3, 2, 0, 0)


def test_some_error_may_be_allowed() -> None:
    """`max_error` is the share of different pairs that may hit."""
    labelled = [(0.9, True), (0.85, False), (0.8, True), (0.6, False)]
    assert at(*labelled, max_error=0.5).threshold == pytest.approx(0.7, abs=1e-3)
    assert at(*labelled, max_error=0.5).false_hits == 0.5
    assert at(*labelled, max_error=0.49).recall == 0.5


def test_the_lowest_cosine_is_as_low_as_the_pairs_can_tell() -> None:
    """With nothing wrong below, the threshold is the lowest cosine seen, not lower."""
    assert at((0.9, True), (0.95, False), (0.4, True), max_error=0.99).recall == 0.0
    assert at((0.9, True), (0.3, False), (0.4, True)).threshold == pytest.approx(0.35, abs=1e-3)
    assert at((0.9, True), (0.95, False), max_error=0.0).threshold == 0.975


def test_points_run_from_strict_to_loose() -> None:
    """For a plot: thresholds fall, recall and false hits rise, from nothing to all that the guards let pass."""
    points = at((0.9, True), (0.8, False), (0.7, True), (0.2, False)).points
    assert [round(point.threshold, 6) for point in points] == [1.0, 0.9, 0.8, 0.7, 0.2]
    assert [point.recall for point in points] == [0, 0.5, 0.5, 1, 1]
    assert [point.false_hits for point in points] == [0, 0, 0.5, 0.5, 1]


def test_vetoed_pairs_do_not_hit_and_are_counted() -> None:
    """`first 0` and `second 1` differ by a number: with guards on no threshold serves them."""

    def embed(texts: list[str]) -> list[list[float]]:
        return [[1.0, 0.0] for _ in texts]

    pairs = [("Is it 5?", "Is it 6?", False), ("Is it so?", "Is that so?", True), ("Is it 7?", "Is that 8?", True)]
    made = calibrate(pairs, embed)
    assert (made.vetoed_different, made.vetoed_same, made.false_hits, made.recall) == (1, 1, 0, 0.5)
    assert calibrate(pairs, embed, guards=OFF).met is False


def test_what_the_exact_layers_answer_needs_no_cosine() -> None:
    """Pairs that are normalised alike hit at any threshold, wherever their vectors point; guards are not asked."""
    vectors = {"Is it so?": [1.0, 0.0], "is it so": [0.0, 1.0], "Who?": [1.0, 1.0], "When?": [1.0, -1.0]}
    pairs = [("Is it so?", "is it so", True), ("Who?", "When?", False)]
    made = calibrate(pairs, lambda texts: [vectors[text] for text in texts])
    assert (made.recall, made.points[0].recall) == (1, 1)


def test_too_few_pairs_are_said_to_be_too_few() -> None:
    """The bound is Clopper and Pearson's: no error in n pairs bounds the share by 1 - 0.05 ** (1 / n)."""
    few = at((0.9, True), *[(0.1, False)] * 20)
    assert few.at_most == pytest.approx(1 - 0.05 ** (1 / 20), abs=1e-6)
    assert (few.confident, few.pairs_needed) == (False, 299)
    assert "Too few pairs" in str(few)
    assert "299 different pairs" in str(few)
    many = at((0.9, True), *[(0.1, False)] * 299)
    assert many.confident
    assert "With 95 % confidence false hits are at most 1.00%" in str(many)


def test_the_bound_with_errors_is_the_published_one() -> None:
    """One error in 10 is bounded by 39.4 % (one-sided 95 %), a known value of the binomial tables."""
    made = at((0.5, True), (0.9, False), *[(0.1, False)] * 9, max_error=0.2)
    assert made.false_hits == 0.1
    assert made.at_most == pytest.approx(0.3942, abs=1e-4)
    assert at((0.5, True), (0.9, False), max_error=0.0).at_most == pytest.approx(0.95)


def test_an_aim_that_cannot_be_met_is_said_so() -> None:
    """Two different questions with one vector: no threshold tells them apart."""
    made = at((0.9, True), (1.0, False))
    assert (made.met, made.threshold) == (False, 1.0)
    assert "No threshold keeps false hits within 1.00%" in str(made)


def test_it_prints_as_a_table() -> None:
    """A Markdown table of the trade, the choice, and what it is worth."""
    lines = str(at((0.9, True), (0.8, False))).splitlines()
    assert lines[0] == "| threshold | recall | false hits |"
    assert "threshold 0.850 (distance 0.150): recall 100.0% of 1, false hits 0.00% of 1" in lines


@pytest.mark.parametrize("pairs", [[], [("a", "b", True)], [("a", "b", False)]])
def test_pairs_of_both_kinds_are_needed(pairs: list[tuple[str, str, bool]]) -> None:
    """One kind alone says nothing of the trade; nothing is embedded."""
    with pytest.raises(ConfigurationError, match="pairs of both kinds"):
        calibrate(pairs, lambda texts: [[1.0] for _ in texts])


def test_bad_arguments_are_refused() -> None:
    """A share that is none, and an encoder that drops a text."""
    pairs = [("a b", "c d", True), ("e f", "g h", False)]
    with pytest.raises(ConfigurationError, match="max_error"):
        calibrate(pairs, lambda texts: [[1.0] for _ in texts], max_error=1)
    with pytest.raises(ConfigurationError, match="4 texts and gave 3 vectors"):
        calibrate(pairs, lambda texts: [[1.0] for _ in texts[1:]])


COSINES = st.floats(0, 1).map(lambda cosine: round(cosine, 3))


@given(
    same=st.lists(COSINES, min_size=1, max_size=8),
    other=st.lists(COSINES, min_size=1, max_size=8),
    most=st.floats(0, 0.9),
)
def test_the_choice_keeps_what_it_promises(same: list[float], other: list[float], most: float) -> None:
    """Counted anew at the chosen threshold: its false hits are within the aim, and its recall is what it says."""
    made = at(*[(each, True) for each in same], *[(each, False) for each in other], max_error=most)
    if made.met:
        wrong = sum(each >= made.threshold + 1e-9 for each in other) / len(other)
        assert wrong <= most
    assert made.false_hits <= made.at_most <= 1
    recall = sum(each >= made.threshold - 1e-9 for each in same) / len(same)
    assert recall == pytest.approx(made.recall)

from __future__ import annotations

import pytest

from portkey_router import Usage
from portkey_router.costing import Experience
from portkey_router.costing.experience import USUAL_ANSWER


def test_nothing_is_known_of_a_stranger() -> None:
    """Estimates stand as they are, and an answer is of the usual length."""
    known = Experience().of("gpt-4o")
    assert (known.ratio, known.answer, known.cached, known.seconds, known.slow) == (1.0, USUAL_ANSWER, 0.0, None, None)


def test_the_first_answer_takes_the_place_of_the_guess() -> None:
    """Length, ratio, cached share and seconds are those of the only answer."""
    experience = Experience()
    experience.answered("a", 100, Usage(150, 40, 190, cache_read_tokens=75), 2.0)
    known = experience.of("a")
    assert (known.answer, known.ratio, known.cached, known.seconds) == (40, 1.5, 0.5, 2.0)
    assert experience.of("b").answers == 0


def test_later_answers_move_the_average_and_old_ones_are_forgotten() -> None:
    """After many answers of another kind the first ones do not count any more."""
    experience = Experience()
    for _ in range(5):
        experience.answered("a", 100, Usage(100, 10, 110), 1.0)
    for _ in range(80):
        experience.answered("a", 100, Usage(200, 1000, 1200), 3.0)
    known = experience.of("a")
    assert known.answer == pytest.approx(1000, rel=0.02)
    assert known.ratio == pytest.approx(2, rel=0.02)
    assert known.seconds == pytest.approx(3, rel=0.02)


def test_the_slowest_tenth_needs_five_answers() -> None:
    """Of twenty answers, two were slow: every tenth takes at least the faster of them."""
    experience = Experience()
    for seconds in [1.0] * 4:
        experience.answered("a", 0, None, seconds)
    assert experience.of("a").slow is None
    for seconds in [1.0] * 14 + [8.0, 9.0]:
        experience.answered("a", 0, None, seconds)
    assert experience.of("a").slow == 1.0
    experience.answered("a", 0, None, 9.5)
    assert experience.of("a").slow == 8.0


def test_absurd_counts_are_bounded_and_impossible_ones_ignored() -> None:
    """One reply that counts a thousand times too many does not spoil what follows."""
    experience = Experience()
    experience.answered("a", 10, Usage(10_000, 5, 10_005), 1.0)
    assert experience.of("a").ratio == 4.0
    experience.answered("b", 10, Usage(10, 5, 3, impossible="more than their sum"), 1.0)
    assert experience.of("b").answer == USUAL_ANSWER


def test_failures_are_remembered_by_their_time_and_their_bill() -> None:
    """The averages of what failed."""
    experience = Experience()
    experience.failed("a", 2.0, 0.01)
    experience.failed("a", 4.0)
    known = experience.of("a")
    assert known.failing == pytest.approx(3.0)
    assert known.wasted == pytest.approx(0.005)


def test_it_does_not_grow_without_end() -> None:
    """A thousand targets are kept, the latest."""
    experience = Experience()
    for number in range(1100):
        experience.answered(str(number), 1, Usage(1, 1, 2), 1.0)
    assert experience.of("0").answers == 0
    assert experience.of("1099").answers == 1
    assert len(experience._learned) == len(experience._waits) == 1024

from __future__ import annotations

import sys
import threading
from functools import partial

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


def answer(experience: Experience, target: str, tokens: int, kind: int, *, times: int = 1, cached: int = 0) -> None:
    """Answers of so many tokens to a prompt of 100."""
    for _ in range(times):
        usage = Usage(100, tokens, 100 + tokens, cache_read_tokens=cached)
        experience.answered(target, 100, usage, 1.0, kind)


def test_who_is_asked_the_long_things_is_not_thought_talkative() -> None:
    """Answers are held against those of the same kind, so both are expected to say the same."""
    experience = Experience()
    answer(experience, "a", 10, kind=1, times=20)
    answer(experience, "b", 1_000, kind=2, times=20)
    assert experience.of("a", 2).answer == pytest.approx(experience.of("b", 2).answer)
    assert experience.of("a", 1).answer == pytest.approx(experience.of("b", 1).answer)
    assert experience.of("a").answer == pytest.approx(10)


def test_who_is_talkative_is_found_to_be() -> None:
    """On the same things, after a few answers; the others are not taken for that."""
    experience = Experience()
    for _ in range(10):
        answer(experience, "terse", 100, kind=1)
        answer(experience, "talkative", 300, kind=1)
    assert experience.of("terse", 1).answer < 150
    assert experience.of("talkative", 1).answer > 250


def test_one_long_answer_rules_nobody_out_for_good() -> None:
    """Long after it, the target is thought to be as the others are, and so is asked again."""
    experience = Experience()
    answer(experience, "a", 5_000, kind=1)
    answer(experience, "b", 200, kind=1, times=10)
    assert experience.of("a", 1).answer > 1_000
    answer(experience, "b", 200, kind=1, times=1_200)
    assert experience.of("a", 1).answer == pytest.approx(200, rel=0.05)


def test_what_is_well_known_is_forgotten_late() -> None:
    """After hundreds of another's long answers, who has given fifty short ones is still expected to be brief."""
    experience = Experience()
    answer(experience, "brief", 100, kind=1, times=50)
    answer(experience, "talkative", 500, kind=1, times=256)
    assert experience.of("brief", 1).answer < 200


def test_others_are_hoped_to_have_a_prompt_cached_until_they_show() -> None:
    """A beginning that one provider keeps another may, too; one that does not is soon known for it."""
    experience = Experience()
    answer(experience, "a", 10, kind=1, times=20, cached=80)
    assert experience.of("b", 1).cached == pytest.approx(0.8)
    answer(experience, "b", 10, kind=1, times=8)
    assert experience.of("b", 1).cached < 0.15
    assert experience.of("a", 1).cached > 0.7


def test_one_slow_answer_rules_nobody_out_for_good() -> None:
    """What a target's answers take is held against the others', and forgotten, as their length is."""
    experience = Experience()
    usage = Usage(100, 10, 110)
    experience.answered("a", 100, usage, 60.0, 1)
    assert experience.of("stranger", 1).seconds is None
    for _ in range(1_200):
        experience.answered("b", 100, usage, 2.0, 1)
    assert experience.of("a", 1).seconds == pytest.approx(2, rel=0.05)
    experience.answered("c", 100, usage, 9.0, 2)
    assert experience.of("c", 1).seconds == pytest.approx(2, rel=0.05), "of this kind, as the others"


def test_what_is_thought_is_the_thinkers_own() -> None:
    """Another target is expected to say as much, and to think nothing until it has shown that it does."""
    experience = Experience()
    for _ in range(20):
        experience.answered("thinker", 100, Usage(100, 260, 360, reasoning_tokens=250), 1.0, 1)
    assert experience.of("other", 1).answer == pytest.approx(10)
    assert experience.of("thinker", 1).answer > 230


def test_an_unknown_kind_is_the_average_of_all() -> None:
    """But how a target counts is its own."""
    experience = Experience()
    experience.answered("a", 100, Usage(200, 40, 240), 1.0, 1)
    assert experience.of("b", 2).answer == 40
    assert experience.of("b", 2).ratio == 1
    assert experience.of("b", 1).ratio == 2
    assert experience.of("a", 2).ratio == 2


def test_kinds_are_forgotten_by_when_they_were_last_heard_of() -> None:
    """A kind that is asked again and again outlives thousands that were asked once."""
    experience = Experience()
    for number in range(1, 3_000):
        answer(experience, "a", 1_000, kind=number)
        answer(experience, "a", 7, kind=-1)
    assert experience.of("a", -1).answer == pytest.approx(7)
    assert len(experience._kinds) <= 514


def test_threads_may_learn_at_once(request: pytest.FixtureRequest) -> None:
    """Of more kinds than are kept, so that they are let go of meanwhile; nothing is raised, and all are counted."""
    request.addfinalizer(partial(sys.setswitchinterval, sys.getswitchinterval()))
    sys.setswitchinterval(1e-6)
    experience, failed = Experience(), []

    def learn(first: int) -> None:
        try:
            for number in range(2_000):
                answer(experience, "a", 10, kind=first + number % 700)
                experience.of("a", number)
        except Exception as error:  # noqa: BLE001  (whatever it is, the test shows it)
            failed.append(error)

    threads = [threading.Thread(target=learn, args=(first,)) for first in (1, 300, 600)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert experience.of("a").answer == pytest.approx(10)

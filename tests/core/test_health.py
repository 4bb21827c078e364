from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portkey_router.health import Admission, CircuitRules, Health

GO, PROBE, WAIT = Admission.GO, Admission.PROBE, Admission.WAIT
RULES = CircuitRules()


def health(**changes: float) -> Health:
    """Health as new, by the rules but for these changes."""
    return Health(threading.Lock(), replace(RULES, **changes))  # type: ignore[arg-type]  # numbers all


def failed(of: Health, times: int, now: float = 0.0, key: str = "a") -> float:
    """Failures in a row at one moment; the last one's answer."""
    return [of.failed(key, now, 0.5) for _ in range(times)][-1]


def test_a_stranger_is_asked() -> None:
    """Of a target never heard of nothing is known, and it is taken for well."""
    new = health()
    assert new.admit("a", 0) is GO
    assert new.available("a", 0)
    assert new.look("a", 0).success == pytest.approx(0.95)
    assert (new.look("a", 0).latency, new.failed_at("a")) == (None, float("-inf"))


def test_it_opens_after_failures_in_a_row() -> None:
    """The third failure in a row opens the circuit, for about a second; a success in between starts the count anew."""
    of = health()
    assert failed(of, 2) == 0
    of.succeeded("a", 0, 0.1)
    assert failed(of, 2) == 0
    assert failed(of, 1) == pytest.approx(1.0)
    assert of.admit("a", 0.9) is WAIT
    assert not of.available("a", 0.9)
    assert of.admit("b", 0.9) is GO


def test_it_opens_by_rate() -> None:
    """Half of the latest attempts failing opens it too, once there were enough of them."""
    of = health()
    opened = []
    for _ in range(6):
        of.succeeded("a", 0, 0.1)
        opened.append(of.failed("a", 0, 0.5))
    assert [seconds > 0 for seconds in opened] == [False] * 4 + [True, False]  # the success after it settled that
    few = health()
    few.succeeded("a", 0, 0.1)
    assert few.failed("a", 0, 0.5) == 0
    old = health()
    for number in range(20):
        old.succeeded("a", number * 30, 0.1)  # long ago, each: what is remembered are the last few
        assert old.failed("a", number * 30, 0.5) == 0


def test_half_open_lets_one_probe_through() -> None:
    """After its time one request goes through, and no other until that one is told of."""
    of = health()
    failed(of, 3)
    assert of.admit("a", 1.1) is PROBE
    assert [of.admit("a", 1.1) for _ in range(3)] == [WAIT] * 3
    of.released("a")
    assert of.admit("a", 1.1) is PROBE
    of.succeeded("a", 1.2, 0.1)
    assert of.admit("a", 1.2) is GO


def test_looking_takes_no_probe() -> None:
    """`available` says whether a probe could be had, and leaves it."""
    of = health()
    failed(of, 3)
    assert of.available("a", 1.1)
    assert of.admit("a", 1.1) is PROBE
    assert not of.available("a", 1.1)


def test_a_failed_probe_doubles_the_time_up_to_a_few_seconds() -> None:
    """A target down for long serves again within seconds of its recovery: it is never left alone for longer."""
    of, now, seconds = health(), 0.0, [failed(health(), 3)]
    failed(of, 3)
    for _ in range(6):
        now += 10
        assert of.admit("a", now) is PROBE
        seconds.append(of.failed("a", now, 0.5, probe=True))
    assert seconds == pytest.approx([1, 2, 4, 4, 4, 4, 4])


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 2000))
def test_times_are_jittered_and_bounded(chance: float, more: int) -> None:
    """A fifth more or less, so that processes do not return together; however often it failed before."""
    of = health()
    failed(of, 3)
    seconds = [of.failed("a", 10 + number * 10, chance, probe=True) for number in range(min(more, 50) + 1)][-1]
    assert 0.8 <= seconds <= 4.8 + 1e-9


def test_a_late_success_closes_it() -> None:
    """Also one of a request that began before the circuit opened, probe or none."""
    of = health()
    failed(of, 3)
    assert of.succeeded("a", 0.5, 30.0)
    assert of.admit("a", 0.5) is GO
    assert not of.succeeded("a", 0.6, 0.1)


def test_those_under_way_do_not_open_it_again() -> None:
    """Failures of requests that were sent before it opened change nothing: neither its time nor the probe's turn."""
    of = health()
    failed(of, 3)
    assert failed(of, 5, now=0.3) == 0
    assert of.look("a", 0.3).open_for == pytest.approx(0.7)


def test_a_refusal_of_the_request_shows_that_it_is_alive() -> None:
    """A 400 answers nothing, but it is an answer."""
    of = health()
    failed(of, 3)
    of.alive("a")
    assert of.admit("a", 0.1) is GO
    of.alive("never heard of")


def test_a_probe_that_nobody_hears_of_is_forgotten() -> None:
    """A process may die with it; after longer than any attempt takes another is let through."""
    of = health()
    failed(of, 3)
    assert of.admit("a", 2) is PROBE
    assert of.admit("a", 2 + RULES.probe_lease) is PROBE


def test_a_long_retry_after_is_kept_in_full() -> None:
    """For as long as it asked; a success of another request ends it."""
    of = health()
    assert of.failed("a", 0, 0.9, cooldown=60) == 60
    assert of.admit("a", 59) is WAIT
    assert of.admit("a", 60) is PROBE
    other = health()
    other.failed("a", 0, 0.9, cooldown=60)
    other.succeeded("a", 1, 0.1)
    assert other.admit("a", 1) is GO


def test_in_trouble_four_requests_in_three_seconds() -> None:
    """Whoever asks: the fifth waits until the first is three seconds old."""
    of, now, sent = health(), 0.0, []
    for _ in range(40):
        pause = of.depart("a", now)
        if pause:
            now += pause
            continue
        sent.append(now)
        now += 0.05
        of.failed("a", now, 0.5)
    assert len(sent) > 8
    assert all(later - earlier >= 3 for earlier, later in zip(sent, sent[4:], strict=False))


def test_the_well_are_sent_as_many_as_there_are() -> None:
    """A thousand at once, also after a failure or two, and after refusals, which do nobody harm."""
    of = health()
    assert [of.depart("a", 0) for _ in range(1000)] == [0] * 1000
    failed(of, 2)
    assert of.depart("a", 0) == 0
    refused = health()
    for _ in range(50):
        assert refused.depart("a", 0) == 0
        refused.failed("a", 0, 0.5, lasting=True)


def test_success_and_latency_are_forgotten_by_half_each_minute() -> None:
    """What was a minute ago counts half of what is now."""
    of = health()
    of.succeeded("a", 0, 1.0, 0.5)
    of.succeeded("a", 60, 4.0)
    assert of.look("a", 60).latency == pytest.approx(3.0)
    assert of.look("a", 60).first_token == pytest.approx(0.5)
    worse = health()
    for _ in range(20):
        worse.failed("a", 0, 0.5)
    assert worse.look("a", 0).success == pytest.approx(19 / 40)
    assert worse.look("a", 600).success == pytest.approx(0.95, abs=0.01)


def test_the_least_recently_failed_is_known() -> None:
    """When each failed last, for those who must choose among the failed."""
    of = health()
    failed(of, 1, now=1, key="a")
    failed(of, 1, now=2, key="b")
    assert of.failed_at("a") < of.failed_at("b")


def test_memory_is_bounded() -> None:
    """Targets made up on the fly do not fill it."""
    of = health()
    for number in range(10_000):
        of.succeeded(str(number), 0, 0.1)
    assert len(of._states) <= 4096


def test_one_probe_across_threads() -> None:
    """However many ask at the same moment, one is the probe."""
    of = health()
    failed(of, 3)
    answers: list[Admission] = []
    ready = threading.Barrier(16)

    def ask() -> None:
        ready.wait()
        answers.append(of.admit("a", 5))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers.count(PROBE) == 1
    assert answers.count(WAIT) == 15


@given(st.lists(st.tuples(st.sampled_from(["ok", "failed", "probe", "wait"]), st.floats(0, 3)), max_size=30))
def test_the_outlook_is_what_look_and_available_say(steps: list[tuple[str, float]]) -> None:
    """Whatever has happened, and for strangers: success, and whether it may be asked now."""
    one, other = (Health(threading.Lock()) for _ in range(2))
    now = 0.0
    for what, passed in steps:
        now += passed
        for health in (one, other):
            if what == "ok":
                health.succeeded("a", now, 0.1)
            elif what == "failed":
                health.failed("a", now, 0.5)
            elif what == "probe":
                health.admit("a", now)
        assert one.outlook("a", now) == (other.look("a", now).success, other.available("a", now))
    assert one.outlook("stranger", now) == (other.look("stranger", now).success, True)

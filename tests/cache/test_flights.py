from __future__ import annotations

import asyncio
import contextvars
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from portkey_router.cache.flights import Flights, Seat
from tests.net_server import until

if TYPE_CHECKING:
    from collections.abc import Callable

LONG = 30.0
KEY = "a question"


def joined(flights: Flights, key: str = KEY, *, blocking: bool = False) -> Seat:
    """A seat as another caller would have it: in a context of its own."""
    return contextvars.Context().run(flights.join, key, blocking=blocking)


def turn(seat: Seat) -> Any:
    """What a follower that does not wait has been given, as far as it is known: `lead`, `alone`, or the answer."""
    return seat._given


def test_the_first_leads_and_lands_for_all() -> None:
    """One leads, the others follow and are handed its answer; then the flight is over, and the next leads again."""
    flights = Flights()
    seats = [joined(flights) for _ in range(3)]
    assert [seat.leads for seat in seats] == [True, False, False]
    seats[0].land("answer")
    assert [seat.wait(0) for seat in seats[1:]] == ["answer", "answer"]
    assert len(flights) == 0
    assert joined(flights).leads


def test_who_began_before_the_landing_is_handed_the_answer() -> None:
    """A call that has looked up elsewhere, and comes to the flight when it is over; later ones ask for themselves."""
    now = 5.0
    flights = Flights(clock=lambda: now)
    joined(flights).land("answer")
    late = flights.join(KEY, blocking=True, since=5.0)
    assert late.landed
    assert (late.leads, late.wait(0), len(flights)) == (False, "answer", 0)
    late.leave(failed=False)
    assert not flights.join("another", blocking=True, since=5.0).landed
    for since in (5.1, None):
        seat = flights.join(KEY, blocking=True, since=since)
        assert (seat.landed, seat.leads) == (False, True)
        seat.disband()
    assert not flights.join(KEY, blocking=True, since=5.0).landed, "the last flight brought nothing for others"


def test_who_comes_before_the_answer_is_stored_is_handed_it() -> None:
    """Who leads may have somebody else keep the answer: until that is done, no lookup can find it."""
    now = 5.0
    flights = Flights(clock=lambda: now)
    joined(flights).land("answer", stored=False)
    now = 5.5
    assert flights.join(KEY, blocking=True, since=5.5).wait(0) == "answer"
    flights.stored(KEY)
    flights.stored("another")
    assert flights.join(KEY, blocking=True, since=5.5).landed
    now = 5.6
    assert not flights.join(KEY, blocking=True, since=5.6).landed


def test_an_answer_that_is_never_stored_is_handed_out_for_a_second() -> None:
    """The one who was to store it may have failed."""
    now = 5.0
    flights = Flights(clock=lambda: now)
    joined(flights).land("answer", stored=False)
    now = 6.1
    assert not flights.join(KEY, blocking=True, since=6.1).landed


def test_few_landed_answers_are_kept_and_not_for_long() -> None:
    """They are for calls that are on their way already."""
    now = 0.0
    flights = Flights(clock=lambda: now)
    for number in range(100):
        joined(flights, str(number)).land("answer")
    assert len(flights._landed) == 64
    now = 61.0
    joined(flights).land("answer")
    assert list(flights._landed) == [KEY]


def test_other_keys_are_other_flights() -> None:
    """Only equal requests meet."""
    flights = Flights()
    assert joined(flights, "a").leads
    assert joined(flights, "b").leads
    assert len(flights) == 2


def test_a_leader_that_left_makes_the_next_one_lead_alone() -> None:
    """Whoever came first leads, the others wait on; the last one's end ends the flight."""
    flights = Flights()
    first, *followers = [joined(flights) for _ in range(4)]
    for _ in range(2):
        first.leave(failed=False)
        assert [turn(seat) for seat in followers] == ["lead", *[None] * (len(followers) - 1)]
        first, *followers = followers
    first.land("answer")
    assert [seat.wait(0) for seat in followers] == ["answer"]
    assert len(flights) == 0


def test_after_failures_more_go_at_once_and_never_all() -> None:
    """One after the first failure, then two, then four: a broken provider meets no herd, and nobody waits for long."""
    flights = Flights()
    leaders, followers = [joined(flights)], [joined(flights) for _ in range(9)]
    waves = []
    while leaders:
        for leader in leaders:
            leader.leave(failed=True)
        leaders = [seat for seat in followers if seat.leads]
        followers = [seat for seat in followers if seat.follows]
        waves.append(len(leaders))
    assert waves[0] == 1
    assert sum(waves) == 9
    assert len(waves) <= 6
    assert len(flights) == 0


def test_of_several_leaders_the_first_answer_is_everybodys() -> None:
    """A wave of two: one fails, the other lands, and only then is the flight over."""
    flights = Flights()
    first, second, third, fourth, fifth = (joined(flights) for _ in range(5))
    first.leave(failed=True)
    second.leave(failed=True)
    assert [turn(seat) for seat in (third, fourth, fifth)] == ["lead", "lead", None]
    third.leave(failed=True)
    assert turn(fifth) is None
    fourth.land("answer")
    assert fifth.wait(0) == "answer"


def test_an_answer_for_nobody_else_sends_all_off() -> None:
    """What may not be kept is not handed on: all go at once, as they would without a cache."""
    flights = Flights()
    leader, *followers = [joined(flights) for _ in range(3)]
    leader.disband()
    assert [seat.wait(0) for seat in followers] == [None, None]
    assert not any(seat.leads for seat in followers)
    assert len(flights) == 0


def test_who_has_waited_long_enough_asks_as_well() -> None:
    """Its answer serves the others; the first leader's comes too late to matter."""
    flights = Flights()
    leader, impatient, patient = (joined(flights) for _ in range(3))
    assert impatient.wait(0) is None
    assert impatient.leads
    impatient.land("second")
    leader.land("first")
    assert patient.wait(0) == "second"
    assert len(flights) == 0


def test_a_follower_that_leaves_is_gone() -> None:
    """It is neither handed the answer nor made to lead."""
    flights = Flights()
    leader, gone, last = (joined(flights) for _ in range(3))
    gone.leave(failed=False)
    leader.leave(failed=False)
    assert last.leads
    assert turn(gone) == "alone"


def test_a_follower_that_leaves_as_its_turn_comes_passes_it_on() -> None:
    """Cancelled in the moment it was made to lead: the one after it leads, and nobody waits for nobody."""
    flights = Flights()
    leader, cancelled, last = (joined(flights) for _ in range(3))
    leader.leave(failed=False)
    assert cancelled.leads
    cancelled.leave(failed=False)
    assert last.leads


def test_nothing_happens_after_a_landing() -> None:
    """The end of a call after its answer takes nothing from anybody."""
    flights = Flights()
    leader, follower = joined(flights), joined(flights)
    leader.land("answer")
    again = joined(flights)
    leader.leave(failed=True)
    leader.land("other")
    leader.disband()
    follower.leave(failed=True)
    assert again.leads
    assert len(flights) == 1


def test_who_leads_does_not_wait_for_itself() -> None:
    """A caller that leads and asks the same again, as while it reads its own stream, goes alone; its tasks do, too."""
    flights = Flights()

    async def main() -> None:
        leader = flights.join(KEY, blocking=False)
        assert leader.leads

        async def nested() -> Seat:
            return flights.join(KEY, blocking=False)

        for seat in (await nested(), await asyncio.create_task(nested())):
            assert not seat.leads
            assert not seat.follows
        assert joined(flights).follows
        leader.land("answer")
        assert flights.join(KEY, blocking=False).leads

    asyncio.run(main())


def test_a_follower_that_came_to_lead_does_not_wait_for_itself() -> None:
    """The same for one that led later."""
    flights = Flights()
    leader = joined(flights)
    second = flights.join(KEY, blocking=False)
    leader.leave(failed=False)
    assert second.wait(0) is None
    assert not flights.join(KEY, blocking=False).follows
    second.land("answer")


def test_a_thread_whose_loop_runs_does_not_wait() -> None:
    """The leader may be a task of that very loop. A thread of its own waits, and so does a task."""
    flights = Flights()
    joined(flights)

    async def main() -> tuple[bool, bool]:
        return joined(flights, blocking=True).follows, joined(flights, blocking=False).follows

    assert asyncio.run(main()) == (False, True)
    assert joined(flights, blocking=True).follows


@pytest.mark.parametrize("leaves", [False, True])
def test_threads_and_tasks_of_several_loops_meet(*, leaves: bool) -> None:
    """One computes for all of them, wherever they wait; where the leader leaves, the next one does."""
    flights, computed, answers = Flights(), [], []
    leader = joined(flights)

    def given(seat: Seat, outcome: Any) -> None:
        if outcome is None:
            assert seat.leads
            computed.append(1)
            outcome = "answer"
            seat.land(outcome)
        answers.append(outcome)

    def in_a_thread() -> None:
        seat = joined(flights, blocking=True)
        given(seat, seat.wait(LONG))

    async def in_a_loop() -> None:
        async def one() -> None:
            seat = joined(flights)
            given(seat, await seat.await_(LONG))

        await asyncio.gather(*(one() for _ in range(3)))

    works: list[Callable[[], Any]] = [*[in_a_thread] * 4, *[lambda: asyncio.run(in_a_loop())] * 2]
    with ThreadPoolExecutor(len(works)) as pool:
        done = [pool.submit(work) for work in works]
        assert until(lambda: len(leader._flight.waiting) == 10)
        if leaves:
            leader.leave(failed=False)
        else:
            leader.land("answer")
        for each in done:
            each.result(LONG)
    assert answers == ["answer"] * 10
    assert len(computed) == (1 if leaves else 0)
    assert len(flights) == 0


def test_a_cancelled_task_leaves_the_others_waiting() -> None:
    """Its own end is nobody else's: it does not cancel what the others are waiting for."""
    flights = Flights()
    leader = joined(flights)

    async def main() -> Any:
        async def follow() -> Any:
            seat = joined(flights)
            try:
                return await seat.await_(LONG)
            except asyncio.CancelledError:
                seat.leave(failed=False)
                raise

        gone, stays = asyncio.create_task(follow()), asyncio.create_task(follow())
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([gone])
        assert gone.cancelled()
        assert len(leader._flight.waiting) == 1
        leader.land("answer")
        return await stays

    assert asyncio.run(main()) == "answer"


def test_a_letter_cannot_be_cancelled() -> None:
    """A task is cancelled in the moment it is written to: the writer, who leads, notices nothing."""
    flights = Flights()
    leader, follower = joined(flights), joined(flights)

    async def main() -> None:
        assert follower._letter is not None
        asyncio.wrap_future(follower._letter).cancel()
        await asyncio.sleep(0)
        leader.land("answer")

    asyncio.run(main())
    assert follower.wait(0) == "answer"


def test_many_threads_in_any_order() -> None:
    """Threads that lead, follow, fail and give up at random: all come to an end, and nothing is left."""
    flights = Flights()
    ended = []
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        barrier.wait(LONG)
        for turn_ in range(60):
            seat = joined(flights, str(turn_ % 3), blocking=True)
            outcome = seat.wait(0.0005 * (number % 3)) if seat.follows else None
            if outcome is not None:
                ended.append(outcome)
            elif (number + turn_) % 4 == 0:
                seat.leave(failed=bool(number % 2))
            elif (number + turn_) % 7 == 0:
                seat.disband()
            else:
                seat.land(number)
            seat.leave(failed=False)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert not any(thread.is_alive() for thread in threads)
    assert len(flights) == 0


def _in_a_child(flights: Flights, told: Any) -> None:
    seat = joined(flights, blocking=True)
    told.send((seat.leads, len(flights)))
    seat.land("answer")


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_follows_nobody_of_its_parent() -> None:
    """Whoever leads there is not here."""
    flights = Flights()
    assert joined(flights).leads
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=_in_a_child, args=(flights, there))
    child.start()
    assert here.poll(LONG)
    assert here.recv() == (True, 1)
    child.join(LONG)
    assert child.exitcode == 0
    assert len(flights) == 1

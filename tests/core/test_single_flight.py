from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

import pytest

from portkey_router.cache.cache import SemanticCache
from portkey_router.errors import UpstreamUnavailableError
from portkey_router.events import CallFinished, capture_events
from portkey_router.health import Health
from portkey_router.messages import CacheUse, Completion, Usage
from portkey_router.router import PortkeyRouter
from tests.core.cached import SETTINGS, WAYS, ask, cache_of, question
from tests.core.fakes import HELLO, AsyncStream, Stream, SyncStream, failed, ok
from tests.net_server import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from portkey_router.wire.http import HttpCall, HttpReply
    from tests.core.fakes import Reply

LONG = 30.0


async def reached(condition: Callable[[], bool]) -> None:
    """Wait, in a loop, until it comes about."""
    for _ in range(20_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise TimeoutError


class Gate:
    """A gateway that answers once it is told to; both ports in one. `calls` are those that have reached it."""

    def __init__(self, answer: Callable[[int], Reply] | None = None) -> None:
        self.calls: list[HttpCall] = []
        self.open_now = threading.Event()
        self._answer = answer or (lambda number: ok(f"answer {number}"))
        self._lock = threading.Lock()

    def enter(self, call: HttpCall) -> int:
        """Its number, from 1."""
        with self._lock:
            self.calls.append(call)
            return len(self.calls)

    def reply(self, number: int) -> Any:
        """Its answer, or the error that it is."""
        reply = self._answer(number)
        if isinstance(reply, BaseException):
            raise reply
        return reply


class SyncGate:
    """For threads."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def send(self, call: HttpCall) -> HttpReply:
        """Wait, and answer."""
        number = self._gate.enter(call)
        assert self._gate.open_now.wait(LONG)
        reply: HttpReply = self._gate.reply(number)
        return reply

    def open(self, call: HttpCall) -> SyncStream:
        """Wait, and stream."""
        number = self._gate.enter(call)
        assert self._gate.open_now.wait(LONG)
        return SyncStream(self._gate.reply(number))


class AsyncGate:
    """For loops."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def send(self, call: HttpCall) -> HttpReply:
        """Wait, and answer."""
        number = self._gate.enter(call)
        await reached(self._gate.open_now.is_set)
        reply: HttpReply = self._gate.reply(number)
        return reply

    async def open(self, call: HttpCall) -> AsyncStream:
        """Wait, and stream."""
        number = self._gate.enter(call)
        await reached(self._gate.open_now.is_set)
        return AsyncStream(SyncStream(self._gate.reply(number)))


def gated(gate: Gate, **options: Any) -> PortkeyRouter:
    """A router with a cache, behind a gate."""
    given: dict[str, Any] = {"model": "gpt-4o", "max_retries": 0, "cache": SemanticCache("memory://"), **options}
    return PortkeyRouter(SETTINGS, ports=(SyncGate(gate), AsyncGate(gate)), **given)


class Hurried(Health):
    """Health that holds no call back, however its target does."""

    def depart(self, key: str, now: float) -> float:
        """At once."""
        return 0.0


def waiting(router: PortkeyRouter) -> int:
    """How many calls wait for others."""
    return sum(len(flight.waiting) for flight in list(cache_of(router).flights._by_key.values()))


def layer(answer: Completion) -> str | None:
    """Which layer answered."""
    return None if answer.cache is None else str(answer.cache["layer"])


def at_once(router: PortkeyRouter, gate: Gate, ways: list[str], **options: Any) -> list[Completion]:
    """Ask the same in all these ways at once, each in a thread of its own: the first leads, then the gate opens."""
    return [each.result() for each in ended(router, gate, ways, **options)]


def ended(router: PortkeyRouter, gate: Gate, ways: list[str], **options: Any) -> list[Future[Completion]]:
    """The same, answers and errors."""
    with ThreadPoolExecutor(len(ways)) as pool:
        first, *more = ways
        asked = [pool.submit(ask, router, first, **options)]
        assert until(lambda: len(gate.calls) == 1)
        asked += [pool.submit(ask, router, way, **options) for way in more]
        assert until(lambda: waiting(router) == len(more))
        gate.open_now.set()
        wait(asked, LONG)
        return asked


def either(text: str, way: str) -> Callable[[int], Reply]:
    """The answer in the form that a leader asks for it."""
    return lambda number: Stream() if way.endswith("stream") else ok(text)


@pytest.mark.parametrize("leader", WAYS)
def test_equal_requests_in_flight_are_computed_once(leader: str) -> None:
    """Threads and loops, streamed or not, all at once: one request; the others get its answer, at no cost."""
    gate = Gate(either("Hello", leader))
    router = gated(gate)
    with capture_events() as events:
        answers = at_once(router, gate, [leader, *WAYS, *WAYS])
    assert len(gate.calls) == 1
    assert {answer.text for answer in answers} == {"Hello"}
    assert [layer(answer) for answer in answers] == [None, *["shared"] * 8]
    assert all(answer.usage == Usage(0, 0, 0) for answer in answers[1:])
    assert len({answer.id for answer in answers}) == 9
    assert len({id(answer.message) for answer in answers}) == 9
    ends = [event for event in events if isinstance(event, CallFinished)]
    assert sorted(str(end.cache) for end in ends) == ["None", *["shared"] * 8]
    assert sum(end.attempts for end in ends) == 1
    assert len(cache_of(router).flights) == 0


def test_tasks_of_one_loop_share() -> None:
    """The commonest case: `asyncio.gather` over equal questions."""
    gate = Gate()
    router = gated(gate)

    async def main() -> list[Completion]:
        tasks = [asyncio.create_task(router.acomplete(HELLO)) for _ in range(6)]
        await reached(lambda: waiting(router) == 5)
        gate.open_now.set()
        return await asyncio.gather(*tasks)

    answers = asyncio.run(main())
    assert (len(gate.calls), sorted(map(str, map(layer, answers)))) == (1, ["None", *["shared"] * 5])


@pytest.mark.parametrize("follower", WAYS)
def test_followers_of_a_hit_are_given_the_hit(follower: str) -> None:
    """Whoever leads looks up; what it finds is everybody's, with the layer that it was found in."""
    gate, kept, looked = Gate(), threading.Event(), threading.Event()

    class Slow(SemanticCache):
        def lookup(self, *arguments: Any, **options: Any) -> Any:
            if kept.is_set():
                looked.set()
                assert until(lambda: waiting(router) == 1)
            return super().lookup(*arguments, **options)

    router = gated(gate, cache=Slow("memory://"))
    gate.open_now.set()
    router.complete(HELLO)
    kept.set()
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(ask, router, "complete")
        assert looked.wait(LONG)
        other = pool.submit(ask, router, follower)
        assert [layer(each.result(LONG)) for each in (one, other)] == ["exact", "exact"]
    assert len(gate.calls) == 1


@pytest.mark.parametrize("follower", WAYS)
@pytest.mark.parametrize("leader", ["acomplete", "astream"])
def test_a_cancelled_leader_spares_its_followers(leader: str, follower: str) -> None:
    """One of them asks in its place, once, and nobody hears of the other's end."""
    gate = Gate(lambda number: Stream() if follower.endswith("stream") else ok("Hello"))
    router = gated(gate)

    async def main() -> list[Completion]:
        async def lead() -> None:
            if leader == "acomplete":
                await router.acomplete(HELLO)
            else:
                async for _ in router.astream(HELLO):
                    pass

        first = asyncio.create_task(lead())
        await reached(lambda: len(gate.calls) == 1)
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(3) as pool:
            others = [loop.run_in_executor(pool, ask, router, follower) for _ in range(3)]
            await reached(lambda: waiting(router) == 3)
            first.cancel()
            await asyncio.wait([first])
            assert first.cancelled()
            await reached(lambda: len(gate.calls) == 2)
            assert waiting(router) == 2
            gate.open_now.set()
            return list(await asyncio.gather(*others))

    answers = asyncio.run(main())
    assert {answer.text for answer in answers} == {"Hello"}
    assert sorted(map(str, map(layer, answers))) == ["None", "shared", "shared"]
    assert len(gate.calls) == 2
    assert len(cache_of(router).flights) == 0


def test_a_stream_left_early_spares_its_followers() -> None:
    """A caller who has seen enough takes nothing from the others."""
    gate = Gate(lambda number: Stream() if number == 1 else ok("Hello"))
    gate.open_now.set()
    router = gated(gate)
    with ThreadPoolExecutor(1) as pool, router.stream(HELLO) as chunks:
        next(chunks)
        other = pool.submit(ask, router, "complete")
        assert until(lambda: waiting(router) == 1)
        chunks.close()
        assert (other.result(LONG).text, layer(other.result())) == ("Hello", None)
    assert len(gate.calls) == 2


def test_a_failing_leader_is_followed_by_one_then_by_more() -> None:
    """Each follower asks for itself and gets its own honest error; they never meet the provider all together."""
    gate = Gate(lambda number: failed(503, f"boom {number}"))
    router = gated(gate, health=Hurried(threading.Lock()))
    lock, inside, together = threading.Lock(), [0], list[int]()

    class Counting(SyncGate):
        def send(self, call: HttpCall) -> HttpReply:
            with lock:
                inside[0] += 1
                together.append(inside[0])
            try:
                return super().send(call)
            finally:
                with lock:
                    inside[0] -= 1

    router._sync_port = Counting(gate)
    errors = [each.exception() for each in ended(router, gate, ["complete"] * 9)]
    assert all(isinstance(error, UpstreamUnavailableError) for error in errors)
    assert len(gate.calls) == 9
    assert max(together) < 8
    assert together[:2] == [1, 1]
    assert len(cache_of(router).flights) == 0


def test_a_failing_leader_whose_follower_succeeds_serves_the_rest() -> None:
    """The next one's answer is everybody's."""
    gate = Gate(lambda number: failed(503) if number == 1 else ok("Hello"))
    router = gated(gate)
    first, *others = ended(router, gate, ["complete"] * 4)
    assert isinstance(first.exception(), UpstreamUnavailableError)
    assert sorted(str(layer(each.result())) for each in others) == ["None", "shared", "shared"]
    assert len(gate.calls) == 2


@pytest.mark.parametrize(
    "options",
    [{"temperature": 0.7}, {"no_cache": True}, {"refresh": True}, {"tools": [{"type": "function"}]}],
)
def test_some_calls_are_their_own(options: dict[str, Any]) -> None:
    """At a stated temperature above 0, with tools, and where the call wants an answer of its own: nobody is joined."""
    gate = Gate()
    router = gated(gate)
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(ask, router, "complete", **options) for _ in range(3)]
        assert until(lambda: len(gate.calls) == 3)
        gate.open_now.set()
        assert [layer(each.result(LONG)) for each in asked] == [None] * 3


@pytest.mark.parametrize("options", [{"temperature": 0}, {"tools": [{"type": "function"}], "tool_choice": "none"}])
def test_temperature_0_and_tools_that_may_not_be_called_share(options: dict[str, Any]) -> None:
    """These ask for the same answer."""
    gate = Gate()
    router = gated(gate)
    answers = at_once(router, gate, ["complete"] * 3, **options)
    assert [layer(answer) for answer in answers] == [None, "shared", "shared"]


def test_an_answer_that_may_not_be_kept_is_not_shared() -> None:
    """A refusal is the leader's own: the others ask, all at once."""
    gate = Gate(lambda number: ok("I'm sorry, I can't help with that."))
    router = gated(gate)
    answers = at_once(router, gate, ["complete"] * 4)
    assert len(gate.calls) == 4
    assert [layer(answer) for answer in answers] == [None] * 4


def test_an_answer_that_could_not_be_kept_is_shared() -> None:
    """It was the store that failed, not the answer."""

    class Full(SemanticCache):
        def store(self, *arguments: Any, **options: Any) -> Any:
            return "the store failed: full"

    gate = Gate()
    router = gated(gate, cache=Full("memory://"))
    answers = at_once(router, gate, ["complete"] * 3)
    assert (len(gate.calls), [layer(answer) for answer in answers]) == (1, [None, "shared", "shared"])


def test_a_follower_keeps_its_own_deadline() -> None:
    """It waits for a part of its own time, then asks for itself; its answer serves who still waits."""
    gate = Gate()
    router = gated(gate)
    with ThreadPoolExecutor(3) as pool:
        leader = pool.submit(ask, router, "complete")
        assert until(lambda: len(gate.calls) == 1)
        patient = pool.submit(ask, router, "complete")
        assert until(lambda: waiting(router) == 1)
        hurried = pool.submit(ask, router, "complete", timeout=2)  # a part of it is waited, the rest is for asking
        assert until(lambda: len(gate.calls) == 2)
        assert gate.calls[1].expiry.phase == "total"
        assert waiting(router) == 1
        gate.open_now.set()
        answers = [each.result(LONG) for each in (leader, hurried, patient)]
    assert len(gate.calls) == 2
    assert [layer(answer) for answer in answers] == [None, None, "shared"]


def test_reading_a_stream_and_asking_the_same_does_not_hang() -> None:
    """Nested in the very loop that reads it, sync and async, and two streams read in turns: each goes alone."""
    gate = Gate(lambda number: Stream() if number in {1, 3} else ok("nested"))
    gate.open_now.set()
    router = gated(gate)
    with router.stream(HELLO) as chunks:
        next(chunks)
        assert router.complete(HELLO, timeout=LONG).text == "nested"
        assert len(list(chunks)) > 1

    async def nested() -> str:
        async with router.astream(question("another")) as chunks:
            await anext(chunks)
            answer = await router.acomplete(question("another"), timeout=LONG)
            inner = await asyncio.create_task(router.acomplete(question("another"), timeout=LONG))
            assert layer(inner) == "exact"
            assert [chunk async for chunk in chunks]
        return answer.text

    assert asyncio.run(nested()) == "nested"
    both = gated(Gate(lambda number: Stream()))
    both._sync_port._gate.open_now.set()  # type: ignore[attr-defined]
    pairs = list(zip(both.stream(HELLO), both.stream(HELLO), strict=True))
    assert "".join(one.content for one, _ in pairs) == "".join(other.content for _, other in pairs) == "Hello"
    for each in (router, both):
        assert len(cache_of(each).flights) == 0


def test_a_sync_call_in_a_running_loop_does_not_wait_for_that_loop() -> None:
    """The leader is a task of the loop that the sync call blocks: it goes alone."""
    gate = Gate()
    router = gated(gate)

    async def main() -> list[str]:
        leader = asyncio.create_task(router.acomplete(HELLO))
        await reached(lambda: len(gate.calls) == 1)
        gate.open_now.set()
        blocking = contextvars.copy_context().run(router.complete, HELLO)
        return [blocking.text, (await leader).text]

    assert asyncio.run(main()) == ["answer 2", "answer 1"]


def test_other_callers_of_the_same_cache_are_joined_by_their_key() -> None:
    """An adapter that has missed by itself (`missed=`) shares by its own key, and keeps the answer itself."""
    gate = Gate()
    router = gated(gate, cache=None)
    cache = SemanticCache("memory://")
    missed: Any = cache.lookup(cache.key(HELLO, params={"adapter": True}), lambda entry: entry.answer)
    use = CacheUse(cache, missed=missed, stores_itself=True)
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(ask, router, "complete", cache_use=use)]
        assert until(lambda: len(gate.calls) == 1)
        asked += [pool.submit(ask, router, "complete", cache_use=use) for _ in range(2)]
        assert until(lambda: sum(len(each.waiting) for each in cache.flights._by_key.values()) == 2)
        gate.open_now.set()
        assert [layer(each.result(LONG)) for each in asked] == [None, "shared", "shared"]
    assert (len(gate.calls), cache.count()) == (1, 0)

"""Equal requests in flight are computed once: one leads, the others follow and are handed its answer.

Callers may be threads and tasks of any loops, mixed. A leader that fails or leaves spares its followers: one of them
leads next, alone. Where that one fails as well, two go at once, then four, and so on: whoever asks a provider in
trouble comes to an honest end soon, and the provider does not meet them all together.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import OrderedDict, deque
from concurrent.futures import Future
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from portkey_router.locks import ForkLock

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Flights", "Seat"]

_Turn: TypeAlias = Literal["lead", "alone"]

LANDED = 64
"""So many of the last answers are kept for calls that were on their way when they came."""
LANDED_SECONDS = 60.0
"""And for so long."""
STORING_SECONDS = 1.0
"""So long it may take somebody else to store an answer."""


class _Flight:
    """The calls of one key. `leaders` are on their way, `waiting` in the order they came."""

    __slots__ = ("failures", "leaders", "over", "waiting")

    def __init__(self) -> None:
        self.leaders = 0
        self.failures = 0
        self.waiting: deque[Seat] = deque()
        self.over = False


# The flights that are led from here: who leads one and asks the same again (while it reads its own stream, say) would
# wait for itself.
_led: ContextVar[tuple[_Flight, ...]] = ContextVar("portkey_router_flights_led", default=())


class Flights:
    """The flights of one cache; as many as there are keys of calls on their way."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = ForkLock()
        self._pid = os.getpid()
        self._clock = clock
        self._by_key: dict[str, _Flight] = {}
        self._landed: OrderedDict[str, tuple[float, Any]] = OrderedDict()  # by key, when and what; the oldest first

    def __len__(self) -> int:
        return len(self._by_key)

    def join(self, key: str, *, blocking: bool, since: float | None = None) -> Seat:
        """A seat in the flight of this key: the first leads it, others follow.

        `since`: when the call looked up, if it did before it came here (`time.monotonic`): what has landed after that
        is its answer, which it cannot have found.

        Alone goes who would wait for itself. `blocking`: the caller waits in its thread; if that thread runs a loop,
        the one to wait for may need that loop, so it goes alone, too.
        """
        with self._lock:
            if self._pid != os.getpid():  # those who lead them are in the parent
                self._pid, self._by_key = os.getpid(), {}
                self._landed.clear()
            flight = self._by_key.get(key)
            at, answer = self._landed.get(key, (0.0, None))
            if flight is None and since is not None and answer is not None and at >= since:
                seat = Seat(self, key, _Flight(), None)
                seat.hand(answer)
                return seat
            if flight is None:
                flight = self._by_key[key] = _Flight()
                seat = Seat(self, key, flight, "lead")
                flight.leaders = 1
            elif any(flight is each for each in _led.get()) or (blocking and _in_a_loop()):
                return Seat(self, key, flight, "alone")
            else:
                seat = Seat(self, key, flight, None)
                flight.waiting.append(seat)
                return seat
        _led.set((*(each for each in _led.get() if not each.over), flight))
        return seat

    def stored(self, key: str) -> None:
        """The answer that has landed can be found from now on (see `Seat.land`)."""
        with self._lock:
            if key in self._landed:
                self._landed[key] = self._clock(), self._landed[key][1]

    def _end(self, key: str, flight: _Flight, landed: Any, *, stored: bool = True) -> None:
        """Everybody is handed what came of it."""
        flight.over = True
        if self._by_key.get(key) is flight:
            del self._by_key[key]
        self._keep(key, landed, 0.0 if stored else STORING_SECONDS)
        while flight.waiting:
            flight.waiting.popleft().hand(landed)

    def _keep(self, key: str, landed: Any, seconds: float) -> None:
        now = self._clock()
        self._landed.pop(key, None)
        if landed != "alone":
            self._landed[key] = now + seconds, landed
        while self._landed and (
            len(self._landed) > LANDED or next(iter(self._landed.values()))[0] < now - LANDED_SECONDS
        ):
            self._landed.popitem(last=False)

    def _pass_on(self, key: str, flight: _Flight, *, failed: bool) -> None:
        """A leader is gone, and brought nothing: the next ones lead, once no other is on the way."""
        flight.leaders -= 1
        flight.failures += failed
        if flight.leaders or flight.over:
            return
        for _ in range(min(1 << max(flight.failures - 1, 0), len(flight.waiting))):
            flight.leaders += 1
            flight.waiting.popleft().hand("lead")
        if not flight.leaders:
            self._end(key, flight, "alone")


class Seat:
    """One call's place in a flight. `leads`: it is to ask for the answer; else it waits for one, or goes `alone`."""

    __slots__ = ("_flight", "_flights", "_given", "_key", "_letter")

    def __init__(self, flights: Flights, key: str, flight: _Flight, turn: _Turn | None) -> None:
        self._flights = flights
        self._flight = flight
        self._key = key
        self._letter: Future[Any] | None = None
        self._given: Any = turn
        if turn is None:
            self._letter = Future()
            self._letter.set_running_or_notify_cancel()  # a task that is cancelled must not cancel what others write to

    @property
    def leads(self) -> bool:
        """Whether it is this call that asks, and others wait for."""
        return bool(self._given == "lead")

    @property
    def follows(self) -> bool:
        """Whether it waits."""
        return self._given is None

    @property
    def landed(self) -> bool:
        """Whether it has been handed an answer."""
        return self._given not in (None, "lead", "alone")

    def hand(self, given: Any) -> None:
        """Its turn has come, or an answer; only the flights say so."""
        self._given = given
        if self._letter is not None:
            self._letter.set_result(None)

    # ---- for who follows ---------------------------------------------------------------------------------------------

    def wait(self, seconds: float) -> Any:
        """The answer; None: ask for it, because it is this call's turn to lead or the time is over."""
        if self._letter is not None and self.follows:
            with contextlib.suppress(TimeoutError):
                self._letter.result(max(seconds, 0.0))
        return self._outcome()

    async def await_(self, seconds: float) -> Any:
        """As `wait`, in the running loop."""
        if self._letter is not None and self.follows:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(seconds, 0.0)):  # not `wait_for`, which may lose a cancellation
                    await asyncio.wrap_future(self._letter)
        return self._outcome()

    def _outcome(self) -> Any:
        flight = self._flight
        with self._flights._lock:  # noqa: SLF001  (one thing in two classes)
            if self._given is None:  # it has waited for long enough: it asks as well, and whoever is first serves all
                flight.waiting.remove(self)
                flight.leaders += 1
                self._given = "lead"
        if self._given == "lead":
            _led.set((*(each for each in _led.get() if not each.over), flight))
            return None
        return None if self._given == "alone" else self._given

    # ---- for who leads -----------------------------------------------------------------------------------------------

    def land(self, answer: Any, *, stored: bool = True) -> None:
        """Here is the answer: for all who wait. `stored=False`: somebody is about to store it, and will say so."""
        self._over(answer, stored=stored)

    def disband(self) -> None:
        """The answer is for nobody else: those who wait go alone."""
        self._over("alone")

    def _over(self, landed: Any, *, stored: bool = True) -> None:
        if not self.leads:
            return
        self._given = "alone"
        with self._flights._lock:  # noqa: SLF001  (as above)
            if not self._flight.over:
                self._flights._end(self._key, self._flight, landed, stored=stored)  # noqa: SLF001  (as above)

    def leave(self, *, failed: bool) -> None:
        """This call ends without an answer, or stops waiting. After a landing it is too late, and nothing happens."""
        with self._flights._lock:  # noqa: SLF001  (as above)
            given, self._given = self._given, "alone"
            if given is None:
                self._flight.waiting.remove(self)
            elif given == "lead":
                self._flights._pass_on(self._key, self._flight, failed=failed)  # noqa: SLF001  (as above)


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True

"""While the store cannot be reached: what is let through meanwhile, and what is to be told to it afterwards."""

from __future__ import annotations

import logging
import os
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from portkey_router.ledger.books import Books
from portkey_router.locks import ForkLock

if TYPE_CHECKING:
    from portkey_router.budget import Reservation
    from portkey_router.ledger.commands import Admitted, Bucket, Command, Counter, Refused, Reply, Reserve, Settle

__all__ = ["Outage", "Untold"]

_logger = logging.getLogger("portkey_router.ledger")

KEPT = 10_000
"""Commands kept for later. Beyond that the oldest are dropped, and what they held is settled by its lease."""

KNOWN = 4096
"""Counters whose state is remembered, the last seen ones."""


class Untold(NamedTuple):
    """A command that the store has not been told yet, and the reservation that its alerts are about."""

    command: Command
    reservation: Reservation


class _Seen(NamedTuple):
    start: int
    used: int


class Outage:
    """What a ledger does without its store.

    `instances` is how many processes share a budget: each lets through that part of what it last saw to be left, or of
    the whole limit where it has seen nothing of this window. After a failure the store is left alone for `pause`
    seconds.
    """

    def __init__(self, *, instances: int, pause: float) -> None:
        self._instances = instances
        self._pause = pause
        self._until = 0.0
        self._said = False
        self._lock = ForkLock()
        self._teller = 0  # the process of which somebody tells: a forked child has nobody who does
        self._books = Books()
        self._seen: dict[str, _Seen] = {}
        self._untold: deque[Untold] = deque(maxlen=KEPT)

    def down(self, now: float) -> bool:
        """Whether the store is to be left alone at `now` (seconds)."""
        return now < self._until

    def failed(self, now: float, error: Exception) -> None:
        """The store could not be reached at `now` (seconds)."""
        self._until = now + self._pause
        if not self._said:
            self._said = True
            _logger.warning("The ledger's store cannot be reached: %s", error)

    def answered(self) -> None:
        """It answers again: what was let through meanwhile is told to it, so it is not counted here any more."""
        if self._said:
            self._said = False
            _logger.warning("The ledger's store answers again, and was told what was let through meanwhile.")
            with self._lock:
                self._books = Books()

    def saw(self, command: Reserve, reply: Admitted) -> None:
        """Remember how much is used of each counter."""
        with self._lock:
            for counter, start, used in zip(command.counters, reply.starts, reply.used, strict=True):
                self._seen.pop(counter.key, None)
                self._seen[counter.key] = _Seen(start, used)
            while len(self._seen) > KNOWN:
                del self._seen[next(iter(self._seen))]

    def saw_refused(self, counter: Counter, reply: Refused) -> None:
        """Remember how much is used of the counter that had too little left."""
        with self._lock:
            self._seen[counter.key] = _Seen(reply.start or counter.start, reply.spent + reply.held)

    def saw_settled(self, made: Reservation, command: Settle) -> None:
        """Remember that what was seen as held has become what it cost."""
        with self._lock:
            for hold, due in zip(made.holds, command.counters, strict=True):
                seen = self._seen.get(hold.counter)
                if seen is not None and seen.start == hold.start:
                    self._seen[hold.counter] = _Seen(seen.start, max(0, seen.used + due.cost - hold.amount))

    def reserve(self, command: Reserve, now: int) -> Reply:
        """The command, over our share of the limits; `now` is in microseconds."""
        with self._lock:
            counters = tuple(self._share(counter, now) for counter in command.counters)
            buckets = tuple(self._slower(bucket) for bucket in command.buckets)
            return self._books.do(replace(command, counters=counters, buckets=buckets), now)

    def settle(self, command: Settle, now: int) -> None:
        """Settle what was reserved here; its alerts are the store's to tell."""
        with self._lock:
            self._books.do(command, now)

    def _share(self, counter: Counter, now: int) -> Counter:
        return replace(counter, limit=self.left(counter, now) // self._instances)

    def left(self, counter: Counter, now: int) -> int:
        """What was last seen to be left of it at `now` (microseconds); all of it where nothing of its window was."""
        seen = self._seen.get(counter.key)
        if seen is not None:
            dated = counter.kind in {"calendar", "total"}
            present = seen.start == counter.start if dated else now < seen.start + counter.length
            seen = seen if present else None
        return max(0, counter.limit - (seen.used if seen else 0))

    def _slower(self, bucket: Bucket) -> Bucket:
        return replace(bucket, request=bucket.request * self._instances, token=bucket.token * self._instances)

    # ---- what is to be told later ----

    @property
    def untold(self) -> int:
        """How many commands wait."""
        return len(self._untold)

    @property
    def telling(self) -> bool:
        """Whether somebody is telling them."""
        return self._teller == os.getpid()

    def begin_telling(self) -> bool:
        """Whether it is ours to tell them: only one does at a time, so that they keep their order."""
        with self._lock:
            if self.telling or not self._untold:
                return False
            self._teller = os.getpid()
            return True

    def end_telling(self) -> None:
        """After `begin_telling`."""
        self._teller = 0

    def later(self, untold: Untold) -> None:
        """Keep it for when the store answers."""
        if len(self._untold) == KEPT:
            _logger.error("More than %d commands wait for the ledger's store: the oldest is dropped.", KEPT)
        self._untold.append(untold)

    def next(self) -> Untold | None:
        """The one that has waited longest."""
        try:
            return self._untold.popleft()
        except IndexError:
            return None

    def again(self, untold: Untold) -> None:
        """It could not be told: it is the next one again."""
        if len(self._untold) < KEPT:
            self._untold.appendleft(untold)

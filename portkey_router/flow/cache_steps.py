"""The steps of a call that has a cache: look up, keep, and the single flight of equal requests."""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from portkey_router.flow.steps import Performed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from portkey_router.cache.cache import SemanticCache
    from portkey_router.cache.flights import Flights, Seat
    from portkey_router.cache.key import CacheKey
    from portkey_router.cache.lookups import Reader
    from portkey_router.cache.results import Hit, Miss, NewAnswer
    from portkey_router.wire.http import Expiry

__all__ = ["Follow", "Join", "Lookup", "Store", "in_a_cache", "within_a_cache"]

_busy: ContextVar[bool] = ContextVar("portkey_router_in_a_cache", default=False)


def in_a_cache() -> bool:
    """Whether this is a call that a cache makes: its embedding, or its judge, may be an LLM's. It has no cache."""
    return _busy.get()


@contextlib.contextmanager
def within_a_cache() -> Iterator[None]:
    """What the block calls is called by a cache."""
    token = _busy.set(True)
    try:
        yield
    finally:
        # What is collected unfinished may end in another context, where there is nothing to take back.
        with contextlib.suppress(ValueError):
            _busy.reset(token)


@dataclass(frozen=True, slots=True)
class Lookup(Performed):
    """Ask a cache; the outcome is its `Hit` or `Miss`.

    In a loop it is given up once the call's time is over (`TimeoutError`); in a thread, an embedding cannot be stopped.
    """

    cache: SemanticCache
    key: CacheKey
    read: Reader[Any]
    call_id: str
    expiry: Expiry

    def perform(self) -> Hit[Any] | Miss:
        """In this thread."""
        with within_a_cache():
            return self.cache.lookup(self.key, self.read, call_id=self.call_id)

    async def aperform(self) -> Hit[Any] | Miss:
        """In the running loop."""
        with within_a_cache():
            async with asyncio.timeout(self.expiry.remaining()):
                return await self.cache.alookup(self.key, self.read, call_id=self.call_id)


@dataclass(frozen=True, slots=True)
class Store(Performed):
    """Have a cache keep an answer; the outcome is the reason where it did not, else None. Given up as a `Lookup` is."""

    cache: SemanticCache
    asked: Miss | CacheKey
    answer: NewAnswer
    terms: Mapping[str, Any] = field(repr=False)
    expiry: Expiry

    def perform(self) -> str | None:
        """In this thread."""
        with within_a_cache():
            return self.cache.store(self.asked, self.answer, **self.terms)

    async def aperform(self) -> str | None:
        """In the running loop."""
        with within_a_cache():
            async with asyncio.timeout(self.expiry.remaining()):
                return await self.cache.astore(self.asked, self.answer, **self.terms)


@dataclass(frozen=True, slots=True)
class Join(Performed):
    """Take a seat in the flight of equal requests; the outcome is the `Seat`. For `since` see `Flights.join`."""

    flights: Flights
    key: str
    since: float | None = None

    def perform(self) -> Seat:
        """In this thread, where following would block."""
        return self.flights.join(self.key, blocking=True, since=self.since)

    async def aperform(self) -> Seat:
        """In the running loop."""
        return self.flights.join(self.key, blocking=False, since=self.since)


@dataclass(frozen=True, slots=True)
class Follow(Performed):
    """Wait for who leads the flight, at most so many seconds; the outcome is its answer, or None: ask for it."""

    seat: Seat
    seconds: float

    def perform(self) -> Any:
        """In this thread."""
        return self.seat.wait(self.seconds)

    async def aperform(self) -> Any:
        """In the running loop."""
        return await self.seat.await_(self.seconds)

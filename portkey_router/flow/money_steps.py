"""The steps of a call that has budgets or limits: what a ledger is asked and told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from portkey_router.flow.steps import Performed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from portkey_router.bound import Bound
    from portkey_router.budget import Ledger, Reservation
    from portkey_router.events import EventHub

__all__ = ["Feed", "Release", "Reserve", "Settle"]


@dataclass(frozen=True, slots=True)
class Reserve(Performed):
    """Set aside what an attempt may cost; the outcome is the `Reservation`. See `budget.Ledger.reserve`."""

    ledger: Ledger
    bound: Bound
    tags: Mapping[str, Any]
    patience: float
    lease: float | None
    hub: EventHub | None

    def perform(self) -> Reservation:
        """In this thread."""
        return self.ledger.reserve(self.bound, self.tags, patience=self.patience, lease=self.lease, hub=self.hub)

    async def aperform(self) -> Reservation:
        """In the running loop."""
        return await self.ledger.areserve(self.bound, self.tags, patience=self.patience, lease=self.lease, hub=self.hub)


@dataclass(frozen=True, slots=True)
class Settle(Performed):
    """The attempt cost so much (USD; None: not known) and used so many tokens. No outcome."""

    ledger: Ledger
    reservation: Reservation
    cost: Decimal | None
    tokens: int | None

    def perform(self) -> None:
        """In this thread."""
        self.ledger.settle(self.reservation, self.cost, self.tokens)

    async def aperform(self) -> None:
        """In the running loop."""
        await self.ledger.asettle(self.reservation, self.cost, self.tokens)


@dataclass(frozen=True, slots=True)
class Release(Performed):
    """The attempt was not billed; not `sent`, it was no request either. No outcome."""

    ledger: Ledger
    reservation: Reservation
    sent: bool

    def perform(self) -> None:
        """In this thread."""
        self.ledger.release(self.reservation, sent=self.sent)

    async def aperform(self) -> None:
        """In the running loop."""
        await self.ledger.arelease(self.reservation, sent=self.sent)


@dataclass(frozen=True, slots=True)
class Feed(Performed):
    """Heed what the provider's headers say is left of its own limits. No outcome."""

    ledger: Ledger
    headers: Mapping[str, str]
    tags: Mapping[str, Any]

    def perform(self) -> None:
        """In this thread."""
        self.ledger.feed(self.headers, self.tags)

    async def aperform(self) -> None:
        """In the running loop."""
        await self.ledger.afeed(self.headers, self.tags)

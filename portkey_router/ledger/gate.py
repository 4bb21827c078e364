"""Rate limits by themselves, for models that are not ours: what the frameworks' `rate_limiter` arguments stand on."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from portkey_router.bound import Bound
from portkey_router.errors import RateLimitExceededError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from portkey_router.budget import RateLimit
    from portkey_router.ledger.keeper import BudgetLedger

__all__ = ["RateGate", "for_every_call"]


def for_every_call(limits: Iterable[RateLimit]) -> list[RateLimit]:
    """The limits, counting whatever passes: who passes here has no tags. Their counters stay those of their names."""
    return [replace(limit, when={}, by=None) for limit in limits]


class RateGate:
    """Lets calls pass one by one, as the limits of a ledger allow.

    A limit with `wait=True` makes callers wait; one with `wait=False`, or a number of seconds that is not enough,
    raises `RateLimitExceededError`. A ledger that cannot be reached raises `AdmissionError`, or is done without, as its
    own policy says.
    """

    __slots__ = ("_ledger",)

    def __init__(self, ledger: BudgetLedger) -> None:
        self._ledger = ledger

    def enter(self, *, tokens: int = 0, blocking: bool = True) -> bool:
        """Pass now, or after the wait; False, and nothing taken, where that would be a wait and `blocking` is off."""
        try:
            made = self._ledger.reserve(Bound(tokens=tokens), {}, patience=None if blocking else 0.0)
        except RateLimitExceededError:
            if blocking:
                raise
            return False
        try:
            if made.wait:
                time.sleep(made.wait)
        except BaseException:
            self._ledger.release(made, sent=False)
            raise
        return True

    async def aenter(self, *, tokens: int = 0, blocking: bool = True) -> bool:
        """`enter`, in the running loop."""
        try:
            made = await self._ledger.areserve(Bound(tokens=tokens), {}, patience=None if blocking else 0.0)
        except RateLimitExceededError:
            if blocking:
                raise
            return False
        try:
            if made.wait:
                await asyncio.sleep(made.wait)
        except BaseException:
            await self._ledger.arelease(made, sent=False)
            raise
        return True

"""Which target a call asks next: the plan's order, without those that are down or too small for the prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from portkey_router.abilities import abilities_of
from portkey_router.health import Admission

if TYPE_CHECKING:
    from portkey_router.errors import ContextLengthError
    from portkey_router.health import Health
    from portkey_router.planner import Attempt, Plan
    from portkey_router.pricing import PriceBook

__all__ = ["Itinerary", "Leg", "window_of"]


@dataclass(frozen=True, slots=True)
class Leg:
    """One target's turn. `probe`: it is the only request let through to a target that was down.

    `tries` is how often it may be asked.
    """

    attempt: Attempt
    tries: int
    probe: bool = False


class Itinerary:
    """The turns of one call, decided one by one, since health changes while it goes on.

    A target whose circuit is open is passed over. Once all others have failed, or where all are open, the one that
    failed longest ago is asked once: a call never fails without trying.
    """

    def __init__(self, plan: Plan, health: Health | None, prices: PriceBook | None) -> None:
        self._attempts = plan.attempts
        # One target is asked however it does, and the gateway's own strategy is the gateway's to keep.
        self._health = health if plan.run_on == "client" and len(plan.attempts) > 1 else None
        self._prices = prices
        self._next = 0
        self._passed_over: list[Attempt] = []
        self._too_small: list[tuple[str | None, int | None, int | None]] = []  # model, its window, what was needed

    def leg(self, now: float) -> Leg | None:
        """The next turn; None where there is none."""
        while self._next < len(self._attempts):
            attempt = self._attempts[self._next]
            self._next += 1
            if not self._fits(attempt):
                continue
            if self._health is None:
                return Leg(attempt, attempt.tries)
            admission = self._health.admit(attempt.key, now)
            if admission is Admission.GO:
                return Leg(attempt, attempt.tries)
            if admission is Admission.PROBE:
                return Leg(attempt, 1, probe=True)
            self._passed_over.append(attempt)
        return self._last_resort()

    def pass_over(self, leg: Leg) -> None:
        """Leave a target for the last, without having asked it."""
        self._passed_over.append(leg.attempt)
        if leg.probe and self._health is not None:
            self._health.released(leg.attempt.key)

    def skip(self, targets: int) -> None:
        """Go past so many further targets, which the gateway has asked itself."""
        self._next += targets

    def others(self, now: float) -> bool:
        """Whether another target could be asked now."""
        left = self._attempts[self._next :]
        if not left:
            return False
        health = self._health
        return any(self._fits(attempt) and (health is None or health.available(attempt.key, now)) for attempt in left)

    def too_long(self, attempt: Attempt, error: ContextLengthError) -> None:
        """The prompt does not fit this target: nor those of the same model, or of no larger window."""
        window = error.limit or window_of(attempt, self._prices)
        self._too_small.append((attempt.model, window, error.needed))

    def sizes(self) -> list[tuple[str, int | None]]:
        """The models that the prompt did not fit, those passed over for that included, and their windows."""
        tried = {model: window for model, window, _ in self._too_small}
        spared = {
            each.model: window_of(each, self._prices)
            for each in self._attempts
            if each.model not in tried and not self._fits(each)
        }
        return [(model or "?", window) for model, window in {**tried, **spared}.items()]

    def _last_resort(self) -> Leg | None:
        candidates = [attempt for attempt in self._passed_over if self._fits(attempt)]
        self._passed_over = []
        health = self._health
        if not candidates or health is None:
            return None
        return Leg(min(candidates, key=lambda attempt: health.failed_at(attempt.key)), 1)

    def _fits(self, attempt: Attempt) -> bool:
        if not self._too_small:
            return True
        window = window_of(attempt, self._prices)
        return all(
            attempt.model != model and (window is None or (window > (small or 0) and window >= (needed or 0)))
            for model, small, needed in self._too_small
        )


def window_of(attempt: Attempt, prices: PriceBook | None) -> int | None:
    """The context window of a target's model, in tokens; None where it is not known."""
    if attempt.model is None:
        return None
    abilities = abilities_of(attempt.model)
    if abilities is not None:
        return abilities.context_window
    return None if prices is None else prices.context_window(attempt.provider, attempt.model)

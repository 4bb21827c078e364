"""A cost-aware plan, put in order for one call: the cheapest to ask first, failures counted in."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from portkey_router.costing import Appraiser
from portkey_router.errors import ConfigurationError

if TYPE_CHECKING:
    from datetime import datetime

    from portkey_router.costing import Appraisal, Experience, Needs
    from portkey_router.health import Health
    from portkey_router.planner import Attempt, Plan
    from portkey_router.pricing import PriceBook
    from portkey_router.targets import CostAware, Target

__all__ = ["Ranker"]


class Ranker:
    """Puts plans in order, by what is known of prices, of targets' health, and of what they answered before."""

    __slots__ = ("_appraiser", "_health")

    def __init__(self, prices: PriceBook | None, experience: Experience, health: Health) -> None:
        self._appraiser = Appraiser(prices, experience)
        self._health = health

    def rank(self, plan: Plan, needs: Needs, *, now: float, at: datetime, explain: bool = True) -> Plan:
        """The plan of a `CostAware`, without the targets it rules out, in the order of the least expected cost.

        `now` is on the clock of the health, `at` the time of day. With `explain`, each attempt says why it stands
        where it stands. Raises `ConfigurationError` where no target is left, or (`unknown_price="error"`) has no price.
        """
        strategy = plan.choice
        if strategy is None:
            return plan
        at = at.replace(second=0, microsecond=0)  # prices change by the minute at most
        looked = [
            (*self._look(strategy, target, attempt, needs, now, at), attempt)
            for target, attempt in zip(strategy.targets, plan.attempts, strict=True)
        ]
        fit = [entry for entry in looked if entry[0].excluded is None]
        excluded = tuple((attempt.target, seen.excluded) for seen, _, attempt in looked if seen.excluded is not None)
        if not fit:
            told = "; ".join(f"{label}: {why}" for label, why in excluded)
            raise ConfigurationError(f"CostAware: no target can take this call. {told}.")
        if strategy.unknown_price == "error":
            _check_prices(fit)
        fit.sort(key=_place)
        attempts = tuple(attempt.because(_reason(seen, up=up)) if explain else attempt for seen, up, attempt in fit)
        return replace(plan, attempts=attempts, targets=tuple(seen.target for seen, _, _ in fit), excluded=excluded)

    def _look(  # noqa: PLR0917  (one look, at each of these)
        self, strategy: CostAware, target: Target, attempt: Attempt, needs: Needs, now: float, at: datetime
    ) -> tuple[Appraisal, bool]:
        success, up = self._health.outlook(attempt.key, now)
        answered = 1 - (1 - success) ** attempt.tries
        known_as = replace(target, model=attempt.model) if attempt.model != target.model else target
        return self._appraiser.appraise(strategy, known_as, needs, key=attempt.key, success=answered, at=at), up


def _place(entry: tuple[Appraisal, bool, Attempt]) -> tuple[bool, bool, float]:
    """What is down goes last, though it stays: where all others fail it is better asked than nobody."""
    seen, up, _ = entry
    return not up, seen.price is None, seen.prospect.rank


def _reason(seen: Appraisal, *, up: bool) -> str:
    return seen.reason if up else f"last, since it is down; {seen.reason}"


def _check_prices(fit: list[tuple[Appraisal, bool, Attempt]]) -> None:
    for seen, _, attempt in fit:
        if seen.price is None:
            msg = (
                f"CostAware: no price is known for {attempt.target!r}: pass prices={{{attempt.model!r}: Price(...)}}, "
                "name its provider, or choose unknown_price='last'."
            )
            raise ConfigurationError(msg)

"""What each target promises for one call, and which of them it rules out."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from portkey_router.abilities import abilities_of
from portkey_router.costing.prospect import Prospect

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from portkey_router.costing.experience import Experience, Learned
    from portkey_router.costing.needs import Needs
    from portkey_router.pricing import PriceBook
    from portkey_router.targets import CostAware, Target

__all__ = ["Appraisal", "Appraiser"]

_PER_TOKEN = Decimal("0.000001")
_RATES_KEPT = 1024


class Appraisal(NamedTuple):
    """One target, looked at for one call.

    `price` is what its answer may be expected to cost, in USD, None where no price is known. `excluded` says why it is
    not asked, `reason` how it was judged.
    """

    target: Target
    prospect: Prospect
    price: float | None
    reason: str
    excluded: str | None = None


# A card's rates in USD per token, as floats: an order needs no more digits, and is asked for at every call.
_Rates = tuple[tuple[int, float, float, float, float], ...]


class Appraiser:
    """Looks at targets, for one call after another."""

    __slots__ = ("_experience", "_prices", "_rates")

    def __init__(self, prices: PriceBook | None, experience: Experience) -> None:
        self._prices = prices
        self._experience = experience
        self._rates: dict[tuple[str | None, str | None], tuple[datetime, _Rates | None]] = {}

    def appraise(
        self, strategy: CostAware, target: Target, needs: Needs, *, key: str, success: float, at: datetime
    ) -> Appraisal:
        """What a target promises for a call, and whether the strategy rules it out.

        `key` is what experience knows the target by, `success` the probability that it answers, its retries counted,
        `at` the time of the call; rates are looked up once for each `at`, so a whole minute does for all calls in it.
        """
        learned = self._experience.of(key, needs.kind)
        price = self._price(target, needs, learned, at)
        waiting = strategy.latency_price * (learned.seconds or 0.0)
        failing = learned.wasted + strategy.latency_price * learned.failing
        prospect = Prospect((price or 0.0) + waiting, failing, success)
        excluded = self._excluded(strategy, target, needs, learned, price)
        return Appraisal(target, prospect, price, _reason(price, success), excluded)

    @staticmethod
    def _excluded(
        strategy: CostAware, target: Target, needs: Needs, learned: Learned, price: float | None
    ) -> str | None:
        missing = needs.missing(target.abilities or abilities_of(target.model or ""), learned.ratio)
        if missing:
            return missing
        if price is None and strategy.unknown_price == "exclude":
            return "no price is known"
        if price is not None and strategy.max_price is not None and price > strategy.max_price:
            return f"${price:.6f} is more than max_price"
        if strategy.max_latency is not None and learned.slow is not None and learned.slow > strategy.max_latency:
            return f"every tenth answer takes {learned.slow:.1f} s or more"
        if strategy.min_quality is not None and (target.quality is None or target.quality < strategy.min_quality):
            return "its quality is not stated" if target.quality is None else f"its quality is {target.quality:g}"
        return None

    def _price(self, target: Target, needs: Needs, learned: Learned, at: datetime) -> float | None:
        rates = self._rates_of(target, at)
        if rates is None:
            return None
        tokens = needs.tokens * learned.ratio
        answer = learned.answer if needs.max_tokens is None else min(learned.answer, needs.max_tokens)
        fitting = rates[0]
        for bracket in rates[1:]:
            if tokens > bracket[0]:
                fitting = bracket
        _, fresh, cached, said, call = fitting
        return tokens * ((1 - learned.cached) * fresh + learned.cached * cached) + answer * said + call

    def _rates_of(self, target: Target, at: datetime) -> _Rates | None:
        key = target.provider, target.model
        kept = self._rates.get(key)
        if kept is None or kept[0] != at:
            if len(self._rates) >= _RATES_KEPT:
                self._rates.clear()
            card = None if self._prices is None else self._prices.card(*key, at)
            rates = None if card is None else tuple(_floats(above, rates) for above, rates in card.brackets)
            kept = self._rates[key] = (at, rates)
        return kept[1]


def _floats(above: int, rates: Mapping[str, Decimal]) -> tuple[int, float, float, float, float]:
    fresh, said = (float(rates.get(name, Decimal(0)) * _PER_TOKEN) for name in ("input", "output"))
    cached = float(rates["cache_read"] * _PER_TOKEN) if "cache_read" in rates else fresh
    return above, fresh, cached, said, float(rates.get("request", 0))


def _reason(price: float | None, success: float) -> str:
    expected = "no price is known" if price is None else f"${price:.6f} expected"
    return f"{expected}, {success:.0%} answer"

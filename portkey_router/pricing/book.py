"""The price book: whose price an answer has, and which source knows it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from portkey_router.messages import Cost, Embeddings
from portkey_router.pricing.card import Card, card_of, charge
from portkey_router.pricing.genai import genai_card, genai_context_window
from portkey_router.pricing.portkey_file import portkey_card
from portkey_router.providers import portkey_provider, provider_name, providers_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from typing import Any

    from portkey_router.messages import Completion, Usage
    from portkey_router.pricing.card import Price

__all__ = ["CACHE_HITS", "PriceBook", "PricedAs", "priced_as"]

CACHE_HITS = frozenset({"HIT", "SEMANTIC HIT"})
_CARDS_KEPT = 1024


class PricedAs(NamedTuple):
    """Whose price an answer has: provider (Portkey's name), model, and whether only the name told the provider.

    `asked` is the model as it was asked for, which a user's prices may be listed under.
    """

    provider: str | None
    model: str
    guessed: bool
    asked: str = ""


def priced_as(
    stated: str | None, answered_by: str | None, model: str | None = None, asked: str | None = None
) -> PricedAs:
    """Whose price an answer has.

    `stated` is the provider that the target itself names (`Target(provider=...)`), `answered_by` the one the reply
    names, `model` the reply's, `asked` the one asked for. Slugs (`@openai-prod`) name no provider. Where neither
    does, the model's name is a guess, and marked as one.
    """
    named = next((name for name in (stated, answered_by) if name and not name.startswith("@")), None)
    asked, model = asked or "", _bare(model or "") or _bare(asked or "")
    if named is not None:
        return PricedAs(portkey_provider(named), model, guessed=False, asked=asked)
    matches = providers_of(model) or providers_of(_bare(asked))
    guess = portkey_provider(matches[0].provider) if matches else None
    return PricedAs(guess, model, guessed=True, asked=asked)


def _bare(model: str) -> str:
    """A model's name without the slug before it."""
    return model.partition("/")[2] if model.startswith("@") else model


class PriceBook:
    """What calls cost: `PriceBook({"gpt-4o": Price(2.5, 10), "@our-llama/llama": Price(0.2, 0.2)})`.

    Asked in this order, until one knows: your own `prices`, by `@slug/model`, `provider/model` or `model`; what the
    provider says the call cost; Portkey's price files (`portkey=load_portkey_prices(...)`); the table of genai-prices,
    unless `genai=False`. What none knows costs None, which is not 0.

    genai-prices is imported when the first call is priced by it, and never before: 40 ms of CPU, once. A server that
    minds prices something at its start: `book.cost(Usage(1, 1), model="gpt-4o")`.
    """

    __slots__ = ("_asked", "_cards", "_genai", "_portkey", "_prices")

    def __init__(
        self,
        prices: Mapping[str, Price] | None = None,
        *,
        portkey: Mapping[str, Mapping[str, Any]] | None = None,
        genai: bool = True,
    ) -> None:
        self._prices = {name.lower(): price for name, price in (prices or {}).items()}
        self._portkey = {portkey_provider(name): entries for name, entries in (portkey or {}).items()}
        self._genai = genai
        self._cards: dict[tuple[str | None, ...], tuple[datetime | None, Card | None]] = {}
        self._asked: dict[tuple[str | None, ...], tuple[datetime, Card | None]] = {}

    def __repr__(self) -> str:
        return f"PriceBook({len(self._prices)} prices, portkey={sorted(self._portkey)}, genai={self._genai})"

    def cost(
        self,
        usage: Usage,
        *,
        model: str,
        provider: str | None = None,
        service_tier: str | None = None,
        at: datetime | None = None,
    ) -> Cost | None:
        """What such usage of a model costs; None where it is not known.

        Without `provider` the model's name is a guess at it. `at` is the time of the call, for prices that change
        (without a zone it is UTC), by default now; rates are kept for a minute of `at`, and looked up anew without it.
        """
        return self._cost(usage, priced_as(provider, None, model, model), service_tier or usage.service_tier, at)

    def price_completion(
        self,
        completion: Completion | Embeddings,
        *,
        stated: str | None = None,
        answered_by: str | None = None,
        asked: str | None = None,
        at: datetime | None = None,
    ) -> Cost | None:
        """What an answer cost, for `priced_as` of the same arguments. From the gateway's cache it cost nothing.

        Embeddings are those of one batch.
        """
        whose = priced_as(stated, answered_by, completion.model, asked)
        route = completion.routes[0] if isinstance(completion, Embeddings) else completion.route
        if route.cache_status in CACHE_HITS:
            return Cost(Decimal(0), "cache", whose.provider, whose.model, guessed=whose.guessed)
        usage = completion.usage
        return None if usage is None else self._cost(usage, whose, usage.service_tier, at)

    def context_window(self, provider: str | None, model: str) -> int | None:
        """How many tokens a model takes, by the table of genai-prices; None where that does not say."""
        if not self._genai:
            return None
        whose = priced_as(provider, None, model, model)
        return None if whose.provider is None else genai_context_window(whose.provider, whose.model)

    def card(
        self, provider: str | None, model: str | None, at: datetime, *, service_tier: str | None = None
    ) -> Card | None:
        """The rates of a model, before a call: yours, else those of the tables; None where none knows it.

        `provider` is the one that the target names; without it the model's name is a guess at it. Kept for the minute
        of `at`, so that asking for every target of every call costs next to nothing.
        """
        key, minute = (provider, model, service_tier), at.replace(second=0, microsecond=0)
        kept = self._asked.get(key)
        if kept is None or kept[0] != minute:
            if len(self._asked) >= _CARDS_KEPT:
                self._asked.clear()
            whose = priced_as(provider, None, None, model)
            kept = self._asked[key] = (minute, self._own(whose) or self._card(whose, service_tier, at))
        return kept[1]

    def _cost(self, usage: Usage, whose: PricedAs, tier: str | None, at: datetime | None) -> Cost | None:
        own = self._own(whose)
        cost = _charged(usage, own, whose)
        if cost is None and usage.reported_cost is not None:
            return Cost(usage.reported_cost, "reported", whose.provider, whose.model, guessed=whose.guessed)
        return cost if own is not None else _charged(usage, self._card(whose, tier, at), whose)

    def _own(self, whose: PricedAs) -> Card | None:
        for name in _names(whose) if self._prices else ():
            price = self._prices.get(name.lower())
            if price is not None:
                return card_of(price, whose.provider, whose.model)
        return None

    def _card(self, whose: PricedAs, tier: str | None, at: datetime | None) -> Card | None:
        """A card, kept for the minute of `at`: prices change by the day, and some by the time of day."""
        if whose.provider is None:
            return None
        if at is None:
            return self._look_up(whose, tier, None)
        key, minute = (whose.provider, whose.model, whose.asked, tier), at.replace(second=0, microsecond=0)
        kept = self._cards.get(key)
        if kept is None or kept[0] != minute:
            if len(self._cards) >= _CARDS_KEPT:
                self._cards.clear()
            kept = self._cards[key] = (minute, self._look_up(whose, tier, at))
        return kept[1]

    def _look_up(self, whose: PricedAs, tier: str | None, at: datetime | None) -> Card | None:
        provider, card = whose.provider or "", None
        names = [name for name in dict.fromkeys((whose.model, _bare(whose.asked))) if name]
        for name in names:
            card = card or portkey_card(self._portkey, provider, name, tier)
        for name in names if self._genai else ():
            card = card or genai_card(provider, name, tier, at)
        return card


def _charged(usage: Usage, card: Card | None, whose: PricedAs) -> Cost | None:
    charged = charge(usage, card.rates(usage.input_tokens)) if card else None
    if card is None or charged is None:
        return None
    amount, rates = charged
    # A price of the user's is no guess, whoever the provider may be.
    guessed = whose.guessed and card.source != "user"
    return Cost(amount, card.source, card.provider, card.model, guessed, rates, card.service_tier)


def _names(whose: PricedAs) -> Iterator[str]:
    """The names a user's price may be listed under, the most particular first."""
    if whose.asked.startswith("@"):
        yield whose.asked
    models = [name for name in dict.fromkeys((_bare(whose.asked), whose.model)) if name]
    if whose.provider:
        for spelling in dict.fromkeys((whose.provider, provider_name(whose.provider))):
            yield from (f"{spelling}/{model}" for model in models)
    yield from models

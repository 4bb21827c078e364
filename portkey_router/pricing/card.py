"""Rate cards, and the arithmetic that turns token counts and a card into an amount. Exact: `Decimal` throughout."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal, InvalidOperation, localcontext
from typing import TYPE_CHECKING, Literal

from portkey_router.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from portkey_router.messages import Usage

__all__ = ["Amount", "Card", "Price", "card_of", "charge", "stacked"]

Amount = Decimal | int | float | str

# A context of our own: the caller's may round, or trap.
_EXACT = Context(prec=60, traps=[])
_PER_MILLION = -6
# What has no rate of its own is what it is part of.
_PART_OF = {
    "cache_read": "input",
    "cache_write": "input",
    "audio_input": "input",
    "audio_output": "output",
    "reasoning": "output",
}


@dataclass(frozen=True, slots=True)
class Price:
    """A price of one's own, in USD per million tokens: `Price(2.5, 10, cache_read=1.25)`.

    A rate that is not given is that of what the tokens are part of: cached and audio input cost as `input`, reasoning
    and audio output as `output`. `per_request` is in USD for each call. `tiers` are prices for long prompts, each for
    every token of a call whose input (cached tokens included) is above so many: `tiers=[(200_000, Price(5, 15))]`.
    """

    input: Amount
    output: Amount
    cache_read: Amount | None = None
    cache_write: Amount | None = None
    reasoning: Amount | None = None
    audio_input: Amount | None = None
    audio_output: Amount | None = None
    per_request: Amount = 0
    tiers: Sequence[tuple[int, Price]] = ()

    def __post_init__(self) -> None:
        for name in ("input", "output", *_PART_OF, "per_request"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else _amount(name, value))
        object.__setattr__(self, "tiers", tuple(sorted(self.tiers, key=lambda tier: tier[0])))

    def rates(self) -> dict[str, Decimal]:
        """The rates that are given, by name."""
        named = {name: getattr(self, name) for name in ("input", "output", *_PART_OF)}
        named["request"] = self.per_request or None
        return {name: rate for name, rate in named.items() if rate is not None}


def _amount(name: str, value: Amount) -> Decimal:
    """A rate as given; a float by its shortest spelling, which is what was typed."""
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if isinstance(value, bool) or not amount.is_finite() or amount < 0:
        msg = f"Price({name}=...) is in USD per million tokens, a number from 0 up, not {value!r}."
        raise ConfigurationError(msg)
    return amount


@dataclass(frozen=True, slots=True)
class Card:
    """The rates of one model at one provider. `brackets` are (above so many input tokens, rates), ascending."""

    source: Literal["user", "portkey", "genai-prices"]
    provider: str | None
    model: str
    brackets: tuple[tuple[int, Mapping[str, Decimal]], ...]
    service_tier: str | None = None

    def rates(self, input_tokens: int) -> Mapping[str, Decimal]:
        """The rates of a call with so many input tokens."""
        fitting = self.brackets[0][1]
        for above, rates in self.brackets[1:]:
            if input_tokens > above:
                fitting = rates
        return fitting

    def most(self, *, read: int, heard: int, made: int, spoken: bool) -> Decimal | None:
        """The most, in USD, that a call of up to so many tokens costs; None where a rate for them is not known.

        `read` tokens of input may all be written to the provider's cache, or read from it, `heard` are audio, `made`
        ones may all be reasoning, or audio (`spoken`); and each bracket up to theirs may be the one that is billed.
        """
        worst: Decimal | None = None
        for above, rates in self.brackets:
            if worst is not None and read + heard <= above:
                continue
            plain, output = rates.get("input"), rates.get("output")
            if (plain is None and read + heard) or (output is None and made):
                return None
            plain, output = plain or Decimal(0), output or Decimal(0)
            told = max(plain, rates.get("cache_write", plain), rates.get("cache_read", plain))
            spent = max(output, rates.get("reasoning", output), rates.get("audio_output", output) if spoken else output)
            with localcontext(_EXACT):
                tokens = told * read + max(told, rates.get("audio_input", told)) * heard + spent * made
                worst = max(worst or Decimal(0), tokens.scaleb(_PER_MILLION) + rates.get("request", Decimal(0)))
        return worst


def card_of(price: Price, provider: str | None, model: str) -> Card:
    """The card of a user's price."""
    brackets = [(0, price.rates()), *((above, tier.rates()) for above, tier in price.tiers)]
    return Card("user", provider, model, tuple(brackets))


def stacked(rates: Mapping[str, Sequence[tuple[int, Decimal]]]) -> tuple[tuple[int, Mapping[str, Decimal]], ...]:
    """Brackets from rates that each have thresholds of their own, as (above, rate), ascending from 0."""
    starts = sorted({above for steps in rates.values() for above, _ in steps})
    return tuple(
        (start, {name: [rate for above, rate in steps if above <= start][-1] for name, steps in rates.items()})
        for start in starts
    )


def charge(usage: Usage, rates: Mapping[str, Decimal]) -> tuple[Decimal, dict[str, Decimal]] | None:
    """The amount in USD, and the rates used for it; None where the counts or the rates do not tell."""
    counts = _disjoint(usage, rates)
    if counts is None:
        return None
    used: dict[str, Decimal] = {}
    with localcontext(_EXACT):
        amount = Decimal(0)
        for name, count in counts.items():
            if not count:
                continue
            rate = rates.get(name)
            if rate is None:
                rate = rates.get(_PART_OF.get(name, name))
            if rate is None:
                return None
            used[name] = rate
            amount += rate * count
        amount = amount.scaleb(_PER_MILLION)
        if "request" in rates:
            used["request"] = rates["request"]
            amount += rates["request"]
        return amount.normalize(), used


def _disjoint(usage: Usage, rates: Mapping[str, Decimal]) -> dict[str, int] | None:
    """The tokens by the rate they fall under, none counted twice; None where the counts contradict one another.

    Audio tokens may be among the cached ones, and no provider says how many: as few as the counts allow are taken to
    be, so the cost is rather too high.
    """
    read, write = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
    fresh = usage.input_tokens - read - write
    heard = min(usage.audio_input_tokens or 0, max(fresh, 0)) if "audio_input" in rates else 0
    thought = (usage.reasoning_tokens or 0) if "reasoning" in rates else 0
    spoken = (usage.audio_output_tokens or 0) if "audio_output" in rates else 0
    said = usage.output_tokens - thought - spoken
    if fresh < 0 or said < 0 or not (usage.input_tokens or usage.output_tokens):
        return None
    return {
        "input": fresh - heard,
        "cache_read": read,
        "cache_write": write,
        "audio_input": heard,
        "output": said,
        "reasoning": thought,
        "audio_output": spoken,
    }

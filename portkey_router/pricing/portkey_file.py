"""Portkey's own price files (Portkey-AI/models, `pricing/<provider>.json`), as rate cards."""

from __future__ import annotations

import re
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

from portkey_router.pricing.card import Card, stacked
from portkey_router.providers import portkey_provider

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["portkey_card"]

# The files are in US cents per token, with the dust of floats on some (5.999999999999999e-05 for 0.00006).
_DUSTED = Context(prec=12, traps=[])
_PER_MILLION_USD = Decimal(10_000)
_UNITS = {
    "request_token": "input",
    "response_token": "output",
    "cache_read_input_token": "cache_read",
    "cache_write_input_token": "cache_write",
    "request_audio_token": "audio_input",
    "response_audio_token": "audio_output",
}
# `gemini-1.5-pro-lte-128k` and `gemini-1.5-pro-gt-128k` are one model, by the length of its prompt.
_LENGTH = "{model}-{side}-{above}k"


def portkey_card(
    files: Mapping[str, Mapping[str, Any]], provider: str, model: str, service_tier: str | None
) -> Card | None:
    """The rates of a model in a provider's file; None where it has none.

    The files count cached tokens beside the input, and we count them in it; the card's arithmetic takes them out
    again. A rate of 0 beside others is the files' way of leaving it out, and one of 0 for both input and output says
    nothing at all: neither is taken for free.
    """
    entries = files.get(portkey_provider(provider))
    if entries is None:
        return None
    batch = service_tier == "batch"
    for spelling in dict.fromkeys((model, model.partition("/")[2], model.rpartition("/")[2])):
        rates = _rates(entries.get(spelling), batch=batch) if spelling and spelling != "default" else None
        brackets = stacked({name: [(0, rate)] for name, rate in rates.items()}) if rates else None
        brackets = brackets or _by_length(entries, spelling)
        if brackets:
            claimed = "batch" if batch and rates and "batch_config" in entries[spelling]["pricing_config"] else None
            return Card("portkey", portkey_provider(provider), spelling, brackets, claimed)
    return None


def _by_length(entries: Mapping[str, Any], model: str) -> tuple[tuple[int, Mapping[str, Decimal]], ...] | None:
    pattern = re.compile(re.escape(model) + r"-gt-(\d+)k")
    above = next((match[1] for name in entries if model and (match := pattern.fullmatch(name))), None)
    if above is None:
        return None
    short, long = (_rates(entries.get(_LENGTH.format(model=model, side=side, above=above))) for side in ("lte", "gt"))
    return ((0, short), (int(above) * 1000, long)) if short and long else None


def _rates(entry: Any, *, batch: bool = False) -> dict[str, Decimal] | None:
    config = entry.get("pricing_config") if isinstance(entry, dict) else None
    if not isinstance(config, dict):
        return None
    units = config.get("pay_as_you_go")
    if batch and isinstance(config.get("batch_config"), dict):
        units = config["batch_config"]
    if not isinstance(units, dict):
        return None
    rates = {name: rate for unit, name in _UNITS.items() if (rate := _rate(units.get(unit)))}
    if "input" in rates and "output" not in rates and _rate(units.get("response_token")) == 0:
        rates["output"] = Decimal(0)  # embeddings
    return rates if "input" in rates and "output" in rates else None


def _rate(unit: Any) -> Decimal | None:
    price = unit.get("price") if isinstance(unit, dict) else None
    if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price < float("inf"):
        return None
    return _DUSTED.multiply(_DUSTED.create_decimal(str(price)), _PER_MILLION_USD).normalize()

"""genai-prices: the price table of the package of that name, imported on first use: 1.6 MB of Python, 40 ms of CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portkey_router.pricing.card import Card, stacked
from portkey_router.providers import portkey_provider

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

__all__ = ["genai_card", "genai_context_window"]

# Portkey's provider ids -> those of genai-prices, where they differ. Its own matching is loose (it takes
# `azure-openai` for OpenAI), so it is asked by its own ids only.
_IDS = {
    "azure-ai": "azure",
    "azure-openai": "azure",
    "bedrock": "aws",
    "fireworks-ai": "fireworks",
    "mistral-ai": "mistral",
    "moonshot": "moonshotai",
    "novita-ai": "novita",
    "perplexity-ai": "perplexity",
    "together-ai": "together",
    "vertex-ai": "google",
    "voyage": "voyageai",
    "workers-ai": "cloudflare",
    "z-ai": "zai",
    "zhipu": "zhipuai",
}
_RATES = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "input_audio_mtok": "audio_input",
    "output_audio_mtok": "audio_output",
    "output_reasoning_mtok": "reasoning",
}


def genai_card(provider: str, model: str, service_tier: str | None, at: datetime | None) -> Card | None:
    """The rates of a model at a provider (Portkey's name), as of `at`, or as of now; None where the table has none.

    A service tier without rates of its own is priced at the standard ones, and the card does not claim the tier.
    """
    from genai_prices import Usage, calc_price  # noqa: PLC0415  (slow to import, and needed by priced calls only)

    name = portkey_provider(provider)
    wanted = _IDS.get(name, name)
    # A batch is a way of processing in the table, and a service tier in answers.
    context = {("processing" if service_tier == "batch" else "service_tier"): service_tier} if service_tier else None
    for spelling in _spellings(model):
        try:
            found = calc_price(Usage(), spelling, provider_id=wanted, genai_request_timestamp=at, price_context=context)
        except (LookupError, ValueError, Warning):  # unknown to it, or a price it cannot read itself
            continue
        if found.provider.id != wanted:
            return None
        rates = _rates(found.model_price)
        claimed = service_tier if context and _has_variant(found.model, context) else None
        return Card("genai-prices", name, found.model.id, stacked(rates), claimed) if rates else None
    return None


def genai_context_window(provider: str, model: str) -> int | None:
    """The context window of a model at a provider (Portkey's name), in tokens; None where the table has none."""
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415  (as above)

    name = portkey_provider(provider)
    wanted = _IDS.get(name, name)
    for spelling in _spellings(model):
        try:
            found_at, found = get_snapshot().find_provider_model(spelling, None, wanted, None)
        except LookupError:
            continue
        return found.context_window if found_at.id == wanted else None
    return None


def _spellings(model: str) -> Iterator[str]:
    """A model's name as the provider may have it: whole, without who made it, and the last part of a path."""
    spelled = (model, model.partition("/")[2], model.rpartition("/")[2], model.removeprefix("google."))
    yield from dict.fromkeys(name for name in spelled if name)


def _rates(price: Any) -> dict[str, list[tuple[int, Any]]]:
    """The rates of a `ModelPrice`, each with its thresholds."""
    found: dict[str, list[tuple[int, Any]]] = {}
    for key, value in vars(price).items():
        if value is None:
            continue
        if key in _RATES:
            tiers = [(tier.start, tier.price) for tier in getattr(value, "tiers", ())]
            found[_RATES[key]] = [(0, getattr(value, "base", value)), *tiers]
        elif key == "requests_kcount":
            found["request"] = [(0, value / 1000)]
    return found


def _has_variant(model: Any, context: dict[str, str]) -> bool:
    """Whether the model has rates for that tier; `default` and `standard` are the standard ones, under another name."""
    if set(context.values()) & {"auto", "default", "on_demand", "standard"}:
        return False
    return any(variant.when.items() <= context.items() for variant in getattr(model, "price_variants", None) or ())

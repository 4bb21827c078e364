from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portkey_router.messages import Cost, Usage
from portkey_router.pricing import Price, PriceBook

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
BOOK = PriceBook()
OWN = Price(3, 15, cache_read="0.3", cache_write=3.75, audio_input=40, audio_output=80)


def cost(usage: Usage, book: PriceBook = BOOK, **options: Any) -> Cost:
    """A cost that is known."""
    found = book.cost(usage, **{"model": "m", "at": AT, **options})
    assert found is not None
    return found


def own(price: Price) -> PriceBook:
    """A book with one price, for the model "m"."""
    return PriceBook({"m": price}, genai=False)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4o-2024-08-06"),
        ("azure-openai", "gpt-4o-2024-08-06"),
        ("anthropic", "claude-sonnet-4-5-20250929"),
        ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("vertex-ai", "anthropic.claude-sonnet-4-5@20250929"),
        ("google", "models/gemini-2.5-pro"),
        ("deepseek", "deepseek-chat"),
        ("mistral-ai", "mistral-small-latest"),
        ("openrouter", "anthropic/claude-sonnet-4.5"),
        ("groq", "llama-3.3-70b-versatile"),
        ("x-ai", "grok-4"),
        ("perplexity-ai", "sonar"),
        ("together-ai", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
        ("cohere", "command-a-03-2025"),
    ],
)
def test_portkeys_names_find_the_prices_of_genai(provider: str, model: str) -> None:
    """Portkey's provider ids and its spellings of models, those with a maker or a path before them too."""
    found = cost(Usage(1000, 100), model=model, provider=provider)
    assert (found.source, found.provider, found.guessed) == ("genai-prices", provider, False)
    assert found.amount > 0


def test_azure_is_not_priced_as_openai() -> None:
    """genai-prices would take `azure-openai` for OpenAI, and much else with `openai` in it; we ask by its own ids."""
    assert BOOK.cost(Usage(1, 1), model="gpt-4o", provider="our-openai-proxy", at=AT) is None
    assert cost(Usage(1, 1), model="gpt-35-turbo", provider="azure-openai").model == "gpt-3.5-turbo"


def test_the_amount_is_that_of_genai_prices() -> None:
    """Our arithmetic over its rates gives what its own gives, cached tokens, tiers and service tiers included."""
    from genai_prices import Usage as Theirs
    from genai_prices import calc_price

    cases: list[tuple[str, str, str | None]] = [
        ("openai", "gpt-4o", None),
        ("openai", "gpt-5", "flex"),
        ("anthropic", "claude-sonnet-4-5", None),
        ("google", "gemini-2.5-pro", None),
        ("deepseek", "deepseek-chat", None),
        ("perplexity", "sonar", None),
    ]
    for provider, model, tier in cases:
        for sent in (1000, 200_000, 200_001, 900_000):
            usage = Usage(sent, 321, sent + 321, 567, 89)
            theirs = calc_price(
                Theirs(input_tokens=sent, output_tokens=321, cache_read_tokens=567, cache_write_tokens=89),
                model,
                provider_id=provider,
                genai_request_timestamp=AT,
                price_context={"service_tier": tier} if tier else None,
            )
            assert cost(usage, model=model, provider=provider, service_tier=tier).amount == theirs.total_price


def test_tiers_of_service() -> None:
    """A tier that the table prices is claimed; one that it does not is priced at the standard rates, unclaimed."""
    usage = Usage(1000, 100)
    asked: dict[str, Any] = {"model": "gpt-5", "provider": "openai"}
    standard = cost(usage, **asked)
    for tier in ("flex", "priority", "batch"):
        found = cost(usage, service_tier=tier, **asked)
        assert (found.service_tier, found.amount != standard.amount) == (tier, True)
    for tier in ("default", "scale", "auto", "no such tier"):
        found = cost(usage, service_tier=tier, **asked)
        assert (found.service_tier, found.amount) == (None, standard.amount)
    billed = cost(Usage(1000, 100, service_tier="flex"), **asked)
    assert billed == cost(usage, service_tier="flex", **asked), "the tier that the provider says it billed"


def test_prices_have_dates() -> None:
    """The price is that of the call's time: DeepSeek is cheaper by night; a kept rate does not outlive its minute."""
    book, usage = PriceBook(), Usage(1000, 100)
    day, night = (datetime(2026, 11, 1, hour, 29, 59, tzinfo=UTC) for hour in (12, 20))
    asked: dict[str, Any] = {"model": "deepseek-chat", "provider": "deepseek"}
    amounts = [cost(usage, book, at=at, **asked).amount for at in (day, night, day)]
    assert amounts[0] == amounts[2] == 2 * amounts[1]
    edge = datetime(2026, 11, 1, 16, 29, 59, tzinfo=UTC)
    assert (
        cost(usage, book, at=edge, **asked).amount > cost(usage, book, at=edge + timedelta(seconds=1), **asked).amount
    )
    assert book.cost(usage, **asked) is not None, "without a time: now"


def test_a_guess_is_marked() -> None:
    """Where only the model's name tells the provider, the cost says so."""
    found = cost(Usage(1000, 100), model="@openai-prod/gpt-4o")
    assert (found.provider, found.model, found.guessed) == ("openai", "gpt-4o", True)
    assert not cost(Usage(1000, 100), model="@openai-prod/gpt-4o", provider="openai").guessed


@pytest.mark.parametrize(
    ("provider", "model"),
    [("openai", "gpt-99"), ("nobody", "gpt-4o"), (None, "llama"), (None, ""), ("openai", "whisper-1"), ("openai", "")],
)
def test_unknown_is_none(provider: str | None, model: str) -> None:
    """No table, no cost; neither for a model whose tokens have no price (whisper-1 is paid by the hour)."""
    assert BOOK.cost(Usage(1000, 100), model=model, provider=provider, at=AT) is None


@given(st.text(max_size=30), st.none() | st.text(max_size=12), st.none() | st.text(max_size=8))
def test_no_name_fails(model: str, provider: str | None, tier: str | None) -> None:
    """Pricing never fails, whatever a reply calls itself."""
    found = BOOK.cost(Usage(1000, 100), model=model, provider=provider, service_tier=tier, at=AT)
    assert found is None or found.amount >= 0


def test_few_rates_are_kept() -> None:
    """A book that is asked for ever new models does not grow for ever."""
    book = PriceBook(genai=False)
    for number in range(2000):
        book.cost(Usage(1, 1), model=f"m-{number}", provider="openai", at=AT)
    assert len(book._cards) <= 1024


def test_a_cost_as_json() -> None:
    """Amounts are strings, plain and exact, and no float is in it."""
    told = cost(Usage(1, 1), model="gpt-4o-mini", provider="openai").as_dict()
    assert told == {
        "amount": "0.00000075",
        "currency": "USD",
        "source": "genai-prices",
        "guessed": False,
        "provider": "openai",
        "model": "gpt-4o-mini",
        "rates": {"input": "0.15", "output": "0.6"},
        "service_tier": None,
    }
    json.dumps(told)


def test_genai_prices_is_imported_by_the_first_priced_call() -> None:
    """Neither the import of the package, nor a book, nor a call priced otherwise loads the table."""
    script = """
import sys
from portkey_router import Price, PriceBook, Usage
book = PriceBook({"m": Price(1, 1)})
assert book.cost(Usage(1, 1), model="m") is not None
assert PriceBook(genai=False).cost(Usage(1, 1), model="gpt-4o") is None
assert "genai_prices" not in sys.modules
assert book.cost(Usage(1, 1), model="gpt-4o") is not None
assert "genai_prices" in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal, Inexact, localcontext
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portkey_router.errors import ConfigurationError
from portkey_router.messages import Choice, Completion, Cost, Route, Usage
from portkey_router.price_files import load_portkey_prices
from portkey_router.pricing import Price, PriceBook, priced_as

if TYPE_CHECKING:
    from pathlib import Path

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


# ---- arithmetic ------------------------------------------------------------------------------------------------------


def test_every_kind_of_token_at_its_own_rate() -> None:
    """Cached, audio and reasoning tokens are inside input and output, and none is paid for twice."""
    usage = Usage(1000, 500, 1500, 200, 100, 50, audio_input_tokens=10, audio_output_tokens=20)
    found = cost(usage, own(OWN))
    input_part = 690 * Decimal(3) + 200 * Decimal("0.3") + 100 * Decimal("3.75") + 10 * Decimal(40)
    assert found.amount == (input_part + 480 * Decimal(15) + 20 * Decimal(80)) / 10**6
    rates = {"input": 3, "cache_read": 0.3, "cache_write": 3.75, "audio_input": 40, "output": 15, "audio_output": 80}
    assert found.rates == {name: Decimal(str(rate)) for name, rate in rates.items()}
    assert (found.source, found.model, found.provider, found.guessed, found.currency) == (
        "user",
        "m",
        None,
        False,
        "USD",
    )


def test_what_has_no_rate_costs_what_it_is_part_of() -> None:
    """Without rates of their own, cached input costs as input, and reasoning as output; the rates say so."""
    usage = Usage(1000, 500, 1500, 200, 100, 50, 10, 20)
    found = cost(usage, own(Price(2, 10)))
    assert found.amount == Decimal("0.007")
    assert found.rates == {"input": 2, "cache_read": 2, "cache_write": 2, "output": 10}
    assert cost(usage, own(Price(2, 10, reasoning=20))).amount == Decimal("0.0075")


def test_audio_in_the_cache() -> None:
    """Audio may be cached too; as little of it as the counts allow is taken to be."""
    heard = Usage(1000, 0, 1000, 900, audio_input_tokens=1000)
    assert cost(heard, own(Price(1, 1, cache_read=0, audio_input=10))).amount == Decimal("0.001")


def test_long_prompts() -> None:
    """Above a threshold every token of the call has the higher rate; at it, none."""
    book = own(Price(3, 15, tiers=[(400_000, Price(9, 30)), (200_000, Price(6, 22.5))]))
    assert cost(Usage(200_000, 10), book).rates["input"] == 3
    assert cost(Usage(200_001, 10), book).rates == {"input": 6, "output": Decimal("22.5")}
    assert cost(Usage(400_001, 10, cache_read_tokens=400_000), book).rates["cache_read"] == 9


def test_each_request() -> None:
    """A fee for each call comes on top."""
    found = cost(Usage(1_000_000, 0), own(Price(1, 1, per_request="0.005")))
    assert (found.amount, found.rates["request"]) == (Decimal("1.005"), Decimal("0.005"))


@pytest.mark.parametrize(
    "usage",
    [
        Usage(),
        Usage(5, 2, 7, cache_read_tokens=6),
        Usage(5, 2, 7, audio_output_tokens=3),
    ],
)
def test_counts_that_cannot_be_priced(usage: Usage) -> None:
    """No counts, or parts larger than the whole: the cost is unknown, not 0 and not negative."""
    assert own(OWN).cost(usage, model="m") is None


def test_free_is_not_unknown() -> None:
    """A price of 0 is a price."""
    assert cost(Usage(5, 5), own(Price(0, 0))).amount == 0


COUNTS = st.integers(0, 10**7)
RATE = st.decimals(0, 1000, places=6) | st.floats(0, 1000).map(lambda rate: round(rate, 6)) | st.integers(0, 1000)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Usages that add up."""
    fresh, read, write, said, thought = (draw(COUNTS) for _ in range(5))
    sent, made = fresh + read + write, said + thought
    return Usage(sent, made, sent + made, read, write, thought)


@given(usages(), usages(), st.tuples(RATE, RATE, RATE, st.none() | RATE))
def test_two_calls_cost_what_both_cost(first: Usage, second: Usage, rates: Any) -> None:
    """Never negative, exact, and additive to the last digit."""
    sent, made, read, why = rates
    book = own(Price(sent, made, cache_read=read, reasoning=why))
    one, two = book.cost(first, model="m"), book.cost(second, model="m")
    names = ("input_tokens", "output_tokens", "total_tokens", "cache_read_tokens", "cache_write_tokens")
    both = Usage(*(getattr(first, name) + getattr(second, name) for name in (*names, "reasoning_tokens")))
    together = book.cost(both, model="m")
    assert one is None or one.amount >= 0
    amounts = [found.amount for found in (one, two) if found is not None]
    with localcontext(prec=200) as exact:
        exact.traps[Inexact] = True
        assert sum(amounts, Decimal(0)) == (Decimal(0) if together is None else together.amount)


@given(usages(), RATE, RATE, RATE)
def test_the_cache_saves_where_its_rate_is_lower(usage: Usage, sent: Any, made: Any, read: Any) -> None:
    """Reading from the cache is cheaper exactly where the rate says so."""
    plain = Usage(usage.input_tokens, usage.output_tokens)
    price = Price(sent, made, cache_read=read, cache_write=sent)
    cached, fresh = own(price).cost(usage, model="m"), own(price).cost(plain, model="m")
    assert (cached is None) == (fresh is None)
    if cached is not None and fresh is not None:
        dearer = Decimal(str(read)) > Decimal(str(sent))
        assert (cached.amount >= fresh.amount) if dearer else (cached.amount <= fresh.amount)


def test_the_callers_decimal_context_does_not_matter() -> None:
    """A caller who rounds to two digits, or traps what is inexact, gets the same exact amount."""
    usage = Usage(1234567, 7654321, 0, 1234)
    with localcontext(prec=2) as rough:
        rough.traps[Inexact] = True
        rounded = cost(usage, own(OWN)).amount
    assert rounded == cost(usage, own(OWN)).amount == Decimal("118.5151842")


@pytest.mark.parametrize("rate", [-1, "much", float("nan"), float("inf"), True])
def test_a_price_that_is_none(rate: Any) -> None:
    """A rate is a number from 0 up; the error names the argument."""
    with pytest.raises(ConfigurationError, match="cache_read"):
        Price(1, 1, cache_read=rate)


# ---- whose price -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "answered_by", "model", "asked", "expected"),
    [
        ("azure-openai", "openai", "gpt-4o-2024-08-06", "gpt-4o", ("azure-openai", "gpt-4o-2024-08-06", False)),
        (None, "mistral-ai", "codestral-latest", "@my-mistral/codestral", ("mistral-ai", "codestral-latest", False)),
        ("@openai-prod", "openai", "gpt-4o", "gpt-4o", ("openai", "gpt-4o", False)),
        ("@openai-prod", None, None, "@openai-prod/gpt-4o", ("openai", "gpt-4o", True)),
        ("aws", None, None, "amazon.nova-pro-v1:0", ("bedrock", "amazon.nova-pro-v1:0", False)),
        (None, None, "claude-sonnet-4-5", None, ("anthropic", "claude-sonnet-4-5", True)),
        (None, None, "@slug", "gpt-4o", ("openai", "gpt-4o", True)),
        (None, None, "deployment-7", "gpt-4o", ("openai", "deployment-7", True)),
        (None, None, None, None, (None, "", True)),
    ],
)
def test_whose_price(stated: Any, answered_by: Any, model: Any, asked: Any, expected: tuple[Any, ...]) -> None:
    """The target's own word, else the reply's, else a guess from the model's name that is marked as one."""
    assert priced_as(stated, answered_by, model, asked)[:3] == expected


def answer(model: str = "gpt-4o", usage: Usage | None = None, cache_status: str | None = None) -> Completion:
    """An answer of 1000 tokens in and 100 out."""
    return Completion((Choice({}),), model, Route("t", "x", cache_status=cache_status), usage or Usage(1000, 100, 1100))


@pytest.mark.parametrize("status", ["HIT", "SEMANTIC HIT"])
def test_the_gateways_cache(status: str) -> None:
    """An answer from the gateway's cache cost nothing, whatever its usage says; a miss costs as any call."""
    found = BOOK.price_completion(answer(cache_status=status), answered_by="openai", at=AT)
    assert found == Cost(Decimal(0), "cache", "openai", "gpt-4o")
    missed = BOOK.price_completion(answer(cache_status="MISS"), answered_by="openai", at=AT)
    assert missed is not None
    assert missed.amount == Decimal("0.0035")


def test_without_usage() -> None:
    """An answer that states no usage has no cost."""
    unsaid = Completion((Choice({}),), "gpt-4o", Route("t", "x"))
    assert BOOK.price_completion(unsaid, answered_by="openai", at=AT) is None


# ---- precedence ------------------------------------------------------------------------------------------------------

# Entries as in Portkey-AI/models: cents for each token, with the dust of floats on gpt-4o-mini's (pricing/openai.json).
FILES: dict[str, dict[str, Any]] = {
    "openai": {
        "default": {
            "pricing_config": {"pay_as_you_go": {"request_token": {"price": 0}, "response_token": {"price": 0}}}
        },
        "gpt-4o": {
            "pricing_config": {
                "pay_as_you_go": {
                    "request_token": {"price": 0.00025},
                    "response_token": {"price": 0.001},
                    "cache_read_input_token": {"price": 0.000125},
                    "cache_write_input_token": {"price": 0},
                },
                "batch_config": {"request_token": {"price": 0.000125}, "response_token": {"price": 0.0005}},
            }
        },
        "gpt-4o-mini": {
            "pricing_config": {
                "pay_as_you_go": {
                    "request_token": {"price": 1.4999999999999999e-05},
                    "response_token": {"price": 5.999999999999999e-05},
                }
            }
        },
        "gpt-image-1": {"pricing_config": None},
        "o1": {"pricing_config": {"pay_as_you_go": {"request_token": {"price": 0}, "response_token": {"price": 0}}}},
    },
    "google": {
        f"gemini-1.5-pro-{side}-128k": {
            "pricing_config": {"pay_as_you_go": {"request_token": {"price": sent}, "response_token": {"price": made}}}
        }
        for side, sent, made in (("lte", 0.000125, 0.0005), ("gt", 0.00025, 0.001))
    },
    "anthropic": {
        "claude-sonnet-4-5": {
            "pricing_config": {
                "pay_as_you_go": {
                    "request_token": {"price": 0.0003},
                    "response_token": {"price": 0.0015},
                    "cache_write_input_token": {"price": 0.000375},
                    "cache_read_input_token": {"price": 0.00003},
                }
            }
        }
    },
}


def test_precedence() -> None:
    """One's own price, then the provider's word, then Portkey's file, then genai-prices, then None."""
    usage = Usage(1000, 100, 1100)
    reported = Usage(1000, 100, 1100, reported_cost=Decimal("0.007"))
    whole = PriceBook({"gpt-4o": Price(1, 1)}, portkey=FILES)
    asked: dict[str, Any] = {"model": "gpt-4o", "provider": "openai"}
    assert (cost(reported, whole, **asked).source, cost(reported, whole, **asked).amount) == ("user", Decimal("0.0011"))
    told = cost(reported, PriceBook(portkey=FILES), **asked)
    assert told == Cost(Decimal("0.007"), "reported", "openai", "gpt-4o")
    assert cost(usage, PriceBook(portkey=FILES), **asked).source == "portkey"
    assert cost(usage, PriceBook(portkey=FILES), model="gpt-4.1", provider="openai").source == "genai-prices"
    assert PriceBook(portkey=FILES, genai=False).cost(usage, model="gpt-4.1", provider="openai") is None
    assert cost(Usage(reported_cost=Decimal(0)), BOOK, **asked).amount == 0, "free, by the provider's own word"


def test_ones_own_price_by_slug_provider_and_model() -> None:
    """The most particular name wins; the name asked for counts as well as that of the reply; case does not matter."""
    names = {"@prod/gpt-4o": 1, "azure-openai/gpt-4o": 2, "Azure/gpt-4o-mini": 3, "gpt-4o": 4}
    book = PriceBook({name: Price(rate, rate) for name, rate in names.items()}, genai=False)

    def rate(model: str, **whose: Any) -> Decimal | None:
        found = book.price_completion(answer(model), at=AT, **whose)
        assert found is None or not found.guessed
        return None if found is None else found.rates["input"]

    assert rate("gpt-4o-2024-08-06", asked="@prod/gpt-4o", answered_by="azure-openai") == 1
    assert rate("gpt-4o-2024-08-06", asked="@other/gpt-4o", answered_by="azure-openai") == 2
    assert rate("gpt-4o-mini", answered_by="azure-openai") == 3
    assert rate("GPT-4o", answered_by="openai") == 4
    assert rate("gpt-4o-2024-08-06", answered_by="openai", asked="gpt-4o") == 4
    assert rate("gpt-5", answered_by="openai") is None


# ---- Portkey's files -------------------------------------------------------------------------------------------------


def test_portkeys_files() -> None:
    """Cents for each token become dollars for a million; cached tokens, which the files count apart, are paid once."""
    book = PriceBook(portkey=FILES, genai=False)
    found = cost(Usage(1000, 100, 1100, 400, 100), book, model="claude-sonnet-4-5", provider="anthropic")
    assert found.rates == {
        "input": 3,
        "cache_read": Decimal("0.3"),
        "cache_write": Decimal("3.75"),
        "output": 15,
    }
    by_the_files_formula = (500 * Decimal("0.0003") + 400 * Decimal("0.00003") + 100 * Decimal("0.000375")) / 100
    assert found.amount == by_the_files_formula + 100 * Decimal("0.0015") / 100
    dusted = cost(Usage(1000, 100), book, model="gpt-4o-mini", provider="openai")
    assert dusted.rates == {"input": Decimal("0.15"), "output": Decimal("0.6")}


def test_a_zero_in_portkeys_files_is_no_price() -> None:
    """The files write 0 for what they do not know: a cache rate of 0 is the input's, and a model of zeros unknown."""
    book = PriceBook(portkey=FILES, genai=False)
    written = cost(Usage(1000, 0, 1000, cache_write_tokens=1000), book, model="gpt-4o", provider="openai")
    assert written.rates == {"cache_write": Decimal("2.5")}
    for model in ("o1", "gpt-image-1", "default", "gpt-9", ""):
        assert book.cost(Usage(1000, 1), model=model, provider="openai") is None


def test_portkeys_batches_and_lengths() -> None:
    """A batch has the batch's rates and says so; models split by the length of the prompt are found by their name."""
    book = PriceBook(portkey=FILES, genai=False)
    batch = cost(Usage(1000, 100), book, model="gpt-4o", provider="openai", service_tier="batch")
    assert (batch.rates["input"], batch.service_tier) == (Decimal("1.25"), "batch")
    flex = cost(Usage(1000, 100), book, model="gpt-4o", provider="openai", service_tier="flex")
    assert (flex.rates["input"], flex.service_tier) == (Decimal("2.5"), None)
    rates = [
        cost(Usage(sent, 1), book, model="gemini-1.5-pro", provider="google").rates["input"]
        for sent in (128_000, 128_001)
    ]
    assert rates == [Decimal("1.25"), Decimal("2.5")]


def test_reading_portkeys_files(tmp_path: Path) -> None:
    """One file or a folder of them; what cannot be read is named."""
    for name, entries in FILES.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(entries))
    assert load_portkey_prices(tmp_path) == FILES
    assert load_portkey_prices(str(tmp_path / "openai.json")) == {"openai": FILES["openai"]}
    (tmp_path / "broken.json").write_text("[")
    for place in (tmp_path / "broken.json", tmp_path / "absent.json"):
        with pytest.raises(ConfigurationError, match=place.name):
            load_portkey_prices(place)
    (tmp_path / "broken.json").write_text("[]")
    with pytest.raises(ConfigurationError, match="model by model"):
        load_portkey_prices(tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(ConfigurationError, match="no price file"):
        load_portkey_prices(tmp_path / "none")


def test_a_book_in_a_few_words() -> None:
    """Its repr names what it has, and not every price."""
    assert repr(PriceBook({"m": OWN}, portkey=FILES)) == (
        "PriceBook(1 prices, portkey=['anthropic', 'google', 'openai'], genai=True)"
    )

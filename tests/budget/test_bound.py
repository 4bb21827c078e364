"""The bound of a call: never below what an answer costs that keeps to the price table."""

from __future__ import annotations

import importlib.util
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portkey_router.bound import OUTPUT_CAP, PartBounds, bound_of
from portkey_router.errors import ConfigurationError
from portkey_router.messages import Request, Usage
from portkey_router.money import nano
from portkey_router.pricing import Price, PriceBook

if TYPE_CHECKING:
    from collections.abc import Callable

    from portkey_router.bound import Bound
    from portkey_router.pricing.card import Card

NOW = datetime(2026, 11, 1, tzinfo=UTC)
HELLO = [{"role": "user", "content": "Hello"}]


def card(price: Price | None = None) -> Card:
    """The card of a price; 1 and 10 dollars per million by default."""
    found = PriceBook({"m": price or Price(1, 10)}, genai=False).card(None, "m", NOW)
    assert found is not None
    return found


def bound(
    messages: Any = None, price: Price | None = None, options: dict[str, Any] | None = None, **body: Any
) -> Bound:
    """The bound of a request with this body."""
    return bound_of(Request(messages or HELLO, model="m", body=body), card(price), **(options or {}))


def test_a_text_is_bounded_by_its_bytes() -> None:
    """Each byte may be a token, the answer all of `max_tokens`; a longer text or answer is a larger bound."""
    small = bound(max_tokens=100)
    assert small.most is not None
    assert small.cap is None
    longer = bound([{"role": "user", "content": "Hello" + "ü" * 500}], max_tokens=100).most
    assert longer == small.most + 1000 * 1000
    assert bound(max_tokens=101).most == small.most + 10 * 1000
    assert 5 * 1000 + 100 * 10_000 <= small.most <= 300 * 1000 + 100 * 10_000


def test_without_max_tokens_the_cap_is_relied_upon() -> None:
    """It is in the bound, to be sent; without one the call has no bound, and the reason says what to pass."""
    assert bound().cap == OUTPUT_CAP
    assert bound().most == bound(max_tokens=OUTPUT_CAP).most
    assert bound(options={"cap": 50}).most == bound(max_tokens=50).most
    unbounded = bound(options={"cap": None})
    assert (unbounded.most, unbounded.cap) == (None, None)
    assert "max_tokens=" in unbounded.unknown


def test_every_name_of_the_limit_is_read() -> None:
    """`max_completion_tokens` too; the larger of both; the target's parameters over the call's."""
    expected = bound(max_tokens=70).most
    assert bound(max_completion_tokens=70).most == expected
    assert bound(max_completion_tokens=70, max_tokens=20).most == expected
    assert bound(max_tokens=20, options={"override_params": {"max_tokens": 70}}).most == expected
    assert bound(max_completion_tokens=70.0).most == expected
    assert (bound(max_completion_tokens="70").most or 0) > (expected or 0)  # the text is sent, too
    assert (
        bound(max_tokens="many").cap == bound(max_tokens=True).cap == bound(max_tokens=float("nan")).cap == OUTPUT_CAP
    )


def test_several_choices_and_predictions_are_output() -> None:
    """`n` answers may each be of full length, and a predicted output that is rejected is billed as well."""
    one, many = bound(max_tokens=1000).most, bound(max_tokens=1000, n=3).most
    assert one is not None
    assert many == bound(max_tokens=1000, n=3.0).most == one + 2 * 1000 * 10_000
    prediction = {"type": "content", "content": "x" * 400}
    predicted = bound(max_tokens=1000, prediction=prediction).most
    assert predicted is not None
    assert predicted >= one + 400 * 10_000


def test_the_dearest_rates_are_taken() -> None:
    """Input may all be written to a cache, or read from one that costs more than it saves; output may all be reasoning.

    Audio is spoken only where it is asked for.
    """
    plain = bound(max_tokens=100).most
    dear = bound(price=Price(1, 10, cache_write="1.25", reasoning=20), max_tokens=100).most
    assert plain is not None
    assert dear == (plain - 1_000_000) * 5 // 4 + 2_000_000
    assert bound(price=Price(1, 10, cache_read=3), max_tokens=100).most == (plain - 1_000_000) * 3 + 1_000_000
    spoken = Price(1, 10, audio_output=80)
    assert bound(price=spoken, max_tokens=100).most == plain
    asked: dict[str, Any] = {"modalities": ["text", "audio"]}
    told = (len(json.dumps(asked)) - len("{}")) * 1000
    assert bound(price=spoken, max_tokens=100, **asked).most == plain + 7_000_000 + told


def test_a_long_prompt_is_priced_in_its_bracket() -> None:
    """Where the bytes may reach a dearer bracket, that is the bound; where they cannot, it is not."""
    price = Price(1, 10, tiers=[(1000, Price(2, 20))])
    assert bound(price=price, max_tokens=100).most == bound(max_tokens=100).most
    text = [{"role": "user", "content": "x" * 2000}]
    assert bound(text, price=price, max_tokens=100).most == 2 * (bound(text, max_tokens=100).most or 0)


def test_parts_that_are_no_text() -> None:
    """Images by a stated bound, whatever their bytes; audio by its bytes; a document not at all, unless stated."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    text = {"type": "text", "text": "What is this?"}
    plain = bound([{"role": "user", "content": [text]}], max_tokens=10).most or 0
    with_image = bound([{"role": "user", "content": [text, image]}], max_tokens=10).most
    assert with_image == plain + PartBounds().image * 1000
    sound = {"type": "input_audio", "input_audio": {"data": "A" * 15_000, "format": "wav"}}
    heard = bound([{"role": "user", "content": [text, sound]}], Price(1, 10, audio_input=40), max_tokens=10).most or 0
    assert heard - plain == pytest.approx(1000 * 40_000, rel=0.02)
    document = {"type": "file", "file": {"file_id": "file-1"}}
    unseen = bound([{"role": "user", "content": [text, document]}], max_tokens=10)
    assert unseen.most is None
    assert "PartBounds(file=" in unseen.unknown
    stated = {"parts": PartBounds(file=500)}
    assert bound([{"role": "user", "content": [text, document]}], options=stated, max_tokens=10).most == plain + 500_000
    spoken = {"role": "assistant", "content": None, "audio": {"id": "audio-1"}}
    assert bound([spoken], max_tokens=10).most is None
    assert (bound([spoken], options=stated, max_tokens=10).most or 0) > 500_000


def test_an_image_costs_gpt_4o_mini_more() -> None:
    """Its tiles are many tokens each."""
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}]
    book = PriceBook({"gpt-4o-mini": Price(1, 0)}, genai=False)
    found = bound_of(Request(image, model="gpt-4o-mini"), book.card(None, "gpt-4o-mini", NOW))
    assert found.most is not None
    assert found.most >= 48_169 * 1000


def test_parts_inside_a_tool_result_are_seen() -> None:
    """An image that a tool returned is an image."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    message = {"role": "tool", "tool_call_id": "1", "content": [{"type": "tool_result", "content": [image]}]}
    most = bound([message], max_tokens=1).most
    assert most is not None
    assert PartBounds().image * 1000 < most < 2 * PartBounds().image * 1000


def test_tools_and_schemas_are_input() -> None:
    """Every byte of them, and what providers say around them."""
    plain = bound(max_tokens=10).most or 0
    tools = [{"type": "function", "function": {"name": "f", "description": "x" * 700, "parameters": {}}}]
    assert (bound(max_tokens=10, tools=tools).most or 0) >= plain + (700 + 500) * 1000
    schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"description": "y" * 700}}}
    assert (bound(max_tokens=10, response_format=schema).most or 0) >= plain + 700 * 1000


def test_an_unknown_price_has_no_bound() -> None:
    """Nor has a card without the rate that is needed. The caller's own bound wins, and must be an amount."""
    request = Request(HELLO, model="acme-1", body={"max_tokens": 5})
    unknown = bound_of(request, None)
    assert (unknown.most, unknown.expected) == (None, None)
    assert "acme-1" in unknown.unknown
    assert "prices=" in unknown.unknown
    assert bound_of(request, None, max_cost="0.5").most == nano(Decimal("0.5"))
    with pytest.raises(ConfigurationError, match="max_cost"):
        bound_of(request, None, max_cost=-1)


def test_what_is_expected_is_learned() -> None:
    """A quarter of the bytes and 300 tokens by default; else as learned, and never more output than `max_tokens`."""
    plain = bound(price=Price(0, 10))
    assert plain.expected == 300 * 10_000
    assert bound(price=Price(0, 10), options={"expected_output": 40.0}).expected == 40 * 10_000
    assert bound(price=Price(0, 10), max_tokens=7).expected == 7 * 10_000
    assert bound(options={"expected_input": 1000.0, "expected_output": 1.0}).tokens == 1001
    assert bound(options={"expected_input": 1000.0}, price=Price(1, 0)).expected == 1_000_000


def test_a_request_fee_counts() -> None:
    """In the bound and in what is expected."""
    fee = Price(0, 0, per_request="0.01")
    assert bound(price=fee).most == bound(price=fee).expected == 10_000_000


def test_the_bound_of_a_real_table() -> None:
    """A model of the price table, by its name alone: a short question is bounded by a few cents."""
    request = Request(HELLO, model="gpt-4o", body={"max_tokens": 1000})
    found = bound_of(request, PriceBook().card(None, "gpt-4o", NOW))
    assert found.most is not None
    assert 10_000_000 < found.most < 30_000_000


RATE = st.decimals(0, 100, places=4)
PRICES = st.builds(
    Price,
    input=RATE,
    output=RATE,
    cache_read=st.none() | st.just(Decimal(0)),
    cache_write=st.none() | RATE,
    reasoning=st.none() | RATE,
    per_request=st.sampled_from([0, "0.003"]),
    tiers=st.lists(st.tuples(st.integers(1, 500), st.builds(Price, input=RATE, output=RATE)), max_size=2),
)


@settings(max_examples=200)
@given(
    price=PRICES,
    texts=st.lists(st.text(max_size=60), min_size=1, max_size=4),
    limit=st.integers(1, 400),
    shares=st.tuples(*[st.floats(0, 1)] * 4),
)
def test_no_answer_costs_more_than_its_bound(
    price: Price, texts: list[str], limit: int, shares: tuple[float, float, float, float]
) -> None:
    """However many of the bytes are tokens, cached or thought over: the cost stays within, under any price."""
    messages = [{"role": "user", "content": text} for text in texts]
    found = bound(messages, price, max_tokens=limit)
    assert found.most is not None
    sent = round(sum(len(text.encode("utf-8", "surrogatepass")) + 16 for text in texts) * shares[0])
    made = round(limit * shares[1])
    usage = Usage(sent, made, sent + made, cache_write_tokens=round(sent * shares[2]))
    cost = PriceBook({"m": price}, genai=False).cost(usage, model="m")
    assert cost is None or nano(cost.amount) <= found.most
    thought = Usage(sent, made, sent + made, reasoning_tokens=round(made * shares[3]))
    cost = PriceBook({"m": price}, genai=False).cost(thought, model="m")
    assert cost is None or nano(cost.amount) <= found.most


@pytest.fixture(scope="module")
def tokens() -> Callable[[str], int]:
    """OpenAI's own tokenizer, from the files that LlamaIndex ships: no download."""
    spec = importlib.util.find_spec("llama_index.core")
    if spec is None or spec.origin is None or importlib.util.find_spec("tiktoken") is None:
        pytest.skip("TIKTOKEN OR LLAMAINDEX IS MISSING, so the bound is not held against a real tokenizer")
    import tiktoken
    import tiktoken.load

    folder = Path(spec.origin).parent / "_static" / "tiktoken_cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(folder))
        encoding = tiktoken.get_encoding("o200k_base")
    return lambda text: len(encoding.encode(text, disallowed_special=()))


@settings(max_examples=200)
@given(text=st.text(max_size=200))
def test_a_tokenizer_makes_no_more_tokens_than_bytes(tokens: Callable[[str], int], text: str) -> None:
    """What the bound rests on, on OpenAI's tokenizer: any text, and the JSON it is sent as."""
    for written in (text, json.dumps(text)):
        assert tokens(written) <= len(written.encode())

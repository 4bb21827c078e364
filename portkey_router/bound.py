"""What a call may cost at most, and what it will probably cost, before it is made. Pure arithmetic, no tokenizer.

A byte-level tokenizer makes no more tokens of a text than it has bytes (each is at least one byte, and one that it does
not know becomes its bytes). So the bound of a text is its length in UTF-8; what is no text has bounds that are stated.

It does not hold for what nobody can know before: fees of the provider's own tools (web search), retries that the
gateway makes and that are billed, a provider that bills another tier or price than the table's, reasoning that a
provider bills beyond `max_tokens`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from portkey_router.messages import Usage
from portkey_router.money import as_max_cost, nano
from portkey_router.pricing.card import charge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from portkey_router.messages import Request
    from portkey_router.pricing.card import Card

__all__ = ["OUTPUT_CAP", "Bound", "PartBounds", "bound_of"]

OUTPUT_CAP = 4096
"""The `max_tokens` that is sent with a call under a hard budget which names none."""

EXPECTED_OUTPUT = 300
"""The output tokens that are expected where nothing has been learned yet."""

# What providers put around messages and tools: role markers per message, and a prompt of their own where there are
# tools (Anthropic's is the longest, up to 530 tokens: docs.anthropic.com, "Tool use", pricing).
_PER_MESSAGE, _PER_CALL, _WITH_TOOLS = 16, 64, 1024
_BYTES_PER_TOKEN = 4

_TEXTUAL = frozenset({
    "input_text", "output_text", "reasoning", "redacted_thinking", "refusal", "text", "thinking", "tool_call",
    "tool_result", "tool_use",
})  # fmt: skip
_IMAGES = frozenset({"image", "image_url", "input_image"})
_AUDIO = frozenset({"audio", "input_audio"})
# One tile of an image costs these far more than its price suggests (developers.openai.com, "Images and vision").
_IMAGES_OF_MINI = 48_169


@dataclass(frozen=True, slots=True)
class PartBounds:
    """The most tokens that a part of a message may be, where its bytes do not tell; None: it has no bound.

    - `image`: 6,000 covers what OpenAI, Anthropic and Google document for one image of the largest size they take, but
      for gpt-4o-mini, whose 48,169 are counted where the model is named so.
    - `audio_byte`: tokens for each byte of encoded audio; 32 tokens a second (Google) of 4 kbit/s speech, by default.
    - `file`: documents, videos, earlier answers that were spoken, and parts of a kind that is not known here. What
      they hold cannot be seen, so a hard budget refuses them unless this says how much it may be.
    """

    image: int = 6_000
    audio_byte: float = 1 / 15
    file: int | None = None


@dataclass(frozen=True, slots=True)
class Bound:
    """What one attempt may use. Money in nano-dollars.

    `most` is never exceeded by an answer that keeps to the price table; None where that cannot be said, and `unknown`
    says why. `expected` is the likely cost, None without a price; `tokens` the likely tokens, for rate limits.
    `cap` is the `max_tokens` on which `most` relies and which the call itself does not name: it has to be sent.
    """

    most: int | None = None
    expected: int | None = None
    tokens: int = 0
    cap: int | None = None
    unknown: str = "nothing is known of its cost. State max_cost=."


@dataclass(slots=True)
class _Parts:
    """Tokens of a request: those of text, of what is priced as input beside it, of audio, and in all as expected."""

    text: int = 0
    stated: int = 0
    audio: int = 0
    unseen: str = ""


def bound_of(
    request: Request,
    card: Card | None,
    *,
    override_params: Mapping[str, Any] | None = None,
    cap: int | None = OUTPUT_CAP,
    parts: PartBounds | None = None,
    max_cost: object = None,
    expected_input: float | None = None,
    expected_output: float | None = None,
) -> Bound:
    """The bound of a request to a model with this card (`PriceBook.card`).

    - `override_params`: the target's, which go over the request's body.
    - `cap`: the `max_tokens` to rely on where the request names none, 4096 by default; None: then there is no bound.
    - `parts`: bounds of what is no text. `max_cost`: US dollars, the caller's own bound, which wins over ours.
    - `expected_input`, `expected_output`: tokens, as learned; by default a quarter of the bytes, and 300.

    Embeddings have no output.
    """
    body = {**request.body, **(override_params or {})}
    counted = _count(request, body, parts or PartBounds(), card.model if card else str(request.model or ""))
    stated = _max_tokens(body)
    choices = _positive(body.get("n")) or 1
    if request.operation == "embeddings":
        stated = 0
    limit = stated if stated is not None else cap
    likely_in = counted.text / _BYTES_PER_TOKEN + counted.stated + counted.audio
    likely_in = likely_in if expected_input is None else expected_input
    likely_out = EXPECTED_OUTPUT if expected_output is None else expected_output
    likely_out = choices * (likely_out if limit is None else min(likely_out, limit))
    expected = _expected(card, math.ceil(likely_in), math.ceil(likely_out))
    bound = Bound(expected=expected, tokens=math.ceil(likely_in + likely_out))
    if max_cost is not None:
        return replace(bound, most=nano(as_max_cost(max_cost)), unknown="")
    if counted.unseen:
        why = f"how long {counted.unseen} is cannot be seen. State PartBounds(file=...) tokens, or max_cost=."
        return replace(bound, unknown=why)
    if limit is None:
        return replace(bound, unknown="it names no max_tokens. Pass max_tokens=, or state max_cost=.")
    most = None
    if card is not None:
        most = card.most(
            read=counted.text + counted.stated,
            heard=counted.audio,
            made=choices * (limit + _bytes(body.get("prediction"))),
            spoken="audio" in (body.get("modalities") or ()),
        )
    if most is None:
        which = card.model if card else request.model or "what the gateway chooses"
        return replace(bound, unknown=f"no price is known for {which}. Give prices={{...}} for it, or state max_cost=.")
    return replace(bound, most=nano(most), cap=None if stated is not None else cap, unknown="")


def _expected(card: Card | None, read: int, made: int) -> int | None:
    usage = Usage(input_tokens=read, output_tokens=made)
    charged = charge(usage, card.rates(read)) if card else None
    return nano(charged[0]) if charged else None


# ---- tokens ----------------------------------------------------------------------------------------------------------


def _count(request: Request, body: Mapping[str, Any], bounds: PartBounds, model: str) -> _Parts:
    """The most tokens of a request's messages, tools and schemas."""
    counted = _Parts(_PER_CALL)
    for message in request.messages:
        counted.text += _PER_MESSAGE
        if message.get("audio"):  # an earlier answer that was spoken, by its id
            _count_file(counted, bounds, "an answer that was spoken")
        content = message.get("content")
        counted.text += _bytes({name: value for name, value in message.items() if name != "content"})
        if isinstance(content, list | tuple):
            _count_parts(content, counted, bounds, model)
        else:
            counted.text += _bytes(content)
    told = {name: value for name, value in body.items() if isinstance(value, dict | list | str) and name != "messages"}
    counted.text += _bytes(told)
    if body.get("tools") or body.get("functions"):
        counted.text += _WITH_TOOLS
    return counted


def _count_parts(parts: Iterable[Any], counted: _Parts, bounds: PartBounds, model: str) -> None:
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else "text"
        nested = part.get("content") if isinstance(part, dict) else None
        if kind == "tool_result" and isinstance(nested, list | tuple):
            counted.text += _PER_MESSAGE
            _count_parts(nested, counted, bounds, model)
        elif kind in _TEXTUAL:
            counted.text += _bytes(part)
        elif kind in _IMAGES:
            counted.stated += max(bounds.image, _IMAGES_OF_MINI if "gpt-4o-mini" in model else 0)
        elif kind in _AUDIO:
            counted.audio += math.ceil(_bytes(part) * bounds.audio_byte)
        else:
            _count_file(counted, bounds, f"a part of type {kind!r}")


def _count_file(counted: _Parts, bounds: PartBounds, what: str) -> None:
    if bounds.file is None:
        counted.unseen = what
    else:
        counted.stated += bounds.file


def _bytes(value: object) -> int:
    """The bytes of a value as it is sent, which is no less than those of the texts in it."""
    if value is None:
        return 0
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return len(text.encode("utf-8", "surrogatepass"))


def _max_tokens(body: Mapping[str, Any]) -> int | None:
    """The limit that the request itself names; the larger one where it names both."""
    named = [_positive(body.get(name)) for name in ("max_tokens", "max_completion_tokens")]
    return max((limit for limit in named if limit is not None), default=None)


def _positive(value: Any) -> int | None:
    """A count above 0; as providers may take them, `3.0` and `"3"` are 3."""
    try:
        count = value if isinstance(value, int) else math.ceil(float(value))
    except (TypeError, ValueError, OverflowError):
        return None
    return count if count > 0 and not isinstance(value, bool) else None

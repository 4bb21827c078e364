"""How texts to embed are put into requests: what a provider takes at once, and what comes of the batches together."""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal
from fnmatch import fnmatch
from itertools import chain
from typing import TYPE_CHECKING, Any

from portkey_router.errors import ConfigurationError
from portkey_router.messages import Embeddings, PartialEmbeddings, Usage
from portkey_router.providers import portkey_provider, providers_of
from portkey_router.spaces import bare_model
from portkey_router.targets import leaves

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from portkey_router.planner import Plan

__all__ = ["EMBEDDING_LIMITS", "BatchLimits", "limits_of", "merged", "partial", "split"]

BYTES_A_TOKEN = 2
"""Fewer than in any language's text (English has four and a half, Chinese three), so that no batch is too large."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What goes into one embeddings request: at most so many `texts`, and so many `tokens` (estimated) together.

    A text with more tokens goes alone. `base64`: whether the vectors are asked for in base64, less than half the
    bytes of JSON numbers; a provider that sends numbers all the same is read as well.
    """

    texts: int = 2048
    tokens: int = 300_000
    base64: bool = True

    def __post_init__(self) -> None:
        for name in ("texts", "tokens"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                msg = f"batch_size and batch_tokens are whole numbers from 1 up, not {value!r}."
                raise ConfigurationError(msg)


# (Portkey's provider id, pattern of the model, limits), the first that fits; for all others, OpenAI's: 2048 texts and
# 300,000 tokens a request (platform.openai.com/docs/api-reference/embeddings/create). "One" is the gateway's doing
# (1.15.2, src/providers/*/embed.ts): it makes one text of Google's, and sends Titan only the first. It drops
# `encoding_format` for all of these but Bedrock, where it would be `embedding_types: ["base64"]`, which is an error.
_ONE = BatchLimits(texts=1, base64=False)
EMBEDDING_LIMITS: tuple[tuple[str, str, BatchLimits], ...] = (
    ("bedrock", "*cohere.*", BatchLimits(texts=96, base64=False)),
    ("bedrock", "*", _ONE),
    ("cohere", "*", BatchLimits(texts=96, base64=False)),  # docs.cohere.com/reference/embed
    ("google", "*", _ONE),
    ("mistral-ai", "*", BatchLimits(texts=512, tokens=16_000, base64=False)),  # its largest request is 16,384 tokens
    # cloud.google.com/vertex-ai/generative-ai/docs/embeddings/get-text-embeddings
    ("vertex-ai", "gemini-*", _ONE),
    ("vertex-ai", "*", BatchLimits(texts=250, tokens=20_000, base64=False)),
    ("voyage", "*", BatchLimits(texts=1000, tokens=120_000)),  # docs.voyageai.com/reference/embeddings-api
)


def limits_of(plan: Plan, model: str | None) -> BatchLimits:
    """What every target of the plan takes in one request: any of them may be the one that answers."""
    found = [_limits(provider, name) for provider, name in _asked(plan, model)]
    return BatchLimits(
        min(each.texts for each in found), min(each.tokens for each in found), all(each.base64 for each in found)
    )


def _asked(plan: Plan, model: str | None) -> Iterable[tuple[str | None, str | None]]:
    for attempt in plan.attempts:
        if attempt.strategy is None:
            yield attempt.provider, attempt.model or model
        else:
            yield from ((leaf.provider, leaf.model or model) for leaf in leaves(attempt.strategy))


def _limits(provider: str | None, model: str | None) -> BatchLimits:
    name = bare_model(model or "")
    if provider is None or provider.startswith("@"):  # a key or a slug: only the model's name tells
        matches = providers_of(model if model and not model.startswith("@") else name)
        provider = matches[0].provider if matches else None
    wanted = portkey_provider(provider or "")
    for owner, pattern, limits in EMBEDDING_LIMITS:
        if owner == wanted and fnmatch(name.lower(), pattern):
            return limits
    return BatchLimits()


def split(texts: Sequence[str], limits: BatchLimits) -> list[range]:
    """The positions of the texts of each batch, in order: as many as the limits allow, and never none."""
    batches: list[range] = []
    start = tokens = 0
    for position, text in enumerate(texts):
        more = -(-len(text.encode(errors="replace")) // BYTES_A_TOKEN)
        if position > start and (position - start >= limits.texts or tokens + more > limits.tokens):
            batches.append(range(start, position))
            start, tokens = position, 0
        tokens += more
    return [*batches, range(start, len(texts))] if texts else []


def merged(answers: Mapping[int, Embeddings], model: str | None) -> Embeddings:
    """The answers of all batches, by the position of their first text, as one. `model` is that asked for.

    Raises `ConfigurationError` where they are not of one length: a config that the gateway runs has mixed spaces.
    """
    ordered = [answers[start] for start in sorted(answers)]
    if len({answer.dimensions for answer in ordered}) > 1:
        found = ", ".join(dict.fromkeys(f"{answer.dimensions} ({answer.model})" for answer in ordered))
        msg = (
            f"The batches came back with different dimensions: {found}. The config that the gateway runs has targets "
            "of different vector spaces; give all of them the same model and dimensions."
        )
        raise ConfigurationError(msg)
    return Embeddings(
        vectors=tuple(chain.from_iterable(answer.vectors for answer in ordered)),
        model=ordered[0].model if ordered else model or "",
        routes=tuple(chain.from_iterable(answer.routes for answer in ordered)),
        usage=_total(ordered),
        costs=tuple(chain.from_iterable(answer.costs for answer in ordered)),
    )


def partial(answers: Mapping[int, Embeddings]) -> PartialEmbeddings:
    """The answers of the batches that were finished, by the position of their first text."""
    ordered = sorted(answers.items())
    return PartialEmbeddings(
        vectors={start + offset: vector for start, each in ordered for offset, vector in enumerate(each.vectors)},
        routes=tuple(route for _, each in ordered for route in each.routes),
        usage=_total([each for _, each in ordered]),
        costs=tuple(cost for _, each in ordered for cost in each.costs),
    )


def _total(answers: Sequence[Embeddings]) -> Usage | None:
    """What the batches used together; None where one did not say."""
    used = [answer.usage for answer in answers]
    stated = [usage for usage in used if usage is not None]
    if not stated or len(stated) < len(used):
        return None
    sums: dict[str, Any] = {}
    for name in _COUNTS:
        known = [value for usage in stated if (value := getattr(usage, name)) is not None]
        sums[name] = sum(known) if known else getattr(Usage(), name)
    reported = [usage.reported_cost for usage in stated if usage.reported_cost is not None]
    return Usage(
        **sums,
        reported_cost=sum(reported, Decimal(0)) if len(reported) == len(stated) else None,
        service_tier=next((usage.service_tier for usage in stated if usage.service_tier), None),
        impossible=next((usage.impossible for usage in stated if usage.impossible), None),
    )


_COUNTS = tuple(each.name for each in fields(Usage) if each.name.endswith("_tokens"))

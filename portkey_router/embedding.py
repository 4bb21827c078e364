"""Batches of texts, asked one after the other or some at once: whole, or an error that keeps what was paid for."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from portkey_router.batches import limits_of, merged, partial, split
from portkey_router.errors import ConfigurationError, PortkeyError
from portkey_router.flow.journey import journey
from portkey_router.messages import Embeddings
from portkey_router.wire.http import Expiry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Sequence

    from portkey_router.batches import BatchLimits
    from portkey_router.flow.journey import Surroundings
    from portkey_router.flow.steps import Step
    from portkey_router.messages import Request
    from portkey_router.planner import Plan

    Journey = Generator[Step, Any, None]

__all__ = ["EmbeddingCall", "aembed_all", "embed_all", "embedding_call"]


@dataclass(frozen=True, slots=True)
class EmbeddingCall:
    """Texts to embed, and how each batch of them is asked for.

    `request` lacks only its `input`; `plan` is made anew for each batch, since a load balancer draws for each.
    """

    texts: Sequence[str] = field(repr=False)
    request: Request
    plan: Callable[[], Plan]
    around: Surroundings
    limits: BatchLimits

    @property
    def batches(self) -> list[range]:
        """The positions of the texts of each batch."""
        return split(self.texts, self.limits)

    def journey(self, batch: range) -> Journey:
        """The way of one batch."""
        given: Any = self.texts[batch.start : batch.stop]
        if self.limits.texts == 1:
            given = given[0]  # who takes one text takes it as a text (Bedrock's Titan its `dimensions`, too)
        around = self.around
        if around.call_id and batch.start:  # events take each batch for a call, which the trace id joins
            around = replace(around, call_id=f"{around.call_id}.{batch.start}")
        return journey(replace(self.request, body={**self.request.body, "input": given}), self.plan(), around)


def embedding_call(
    texts: Sequence[str],
    request: Request,
    *,
    plan: Callable[[], Plan],
    around: Surroundings,
    encoding_format: str | None,
    batch_size: int | None,
    batch_tokens: int | None,
) -> EmbeddingCall:
    """The call for these texts, of one deadline for all its batches; what is None is as the providers take it."""
    if encoding_format not in {None, "base64", "float"}:
        msg = f"encoding_format is how vectors travel, 'base64' or 'float', not {encoding_format!r}."
        raise ConfigurationError(msg)
    limits = limits_of(plan(), request.model)
    packed = encoding_format or ("base64" if limits.base64 else None)
    if batch_size is not None:
        limits = replace(limits, texts=batch_size)
    if batch_tokens is not None:
        limits = replace(limits, tokens=batch_tokens)
    body = {"encoding_format": packed, **request.body} if packed else request.body
    seconds = around.deadlines.total
    until = Expiry(around.clock() + seconds, "total", seconds)
    return EmbeddingCall(texts, replace(request, body=body), plan, replace(around, until=until), limits)


def embed_all(call: EmbeddingCall, perform: Callable[[Journey], Sequence[object]]) -> Embeddings:
    """Every batch, one after the other; the first error ends it. `perform` gives what a journey showed."""
    finished: dict[int, Embeddings] = {}
    try:
        for batch in call.batches:
            finished[batch.start] = _answer(perform(call.journey(batch)))
        return merged(finished, call.request.model)
    except PortkeyError as error:
        _keep(error, finished)
        raise


async def aembed_all(
    call: EmbeddingCall, perform: Callable[[Journey], Awaitable[Sequence[object]]], *, at_once: int
) -> Embeddings:
    """Every batch, at most so many at once. After an error none is begun; those on their way are waited for."""
    finished: dict[int, Embeddings] = {}
    failed: list[Exception] = []
    batches = call.batches
    waiting = iter(batches)

    async def work() -> None:
        for batch in waiting:
            try:
                finished[batch.start] = _answer(await perform(call.journey(batch)))
            except Exception as error:  # noqa: BLE001  (raised below, once those on their way are there)
                failed.append(error)
            if failed:
                return

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(at_once, len(batches))):
                group.create_task(work())
        if failed:
            raise failed[0]
        return merged(finished, call.request.model)
    except PortkeyError as error:
        _keep(error, finished)
        raise


def _answer(shown: Sequence[object]) -> Embeddings:
    if len(shown) != 1 or not isinstance(shown[0], Embeddings):
        raise TypeError("a journey ended without embeddings and without an error")
    return shown[0]


def _keep(error: PortkeyError, finished: dict[int, Embeddings]) -> None:
    """Have the error tell of the batches that were finished, too."""
    if finished:
        error.embedded = partial(finished)
        before = [attempt for start in sorted(finished) for attempt in finished[start].attempts]
        error.attempts = (*before, *error.attempts)

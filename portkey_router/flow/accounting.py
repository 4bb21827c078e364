"""Who answered, after what, and what is said when nobody did."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from portkey_router.errors import AllTargetsFailedError, PortkeyError, StreamInterruptedError, UpstreamError
from portkey_router.flow.assembler import Assembler
from portkey_router.messages import AttemptRecord, Completion, Route
from portkey_router.targets import leaf_at
from portkey_router.wire.headers import secrets_in
from portkey_router.wire.replies import decode_choices, gateway_retries
from portkey_router.wire.usage import usage_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from portkey_router.messages import Embeddings, Request
    from portkey_router.planner import Attempt, Plan
    from portkey_router.pricing import PriceBook
    from portkey_router.targets import Target
    from portkey_router.wire.http import HttpCall

__all__ = ["Trip", "all_failed", "completion", "interrupted", "priced", "record", "route_of"]


class Trip:
    """What one attempt is about, while it runs: its call, its decoder's secrets, what the reply said."""

    __slots__ = ("assembler", "attempt", "call", "headers", "secrets", "status")

    def __init__(self, attempt: Attempt, call: HttpCall) -> None:
        self.attempt = attempt
        self.call = call
        self.secrets = secrets_in(call.headers)
        self.headers: Mapping[str, str] = {}
        self.status: int | None = None
        self.assembler = Assembler()


def completion(trip: Trip, body: Mapping[str, Any] | None, route: Route, model: str | None) -> Completion:
    """The whole answer, from the reply's body, or from the chunks of the stream where there was none."""
    if body is None:
        return trip.assembler.completion(route, model=model)
    return Completion(
        choices=decode_choices(body),
        model=str(body.get("model") or model or ""),
        route=route,
        usage=usage_of(body, trip.headers.get("x-portkey-provider")),
        id=body.get("id"),
        raw=body,
    )


def priced(
    answer: Completion | Embeddings, trip: Trip, prices: PriceBook | None, at: datetime, asked: str | None
) -> Completion | Embeddings:
    """The answer with what it cost, by the target that gave it; `asked` is the model that the request names."""
    if prices is None:
        return answer
    attempt, leaf = trip.attempt, _leaf(trip)
    cost = prices.price_completion(
        answer,
        stated=leaf.provider if leaf else attempt.stated_provider,
        answered_by=trip.headers.get("x-portkey-provider"),
        asked=(leaf.model if leaf else attempt.model) or asked,
        at=at,
    )
    if cost is None:
        return answer
    return replace(answer, cost=cost) if isinstance(answer, Completion) else replace(answer, costs=(cost,))


def _leaf(trip: Trip) -> Target | None:
    """The target that the gateway says it used, where it was sent our strategy."""
    index, strategy = trip.headers.get("x-portkey-last-used-option-index"), trip.attempt.strategy
    return leaf_at(strategy, index) if strategy is not None and index else None


def route_of(trip: Trip, plan: Plan, records: list[AttemptRecord]) -> Route:
    """How the answer came about, as far as the reply and our own plan tell."""
    headers, attempt = trip.headers, trip.attempt
    leaf = _leaf(trip)
    return Route(
        trace_id=trip.call.headers.get("x-portkey-trace-id") or headers.get("x-portkey-trace-id") or "",
        target=leaf.label if leaf else attempt.target,
        attempts=tuple(records),
        provider=headers.get("x-portkey-provider") or attempt.provider,
        cache_status=headers.get("x-portkey-cache-status") or None,
        index=headers.get("x-portkey-last-used-option-index") or None,
        retries=gateway_retries(headers),
        request_id=headers.get("x-request-id") or None,
        run_on=plan.run_on,
    )


def record(trip: Trip, error: PortkeyError | None, seconds: float) -> AttemptRecord:
    """What became of one attempt."""
    return AttemptRecord(
        target=trip.attempt.target,
        model=trip.attempt.model,
        outcome="ok" if error is None else type(error).__name__,
        seconds=seconds,
        status=error.status if isinstance(error, UpstreamError) else trip.status,
        error=None if error is None else str(error),
    )


def interrupted(
    error: PortkeyError, trip: Trip, request: Request, plan: Plan, records: list[AttemptRecord]
) -> StreamInterruptedError:
    """The error for a caller who has already been shown part of the answer."""
    partial = trip.assembler.completion(route_of(trip, plan, records), model=trip.attempt.model or request.model)
    msg = f"The stream broke after part of the answer had been shown: {error}"
    interrupted = StreamInterruptedError(msg, partial=partial, usage=partial.usage)
    interrupted.attempts = tuple(records)
    return interrupted


def all_failed(records: list[AttemptRecord], errors: list[PortkeyError]) -> PortkeyError:
    """The only target's own error, or one that lists them all."""
    if len(errors) == 1:
        return errors[0]
    tried = "; ".join(f"{record.target}: {record.error}" for record in records if record.error)
    failed = AllTargetsFailedError(f"All {len(errors)} targets failed. {tried}", attempts=records, errors=errors)
    failed.__cause__ = errors[0]
    return failed

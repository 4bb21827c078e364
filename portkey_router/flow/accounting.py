"""Who answered, after what, and what is said when nobody did."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from portkey_router.errors import (
    AdmissionError,
    AllTargetsFailedError,
    ConnectFailedError,
    ContextLengthError,
    DeadlineExceededError,
    PortkeyError,
    RateLimitExceededError,
    StreamInterruptedError,
    UpstreamError,
)
from portkey_router.flow.assembler import Assembler
from portkey_router.messages import AttemptRecord, Completion, Route
from portkey_router.pricing.book import CACHE_HITS
from portkey_router.targets import leaf_at
from portkey_router.wire.headers import SecretsIn
from portkey_router.wire.replies import decode_choices, gateway_retries
from portkey_router.wire.usage import usage_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from portkey_router.flow.itinerary import Leg
    from portkey_router.messages import Embeddings, Request, Usage
    from portkey_router.planner import Plan
    from portkey_router.pricing import PriceBook
    from portkey_router.targets import Target
    from portkey_router.wire.http import HttpCall

__all__ = ["Trip", "all_failed", "completion", "interrupted", "priced", "record", "route_of"]

# Who stands before the provider waited no longer for it (Portkey's `request_timeout` is 408); it may have answered.
_GIVEN_UP = frozenset({408, 504, 524})


class Trip:
    """What one attempt is about, while it runs: whose turn it is, its call and the call's secrets, what the reply said.

    `began` is when it was sent, `first_seen` when something of its answer could be seen first, on the journey's clock.
    `shown`: the caller has seen part of it.
    """

    __slots__ = (
        "assembler",
        "attempt",
        "began",
        "call",
        "first_seen",
        "gateway",
        "headers",
        "leg",
        "secrets",
        "shown",
        "status",
    )

    def __init__(self, leg: Leg, call: HttpCall, began: float, gateway: str | None = None) -> None:
        self.leg = leg
        self.attempt = leg.attempt
        self.call = call
        self.began = began
        self.gateway = gateway
        self.secrets = SecretsIn(call.headers)
        self.headers: Mapping[str, str] = {}
        self.status: int | None = None
        self.assembler = Assembler()
        self.first_seen: float | None = None
        self.shown = False


def usage_in(trip: Trip, body: Mapping[str, Any] | None) -> Usage | None:
    """The token counts of an answer: of the reply's body, or of the stream where there was none."""
    return trip.assembler.usage if body is None else usage_of(body, trip.headers.get("x-portkey-provider"))


def completion(
    trip: Trip, body: Mapping[str, Any] | None, route: Route, model: str | None, usage: Usage | None
) -> Completion:
    """The whole answer, from the reply's body, or from the chunks of the stream where there was none."""
    if body is None:
        return trip.assembler.completion(route, model=model)
    return Completion(
        choices=decode_choices(body),
        model=str(body.get("model") or model or ""),
        route=route,
        usage=usage,
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


def record(
    trip: Trip, outcome: str, seconds: float, usage: Usage | None, error: PortkeyError | None = None
) -> AttemptRecord:
    """What became of one attempt."""
    return AttemptRecord(
        target=trip.attempt.target,
        model=trip.attempt.model,
        outcome=outcome,
        seconds=seconds,
        status=error.status if isinstance(error, UpstreamError) else trip.status,
        error=None if error is None else str(error),
        billed=_billed(trip, error, known=outcome == "ok" or usage is not None),
        usage=usage,
        gateway=trip.gateway,
    )


def _billed(trip: Trip, error: PortkeyError | None, *, known: bool) -> Literal["no", "maybe", "yes"]:
    """Whether the provider may have charged for an attempt; `known`: it said of what."""
    if known:
        return "no" if trip.headers.get("x-portkey-cache-status") in CACHE_HITS else "yes"
    if isinstance(error, UpstreamError) and trip.status is not None and trip.status >= 300:  # noqa: PLR2004
        return "maybe" if trip.status in _GIVEN_UP else "no"
    unsent = isinstance(error, ConnectFailedError) and not error.sent
    unconnected = isinstance(error, DeadlineExceededError) and error.phase == "connect"
    return "no" if unsent or unconnected else "maybe"


def interrupted(
    error: PortkeyError, trip: Trip, request: Request, plan: Plan, records: list[AttemptRecord]
) -> StreamInterruptedError:
    """The error for a caller who has already been shown part of the answer, which `trip` brought."""
    partial = trip.assembler.completion(route_of(trip, plan, records), model=trip.attempt.model or request.model)
    msg = f"The stream broke after part of the answer had been shown: {error}"
    interrupted = StreamInterruptedError(msg, partial=partial, usage=partial.usage)
    interrupted.attempts = tuple(records)
    return interrupted


def all_failed(
    records: list[AttemptRecord], errors: list[PortkeyError], sizes: list[tuple[str, int | None]]
) -> PortkeyError:
    """The only target's own error, or one that lists them all; where the prompt fitted none, that, with the `sizes`."""
    last = errors[-1]
    if isinstance(last, ContextLengthError) and all(isinstance(error, ContextLengthError) for error in errors):
        return _too_long(last, records, sizes)
    if len(errors) == 1:
        return last
    refusals = [error for error in errors if isinstance(error, AdmissionError)]
    if len(refusals) == len(errors):
        return _refused(refusals)
    told = [f"{record.target}: {record.error}" for record in records if record.error]
    tried = "; ".join([*told, *map(str, refusals)])
    failed = AllTargetsFailedError(f"All {len(errors)} targets failed. {tried}", attempts=records, errors=errors)
    failed.__cause__ = errors[0]
    return failed


def _refused(refusals: list[AdmissionError]) -> AdmissionError:
    """What stands for all targets that we may not ask: the limit that is over first, else the last budget."""
    limits = [each for each in refusals if isinstance(each, RateLimitExceededError) and each.retry_after is not None]
    told = min(limits, key=lambda each: each.retry_after or 0.0, default=refusals[-1])
    told.add_note("Other targets: " + "; ".join(str(each) for each in refusals if each is not told))
    return told


def _too_long(
    error: ContextLengthError, records: list[AttemptRecord], sizes: list[tuple[str, int | None]]
) -> ContextLengthError:
    windows = ", ".join(f"{model} takes {f'{window:,}' if window else 'an unknown number'}" for model, window in sizes)
    needed = f"{error.needed:,} tokens are needed, and " if error.needed else ""
    msg = f"The prompt is too long: {needed}{windows}. Shorten it, or add a target with a larger window. ({error})"
    told = ContextLengthError(msg, status=error.status)
    told.__dict__.update(error.__dict__)
    told.limit = error.limit or max((window for _, window in sizes if window), default=None)
    told.attempts = tuple(records)
    told.__cause__ = error.__cause__
    return told

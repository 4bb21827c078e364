"""What is told of a call while it goes on: its events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portkey_router.events import AttemptFinished, CallFinished, RouteDecided
from portkey_router.flow.steps import CallerLeft
from portkey_router.flow.unfinished import unfinished
from portkey_router.messages import Completion, Embeddings
from portkey_router.money import as_usd

if TYPE_CHECKING:
    from portkey_router.flow.accounting import Trip
    from portkey_router.flow.call import Call

__all__ = ["attempt_finished", "call_finished", "route_decided"]


def _trace_id(call: Call) -> str:
    return call.around.headers.get("x-portkey-trace-id", "")


def route_decided(call: Call) -> RouteDecided:
    """The plan, before its first attempt."""
    plan = call.plan
    return RouteDecided(
        call_id=call.around.call_id,
        trace_id=_trace_id(call),
        requested_model=call.request.model,
        strategy=plan.strategy,
        run_on=plan.run_on,
        targets=tuple(attempt.target for attempt in plan.attempts),
        reasons=tuple(attempt.reason for attempt in plan.attempts),
        tags=call.request.options.tags,
        excluded=plan.excluded,
    )


def attempt_finished(call: Call, trip: Trip) -> AttemptFinished:
    """The attempt that has just been written into the call's records."""
    record = call.records[-1]
    return AttemptFinished(
        call_id=call.around.call_id,
        trace_id=_trace_id(call),
        number=len(call.records),
        target=record.target,
        model=record.model,
        outcome=record.outcome,
        seconds=record.seconds,
        status=record.status,
        error=record.error,
        first_token=None if trip.first_seen is None else trip.first_seen - trip.began,
        tags=call.request.options.tags,
    )


def call_finished(
    call: Call, answer: Completion | Embeddings | None, error: BaseException | None = None
) -> CallFinished:
    """The end of a call: its answer, or the error that ended it. Whoever left, or was cancelled, has `left`.

    An answer that is not whole has its usage and cost as well: the provider bills what it made.
    """
    shown = call.shown
    first = None if shown is None or shown.first_seen is None else shown.first_seen - call.began
    gone = isinstance(error, CallerLeft) or (error is not None and not isinstance(error, Exception))
    answer = answer or call.replayed
    told, estimated = unfinished(call) if answer is None else (answer, False)
    hit = told.cache if isinstance(told, Completion) else None
    route = None if told is None else told.routes[0] if isinstance(told, Embeddings) else told.route
    return CallFinished(
        call_id=call.around.call_id,
        trace_id=_trace_id(call),
        outcome="ok" if error is None else "left" if gone else type(error).__name__,
        requested_model=call.request.model,
        model=told.model if told else None,
        provider=route.provider if route else None,
        target=route.target if route else None,
        usage=told.usage if told else None,
        cost=told.cost if told else None,
        streamed=call.request.stream,
        seconds=call.around.clock() - call.began,
        first_token=first,
        attempts=len(call.records),
        retries=_retries(call),
        cache=hit["layer"] if hit else None,
        saved_usd=as_usd(hit["saved_cost"]) if hit else None,
        cache_status=route.cache_status if route else None,
        estimated=estimated,
        error=None if error is None or gone else str(error),
        operation=call.request.operation,
        tags=call.request.options.tags,
    )


def _retries(call: Call) -> int:
    """Attempts beyond the first on their target."""
    return len(call.records) - len({record.target for record in call.records})

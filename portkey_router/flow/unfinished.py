"""What an answer that is not whole has used and cost: the provider bills what it made, whoever reads it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from portkey_router.flow.accounting import completion, priced, route_of
from portkey_router.messages import Usage
from portkey_router.tokens import tokens_of_messages, tokens_of_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portkey_router.flow.call import Call
    from portkey_router.messages import Completion, Embeddings, Request

__all__ = ["unfinished"]


def unfinished(call: Call) -> tuple[Completion | Embeddings | None, bool]:
    """As far as the answer had come, with usage and cost; and whether that usage is an estimate.

    None where nothing had been shown: then nothing is known of what the provider made, if it made anything.
    """
    trip = call.shown
    if trip is None:
        return None, False
    model = trip.attempt.model or call.request.model
    part = completion(trip, None, route_of(trip, call.plan, call.records), model, trip.assembler.usage)
    estimated = part.usage is None
    if estimated:
        part = replace(part, usage=_estimate(call.request, part))
    around = call.around
    return priced(part, trip, around.prices, around.now(), call.request.model), estimated


def _estimate(request: Request, part: Completion) -> Usage:
    """By the length of what was sent and of what had come."""
    tools: Any = request.body.get("tools") or ()
    sent = tokens_of_messages(request.messages, tools)
    made = sum(tokens_of_text(text) for choice in part.choices for text in _texts(choice.message))
    return Usage(sent, made, sent + made)


def _texts(message: Mapping[str, Any]) -> list[str]:
    said = [message.get(name) for name in ("content", "reasoning_content", "refusal")]
    calls = message.get("tool_calls") or ()
    return [
        *(text for text in said if isinstance(text, str)),
        *(call["function"]["name"] + call["function"]["arguments"] for call in calls),
    ]

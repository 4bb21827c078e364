"""A reply's body as the answer to its request: what is read, by the request's operation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portkey_router.flow.accounting import completion
from portkey_router.messages import Embeddings
from portkey_router.targets import leaves
from portkey_router.wire.embeddings import decode_embeddings
from portkey_router.wire.replies import decode_reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portkey_router.flow.accounting import Trip
    from portkey_router.messages import Completion, Request, Route, Usage
    from portkey_router.wire.http import HttpReply

__all__ = ["answer_of", "decode"]


def decode(reply: HttpReply, request: Request, trip: Trip) -> dict[str, Any]:
    """The body of a whole reply, checked to be an answer to the request; raises what it says instead."""
    if request.operation == "embeddings":
        strategy = trip.attempt.strategy  # the gateway's: its targets were checked to be of one space
        overridden = leaves(strategy)[0].override_params if strategy else trip.attempt.override_params
        dimensions = {**request.body, **overridden}.get("dimensions")
        return decode_embeddings(reply, request, dimensions, secrets=trip.secrets)
    return decode_reply(reply, secrets=trip.secrets)


def answer_of(
    request: Request,
    trip: Trip,
    body: Mapping[str, Any] | None,
    route: Route,
    *,
    model: str | None,
    usage: Usage | None,
) -> Completion | Embeddings:
    """The whole answer, from a decoded body, or from the chunks of the stream where there was none."""
    if request.operation == "chat" or body is None:
        return completion(trip, body, route, model, usage)
    return Embeddings(
        vectors=tuple(body["data"]),
        model=str(body.get("model") or model or ""),
        routes=(route,),
        usage=usage,
        costs=(None,),
    )

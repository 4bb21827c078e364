"""A request and its fault -> what goes over the wire, as a value: pure, no socket."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from portkey_router.sandbox.embedding import embed
from portkey_router.sandbox.engine import BadRequestError, complete
from portkey_router.sandbox.faults import Fault, error_body
from portkey_router.sandbox.streaming import DONE, events, frame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from portkey_router.sandbox.engine import Moment

__all__ = ["JSON", "SSE", "Ending", "Reply", "answer", "faulty", "json_reply"]

Ending = Literal["whole", "reset", "broken", "never", "silent", "pings"]
JSON: Mapping[str, str] = {"content-type": "application/json"}
SSE: Mapping[str, str] = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
PAGE = "<html>\n<head><title>{0}</title></head>\n<body><center><h1>{0}</h1></center><hr>nginx</body>\n</html>\n"
PING = b': ping\n\nevent: ping\ndata: {"type": "ping"}\n\n'


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer as it is sent.

    `frames` are the SSE events of a stream; None: the answer is `body`, not streamed. `late` is the wait before the
    first event (of an unstreamed answer: before the whole of it), `between` the wait between events, in seconds.
    `ending` says how it ends: `whole`; `reset` (TCP reset after the frames; an unstreamed answer: at once if `body`
    is empty, else in the middle of it); `broken` (an unstreamed body that stops half-way); `never` (no answer);
    `silent` and `pings` (a stream that says nothing more, or nothing but pings, and stays open).
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    frames: tuple[bytes, ...] | None = None
    late: float = 0.0
    between: float = 0.0
    ending: Ending = "whole"


def json_reply(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """An unstreamed JSON answer."""
    return Reply(status, {**JSON, **(headers or {})}, json.dumps(body, ensure_ascii=False).encode())


def answer(path: str, body: Any, fault: Fault, moment: Moment) -> Reply:
    """How a provider answers a POST to that path ("/chat/completions" or "/embeddings"), with that fault."""
    if (refusal := _refusal(fault)) is not None:
        return refusal
    if not isinstance(body, dict):
        return json_reply(error_body(400, "We could not parse the JSON body of your request."), 400)
    try:
        if path.endswith("/embeddings"):
            return _unstreamed(json_reply(embed(body)), fault)
        completion = complete(body, moment)
    except (BadRequestError, KeyError, TypeError, ValueError, AttributeError) as error:
        # A field of a wrong type is found where it is used; to the caller it is a bad request all the same.
        return json_reply(error_body(400, str(error) or type(error).__name__), 400)
    if body.get("stream"):
        usage = bool((body.get("stream_options") or {}).get("include_usage"))
        return _streamed(events(completion, include_usage=usage), fault)
    return _unstreamed(json_reply(completion), fault)


def faulty(fault: Fault, ordinary: Callable[[], Reply]) -> Reply:
    """An unstreamed answer with that fault; `ordinary` makes it, and is not called where the fault leaves no answer.

    A connection that is reset, cut or never answered is lost after the answer was made.
    """
    refusal = _refusal(fault)
    if refusal is not None and refusal.ending == "whole":
        return refusal
    made = ordinary()
    return refusal or _unstreamed(made, fault)


def _refusal(fault: Fault) -> Reply | None:
    """The answer where the fault leaves nothing of the ordinary one, streamed or not."""
    if fault.kind == "status":
        headers = {**(JSON if not isinstance(fault.body, str) else {"content-type": "text/plain"}), **fault.headers}
        text = fault.body if isinstance(fault.body, str) else json.dumps(fault.body, ensure_ascii=False)
        return Reply(fault.code, headers, text.encode())
    if fault.kind == "html":
        return Reply(fault.code, {"content-type": "text/html"}, PAGE.format(f"{fault.code} Bad Gateway").encode())
    if fault.kind == "empty":
        return Reply(fault.code, JSON)
    if fault.kind == "error_in_200":
        return json_reply(fault.body)
    if fault.kind == "hang":
        return Reply(ending="never")
    if fault.kind == "reset" and fault.after == 0:
        return Reply(ending="reset")
    return None


def _unstreamed(reply: Reply, fault: Fault) -> Reply:
    if fault.kind == "slow":
        return replace(reply, late=fault.first_token)
    if fault.kind == "invalid_json":
        return replace(reply, body=reply.body[: len(reply.body) // 2])
    if fault.kind == "stall":
        return replace(reply, ending="never")
    if fault.kind in {"reset", "cut"}:
        return replace(reply, ending="reset" if fault.kind == "reset" else "broken")
    return reply


def _streamed(listed: list[dict[str, Any]], fault: Fault) -> Reply:  # noqa: PLR0911  (a table, one row a fault)
    frames = [*(frame(event) for event in listed), DONE]
    reply = Reply(200, SSE, frames=tuple(frames))
    match fault.kind:
        case "slow":
            return replace(reply, late=fault.first_token, between=fault.between)
        case "reset":
            return replace(reply, frames=_cut(frames, fault.after), ending="reset")
        case "cut":
            return replace(reply, frames=_cut([frame(event) for event in _without_reason(listed)], fault.after))
        case "invalid_json":
            return replace(reply, frames=(frames[0][: len(frames[0]) // 2] + b"\n\n",))
        case "malformed_event":
            broken = b'data: {"id": "chatcmpl-broken", "choices": [{"delta"\n\n'
            return replace(reply, frames=(*frames[: fault.after], broken, *frames[fault.after :]))
        case "error_event":
            return replace(reply, frames=(*frames[: fault.after], frame(fault.body)))
        case "no_finish_reason":
            return replace(reply, frames=(*(frame(event) for event in _without_reason(listed)), DONE))
        case "stall":
            ending: Ending = "pings" if fault.ping else "silent"
            return replace(reply, frames=tuple(frames[: fault.after]), ending=ending)
        case "no_done":
            return replace(reply, frames=tuple(frames[:-1]))
        case "pings":
            return replace(reply, frames=(PING, *(part for each in frames for part in (each, PING))))
        case _:
            return reply


def _without_reason(listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events but for those that say why a choice finished."""
    return [event for event in listed if not any(choice["finish_reason"] for choice in event["choices"])]


def _cut(frames: list[bytes], after: int) -> tuple[bytes, ...]:
    """The first frames; never so many that the end is among them."""
    return tuple(frames[: min(after, len(frames) - 1)])

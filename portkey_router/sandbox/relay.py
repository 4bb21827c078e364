"""PURE: what a gateway makes of a provider's reply before it passes it on, as the open-source gateway 1.15.2 does."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from portkey_router.sandbox.replies import JSON, json_reply

if TYPE_CHECKING:
    from portkey_router.sandbox.replies import Reply

__all__ = ["GATEWAY_EXCEPTION", "failure", "fetch_failed", "relayed", "timed_out"]

# On an answer that the gateway made because it stumbled itself; such an answer ends a fallback.
GATEWAY_EXCEPTION = "x-portkey-gateway-exception"
OK = 200
# Bodies with these statuses are passed on as they are.
UNTOUCHED = (408, 412)


def failure(message: str, status: int = 400, **more: Any) -> Reply:
    """The gateway's own error: `{"status": "failure", "message": ...}`."""
    return json_reply({"status": "failure", "message": message, **more}, status)


def fetch_failed(cause: str = "connect ECONNREFUSED 127.0.0.1") -> Reply:
    """The provider could not be reached, or broke the connection before it answered."""
    return json_reply({"html-message": f"Message: fetch failed Cause: Error: {cause} Name: TypeError"}, 500)


def timed_out(seconds: float) -> Reply:
    """The provider sent no headers within the config's `request_timeout`."""
    message = f"Request exceeded the timeout sent in the request: {seconds * 1000:.0f}ms"
    return json_reply({"error": {"message": message, "type": "timeout_error", "param": None, "code": None}}, 408)


def relayed(reply: Reply, provider: str, *, streamed: bool) -> Reply:
    """The reply as the gateway's caller gets it; `streamed`: the caller asked for a stream.

    A stream that breaks off ends cleanly. Errors carry the provider's name, pages become JSON, and a body that is
    not JSON, or not whole, is the gateway's own stumble.
    """
    if reply.frames is not None:
        return reply if reply.ending in {"silent", "pings"} else replace(reply, ending="whole")
    if reply.ending == "reset" and not reply.body:
        return fetch_failed("read ECONNRESET")
    if streamed and reply.status == OK:
        return replace(reply, ending="whole")
    if reply.headers.get("content-type", "").startswith(("text/html", "text/plain")):
        return _json({"html-message": reply.body.decode(errors="replace")}, reply)
    try:
        body = json.loads(reply.body if reply.ending == "whole" else b"")
    except ValueError:
        stumble = failure("Something went wrong", 500)
        return replace(stumble, headers={**stumble.headers, GATEWAY_EXCEPTION: "true"})
    if reply.status in UNTOUCHED or reply.status == OK or not isinstance(body, dict) or "error" not in body:
        return _json(body, reply)
    return _json(_named(body["error"], provider), reply)


def _json(body: Any, reply: Reply) -> Reply:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return replace(reply, headers={**reply.headers, **JSON}, body=text.encode())


def _named(error: Any, provider: str) -> dict[str, Any]:
    said = error if isinstance(error, dict) else {"message": error}
    told = {key: said.get(key) for key in ("type", "param", "code")}
    return {"error": {"message": f"{provider} error: {said.get('message')}", **told}, "provider": provider}

"""What may go wrong at a provider, as values: one `Fault` is one answer that is not the ordinary one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Fault", "Kind", "error_body", "ok"]

Kind = Literal[
    "ok",
    "status",
    "html",
    "empty",
    "invalid_json",
    "error_in_200",
    "hang",
    "slow",
    "reset",
    "cut",
    "malformed_event",
    "error_event",
    "no_finish_reason",
    "no_done",
    "pings",
    "stall",
]

# What OpenAI says with each status: message, type, code.
WORDS: dict[int, tuple[str, str, str | None]] = {
    400: ("The request is invalid.", "invalid_request_error", "invalid_request"),
    401: ("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
    403: ("Your project has no access to this model.", "invalid_request_error", "model_not_allowed"),
    404: ("The model does not exist.", "invalid_request_error", "model_not_found"),
    408: ("Request timed out.", "timeout_error", None),
    409: ("The request conflicts with another one.", "invalid_request_error", None),
    413: ("The request is too large.", "invalid_request_error", "request_too_large"),
    429: ("Rate limit reached for requests. Please try again later.", "requests", "rate_limit_exceeded"),
    500: ("The server had an error while processing your request.", "server_error", None),
    502: ("Bad gateway.", "server_error", None),
    503: ("The engine is currently overloaded, please try again later.", "service_unavailable_error", None),
    504: ("Gateway timeout.", "server_error", None),
    529: ("Overloaded.", "overloaded_error", None),
}


def error_body(status: int, message: str | None = None) -> dict[str, Any]:
    """OpenAI's error body for a status: `{"error": {"message", "type", "param", "code"}}`."""
    words, kind, code = WORDS.get(status, (f"The provider answered {status}.", "server_error", None))
    return {"error": {"message": message or words, "type": kind, "param": None, "code": code}}


@dataclass(frozen=True, slots=True)
class Fault:
    """How one request is answered; made by the class methods, not by hand.

    Times are in seconds. `after` counts SSE events, the first one (the role) included; in an answer that is not
    streamed, `after=0` cuts before the status line, anything else in the middle of the body.
    """

    kind: Kind
    code: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    first_token: float = 0.0
    between: float = 0.0
    after: int = 0
    ping: bool = False

    @classmethod
    def ok(cls) -> Fault:
        """The ordinary answer: a gap in a script of faults."""
        return cls("ok")

    @classmethod
    def status(
        cls,
        code: int,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        retry_after: float | str | None = None,
    ) -> Fault:
        """An error status.

        `body` is JSON, or text as it is; by default what OpenAI says with that status. `retry_after` becomes the
        header: seconds, or an HTTP date as text.
        """
        told = dict(headers or {})
        if retry_after is not None:
            told["retry-after"] = str(retry_after)
        return cls("status", code=code, body=error_body(code) if body is None else body, headers=told)

    @classmethod
    def html(cls, code: int = 502) -> Fault:
        """An HTML error page, as a proxy in front of the provider would serve it."""
        return cls("html", code=code)

    @classmethod
    def empty(cls, code: int = 200) -> Fault:
        """That status with an empty body."""
        return cls("empty", code=code)

    @classmethod
    def invalid_json(cls) -> Fault:
        """200, and a JSON body that breaks off in the middle; in a stream, one such event and a clean end."""
        return cls("invalid_json")

    @classmethod
    def error_in_200(cls, code: int = 500, body: Any = None) -> Fault:
        """200 with an error object for a body: by default what OpenAI says with the status `code`."""
        return cls("error_in_200", body=error_body(code) if body is None else body)

    @classmethod
    def hang(cls) -> Fault:
        """The request is accepted and never answered."""
        return cls("hang")

    @classmethod
    def slow(cls, first_token: float = 0.0, between: float = 0.0) -> Fault:
        """The ordinary answer, `first_token` seconds late, and with `between` seconds between the events of a stream.

        The headers of a stream are sent at once; an answer that is not streamed is late as a whole.
        """
        return cls("slow", first_token=first_token, between=between)

    @classmethod
    def reset(cls, after: int = 0) -> Fault:
        """The connection is reset after that many events."""
        return cls("reset", after=after)

    @classmethod
    def cut(cls, after: int = 1) -> Fault:
        """A stream ends after that many events as if it were complete: well-formed HTTP, but no `finish_reason`.

        An answer that is not streamed breaks off in the middle of its body.
        """
        return cls("cut", after=after)

    @classmethod
    def malformed_event(cls, after: int = 1) -> Fault:
        """One event that is no JSON, after that many good ones; then the stream goes on."""
        return cls("malformed_event", after=after)

    @classmethod
    def error_event(cls, after: int = 1, code: int = 500, body: Any = None) -> Fault:
        """An error object as an event of the stream, after that many good ones; then the stream ends."""
        return cls("error_event", after=after, body=error_body(code) if body is None else body)

    @classmethod
    def no_finish_reason(cls) -> Fault:
        """The stream is complete up to `[DONE]`, but no choice ever says why it finished."""
        return cls("no_finish_reason")

    @classmethod
    def no_done(cls) -> Fault:
        """The stream says why it finished, then ends without `[DONE]`."""
        return cls("no_done")

    @classmethod
    def stall(cls, after: int = 1, *, ping: bool = False) -> Fault:
        """A stream falls silent after that many events, and stays open; -1: after all of them but `[DONE]`.

        `ping`: it sends comments and empty events all the while. An answer that is not streamed never comes.
        """
        return cls("stall", after=after, ping=ping)

    @classmethod
    def pings(cls) -> Fault:
        """The ordinary stream with comments and empty `ping` events between its events, as some providers send them."""
        return cls("pings")


def ok() -> Fault:
    """The ordinary answer, by the name that reads best between faults in a script."""
    return Fault.ok()

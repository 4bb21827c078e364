"""Whole replies: a chat completion's JSON as values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from portkey_router.errors import UpstreamError, UpstreamUnavailableError
from portkey_router.messages import Choice, Chunk, ToolCallDelta
from portkey_router.secrets import redact_json
from portkey_router.wire.context_length import speaks_of_context_length
from portkey_router.wire.failures import classify, classify_body
from portkey_router.wire.usage import count_of, usage_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from portkey_router.wire.http import HttpReply

__all__ = [
    "arguments_of",
    "check_status",
    "chunks_of",
    "decode_choices",
    "decode_reply",
    "error_in_event",
    "gateway_retries",
    "text_of",
]


def check_status(status: int, headers: Mapping[str, str], body: bytes, *, secrets: Iterable[str] = ()) -> None:
    """Raise the error that a status other than 2xx means."""
    if not 200 <= status < 300:  # noqa: PLR2004
        raise classify(status, headers, body, secrets=secrets)


def decode_reply(reply: HttpReply, *, secrets: Iterable[str] = ()) -> dict[str, Any]:
    """The body of a chat completion, checked to be one. An error inside a 200 is still an error."""
    check_status(reply.status, reply.headers, reply.body, secrets=secrets)
    try:
        body = json.loads(reply.body)
    except (ValueError, RecursionError):
        body = None
    if isinstance(body, dict):
        choices = [choice for choice in _list(body.get("choices")) if isinstance(choice, dict)]
        error = body.get("error") or next((choice["error"] for choice in choices if choice.get("error")), None)
        if not error and any(choice.get("finish_reason") == "error" for choice in choices):
            error = {"message": "the answer ended with the finish_reason 'error'"}
        if error:
            raise error_in_event({**body, "error": error}, reply.headers, secrets=secrets)
        if any(isinstance(choice.get("message"), dict) for choice in choices):
            return body
    msg = (
        f"the gateway answered {reply.status} with something that is no chat completion "
        f"({len(reply.body)} bytes of {reply.headers.get('content-type', 'no stated type')}); "
        "check that base_url= or PORTKEY_GATEWAY_URL ends in /v1."
    )
    raise UpstreamUnavailableError(msg, status=NO_ANSWER, retryable=True)


NO_ANSWER = 502
"""The status of an error that came with 200: whoever answered so was not the provider. Other targets may be asked."""


# What the error of a stream, or of a 200, says in the place of a status: the first word that is found in its code or
# type. Anything else may pass, or not: it counts as 502.
_STATUS_BY_WORD = (
    ("context_length", 400),
    ("content_filter", 400),
    ("content_policy", 400),
    ("quota", 429),
    ("rate_limit", 429),
    ("too_many_requests", 429),
    ("overloaded", 529),
    ("unavailable", 503),
    ("timeout", 504),
    ("authentication", 401),
    ("invalid_api_key", 401),
    ("permission", 403),
    ("server_error", 500),
)


def _status_of(error: Any) -> int:
    """The status an error carries in its own body, if it does."""
    if not isinstance(error, dict):
        return NO_ANSWER
    for name in ("status", "status_code", "code"):
        value = error.get(name)
        if isinstance(value, int) and 400 <= value < 600:  # noqa: PLR2004
            return value
    said = " ".join(str(error.get(name)) for name in ("code", "type", "status") if error.get(name)).lower()
    found = next((status for word, status in _STATUS_BY_WORD if word in said), NO_ANSWER)
    if found == NO_ANSWER and speaks_of_context_length(str(error.get("message"))):
        return 400
    return found


def error_in_event(
    event: Mapping[str, Any], headers: Mapping[str, str], *, secrets: Iterable[str] = ()
) -> UpstreamError:
    """The error that an event inside a stream, or a reply with status 200, carries."""
    return classify_body(_status_of(event.get("error")), headers, redact_json(dict(event), tuple(secrets)))


def decode_choices(body: Mapping[str, Any]) -> tuple[Choice, ...]:
    """The choices of a reply's body, in the order of their index."""
    choices = [
        Choice(
            message=choice["message"] if isinstance(choice.get("message"), dict) else {},
            finish_reason=_string(choice.get("finish_reason")),
            index=count_of(choice.get("index")) or 0,
            logprobs=_dict(choice.get("logprobs")) or None,
        )
        for choice in body["choices"]
        if isinstance(choice, dict)
    ]
    return tuple(sorted(choices, key=lambda choice: choice.index))


def text_of(content: Any) -> str:
    """A text; some providers send a list of parts where OpenAI sends a string."""
    if isinstance(content, str):
        return content
    if content is None:  # as in most pieces of a stream
        return ""
    return "".join(part["text"] for part in _list(content) if isinstance(part, dict) and _string(part.get("text")))


def arguments_of(function: Mapping[str, Any]) -> str:
    """A tool call's arguments as JSON; some providers send them parsed."""
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else json.dumps(arguments)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def gateway_retries(headers: Mapping[str, str]) -> int:
    """How often the gateway itself asked again; it writes -1 once its tries are used up."""
    try:
        return max(0, int(headers.get("x-portkey-retry-attempt-count") or 0))
    except ValueError:
        return 0


def chunks_of(body: Mapping[str, Any], provider: str | None = None) -> list[Chunk]:
    """A whole reply as the chunks a stream would have had: one for each choice, then the usage."""
    model, name = _string(body.get("model")), _string(body.get("id"))
    chunks = [
        Chunk(
            content=text_of(choice.message.get("content")),
            reasoning=text_of(choice.message.get("reasoning_content") or choice.message.get("reasoning")),
            tool_calls=_whole_calls(choice.message.get("tool_calls")),
            finish_reason=choice.finish_reason,
            index=choice.index,
            role=_string(choice.message.get("role")),
            refusal=_string(choice.message.get("refusal")),
            logprobs=choice.logprobs,
            model=model,
            id=name,
        )
        for choice in decode_choices(body)
    ]
    usage = usage_of(body, provider)
    return [*chunks, Chunk(usage=usage, model=model, id=name)] if usage else chunks


def _whole_calls(calls: Any) -> tuple[ToolCallDelta, ...]:
    deltas = []
    for position, call in enumerate(call for call in _list(calls) if isinstance(call, dict)):
        function = _dict(call.get("function"))
        deltas.append(
            ToolCallDelta(position, _string(call.get("id")), _string(function.get("name")), arguments_of(function))
        )
    return tuple(deltas)

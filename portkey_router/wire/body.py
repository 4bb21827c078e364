"""Request bodies: OpenAI's chat shape, encoded once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from portkey_router.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portkey_router.messages import Request

__all__ = ["check_messages", "encode_body"]

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False).encode
_encode_ascii = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode


def check_messages(messages: Any) -> None:
    """Refuse what is not a list of chat messages, before anything is sent."""
    if not isinstance(messages, list | tuple):
        msg = "messages is a list such as [{'role': 'user', 'content': 'Hello'}]."
        raise ConfigurationError(msg)
    if not messages:
        msg = "messages is empty: give at least one, such as {'role': 'user', 'content': 'Hello'}."
        raise ConfigurationError(msg)
    for position, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            msg = f"messages[{position}] needs a role: {{'role': 'user', 'content': 'Hello'}}."
            raise ConfigurationError(msg)


def encode_body(request: Request, *, model: str | None, override_params: Mapping[str, Any]) -> bytes:
    """The request as JSON bytes for one target; a stream asks for its usage unless the caller said otherwise."""
    body: dict[str, Any] = {} if model is None else {"model": model}
    if request.operation == "chat":
        body["messages"] = request.messages
    body.update(request.body)
    if request.stream:
        body["stream"] = True
        body.setdefault("stream_options", {"include_usage": True})
    body.update(override_params)
    try:
        return _encode(body).encode()
    except UnicodeEncodeError:
        return _encode_ascii(body).encode()  # half a surrogate pair, from a cut emoji: only as an escape is it valid
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"The request cannot be written as JSON: {error}. Check {_culprit(body)}."
        raise ConfigurationError(msg) from error


def _culprit(body: Mapping[str, Any]) -> str:
    for name, value in body.items():
        try:
            _encode_ascii(value)
        except (TypeError, ValueError, RecursionError):
            return repr(name)
    return "the body"

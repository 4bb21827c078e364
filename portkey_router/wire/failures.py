"""Error replies, told apart: every shape that Portkey's gateway and the providers behind it use.

Shapes read here: OpenAI's `{"error": {"message", "type", "param", "code"}, "provider"}`; the gateway's own
`{"status": "failure", "message", "errors"}` and, for a refused connection, `{"html-message"}`; the hosted control
plane's `{"success": false, "data": {"message"}}`; `{"error": "text"}`, `{"message"}`, `{"detail"}`, Google's list
around the first; HTML and plain text.
"""

from __future__ import annotations

import json
import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from portkey_router.errors import (
    AuthenticationError,
    ContentFilterError,
    ContextLengthError,
    GuardrailError,
    InvalidRequestError,
    UpstreamError,
    UpstreamRateLimitError,
    UpstreamUnavailableError,
)
from portkey_router.secrets import redact, redact_json
from portkey_router.targets import RETRY_STATUS_CODES
from portkey_router.wire.advice import BUDGET_EXHAUSTED, GUARDRAIL_DENIED, RATE_LIMITED, advice_on, redirected
from portkey_router.wire.context_length import sizes, speaks_of_context_length

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["CLOUDFLARE", "classify", "classify_body", "read_error", "retry_after"]

_LONGEST_TEXT = 500

_FILTERED = re.compile(
    r"content.?(filter|policy|management|moderation)|responsible.?ai|safety.(system|filter|settings)"
    r"|flagged (as|by|for)|input was flagged|prohibited.content|blocked.?reason|content.(?:has been |was )?blocked"
    r"|data_inspection_failed",
    re.IGNORECASE,
)
# What is opened and never closed ends with the text: looking for its end from every `<` would take minutes.
_MARKUP = re.compile(r"<(script|style)\b.*?(?:</\1>|\Z)|<[^<>]+>", re.DOTALL | re.IGNORECASE)
# A 429 that waiting does not cure: the account is out of money.
_OUT_OF_QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
# Nor one for a single request that is larger than a minute's tokens (OpenAI and Groq).
_TOO_LARGE = re.compile(r"request too large", re.IGNORECASE)
# Cloudflare's own, for a server behind it that is down, unreachable or too slow.
CLOUDFLARE = range(520, 525)
GATEWAY_EXCEPTION = "x-portkey-gateway-exception"


def classify(status: int, headers: Mapping[str, str], body: bytes, *, secrets: Iterable[str] = ()) -> UpstreamError:
    """The error that a reply with an error status means; keys are struck from its message and its body."""
    secrets = tuple(secrets)
    text = body.decode("utf-8", "replace").strip()
    try:
        parsed = redact_json(json.loads(text), secrets)
    except (ValueError, RecursionError):
        parsed = redact(text, secrets)
    return classify_body(status, headers, parsed)


def classify_body(status: int, headers: Mapping[str, str], body: Any) -> UpstreamError:
    """The same for a body already parsed and without keys (an error inside a stream, or in a reply with status 200)."""
    if isinstance(body, list) and body:
        body = body[0]  # Google wraps its error in a list
    message, code, provider = read_error(body)
    provider = provider or headers.get("x-portkey-provider") or None
    kind = _kind(status, code, message)
    error = kind(
        _describe(status, message, code, provider, advice_on(kind, status, message)) + redirected(status, headers),
        status=status,
        code=code,
        body=body if isinstance(body, dict) else str(body)[:_LONGEST_TEXT],
        request_id=headers.get("x-request-id") or headers.get("request-id") or None,
        retry_after=retry_after(headers),
        retryable=(status in RETRY_STATUS_CODES or status in CLOUDFLARE)
        and code not in _OUT_OF_QUOTA
        and not _TOO_LARGE.search(message),
        provider=provider,
        by_gateway=_made_by_gateway(status, headers, body),
    )
    if isinstance(error, ContextLengthError):
        error.limit, error.needed = sizes(message)
    return error


def _made_by_gateway(status: int, headers: Mapping[str, str], body: Any) -> bool:
    """Whether the gateway failed itself: by its own error shape, or by a page of a proxy before it.

    What the gateway passes on carries headers of its own, and is JSON: of pages it makes `{"html-message"}`.
    """
    if status < 500:  # noqa: PLR2004
        return False
    if isinstance(body, dict):
        return body.get("status") == "failure" or headers.get(GATEWAY_EXCEPTION) == "true"
    return not any(name.startswith("x-portkey-") for name in headers)


def read_error(body: Any) -> tuple[str, str | None, str | None]:
    """Message, code and provider, from whichever shape the body has."""
    if not isinstance(body, dict):
        return _plain(str(body)), None, None
    error = body.get("error") or body
    provider = body.get("provider") if isinstance(body.get("provider"), str) else None
    if not isinstance(error, dict):
        return _plain(str(error)), None, provider
    data = error.get("data")
    message = (
        error.get("message")
        or (data.get("message") if isinstance(data, dict) else None)
        or error.get("html-message")
        or error.get("detail")
        or ""
    )
    if isinstance(error.get("errors"), list) and error["errors"]:
        message = f"{message}: {'; '.join(map(str, error['errors']))}"
    code = error.get("code") or error.get("type") or error.get("errorCode")
    return _plain(str(message)), None if code is None else str(code), provider


def _plain(text: str) -> str:
    """An HTML page as its words, and not too many of them."""
    stripped = _MARKUP.sub(" ", text)
    return " ".join(stripped.split())[:_LONGEST_TEXT]


def _kind(status: int, code: str | None, message: str) -> type[UpstreamError]:
    words = f"{code} {message}"
    if status == GUARDRAIL_DENIED:
        return GuardrailError
    if status in {401, 403}:
        # Moderation may come as 403 (OpenRouter); the words of a refused key speak of neither content nor flags.
        return ContentFilterError if status != 401 and _FILTERED.search(words) else AuthenticationError  # noqa: PLR2004
    if status == RATE_LIMITED:
        return UpstreamRateLimitError
    if status < 500 and speaks_of_context_length(words):  # noqa: PLR2004
        return ContextLengthError
    if status < 500 and _FILTERED.search(words):  # noqa: PLR2004
        return ContentFilterError
    if status in {402, 408, 409, BUDGET_EXHAUSTED} or status >= 500:  # noqa: PLR2004
        return UpstreamUnavailableError
    return InvalidRequestError


def _describe(status: int, message: str, code: str | None, provider: str | None, advice: str | None) -> str:
    who = f"{provider} answered" if provider else "the gateway answered"
    advice = f" ({advice})" if advice else ""
    named = f" [{code}]" if code and code not in message else ""
    return f"{who} {status}{named}: {message or 'no message'}{advice}"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, as the reply states them: milliseconds, seconds, or a date (against the reply's own clock)."""
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        seconds = _number(headers.get(name))
        if seconds is not None:
            return seconds / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None or value is None or "date" not in headers:
        return seconds
    try:
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(headers["date"])
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, wait.total_seconds())


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is not None and 0 <= value < float("inf") else None

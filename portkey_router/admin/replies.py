"""A reply of the admin API as its JSON, or as the `AdminError` that it means. Pure."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from portkey_router.admin.asks import UNREADABLE
from portkey_router.errors import AdminError
from portkey_router.secrets import is_secret_name, redact, redact_json
from portkey_router.wire.failures import read_error, retry_after

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from portkey_router.admin.asks import Ask
    from portkey_router.wire.http import HttpReply

__all__ = ["read", "secrets_of"]

_LONGEST_TEXT = 500
_KEYS = "MASTER_PORTKEY_ADMIN_KEY (or PORTKEY_API_KEY)"
# Portkey's own codes say more than the status that comes with them.
_ADVICE_BY_CODE = {
    "AB01": "check the values sent; an organisation's key also needs a workspace",
    "AB02": "check the id or slug: `list` shows those that there are",
    "AB03": f"the key in {_KEYS} lacks the right; scopes are set in Portkey under API keys",
    "AB04": "try again later",
    "AB05": f"check {_KEYS}",
    "AB06": "slow down, and try again later",
    "AB07": "it exists already: update it, or choose another name or slug",
    "AB08": "check the id or slug: `list` shows those that there are",
    "AB09": "the subscription does not cover this any more; see Billing in Portkey",
}
_ADVICE_BY_STATUS = {
    400: _ADVICE_BY_CODE["AB01"],
    401: _ADVICE_BY_CODE["AB05"],
    402: _ADVICE_BY_CODE["AB09"],
    403: _ADVICE_BY_CODE["AB03"],
    404: _ADVICE_BY_CODE["AB02"],
    409: _ADVICE_BY_CODE["AB07"],
    422: _ADVICE_BY_CODE["AB01"],
    429: _ADVICE_BY_CODE["AB06"],
}
_NO_API = "is PORTKEY_ADMIN_URL the admin API (https://api.portkey.ai/v1 by default)?"


def read(reply: HttpReply, ask: Ask, secrets: Iterable[str]) -> Any:
    """The reply's JSON, with exact numbers; an empty reply is `{}`. Raises `AdminError`."""
    text = reply.body.decode("utf-8", "replace").strip()
    ok = 200 <= reply.status < 300  # noqa: PLR2004
    try:
        body = json.loads(text, parse_float=Decimal) if text else {}
    except (ValueError, RecursionError):
        if ok:
            raise AdminError(
                f"{_who(ask, reply.status)}: the reply is no JSON, or only its beginning; {_NO_API}",
                status=reply.status,
                code=UNREADABLE,
                body=redact(text, secrets)[:_LONGEST_TEXT],
            ) from None
        body = text
    refused = isinstance(body, dict) and body.get("success") is False
    if ok and not refused:
        return body
    raise _error(reply, ask, redact_json(body, secrets))


def _error(reply: HttpReply, ask: Ask, body: Any) -> AdminError:
    message, code = _message(body)
    wait = retry_after(reply.headers)
    if 300 <= reply.status < 400:  # noqa: PLR2004
        message, advice = "it points elsewhere", _NO_API
    else:
        advice = _ADVICE_BY_CODE.get(code or "") or _ADVICE_BY_STATUS.get(reply.status, "try again later")
    if wait is not None:
        advice = f"try again in {wait:g} s"
    named = f" [{code}]" if code and code not in message else ""
    return AdminError(
        f"{_who(ask, reply.status)}{named}: {message or 'no message'} ({advice})",
        status=reply.status,
        code=code,
        body=body if isinstance(body, dict) else str(body)[:_LONGEST_TEXT],
        retry_after=wait,
    )


def _who(ask: Ask, status: int) -> str:
    return f"Portkey's admin API answered {status} to {ask.method} {redact(ask.path)}"


def _message(body: Any) -> tuple[str, str | None]:
    """Message and code; what a validator (problem+json) found is part of the message."""
    message, code, _ = read_error(body)
    if not isinstance(body, dict):
        return message, code
    data = body.get("data")
    if isinstance(data, dict):
        told = data.get("errorCode") or data.get("code")
        code = str(told) if told else code
    faults = body.get("validation")
    if isinstance(faults, list):
        told = "; ".join(
            f"{'.'.join(map(str, fault.get('location', [])))}: {fault.get('message', '')}"
            for fault in faults
            if isinstance(fault, dict)
        )
        message = f"{message}: {told}" if told else message
    return message[:_LONGEST_TEXT], code


def secrets_of(body: Mapping[str, Any] | None) -> list[str]:
    """The keys in a request's body, to be struck from what is said of it."""
    found: list[str] = []
    pending: list[tuple[str, Any]] = list((body or {}).items())
    while pending:
        name, value = pending.pop()
        if isinstance(value, dict):
            pending += value.items()
        elif isinstance(value, list):
            pending += [(name, part) for part in value]
        elif isinstance(value, str) and is_secret_name(name):
            found.append(value)
    return found

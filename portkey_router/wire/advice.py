"""What to do about an error reply, as the end of its message."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from portkey_router.errors import ContentFilterError, ContextLengthError, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BUDGET_EXHAUSTED", "GUARDRAIL_DENIED", "RATE_LIMITED", "advice_on", "redirected"]

GUARDRAIL_DENIED = 446
BUDGET_EXHAUSTED = 412
RATE_LIMITED = 429

_ADVICE = {
    400: "the request was refused: check the model's name, its parameters, and the target's key or slug",
    402: "the provider's account is out of money",
    408: "it took too long: raise request_timeout, or add a fallback target",
    422: "the request was refused: check its parameters",
    500: "try again, or add a fallback target",
    502: "try again, or add a fallback target",
    503: "try again, or add a fallback target",
    504: "try again, or add a fallback target",
    529: "try again, or add a fallback target",
    401: "check PORTKEY_API_KEY and the target's virtual key or api_key",
    403: "the key may not use this model; check its permissions",
    404: "check the model's name and the gateway's URL",
    BUDGET_EXHAUSTED: "the budget set in Portkey is used up; raise it, or use another target",
    RATE_LIMITED: "slow down, or add a fallback target",
    GUARDRAIL_DENIED: "see .body['hook_results'] for the check that failed",
}


_ADVICE_BY_KIND: dict[type[UpstreamError], str] = {
    ContentFilterError: "the provider will not answer this: change the prompt, or see on_content_filter=",
    ContextLengthError: "shorten the messages, or add a fallback target with a larger window",
}
# What the open-source gateway says to who asks it for what only the hosted one keeps.
_NO_VAULT = re.compile(r"x-portkey-provider header is required|^Invalid config passed\. You need to pass a valid json$")
_OWN_KEYS = (
    "an open-source gateway keeps no virtual keys, slugs or configs: give each Target its provider= and api_key="
)


def advice_on(kind: type[UpstreamError], status: int, message: str) -> str | None:
    """What whoever gets an error of that class, with that status and message, may do about it."""
    if _NO_VAULT.search(message):
        return _OWN_KEYS
    return _ADVICE_BY_KIND.get(kind) or _ADVICE.get(status)


def redirected(status: int, headers: Mapping[str, str]) -> str:
    """Where a redirect leads, which is not followed: the key would go with it. Of the URL only what holds no secret."""
    location = headers.get("location")
    if not 300 <= status < 400 or not location:  # noqa: PLR2004
        return ""
    try:
        parts = urlsplit(location)
        host = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        to = f"to {host}" if parts.scheme and parts.netloc else "elsewhere on the same host"
    except ValueError:  # a bracket never closed
        to = "elsewhere"
    return f"; it redirects {to}, which is not followed: set base_url= or PORTKEY_GATEWAY_URL to the gateway's own URL"

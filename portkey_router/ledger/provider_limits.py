"""What a provider's reply says of its own rate limits. The gateway passes these headers on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from portkey_router.wire.failures import retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ProviderLimits", "provider_limits"]

# OpenAI's names (Azure, Groq, Mistral, Together and others have them too), then Anthropic's.
_REQUESTS = ("x-ratelimit-remaining-requests", "anthropic-ratelimit-requests-remaining")
_TOKENS = ("x-ratelimit-remaining-tokens", "anthropic-ratelimit-tokens-remaining")


@dataclass(frozen=True, slots=True)
class ProviderLimits:
    """Requests and tokens that are left, and seconds to stay away; None where it is not said."""

    requests_left: float | None = None
    tokens_left: float | None = None
    retry_after: float | None = None


def provider_limits(headers: Mapping[str, str]) -> ProviderLimits | None:
    """What the headers (names in lower case) say; None where they say nothing."""
    told = ProviderLimits(_count(headers, _REQUESTS), _count(headers, _TOKENS), retry_after(headers))
    return None if told == ProviderLimits() else told


def _count(headers: Mapping[str, str], names: tuple[str, ...]) -> float | None:
    for name in names:
        text = headers.get(name, "")
        if text.isascii() and text.isdecimal():
            return float(text)
    return None

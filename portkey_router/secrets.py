"""What counts as a secret, and how one is struck from a text."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["is_secret_name", "redact", "redact_json"]

_HINTS = ("key", "secret", "token", "password", "credential", "service_account", "authorization")

# What a provider may quote back of a key: whole, or with its middle replaced (`sk-abc***xyz`).
_KEY_SHAPES = re.compile(
    r"\b(?:sk|pk|rk|pcak|xai|gsk|hf|vk)[-_][A-Za-z0-9*_-]{8,}|\bAIza[A-Za-z0-9_-]{20,}|\bBearer\s+[A-Za-z0-9._~+/=-]{8,}"
)
_SHORTEST = 6  # a shorter "key" (a test's "X") would strike half of every message


@lru_cache(maxsize=1024)  # asked of each header of each call
def is_secret_name(name: str) -> bool:
    """Whether an option or header of this name holds a secret."""
    lowered = name.lower().replace("-", "_").removeprefix("x_portkey_")  # which has a "key" of its own
    return any(hint in lowered for hint in _HINTS)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without the given secrets, and without anything shaped like a key."""
    for secret in sorted(secrets, key=len, reverse=True):  # one may hold another, whose remains would be left
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, "***")
    return _KEY_SHAPES.sub("***", text)


def redact_json(value: Any, secrets: Iterable[str] = ()) -> Any:
    """The same for parsed JSON, in whose text an escaped character may hide a key, or where it begins."""
    if isinstance(value, str):
        return redact(value, secrets)
    if isinstance(value, dict):
        return {redact(name, secrets): redact_json(part, secrets) for name, part in value.items()}
    return [redact_json(part, secrets) for part in value] if isinstance(value, list) else value

"""Arguments that would go into a request's body by mistake: one of ours misspelt, or a key."""

from __future__ import annotations

from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING

from portkey_router.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["BODY_FIELDS", "check_body_field"]

# OpenAI's own fields of a chat's body, which models have as arguments of the same name.
BODY_FIELDS = (
    "temperature",
    "max_tokens",
    "max_completion_tokens",
    "top_p",
    "n",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "reasoning_effort",
    "service_tier",
    "user",
)
_NEVER_IN_A_BODY = ("virtual_key", "api_key", "virtualkey", "apikey", "header", "password", "secret")
_LIKE_OURS = 0.8
_LIKE_A_BODY_FIELD = 0.9  # other providers' fields are like these: top_k, max_new_tokens


@lru_cache(maxsize=1024)  # names are few, and a close match is dear
def check_body_field(owner: str, name: str, ours: Collection[str]) -> None:
    """Raise `ConfigurationError` for what is no field of a body: there it would do nothing, or show a key.

    `ours` are the arguments of `owner`, of which it may be one misspelt. Values are not looked at.
    """
    if name in BODY_FIELDS:
        return
    close = get_close_matches(name, [own for own in ours if own not in BODY_FIELDS], n=1, cutoff=_LIKE_OURS)
    close = close or get_close_matches(name, BODY_FIELDS, n=1, cutoff=_LIKE_A_BODY_FIELD)
    if close:
        msg = f"{name!r} is no argument of {owner}; did you mean {close[0]!r}? (As a field of the body: extra_body=.)"
        raise ConfigurationError(msg)
    if any(word in name.lower() for word in _NEVER_IN_A_BODY):
        msg = f"{name!r} is no argument of {owner}, and not sent in a request's body."
        raise ConfigurationError(msg)

"""What a caller may choose of how calls fail over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict

from portkey_router.errors import ConfigurationError

__all__ = ["POLICY_OPTIONS", "RETRY_AFTER_MAX", "OnContentFilter", "OnStreamBreak", "Policy", "PolicyOptions"]

OnContentFilter = Literal["raise", "fallback"]
OnStreamBreak = Literal["raise", "restart"]

RETRY_AFTER_MAX = 10.0
"""Seconds: a longer Retry-After is not waited out, unless the caller says so."""


class PolicyOptions(TypedDict, total=False):
    """A `Policy` as arguments, each with its default where it is left out."""

    retry_after_max: float
    on_content_filter: OnContentFilter
    on_stream_break: OnStreamBreak
    wire_stream: bool


POLICY_OPTIONS = tuple(sorted(PolicyOptions.__annotations__))
"""The names under which `build_router` and each call take them."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How calls fail over.

    - `retry_after_max`: seconds; a Retry-After up to this is waited out, after a longer one the next target is asked,
      and this one left alone for as long.
    - `on_content_filter`: what follows a refusal on content grounds: `raise` it, or `fallback` to the next target.
    - `on_stream_break`: what follows a stream that breaks after part of it was shown: `raise` a
      `StreamInterruptedError`, or `restart`: a `Chunk(reset=True)`, and then a whole new answer.
    - `wire_stream`: calls that want the whole answer stream it underneath, so that the deadlines of streams and their
      checks hold for them too. Nothing is shown until it is whole. A gateway's output guardrails do not run on streams.
    """

    retry_after_max: float = RETRY_AFTER_MAX
    on_content_filter: OnContentFilter = "raise"
    on_stream_break: OnStreamBreak = "raise"
    wire_stream: bool = False

    def __post_init__(self) -> None:
        if not 0 <= _number(self.retry_after_max) < float("inf"):
            raise ConfigurationError("retry_after_max is a number of seconds from 0 up, and not infinite.")
        if self.on_content_filter not in {"raise", "fallback"}:
            raise ConfigurationError("on_content_filter is 'raise' or 'fallback'.")
        if self.on_stream_break not in {"raise", "restart"}:
            raise ConfigurationError("on_stream_break is 'raise' or 'restart'.")
        if self.wire_stream not in {True, False}:
            raise ConfigurationError("wire_stream is True or False.")


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else -1

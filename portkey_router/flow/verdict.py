"""What follows a failed attempt: the same target again, the next one, or the caller."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from portkey_router.errors import (
    ConnectFailedError,
    DeadlineExceededError,
    PortkeyError,
    StreamInterruptedError,
    UpstreamError,
)

if TYPE_CHECKING:
    from portkey_router.planner import Attempt, RunOn

__all__ = ["RETRY_AFTER_MAX", "Verdict", "backoff", "judge"]

RETRY_AFTER_MAX = 10.0
"""Seconds: a longer Retry-After is not waited for; the next target is asked instead."""

_FIRST_BACKOFF = 0.5
_LONGEST_BACKOFF = 8.0


class Verdict(Enum):
    """Where the journey goes after a failure."""

    AGAIN = "again"
    NEXT = "next"
    RAISE = "raise"


def judge(error: PortkeyError, attempt: Attempt, *, tries_left: int, run_on: RunOn) -> Verdict:
    """The verdict on a failed attempt from which the caller has seen nothing."""
    if run_on == "gateway":
        # The gateway owns retries and fallbacks. It cannot see a stream cut short; that is ours, and nothing else.
        truncated = isinstance(error, StreamInterruptedError)
        return (Verdict.AGAIN if tries_left else Verdict.NEXT) if truncated else Verdict.RAISE
    if isinstance(error, UpstreamError):
        patient = error.retry_after is None or error.retry_after <= RETRY_AFTER_MAX
        if error.retryable and tries_left and patient:
            return Verdict.AGAIN
        return Verdict.NEXT if error.status in attempt.fall_over_on else Verdict.RAISE
    if isinstance(error, DeadlineExceededError):
        # A target that was silent once would be silent again, and the caller has waited long enough for it.
        if error.phase == "total":
            return Verdict.RAISE
        return Verdict.AGAIN if error.phase == "connect" and tries_left else Verdict.NEXT
    if isinstance(error, ConnectFailedError | StreamInterruptedError):
        return Verdict.AGAIN if tries_left else Verdict.NEXT
    return Verdict.RAISE


def backoff(error: PortkeyError, tried: int, chance: float) -> float:
    """Seconds before the same target is asked again; `tried` counts from 1, `chance` is uniform in [0, 1).

    A stated Retry-After, and up to a tenth more so that callers do not return together; else full jitter over an
    exponential bound (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    """
    stated = error.retry_after if isinstance(error, UpstreamError) else None
    if stated is not None:
        return stated * (1 + 0.1 * chance)
    return chance * min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2.0 ** (tried - 1))

"""What follows a failed attempt, and whose fault it was.

| the attempt ended with | then |
|---|---|
| 429, with a Retry-After up to `retry_after_max`, or with none | the same target, three times at most; then the next |
| 429 with a longer one, or of an account out of money | the next target |
| 409, 5xx that may pass, a broken connection, a stream cut short | the same target once more; then the next |
| 408 (the gateway's `request_timeout`), a deadline | the next target |
| 401, 402, 403, 404, 412 | the next target |
| a prompt too long | the next target with a larger window, or an unknown one |
| a refusal on content grounds | the caller, or the next target (`on_content_filter`) |
| 400, 413, 422, 446, other 4xx, the call's own deadline | the caller |
| the gateway's own failure, where there is another gateway | the same target, by the next gateway |

"The next target" after a status means: if it is in the strategy's `on_status_codes`. Where no other target is left, a
fault that may pass is tried again up to the call's `max_retries`, under the limits of `portkey_router.health`.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Literal

from portkey_router.errors import (
    ConnectFailedError,
    ContentFilterError,
    ContextLengthError,
    DeadlineExceededError,
    GuardrailError,
    InvalidRequestError,
    PortkeyError,
    StreamInterruptedError,
    TransportError,
    UpstreamError,
    UpstreamRateLimitError,
)
from portkey_router.wire.failures import CLOUDFLARE

if TYPE_CHECKING:
    from portkey_router.flow.policy import Policy
    from portkey_router.planner import Attempt, RunOn

__all__ = ["Fault", "Verdict", "backoff", "fault_of", "gateway_failed", "judge"]

_FIRST_BACKOFF = 0.5
_LONGEST_BACKOFF = 8.0
_RATE_LIMITED_TRIES = 3
_TRIES_WITH_OTHERS = 2
_TIMED_OUT, _NOT_FOUND, _BAD_GATEWAY = 408, 404, 502

Fault = Literal["target", "gateway", "request", "nobody"]


class Verdict(Enum):
    """Where the journey goes after a failure."""

    AGAIN = "again"
    NEXT = "next"
    GATEWAY = "gateway"
    RAISE = "raise"


def judge(  # noqa: PLR0911  (the table above, a row each)
    error: PortkeyError,
    attempt: Attempt,
    *,
    tried: int,
    tries: int,
    others: bool,
    policy: Policy,
    run_on: RunOn = "client",
    gateways_left: bool = False,
) -> Verdict:
    """The verdict on a failed attempt from which the caller has seen nothing that must be kept.

    `tried` counts the attempts at this target, this one included, of which `tries` are allowed; `others`: another
    target could be asked now.
    """
    if gateways_left and gateway_failed(error):
        return Verdict.GATEWAY
    if run_on == "gateway":
        # The gateway owns retries and fallbacks. It cannot see a stream cut short; that is ours, and nothing else.
        truncated = isinstance(error, StreamInterruptedError)
        return (Verdict.AGAIN if tried < tries else Verdict.NEXT) if truncated else Verdict.RAISE
    if isinstance(error, ContentFilterError):
        return Verdict.NEXT if policy.on_content_filter == "fallback" and others else Verdict.RAISE
    if isinstance(error, ContextLengthError):
        return Verdict.NEXT
    if isinstance(error, UpstreamError):
        patient = error.retry_after is None or error.retry_after <= policy.retry_after_max
        if error.retryable and patient and tried < _tries(error, tries, others=others):
            return Verdict.AGAIN
        status = _BAD_GATEWAY if error.status in CLOUDFLARE else error.status
        return Verdict.NEXT if status in attempt.fall_over_on else Verdict.RAISE
    if isinstance(error, DeadlineExceededError):
        # A target that was silent once would be silent again, and the caller has waited long enough for it.
        if error.phase == "total":
            return Verdict.RAISE
        if error.phase != "connect":
            return Verdict.NEXT
    if isinstance(error, TransportError):
        return Verdict.AGAIN if tried < _tries(error, tries, others=others) else Verdict.NEXT
    return Verdict.RAISE


def _tries(error: PortkeyError, tries: int, *, others: bool) -> int:
    """How often a target is asked at most while it fails so."""
    if isinstance(error, UpstreamRateLimitError):
        return min(_RATE_LIMITED_TRIES, tries)
    if not others:
        return tries
    timed_out = isinstance(error, UpstreamError) and error.status == _TIMED_OUT
    return 1 if timed_out else min(_TRIES_WITH_OTHERS, tries)


def gateway_failed(error: PortkeyError) -> bool:
    """Whether another gateway may do better: this one could not be reached, broke off, or failed itself."""
    if isinstance(error, DeadlineExceededError):
        return error.phase == "connect"
    return isinstance(error, ConnectFailedError) or (isinstance(error, UpstreamError) and error.by_gateway)


def fault_of(error: PortkeyError, *, by_gateway: bool) -> Fault:
    """Whose fault a failure is: what it says of the target's health.

    `by_gateway`: what was asked is known to be a gateway. A gateway tells of its targets' broken connections by a
    reply, so a connection that breaks is its own; of anything else that answers there, it is the target's.
    """
    if isinstance(error, UpstreamError):
        if error.by_gateway:
            return "gateway"
        refused = isinstance(error, InvalidRequestError) and error.status != _NOT_FOUND
        return "request" if refused or isinstance(error, GuardrailError) else "target"
    if isinstance(error, ConnectFailedError):
        return "target" if error.sent and not by_gateway else "gateway"
    if isinstance(error, DeadlineExceededError):
        return {"connect": "gateway", "total": "nobody"}.get(error.phase, "target")  # type: ignore[return-value]
    return "target" if isinstance(error, StreamInterruptedError) else "nobody"


def backoff(error: PortkeyError, tried: int, chance: float) -> float:
    """Seconds before the same target is asked again; `tried` counts from 1, `chance` is uniform in [0, 1).

    A stated Retry-After, and up to a tenth more so that callers do not return together; else full jitter over an
    exponential bound (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    """
    stated = error.retry_after if isinstance(error, UpstreamError) else None
    if stated is not None:
        return stated * (1 + 0.1 * chance)
    return chance * min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(tried - 1, 30))

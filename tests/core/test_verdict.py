from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portkey_router.errors import (
    ConfigurationError,
    ConnectFailedError,
    DeadlineExceededError,
    PortkeyError,
    StreamInterruptedError,
    UpstreamError,
)
from portkey_router.flow.policy import RETRY_AFTER_MAX, Policy
from portkey_router.flow.verdict import Verdict, backoff, fault_of, gateway_failed, judge
from portkey_router.targets import FALLBACK_STATUS_CODES, RETRY_STATUS_CODES
from portkey_router.wire.failures import CLOUDFLARE, classify
from tests.core.fakes import target

if TYPE_CHECKING:
    from portkey_router.planner import Attempt

AGAIN, NEXT, RAISE, GATEWAY = Verdict.AGAIN, Verdict.NEXT, Verdict.RAISE, Verdict.GATEWAY
BROKEN = StreamInterruptedError("cut short")
REFUSED = ConnectFailedError("refused")


def late(phase: str) -> DeadlineExceededError:
    """A deadline that passed."""
    return DeadlineExceededError("late", phase=phase, seconds=1)  # type: ignore[arg-type]


def verdict(
    error: PortkeyError,
    attempt: Attempt | None = None,
    *,
    tried: int = 1,
    tries: int = 2,
    others: bool = True,
    policy: Policy | None = None,
    **more: Any,
) -> Verdict:
    """The verdict on a failure, by default the first of two tries, with another target left."""
    return judge(error, attempt or target(), tried=tried, tries=tries, others=others, policy=policy or Policy(), **more)


@pytest.mark.parametrize(
    ("error", "with_tries", "without"),
    [
        *[(classify(status, {}, b"{}"), AGAIN, NEXT) for status in (*RETRY_STATUS_CODES, *CLOUDFLARE) if status != 408],
        (classify(408, {}, b"{}"), NEXT, NEXT),
        *[
            (classify(status, {}, b"{}"), NEXT, NEXT)
            for status in sorted({*FALLBACK_STATUS_CODES} - {*RETRY_STATUS_CODES})
        ],
        *[(classify(status, {}, b"{}"), RAISE, RAISE) for status in (400, 413, 415, 422, 446, 501)],
        (REFUSED, AGAIN, NEXT),
        (BROKEN, AGAIN, NEXT),
        (late("connect"), AGAIN, NEXT),
        (late("first_token"), NEXT, NEXT),
        (late("silence"), NEXT, NEXT),
        (late("attempt"), NEXT, NEXT),
        (late("total"), RAISE, RAISE),
        (ConfigurationError("wrong"), RAISE, RAISE),
        (classify(429, {"retry-after": "2"}, b"{}"), AGAIN, NEXT),
        (classify(429, {"retry-after": str(RETRY_AFTER_MAX)}, b"{}"), AGAIN, NEXT),
        (classify(429, {"retry-after": str(RETRY_AFTER_MAX + 1)}, b"{}"), NEXT, NEXT),
        (classify(429, {}, b'{"error": {"code": "insufficient_quota"}}'), NEXT, NEXT),
    ],
    ids=lambda value: (
        f"{type(value).__name__} {getattr(value, 'status', '')}" if isinstance(value, Exception) else None
    ),
)
def test_what_follows_a_failure(error: PortkeyError, with_tries: Verdict, without: Verdict) -> None:
    """Each failure's way on: the same target while it has tries left, then the next, or straight to the caller."""
    assert verdict(error) is with_tries
    assert verdict(error, tried=2) is without


def test_a_targets_own_statuses_decide() -> None:
    """Only the statuses that the strategy names lead on to the next target."""
    wrong, down = classify(400, {}, b"{}"), classify(503, {}, b"{}")
    narrow = target(fall_over_on=[400])
    assert verdict(wrong, narrow, tried=2) is NEXT
    assert verdict(down, narrow, tried=2) is RAISE


@pytest.mark.parametrize(
    "error", [classify(503, {}, b"{}"), classify(429, {}, b"{}"), REFUSED, late("attempt"), late("total")], ids=repr
)
def test_the_gateway_owns_its_retries(error: PortkeyError) -> None:
    """Run by the gateway, no failure is tried again by us: it has been already."""
    assert verdict(error, run_on="gateway") is RAISE


def test_a_stream_cut_short_is_ours_to_see() -> None:
    """The gateway takes it for an answer: only we can go on."""
    assert verdict(BROKEN, run_on="gateway") is AGAIN
    assert verdict(BROKEN, tried=2, run_on="gateway") is NEXT


def statuses(*codes: int) -> list[PortkeyError]:
    """The errors that these statuses mean."""
    return [classify(code, {}, b"{}") for code in codes]


@pytest.mark.parametrize("error", [*statuses(500, 502, 503, 504, 529, 409), REFUSED, BROKEN], ids=repr)
def test_patience_depends_on_what_is_left(error: PortkeyError) -> None:
    """While another target remains a passing fault is tried again once; on the last, as often as the call allows."""
    assert [verdict(error, tried=tried, tries=4) for tried in (1, 2)] == [AGAIN, NEXT]
    assert [verdict(error, tried=tried, tries=4, others=False) for tried in (1, 2, 3, 4)] == [*[AGAIN] * 3, NEXT]


@pytest.mark.parametrize("others", [True, False])
def test_a_rate_limit_is_met_with_three_tries_at_most(others: bool) -> None:
    """However many retries a caller allows."""
    (error,) = statuses(429)
    assert [verdict(error, tried=tried, tries=10, others=others) for tried in (1, 2, 3)] == [AGAIN, AGAIN, NEXT]


def test_the_callers_own_patience_with_rate_limits() -> None:
    """`retry_after_max` says what is waited out."""
    limited = classify(429, {"retry-after": "3"}, b"{}")
    assert verdict(limited, policy=Policy(retry_after_max=2)) is NEXT
    assert verdict(classify(429, {"retry-after": "30"}, b"{}"), policy=Policy(retry_after_max=30)) is AGAIN


def test_a_refusal_on_content_grounds() -> None:
    """Never tried again, and routed around only where the caller says so; whatever statuses the strategy lists."""
    refused = classify(400, {}, b'{"error": {"code": "content_filter", "message": "no"}}')
    wide = target(fall_over_on=[400])
    assert verdict(refused, wide) is RAISE
    assert verdict(refused, policy=Policy(on_content_filter="fallback")) is NEXT
    assert verdict(refused, policy=Policy(on_content_filter="fallback"), others=False) is RAISE


def test_a_prompt_too_long_goes_on() -> None:
    """Never again to the same target; which other may take it, the itinerary knows."""
    long = classify(400, {}, b'{"error": {"code": "context_length_exceeded", "message": "no"}}')
    assert verdict(long, target(fall_over_on=[])) is NEXT


OWN = classify(500, {}, b'{"status": "failure", "message": "Something went wrong"}')


@pytest.mark.parametrize(
    "error", [REFUSED, late("connect"), OWN, classify(502, {}, b"<html>"), classify(503, {}, b"")], ids=repr
)
def test_a_gateways_own_failure_goes_to_the_next_gateway(error: PortkeyError) -> None:
    """Whoever runs the strategy, and whatever tries are left; without another gateway it is a failure like others."""
    assert gateway_failed(error)
    assert verdict(error, tried=2, gateways_left=True) is GATEWAY
    assert verdict(error, run_on="gateway", gateways_left=True) is GATEWAY
    assert verdict(error, tried=2) is NEXT
    assert fault_of(error, by_gateway=True) == "gateway"


FETCH_FAILED = classify(500, {"x-portkey-provider": "openai"}, b'{"html-message": "Message: fetch failed"}')


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        *[(error, "target") for error in (*statuses(401, 402, 403, 404, 408, 409, 412, 429, 500, 503, 529),)],
        *[(error, "request") for error in statuses(400, 413, 422, 446)],
        (FETCH_FAILED, "target"),
        (classify(502, {"x-portkey-provider": "openai"}, b"<html>"), "target"),
        (BROKEN, "target"),
        (late("first_token"), "target"),
        (late("total"), "nobody"),
        (ConfigurationError("wrong"), "nobody"),
        (ConnectFailedError("refused", sent=False), "gateway"),
        (ConnectFailedError("reset"), "target"),
    ],
    ids=lambda value: f"{value}"[:30],
)
def test_whose_fault_it_was(error: PortkeyError, fault: str) -> None:
    """A target's health learns of its own failures; neither of its gateway's nor of a bad request."""
    assert fault_of(error, by_gateway=False) == fault


def test_a_connection_that_a_gateway_breaks() -> None:
    """A gateway tells of its targets' broken connections by a reply: one that breaks is its own."""
    assert fault_of(ConnectFailedError("reset"), by_gateway=True) == "gateway"


@given(st.integers(1, 60), st.floats(0, 1, exclude_max=True))
def test_backoff_is_bounded(tried: int, chance: float) -> None:
    """Full jitter under a bound that doubles from half a second to eight."""
    pause = backoff(REFUSED, tried, chance)
    assert 0 <= pause <= min(8.0, 0.5 * 2.0 ** (tried - 1))
    assert backoff(REFUSED, tried, 0) == 0


def test_backoff_grows() -> None:
    """The bound doubles with each try."""
    assert [backoff(REFUSED, tried, 1) for tried in range(1, 7)] == [0.5, 1, 2, 4, 8, 8]


@pytest.mark.parametrize(("chance", "seconds"), [(0, 2.0), (0.5, 2.1), (1, 2.2)])
def test_a_stated_wait_is_kept(chance: float, seconds: float) -> None:
    """Retry-After is waited for in full, and up to a tenth longer so that callers do not return together."""
    error: UpstreamError = classify(429, {"retry-after": "2"}, b"{}")
    assert backoff(error, 3, chance) == pytest.approx(seconds)

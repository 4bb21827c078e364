from __future__ import annotations

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
from portkey_router.flow.verdict import RETRY_AFTER_MAX, Verdict, backoff, judge
from portkey_router.targets import FALLBACK_STATUS_CODES, RETRY_STATUS_CODES
from portkey_router.wire.failures import classify
from tests.core.fakes import target

AGAIN, NEXT, RAISE = Verdict.AGAIN, Verdict.NEXT, Verdict.RAISE
BROKEN = StreamInterruptedError("cut short")
REFUSED = ConnectFailedError("refused")


def late(phase: str) -> DeadlineExceededError:
    """A deadline that passed."""
    return DeadlineExceededError("late", phase=phase, seconds=1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "with_tries", "without"),
    [
        *[(classify(status, {}, b"{}"), AGAIN, NEXT) for status in RETRY_STATUS_CODES],
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
    assert judge(error, target(), tries_left=1, run_on="client") is with_tries
    assert judge(error, target(), tries_left=0, run_on="client") is without


def test_a_targets_own_statuses_decide() -> None:
    """Only the statuses that the strategy names lead on to the next target."""
    wrong, down = classify(400, {}, b"{}"), classify(503, {}, b"{}")
    narrow = target(fall_over_on=[400])
    assert judge(wrong, narrow, tries_left=0, run_on="client") is NEXT
    assert judge(down, narrow, tries_left=0, run_on="client") is RAISE


@pytest.mark.parametrize(
    "error", [classify(503, {}, b"{}"), classify(429, {}, b"{}"), REFUSED, late("attempt"), late("total")], ids=repr
)
def test_the_gateway_owns_its_retries(error: PortkeyError) -> None:
    """Run by the gateway, no failure is tried again by us: it has been already."""
    assert judge(error, target(), tries_left=1, run_on="gateway") is RAISE


def test_a_stream_cut_short_is_ours_to_see() -> None:
    """The gateway takes it for an answer: only we can go on."""
    assert judge(BROKEN, target(), tries_left=1, run_on="gateway") is AGAIN
    assert judge(BROKEN, target(), tries_left=0, run_on="gateway") is NEXT


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

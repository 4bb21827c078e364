"""Calendar windows in any time zone, and what they are called."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portkey_router.windows import as_zone, calendar_span, moment, named

BERLIN, SAO_PAULO, KATHMANDU = ZoneInfo("Europe/Berlin"), ZoneInfo("America/Sao_Paulo"), ZoneInfo("Asia/Kathmandu")
ZONES = st.sampled_from([UTC, BERLIN, SAO_PAULO, KATHMANDU, ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Asia/Beirut")])
NAMES = st.sampled_from(["minute", "hour", "day", "week", "month"])


def micro(text: str) -> int:
    """Microseconds since 1970 of an ISO time."""
    return round(datetime.fromisoformat(text).timestamp() * 10**6)


@pytest.mark.parametrize(
    ("per", "zone", "now", "start", "end"),
    [
        ("minute", UTC, "2026-11-25T03:04:05.5+00:00", "2026-11-25T03:04:00+00:00", "2026-11-25T03:05:00+00:00"),
        ("hour", KATHMANDU, "2026-11-25T03:04:05+05:45", "2026-11-25T03:00:00+05:45", "2026-11-25T04:00:00+05:45"),
        ("day", BERLIN, "2026-11-25T00:00:00+01:00", "2026-11-25T00:00:00+01:00", "2026-11-26T00:00:00+01:00"),
        ("day", BERLIN, "2026-03-29T12:00:00+02:00", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"),
        ("day", BERLIN, "2026-10-25T12:00:00+01:00", "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"),
        ("week", UTC, "2026-11-29T23:59:59+00:00", "2026-11-23T00:00:00+00:00", "2026-11-30T00:00:00+00:00"),
        ("month", BERLIN, "2026-12-31T23:30:00+01:00", "2026-12-01T00:00:00+01:00", "2027-01-01T00:00:00+01:00"),
        ("month", UTC, "2028-02-29T12:00:00+00:00", "2028-02-01T00:00:00+00:00", "2028-03-01T00:00:00+00:00"),
        # The hour that comes twice: each is one.
        ("hour", BERLIN, "2026-10-25T02:30:00+01:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"),
        # A midnight that does not exist: the day begins at one o'clock.
        ("day", SAO_PAULO, "2018-11-04T12:00:00-02:00", "2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"),
    ],
)
def test_calendar_windows(per: str, zone: Any, now: str, start: str, end: str) -> None:
    """Minute, hour, day, week and month, over changes of the clock."""
    assert calendar_span(per, zone, micro(now)) == (micro(start), micro(end))


@settings(max_examples=300)
@given(per=NAMES, zone=ZONES, now=st.integers(0, 2**51))
def test_a_window_holds_its_time_and_the_next_one_follows(per: str, zone: Any, now: int) -> None:
    """Every moment is in exactly one window, and windows leave no gap."""
    span = calendar_span(per, zone, now)
    assert span.start <= now < span.end
    assert calendar_span(per, zone, span.start) == span
    assert calendar_span(per, zone, span.end - 1).end == span.end
    assert calendar_span(per, zone, span.end).start == span.end


def test_moments_are_exact() -> None:
    """To the microsecond, far in the future too."""
    assert moment(2**51 + 1) - moment(2**51) == timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("per", "window", "start", "name"),
    [
        ("total", "calendar", 0, "total"),
        ("month", "calendar", micro("2026-11-01T00:00+01:00"), "month from 2026-11-01T00:00+01:00"),
        ("day", "sliding", 1, "last day"),
        (90.0, "sliding", 1, "last 90 s"),
        (90.0, "fixed", 0, "90 s, not begun"),
        (90.0, "fixed", micro("2026-11-01T00:00:07+01:00"), "90 s from 2026-11-01T00:00:07+01:00"),
    ],
)
def test_a_window_has_a_name(per: Any, window: Any, start: int, name: str) -> None:
    """In events, errors and reports."""
    assert named(per, window, timezone(timedelta(hours=1)), start) == name


class LikePytz(tzinfo):
    """A zone as pytz makes them: put on a time, it has the offset of before there were time zones."""

    zone = "Europe/Berlin"

    def utcoffset(self, _: datetime | None) -> timedelta:
        """Of 1892."""
        return timedelta(minutes=53)

    dst = utcoffset

    def tzname(self, _: datetime | None) -> str:
        """Of 1892, too."""
        return "LMT"


def test_a_zone_of_pytz_is_the_zone_of_its_name() -> None:
    """Its days begin at midnight, not seven minutes late; other zones are taken as they are."""
    assert as_zone("Budget", LikePytz()) == BERLIN
    fixed = timezone(timedelta(hours=1))
    assert as_zone("Budget", fixed) is fixed

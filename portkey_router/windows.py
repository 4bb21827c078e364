"""The windows that budgets are counted in: when they begin and end, and what they are called.

Times are whole microseconds since 1970 (UTC), as Redis tells them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from portkey_router.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "SECONDS",
    "Period",
    "Span",
    "Window",
    "as_period",
    "as_window",
    "as_zone",
    "calendar_span",
    "moment",
    "named",
]

Window = Literal["calendar", "fixed", "sliding"]
Period = Literal["minute", "hour", "day", "week", "month", "total"] | float

SECONDS: Mapping[str, float] = {"minute": 60, "hour": 3600, "day": 86_400, "week": 604_800, "month": 2_592_000}
"""The length of a named period where it is no calendar window: a month is then 30 days."""

SHORTEST = 0.001
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Span(NamedTuple):
    """From `start` up to, and without, `end`."""

    start: int
    end: int


def moment(microseconds: int) -> datetime:
    """A time as a `datetime`, in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def _microseconds(when: datetime) -> int:
    return (when.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)


def calendar_span(per: str, zone: tzinfo, now: int) -> Span:
    """The calendar's minute, hour, day, week (from Monday) or month in `zone` that holds `now`."""
    return _span(per, zone, now // 1_000_000 * 1_000_000)  # no window begins within a second


@lru_cache(maxsize=256)
def _span(per: str, zone: tzinfo, now: int) -> Span:
    local = moment(now).astimezone(zone)
    if per in {"minute", "hour"}:
        # Counted back from now, so that the hour that comes twice in autumn is two hours.
        past = timedelta(minutes=local.minute if per == "hour" else 0, seconds=local.second)
        start = now - local.microsecond - past // timedelta(microseconds=1)
        return Span(start, start + int(SECONDS[per]) * 1_000_000)
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None, fold=0)
    if per == "week":
        day -= timedelta(days=day.weekday())
        after = day + timedelta(days=7)
    elif per == "month":
        day = day.replace(day=1)
        after = (day + timedelta(days=31)).replace(day=1)
    else:
        after = day + timedelta(days=1)
    return Span(_microseconds(day.replace(tzinfo=zone)), _microseconds(after.replace(tzinfo=zone)))


def named(per: Period, window: Window, zone: tzinfo, start: int) -> str:
    """What a window is called in events and reports: `month from 2026-11-01T00:00+01:00`."""
    if per == "total":
        return "total"
    length = per if isinstance(per, str) else f"{per:g} s"
    if window == "sliding":
        return f"last {length}"
    if not start:
        return f"{length}, not begun"
    local = moment(start).astimezone(zone)
    return f"{length} from {local.isoformat(timespec='minutes' if not local.second else 'seconds')}"


def as_period(what: str, per: object, names: Mapping[str, object]) -> Period:
    """A period as given, checked; `what` is who asks, for the message."""
    if isinstance(per, str) and per in names:
        return per  # type: ignore[return-value]  # one of the names
    if isinstance(per, int | float) and not isinstance(per, bool) and SHORTEST <= per < float("inf"):
        return float(per)
    raise ConfigurationError(f"{what}: per is {', '.join(names)}, or a number of seconds, not {per!r}.")


def as_window(what: str, per: Period, window: object) -> Window:
    """A window as given, checked; without one, the calendar's for a named period, and a fixed one for seconds."""
    if window is None:
        return "calendar" if isinstance(per, str) else "fixed"
    if window not in get_args(Window):
        raise ConfigurationError(f"{what}: window is 'calendar', 'fixed' or 'sliding', not {window!r}.")
    if window == "calendar" and not isinstance(per, str):
        raise ConfigurationError(f"{what}: no calendar has {per:g} seconds; use window='fixed' or 'sliding'.")
    return window  # type: ignore[return-value]  # one of them


def as_zone(what: str, zone: object) -> tzinfo:
    """A time zone as given, or by its IANA name."""
    if isinstance(zone, tzinfo):
        # One of pytz's, put on a time, has the zone's first offset (Berlin: 53 minutes): the zone of its name is meant.
        name = getattr(zone, "zone", None)
        return as_zone(what, name) if isinstance(name, str) else zone
    try:
        return ZoneInfo(zone)  # type: ignore[arg-type]  # what is no name is refused below
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError) as error:
        raise ConfigurationError(
            f"{what}: no time zone {zone!r} is known here. Use an IANA name such as 'Europe/Berlin'; "
            "where the system has none of them: pip install tzdata."
        ) from error

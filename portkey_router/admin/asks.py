"""What an admin verb is made of: a generator that yields requests (`Ask`) and finds (`Found`), and does no I/O.

An `Ask` comes back as the reply's JSON, or as an error raised at the `yield`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import SecretStr, TypeAdapter, ValidationError

from portkey_router.admin.models import RateLimits, Record, UsageLimits
from portkey_router.errors import (
    AdminError,
    ConfigurationError,
    ConnectFailedError,
    CreateUnconfirmedError,
    DeadlineExceededError,
    PortkeyError,
    TransportError,
)

__all__ = [
    "UNREADABLE",
    "Ask",
    "Found",
    "Operation",
    "create",
    "each",
    "limits",
    "listing",
    "path",
    "reveal",
    "stated",
    "typed",
    "unwrapped",
]

T = TypeVar("T")
R = TypeVar("R", bound=Record)
Operation = Generator[Any, Any, T]

# The code of an error that is ours: the reply was a success, as far as its status goes, and cannot be read.
UNREADABLE = "unreadable"
PAGE = 100
# How often a listing is read at most; one that never rests is given up then.
PASSES = 4
LEAST_CREDIT = {"cost": 1, "tokens": 100}
MOST_RESET_DAYS = 365


@dataclass(frozen=True, slots=True)
class Ask:
    """A request of the admin API. `route` is its path as the documentation writes it; `path` the real one, quoted.

    `repeatable`: sent again after a passing fault. Whatever creates is not.
    """

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    repeatable: bool = True


@dataclass(frozen=True, slots=True)
class Found:
    """One more of what a listing finds."""

    item: Any


def path(*parts: Any) -> str:
    """A path of the API; every part is quoted, so a slug with a slash names nothing but itself."""
    if any(not part or not isinstance(part, str) or part in {".", ".."} for part in parts):
        raise ConfigurationError("An id or slug is empty, or no id: `list` shows those that there are.")
    return "/" + "/".join(quote(part, safe="") for part in parts)


def reveal(value: str | SecretStr) -> str:
    """A key in clear, for the body of a request. Raises `ConfigurationError` for an empty one: it would be stored."""
    clear = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not clear.strip():
        raise ConfigurationError("The provider's key is empty: is the variable set that it is taken from?")
    return clear


# ---- replies ---------------------------------------------------------------------------------------------------------


def unwrapped(body: Any) -> Any:
    """The object itself: the API puts some into `{"success": true, "data": {...}}`, and others not."""
    return body["data"] if isinstance(body, dict) and "success" in body and "data" in body else body


def typed(kind: type[R], body: Any, **known: Any) -> R:
    """The reply as a record; what the caller knows beside it (its slug) fills what the reply leaves out."""
    found = unwrapped(body)
    return _read(kind, {**known, **found} if isinstance(found, dict) else found)


def _read(kind: type[R], found: Any) -> R:
    try:
        return TypeAdapter(kind).validate_python(found)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"]) or "all of it"
        what = f"{kind.__name__} in Portkey's reply is not as documented ({where})"
    raise AdminError(f"{what}; is PORTKEY_ADMIN_URL the admin API, in a version of 2024 or later?", status=200)


def _items(body: Any, within: str) -> tuple[list[Any], int | None]:
    """The objects of a page, and how many there are on all pages, where that is told."""
    found = unwrapped(body)
    total = found.get("total") if isinstance(found, dict) else None
    if isinstance(found, dict):
        found = found.get(within, found.get("data", []))
    return (found if isinstance(found, list) else []), total if isinstance(total, int) else None


def listing(
    kind: type[R],
    route: str,
    *,
    key: Callable[[R], Any],
    query: Mapping[str, Any] | None = None,
    paged: bool = True,
    within: str = "data",
    read: Callable[[Any], Any] = lambda item: item,
) -> Operation[None]:
    """Find every object of a listing, each once, page by page.

    Pages shift when objects are made or deleted while they are read, and one may slip between two of them. So a listing
    of more than one page is read again, until that finds nothing new.
    """
    seen: set[Any] = set()
    for _ in range(PASSES):
        before, here, number = len(seen), set[Any](), 0
        while True:
            paging = {"current_page": number, "page_size": PAGE} if paged else {}
            items, total = _items((yield Ask("GET", route, {**(query or {}), **paging})), within)
            known = len(here)
            for item in items:
                record = _read(kind, read(item))
                name = key(record)
                here.add(name)
                if name not in seen:
                    seen.add(name)
                    yield Found(record)
            number += 1
            if len(here) == known or (len(items) < PAGE if total is None else len(here) >= total) or not paged:
                break
        if number == 1 or len(seen) == before:
            return


def each(finds: Operation[None], take: Callable[[Any], Any]) -> Operation[None]:
    """A listing, each of whose finds is first handed to `take`, which gives what is found in its place, or None."""
    resume: Callable[[Any], Any] = finds.send
    value: Any = None
    while True:
        try:
            wanted = resume(value)
        except StopIteration:
            return
        resume, value = finds.send, None
        if isinstance(wanted, Found):
            if (taken := take(wanted.item)) is not None:
                yield Found(taken)
            continue
        try:
            value = yield wanted
        except PortkeyError as error:
            resume, value = finds.throw, error


def _named(name: str, finds: Operation[None]) -> Operation[list[Any]]:
    """Those of a listing that have this name."""
    named: list[Any] = []
    yield from each(finds, lambda item: named.append(item) if item.name == name else None)
    return named


# ---- creating --------------------------------------------------------------------------------------------------------


def create(what: str, route: str, body: Mapping[str, Any], *, find: Operation[None] | None) -> Operation[Any]:
    """Create something, once. Where no answer came that can be relied on, it is looked for by its name, and reported.

    Raises `CreateUnconfirmedError`, whose `found` are those of that name.
    """
    try:
        return (yield Ask("POST", route, body=body, repeatable=False))
    except (AdminError, TransportError) as error:
        if not _may_have_happened(error):
            raise
        lost = error
    name = str(body.get("name") or "")
    if find is None or not name:
        raise CreateUnconfirmedError(_unconfirmed(what, name, None), name=name, found=()) from lost
    try:
        found = yield from _named(name, find)
    except PortkeyError:
        raise CreateUnconfirmedError(_unconfirmed(what, name, None), name=name, found=()) from lost
    raise CreateUnconfirmedError(_unconfirmed(what, name, found), name=name, found=found) from lost


def _may_have_happened(error: PortkeyError) -> bool:
    if isinstance(error, ConnectFailedError):
        return error.sent
    if isinstance(error, DeadlineExceededError):
        return error.phase != "connect"
    # A success that could not be read; or what stands before the API answered, and the API may have done its work.
    return isinstance(error, AdminError) and (error.code == UNREADABLE or error.status >= 500)  # noqa: PLR2004


def _unconfirmed(what: str, name: str, found: Sequence[Any] | None) -> str:
    lost = f"The reply to the creation of the {what} {name!r} was lost, and it was not sent again. "
    if found is None:
        return lost + "Whether it exists could not be looked up: list them before you create it again."
    if not found:
        return lost + "None of that name exists now: it can be created again."
    ids = ", ".join(_told(record) for record in found)
    return lost + f"Of that name there is now: {ids}. Use it, or delete it before you create it again."


def _told(record: Any) -> str:
    when = getattr(record, "created_at", None)
    name = getattr(record, "slug", None) or getattr(record, "id", "?")
    return f"{name} (created {when:%Y-%m-%d %H:%M:%S} UTC)" if when else str(name)


# ---- what callers hand in --------------------------------------------------------------------------------------------


def stated(**fields: Any) -> dict[str, Any]:
    """The fields that say something: what is None is left as it is."""
    return {name: value for name, value in fields.items() if value is not None}


def limits(
    usage: UsageLimits | Mapping[str, Any] | None, rates: RateLimits | Sequence[RateLimits] | None
) -> dict[str, Any]:
    """The body's fields for a budget and rate limits, checked as Portkey documents them.

    One rate limit is sent as an object, as the API's description has it; a list of them as a list.
    """
    body: dict[str, Any] = {}
    if usage is not None:
        body["usage_limits"] = _usage(usage)
    if isinstance(rates, RateLimits):
        body["rate_limits"] = _rate(rates)
    elif rates is not None:
        body["rate_limits"] = [_rate(rate) for rate in rates]
    return body


def _dumped(record: Record) -> dict[str, Any]:
    return record.model_dump(mode="json", exclude_none=True)


def _rate(rate: RateLimits) -> dict[str, Any]:
    if rate.value < 1:
        raise ConfigurationError(f"A rate limit is at least 1 {rate.unit}; it is {rate.value}. delete() ends all use.")
    return _dumped(rate)


def _check_reset(budget: UsageLimits) -> None:
    days = budget.periodic_reset_days
    if budget.periodic_reset is not None and days is not None:
        raise ConfigurationError("A budget begins anew by periodic_reset or by periodic_reset_days: give one of them.")
    if days is not None and not 1 <= days <= MOST_RESET_DAYS:
        raise ConfigurationError(f"periodic_reset_days is from 1 to {MOST_RESET_DAYS}; it is {days}.")


def _usage(usage: UsageLimits | Mapping[str, Any]) -> dict[str, Any]:
    budget = usage if isinstance(usage, UsageLimits) else UsageLimits(**usage)
    _check_reset(budget)
    unit, least = ("tokens" if budget.type == "tokens" else "US dollars"), LEAST_CREDIT.get(budget.type or "cost", 1)
    for name, lowest in (("credit_limit", least), ("alert_threshold", 1)):
        amount = getattr(budget, name)
        if amount is not None and (amount < lowest or amount != int(amount)):
            raise ConfigurationError(f"{name} is a whole number of {unit}, at least {lowest}; it is {amount}.")
    if budget.credit_limit is not None and (budget.alert_threshold or 0) > budget.credit_limit:
        raise ConfigurationError(
            f"alert_threshold is at most the credit_limit of {budget.credit_limit} {unit}, else no alert is ever sent; "
            f"it is {budget.alert_threshold}."
        )
    body = _dumped(budget)
    for name in ("credit_limit", "alert_threshold"):
        if name in body:
            body[name] = int(getattr(budget, name))
    return body

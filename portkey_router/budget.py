"""Budgets and rate limits, as values, and what a ledger that keeps them can do.

```
Budget("search", usd=50, per="month", when={"team": "search"})          # one counter, of one team
Budget("each user", usd=2, per="day", by="user")                        # a counter for each user
RateLimit("openai", requests=500, tokens=200_000, per="minute")
```

`when` and `by` read a call's tags, and beside them the `provider`, `model` and `target` of the attempt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from portkey_router.errors import ConfigurationError
from portkey_router.money import Amount, as_usd, nano_floor
from portkey_router.providers import PROVIDERS, provider_name
from portkey_router.windows import SECONDS, Period, Window, as_period, as_window, as_zone

if TYPE_CHECKING:
    from collections.abc import Callable

    from portkey_router.bound import Bound
    from portkey_router.events import BudgetAlert, EventHub

__all__ = [
    "Budget",
    "BudgetState",
    "Hold",
    "Ledger",
    "LedgerReport",
    "LimitState",
    "RateLimit",
    "Reservation",
    "Slot",
    "Terms",
    "tag_value",
]

MOST_USD = 9_000_000
"""The largest budget, in US dollars: Redis counts in doubles, which are exact up to 2**53 nano-dollars."""

_PROVIDERS = frozenset(provider.name for provider in PROVIDERS)


@dataclass(frozen=True, slots=True)
class Budget:
    """So much money in so much time: `Budget("each user", usd=2, per="day", by="user")`.

    - `usd`: US dollars in one window, exact to the nano-dollar; at most 9 million.
    - `per`: `minute`, `hour`, `day`, `week` (from Monday), `month`, `total` (for ever), or a number of seconds.
    - `window`: `calendar` (default of a named period): it begins with the clock's minute, hour, day ... in `timezone`
      (an IANA name or a `tzinfo`, UTC by default). `fixed` (default of seconds): with the first call, and anew with
      the first call after its end. `sliding`: the last `per`, counted as two buckets: this one, and of the one before
      the share that is still in reach, as if it had been spent evenly.
    - `when`: only calls with these tags (`{"team": "search"}`; a list of values means any of them). `by`: a tag, each
      value of which has a counter of its own; calls without that tag share one.
    - `hard`: no call is let through that may cost more than is left, whatever happens: what it may cost at most is
      held, so a call whose cost has no bound is refused. With `hard=False` what it is expected to cost is held, so
      the last calls may end above the limit, and a call of unknown price passes.
    - `alerts`: shares of `usd`, each told once in a window, as a `BudgetAlert` and to `on_alert`, which runs in the
      caller's thread or loop and must not block.

    `limit` is `usd` in whole nano-dollars, `alert_amounts` are those of the alerts.
    """

    name: str
    usd: Decimal = field(kw_only=True)
    per: Period = field(kw_only=True)
    window: Window = field(kw_only=True)
    timezone: tzinfo = field(kw_only=True)
    when: Mapping[str, frozenset[str]] = field(kw_only=True)
    by: str | None = field(kw_only=True)
    hard: bool = field(kw_only=True)
    alerts: tuple[float, ...] = field(kw_only=True)
    on_alert: Callable[[BudgetAlert], object] | None = field(kw_only=True, repr=False, compare=False)
    limit: int = field(init=False, repr=False, compare=False)
    alert_amounts: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __init__(
        self,
        name: str,
        *,
        usd: Amount,
        per: Period = "month",
        window: Window | None = None,
        timezone: str | tzinfo = UTC,
        when: Mapping[str, Any] | None = None,
        by: str | None = None,
        hard: bool = True,
        alerts: Iterable[float] = (0.5, 0.8, 1.0),
        on_alert: Callable[[BudgetAlert], object] | None = None,
    ) -> None:
        what = _named("Budget", name)
        values: dict[str, Any] = {
            "name": name,
            "usd": _money(what, usd),
            "per": (period := as_period(what, per, {**SECONDS, "total": 0})),
            "window": as_window(what, period, window),
            "timezone": as_zone(what, timezone),
            "when": _when(what, when or {}),
            "by": _tag(what, by),
            "hard": hard,
            "alerts": _alerts(what, alerts),
            "on_alert": on_alert,
        }
        values["limit"] = nano_floor(values["usd"])
        values["alert_amounts"] = tuple(
            max(1, nano_floor(values["usd"] * Decimal(str(share)))) for share in values["alerts"]
        )
        for field_name, value in values.items():
            object.__setattr__(self, field_name, value)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So many requests, tokens, or both, in so much time: `RateLimit("openai", requests=500, per="minute")`.

    A bucket of that size, filled evenly: `requests` at once, and one more each `per / requests`. That is how OpenAI
    and Anthropic count; a fresh bucket lets up to twice `requests` through in the first `per`. Tokens are taken by
    estimate, and what was not used is given back.

    - `per`: `minute`, `hour`, `day`, `week`, `month` (30 days), or a number of seconds.
    - `when`, `by`: as in `Budget`. Without `when`, a limit with a provider's name (`openai`) counts that provider's
      attempts; any other, and one with `when={}`, counts all.
    - `wait`: True: a call that comes too early is told how long to wait, up to the time it has left; its place is kept.
      A number: so many seconds at most. False: it is refused, as a `RateLimitExceededError` with `retry_after`.

    A limit that selects one provider, model or target also heeds what the provider's own headers say is left.
    """

    name: str
    requests: int | None = field(kw_only=True)
    tokens: int | None = field(kw_only=True)
    per: Period = field(kw_only=True)
    when: Mapping[str, frozenset[str]] = field(kw_only=True)
    by: str | None = field(kw_only=True)
    wait: bool | float = field(kw_only=True)

    def __init__(
        self,
        name: str,
        *,
        requests: int | None = None,
        tokens: int | None = None,
        per: Period = "minute",
        when: Mapping[str, Any] | None = None,
        by: str | None = None,
        wait: bool | float = True,
    ) -> None:
        what = _named("RateLimit", name)
        if requests is None and tokens is None:
            raise ConfigurationError(f"{what} limits nothing: give requests=, tokens=, or both.")
        for unit, count in (("requests", requests), ("tokens", tokens)):
            if count is not None and not (_is_number(count) and count >= 1):
                raise ConfigurationError(f"{what}: {unit} is a number from 1 up, not {count!r}.")
        if not isinstance(wait, bool) and not (_is_number(wait) and wait >= 0):
            raise ConfigurationError(f"{what}: wait is True, False, or seconds from 0 up, not {wait!r}.")
        if when is None:
            when = {"provider": name} if provider_name(name) in _PROVIDERS else {}
        values = {
            "name": name,
            "requests": requests,
            "tokens": tokens,
            "per": as_period(what, per, SECONDS),
            "when": _when(what, when),
            "by": _tag(what, by),
            "wait": wait,
        }
        for field_name, value in values.items():
            object.__setattr__(self, field_name, value)

    @property
    def seconds(self) -> float:
        """`per` in seconds."""
        return SECONDS[self.per] if isinstance(self.per, str) else self.per

    @property
    def one_upstream(self) -> bool:
        """Whether it counts attempts at one provider, model or target, so that headers of theirs speak of it."""
        chosen = [tag for tag in ("provider", "model", "target") if len(self.when.get(tag, ())) == 1]
        return bool(chosen) or self.by in {"provider", "model", "target"}


@dataclass(frozen=True, slots=True)
class Hold:
    """What a reservation holds of one counter: `amount` nano-dollars, in the window that began at `start` (us)."""

    budget: str
    key: str
    counter: str
    amount: int
    start: int


@dataclass(frozen=True, slots=True)
class Slot:
    """What a reservation has taken from one limit: one request, and `tokens`; the marks say where in the queue."""

    limit: str
    counter: str
    tokens: int
    request_mark: tuple[float, float] = (0.0, 0.0)
    token_mark: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Reservation:
    """What was set aside for one attempt. `wait` is the seconds to wait before it is sent.

    It must come to `settle` or `release`, once; a second time changes nothing. `local` marks one that was made without
    the store, while that could not be reached. `hub` hears of the alerts that its settlement reaches.
    """

    id: str
    wait: float = 0.0
    holds: tuple[Hold, ...] = ()
    slots: tuple[Slot, ...] = ()
    local: bool = False
    tags: Mapping[str, Any] = field(default_factory=dict, repr=False)
    hub: EventHub | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a call is subject to: any budget or limit at all, any hard budget, and any that goes by expectation.

    By expectation go soft budgets, and limits that count tokens.
    """

    any: bool
    hard: bool
    expecting: bool = False


@dataclass(frozen=True, slots=True)
class BudgetState:
    """Where one counter of a budget stands. `held_usd` is set aside for calls in flight, `key` the value of `by`."""

    budget: str
    key: str
    spent_usd: Decimal
    held_usd: Decimal
    limit_usd: Decimal
    window: str
    resets_at: datetime | None = None

    @property
    def left_usd(self) -> Decimal:
        """What a further call could be given; never below 0."""
        return max(self.limit_usd - self.spent_usd - self.held_usd, Decimal(0))


@dataclass(frozen=True, slots=True)
class LimitState:
    """What one limit would let through at once; None where it does not count that."""

    limit: str
    key: str
    requests_left: int | None
    tokens_left: int | None


@dataclass(frozen=True, slots=True)
class LedgerReport:
    """Where the budgets and limits of a call stand; `str(report)` is a table."""

    budgets: tuple[BudgetState, ...]
    limits: tuple[LimitState, ...]

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [("budget", "of", "spent", "held", "left", "limit", "window")]
        for state in self.budgets:
            money = (state.spent_usd, state.held_usd, state.left_usd, state.limit_usd)
            rows.append((state.budget, state.key or "-", *(f"${amount:f}" for amount in money), state.window))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        left = [
            f"{state.limit}{f' ({state.key})' if state.key else ''}: {count:,} {unit} at once"
            for state in self.limits
            for unit, count in (("requests", state.requests_left), ("tokens", state.tokens_left))
            if count is not None
        ]
        return "\n".join([*(lines if self.budgets else ()), *left])


class Ledger(Protocol):
    """Keeps budgets and limits. Every verb has a form for threads and one for loops, which do the same.

    `tags` are a call's, with `provider`, `model` and `target` of the attempt beside them.
    """

    def terms(self, tags: Mapping[str, Any]) -> Terms:
        """What a call with these tags is subject to. No I/O."""

    def foresee(self, bound: Bound, tags: Mapping[str, Any]) -> str | None:
        """Why `reserve` would refuse an attempt, as far as this process knows, or None. No I/O; nothing is held."""

    def reserve(
        self,
        bound: Bound,
        tags: Mapping[str, Any],
        *,
        patience: float | None = None,
        lease: float | None = None,
        hub: EventHub | None = None,
    ) -> Reservation:
        """Set aside what the attempt may cost in every budget and limit that applies, or in none.

        `patience`: seconds the caller can wait at most (None: as long as it takes); `lease`: seconds after which the
        attempt is taken for lost, by default the ledger's. `hub`: who hears of a refusal,
        and of the alerts that the settlement reaches, beside the ledger's own sinks.

        Raises:
            BudgetExceededError: a budget has not enough left, or is hard and the cost has no bound.
            RateLimitExceededError: a limit would let it through only after `retry_after` seconds.
            AdmissionError: the store cannot be reached, and the policy is to deny.
        """

    async def areserve(
        self,
        bound: Bound,
        tags: Mapping[str, Any],
        *,
        patience: float | None = None,
        lease: float | None = None,
        hub: EventHub | None = None,
    ) -> Reservation:
        """`reserve`, in the running loop."""

    def settle(self, reservation: Reservation, cost: Decimal | None, tokens: int | None = None) -> None:
        """The attempt cost so much (USD; None: unknown, so what was held is taken) and used so many tokens.

        Never fails: what cannot be told to the store now is told later.
        """

    async def asettle(self, reservation: Reservation, cost: Decimal | None, tokens: int | None = None) -> None:
        """`settle`, in the running loop."""

    def release(self, reservation: Reservation, *, sent: bool = True) -> None:
        """The attempt was not billed. `sent=False`: it never left, so it does not count as a request either."""

    async def arelease(self, reservation: Reservation, *, sent: bool = True) -> None:
        """`release`, in the running loop."""

    def feed(self, headers: Mapping[str, str], tags: Mapping[str, Any]) -> None:
        """Heed what a provider's reply says is left of its own limits; limits of that one upstream only get tighter."""

    async def afeed(self, headers: Mapping[str, str], tags: Mapping[str, Any]) -> None:
        """`feed`, in the running loop."""

    def report(self, tags: Mapping[str, Any]) -> LedgerReport:
        """Where the budgets and limits of a call with these tags stand.

        Raises:
            StoreError: the store cannot be reached.
        """

    async def areport(self, tags: Mapping[str, Any]) -> LedgerReport:
        """`report`, in the running loop."""


# ---- checks ----------------------------------------------------------------------------------------------------------


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def _named(what: str, name: object) -> str:
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"{what} needs a name, which reports and errors call it by: {what}('search', ...).")
    return f"{what}({name!r})"


def _money(what: str, amount: object) -> Decimal:
    money = as_usd(amount)
    if money is None or money > MOST_USD:
        raise ConfigurationError(f"{what}: usd is in US dollars, from 0 to {MOST_USD:,}, not {amount!r}.")
    return money


def _when(what: str, when: Any) -> Mapping[str, frozenset[str]]:
    if not isinstance(when, Mapping) or not all(isinstance(tag, str) for tag in when):
        raise ConfigurationError(f"{what}: when maps tags to values: when={{'team': 'search'}}.")
    many = {
        tag: value if isinstance(value, list | tuple | set | frozenset) else (value,) for tag, value in when.items()
    }
    return {tag: frozenset(tag_value(tag, value) for value in values) for tag, values in many.items()}


def tag_value(tag: str, value: object) -> str:
    """A tag's value as it is compared and counted: as text, and providers by one name each (`bedrock` is `aws`)."""
    return provider_name(str(value)) if tag == "provider" else str(value)


def _tag(what: str, by: object) -> str | None:
    if by is not None and (not isinstance(by, str) or not by):
        raise ConfigurationError(f"{what}: by is the name of a tag: by='user'.")
    return by


def _alerts(what: str, alerts: Iterable[float]) -> tuple[float, ...]:
    shares = tuple(alerts)
    if not all(_is_number(share) and share > 0 for share in shares):
        raise ConfigurationError(f"{what}: alerts are shares of usd above 0: alerts=(0.5, 0.8, 1.0).")
    return tuple(sorted(set(shares)))

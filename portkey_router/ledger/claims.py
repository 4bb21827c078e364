"""Which budgets and limits a call is subject to, and the counters and buckets that stand for them."""

from __future__ import annotations

import hashlib
import json
import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from portkey_router.budget import tag_value
from portkey_router.errors import BudgetExceededError, ConfigurationError
from portkey_router.ledger.commands import Bucket, Counter, Return, Settlement, Tightened
from portkey_router.windows import SECONDS, calendar_span

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from portkey_router.bound import Bound
    from portkey_router.budget import Budget, Hold, RateLimit, Slot
    from portkey_router.ledger.provider_limits import ProviderLimits

__all__ = [
    "Claimed",
    "Limited",
    "bucket",
    "claimed",
    "counter",
    "limited",
    "needed",
    "returned",
    "settlement",
    "tightened",
    "window_length",
]

MICROSECONDS = 1_000_000


class Claimed(NamedTuple):
    """A budget that a call is subject to, the value it is counted by, and the counter's name."""

    budget: Budget
    value: str
    key: str


class Limited(NamedTuple):
    """A limit that a call is subject to, the value it is counted by, and the bucket's name."""

    limit: RateLimit
    value: str
    key: str


def claimed(budgets: Iterable[Budget], tags: Mapping[str, Any]) -> list[Claimed]:
    """The budgets that a call with these tags is subject to."""
    found = []
    for budget in budgets:
        if _selects(budget.when, tags):
            value = _value(budget.by, tags)
            # How a budget counts is part of its counter's name: one that is changed to count otherwise begins anew.
            how = (str(budget.per), budget.window, str(budget.timezone))
            found.append(Claimed(budget, value, _hashed("budget", budget.name, *how, budget.by or "", value)))
    return found


def limited(limits: Iterable[RateLimit], tags: Mapping[str, Any]) -> list[Limited]:
    """The limits that a call with these tags is subject to."""
    found = []
    for limit in limits:
        if _selects(limit.when, tags):
            value = _value(limit.by, tags)
            found.append(Limited(limit, value, _hashed("limit", limit.name, str(limit.per), limit.by or "", value)))
    return found


def _selects(when: Mapping[str, frozenset[str]], tags: Mapping[str, Any]) -> bool:
    return all(not values.isdisjoint(_values(tag, tags.get(tag))) for tag, values in when.items())


def _value(by: str | None, tags: Mapping[str, Any]) -> str:
    values = sorted(set(_values(by, tags.get(by)))) if by else []
    if len(values) > 1 and by in {"provider", "model", "target"}:
        raise ConfigurationError(
            f"A budget or limit counts by {by!r}, and the gateway, which runs this strategy, may choose between "
            f"{', '.join(values)}. Run it on the client (run_on='client'), or count by something else."
        )
    return ",".join(values)


def _values(tag: str, given: object) -> list[str]:
    """A tag's values as they are compared: none where it is None; LangChain's tags, for one, are many."""
    if given is None:
        return []
    many = given if isinstance(given, list | tuple | set | frozenset) else (given,)
    return [tag_value(tag, each) for each in many]


@lru_cache(maxsize=4096)
def _hashed(*parts: str) -> str:
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


# ---- counters --------------------------------------------------------------------------------------------------------


def needed(claim: Claimed, bound: Bound) -> int:
    """What the call must find in this budget, in nano-dollars: at most for a hard one, as expected for a soft one."""
    budget = claim.budget
    if not budget.hard:
        return bound.expected or 0
    if bound.most is None:
        raise BudgetExceededError(
            f"The hard budget {budget.name!r} lets nothing through that has no bound: {bound.unknown}",
            budget=budget.name,
            key=claim.value,
        )
    return bound.most


def counter(claim: Claimed, now: int, amount: int = 0) -> Counter:
    """The counter of a budget at `now`, of which `amount` is asked."""
    budget = claim.budget
    if budget.per == "total":
        return Counter(claim.key, "total", 0, 0, budget.limit, amount)
    if budget.window == "calendar":
        span = calendar_span(str(budget.per), budget.timezone, now)
        return Counter(claim.key, "calendar", span.start, span.end - span.start, budget.limit, amount)
    return Counter(claim.key, budget.window, 0, window_length(budget), budget.limit, amount)


def window_length(budget: Budget) -> int:
    """Of a window of a stated length, in microseconds."""
    seconds = SECONDS[budget.per] if isinstance(budget.per, str) else budget.per
    return round(seconds * MICROSECONDS)


def settlement(budget: Budget, hold: Hold, cost: int) -> Settlement:
    """What was held of a budget, settled."""
    if budget.per == "total":
        return Settlement(hold.counter, "total", 0, cost, budget.alert_amounts)
    # Of a calendar window it is not asked how long it is: what was held belongs to the one that it was held in.
    length = 0 if budget.window == "calendar" else window_length(budget)
    return Settlement(hold.counter, budget.window, length, cost, budget.alert_amounts)


# ---- buckets ---------------------------------------------------------------------------------------------------------


def bucket(claim: Limited, tokens: int, patience: float) -> Bucket:
    """The bucket of a limit, from which one request and so many tokens are asked."""
    limit = claim.limit
    length = limit.seconds * MICROSECONDS
    wait = patience if limit.wait is True else 0.0 if limit.wait is False else min(limit.wait, patience)
    return Bucket(
        key=claim.key,
        length=length,
        request=length / limit.requests if limit.requests else 0.0,
        token=length / limit.tokens if limit.tokens else 0.0,
        requests=1,
        tokens=tokens,
        patience=wait * MICROSECONDS,
    )


def returned(limit: RateLimit, slot: Slot, tokens: int | None, *, request: bool) -> Return:
    """What a limit is given back by a call that used so many tokens (None: not known). `request`: it counts as one."""
    length = limit.seconds * MICROSECONDS
    unused = 0 if tokens is None else slot.tokens - tokens
    return Return(
        key=slot.counter,
        length=length,
        request=length / limit.requests if limit.requests and not request else 0.0,
        token=unused * (length / limit.tokens) if limit.tokens else 0.0,
        request_mark=slot.request_mark,
        token_mark=slot.token_mark,
    )


def tightened(claim: Limited, told: ProviderLimits) -> Tightened | None:
    """How full a bucket is at least, by what the provider says; None where it says nothing of it."""
    limit = claim.limit
    length = limit.seconds * MICROSECONDS
    levels = []
    for most, left in ((limit.requests, told.requests_left), (limit.tokens, told.tokens_left)):
        level = -math.inf if most is None or left is None else max(0.0, length - left * (length / most))
        if most is not None and told.retry_after is not None:
            level = max(level, length + told.retry_after * MICROSECONDS)
        levels.append(max(level, -1.0))
    return Tightened(claim.key, length, levels[0], levels[1]) if max(levels) >= 0 else None

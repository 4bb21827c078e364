"""What a store's answers mean for the caller: a reservation, a refusal, alerts, a report."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from portkey_router.budget import BudgetState, Hold, LedgerReport, LimitState, Reservation, Slot
from portkey_router.errors import BudgetExceededError, RateLimitExceededError
from portkey_router.events import BudgetAlert, BudgetExceeded
from portkey_router.ledger.claims import MICROSECONDS, window_length
from portkey_router.ledger.commands import Settled
from portkey_router.money import usd
from portkey_router.windows import calendar_span, moment, named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from typing import Any

    from portkey_router.budget import Budget
    from portkey_router.events import EventHub
    from portkey_router.ledger.claims import Claimed, Limited
    from portkey_router.ledger.commands import Admitted, Bucket, Counter, CounterState, Peek, Peeked, Refused, Reply

__all__ = ["alerts", "refused_by_budget", "refused_by_limit", "report", "reservation"]


def reservation(
    id_: str,
    reply: Admitted,
    claims: Sequence[tuple[Claimed, int]],
    limits: Sequence[Limited],
    *,
    tokens: int,
    tags: Mapping[str, Any],
    local: bool,
    hub: EventHub | None = None,
) -> Reservation:
    """What was set aside. What was let through without the store has taken no place in its buckets."""
    return Reservation(
        id=id_,
        wait=reply.wait / MICROSECONDS,
        holds=tuple(
            Hold(claim.budget.name, claim.value, claim.key, amount, start)
            for (claim, amount), start in zip(claims, reply.starts, strict=True)
        ),
        slots=()
        if local
        else tuple(
            Slot(limit.limit.name, limit.key, tokens, *marks) for limit, marks in zip(limits, reply.marks, strict=True)
        ),
        local=local,
        tags=dict(tags),
        hub=hub,
    )


def refused_by_budget(
    reply: Refused, claim: Claimed, amount: int, tags: Mapping[str, Any], *, local: bool
) -> tuple[BudgetExceeded, BudgetExceededError]:
    """The event and the error."""
    budget = claim.budget
    window = _named(budget, reply.start)
    event = BudgetExceeded(
        budget=budget.name,
        key=claim.value,
        spent_usd=usd(reply.spent),
        limit_usd=budget.usd,
        needed_usd=usd(amount),
        window=window,
        tags=dict(tags),
    )
    whose = f" for {budget.by}={claim.value!r}" if budget.by else ""
    needs = "may cost up to" if budget.hard else "will cost about"
    call = f"Budget {budget.name!r}{whose} ({window}): the call {needs} ${usd(amount):f}, and"
    resets = resets_at(budget, reply.start)
    told: dict[str, Any] = {"budget": budget.name, "key": claim.value, "needed_usd": usd(amount), "resets_at": resets}
    if local:
        return event, BudgetExceededError(
            f"{call} the ledger's store cannot be reached: this process lets no more through than its part of what it "
            "last saw to be left. Bring the store back, or wait.",
            **told,
        )
    left = usd(max(0, budget.limit - reply.spent - reply.held))
    until = "Wait" if resets is None else f"Wait until {resets:%Y-%m-%d %H:%M} UTC"
    return event, BudgetExceededError(
        f"{call} of ${budget.usd:f} ${left:f} is left; ${usd(reply.held):f} is held for calls in flight. {until}, "
        "raise usd=, or ask for less: a smaller max_tokens= lowers what a call may cost.",
        left_usd=left,
        **told,
    )


def foreseen(claim: Claimed, amount: int, left: int) -> str:
    """Why an attempt would be refused."""
    budget = claim.budget
    needs = "may cost up to" if budget.hard else "will cost about"
    whose = f" for {budget.by}={claim.value!r}" if budget.by else ""
    return (
        f"it {needs} ${usd(amount):f}, and of the budget {budget.name!r}{whose} ${usd(left):f} was last seen to be left"
    )


def refused_by_limit(reply: Refused, claim: Limited, tokens: int) -> RateLimitExceededError:
    """The error; `retry_after` is None where waiting would not help."""
    limit = claim.limit
    whose = f" for {limit.by}={claim.value!r}" if limit.by else ""
    if math.isinf(reply.wait):
        return RateLimitExceededError(
            f"Rate limit {limit.name!r}{whose}: the call needs about {tokens:,} tokens, more than the {limit.tokens:,} "
            "that it ever lets through at once. Ask for less, or raise tokens=."
        )
    seconds = reply.wait / MICROSECONDS
    return RateLimitExceededError(
        f"Rate limit {limit.name!r}{whose}: the call would have to wait {seconds:.3g} s. Try again then, or let it "
        "wait: wait=True, and time enough for the call.",
        retry_after=seconds,
    )


def alerts(reply: Reply, made: Reservation, budgets: Mapping[str, Budget]) -> Iterator[tuple[Budget, BudgetAlert]]:
    """The alerts that a settlement has reached."""
    for position, amount, spent in reply.alerts if isinstance(reply, Settled) else ():
        hold = made.holds[position]
        budget = budgets[hold.budget]
        yield (
            budget,
            BudgetAlert(
                budget=budget.name,
                key=hold.key,
                share=budget.alerts[budget.alert_amounts.index(amount)],
                spent_usd=usd(spent),
                limit_usd=budget.usd,
                window=_named(budget, hold.start),
                tags=made.tags,
            ),
        )


def report(claims: Sequence[Claimed], limits: Sequence[Limited], asked: Peek, reply: Peeked) -> LedgerReport:
    """Where budgets and limits stand."""
    return LedgerReport(
        tuple(map(_budget_state, claims, asked.counters, reply.counters)),
        tuple(
            LimitState(
                claim.limit.name,
                claim.value,
                _left(each, state.requests, each.request),
                _left(each, state.tokens, each.token),
            )
            for claim, each, state in zip(limits, asked.buckets, reply.buckets, strict=True)
        ),
    )


def resets_at(budget: Budget, start: int) -> datetime | None:
    """When the window that began at `start` (microseconds) ends; None for one that never does, or slides."""
    if not start or budget.per == "total" or budget.window == "sliding":
        return None
    if budget.window == "calendar":
        return moment(calendar_span(str(budget.per), budget.timezone, start).end)
    return moment(start + window_length(budget))


def _budget_state(claim: Claimed, asked: Counter, state: CounterState) -> BudgetState:
    budget = claim.budget
    start = state.start or asked.start
    return BudgetState(
        budget=budget.name,
        key=claim.value,
        spent_usd=usd(state.spent),
        held_usd=usd(state.held),
        limit_usd=budget.usd,
        window=_named(budget, start),
        resets_at=resets_at(budget, start),
    )


def _named(budget: Budget, start: int) -> str:
    return named(budget.per, budget.window, budget.timezone, start)


def _left(asked: Bucket, level: float, one: float) -> int | None:
    return max(0, math.floor((asked.length - level) / one + 1e-6)) if one else None

"""`BudgetLedger`: budgets and limits kept in a store. What it does is written once, as steps; a store performs them."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypedDict
from uuid import uuid4

from portkey_router.budget import LedgerReport, Reservation, Terms
from portkey_router.errors import AdmissionError, BudgetExceededError, ConfigurationError, StoreError
from portkey_router.events import EventHub
from portkey_router.ledger import outcomes
from portkey_router.ledger.claims import (
    MICROSECONDS,
    bucket,
    claimed,
    counter,
    limited,
    needed,
    returned,
    settlement,
    tightened,
)
from portkey_router.ledger.commands import (
    Admitted,
    Feed,
    Misdated,
    Peek,
    Peeked,
    Refused,
    Reserve,
    Settle,
    Settlement,
)
from portkey_router.ledger.outage import Outage, Untold
from portkey_router.ledger.provider_limits import provider_limits
from portkey_router.money import nano
from portkey_router.sansio import arun_steps, run_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping
    from decimal import Decimal

    from portkey_router.bound import Bound
    from portkey_router.budget import Budget, RateLimit
    from portkey_router.events import Event
    from portkey_router.ledger.commands import Command, Counter, LateMode, LedgerStore, Reply

__all__ = ["BudgetLedger", "LedgerOptions"]

_logger = logging.getLogger("portkey_router.ledger")

LEASE_SECONDS = 900.0
OnLedgerError = Literal["allow", "deny"]

# Of the commands that waited for the store, so many are told before the next call's own.
_TOLD_AT_ONCE = 256
# What the server says of the command itself; anything else may be otherwise the next time.
_HOPELESS = frozenset({"ERR", "WRONGTYPE"})


class LedgerOptions(TypedDict, total=False):
    """How a ledger behaves, as `BudgetLedger` takes it."""

    on_ledger_error: OnLedgerError
    lease: LateMode
    lease_seconds: float
    instances: int
    pause: float


class BudgetLedger:
    """Keeps budgets and limits in a store. Safe for threads, loops and processes.

    - `on_ledger_error`: what follows when the store cannot be reached. `deny` (default): no call that is subject to a
      budget or limit is let through. `allow`: calls are counted here, over this process's part of what was last seen
      to be left (`instances`: how many processes share it), and told to the store when it answers again.
    - `lease`: what becomes of money held for an attempt that is never settled, because its process died: after
      `lease_seconds` (900) it counts as `spend` (default), at the bound, or is given back (`release`). They must
      outlast the longest attempt.
    - `pause`: seconds for which a store that could not be reached is left alone.
    - `hub`: who is told of `BudgetAlert` and `BudgetExceeded`. `clock`: seconds since 1970.

    Its verbs are those of the `Ledger` protocol, described there.
    """

    def __init__(
        self,
        store: LedgerStore,
        budgets: Iterable[Budget] = (),
        limits: Iterable[RateLimit] = (),
        *,
        on_ledger_error: OnLedgerError = "deny",
        lease: LateMode = "spend",
        lease_seconds: float = LEASE_SECONDS,
        instances: int = 1,
        pause: float = 1.0,
        hub: EventHub | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.budgets, self.limits = tuple(budgets), tuple(limits)
        _check(self.budgets, self.limits, on_ledger_error, lease)
        self._by_name = {budget.name: budget for budget in self.budgets}
        self._limit_by_name = {limit.name: limit for limit in self.limits}
        if not lease_seconds > 0:
            raise ConfigurationError(f"lease_seconds= is above 0, and longer than any attempt, not {lease_seconds!r}.")
        if instances < 1:
            raise ConfigurationError(f"instances= is how many processes share a budget, from 1 up, not {instances!r}.")
        self._store = store
        self._allow = on_ledger_error == "allow"
        self._late: LateMode = lease
        self._lease = lease_seconds
        self._outage = Outage(instances=instances, pause=pause)
        self._hub = hub or EventHub()
        self._clock = clock
        self._ahead = 0  # microseconds by which the store's clock is ahead of ours

    def __repr__(self) -> str:
        return f"BudgetLedger({len(self.budgets)} budgets, {len(self.limits)} limits, {self._store!r})"

    def __copy__(self) -> BudgetLedger:
        return self  # what is spent is spent once: the copy of a model shares it

    def __deepcopy__(self, memo: dict[int, Any]) -> BudgetLedger:
        return self

    def terms(self, tags: Mapping[str, Any]) -> Terms:
        """What a call with these tags is subject to."""
        claims = claimed(self.budgets, tags)
        limits = limited(self.limits, tags)
        soft = any(not claim.budget.hard for claim in claims)
        return Terms(
            bool(claims or limits),
            any(claim.budget.hard for claim in claims),
            soft or any(claim.limit.tokens for claim in limits),
        )

    def reserve(
        self,
        bound: Bound,
        tags: Mapping[str, Any],
        *,
        patience: float | None = None,
        lease: float | None = None,
        hub: EventHub | None = None,
    ) -> Reservation:
        """See `Ledger.reserve`."""
        return run_steps(self._reserve(bound, tags, patience, lease, hub), self._store.run)

    async def areserve(
        self,
        bound: Bound,
        tags: Mapping[str, Any],
        *,
        patience: float | None = None,
        lease: float | None = None,
        hub: EventHub | None = None,
    ) -> Reservation:
        """See `Ledger.reserve`."""
        return await arun_steps(self._reserve(bound, tags, patience, lease, hub), self._store.arun)

    def settle(self, reservation: Reservation, cost: Decimal | None, tokens: int | None = None) -> None:
        """See `Ledger.settle`."""
        run_steps(self._settle(reservation, cost, tokens), self._store.run)

    async def asettle(self, reservation: Reservation, cost: Decimal | None, tokens: int | None = None) -> None:
        """See `Ledger.settle`."""
        await arun_steps(self._settle(reservation, cost, tokens), self._store.arun)

    def release(self, reservation: Reservation, *, sent: bool = True) -> None:
        """See `Ledger.release`."""
        run_steps(self._release(reservation, sent=sent), self._store.run)

    async def arelease(self, reservation: Reservation, *, sent: bool = True) -> None:
        """See `Ledger.release`."""
        await arun_steps(self._release(reservation, sent=sent), self._store.arun)

    def feed(self, headers: Mapping[str, str], tags: Mapping[str, Any]) -> None:
        """See `Ledger.feed`."""
        run_steps(self._feed(headers, tags), self._store.run)

    async def afeed(self, headers: Mapping[str, str], tags: Mapping[str, Any]) -> None:
        """See `Ledger.feed`."""
        await arun_steps(self._feed(headers, tags), self._store.arun)

    def report(self, tags: Mapping[str, Any]) -> LedgerReport:
        """See `Ledger.report`."""
        return run_steps(self._report(tags), self._store.run)

    async def areport(self, tags: Mapping[str, Any]) -> LedgerReport:
        """See `Ledger.report`."""
        return await arun_steps(self._report(tags), self._store.arun)

    def foresee(self, bound: Bound, tags: Mapping[str, Any]) -> str | None:
        """Why an attempt would be refused, as far as this process knows; None where it knows of no reason.

        No I/O, and nothing is held: what others have spent since this process last asked is not in it.
        """
        now = self._now()
        for claim in claimed(self.budgets, tags):
            try:
                amount = needed(claim, bound)
            except BudgetExceededError as refusal:
                return str(refusal)
            left = self._outage.left(counter(claim, now), now)
            if amount > left:
                return outcomes.foreseen(claim, amount, left)
        return None

    # ---- reserve ----

    def _reserve(
        self,
        bound: Bound,
        tags: Mapping[str, Any],
        patience: float | None,
        lease: float | None,
        hub: EventHub | None,
    ) -> Generator[Command, Reply, Reservation]:
        claims, limits = claimed(self.budgets, tags), limited(self.limits, tags)
        if not claims and not limits:
            return Reservation("")
        amounts = [needed(claim, bound) for claim in claims]
        held_for = round((self._lease if lease is None else lease) * MICROSECONDS)
        waits = math.inf if patience is None else patience

        def command(now: int) -> Reserve:
            counters = (counter(claim, now, amount) for claim, amount in zip(claims, amounts, strict=True))
            buckets = (bucket(limit, bound.tokens, waits) for limit in limits)
            return Reserve(reservation_id, held_for, self._late, tuple(counters), tuple(buckets))

        reservation_id, local = uuid4().hex, False
        try:
            reply = yield from self._asked(command)
        except StoreError as error:
            reservation_id, local = uuid4().hex, True
            reply = self._without_store(command, error)
        if isinstance(reply, Refused) and reply.counter is not None:
            self._outage.saw_refused(command(self._now()).counters[reply.counter], reply)
            event, refusal = outcomes.refused_by_budget(
                reply, claims[reply.counter], amounts[reply.counter], tags, local=local
            )
            self._tell_of(hub, event)
            raise refusal
        if isinstance(reply, Refused):
            raise outcomes.refused_by_limit(reply, limits[reply.bucket or 0], bound.tokens)
        assert isinstance(reply, Admitted)  # noqa: S101  (the only other answer to a Reserve)
        amounted = list(zip(claims, amounts, strict=True))
        made = outcomes.reservation(
            reservation_id, reply, amounted, limits, tokens=bound.tokens, tags=tags, local=local, hub=hub
        )
        if local and made.holds:  # what is spent meanwhile is the store's to know, whatever is left there by then
            forced = replace(command(self._now()), buckets=(), forced=True)
            self._outage.later(Untold(forced, made))
        return made

    def _asked(self, command: Callable[[int], Reserve]) -> Generator[Command, Reply, Reply]:
        """The store's answer. Whatever interrupts it, what it may have held by then is given back."""
        if self._outage.down(self._clock()):
            raise StoreError("The ledger's store was not reached a moment ago.")
        asked = command(self._now())
        try:
            yield from self._tell()
            reply = yield from self._dated(command, asked)
        except BaseException as error:
            undone = Settle(asked.id, tuple(map(_nothing, asked.counters)))
            self._outage.later(Untold(undone, Reservation(asked.id)))
            if isinstance(error, StoreError):
                self._outage.failed(self._clock(), error)
            raise
        self._outage.answered()
        if isinstance(reply, Admitted):
            self._outage.saw(asked, reply)
        return reply

    def _without_store(self, command: Callable[[int], Reserve], error: StoreError) -> Reply:
        if self._allow:
            now = self._now()
            return self._outage.reserve(command(now), now)
        raise AdmissionError(
            f"Refused, since its budgets cannot be checked: {error} Bring the ledger's store back, or choose "
            "on_ledger_error='allow', which lets calls through within what was last seen to be left."
        ) from error

    def _dated(self, make: Callable[[int], Command], first: Command) -> Generator[Command, Reply, Reply]:
        """The answer to `first`; where our clock was wrong, to the command made for the windows of the store's time."""
        command = first
        for _ in range(4):
            reply = yield command
            if not isinstance(reply, Misdated):
                return reply
            self._ahead = reply.now - int(self._clock() * MICROSECONDS)
            command = make(self._now())
        raise StoreError("The clock of the ledger's store does not stand still long enough to name a calendar window.")

    def _now(self) -> int:
        return int(self._clock() * MICROSECONDS) + self._ahead

    # ---- settle ----

    def _settle(
        self, reservation: Reservation, cost: Decimal | None, tokens: int | None
    ) -> Generator[Command, Reply, None]:
        known = None if cost is None else nano(cost)
        yield from self._close(reservation, known, tokens, request=True)

    def _release(self, reservation: Reservation, *, sent: bool) -> Generator[Command, Reply, None]:
        yield from self._close(reservation, 0, 0, request=sent)

    def _close(
        self, reservation: Reservation, cost: int | None, tokens: int | None, *, request: bool
    ) -> Generator[Command, Reply, None]:
        if not reservation.holds and not reservation.slots:
            return
        command = Settle(
            reservation.id,
            tuple(
                settlement(self._by_name[hold.budget], hold, hold.amount if cost is None else cost)
                for hold in reservation.holds
            ),
            tuple(
                returned(self._limit_by_name[slot.limit], slot, tokens, request=request) for slot in reservation.slots
            ),
        )
        if reservation.local:
            self._outage.settle(command, self._now())
        else:
            self._outage.saw_settled(reservation, command)
        untold = Untold(command, reservation)
        if self._outage.down(self._clock()):
            self._outage.later(untold)
            return
        try:
            yield from self._tell()
            if self._outage.untold or self._outage.telling:
                self._outage.later(untold)  # it may follow a command that waits
                return
            reply = yield command
        except StoreError as error:
            self._outage.failed(self._clock(), error)
            self._outage.later(untold)
        except BaseException:
            self._outage.later(untold)
            raise
        else:
            self._outage.answered()
            self._alert(reply, reservation)

    def _tell(self) -> Generator[Command, Reply, None]:
        """Tell the store what it could not be told before: each command once more, in order. All bear repeating."""
        outage = self._outage
        if not outage.begin_telling():
            return
        try:
            for _ in range(_TOLD_AT_ONCE):
                untold = outage.next()
                if untold is None:
                    break
                try:
                    reply = yield untold.command
                except StoreError as error:
                    if error.code not in _HOPELESS:
                        outage.again(untold)
                        raise
                    _logger.exception("The ledger's store refuses a command for good; it is dropped.")
                except BaseException:
                    outage.again(untold)
                    raise
                else:
                    self._alert(reply, untold.reservation)
        finally:
            outage.end_telling()

    def _tell_of(self, hub: EventHub | None, event: Event) -> None:
        """Tell our own sinks, and those of the call, each once."""
        (self._hub if hub is None else hub.with_sinks_of(self._hub)).emit(event)

    def _alert(self, reply: Reply, made: Reservation) -> None:
        for budget, alert in outcomes.alerts(reply, made, self._by_name):
            self._tell_of(made.hub, alert)
            if budget.on_alert is not None:
                try:
                    budget.on_alert(alert)
                except Exception:
                    _logger.exception("on_alert of the budget %r failed; the call goes on.", budget.name)

    # ---- the provider's word, and reports ----

    def _feed(self, headers: Mapping[str, str], tags: Mapping[str, Any]) -> Generator[Command, Reply, None]:
        told = provider_limits(headers) if self.limits else None
        claims = [claim for claim in limited(self.limits, tags) if claim.limit.one_upstream] if told else []
        levels = [level for claim in claims if told and (level := tightened(claim, told)) is not None]
        if not levels or self._outage.down(self._clock()):
            return
        try:
            yield Feed(tuple(levels))
        except StoreError as error:
            self._outage.failed(self._clock(), error)

    def _report(self, tags: Mapping[str, Any]) -> Generator[Command, Reply, LedgerReport]:
        claims, limits = claimed(self.budgets, tags), limited(self.limits, tags)
        if not claims and not limits:
            return LedgerReport((), ())
        yield from self._tell()

        def peek(now: int) -> Peek:
            return Peek(
                tuple(counter(claim, now) for claim in claims), tuple(bucket(limit, 0, math.inf) for limit in limits)
            )

        asked = peek(self._now())
        reply = yield from self._dated(peek, asked)
        assert isinstance(reply, Peeked)  # noqa: S101  (the only other answer to a Peek)
        return outcomes.report(claims, limits, peek(self._now()), reply)


def _nothing(due: Counter) -> Settlement:
    """The counter's share of what was held, given back."""
    return Settlement(due.key, due.kind, due.length, 0)


def _check(budgets: tuple[Budget, ...], limits: tuple[RateLimit, ...], policy: object, late: object) -> None:
    for what, names in (("Budget", [each.name for each in budgets]), ("RateLimit", [each.name for each in limits])):
        if twice := {name for name in names if names.count(name) > 1}:
            raise ConfigurationError(f"{what}s need names of their own, and there are two called {min(twice)!r}.")
    if policy not in {"allow", "deny"}:
        raise ConfigurationError(f"on_ledger_error= is 'allow' or 'deny', not {policy!r}.")
    if late not in {"spend", "release"}:
        raise ConfigurationError(f"lease= is 'spend' or 'release', not {late!r}.")

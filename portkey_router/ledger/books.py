"""The ledger's arithmetic over state in this process: what `stores/lua/*.lua` do in Redis, step by step the same.

Nothing here reads a clock: every command is done at the `now` it is handed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from portkey_router.ledger.commands import (
    LATE,
    SWEPT,
    Admitted,
    Bucket,
    BucketState,
    Command,
    Counter,
    CounterState,
    Fed,
    Feed,
    LateMode,
    Misdated,
    Peek,
    Peeked,
    Refused,
    Reply,
    Reserve,
    Settle,
    Settled,
    Settlement,
)

__all__ = ["Books"]

_FOREVER = math.inf


@dataclass(slots=True)
class _Lease:
    start: int
    amount: int
    late: LateMode
    due: int
    state: Literal["held", "spend", "release"] = "held"


@dataclass(slots=True)
class _Account:
    """A counter: what its window has spent and holds, and the window before it."""

    start: int | None = None
    spent: int = 0
    held: int = 0
    spent_before: int = 0
    held_before: int = 0
    alerted: int = 0
    leases: dict[str, _Lease] = field(default_factory=dict)
    next_due: float = _FOREVER
    until: float = _FOREVER

    def roll(self, counter: Counter | Settlement, start: int) -> None:
        """Begin the window at `start`, unless it, or a later one, has begun."""
        if self.start is not None and start <= self.start:
            return
        follows = counter.kind == "sliding" and self.start is not None and self.start + counter.length == start
        self.spent_before, self.held_before = (self.spent, self.held) if follows else (0, 0)
        self.start, self.spent, self.held, self.alerted = start, 0, 0, 0

    def add(self, counter: Counter | Settlement, start: int, spent: int, held: int) -> bool:
        """Add to the window that began at `start`; whether that is the present one. Older ones are forgotten."""
        if start == self.start:
            self.spent, self.held = self.spent + spent, self.held + held
            return True
        if counter.kind == "sliding" and self.start is not None and start + counter.length == self.start:
            self.spent_before, self.held_before = self.spent_before + spent, self.held_before + held
        return False

    def sweep(self, counter: Counter, now: int) -> None:
        """Settle leases that have run out, the oldest first; forget those that have been settled so for long."""
        if now < self.next_due:
            return
        late = sorted((lease.due, id_) for id_, lease in self.leases.items() if lease.due <= now)
        for _, id_ in late[:SWEPT]:
            lease = self.leases[id_]
            if lease.state != "held":
                del self.leases[id_]
                continue
            self.add(counter, lease.start, lease.amount if lease.late == "spend" else 0, -lease.amount)
            lease.state, lease.due = lease.late, now + LATE
        self.next_due = min((lease.due for lease in self.leases.values()), default=_FOREVER)

    def reach(self, counter: Counter | Settlement, now: int) -> float:
        """The share of the window before that is still in reach."""
        if counter.kind != "sliding" or self.start is None:
            return 0.0
        return max(0, min(counter.length, counter.length - (now - self.start))) / counter.length


@dataclass(slots=True)
class _Flow:
    """A bucket: when it will be empty, for requests and tokens, and how much time was ever given back."""

    empty: list[float] = field(default_factory=lambda: [0.0, 0.0])
    returned: list[float] = field(default_factory=lambda: [0.0, 0.0])
    leases: dict[str, float] = field(default_factory=dict)
    until: float = _FOREVER


class Books:
    """Every counter and bucket; not safe for threads by itself."""

    __slots__ = ("_accounts", "_flows", "_next_clearing")

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}
        self._flows: dict[str, _Flow] = {}
        self._next_clearing = 0

    def do(self, command: Command, now: int) -> Reply:
        """Do one command at `now`."""
        match command:
            case Reserve():
                self._clear(now)
                return self._reserve(command, now)
            case Settle():
                return self._settle(command, now)
            case Peek():
                return self._peek(command, now)
            case Feed():
                return self._feed(command, now)

    def _clear(self, now: int) -> None:
        """Once a minute, forget what a store with expiring keys would have forgotten."""
        if now >= self._next_clearing:
            self._next_clearing = now + 60_000_000
            self._accounts = {key: each for key, each in self._accounts.items() if each.until > now}
            self._flows = {key: each for key, each in self._flows.items() if each.until > now}
            for flow in self._flows.values():
                flow.leases = {id_: due for id_, due in flow.leases.items() if due > now}

    # ---- counters ----

    def _open(self, counter: Counter, now: int) -> _Account:
        """A counter, its window begun and its late leases settled."""
        account = self._accounts.setdefault(counter.key, _Account())
        start = _start(counter, account, now)
        account.roll(counter, now if start is None else start)
        account.sweep(counter, now)
        return account

    def _reserve(self, command: Reserve, now: int) -> Reply:
        if _misdated(command.counters, now):
            return Misdated(now)
        accounts = []
        for position, counter in enumerate(command.counters):
            account = self._open(counter, now)
            accounts.append(account)
            if command.forced or command.id in account.leases:
                continue
            spent, held = _standing(account, counter, now)
            if spent + held + counter.amount > counter.limit:
                return Refused(now, position, None, spent, held, account.start or 0)
        flows = [self._flows.get(bucket.key) or _Flow() for bucket in command.buckets]
        wait = 0.0
        for position, (bucket, flow) in enumerate(zip(command.buckets, flows, strict=True)):
            needed = _wait(bucket, flow, now)
            if needed > bucket.patience or needed == math.inf:
                return Refused(now, None, position, wait=needed)
            wait = max(wait, needed)
        used = []
        for counter, account in zip(command.counters, accounts, strict=True):
            _hold(account, counter, command, now)
            used.append(sum(_standing(account, counter, now)))
        marks = []
        for bucket, flow in zip(command.buckets, flows, strict=True):
            self._flows[bucket.key] = flow
            marks.append(_take(bucket, flow, command, now))
        return Admitted(now, wait, tuple(account.start or 0 for account in accounts), tuple(used), tuple(marks))

    def _settle(self, command: Settle, now: int) -> Reply:
        alerts: list[tuple[int, int, int]] = []
        for position, due in enumerate(command.counters):
            account = self._accounts.get(due.key)
            lease = account.leases.pop(command.id, None) if account else None
            if account is None or lease is None:
                continue
            counted = {"held": 0, "spend": lease.amount, "release": 0}[lease.state]
            held = lease.amount if lease.state == "held" else 0
            if account.add(due, lease.start, due.cost - counted, -held):
                spent = account.spent + math.ceil(account.spent_before * account.reach(due, now))
                for amount in due.alerts:
                    if account.alerted < amount <= spent:
                        account.alerted = amount
                        alerts.append((position, amount, spent))
        for back in command.buckets:
            flow = self._flows.get(back.key)
            if flow is not None and flow.leases.pop(command.id, 0.0) > now:
                _give_back(flow, 0, back.request, back.request_mark, now)
                _give_back(flow, 1, back.token, back.token_mark, now)
        return Settled(now, tuple(alerts))

    def _peek(self, command: Peek, now: int) -> Reply:
        if _misdated(command.counters, now):
            return Misdated(now)
        counters = []
        for counter in command.counters:
            if _start(counter, self._accounts.get(counter.key), now) is None or counter.key not in self._accounts:
                counters.append(CounterState(0, 0, 0))  # a look begins nothing
            else:
                account = self._open(counter, now)
                counters.append(CounterState(account.start or 0, *_standing(account, counter, now)))
        empties = [(self._flows.get(bucket.key) or _Flow()).empty for bucket in command.buckets]
        buckets = [BucketState(max(0.0, requests - now), max(0.0, tokens - now)) for requests, tokens in empties]
        return Peeked(now, tuple(counters), tuple(buckets))

    def _feed(self, command: Feed, now: int) -> Reply:
        for told in command.buckets:
            flow = self._flows.setdefault(told.key, _Flow())
            for which, level in enumerate((told.requests, told.tokens)):
                if level >= 0:
                    flow.empty[which] = max(flow.empty[which], now + level)
            flow.until = max(*flow.empty, now, 0 if flow.until == _FOREVER else flow.until - LATE) + LATE
        return Fed(now)


def _misdated(counters: tuple[Counter, ...], now: int) -> bool:
    return any(each.kind == "calendar" and not each.start <= now < each.start + each.length for each in counters)


def _start(counter: Counter, account: _Account | None, now: int) -> int | None:
    """When the present window began; None for a fixed one that nothing has begun."""
    if counter.kind == "sliding":
        return now - now % counter.length
    if counter.kind != "fixed":
        return counter.start
    if account is None or account.start is None or now >= account.start + counter.length:
        return None
    return account.start


def _standing(account: _Account, counter: Counter, now: int) -> tuple[int, int]:
    """What is spent and what is held, with the share of the window before that is in reach."""
    reach = account.reach(counter, now)
    spent = account.spent + math.ceil(account.spent_before * reach)
    return spent, account.held + math.ceil(account.held_before * reach)


def _hold(account: _Account, counter: Counter, command: Reserve, now: int) -> None:
    start = account.start or 0
    windows = 2 if counter.kind == "sliding" else 1
    end = start + windows * counter.length if counter.length else _FOREVER
    account.until = end + command.lease + LATE
    if command.id not in account.leases:
        account.held += counter.amount
        due = now + command.lease
        account.leases[command.id] = _Lease(start, counter.amount, command.late, due)
        account.next_due = min(account.next_due, due)


# ---- buckets ----


def _wait(bucket: Bucket, flow: _Flow, now: int) -> float:
    """How long until the bucket has room; infinite where it never has."""
    wait = 0.0
    for which, needed in enumerate((bucket.requests * bucket.request, bucket.tokens * bucket.token)):
        if needed > bucket.length:
            return math.inf
        if needed:
            wait = max(wait, max(now, flow.empty[which]) + needed - now - bucket.length)
    return wait


def _take(bucket: Bucket, flow: _Flow, command: Reserve, now: int) -> tuple[tuple[float, float], tuple[float, float]]:
    if command.id not in flow.leases:
        for which, needed in enumerate((bucket.requests * bucket.request, bucket.tokens * bucket.token)):
            if needed:
                flow.empty[which] = max(now, flow.empty[which]) + needed
    flow.leases[command.id] = now + command.lease + LATE
    flow.until = max(*flow.empty, now) + command.lease + LATE
    return (flow.empty[0], flow.returned[0]), (flow.empty[1], flow.returned[1])


def _give_back(flow: _Flow, which: int, time: float, mark: tuple[float, float], now: int) -> None:
    """Give back time, but no more than of the place behind `mark` is still to come.

    Places are a queue: ours ended at the mark, less what others have given back since. What of it has passed already
    may have let others in, and giving that back too would let them in twice.
    """
    if time <= 0:
        if time < 0:
            flow.empty[which] = max(now, flow.empty[which]) - time
        return
    end, returned = mark
    to_come = end - max(0.0, flow.returned[which] - returned) - now
    given = min(time, max(0.0, to_come))
    flow.empty[which] -= given
    flow.returned[which] += given

"""A ledger's store in Redis: each command is one script, so it is done at once or not at all. Any Redis from 5 on.

All keys of a ledger carry one hash tag, so a cluster keeps them on one node. They are named by hashes: neither the
names of budgets nor the values they count by stand in them in clear.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from portkey_router.errors import ConfigurationError, StoreError
from portkey_router.ledger.commands import (
    Admitted,
    BucketState,
    Command,
    CounterState,
    Fed,
    Feed,
    Misdated,
    Peek,
    Peeked,
    Refused,
    Reply,
    Reserve,
    Settle,
    Settled,
)
from portkey_router.stores.commands import Script

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from portkey_router.stores.redis_client import RedisClient

__all__ = ["RedisLedgerStore"]

Argument = str | int


class RedisLedgerStore:
    """Keeps a ledger in Redis. `namespace` keeps several ledgers apart; those that share one share their counters."""

    def __init__(self, client: RedisClient, *, namespace: str = "default") -> None:
        if not namespace or set(namespace) & set("{}"):
            raise ConfigurationError("namespace= is a word without braces, such as 'production'.")
        self._client = client
        self._prefix = f"portkey-router:{{{namespace}}}:ledger:"

    def __repr__(self) -> str:
        return f"RedisLedgerStore({self._client!r}, {self._prefix})"

    def run(self, command: Command) -> Reply:
        """Do it, in this thread."""
        name, keys, arguments = _encode(command)
        return _decode(command, self._client.run(_script(name).run(self._keys(keys), arguments)))

    async def arun(self, command: Command) -> Reply:
        """Do it, in the running loop."""
        name, keys, arguments = _encode(command)
        return _decode(command, await self._client.arun(_script(name).run(self._keys(keys), arguments)))

    def _keys(self, keys: Sequence[str]) -> list[str]:
        """A hash, and the sorted set of its leases, for each."""
        return [f"{self._prefix}{key}{end}" for key in keys for end in ("", ":due")]


@cache
def _script(name: str) -> Script:
    folder = files("portkey_router.stores") / "lua"
    return Script("\n".join((folder / f"{each}.lua").read_text(encoding="utf-8") for each in ("ledger", name)))


# ---- commands --------------------------------------------------------------------------------------------------------


def _encode(command: Command) -> tuple[str, list[str], list[Argument]]:
    """The script's name, its keys, and its arguments, in the order in which the script reads them."""
    keys = [each.key for each in getattr(command, "counters", ())] + [each.key for each in command.buckets]
    match command:
        case Reserve():
            return "reserve", keys, list(_reserve(command))
        case Settle():
            return "settle", keys, list(_settle(command))
        case Peek(counters, buckets):
            asked = (each for c in counters for each in (c.kind, c.start, c.length, c.limit, c.amount))
            return "peek", keys, [len(counters), len(buckets), *asked]
        case Feed(buckets):
            return "feed", keys, [len(buckets), *(_exact(n) for b in buckets for n in (b.requests, b.tokens))]


def _reserve(command: Reserve) -> Iterator[Argument]:
    yield from (command.id, command.lease, command.late, int(command.forced))
    yield from (len(command.counters), len(command.buckets))
    for counter in command.counters:
        yield from (counter.kind, counter.start, counter.length, counter.limit, counter.amount)
    for bucket in command.buckets:
        yield from map(_exact, (bucket.length, bucket.request, bucket.token))
        yield from (bucket.requests, bucket.tokens, _exact(bucket.patience))


def _settle(command: Settle) -> Iterator[Argument]:
    yield from (command.id, len(command.counters), len(command.buckets))
    for due in command.counters:
        yield from (due.kind, due.length, due.cost, len(due.alerts), *due.alerts)
    for back in command.buckets:
        for time, mark in ((back.request, back.request_mark), (back.token, back.token_mark)):
            yield from map(_exact, (time, *mark))


def _exact(number: float) -> str:
    """As Lua reads it: `repr` has all digits, and what is infinite is a very large number."""
    return repr(min(float(number), 1e300))


# ---- replies ---------------------------------------------------------------------------------------------------------


def _decode(command: Command, raw: Any) -> Reply:
    """A script's reply: a word, the time, and numbers in the order of the command."""
    try:
        word, now, *rest = [each.decode() if isinstance(each, bytes) else each for each in raw]
        match word:
            case "misdated":
                return Misdated(int(now))
            case "admitted":
                return _admitted(command, int(now), rest)
            case "refused" if rest[0] == "counter":
                return Refused(int(now), int(rest[1]), None, *map(int, rest[2:]))
            case "refused":
                return Refused(int(now), None, int(rest[1]), wait=float(rest[2]))
            case "settled":
                return Settled(int(now), tuple(_groups([int(each) for each in rest], 3)))
            case "peeked":
                return _peeked(command, int(now), rest)
            case "fed":
                return Fed(int(now))
    except (TypeError, ValueError, IndexError) as error:
        raise StoreError(f"Redis answered a ledger's script with what it does not say: {raw!r}") from error
    raise StoreError(f"Redis answered a ledger's script with what it does not say: {raw!r}")


def _admitted(command: Command, now: int, rest: list[Any]) -> Admitted:
    counters = 2 * len(getattr(command, "counters", ()))
    numbers = [int(each) for each in rest[1 : 1 + counters]]
    marks = tuple(((a, b), (c, d)) for a, b, c, d in _groups([float(each) for each in rest[1 + counters :]], 4))
    return Admitted(now, float(rest[0]), tuple(numbers[::2]), tuple(numbers[1::2]), marks)


def _peeked(command: Command, now: int, rest: list[Any]) -> Peeked:
    counters = 3 * len(getattr(command, "counters", ()))
    states = tuple(CounterState(*each) for each in _groups([int(each) for each in rest[:counters]], 3))
    return Peeked(now, states, tuple(BucketState(*each) for each in _groups([float(n) for n in rest[counters:]], 2)))


def _groups(numbers: list[Any], size: int) -> Iterator[tuple[Any, ...]]:
    return (tuple(numbers[at : at + size]) for at in range(0, len(numbers), size))

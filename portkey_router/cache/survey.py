"""What a store holds of a cache, added up: for an administrator, who sees it from any process."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from portkey_router.cache.entry import Entry
    from portkey_router.cache.store import Found, IndexState

__all__ = ["CacheSurvey", "Tally"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CacheSurvey:
    """What a store holds of a cache. Hits and misses are not among it: each process counts its own (`CacheStats`).

    - `rows`: all of them; `read`: those that were looked at, which the numbers below are of. Of these, `entries` hold
      answers, `names` lead to one of them (`key=`), and `unreadable` are none of this version's.
    - `namespaces`, `tenants`, `tags`, `models` (None: not a model's), `kinds` and `encoders` (fingerprints; None: found
      by equal questions only): how many entries.
    - `oldest`, `newest`: ages in seconds, None where there is no entry. `endless` entries never expire.
    - `stored_bytes`: of the answers as they are stored. `row_bytes`: what an entry takes of the server's memory on
      average, its part of an index left out; None where the server does not tell.
    - `indexes`: None where the store has none to tell of (memory, Redis without search).
    """

    rows: int
    read: int
    entries: int
    names: int
    unreadable: int
    namespaces: Mapping[str, int]
    tenants: Mapping[str, int]
    tags: Mapping[str, int]
    models: Mapping[str | None, int]
    kinds: Mapping[str, int]
    encoders: Mapping[str | None, int]
    oldest: float | None
    newest: float | None
    endless: int
    stored_bytes: int
    row_bytes: float | None
    indexes: tuple[IndexState, ...] | None


@dataclass(slots=True)
class Tally:
    """Adds up, row by row. `now` is in seconds since the epoch."""

    now: float
    read: int = 0
    entries: int = 0
    names: int = 0
    unreadable: int = 0
    endless: int = 0
    stored_bytes: int = 0
    first: float | None = None
    last: float | None = None
    namespaces: Counter[str] = field(default_factory=Counter)
    tenants: Counter[str] = field(default_factory=Counter)
    tags: Counter[str] = field(default_factory=Counter)
    models: Counter[str | None] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    encoders: Counter[str | None] = field(default_factory=Counter)

    def add(self, found: Found, entry: Entry | None) -> None:
        """One more row; `entry` is None where its body is none."""
        self.read += 1
        if entry is None:
            self.unreadable += 1
            return
        if entry.target is not None:
            self.names += 1
            return
        self.entries += 1
        self.endless += found.left is None
        self.stored_bytes += len(found.body)
        self.first = entry.created if self.first is None else min(self.first, entry.created)
        self.last = entry.created if self.last is None else max(self.last, entry.created)
        self.namespaces[entry.namespace] += 1
        self.tenants[entry.tenant] += 1
        self.tags.update(entry.tags)
        self.models[entry.model] += 1
        self.kinds[entry.kind] += 1
        self.encoders[found.encoder] += 1

    def survey(self, rows: int, weights: Sequence[int], indexes: Iterable[IndexState] | None) -> CacheSurvey:
        """The sums."""
        return CacheSurvey(
            rows=rows,
            read=self.read,
            entries=self.entries,
            names=self.names,
            unreadable=self.unreadable,
            namespaces=_ordered(self.namespaces),
            tenants=_ordered(self.tenants),
            tags=_ordered(self.tags),
            models=_ordered(self.models),
            kinds=_ordered(self.kinds),
            encoders=_ordered(self.encoders),
            oldest=self._age(self.first),
            newest=self._age(self.last),
            endless=self.endless,
            stored_bytes=self.stored_bytes,
            row_bytes=sum(weights) / len(weights) if weights else None,
            indexes=None if indexes is None else tuple(indexes),
        )

    def _age(self, created: float | None) -> float | None:
        return None if created is None else max(self.now - created, 0.0)


def _ordered(counted: Counter[T]) -> dict[T, int]:
    """The most frequent first."""
    return dict(counted.most_common())

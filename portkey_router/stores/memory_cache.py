"""A cache's rows in this process: the embedded default, for one process, for demos and for tests.

Vectors are compared with numpy where it is installed, and without it at about a tenth of the speed.
"""

from __future__ import annotations

import importlib.util
import time
from array import array
from collections import OrderedDict
from dataclasses import replace
from operator import mul
from typing import TYPE_CHECKING, Any, TypeVar

from portkey_router.cache.store import Found, Row
from portkey_router.locks import ForkLock

if TYPE_CHECKING:
    from collections.abc import Callable

    from portkey_router.cache.store import IndexState, Nearest, Operation, Selection
    from portkey_router.deadline import Deadline

__all__ = ["MemoryCacheStore"]

T = TypeVar("T")

_Key = tuple[str, str]  # the cache's name, the row's id
_Group = tuple[str, str, str]  # the cache's name, the encoder's fingerprint, the scope


class MemoryCacheStore:
    """At most `max_rows`, those used last; safe in any number of threads and loops. `clock` gives seconds."""

    def __init__(self, *, max_rows: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_rows = max_rows
        self._clock = clock
        self._rows: OrderedDict[_Key, tuple[Row, float | None]] = OrderedDict()  # with the moment it expires
        self._vectors: dict[_Group, _Vectors] = {}
        self._lock = ForkLock()

    @property
    def searches(self) -> bool:
        """It can."""
        return True

    def fetch(self, name: str, row: str) -> Operation[Found | None]:
        """The row of this id."""
        yield from ()
        with self._lock:
            kept = self._alive((name, row))
            if kept is None:
                return None
            self._rows.move_to_end((name, row))
            return _found(kept)

    def search(self, name: str, nearest: Nearest) -> Operation[list[Found] | None]:
        """Those rows, the nearest first."""
        yield from ()
        with self._lock:
            group = self._vectors.get((name, nearest.space.fingerprint, nearest.scope))
            rows = group.nearest(nearest.vector, nearest.count) if group else []
            alive = [(self._alive((name, row)), similarity) for row, similarity in rows]
            return [_found(kept, similarity) for kept, similarity in alive if kept is not None]

    def find(self, name: str, row: str, nearest: Nearest) -> Operation[tuple[Found | None, list[Found] | None]]:
        """`fetch` and `search`."""
        found = yield from self.fetch(name, row)
        return found, (yield from self.search(name, nearest))

    def put(self, name: str, row: Row) -> Operation[None]:
        """Keep a row, in the place of one with its id."""
        yield from ()
        key = (name, row.id)
        with self._lock:
            self._drop(key)
            self._rows[key] = row, None if row.ttl is None else self._clock() + row.ttl
            if row.vector is not None and row.space is not None:
                group = (name, row.space.fingerprint, row.marks.scope)
                self._vectors.setdefault(group, _vectors()).add(row.id, row.vector)
            while len(self._rows) > self._max_rows:
                self._drop(next(iter(self._rows)))

    def set_bar(self, name: str, row: str, bar: float) -> Operation[bool]:
        """Set the bar of a row; whether it is still there."""
        yield from ()
        with self._lock:
            kept = self._alive((name, row))
            if kept is None:
                return False
            self._rows[name, row] = replace(kept, bar=bar), self._rows[name, row][1]
            return True

    def ids(self, name: str, selection: Selection) -> Operation[list[str]]:
        """The ids of rows."""
        yield from ()
        with self._lock:
            return [row.id for row in self._selected(name, selection)]

    def read(self, name: str, rows: list[str]) -> Operation[list[Found]]:
        """Rows to look at."""
        yield from ()
        with self._lock:
            alive = [row for each in rows if (row := self._alive((name, each))) is not None]
            return [self._looked_at(name, row) for row in alive]

    def weigh(self, name: str, rows: list[str]) -> Operation[list[int]]:  # noqa: ARG002  (of the protocol)
        """Python does not tell."""
        yield from ()
        return []

    def indexes(self, name: str) -> Operation[list[IndexState] | None]:  # noqa: ARG002  (of the protocol)
        """Vectors are compared one by one."""
        yield from ()
        return None

    def remove(self, name: str, rows: list[str]) -> Operation[int]:
        """Remove rows by their ids; how many there were."""
        yield from ()
        with self._lock:
            return sum(self._drop((name, row)) for row in rows)

    def clear(self, name: str, selection: Selection) -> Operation[int]:
        """Remove rows; how many."""
        yield from ()
        with self._lock:
            return sum(self._drop((name, row.id)) for row in self._selected(name, selection))

    def run(self, operation: Operation[T], deadline: Deadline) -> T:  # noqa: ARG002  (of the protocol)
        """Perform an operation: it waits for nothing."""
        try:
            operation.send(None)
        except StopIteration as done:
            result: T = done.value
            return result
        raise AssertionError("an operation in memory yields nothing")

    async def arun(self, operation: Operation[T], deadline: Deadline) -> T:
        """Perform an operation: it waits for nothing."""
        return self.run(operation, deadline)

    def _alive(self, key: _Key) -> Row | None:
        kept = self._rows.get(key)
        if kept is None:
            return None
        row, until = kept
        if until is not None and self._clock() >= until:
            self._drop(key)
            return None
        return row

    def _selected(self, name: str, selection: Selection) -> list[Row]:
        rows = [self._alive(key) for key in list(self._rows) if key[0] == name]
        return [row for row in rows if row is not None and selection.fits(row.marks, row.created)]

    def _looked_at(self, name: str, row: Row) -> Found:
        until = self._rows[name, row.id][1]
        left = None if until is None else until - self._clock()
        return replace(_found(row), left=left, encoder=row.space.fingerprint if row.space else None)

    def _drop(self, key: _Key) -> bool:
        kept = self._rows.pop(key, None)
        if kept is None:
            return False
        row = kept[0]
        if row.vector is not None and row.space is not None:
            group = (key[0], row.space.fingerprint, row.marks.scope)
            self._vectors[group].remove(row.id)
            if not self._vectors[group].ids:
                del self._vectors[group]
        return True


def _found(row: Row, similarity: float | None = None) -> Found:
    return Found(row.id, row.body, row.bar, similarity)


# ---- vectors ---------------------------------------------------------------------------------------------------------


class _Vectors:
    """The vectors of one scope, in a list."""

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}  # with their places
        self._order: list[str] = []
        self._numbers: Any = None

    def add(self, row: str, vector: bytes) -> None:
        """A row that is not there."""
        self._write(len(self._order), vector)
        self.ids[row] = len(self._order)
        self._order.append(row)

    def remove(self, row: str) -> None:
        """The last one takes its place."""
        place, last = self.ids.pop(row), self._order.pop()
        if last != row:
            self._order[place] = last
            self.ids[last] = place
        self._move(len(self._order), place)

    def nearest(self, vector: bytes, count: int) -> list[tuple[str, float]]:
        """Rows and their cosines, the highest first."""
        products = self._products(vector)
        best = sorted(range(len(products)), key=products.__getitem__, reverse=True)[:count]
        return [(self._order[place], float(products[place])) for place in best]

    def _write(self, place: int, vector: bytes) -> None:
        self._numbers = self._numbers or []
        self._numbers[place:] = [array("f", vector)]

    def _move(self, source: int, place: int) -> None:
        last = self._numbers.pop(source)
        if place < source:
            self._numbers[place] = last

    def _products(self, vector: bytes) -> Any:
        asked = array("f", vector)
        return [sum(map(mul, asked, kept)) for kept in self._numbers]


class _NumpyVectors(_Vectors):
    """The same in one growing matrix."""

    def _write(self, place: int, vector: bytes) -> None:
        import numpy as np  # noqa: PLC0415  (only where it is installed)

        numbers = np.frombuffer(vector, dtype="<f4")
        if self._numbers is None:
            self._numbers = np.empty((8, len(numbers)), dtype="<f4")
        elif place == len(self._numbers):
            self._numbers = np.resize(self._numbers, (2 * place, len(numbers)))
        self._numbers[place] = numbers

    def _move(self, source: int, place: int) -> None:
        self._numbers[place] = self._numbers[source]

    def _products(self, vector: bytes) -> Any:
        import numpy as np  # noqa: PLC0415  (as above)

        products: Any = self._numbers[: len(self._order)] @ np.frombuffer(vector, dtype="<f4")
        return products

    def nearest(self, vector: bytes, count: int) -> list[tuple[str, float]]:
        """Rows and their cosines, the highest first."""
        products = self._products(vector)
        if len(products) <= count:
            best = products.argsort()[::-1]
        else:
            highest = products.argpartition(-count)[-count:]
            best = highest[products[highest].argsort()[::-1]]
        return [(self._order[place], float(products[place])) for place in best]


def _vectors() -> _Vectors:
    return _NumpyVectors() if importlib.util.find_spec("numpy") else _Vectors()

"""What a cache asks of a store. A store keeps rows and compares vectors; it does not know what an answer is.

Its verbs are operations: generators without I/O, which `run` performs in the caller's thread and `arun` in the caller's
loop. Names in a store are digests: no user text is in them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from portkey_router.deadline import Deadline

__all__ = ["CacheStore", "Found", "IndexState", "Marks", "Nearest", "Operation", "Row", "Selection", "Space", "mark"]

T = TypeVar("T")
Operation: TypeAlias = Generator[Any, Any, T]


def mark(*parts: str) -> str:
    """A short digest of user text: 128 bits, in hex."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Space:
    """Vectors that may be compared: of one encoder (`fingerprint`, 12 hex digits), all of `dims` numbers."""

    fingerprint: str
    dims: int


@dataclass(frozen=True, slots=True)
class Nearest:
    """What is searched for: the `count` nearest rows of a scope to a vector."""

    space: Space
    scope: str
    vector: bytes = field(repr=False)
    count: int


@dataclass(frozen=True, slots=True)
class Marks:
    """What rows are selected by; digests all (`mark`). `tags` may be many."""

    scope: str
    tenant: str
    namespace: str
    prompt: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One entry as a store takes it. `ttl` is in seconds, None: for ever. `vector` is FLOAT32, little-endian.

    `bar` is the least similarity that this entry asks for, where it is not the cache's.
    """

    id: str
    body: bytes = field(repr=False)
    marks: Marks
    created: float
    ttl: float | None
    space: Space | None = None
    vector: bytes | None = field(default=None, repr=False)
    bar: float | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A row as a store gives it back; `similarity` is the cosine, where it was searched for.

    Where it was read to be looked at: `left` seconds until it expires (None: never), and the `encoder` (a fingerprint)
    of its vector, None where it has none.
    """

    id: str
    body: bytes = field(repr=False)
    bar: float | None = None
    similarity: float | None = None
    left: float | None = None
    encoder: str | None = None


@dataclass(frozen=True, slots=True)
class IndexState:
    """An index as its server tells of it: `kind` is algorithm and type (`flat-float32`), of vectors of `dims` numbers.

    `indexed` is the share that it has read so far, `failures` the rows that it could not take, `bytes` its memory; None
    where the server does not tell.
    """

    name: str
    encoder: str
    kind: str
    dims: int | None
    indexed: float | None
    failures: int | None
    bytes: int | None


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows to show or to remove: those that fit all that is not None. Digests, but for `before` (epoch seconds)."""

    tenant: str | None = None
    namespace: str | None = None
    prompt: str | None = None
    tag: str | None = None
    before: float | None = None

    @property
    def everything(self) -> bool:
        """Whether it leaves nothing out."""
        return self == Selection()

    def fits(self, marks: Marks, created: float) -> bool:
        """Whether a row is one of them."""
        return (
            (self.tenant is None or self.tenant == marks.tenant)
            and (self.namespace is None or self.namespace == marks.namespace)
            and (self.prompt is None or self.prompt == marks.prompt)
            and (self.tag is None or self.tag in marks.tags)
            and (self.before is None or created < self.before)
        )


class CacheStore(Protocol):
    """Keeps the rows of one or more caches; `name` is the cache's, and rows of other names are not touched.

    Operations raise `StoreError` where the store fails.
    """

    @property
    def searches(self) -> bool:
        """Whether it can compare vectors, as far as is known; where it cannot, none need be made."""

    def fetch(self, name: str, row: str) -> Operation[Found | None]:
        """The row of this id."""

    def search(self, name: str, nearest: Nearest) -> Operation[list[Found] | None]:
        """Those rows, the nearest first; None where this store cannot search."""

    def find(self, name: str, row: str, nearest: Nearest) -> Operation[tuple[Found | None, list[Found] | None]]:
        """`fetch` and `search` at once."""

    def put(self, name: str, row: Row) -> Operation[None]:
        """Keep a row, in the place of one with its id."""

    def set_bar(self, name: str, row: str, bar: float) -> Operation[bool]:
        """Set the bar of a row; whether it is still there."""

    def ids(self, name: str, selection: Selection) -> Operation[list[str]]:
        """The ids of rows, in no order."""

    def read(self, name: str, rows: list[str]) -> Operation[list[Found]]:
        """Rows to look at; those that are gone are left out."""

    def weigh(self, name: str, rows: list[str]) -> Operation[list[int]]:
        """What rows take of the server's memory, in bytes, their part of an index left out; empty where unknown."""

    def indexes(self, name: str) -> Operation[list[IndexState] | None]:
        """The indexes of this cache, of encoders of the past too; None where this store has none to tell of."""

    def remove(self, name: str, rows: list[str]) -> Operation[int]:
        """Remove rows by their ids; how many there were."""

    def clear(self, name: str, selection: Selection) -> Operation[int]:
        """Remove rows; how many."""

    def run(self, operation: Operation[T], deadline: Deadline) -> T:
        """Perform an operation in this thread."""

    async def arun(self, operation: Operation[T], deadline: Deadline) -> T:
        """Perform an operation in the running loop."""

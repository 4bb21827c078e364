"""What a lookup gives, what a caller offers for storing, and what a cache counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from portkey_router.cache.entry import Entry
    from portkey_router.cache.key import CacheKey
    from portkey_router.cache.policy import Answer

__all__ = ["CacheStats", "Hit", "Layer", "Miss", "NewAnswer", "StoredEntry"]

T_co = TypeVar("T_co", covariant=True)

Layer: TypeAlias = Literal["exact", "normalised", "semantic"]


@dataclass(frozen=True, slots=True)
class Hit(Generic[T_co]):
    """A stored answer that serves this request: `value`, in the form that was asked for.

    `similarity` is the cosine of the two questions (1.0 but in the semantic layer), `age` the entry's in seconds.
    """

    value: T_co
    id: str
    layer: Layer
    similarity: float
    age: float
    entry: Entry = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """For metadata: the layer, the similarity, the age, and what the call would have cost."""
        entry = self.entry
        return {
            "layer": self.layer,
            "similarity": round(self.similarity, 4),
            "age_seconds": round(self.age, 3),
            "saved_input_tokens": entry.input_tokens,
            "saved_output_tokens": entry.output_tokens,
            "saved_cost": None if entry.cost is None else f"{entry.cost:f}",
            "currency": "USD",
        }


@dataclass(frozen=True, slots=True)
class Miss:
    """No stored answer serves this request; `reason` says why. It carries the vector, for storing the answer.

    `similarity` is that of the nearest entry, `near` its id, where one was looked for.
    """

    key: CacheKey
    reason: str
    vector: bytes | None = field(default=None, repr=False)
    similarity: float | None = None
    near: str | None = None


@dataclass(frozen=True, slots=True)
class NewAnswer:
    """An answer that may be stored: JSON, with what the policy judges it by and what it cost.

    `kind` names the form of `answer` (`completion`, `langchain`, `text`); `alternatives` is for `cache_if`.
    """

    kind: str
    answer: Any = field(repr=False)
    alternatives: Sequence[Answer] = field(repr=False)
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: Decimal | None = None


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry as an administrator sees it. `age` is in seconds; `bar` the least similarity it asks for, if its own.

    `expires_in` is in seconds, None: never. `encoder` is the fingerprint of the embedding that finds it by meaning;
    with None, only equal questions find it. `size` is that of the answer as it is stored, in bytes.
    """

    id: str
    text: str
    answer: Any
    kind: str
    age: float
    model: str | None
    tags: tuple[str, ...]
    tenant: str
    namespace: str
    name: str | None
    bar: float | None
    expires_in: float | None = None
    encoder: str | None = None
    size: int = 0


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What this cache has seen in this process.

    `hits` by layer; `misses` by reason; `vetoes` by guard (each a candidate that was near enough); `refused` by the
    policy's reason; `failures` by what failed. `embedded` counts questions that were embedded, `reused` those whose
    vector was known; `judged` near misses, and those of them that the judge `confirmed`. Saved are the tokens and the
    money that the hits had cost when they were made.
    """

    hits: Mapping[str, int] = field(default_factory=dict)
    misses: Mapping[str, int] = field(default_factory=dict)
    vetoes: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    stored: int = 0
    embedded: int = 0
    reused: int = 0
    judged: int = 0
    confirmed: int = 0
    saved_tokens: int = 0
    saved_cost: Decimal = Decimal(0)

    @property
    def lookups(self) -> int:
        """All of them."""
        return sum(self.hits.values()) + sum(self.misses.values())

    @property
    def hit_rate(self) -> float:
        """Hits of all lookups; 0.0 where there was none."""
        return sum(self.hits.values()) / self.lookups if self.lookups else 0.0

"""A cache's verbs beside looking up: storing by policy, answers under names, rejecting, clearing, looking inside."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

from portkey_router.cache.courtesy import plain_form
from portkey_router.cache.entry import CorruptEntryError, Entry, entry_of
from portkey_router.cache.results import Miss, StoredEntry
from portkey_router.cache.store import Selection, mark
from portkey_router.cache.survey import Tally
from portkey_router.cache.texts import POINTER, TEXT, named_row, text_of_entry
from portkey_router.deadline import Deadline
from portkey_router.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from portkey_router.cache.key import CacheKey
    from portkey_router.cache.lookups import Lookups, Step
    from portkey_router.cache.policy import Answer
    from portkey_router.cache.results import Hit, NewAnswer
    from portkey_router.cache.store import Found, Operation
    from portkey_router.cache.survey import CacheSurvey

__all__ = ["Chosen", "Keeping", "Own", "Terms", "Verbs", "Whose", "check_seconds"]

T = TypeVar("T")

ADMIN_SECONDS = 60.0
"""For verbs that walk over all entries."""
READ_AT_ONCE = 500
"""Rows, where many are looked at."""
WEIGHED = 100
"""Rows whose memory is asked for."""
JITTER = 0.1
"""An entry lives up to this share of its ttl shorter: those stored together do not expire together."""


class Own(TypedDict, total=False):
    """Whose answers: in the place of the cache's own."""

    tenant: str | None
    namespace: str | None


@dataclass(frozen=True, slots=True)
class Whose:
    """The tenant and the namespace of a call."""

    tenant: str
    namespace: str


@dataclass(frozen=True, slots=True)
class Keeping:
    """How one answer is kept: `ttl` in seconds (None: the cache's), its tags, its name, and whose it is."""

    ttl: float | None
    tags: Sequence[str]
    whose: Whose
    name: str | None = None


class Chosen(TypedDict, total=False):
    """Which entries: those that fit all that is given. `older_than` is in seconds."""

    tenant: str | None
    namespace: str | None
    tag: str | None
    prompt: str | None
    older_than: float | None


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms a cache keeps answers. `ttl` in seconds, None: for ever."""

    ttl: float | None
    tenant: str
    namespace: str
    cache_if: Callable[[Sequence[Answer]], str | None]
    now: Callable[[], float]
    chance: Callable[[], float]

    def whose(self, tenant: str | None = None, namespace: str | None = None) -> Whose:
        """Those of a call, or else the cache's."""
        return Whose(
            self.tenant if tenant is None else tenant,
            self.namespace if namespace is None else namespace,
        )

    def life(self, ttl: float | None) -> float | None:
        """How long an entry lives, in seconds."""
        check_seconds("ttl", ttl)
        seconds = self.ttl if ttl is None else ttl
        return None if seconds is None else seconds * (1 - JITTER * self.chance())


class Verbs:
    """As generators, for both drivers."""

    def __init__(self, lookups: Lookups, terms: Terms) -> None:
        self._lookups = lookups
        self._terms = terms
        self._name = lookups.rules.name

    # --- keeping ------------------------------------------------------------------------------------------------

    def store(self, asked: Miss | CacheKey, answer: NewAnswer, keeping: Keeping) -> Generator[Step, Any, str | None]:
        """Keep a model's answer, if the policy will have it."""
        life = self._terms.life(keeping.ttl)
        if (reason := self._terms.cache_if(answer.alternatives)) is not None:
            return self._lookups.refused(reason)
        key, vector = (asked.key, asked.vector) if isinstance(asked, Miss) else (asked, None)
        entry = Entry(
            kind=answer.kind,
            answer=answer.answer,
            text=key.text,
            created=self._terms.now(),
            model=answer.model,
            input_tokens=answer.input_tokens,
            output_tokens=answer.output_tokens,
            cost=answer.cost,
            tags=tuple(keeping.tags),
            tenant=keeping.whose.tenant,
            namespace=keeping.whose.namespace,
        )
        return (yield from self._lookups.keep(key, entry, ttl=life, vector=vector))

    def put(self, asked: CacheKey | None, response: Any, keeping: Keeping) -> Generator[Step, Any, str | None]:
        """Keep a user's own response: under the question, and under the name what points to it; or under the name."""
        life, name, whose = self._terms.life(keeping.ttl), keeping.name, keeping.whose
        if asked is None and name is None:
            raise ConfigurationError("Give a question, or key=, or both: under neither, nothing could be found again.")
        entry = Entry(
            kind=TEXT,
            answer=response,
            text="" if asked is None else asked.text,
            created=self._terms.now(),
            tags=tuple(keeping.tags),
            tenant=whose.tenant,
            namespace=whose.namespace,
            name=name,
        )
        if asked is not None:
            reason = yield from self._lookups.keep(asked, entry, ttl=life)
            if reason is not None or name is None:
                return reason
            entry = replace(entry, kind=POINTER, answer=None, target=self._lookups.row_id(asked))
        return (
            yield from self._lookups.keep_in_row(named_row(str(name), whose.tenant, whose.namespace), entry, ttl=life)
        )

    # --- names --------------------------------------------------------------------------------------------------

    def get_named(self, name: str, whose: Whose) -> Generator[Step, Any, Any]:
        """What was put under a name; None where there is nothing, or the store fails."""
        return (yield from self._lookups.look_by_row(named_row(name, whose.tenant, whose.namespace), text_of_entry))

    def remove(self, ids: Sequence[str], name: str | None, whose: Whose) -> Generator[Step, Any, int]:
        """Remove entries by their ids, or the one under a name with what points to it."""
        rows = list(ids)
        if name is not None:
            row = named_row(name, whose.tenant, whose.namespace)
            rows.append(row)
            pointer = yield from self._entry(row)
            if pointer is not None and pointer.target is not None:
                entry = yield from self._entry(pointer.target)
                # Of a question that was put again under another name, the answer is that one's.
                rows += [pointer.target] if entry is None or entry.name in {None, name} else []
        return (yield from self._admin(self._lookups.store.remove(self._name, rows)))

    # --- administration -----------------------------------------------------------------------------------------

    def reject(self, hit: Hit[Any]) -> Generator[Step, Any, None]:
        """Half of what was missing to equality is asked for on top; an answer found exactly is wrong itself."""
        store = self._lookups.store
        if hit.layer == "semantic":
            bar = hit.similarity + (1.0 - hit.similarity) / 2
            yield from self._admin(store.set_bar(self._name, hit.id, bar))
        else:
            yield from self._admin(store.remove(self._name, [hit.id]))

    def clear(self, **chosen: Unpack[Chosen]) -> Generator[Step, Any, int]:
        """Remove what fits; how many."""
        selection = self._selection(**chosen)
        return (yield from self._admin(self._lookups.store.clear(self._name, selection)))

    def inspect(self, limit: int, **chosen: Unpack[Chosen]) -> Generator[Step, Any, list[StoredEntry]]:
        """What fits; entries that cannot be read, or only point to others, are left out."""
        ids = yield from self._ids(**chosen)
        shown: list[StoredEntry] = []
        for start in range(0, len(ids), READ_AT_ONCE):
            found = yield from self._read(ids[start : start + READ_AT_ONCE])
            entries = [(each, _entry_or_none(each)) for each in found]
            shown += [self._shown(each, entry) for each, entry in entries if entry and entry.kind != POINTER]
            if len(shown) >= limit:
                break
        return shown[:limit]

    def count(self, **chosen: Unpack[Chosen]) -> Generator[Step, Any, int]:
        """How many rows fit."""
        return len((yield from self._ids(**chosen)))

    def check(self) -> Generator[Step, Any, None]:
        """Whether the store serves: a row that is not there is looked for."""
        yield from self._read(["-"])

    def survey(self, limit: int, **chosen: Unpack[Chosen]) -> Generator[Step, Any, CacheSurvey]:
        """What fits, added up, a handful of rows at a time."""
        store, tally = self._lookups.store, Tally(self._terms.now())
        ids = yield from self._ids(**chosen)
        for start in range(0, min(limit, len(ids)), READ_AT_ONCE):
            for found in (yield from self._read(ids[start : min(start + READ_AT_ONCE, limit)])):
                tally.add(found, _entry_or_none(found))
        weights = yield from self._admin(store.weigh(self._name, ids[:: max(1, len(ids) // WEIGHED)]))
        indexes = yield from self._admin(store.indexes(self._name))
        return tally.survey(len(ids), weights, indexes)

    def _entry(self, row: str) -> Generator[Step, Any, Entry | None]:
        return _entry_or_none((yield from self._admin(self._lookups.store.fetch(self._name, row))))

    def _ids(self, **chosen: Unpack[Chosen]) -> Generator[Step, Any, list[str]]:
        return (yield from self._admin(self._lookups.store.ids(self._name, self._selection(**chosen))))

    def _read(self, ids: list[str]) -> Generator[Step, Any, list[Found]]:
        return (yield from self._admin(self._lookups.store.read(self._name, ids)))

    def _admin(self, operation: Operation[T]) -> Generator[Step, Any, T]:
        """Here a failure is the caller's business: nobody else would hear that nothing was cleared."""
        return (yield from self._lookups.ask(operation, Deadline(ADMIN_SECONDS)))

    def _selection(
        self,
        *,
        tenant: str | None = None,
        namespace: str | None = None,
        tag: str | None = None,
        prompt: str | None = None,
        older_than: float | None = None,
    ) -> Selection:
        if older_than is not None and not 0 <= older_than < math.inf:
            raise ConfigurationError(f"older_than is a number of seconds, not {older_than}.")
        return Selection(
            tenant=None if tenant is None else mark("tenant", tenant),
            namespace=None if namespace is None else mark("namespace", namespace),
            tag=None if tag is None else mark("tag", tag),
            prompt=None if prompt is None else mark("prompt", plain_form(prompt)),
            before=None if older_than is None else self._terms.now() - older_than,
        )

    def _shown(self, found: Found, entry: Entry) -> StoredEntry:
        return StoredEntry(
            id=found.id,
            text=entry.text,
            answer=entry.answer,
            kind=entry.kind,
            age=max(self._terms.now() - entry.created, 0.0),
            model=entry.model,
            tags=entry.tags,
            tenant=entry.tenant,
            namespace=entry.namespace,
            name=entry.name,
            bar=found.bar,
            expires_in=found.left,
            encoder=found.encoder,
            size=len(found.body),
        )


def _entry_or_none(found: Found | None) -> Entry | None:
    if found is None:
        return None
    try:
        return entry_of(found.body)
    except CorruptEntryError:
        return None


def check_seconds(name: str, seconds: float | None) -> None:
    """Raises `ConfigurationError` for what is no time above 0."""
    told: object = seconds
    if told is not None and not (isinstance(told, int | float) and 0 < told < math.inf):
        raise ConfigurationError(f"{name} is a number of seconds above 0, and not infinite; not {told!r}.")

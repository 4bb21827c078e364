"""How a cache looks an answer up and how it keeps one: written once, without I/O, for threads and for loops.

Whatever fails on the way (the store, the encoder, an entry that is none) makes a miss, or an answer that is not kept;
the caller is not troubled, and an event says what it was.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from uuid import uuid4

from portkey_router.cache.breaker import Breaker
from portkey_router.cache.counts import Counts
from portkey_router.cache.courtesy import plain_form
from portkey_router.cache.encoders import vector_bytes
from portkey_router.cache.entry import CorruptEntryError, Entry, EntryTooLargeError, body_of, entry_of
from portkey_router.cache.recent import Recent
from portkey_router.cache.results import Hit, Layer, Miss
from portkey_router.cache.store import Marks, Nearest, Row, Space, mark
from portkey_router.deadline import Deadline
from portkey_router.errors import ConfigurationError, StoreError
from portkey_router.events import CacheLookup, EventHub
from portkey_router.secrets import redact

if TYPE_CHECKING:
    from portkey_router.cache.encoders import Encoder
    from portkey_router.cache.guards import Features, Guards
    from portkey_router.cache.key import CacheKey
    from portkey_router.cache.store import CacheStore, Found, Operation

__all__ = ["Ask", "Embed", "Lookups", "Reader", "Step"]

T = TypeVar("T")
Reader: TypeAlias = Callable[[Entry], T]

_logger = logging.getLogger("portkey_router.cache")

CANDIDATES = 3
"""Of a scope, this many of the nearest are judged: the nearest may have been vetoed, or have a bar of its own. The
others are only asked for then: reading three replies takes longer than finding them."""
REACH = 0.25
"""How far below the threshold a judge may have brought an entry's bar: of what is farther, nothing more is asked."""
SAME = 1e-5
"""Cosines that differ by less are equal: FLOAT32 is no finer."""
_UNREAD = "an entry that cannot be read"
_NO_SEARCH = "the store cannot search: equal questions only"
# What a server says when it is not at fault: the request is, and the next may be served.
_SERVED = frozenset({"OOM", "READONLY", "WRONGTYPE", "NOPERM", "ERR"})


@dataclass(frozen=True, slots=True)
class Ask:
    """Have the store perform an operation."""

    operation: Operation[Any]
    deadline: Deadline


@dataclass(frozen=True, slots=True)
class Embed:
    """Have the encoder embed a text."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Judge:
    """Have the user's judge say whether a stored question's answer serves the one that was asked."""

    asked: str = field(repr=False)
    stored: str = field(repr=False)
    answer: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Aside:
    """Begin with these steps, and wait for nothing."""

    steps: Callable[[], Generator[Step, Any, None]]


Step: TypeAlias = Ask | Embed | Judge | Aside


@dataclass(frozen=True, slots=True)
class Rules:
    """How a cache decides. Seconds and bytes; `distance` is the cosine distance up to which questions are alike.

    `judge_margin`: how far below that the judge is asked; None where there is no judge.
    """

    name: str
    distance: float
    guards: Guards | None
    timeout: float
    max_entry_bytes: int
    normalised: bool
    judge_margin: float | None


class Lookups:
    """One cache's way of looking up and keeping, and what it remembers for that."""

    def __init__(
        self, rules: Rules, store: CacheStore, encoder: Encoder | None, hub: EventHub, now: Callable[[], float]
    ) -> None:
        self.rules = rules
        self.store = store
        self.encoder = encoder
        self.counts = Counts()
        self._hub = hub
        self._now = now
        self._vectors: Recent[bytes] = Recent(1024)
        self._features: Recent[Features] = Recent(4096)
        self._absent: Recent[bool] = Recent(4096)  # rows that were not there when they were last asked for
        self._store_breaker = Breaker()
        self._encoder_breaker = Breaker()
        self._told: set[str] = set()

    @property
    def hub(self) -> EventHub:
        """Who hears of it."""
        return self._hub

    def told_to(self, hub: EventHub) -> Lookups:
        """The same, remembering what it remembers, with another to tell."""
        other = copy.copy(self)
        vars(other).update(_hub=hub)
        return other

    def fail(self, what: str, error: Exception) -> None:
        """Something around a lookup went wrong; the call goes on without."""
        self._tell(what, redact(f"A call does without its cache ({what}): {type(error).__name__}: {error}"))

    # --- looking up ---------------------------------------------------------------------------------------------

    def look(self, key: CacheKey, read: Reader[T], call_id: str = "") -> Generator[Step, Any, Hit[T] | Miss]:
        """The stored answer for a request, as `read` gives it; or why there is none."""
        begun = time.monotonic()
        result = yield from self._layers(key, read)
        if isinstance(result, Hit):
            self.counts.hit(result.layer, result.entry)
        else:
            self.counts.add("misses", result.reason)
        if self._hub.listening:
            self._hub.emit(_event(result, call_id, time.monotonic() - begun))
        return result

    def _layers(self, key: CacheKey, read: Reader[T]) -> Generator[Step, Any, Hit[T] | Miss]:
        deadline = Deadline(self.rules.timeout)
        row = self.row_id(key)
        why_not = self._why_not(key)
        candidates: list[Found] | None = None
        try:
            # Of a question that was asked before and not stored, its vector is known: then all is asked at once.
            vector = self._known(row, key.text) if why_not is None else None
            if vector is None:
                found: Found | None = yield from self.ask(self.store.fetch(self.rules.name, row), deadline)
            else:
                found, candidates = yield from self.ask(
                    self.store.find(self.rules.name, row, self._nearest(key, vector, 1)), deadline
                )
            if found is not None and (hit := self._hit(found, read, None, 1.0, key.exact)):
                self._absent.drop(row)
                return hit
            unread = found is not None
            if why_not:
                return Miss(key, _UNREAD if unread else why_not)
            if vector is None:
                with deadline.paused():
                    vector = yield from self._vector(key.text)
                if vector is None:
                    return Miss(key, "the embedding failed")
                self._absent.put(row, True)  # noqa: FBT003  (the value kept)
                candidates = yield from self.ask(
                    self.store.search(self.rules.name, self._nearest(key, vector, 1)), deadline
                )
        except StoreError as error:
            return Miss(key, self._failure(error))
        if candidates is None:
            return Miss(key, _NO_SEARCH, vector)
        best = self._best(key, candidates, read)
        nearest = candidates[0] if candidates else None
        if not isinstance(best, Hit) and nearest is not None and self._may_have_rivals(nearest):
            others = yield from self._others(key, vector, nearest, deadline)
            best = self._best(key, others, read, best)
        if isinstance(best, Hit):
            return best
        if nearest is not None and self._nearly(nearest):
            yield Aside(lambda: self._judged(key.text, nearest))
        reason = _UNREAD if unread else best
        return Miss(key, reason, vector, nearest.similarity if nearest else None, nearest.id if nearest else None)

    def _known(self, row: str, text: str) -> bytes | None:
        if not self._absent.get(row):
            return None
        vector = self._vectors.get(text)
        if vector is not None:
            self.counts.one("reused")
        return vector

    def _may_have_rivals(self, nearest: Found) -> bool:
        return (nearest.similarity or 0.0) >= 1.0 - self.rules.distance - REACH

    def _others(
        self, key: CacheKey, vector: bytes, nearest: Found, deadline: Deadline
    ) -> Generator[Step, Any, list[Found]]:
        """The next candidates behind the nearest; none where they cannot be had."""
        try:
            operation = self.store.search(self.rules.name, self._nearest(key, vector, CANDIDATES))
            found: list[Found] | None = yield from self.ask(operation, deadline)
        except StoreError as error:
            self._failure(error)
            return []
        return [each for each in found or () if each.id != nearest.id]

    def _nearest(self, key: CacheKey, vector: bytes, count: int) -> Nearest:
        guards = self.rules.guards
        read = (lambda: self._read(guards, key.text)) if guards else None
        return Nearest(self._space(vector), key.scope[:32], vector, count, read)

    def _why_not(self, key: CacheKey) -> str | None:
        """Why a question is not compared by meaning."""
        if not key.semantic:
            return key.why_not or "not to be compared"
        if self.encoder is None:
            return "no embeddings: equal questions only"
        return None if self.store.searches else _NO_SEARCH

    def _best(
        self, key: CacheKey, candidates: list[Found], read: Reader[T], reason: str = "nothing alike"
    ) -> Hit[T] | str:
        """The nearest that is near enough, and that no guard objects to; or why there is none."""
        guards = self.rules.guards
        for found in candidates:
            similarity = found.similarity or 0.0
            if similarity < self._bar(found) - SAME:
                continue
            hit = self._hit(found, read, "semantic", similarity)
            if hit is None:
                reason = _UNREAD
                continue
            veto = guards.veto(self._read(guards, key.text), self._read(guards, hit.entry.text)) if guards else None
            if veto is None:
                return hit
            self.counts.add("vetoes", veto)
            reason = f"vetoed: {veto}"
        return reason

    def _nearly(self, found: Found) -> bool:
        margin, bar = self.rules.judge_margin, self._bar(found)
        return margin is not None and bar - margin <= (found.similarity or 0.0) < bar - SAME

    def _judged(self, asked: str, found: Found) -> Generator[Step, Any, None]:
        """Ask the judge of a near miss. What it confirms lowers the bar of that entry to this similarity."""
        try:
            entry = entry_of(found.body)
            guards = self.rules.guards
            if guards and guards.veto(self._read(guards, asked), self._read(guards, entry.text)):
                return
            confirmed = yield Judge(asked, entry.text, entry.answer)
            self.counts.one("judged")
            if confirmed and found.similarity is not None:
                self.counts.one("confirmed")
                yield from self.ask(
                    self.store.set_bar(self.rules.name, found.id, found.similarity), Deadline(5 * self.rules.timeout)
                )
        except Exception as error:  # noqa: BLE001  (nobody waits for it, so nobody could be told in another way)
            self._tell("judge", redact(f"The cache's judge failed: {type(error).__name__}: {error}"))

    def _bar(self, found: Found) -> float:
        return 1.0 - self.rules.distance if found.bar is None else found.bar

    def _hit(
        self, found: Found, read: Reader[T], layer: Layer | None, similarity: float, exact: str = ""
    ) -> Hit[T] | None:
        """None for an entry that is none, or whose answer is of a form that cannot be read here.

        Which of the two exact layers it is (`layer` None), the entry knows: that of the request `exact`, or not.
        """
        try:
            entry = entry_of(found.body)
            value = read(entry)
        except (CorruptEntryError, LookupError, TypeError, ValueError) as error:
            self._tell("corrupt entry", f"An entry of the cache {self.rules.name!r} cannot be read: {error}")
            return None
        age = max(self._now() - entry.created, 0.0)
        if layer is None:
            layer = "exact" if entry.exact == exact[:32] else "normalised"
        return Hit(value, found.id, layer, min(similarity, 1.0), age, entry)

    def _read(self, guards: Guards, text: str) -> Features:
        features = self._features.get(text)
        if features is None:
            features = guards.read(text)
            self._features.put(text, features)
        return features

    def _vector(self, text: str) -> Generator[Step, Any, bytes | None]:
        """The question's vector; None where the encoder fails, or has failed too often."""
        vector = self._vectors.get(text)
        if vector is not None:
            self.counts.one("reused")
            return vector
        if not self._encoder_breaker.allows(time.monotonic()):
            return None
        try:
            vector = vector_bytes((yield Embed(text)))
        except ConfigurationError:
            raise
        except Exception as error:  # noqa: BLE001  (a user's own code: whatever it raises, the call goes on without)
            self._encoder_breaker.failed(time.monotonic())
            self._tell("embedding", redact(f"The cache's embedding failed: {type(error).__name__}: {error}"))
            return None
        self._encoder_breaker.succeeded()
        self.counts.one("embedded")
        self._vectors.put(text, vector)
        return vector

    def look_by_row(self, row: str, read: Reader[T]) -> Generator[Step, Any, T | None]:
        """What stands in a row, or in the row that it points to; None where there is nothing."""
        deadline = Deadline(self.rules.timeout)
        try:
            found: Found | None = yield from self.ask(self.store.fetch(self.rules.name, row), deadline)
            pointer = entry_of(found.body) if found is not None else None
            if pointer is not None and pointer.target is not None:
                found = yield from self.ask(self.store.fetch(self.rules.name, pointer.target), deadline)
            hit = None if found is None else self._hit(found, read, "exact", 1.0)
            if hit is not None and pointer is not None and hit.entry.name not in {None, pointer.name}:
                hit = None  # the same question has been put again, under another name, with that one's answer
        except CorruptEntryError as error:
            self._tell("corrupt entry", f"An entry of the cache {self.rules.name!r} cannot be read: {error}")
            return None
        except StoreError as error:
            self._failure(error)
            return None
        if hit is None:
            self.counts.add("misses", "nothing under this name")
            return None
        self.counts.hit(hit.layer, hit.entry)
        return hit.value

    # --- keeping ------------------------------------------------------------------------------------------------

    def keep(
        self, key: CacheKey, entry: Entry, *, ttl: float | None, vector: bytes | None = None
    ) -> Generator[Step, Any, str | None]:
        """Keep an entry under a request's key; gives the reason where it could not be kept.

        A question whose embedding fails is kept all the same, for equal questions.
        """
        if vector is None and self._why_not(key) is None:
            vector = yield from self._vector(key.text)
        entry = replace(entry, exact=key.exact[:32])
        return (yield from self._keep(self.row_id(key), key.scope[:32], entry, ttl, vector))

    def keep_in_row(self, row: str, entry: Entry, *, ttl: float | None) -> Generator[Step, Any, str | None]:
        """Keep an entry that no question leads to; gives the reason where it could not be kept."""
        return (yield from self._keep(row, row, entry, ttl, None))

    def _keep(
        self, row: str, scope: str, entry: Entry, ttl: float | None, vector: bytes | None
    ) -> Generator[Step, Any, str | None]:
        try:
            body = body_of(entry, self.rules.max_entry_bytes)
        except EntryTooLargeError as error:
            return self._not_kept(f"too large: {error}")
        except (TypeError, ValueError) as error:
            return self._not_kept(f"no JSON: {error}")
        space = None if vector is None else self._space(vector)
        kept = Row(
            id=row,
            body=body,
            marks=marks_of(entry, scope),
            created=entry.created,
            ttl=ttl,
            space=space,
            vector=vector if space else None,
        )
        try:
            # Somebody has waited for this answer: it may take longer than a lookup.
            yield from self.ask(self.store.put(self.rules.name, kept), Deadline(5 * self.rules.timeout))
        except StoreError as error:
            return self._not_kept(self._failure(error))
        self._absent.drop(row)
        self.counts.one("stored")
        return None

    def refused(self, reason: str) -> str:
        """The policy will not have it stored."""
        self.counts.add("refused", reason)
        return self._not_kept(reason)

    def _not_kept(self, reason: str) -> str:
        if self._hub.listening:
            self._hub.emit(CacheLookup(uuid4().hex, None, 0.0, reason=f"not stored: {reason}"))
        return reason

    def _space(self, vector: bytes) -> Space:
        dims = len(vector) // 4
        return Space(self.encoder.fingerprint(dims) if self.encoder else "", dims)

    # --- the store ----------------------------------------------------------------------------------------------

    def row_id(self, key: CacheKey) -> str:
        """The row of a request: equal questions share one."""
        return (key.normalised if self.rules.normalised else key.exact)[:32]

    def ask(self, operation: Operation[T], deadline: Deadline) -> Generator[Step, Any, T]:
        """An operation's result. A store that has failed several times is left alone for a while."""
        if not self._store_breaker.allows(time.monotonic()):
            operation.close()
            raise StoreError("the store has failed several times, and is left alone for some seconds")
        try:
            result: T = yield Ask(operation, deadline)
        except StoreError as error:
            if error.code in _SERVED:
                self._store_breaker.succeeded()
            else:
                self._store_breaker.failed(time.monotonic())
            raise
        except ConfigurationError:
            raise
        except Exception as error:  # e.g. a reply of a form that no Redis gives
            raise StoreError(f"{type(error).__name__}: {error}") from error
        self._store_breaker.succeeded()
        return result

    def _failure(self, error: StoreError) -> str:
        self._tell(error.code or "no answer", f"The cache does without its store: {error}")
        return f"the store failed: {error}"

    def _tell(self, what: str, text: str) -> None:
        """Count a failure; the first of its kind goes to the log."""
        self.counts.add("failures", what)
        if what not in self._told:
            self._told.add(what)
            _logger.warning("%s (Told once; CacheLookup events tell of each.)", text)


def marks_of(entry: Entry, scope: str) -> Marks:
    """What an entry is selected by, in digests."""
    return Marks(
        scope=scope,
        tenant=mark("tenant", entry.tenant),
        namespace=mark("namespace", entry.namespace),
        prompt=mark("prompt", plain_form(entry.text)),
        tags=tuple(mark("tag", tag) for tag in entry.tags),
    )


def _event(result: Hit[Any] | Miss, call_id: str, seconds: float) -> CacheLookup:
    call_id = call_id or uuid4().hex
    if isinstance(result, Hit):
        return CacheLookup(call_id, result.layer, seconds, result.similarity, result.age)
    return CacheLookup(call_id, None, seconds, result.similarity, reason=result.reason)

"""A call that has a cache: join who asks the same, look up, else ask; keep what came, and hand it to who follows.

The cache is never in the way. Whatever it, an embedding or a policy does wrong is a miss and told as one, and an
answer that was paid for reaches its caller. An answer from a cache is no attempt: no target is asked, and nothing is
learned of one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from portkey_router.cache.completions import (
    chunks_of_completion,
    completion_of_entry,
    given_again,
    new_answer,
    saved_by,
)
from portkey_router.cache.policy import shareable
from portkey_router.cache.results import Hit
from portkey_router.errors import PortkeyError
from portkey_router.flow.cache_steps import Follow, Join, Lookup, Store
from portkey_router.flow.steps import Show
from portkey_router.messages import Completion, Route

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from portkey_router.cache.cache import SemanticCache
    from portkey_router.cache.flights import Seat
    from portkey_router.cache.key import CacheKey
    from portkey_router.cache.results import Miss, NewAnswer
    from portkey_router.events import Event, EventHub
    from portkey_router.flow.call import Call
    from portkey_router.flow.steps import Step
    from portkey_router.messages import CacheUse, Embeddings

    Going = Generator[Step, Any, Completion | Embeddings]

__all__ = ["Caching"]


@dataclass(frozen=True, slots=True)
class Caching:
    """The cache of one call and its use; `scope` is what of the route may change the answer (`scope_of`)."""

    cache: SemanticCache
    use: CacheUse
    scope: Mapping[str, Any] = field(repr=False)

    def answer(self, call: Call, ask: Callable[[Call], Going]) -> Going:
        """The answer of the cache, or of an equal call in flight, or else what `ask` brings."""
        if call.told:
            told = _Told(call, self.cache.sinks)
            return _Cached(call, replace(self, cache=self.cache.told_to(told)), ask).answer()  # type: ignore[arg-type]  # it is what a hub is there
        return _Cached(call, self, ask).answer()

    def key(self, call: Call) -> CacheKey | None:
        """The request's key; None where none can be made."""
        if self.use.missed is not None:
            key: CacheKey = self.use.missed.key
            return key
        request, use = call.request, self.use
        params = {**request.body, **self.scope}
        try:
            return self.cache.key(
                request.messages, model=request.model, params=params, tenant=use.tenant, namespace=use.namespace
            )
        except Exception as error:  # noqa: BLE001  (a user's `key_text`, or what has no JSON; told, and no call's concern)
            self.cache.fail("key", error)
            return None


class _Told:
    """The hub of a call and the cache's own, as one: what a cache tells there is marked as this call's."""

    def __init__(self, call: Call, sinks: EventHub) -> None:
        assert call.told is not None  # noqa: S101  (its caller has looked)
        self._hub = call.told.with_sinks_of(sinks)
        self._marks: dict[str, Any] = {"call_id": call.around.call_id, "tags": call.request.options.tags}
        self.listening = True

    def emit(self, event: Event) -> None:
        """Tell everybody."""
        self._hub.emit(replace(event, **self._marks))


class _Cached:
    """One call on its way, with its cache."""

    def __init__(self, call: Call, caching: Caching, ask: Callable[[Call], Going]) -> None:
        self._call = call
        self._ask = ask
        self._use = caching.use
        self._cache = caching.cache
        self._key = caching.key(call)
        self._seat: Seat | None = None

    def answer(self) -> Going:
        if self._key is None or _refused_by(self._call.request.body, self._cache, self._use):
            return (yield from self._ask(self._call))
        if self._use.refresh or not _shared(self._call.request.body):
            return (yield from self._computed(self._key))
        self._seat = seat = yield Join(self._cache.flights, self._key.exact, self._use.since)
        try:
            if seat.follows or seat.landed:
                landed = yield Follow(seat, self._patience())
                if landed is not None:
                    return (yield from self._replay(landed, landed.cache or saved_by(landed)))
            answer = yield from self._computed(self._key)
        except BaseException as error:
            seat.leave(failed=isinstance(error, PortkeyError))
            raise
        return answer

    def _patience(self) -> float:
        """Seconds to follow another call: a part of what this one has, so that it can still ask for itself."""
        call = self._call
        left = call.total.remaining(call.around.clock())
        deadlines = call.around.deadlines
        own = deadlines.first_token_within(left, hurried=True) if call.request.stream else deadlines.attempt
        return min(own, left / 2)

    def _computed(self, key: CacheKey) -> Going:
        """The stored answer, or a new one, which is kept."""
        asked: Miss | CacheKey = key if self._use.missed is None else self._use.missed
        if self._use.missed is None and not self._use.refresh:
            found = yield from self._looked_up(key)
            if isinstance(found, Hit):
                kept: Completion = found.value
                if self._seat is not None:
                    self._seat.land(replace(kept, cache=found.as_dict()))
                return (yield from self._replay(kept, found.as_dict()))
            asked = found or key
        answer = yield from self._ask(self._call)
        if isinstance(answer, Completion):
            yield from self._keep(asked, answer)
        return answer

    def _looked_up(self, key: CacheKey) -> Generator[Step, Any, Hit[Completion] | Miss | None]:
        call = self._call
        try:
            found: Hit[Completion] | Miss = yield Lookup(
                self._cache, key, completion_of_entry, call.around.call_id, call.total
            )
        except Exception as error:  # noqa: BLE001  (a user's code among it; told, and no call's concern)
            self._cache.fail("lookup", error)
            return None
        return found

    def _keep(self, asked: Miss | CacheKey, answer: Completion) -> Generator[Step, Any, None]:
        """Keep it, and hand it to who follows. Both are done whatever befalls the other."""
        new, kept = new_answer(answer, self._call.request.model), False
        try:
            if not self._use.stores_itself:
                kept = yield from self._stored(asked, new)
        finally:
            if self._seat is not None:
                if kept or self._storable(new):
                    self._seat.land(answer, stored=not self._use.stores_itself)
                else:
                    self._seat.disband()

    def _stored(self, asked: Miss | CacheKey, new: NewAnswer) -> Generator[Step, Any, bool]:
        use = self._use
        terms = {"ttl": use.ttl, "tags": use.tags, "tenant": use.tenant, "namespace": use.namespace}
        try:
            reason = yield Store(self._cache, asked, new, terms, self._call.total)
        except Exception as error:  # noqa: BLE001  (as in a lookup)
            self._cache.fail("store", error)
            return False
        return reason is None

    def _storable(self, new: NewAnswer) -> bool:
        """Whether it was the policy that would not have it kept, and not the store."""
        try:
            return self._cache.refusal(new) is None
        except Exception as error:  # noqa: BLE001  (a user's policy)
            self._cache.fail("policy", error)
            return False

    def _replay(self, kept: Completion, told: Mapping[str, Any]) -> Going:
        """Give a stored answer out: as chunks where the caller streams."""
        call = self._call
        route = Route(call.around.headers.get("x-portkey-trace-id", ""), "", run_on=call.plan.run_on)
        answer = given_again(
            kept, told, id=f"chatcmpl-cache-{uuid4().hex}", route=route, created=int(call.around.now().timestamp())
        )
        call.replayed = answer
        if call.request.stream:
            for chunk in chunks_of_completion(answer):
                yield Show(chunk)
        return answer


def _refused_by(body: Mapping[str, Any], cache: SemanticCache, use: CacheUse) -> bool:
    """Whether the answer has to be a tool call, which is never kept: then nothing is looked up, nor embedded."""
    choice = body.get("tool_choice")
    forced = bool(body.get("tools")) and not (choice is None or (isinstance(choice, str) and choice in _MAY_SPEAK))
    if forced and not use.stores_itself:  # else whoever stores will count it
        cache.refuse("a tool must be called")
    return forced


_MAY_SPEAK = frozenset({"auto", "none"})


def _shared(body: Mapping[str, Any]) -> bool:
    """Whether equal requests in flight are computed once: those whose answer may be stored, and is asked for once.

    Who gives tools is likely to be answered by a call of one, which is nobody else's.
    """
    return shareable(body) and (not body.get("tools") or body.get("tool_choice") == "none")

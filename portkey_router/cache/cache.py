"""SemanticCache: the right answer to a question that was asked before, in these words or in others."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, Unpack

from portkey_router.cache.aside import Asides
from portkey_router.cache.callables import both_ways
from portkey_router.cache.doors import encoder_by_name, open_store
from portkey_router.cache.encoders import encoder_of
from portkey_router.cache.guards import Guards
from portkey_router.cache.key import key_of_langchain, key_of_messages
from portkey_router.cache.lookups import Aside, Ask, Embed, Judge, Lookups, Rules
from portkey_router.cache.policy import storable
from portkey_router.cache.results import Hit, Miss
from portkey_router.cache.texts import text_of_entry
from portkey_router.cache.verbs import Keeping, Terms, Verbs, check_seconds
from portkey_router.errors import ConfigurationError
from portkey_router.events import EventHub
from portkey_router.sansio import arun_steps, run_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from portkey_router.cache.key import CacheKey
    from portkey_router.cache.lookups import Reader, Step
    from portkey_router.cache.policy import Answer
    from portkey_router.cache.results import CacheStats, NewAnswer, StoredEntry
    from portkey_router.cache.store import CacheStore
    from portkey_router.cache.survey import CacheSurvey
    from portkey_router.cache.verbs import Chosen, Own
    from portkey_router.events import Sink

__all__ = ["DEFAULT_DISTANCE", "DEFAULT_TTL", "CacheOptions", "SemanticCache"]

T = TypeVar("T")

DEFAULT_DISTANCE = 0.1
"""Cosine distance: questions nearer than this are alike, where no guard objects."""
DEFAULT_TTL = 7 * 24 * 3600.0
"""Seconds."""


class CacheOptions(TypedDict, total=False):
    """Arguments of `SemanticCache` that need no other name in a framework's own cache."""

    guards: Guards | None
    normalised: bool
    tenant: str
    namespace: str
    cache_if: Callable[[Sequence[Answer]], str | None]
    key_text: Callable[[str], str] | None
    context_varies: bool
    window_tokens: int | None
    judge: Callable[[str, str, Any], Any] | None
    judge_margin: float
    timeout: float
    connect_timeout: float
    max_entry_bytes: int
    algorithm: Literal["FLAT", "HNSW"]
    dtype: Literal["FLOAT32", "FLOAT16"]
    sinks: Sequence[Sink]
    now: Callable[[], float]
    chance: Callable[[], float]


class SemanticCache:
    """Answers to questions that were asked before: exactly so, nearly so, or in other words.

    ```python
    cache = SemanticCache("redis://localhost:6379", embeddings=OpenAIEmbeddings())
    cache.put("What is the capital of France?", "Paris", key="geography:france:capital", ttl=86400)
    cache.get("Which city is the capital of France?")        # "Paris"
    ```

    Three layers, in this order: the same request (one GET), the same but for spelling (the same GET), and a question
    alike (one embedding, one search among requests that are equal in all else, then the guards). Building a cache
    connects nowhere and embeds nothing. A cache never fails a call: what goes wrong is a miss, and a `CacheLookup`
    event.

    - `store`: `memory://` (this process; `memory://name` is shared within it), or what `RedisClient` takes. Redis
      without search answers equal questions only. `client`: a Redis client you hold, in the place of a URL.
    - `embeddings`: LangChain's, LlamaIndex's, a callable (text -> numbers, asynchronous or not), or the name of a model
      to be asked through Portkey. None: equal questions only.
    - `distance_threshold`: the cosine distance up to which questions are alike, 0.1 by default.
    - `guards`: what must not differ, however alike two questions are (`Guards`); None switches them off.
    - `ttl`: seconds, a week by default, up to a tenth less for each entry; None: for ever. Reading prolongs nothing.
    - `tenant` and `namespace` keep answers apart; both may be given with each call.
    - `name`: what this cache's keys and index in the store begin with. Caches of one name share entries.
    - `cache_if`: called with the alternatives of an answer, gives None (keep it) or the reason not to.
    - `key_text`, `context_varies`, `window_tokens`: see `key_of_messages`. The window is the encoder's, where known.
    - `judge`: a callable (asked, stored, answer) -> bool for questions that are nearly alike, up to `judge_margin`
      below the threshold; called beside the call, never before it. What it confirms is a hit from then on.
    - `timeout`: seconds that a lookup may wait for the store, beyond the embedding; opening a connection has
      `connect_timeout`. What fails three times in a row is left alone for five seconds.
    - `max_entry_bytes`: larger answers are not kept. `algorithm` (FLAT, HNSW) and `dtype` (FLOAT32, FLOAT16): of the
      vectors in Redis.
    - `sinks`: who hears the events.

    Raises `ConfigurationError` for arguments that cannot be meant.
    """

    def __init__(
        self,
        store: str | CacheStore = "memory://",
        embeddings: Any = None,
        *,
        client: Any = None,
        distance_threshold: float = DEFAULT_DISTANCE,
        guards: Guards | None = Guards(),  # noqa: B008  (frozen)
        normalised: bool = True,
        ttl: float | None = DEFAULT_TTL,
        tenant: str = "",
        namespace: str = "",
        name: str = "portkey:cache",
        cache_if: Callable[[Sequence[Answer]], str | None] = storable,
        key_text: Callable[[str], str] | None = None,
        context_varies: bool = False,
        window_tokens: int | None = None,
        judge: Callable[[str, str, Any], Any] | None = None,
        judge_margin: float = 0.05,
        timeout: float = 0.05,
        connect_timeout: float = 0.25,
        max_entry_bytes: int = 256 * 1024,
        algorithm: Literal["FLAT", "HNSW"] = "FLAT",
        dtype: Literal["FLOAT32", "FLOAT16"] = "FLOAT32",
        sinks: Sequence[Sink] = (),
        now: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        if not 0 <= distance_threshold < 1:
            raise ConfigurationError(
                "distance_threshold is a cosine distance, from 0 (equal) to below 1 (a similarity of 0.9 is a distance "
                f"of 0.1), not {distance_threshold}."
            )
        check_seconds("ttl", ttl)
        check_seconds("timeout", timeout)
        check_seconds("connect_timeout", connect_timeout)
        if not name or any(each in name for each in "{}*?[] "):
            raise ConfigurationError(
                f"A cache's name has at least one character, and none of {{}}*?[] , unlike {name!r}."
            )
        if client is not None or isinstance(store, str):
            store = open_store(
                None if client is not None else str(store),
                client=client,
                timeout=timeout,
                connect_timeout=connect_timeout,
                algorithm=algorithm,
                dtype=dtype,
            )
        encoder = encoder_of(embeddings, by_name=encoder_by_name)
        margin = None if judge is None else judge_margin
        rules = Rules(name, distance_threshold, guards, timeout, max_entry_bytes, normalised, margin)
        self._encoder = encoder
        self._store: CacheStore = store
        self._judge, self._ajudge = both_ways(judge or _no_judge)
        self._asides = Asides()
        self._lookups = Lookups(rules, store, encoder, EventHub(sinks), now)
        self._terms = Terms(ttl, tenant, namespace, cache_if, now, chance)
        self._verbs = Verbs(self._lookups, self._terms)
        window = window_tokens if window_tokens is not None or encoder is None else encoder.window
        self._key_options: dict[str, Any] = {
            "key_text": key_text,
            "context_varies": context_varies,
            "window_tokens": window,
            "time_words": guards is None or guards.time_words,
        }

    def __repr__(self) -> str:
        rules, encoder = self._lookups.rules, self._encoder
        alike = f"distance {rules.distance:g} by {encoder.label}" if encoder else "equal questions only"
        return f"SemanticCache({rules.name!r}, {type(self._store).__name__}, {alike})"

    def __deepcopy__(self, _: object) -> SemanticCache:
        return self  # as a connection: the copy of a model shares it

    # --- keys ---------------------------------------------------------------------------------------------------

    def key(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        model: str | None = None,
        params: Mapping[str, Any] | None = None,
        tenant: str | None = None,
        namespace: str | None = None,
    ) -> CacheKey:
        """The key of a request in OpenAI's shape (see `key_of_messages`), as this cache is set."""
        whose = self._terms.whose(tenant, namespace)
        return key_of_messages(
            messages,
            model=model,
            params=params,
            tenant=whose.tenant,
            namespace=whose.namespace,
            **self._key_options,
        )

    def key_of_langchain(
        self, prompt: str, llm_string: str, *, tenant: str | None = None, namespace: str | None = None
    ) -> CacheKey:
        """The key of what LangChain hands to a cache, as this cache is set."""
        whose = self._terms.whose(tenant, namespace)
        return key_of_langchain(prompt, llm_string, tenant=whose.tenant, namespace=whose.namespace, **self._key_options)

    # --- answers of models --------------------------------------------------------------------------------------

    def lookup(self, key: CacheKey, read: Reader[T], *, call_id: str = "") -> Hit[T] | Miss:
        """The stored answer, as `read` gives it (it raises `ValueError` for a form it does not know), or a miss."""
        return self._run(self._lookups.look(key, read, call_id))

    async def alookup(self, key: CacheKey, read: Reader[T], *, call_id: str = "") -> Hit[T] | Miss:
        """As `lookup`."""
        return await self._arun(self._lookups.look(key, read, call_id))

    def store(
        self,
        asked: Miss | CacheKey,
        answer: NewAnswer,
        *,
        ttl: float | None = None,
        tags: Sequence[str] = (),
        tenant: str | None = None,
        namespace: str | None = None,
    ) -> str | None:
        """Keep an answer, if the policy will have it; gives the reason where it was not kept.

        A miss brings the vector that its lookup made. `tenant` and `namespace` are those of the key.
        """
        return self._run(self._verbs.store(asked, answer, self._keeping(ttl, tags, tenant=tenant, namespace=namespace)))

    async def astore(
        self,
        asked: Miss | CacheKey,
        answer: NewAnswer,
        *,
        ttl: float | None = None,
        tags: Sequence[str] = (),
        tenant: str | None = None,
        namespace: str | None = None,
    ) -> str | None:
        """As `store`."""
        return await self._arun(
            self._verbs.store(asked, answer, self._keeping(ttl, tags, tenant=tenant, namespace=namespace))
        )

    def refuse(self, reason: str) -> None:
        """Count, and tell by an event, that an answer is not kept; for adapters whose answers have no JSON form."""
        self._lookups.refused(reason)

    # --- questions and answers of one's own ---------------------------------------------------------------------

    def get(self, query: str | None = None, *, key: str | None = None, **own: Unpack[Own]) -> Any:
        """What was put under a question (or one alike), or under a key; None where there is nothing.

        `own`: `tenant` and `namespace`, where they are not the cache's.
        """
        return self._run(self._get(query, key, own))

    async def aget(self, query: str | None = None, *, key: str | None = None, **own: Unpack[Own]) -> Any:
        """As `get`."""
        return await self._arun(self._get(query, key, own))

    def put(
        self,
        query: str | None,
        response: Any,
        *,
        key: str | None = None,
        ttl: float | None = None,
        tags: Sequence[str] = (),
        **own: Unpack[Own],
    ) -> str | None:
        """Keep a response (JSON) under a question, a key, or both; gives the reason where it could not be kept."""
        return self._run(self._put(query, response, self._keeping(ttl, tags, key, **own)))

    async def aput(
        self,
        query: str | None,
        response: Any,
        *,
        key: str | None = None,
        ttl: float | None = None,
        tags: Sequence[str] = (),
        **own: Unpack[Own],
    ) -> str | None:
        """As `put`."""
        return await self._arun(self._put(query, response, self._keeping(ttl, tags, key, **own)))

    def _get(self, query: str | None, key: str | None, own: Own) -> Generator[Step, Any, Any]:
        if key is not None:
            return (yield from self._verbs.get_named(key, self._terms.whose(**own)))
        asked = self._text_key(query, own)
        result = yield from self._lookups.look(asked, text_of_entry)
        return result.value if isinstance(result, Hit) else None

    def _put(self, query: str | None, response: Any, keeping: Keeping) -> Generator[Step, Any, str | None]:
        whose = keeping.whose
        asked = None if query is None else self._text_key(query, {"tenant": whose.tenant, "namespace": whose.namespace})
        return (yield from self._verbs.put(asked, response, keeping))

    def _keeping(self, ttl: float | None, tags: Sequence[str], name: str | None = None, **own: Unpack[Own]) -> Keeping:
        return Keeping(ttl, tags, self._terms.whose(**own), name)

    def _text_key(self, query: str | None, own: Own) -> CacheKey:
        if query is None:
            raise ConfigurationError("Give a question, or key=.")
        return self.key([{"role": "user", "content": query}], **own)

    # --- administration -----------------------------------------------------------------------------------------

    def reject(self, hit: Hit[Any]) -> None:
        """That answer was wrong: its entry asks for more from now on; one that was found exactly is removed."""
        self._run(self._verbs.reject(hit))

    async def areject(self, hit: Hit[Any]) -> None:
        """As `reject`."""
        await self._arun(self._verbs.reject(hit))

    def remove(self, *ids: str, key: str | None = None, **own: Unpack[Own]) -> int:
        """Remove entries by their ids, or the one that was put under a key; how many there were."""
        return self._run(self._verbs.remove(ids, key, self._terms.whose(**own)))

    async def aremove(self, *ids: str, key: str | None = None, **own: Unpack[Own]) -> int:
        """As `remove`."""
        return await self._arun(self._verbs.remove(ids, key, self._terms.whose(**own)))

    def clear(self, **chosen: Unpack[Chosen]) -> int:
        """Remove every entry of this cache, or those that fit all of `chosen`; how many.

        `namespace`, `tenant`, `tag`: equal; `prompt`: of this question, however spelt; `older_than`: seconds.
        """
        return self._run(self._verbs.clear(**chosen))

    async def aclear(self, **chosen: Unpack[Chosen]) -> int:
        """As `clear`."""
        return await self._arun(self._verbs.clear(**chosen))

    def inspect(self, limit: int = 100, **chosen: Unpack[Chosen]) -> list[StoredEntry]:
        """Entries to look at, at most `limit`; `chosen` as in `clear`."""
        return self._run(self._verbs.inspect(limit, **chosen))

    async def ainspect(self, limit: int = 100, **chosen: Unpack[Chosen]) -> list[StoredEntry]:
        """As `inspect`."""
        return await self._arun(self._verbs.inspect(limit, **chosen))

    def count(self, **chosen: Unpack[Chosen]) -> int:
        """How many entries there are, names that lead to others among them; `chosen` as in `clear`."""
        return self._run(self._verbs.count(**chosen))

    async def acount(self, **chosen: Unpack[Chosen]) -> int:
        """As `count`."""
        return await self._arun(self._verbs.count(**chosen))

    def survey(self, limit: int = 100_000, **chosen: Unpack[Chosen]) -> CacheSurvey:
        """What the store holds, whoever put it there; at most `limit` entries are read. `chosen` as in `clear`."""
        return self._run(self._verbs.survey(limit, **chosen))

    async def asurvey(self, limit: int = 100_000, **chosen: Unpack[Chosen]) -> CacheSurvey:
        """As `survey`."""
        return await self._arun(self._verbs.survey(limit, **chosen))

    def check(self) -> None:
        """Raises `StoreError` where the store is away or does not serve, as no lookup does; for a start-up."""
        self._run(self._verbs.check())

    async def acheck(self) -> None:
        """As `check`."""
        await self._arun(self._verbs.check())

    def stats(self) -> CacheStats:
        """What this cache has seen in this process; what the store holds is `survey`'s."""
        return self._lookups.counts.stats()

    # --- the two drivers ----------------------------------------------------------------------------------------

    def _run(self, steps: Generator[Step, Any, T]) -> T:
        return run_steps(steps, self._perform)

    async def _arun(self, steps: Generator[Step, Any, T]) -> T:
        return await arun_steps(steps, self._aperform)

    def _perform(self, step: Step) -> Any:
        match step:
            case Ask(operation, deadline):
                return self._store.run(operation, deadline)
            case Embed(text):
                return self._encoder.encode(text) if self._encoder else None
            case Judge(asked, stored, answer):
                return self._judge(asked, stored, answer)
            case Aside(steps):
                return self._asides.in_thread(lambda: self._run(steps()))

    async def _aperform(self, step: Step) -> Any:
        match step:
            case Ask(operation, deadline):
                return await self._store.arun(operation, deadline)
            case Embed(text):
                return await self._encoder.aencode(text) if self._encoder else None
            case Judge(asked, stored, answer):
                return await self._ajudge(asked, stored, answer)
            case Aside(steps):
                return self._asides.in_loop(lambda: self._arun(steps()))


def _no_judge(asked: str, stored: str, answer: Any) -> bool:  # noqa: ARG001  (a judge's arguments)
    return False

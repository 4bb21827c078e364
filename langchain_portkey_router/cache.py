"""RedisSemanticCache: LangChain's LLM cache over `SemanticCache`, for any chat model and any LLM."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from langchain_portkey_router._generations import as_hit, generations_of_entry, new_answer
from langchain_portkey_router.caching import CallAware, call_of
from portkey_router.cache.cache import DEFAULT_DISTANCE, DEFAULT_TTL, SemanticCache
from portkey_router.cache.results import Hit, Miss
from portkey_router.flow.cache_steps import in_a_cache, within_a_cache

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_core.caches import RETURN_VAL_TYPE
    from langchain_core.outputs import Generation

    from langchain_portkey_router.caching import CacheCall
    from portkey_router.cache.cache import CacheOptions
    from portkey_router.cache.key import CacheKey
    from portkey_router.cache.results import NewAnswer
    from portkey_router.cache.verbs import Chosen
    from portkey_router.messages import CacheUse

__all__ = ["RedisSemanticCache"]

_STRANGE = "strange message: no AIMessage"


class _How(TypedDict, total=False):
    """How an answer is kept: as `SemanticCache.store` has it."""

    ttl: float | None
    tags: Sequence[str]
    tenant: str | None
    namespace: str | None


class RedisSemanticCache(CallAware):
    """Answers questions that were asked before, in these words or in others; a drop-in for `langchain_redis`'s.

    ```python
    from langchain_core.globals import set_llm_cache
    set_llm_cache(RedisSemanticCache(embeddings=OpenAIEmbeddings(), redis_url="redis://localhost:6379", ttl=3600))
    ```

    It compares the last user message, among requests that are equal in all else (model, parameters, tools, system
    prompt, earlier turns), and not LangChain's JSON of the whole conversation. Building it connects nowhere and embeds
    nothing, and it never fails a call: with Redis down, every question is a miss.

    - `embeddings`: see `SemanticCache`; None: equal questions only.
    - `redis_url`: what `RedisClient` takes, or `memory://`. `redis_client`: a client you hold, in its place.
    - `distance_threshold`: the cosine distance up to which questions are alike.
    - `ttl`: seconds, a week by default; None: for ever. Unlike `langchain_redis`'s, it is not prolonged by reading.
    - `name` and `prefix`: what the keys and the index begin with.
    - `cache`: a `SemanticCache` to share, in the place of all these. `options` are the others of `SemanticCache`.

    An answer from the cache has a message id of its own, usage and cost 0, and `response_metadata["portkey"]["cache"]`:
    the layer that answered, the similarity, the age, and the tokens and the money saved.

    Raises `ConfigurationError` for arguments that cannot be meant; `clear` raises `StoreError`.
    """

    def __init__(  # noqa: PLR0917  (in the order of `langchain_redis`)
        self,
        embeddings: Any = None,
        redis_url: str = "redis://localhost:6379",
        distance_threshold: float = DEFAULT_DISTANCE,
        ttl: float | None = DEFAULT_TTL,
        name: str | None = None,
        prefix: str | None = None,
        redis_client: Any = None,
        *,
        cache: SemanticCache | None = None,
        **options: Unpack[CacheOptions],
    ) -> None:
        if cache is None:
            named = ":".join(dict.fromkeys(part for part in (prefix, name) if part))
            cache = SemanticCache(
                redis_url,
                embeddings,
                client=redis_client,
                distance_threshold=distance_threshold,
                ttl=ttl,
                **({"name": named} if named else {}),
                **options,
            )
        self.cache = cache

    def __repr__(self) -> str:
        return f"RedisSemanticCache({self.cache!r})"

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """The generations stored for this prompt, or for one alike; None where there are none."""
        key, call = self._asked(prompt, llm_string)
        if key is None:
            return None
        with within_a_cache():
            return _found(self.cache.lookup(key, generations_of_entry), call)

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """As `lookup`."""
        key, call = self._asked(prompt, llm_string)
        if key is None:
            return None
        with within_a_cache():
            return _found(await self.cache.alookup(key, generations_of_entry), call)

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Keep the generations, if the policy will have them. The question's vector is that of its lookup."""
        if (kept := self._kept(prompt, llm_string, return_val)) is not None:
            asked, answer, how = kept
            with within_a_cache(), self._unharmed(asked):
                self.cache.store(asked, answer, **how)

    async def aupdate(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """As `update`."""
        if (kept := self._kept(prompt, llm_string, return_val)) is not None:
            asked, answer, how = kept
            with within_a_cache(), self._unharmed(asked):
                await self.cache.astore(asked, answer, **how)

    @contextlib.contextmanager
    def _unharmed(self, asked: Miss | CacheKey) -> Iterator[None]:
        """An answer that was paid for reaches its caller, whatever goes wrong in the block that stores it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  (a user's `cache_if`; told, and no call's concern)
            self.cache.fail("store", error)
        finally:
            self.cache.flights.stored(asked.key.exact if isinstance(asked, Miss) else asked.exact)

    def _asked(self, prompt: str, llm_string: str) -> tuple[CacheKey | None, CacheCall | None]:
        """The key to look up, None where the call would rather not; and the call, if it is one of ChatPortkey's.

        A call that a cache makes (its encoder may ask a model) has no cache: it would come here again and again.
        """
        plain, call = call_of(llm_string)
        if in_a_cache() or (call is not None and (call.use.off or call.use.refresh)):
            return None, call
        return self._key(prompt, plain, call), call

    def _key(self, prompt: str, plain: str, call: CacheCall | None) -> CacheKey | None:
        """The call's key; None where none can be made."""
        whose = {} if call is None else {"tenant": call.use.tenant, "namespace": call.use.namespace}
        try:
            return self.cache.key_of_langchain(prompt, plain, **whose)
        except Exception as error:  # noqa: BLE001  (a user's `key_text`; told, and no call's concern)
            self.cache.fail("key", error)
            return None

    def _kept(
        self, prompt: str, llm_string: str, generations: Sequence[Generation]
    ) -> tuple[Miss | CacheKey, NewAnswer, _How] | None:
        """What to store of an answer, and how; None for one that is not to be kept."""
        plain, call = call_of(llm_string)
        if in_a_cache() or (call is not None and (call.use.off or call.shared)):
            return None
        answer = new_answer(generations)
        if answer is None:
            self.cache.refuse(_STRANGE)
            return None
        asked = call.missed if call is not None and call.missed is not None else self._key(prompt, plain, call)
        return None if asked is None else (asked, answer, {} if call is None else _how(call.use))

    def clear(self, **kwargs: Unpack[Chosen]) -> None:  # type: ignore[override]  # LangChain's are Any
        """Remove every entry of this cache, or those chosen (see `SemanticCache.clear`)."""
        self.cache.clear(**kwargs)

    async def aclear(self, **kwargs: Unpack[Chosen]) -> None:  # type: ignore[override]  # as above
        """As `clear`."""
        await self.cache.aclear(**kwargs)


def _found(result: Hit[list[Generation]] | Miss, call: CacheCall | None) -> RETURN_VAL_TYPE | None:
    """A hit's generations; a miss is noted for the call, which need not look up again."""
    if isinstance(result, Hit):
        return as_hit(result)
    if call is not None:
        call.missed = result
    return None


def _how(use: CacheUse) -> _How:
    return {"ttl": use.ttl, "tags": use.tags, "tenant": use.tenant, "namespace": use.namespace}

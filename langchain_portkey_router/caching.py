"""One call of a ChatPortkey and the cache that it asks: the explicit one, else LangChain's, else the router's own.

LangChain looks up for `invoke` and the like, and stores; what it learns on the way reaches the call by its key: the
`llm_string` that it passes on is a `CallKey`, the very object of that one call. So nobody else can come by it, in
whichever thread, task, batch or nested call, and a cache of ours looks up once, embeds once and stores once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from os import urandom
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from langchain_core.caches import BaseCache
from langchain_core.globals import get_llm_cache
from langchain_core.load import dumps
from langchain_core.utils.utils import LC_ID_PREFIX

from langchain_portkey_router._replay import generations_of
from portkey_router.errors import ConfigurationError
from portkey_router.events import CallFinished
from portkey_router.flow.cache_use import CACHE_OPTIONS, cache_use_of
from portkey_router.messages import CacheUse, CallOptions, Cost, Usage
from portkey_router.money import as_usd

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_core.caches import RETURN_VAL_TYPE
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import ChatGeneration, Generation

    from langchain_portkey_router.runs import RunManager
    from portkey_router.cache.cache import SemanticCache
    from portkey_router.cache.results import Miss
    from portkey_router.messages import Completion
    from portkey_router.router import PortkeyRouter

__all__ = [
    "CALL",
    "Asked",
    "CacheCall",
    "CallAware",
    "CallKey",
    "Refreshed",
    "as_cache",
    "call_of",
    "chosen_cache",
    "give_out",
    "hit_id",
    "without_wishes",
]

CALL = "portkey_cache_call"
"""The argument by which a call's state goes from LangChain's entry through LangChain to `_generate`."""


class CallAware(BaseCache):
    """A cache over a `SemanticCache` that knows a `CallKey`, and writes into its call what it finds."""

    cache: SemanticCache


@dataclass(slots=True, eq=False)
class CacheCall:
    """What one call wants of its cache, and what has become of it.

    `cache` is the one of LangChain's to ask, explicit or global, `use` what the call says of it. Without one the
    router's own is asked, unless `use` is off.

    `missed` is what a cache of ours has found; `asked` says that the model has been asked then, `shared` that its
    answer is another call's, which keeps it.
    """

    cache: BaseCache | None
    use: CacheUse
    missed: Miss | None = None
    asked: bool = False
    shared: bool = False
    began: float = field(default_factory=time.monotonic)

    @property
    def ours(self) -> bool:
        """Whether the cache knows of calls."""
        return isinstance(self.cache, CallAware)

    def key(self, llm_string: str) -> str:
        """The call's key in its cache; for ours, one that it knows the call by."""
        return CallKey(llm_string, self) if self.ours else llm_string

    def for_router(self) -> CacheUse:
        """What is left for the router: with a cache of ours, to wait for equal calls in flight; with others, nothing.

        What was looked up holds for one call: a subclass that asks the model twice asks another question.
        """
        missed, self.asked = None if self.asked else self.missed, True
        if self.cache is None:
            return self.use
        if not isinstance(self.cache, CallAware) or missed is None or self.use.off:
            return CacheUse(off=True)
        return replace(self.use, cache=self.cache.cache, missed=missed, since=self.began, stores_itself=True)

    def keeps(self, completion: Completion) -> bool:
        """Whether an answer is this call's to keep, and not another call's."""
        self.shared = completion.cache is not None
        return not self.shared


class CallKey(str):
    """The `llm_string` of one call. Equal to any other of the same text; `plain` is that text alone."""

    __slots__ = ("call", "plain")
    call: CacheCall
    plain: str

    def __new__(cls, plain: str, call: CacheCall) -> CallKey:  # noqa: PYI034  (Self would be the same)
        """Of that call."""
        key = super().__new__(cls, plain)
        key.plain, key.call = plain, call
        return key


def call_of(llm_string: str) -> tuple[str, CacheCall | None]:
    """A key's text, and the call it belongs to, if it is one of ours."""
    return (llm_string.plain, llm_string.call) if isinstance(llm_string, CallKey) else (llm_string, None)


@dataclass(frozen=True, slots=True)
class Asked:
    """A stream's question to its cache: what LangChain asks for other calls, and does not for streams."""

    call: CacheCall
    cache: BaseCache
    prompt: str
    key: str
    output_version: str | None

    @classmethod
    def of(
        cls, call: CacheCall, messages: Sequence[BaseMessage], llm_string: str, output_version: str | None
    ) -> Asked | None:
        """The same prompt and key as LangChain's; None where there is nobody to ask."""
        if call.cache is None or call.use.off:
            return None
        prompt = dumps([each if each.id is None else each.model_copy(update={"id": None}) for each in messages])
        return cls(call, call.cache, prompt, llm_string, output_version)

    def look_up(self) -> list[Generation] | None:
        """What it has."""
        return None if self.call.use.refresh else _as_list(self.cache.lookup(self.prompt, self.key))

    async def alook_up(self) -> list[Generation] | None:
        """As `look_up`."""
        return None if self.call.use.refresh else _as_list(await self.cache.alookup(self.prompt, self.key))

    def keep(self, completion: Completion) -> None:
        """Have it keep a whole answer."""
        if generations := self._to_keep(completion):
            self.cache.update(self.prompt, self.key, generations)

    async def akeep(self, completion: Completion) -> None:
        """As `keep`."""
        if generations := self._to_keep(completion):
            await self.cache.aupdate(self.prompt, self.key, generations)

    def _to_keep(self, completion: Completion) -> list[ChatGeneration]:
        """The generations, none where they are not to be kept: a cache of ours judges for itself."""
        generations = generations_of(completion, self.output_version)
        if self.call.ours:
            return generations
        from portkey_router.cache.policy import answer_of_generations, storable  # noqa: PLC0415  (who does not use it does not pay for it)

        return [] if storable(answer_of_generations(generations)) else generations


def _as_list(found: Any) -> list[Generation] | None:
    return found if isinstance(found, list) and found else None  # as LangChain takes it


class Refreshed(BaseCache):
    """A cache that finds nothing, and keeps what it is given."""

    def __init__(self, cache: BaseCache) -> None:
        self._cache = cache

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:  # noqa: ARG002  (LangChain's signature)
        """Nothing."""
        return None

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:  # noqa: ARG002  (LangChain's signature)
        """Nothing."""
        return None

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Keep it."""
        self._cache.update(prompt, llm_string, return_val)

    async def aupdate(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Keep it."""
        await self._cache.aupdate(prompt, llm_string, return_val)

    def clear(self, **kwargs: Any) -> None:
        """Remove all."""
        self._cache.clear(**kwargs)


def without_wishes(given: Mapping[str, Any]) -> dict[str, Any]:
    """A call's arguments without those about its cache."""
    return {name: value for name, value in given.items() if name not in CACHE_OPTIONS}


def hit_id(run_manager: RunManager | None, index: int) -> str:
    """The id of a message from a cache: of its run, as LangChain gives them to others.

    By the stored one, LangGraph would replace the earlier message with this one.
    """
    of_run = f"{LC_ID_PREFIX}-{run_manager.run_id}" if run_manager else f"lc_cache--{uuid4()}"
    return f"{of_run}-{index}" if index else of_run


def give_out(
    router: PortkeyRouter,
    options: Mapping[str, Any],
    generations: Sequence[ChatGeneration],
    *,
    began: float,
    streamed: bool,
) -> None:
    """Give a hit its call's trace id, and tell by an event that the call ended: the router has not heard of it."""
    trace_id = options.get("trace_id") or router.options.trace_id or urandom(16).hex()
    for each in generations:
        each.message.response_metadata["portkey"]["trace_id"] = trace_id
    hub = router.hub.for_call(options.get("on_event"))
    if not hub.listening:
        return
    told, seconds = generations[0].message.response_metadata, time.monotonic() - began
    portkey = told["portkey"]
    hub.emit(
        CallFinished(
            call_id=urandom(16).hex(),
            trace_id=trace_id,
            outcome="ok",
            requested_model=options.get("model"),
            model=told.get("model_name"),
            provider=portkey["provider"],
            target=portkey["target"] or None,
            usage=Usage(),
            cost=Cost.from_dict(portkey["cost"]),
            streamed=streamed,
            seconds=seconds,
            first_token=seconds if streamed else None,
            cache=portkey["cache"]["layer"],
            saved_usd=as_usd(portkey["cache"]["saved_cost"]),
            tags={**router.options.tags, **options["tags"]},
        )
    )


def as_cache(given: Any) -> BaseCache | bool | None:
    """What was given for `cache=`, as LangChain takes it: a `SemanticCache` or a URL becomes a `RedisSemanticCache`.

    Raises `ConfigurationError` for anything else.
    """
    if given is None or isinstance(given, BaseCache | bool):
        return given
    from langchain_portkey_router.cache import RedisSemanticCache  # noqa: PLC0415  (who does not use it does not pay for it)
    from portkey_router.cache.cache import SemanticCache  # noqa: PLC0415  (who does not use it does not pay for it)

    if isinstance(given, str):
        return RedisSemanticCache(redis_url=given)
    if isinstance(given, SemanticCache):
        return RedisSemanticCache(cache=given)
    msg = f"cache= is a RedisSemanticCache, a SemanticCache, a URL, any LangChain cache, or a bool; not {type(given)}."
    raise ConfigurationError(msg)


def chosen_cache(given: Any, call: Mapping[str, Any]) -> CacheCall:
    """The cache of a call whose model has been `given` one, and what the call says of it.

    Raises `ConfigurationError` for `cache=True` where there is none, and for what the cache could not do.
    """
    use = cache_use_of(_OWN, call) or _PLAIN
    if given is False:
        return CacheCall(None, replace(use, off=True))
    cache = given if isinstance(given, BaseCache) else get_llm_cache()
    if cache is None and given is True:
        msg = "cache=True, and LangChain has no cache: call set_llm_cache(...) first, or give the model cache=..."
        raise ConfigurationError(msg)
    chosen = CacheCall(cache, use)
    if cache is not None and not chosen.ours and (use.ttl is not None or use.tags):
        msg = f"{type(cache).__name__} has no cache_ttl= and no cache_tags= for one answer; a RedisSemanticCache has."
        raise ConfigurationError(msg)
    return chosen


_OWN, _PLAIN = CallOptions(), CacheUse()

"""The composition root: settings and loose arguments become a `PortkeyRouter`, URLs the stores they name."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack

from portkey_router.costing import Experience
from portkey_router.errors import ConfigurationError
from portkey_router.events import EventHub
from portkey_router.flow.journey import Deadlines
from portkey_router.flow.policy import POLICY_OPTIONS, Policy
from portkey_router.health import Health
from portkey_router.locks import ForkLock
from portkey_router.messages import CallOptions
from portkey_router.options import RouterOptions
from portkey_router.portal import SyncTransport
from portkey_router.pricing import PriceBook
from portkey_router.router import PortkeyRouter
from portkey_router.settings import load_settings
from portkey_router.targets import Target
from portkey_router.transport import shared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from portkey_router.budget import Budget, RateLimit
    from portkey_router.cache.store import CacheStore
    from portkey_router.events import Sink
    from portkey_router.ledger.commands import LedgerStore
    from portkey_router.ledger.keeper import BudgetLedger, LedgerOptions
    from portkey_router.pricing import Price
    from portkey_router.stores.memory_cache import MemoryCacheStore
    from portkey_router.stores.shared_health import SharedHealth

__all__ = [
    "NamedEncoder",
    "build_cache_store",
    "build_ledger",
    "build_router",
    "build_router_from_client",
    "stream_entries",
]


T = TypeVar("T")


def build_router(*, from_env: bool = False, **options: Unpack[RouterOptions]) -> PortkeyRouter:
    """A router from arguments, environment and `.env`, in that order. Nothing is sent, and no connection made.

    The arguments are those of `portkey_router.RouterOptions`, where each has its meaning. Raises `ConfigurationError`,
    and `NotEnabledError` with `from_env` where `PREFERRED_LLM_PROVIDER` is not Portkey.
    """
    unknown = options.keys() - _OPTIONS
    if unknown:
        raise TypeError(f"a router has no argument {', '.join(map(repr, sorted(unknown)))}")
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None or name == "env_file"}
    settings = load_settings(**{name: given[name] for name in _SETTINGS if name in given})
    if from_env:
        settings.check_enabled()
    return PortkeyRouter(
        settings,
        ports=(SyncTransport(shared()), shared()),
        target=_target(given),
        deadlines=_deadlines(given.get("deadlines"), given.get("timeout")),
        options=CallOptions(**{name: given[name] for name in _CALL_OPTIONS if name in given}),
        prices=_price_book(given.get("prices")),
        policy=Policy(**{name: given[name] for name in POLICY_OPTIONS if name in given}),
        health=_health(given.get("health")),
        hub=EventHub(given.get("sinks", ())),
        experience=process_experience(),
        **{name: given[name] for name in _ROUTER_OWN if name in given},
    )


_OPTIONS = frozenset(RouterOptions.__annotations__)
_SETTINGS = ("api_key", "base_url", "default_headers", "virtual_keys", "model_rules", "env_file")
_CALL_OPTIONS = ("metadata", "trace_id", "cache_namespace", "cache_force_refresh")
_ROUTER_OWN = ("model", "strategy", "config", "run_on", "max_retries", "count_tokens")


def _health(given: Health | str | None) -> Health:
    if isinstance(given, str):
        return _shared_health(given)
    return process_health() if given is None else given


@functools.cache
def _shared_health(url: str) -> SharedHealth:
    from portkey_router.stores.redis_client import RedisClient  # noqa: PLC0415  (who does not use it does not pay for it)
    from portkey_router.stores.shared_health import SharedHealth  # noqa: PLC0415  (who does not use it does not pay for it)

    return SharedHealth(RedisClient(url))


@functools.cache
def process_health() -> Health:
    """What this process knows of its targets: a target is one gateway, key and model, whichever router asks it."""
    return Health(ForkLock())


@functools.cache
def process_experience() -> Experience:
    """What this process has learned of its targets, for `CostAware`: under the keys of `process_health`."""
    return Experience()


def _target(given: Mapping[str, Any]) -> Target:
    """How the model is reached."""
    virtual_key, provider = given.get("virtual_key"), given.get("provider")
    if (virtual_key or provider) and (given.keys() & {"strategy", "config"}):
        msg = "virtual_key= and provider= belong to model=; in a strategy give them to each Target(...)."
        raise ConfigurationError(msg)
    return Target(virtual_key=virtual_key, provider=provider)


def _deadlines(deadlines: Deadlines | None, timeout: float | None) -> Deadlines:
    limits = deadlines or Deadlines()
    return limits if timeout is None else replace(limits, total=timeout)


def _price_book(prices: PriceBook | Mapping[str, Price] | Literal[False] | None) -> PriceBook | None:
    if prices is False:
        return None
    return prices if isinstance(prices, PriceBook) else PriceBook(prices)


def build_router_from_client(client: Any, **options: Any) -> PortkeyRouter:
    """A router with what a `portkey_ai.Portkey` or `AsyncPortkey` was given: URL, keys, config, headers.

    `options` are `build_router`'s and win over the client's. Raises `ConfigurationError` for anything else.
    """
    base_url, headers = getattr(client, "base_url", None), getattr(client, "custom_headers", None)
    if base_url is None or headers is None:
        msg = f"from_portkey takes a portkey_ai.Portkey or AsyncPortkey client, not {type(client).__name__}."
        raise ConfigurationError(msg)
    replaced = _SDK_OWN | {"x-portkey-api-key"} if options.get("api_key") else _SDK_OWN
    taken = {name.lower(): str(value) for name, value in headers.items() if name.lower() not in replaced}
    taken |= {name.lower(): str(value) for name, value in (options.pop("default_headers", None) or {}).items()}
    return build_router(**{"base_url": str(base_url), **options}, default_headers=taken)


_SDK_OWN = frozenset({"x-portkey-package-version", "x-portkey-runtime", "x-portkey-runtime-version", "content-type"})


# ---- caches ----------------------------------------------------------------------------------------------------------


def build_cache_store(
    url: str | None,
    *,
    client: Any = None,
    timeout: float = 0.05,
    connect_timeout: float = 0.25,
    algorithm: Literal["FLAT", "HNSW"] = "FLAT",
    dtype: Literal["FLOAT32", "FLOAT16"] = "FLOAT32",
) -> CacheStore:
    """The store of a cache: `memory://`, `memory://name` (one for the process), or Redis by a URL or your client.

    Raises `ConfigurationError`. No connection is made.
    """
    if url is not None and url.startswith("memory://"):
        return _named_memory(url.removeprefix("memory://") or None)
    from portkey_router.stores.redis_cache import RedisCacheStore  # noqa: PLC0415  (who does not use it does not pay for it)
    from portkey_router.stores.redis_client import RedisClient  # noqa: PLC0415  (who does not use it does not pay for it)

    client = RedisClient(url, client=client, timeout=timeout, connect_timeout=connect_timeout)
    return RedisCacheStore(client, algorithm=algorithm, dtype=dtype)


def _named_memory(name: str | None) -> MemoryCacheStore:
    from portkey_router.stores.memory_cache import MemoryCacheStore  # noqa: PLC0415  (who does not use it does not pay for it)

    return MemoryCacheStore() if name is None else _in_memory(MemoryCacheStore, name)


@functools.cache
def _in_memory(kind: Callable[[], T], *_: str) -> T:
    """The one store of that kind, for the process, under a name."""
    return kind()


# ---- ledgers ---------------------------------------------------------------------------------------------------------


def build_ledger(
    url: str | None = "memory://",
    *,
    budgets: Iterable[Budget] = (),
    limits: Iterable[RateLimit] = (),
    namespace: str = "default",
    client: Any = None,
    timeout: float = 2.0,
    connect_timeout: float = 2.0,
    sinks: Sequence[Sink] = (),
    **options: Unpack[LedgerOptions],
) -> BudgetLedger:
    """A ledger in this process (`memory://`; `memory://name` is one for all who name it so), or in Redis.

    - `url` (`redis://`, `rediss://`, `redis+cluster://` ...) or `client`, one you already hold: any Redis from 5 on.
    - `budgets`, `limits`: what is kept. `namespace` keeps ledgers in one Redis apart; those that share it share
      counters, and on a cluster it is the hash tag that keeps them on one node.
    - `timeout`, `connect_timeout`: seconds for an answer, and for getting a connection, others' turns included.
    - `sinks`: who hears of `BudgetAlert` and `BudgetExceeded`. `options`: see `BudgetLedger`.

    Raises `ConfigurationError`. No connection is made.
    """
    from portkey_router.ledger.keeper import BudgetLedger  # noqa: PLC0415  (who does not use it does not pay for it)

    return BudgetLedger(
        _ledger_store(url if client is None else None, client, namespace, timeout, connect_timeout),
        budgets,
        limits,
        hub=EventHub(sinks),
        **options,
    )


def _ledger_store(url: str | None, client: Any, namespace: str, timeout: float, connect_timeout: float) -> LedgerStore:
    if url is not None and url.startswith("memory://"):
        from portkey_router.stores.memory_ledger import MemoryLedgerStore  # noqa: PLC0415  (who does not use it does not pay for it)

        name = url.removeprefix("memory://")
        return _in_memory(MemoryLedgerStore, name, namespace) if name else MemoryLedgerStore()
    from portkey_router.stores.redis_client import RedisClient  # noqa: PLC0415  (who does not use it does not pay for it)
    from portkey_router.stores.redis_ledger import RedisLedgerStore  # noqa: PLC0415  (who does not use it does not pay for it)

    redis = RedisClient(url, client=client, timeout=timeout, connect_timeout=connect_timeout)
    return RedisLedgerStore(redis, namespace=namespace)


# ---- embedding by name -----------------------------------------------------------------------------------------------


class NamedEncoder:
    """Embeds with a model of this name, by a router of the environment that is built at the first text.

    `options` are `build_router`'s; with a `strategy` among them, its targets embed.
    """

    def __init__(self, model: str, /, **options: Unpack[RouterOptions]) -> None:
        self._model = None if "strategy" in options else model
        self._options = options

    @functools.cached_property
    def _router(self) -> Any:
        return build_router(from_env=True, **self._options)

    def encode(self, text: str) -> list[float]:
        """The text's vector."""
        vector: list[float] = self._router.embed([text], model=self._model).vectors[0]
        return vector

    async def aencode(self, text: str) -> list[float]:
        """The text's vector."""
        vector: list[float] = (await self._router.aembed([text], model=self._model)).vectors[0]
        return vector


def stream_entries(
    url: str, *, stream: str | None = None, since: float | None = None, timeout: float = 10.0
) -> Iterator[bytes]:
    """What a `RedisStreamSink` wrote, for `portkey_router.report.calls_in`: see `sinks.redis_stream.entries_of`."""
    from portkey_router.sinks.redis_stream import STREAM, entries_of  # noqa: PLC0415  (it brings other sinks' libraries)

    return entries_of(url, stream=stream or STREAM, since=since, timeout=timeout)

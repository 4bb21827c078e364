"""The composition root: settings and loose arguments become a `PortkeyRouter`, URLs the stores they name."""

from __future__ import annotations

import functools
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Unpack

from portkey_router.errors import ConfigurationError
from portkey_router.events import EventHub
from portkey_router.flow.journey import Deadlines
from portkey_router.flow.policy import Policy
from portkey_router.health import Health
from portkey_router.messages import CallOptions
from portkey_router.portal import SyncTransport
from portkey_router.pricing import PriceBook
from portkey_router.router import PortkeyRouter
from portkey_router.settings import load_settings
from portkey_router.stores.memory_cache import MemoryCacheStore
from portkey_router.stores.redis_cache import RedisCacheStore
from portkey_router.stores.redis_client import RedisClient
from portkey_router.targets import Target
from portkey_router.transport import shared

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import SecretStr

    from portkey_router.cache.store import CacheStore
    from portkey_router.events import Sink
    from portkey_router.flow.policy import PolicyOptions
    from portkey_router.planner import RunOn
    from portkey_router.pricing import Price
    from portkey_router.providers import ModelRule
    from portkey_router.targets import TargetLike

__all__ = ["NamedEncoder", "build_cache_store", "build_router", "build_router_from_client"]


def build_router(
    *,
    model: str | None = None,
    strategy: TargetLike | None = None,
    config: str | Mapping[str, Any] | None = None,
    virtual_key: str | SecretStr | None = None,
    provider: str | None = None,
    api_key: str | SecretStr | None = None,
    base_url: str | Sequence[str] | None = None,
    default_headers: Mapping[str, str] | None = None,
    virtual_keys: Mapping[str, str | SecretStr] | None = None,
    model_rules: Sequence[ModelRule] = (),
    run_on: RunOn = "client",
    timeout: float | None = None,
    deadlines: Deadlines | None = None,
    max_retries: int = 2,
    metadata: Mapping[str, str] | None = None,
    trace_id: str | None = None,
    cache_namespace: str | None = None,
    cache_force_refresh: bool | None = None,
    prices: PriceBook | Mapping[str, Price] | Literal[False] | None = None,
    health: Health | None = None,
    sinks: Sequence[Sink] = (),
    from_env: bool = False,
    env_file: str | None = ".env",
    **policy: Unpack[PolicyOptions],
) -> PortkeyRouter:
    """A router from arguments, environment and `.env`, in that order. Nothing is sent, and no connection made.

    - `model`, `strategy`, `config` (a saved `pc-...`, or a config as a dict): what is asked, unless a call says
      otherwise. Without any, `PORTKEY_CONFIG_ID`, `PORTKEY_STRATEGY` and `PORTKEY_FALLBACKS` decide.
    - `virtual_key`, `provider`: how `model` is reached; by default its name finds its virtual key.
    - `api_key`, `base_url`, `default_headers`: the gateway (`PORTKEY_API_KEY`, `PORTKEY_GATEWAY_URL`), or a list.
    - `virtual_keys` by provider name and `model_rules` extend what the environment and the table know.
    - `run_on`: the `client` (default) or the `gateway` runs the strategy; `max_retries`: further tries a target (2).
    - `timeout`: seconds for a whole call with all its attempts, 600 by default; `deadlines`: those of an attempt, too.
    - `metadata`, `trace_id`, `cache_namespace`, `cache_force_refresh`: Portkey's, for every call.
    - `health`: what is known of targets; all routers of the process share it. `sinks`: who hears of calls (`events`).
    - `retry_after_max`, `on_content_filter`, `on_stream_break`, `wire_stream`: how calls fail over; see `Policy`.
    - `prices`: a `PriceBook`, or your own prices by model; False leaves every cost None, and genai-prices unimported.

    Raises `ConfigurationError`, and `NotEnabledError` with `from_env` where `PREFERRED_LLM_PROVIDER` is not Portkey.
    """
    settings = load_settings(
        api_key=api_key,
        base_url=base_url,
        default_headers=default_headers,
        virtual_keys=virtual_keys,
        model_rules=model_rules,
        env_file=env_file,
    )
    if from_env:
        settings.check_enabled()
    _check_alone(virtual_key or provider, strategy, config)
    return PortkeyRouter(
        settings,
        ports=(SyncTransport(shared()), shared()),
        model=model,
        strategy=strategy,
        config=config,
        target=Target(virtual_key=virtual_key, provider=provider),
        run_on=run_on,
        max_retries=max_retries,
        deadlines=_deadlines(deadlines, timeout),
        options=_call_options(metadata, trace_id, cache_namespace, refresh=cache_force_refresh),
        prices=_price_book(prices),
        policy=Policy(**policy),
        health=health or process_health(),
        hub=EventHub(sinks),
    )


@functools.cache
def process_health() -> Health:
    """What this process knows of its targets: a target is one gateway, key and model, whichever router asks it."""
    return Health(threading.Lock())


def _call_options(
    metadata: Mapping[str, str] | None, trace_id: str | None, namespace: str | None, *, refresh: bool | None
) -> CallOptions:
    return CallOptions(metadata or {}, trace_id, cache_namespace=namespace, cache_force_refresh=refresh)


def _check_alone(reached_by: object, strategy: object, config: object) -> None:
    if reached_by and (strategy is not None or config is not None):
        msg = "virtual_key= and provider= belong to model=; in a strategy give them to each Target(...)."
        raise ConfigurationError(msg)


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
        name = url.removeprefix("memory://")
        return MemoryCacheStore() if not name else _named_memory(name)
    client = RedisClient(url, client=client, timeout=timeout, connect_timeout=connect_timeout)
    return RedisCacheStore(client, algorithm=algorithm, dtype=dtype)


@functools.cache
def _named_memory(_: str) -> MemoryCacheStore:
    return MemoryCacheStore()


class NamedEncoder:
    """Embeds with a model of this name, by a router of the environment that is built at the first text."""

    def __init__(self, model: str) -> None:
        self._model = model

    @functools.cached_property
    def _router(self) -> Any:
        return build_router(from_env=True)

    def encode(self, text: str) -> list[float]:
        """The text's vector."""
        vector: list[float] = self._router.embed([text], model=self._model).vectors[0]
        return vector

    async def aencode(self, text: str) -> list[float]:
        """The text's vector."""
        vector: list[float] = (await self._router.aembed([text], model=self._model)).vectors[0]
        return vector

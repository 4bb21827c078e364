"""The names of Portkey's integration guide, for code written by it. Each is a call into the core, named beside it.

Only the import path differs: `from portkey_router.guide import PortkeyClient, RedisClient, PortkeyError`.

| here | in the core |
|---|---|
| `PortkeyClient.generate_response` | `PortkeyRouter.acomplete` |
| `RedisClient.setup_portkey_config` | `PortkeyRouter.from_env(strategy=Fallback(...))` |
| `RedisClient.is_portkey_enabled` | `Settings.enabled` |
| `RedisClient.portkey` | `PortkeyRouter` |
| `RedisClient.portkey_semantic_cache` | `SemanticCache.aget` |
| `RedisClient.portkey_store_semantic_cache` | `SemanticCache.aput` |
| `RedisClient.clear_portkey_cache` | `SemanticCache.aclear`, which also takes a namespace, tag, prompt or age |
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from portkey_router.admin.provider_list import strategy_over
from portkey_router.bootstrap import NamedEncoder, build_cache_store, build_router
from portkey_router.errors import ConfigurationError, MissingCredentialError, NotEnabledError, PortkeyError
from portkey_router.settings import load_settings, read_environment
from portkey_router.targets import CostAware, Single, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import SecretStr

    from portkey_router.cache.cache import SemanticCache
    from portkey_router.cache.encoders import Encoder
    from portkey_router.cache.store import CacheStore
    from portkey_router.messages import Completion
    from portkey_router.router import PortkeyRouter
    from portkey_router.settings import Settings

__all__ = ["PortkeyClient", "PortkeyError", "RedisClient"]

KEY_REQUIRED = "Portkey API key is required: pass it to the constructor, or set PORTKEY_API_KEY."
NOT_ENABLED = (
    "Portkey is not enabled or not initialized: pass use_portkey=True, and set PREFERRED_LLM_PROVIDER to 'portkey', or "
    "not at all."
)
EMBEDDINGS = "text-embedding-3-small"
"""What the cache compares questions by, where an OpenAI key is configured."""
EQUAL_ONLY = (
    "The Portkey cache answers equal questions only. To compare those in other words it embeds them: set "
    "PORTKEY_VIRTUAL_KEY_OPENAI, give a fallback an OpenAI key, or pass embeddings=."
)
SWITCHED_OFF = (
    "The Portkey cache is switched off: nothing is found in it, and nothing kept. Switch it on with "
    "setup_portkey_config(cache_enabled=True), or unset PORTKEY_CACHE_ENABLED."
)
_OFF = frozenset({"0", "false", "no", "off"})
# Of the options of a router, those that say how Portkey is reached, for chat and for embeddings alike.
_ACCESS = ("base_url", "default_headers", "env_file", "model_rules", "virtual_keys")

_logger = logging.getLogger("portkey_router.guide")


def _check_key(settings: Settings) -> None:
    try:
        settings.check_access()
    except MissingCredentialError as error:
        raise MissingCredentialError(KEY_REQUIRED) from error


class PortkeyClient:
    """Chat calls with the right virtual key by the model's name. In the core: `PortkeyRouter`.

    `options` are `build_router`'s; `PORTKEY_CONFIG_ID`, `PORTKEY_STRATEGY` and `PORTKEY_FALLBACKS` count as they do
    there. Raises `MissingCredentialError` ("Portkey API key is required") where the hosted gateway has no key, and
    `NotEnabledError` (also a `RuntimeError`) where `PREFERRED_LLM_PROVIDER` names another provider.
    """

    def __init__(self, api_key: str | SecretStr | None = None, **options: Any) -> None:
        settings = load_settings(
            api_key=api_key,
            base_url=options.get("base_url"),
            default_headers=options.get("default_headers"),
            env_file=options.get("env_file", ".env"),
        )
        if not settings.enabled:
            raise NotEnabledError(NOT_ENABLED)
        _check_key(settings)
        self.router: PortkeyRouter = build_router(api_key=api_key, **options)

    def __repr__(self) -> str:
        return f"PortkeyClient({self.router!r})"

    async def generate_response(
        self, model: str | None = None, messages: Sequence[Mapping[str, Any]] = (), **options: Any
    ) -> Completion:
        """The whole answer: `.text`, `.usage`, `.cost`, `.route`. In the core: `PortkeyRouter.acomplete`."""
        return await self.router.acomplete(messages, model=model, **options)


class RedisClient:
    """The guide's Redis client, as far as it sets up Portkey and its cache.

    In the core: `PortkeyRouter` and `SemanticCache`.

    - `host`, `port`: the Redis of the cache. One with a password, TLS or a cluster, or none at all: `cache`, a URL as
      `SemanticCache` takes it (`rediss://user:password@host:6379`, `memory://`), or a `SemanticCache` of your own.
    - `embeddings`: what the cache compares questions by, as in `SemanticCache`. None: `text-embedding-3-small` through
      Portkey, where a virtual key or a fallback's key for OpenAI is configured; else equal questions are answered only,
      which the log says once.
    - `portkey_cache_ttl`: seconds for which the cache keeps responses, up to a tenth less for each, and Portkey answers
      where `setup_portkey_config(cache_enabled=True)`; 60 at least.
    - `options`: `build_router`'s.

    Nothing is connected here. Raises `MissingCredentialError` and `ConfigurationError` (both `PortkeyError`s).
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 6379,
        *,
        use_portkey: bool | None = None,
        portkey_api_key: str | SecretStr | None = None,
        portkey_cache_ttl: int = 3600,
        embeddings: Any = None,
        cache: SemanticCache | str | None = None,
        **options: Any,
    ) -> None:
        self._cache_url = _redis_url(host, port) if cache is None else cache
        self.host = host
        self.port = port
        self.portkey_cache_ttl = portkey_cache_ttl
        settings = load_settings(
            api_key=portkey_api_key, base_url=options.get("base_url"), env_file=options.get("env_file", ".env")
        )
        # Not said by an argument, it is the environment's to say: PREFERRED_LLM_PROVIDER="portkey".
        wanted = settings.preferred_provider == "portkey" if use_portkey is None else use_portkey
        self._enabled = wanted and settings.enabled
        self._api_key = portkey_api_key
        self._options = options
        self._settings = settings
        self._portkey: PortkeyClient | None = None
        self._embeddings = embeddings
        self._cache: SemanticCache | None = None
        self._store: CacheStore | None = None
        self._openai = _openai_target(settings, settings.fallbacks)
        self._caches = (
            read_environment(options.get("env_file", ".env")).get("portkey_cache_enabled", "").lower() not in _OFF
        )
        self._gateway_caches = False
        self._told: set[str] = set()
        if self._enabled:
            _check_key(settings)
            lifetime: Any = portkey_cache_ttl  # whatever it is
            if not isinstance(lifetime, int) or not 60 <= lifetime <= 7_776_000:  # noqa: PLR2004  (Portkey's own limits: a minute, 90 days)
                raise ConfigurationError("portkey_cache_ttl is in seconds, from 60 to 7776000 (90 days).")
            self._portkey = PortkeyClient(portkey_api_key, **options)

    def __repr__(self) -> str:
        return f"RedisClient({self.host}:{self.port}, use_portkey={self._enabled})"

    @property
    def portkey(self) -> PortkeyClient:
        """Calls by what `setup_portkey_config` set. Raises `NotEnabledError` where Portkey is not enabled."""
        if self._portkey is None:
            raise NotEnabledError(NOT_ENABLED)
        return self._portkey

    async def is_portkey_enabled(self) -> bool:
        """Whether Portkey was asked for, and the environment does not prefer another provider."""
        return self._portkey is not None

    async def setup_portkey_config(
        self,
        strategy: str = "fallback",
        fallbacks: Sequence[Mapping[str, Any]] | None = None,
        cache_enabled: bool | None = None,  # noqa: FBT001  (the guide's signature)
    ) -> None:
        """Route the calls of `portkey` by this strategy from now on. In the core: `strategy=` of `PortkeyRouter`.

        `fallbacks` are models with a `provider` and its `api_key`, or a `virtual_key`, by default `PORTKEY_FALLBACKS`:
        `[{"provider": "openai", "model": "gpt-4o", "api_key": "..."}]`. `strategy`: `single`, `fallback`,
        `loadbalance` or `cost_aware` (the cheapest first).

        `cache_enabled`: True has Portkey keep answers to equal requests, and switches the cache of
        `portkey_semantic_cache` on; False switches both off; None leaves them as they are. In the beginning Portkey
        keeps nothing, and the cache is on, unless `PORTKEY_CACHE_ENABLED` is false.

        Raises `NotEnabledError` (also a `RuntimeError`), and `ConfigurationError` (a `PortkeyError`).
        """
        if self._portkey is None:
            raise NotEnabledError(NOT_ENABLED)
        targets = self._settings.fallbacks if fallbacks is None else _targets(fallbacks)
        if not targets:
            raise ConfigurationError("setup_portkey_config needs models: pass fallbacks=, or set PORTKEY_FALLBACKS.")
        if cache_enabled is not None:
            self._caches = self._gateway_caches = cache_enabled
        if self._gateway_caches:
            cache = {"mode": "simple", "max_age": self.portkey_cache_ttl}
            targets = tuple(replace(target, cache=cache) for target in targets)
        chosen = CostAware(*targets) if strategy == "cost_aware" else strategy_over(strategy, targets)
        self._portkey = PortkeyClient(self._api_key, strategy=chosen, **self._options)
        if (openai := _openai_target(self._settings, targets)) != self._openai:
            self._openai, self._cache = openai, None

    # --- the cache ----------------------------------------------------------------------------------------------

    @property
    def cache(self) -> SemanticCache:
        """The cache of the verbs below, which can do more: `inspect`, `stats`, `clear(tag=...)`, `reject`.

        Raises `NotEnabledError` where Portkey is not enabled.
        """
        from portkey_router.cache.cache import SemanticCache  # noqa: PLC0415  (who does not use it does not pay for it)

        _ = self.portkey
        if isinstance(self._cache_url, SemanticCache):
            return self._cache_url
        if self._cache is None:
            # The store stays where the encoder changes: one in memory would be lost.
            self._store = self._store or build_cache_store(self._cache_url)
            self._cache = SemanticCache(self._store, self._encoder(), ttl=self.portkey_cache_ttl)
        return self._cache

    async def portkey_semantic_cache(self, query: str, cache_key: str | None = None) -> Any:
        """The response stored for this question or one alike, or with a key under that key alone; else None.

        In the core: `SemanticCache.aget`. A Redis that is away is a miss. Raises `NotEnabledError` (a `RuntimeError`).
        """
        if not self._caching():
            return None
        return await (self.cache.aget(query) if cache_key is None else self.cache.aget(key=cache_key))

    async def portkey_store_semantic_cache(
        self, query: str, response: Any, cache_key: str | None = None, ttl: float | None = None
    ) -> bool:
        """Keep a response under its question, and under a key; whether it was kept. In the core: `SemanticCache.aput`.

        `response` is JSON: a text, a dict; of a `Completion`, its `.text`. `ttl`: seconds, in the place of
        `portkey_cache_ttl`. A Redis that is away keeps nothing. Raises `NotEnabledError` (a `RuntimeError`), and
        `ConfigurationError` for a response that is no JSON.
        """
        if not self._caching():
            return False
        reason = await self.cache.aput(query, response, key=cache_key, ttl=ttl)
        if reason is not None and reason.startswith("no JSON"):
            raise ConfigurationError(
                f"The cache keeps JSON (a text, a dict; of an answer, its text), and no {type(response).__name__}."
            )
        return reason is None

    async def clear_portkey_cache(self) -> int:
        """Remove every entry of the cache, whoever stored it; how many. In the core: `SemanticCache.aclear`.

        Raises `NotEnabledError` (a `RuntimeError`), and `StoreError` (a `PortkeyError`) where Redis is away.
        """
        return await self.cache.aclear()

    def _caching(self) -> bool:
        """Whether the cache is switched on; that it is not is said once."""
        _ = self.portkey
        if not self._caches:
            self._say(SWITCHED_OFF)
        return self._caches

    def _encoder(self) -> Encoder | None:
        from portkey_router.cache.encoders import encoder_of  # noqa: PLC0415  (as above)

        if self._embeddings is None and self._openai is None:
            self._say(EQUAL_ONLY)
            return None
        own: dict[str, Any] = {name: self._options[name] for name in _ACCESS if name in self._options}
        if self._embeddings is None and self._openai is not None:
            own["strategy"] = Single(self._openai)
        named = EMBEDDINGS if self._embeddings is None else self._embeddings
        return encoder_of(named, by_name=lambda model: NamedEncoder(model, api_key=self._api_key, **own))

    def _say(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            _logger.warning(text)


def _redis_url(host: Any, port: Any) -> str:
    # What it is not is not quoted: a URL put there may hold a password.
    if not isinstance(host, str) or not host.strip() or re.search(r"[/@\s]", host):
        raise ConfigurationError("host is a name or address; a URL (redis://user:password@host:6379) goes to cache=.")
    if not isinstance(port, int) or not 0 < port < 65536:  # noqa: PLR2004  (ports)
        raise ConfigurationError("port is a number from 1 to 65535, such as 6379.")
    return f"redis://[{host}]:{port}" if ":" in host else f"redis://{host}:{port}"


def _targets(fallbacks: Sequence[Any]) -> tuple[Target, ...]:
    known = {"provider", "model", "api_key", "virtual_key", "weight"}
    for number, entry in enumerate(fallbacks):
        if not isinstance(entry, Mapping) or not entry.get("model") or set(entry) - known:
            raise ConfigurationError(f"fallbacks, entry {number}: expected model and of {', '.join(sorted(known))}.")
    return tuple(Target(**entry) for entry in fallbacks)


def _openai_target(settings: Settings, targets: Sequence[Target]) -> Target | None:
    """How OpenAI is reached: by its virtual key, or by the key of a model to fall back on."""
    if "openai" in settings.virtual_keys:
        return Target(EMBEDDINGS, virtual_key=settings.virtual_keys["openai"])
    keys = ((target.virtual_key, target.api_key) for target in targets if target.provider == "openai")
    virtual_key, api_key = next((pair for pair in keys if any(pair)), (None, None))
    if virtual_key is not None:
        return Target(EMBEDDINGS, virtual_key=virtual_key)
    return None if api_key is None else Target(EMBEDDINGS, provider="openai", api_key=api_key)

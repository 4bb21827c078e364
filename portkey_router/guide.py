"""The names of Portkey's integration guide, for code written by it. Each is a call into the core, named beside it.

Only the import path differs: `from portkey_router.guide import PortkeyClient, RedisClient, PortkeyError`.

| here | in the core |
|---|---|
| `PortkeyClient.generate_response` | `PortkeyRouter.acomplete` |
| `RedisClient.setup_portkey_config` | `PortkeyRouter.from_env(strategy=Fallback(...))` |
| `RedisClient.is_portkey_enabled` | `Settings.enabled` |
| `RedisClient.portkey` | `PortkeyRouter` |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from portkey_router.admin.provider_list import strategy_over
from portkey_router.bootstrap import build_router
from portkey_router.errors import ConfigurationError, MissingCredentialError, NotEnabledError, PortkeyError
from portkey_router.settings import load_settings
from portkey_router.targets import CostAware, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import SecretStr

    from portkey_router.messages import Completion
    from portkey_router.router import PortkeyRouter
    from portkey_router.settings import Settings

__all__ = ["PortkeyClient", "PortkeyError", "RedisClient"]

KEY_REQUIRED = "Portkey API key is required: pass it to the constructor, or set PORTKEY_API_KEY."
NOT_ENABLED = (
    "Portkey is not enabled or not initialized: pass use_portkey=True, and set PREFERRED_LLM_PROVIDER to 'portkey', or "
    "not at all."
)


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
    """The guide's Redis client, as far as it sets up Portkey. In the core: `PortkeyRouter`.

    `portkey_cache_ttl`: seconds for which Portkey keeps answers where `setup_portkey_config(cache_enabled=True)`, 60 at
    least. Nothing is connected here.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 6379,
        *,
        use_portkey: bool | None = None,
        portkey_api_key: str | SecretStr | None = None,
        portkey_cache_ttl: int = 3600,
        **options: Any,
    ) -> None:
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
        if self._enabled:
            _check_key(settings)
            if not 60 <= portkey_cache_ttl <= 7_776_000:  # noqa: PLR2004  (Portkey's own limits: a minute, 90 days)
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
        cache_enabled: bool = False,  # noqa: FBT001, FBT002  (the guide's signature)
    ) -> None:
        """Route the calls of `portkey` by this strategy from now on. In the core: `PortkeyRouter.from_env(strategy=...)`.

        `fallbacks` are models with a `provider` and its `api_key`, or a `virtual_key`, by default `PORTKEY_FALLBACKS`:
        `[{"provider": "openai", "model": "gpt-4o", "api_key": "..."}]`. `strategy`: `single`, `fallback`,
        `loadbalance` or `cost_aware` (the cheapest first). `cache_enabled` has Portkey keep answers to equal requests.

        Raises `NotEnabledError` (also a `RuntimeError`), and `ConfigurationError` (a `PortkeyError`).
        """
        if self._portkey is None:
            raise NotEnabledError(NOT_ENABLED)
        targets = self._settings.fallbacks if fallbacks is None else _targets(fallbacks)
        if not targets:
            raise ConfigurationError("setup_portkey_config needs models: pass fallbacks=, or set PORTKEY_FALLBACKS.")
        if cache_enabled:
            cache = {"mode": "simple", "max_age": self.portkey_cache_ttl}
            targets = tuple(replace(target, cache=cache) for target in targets)
        chosen = CostAware(*targets) if strategy == "cost_aware" else strategy_over(strategy, targets)
        self._portkey = PortkeyClient(self._api_key, strategy=chosen, **self._options)


def _targets(fallbacks: Sequence[Any]) -> tuple[Target, ...]:
    known = {"provider", "model", "api_key", "virtual_key", "weight"}
    for number, entry in enumerate(fallbacks):
        if not isinstance(entry, Mapping) or not entry.get("model") or set(entry) - known:
            raise ConfigurationError(f"fallbacks, entry {number}: expected model and of {', '.join(sorted(known))}.")
    return tuple(Target(**entry) for entry in fallbacks)

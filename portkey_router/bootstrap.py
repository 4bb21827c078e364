"""The composition root: settings and loose arguments become a `PortkeyRouter`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from portkey_router.errors import ConfigurationError
from portkey_router.flow.journey import Deadlines
from portkey_router.messages import CallOptions
from portkey_router.portal import SyncTransport
from portkey_router.pricing import PriceBook
from portkey_router.router import PortkeyRouter
from portkey_router.settings import load_settings
from portkey_router.targets import Target
from portkey_router.transport import shared

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import SecretStr

    from portkey_router.planner import RunOn
    from portkey_router.pricing import Price
    from portkey_router.providers import ModelRule
    from portkey_router.targets import TargetLike

__all__ = ["build_router", "build_router_from_client"]


def build_router(
    *,
    model: str | None = None,
    strategy: TargetLike | None = None,
    config: str | Mapping[str, Any] | None = None,
    virtual_key: str | SecretStr | None = None,
    provider: str | None = None,
    api_key: str | SecretStr | None = None,
    base_url: str | None = None,
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
    from_env: bool = False,
    env_file: str | None = ".env",
) -> PortkeyRouter:
    """A router from arguments, environment and `.env`, in that order.

    - `model`, `strategy`, `config` (a saved `pc-...`, or a config as a dict): what is asked, unless a call says
      otherwise. Without any, `PORTKEY_CONFIG_ID`, `PORTKEY_STRATEGY` and `PORTKEY_FALLBACKS` decide.
    - `virtual_key`, `provider`: how `model` is reached; by default its name finds its virtual key.
    - `api_key`, `base_url`, `default_headers`: the gateway (`PORTKEY_API_KEY`, `PORTKEY_GATEWAY_URL`).
    - `virtual_keys` by provider name and `model_rules` extend what the environment and the table know.
    - `run_on`: the `client` (default) or the `gateway` runs the strategy; `max_retries`: further tries for each
      target, 2 by default.
    - `timeout`: seconds for a whole call with all its attempts, 600 by default; `deadlines`: those of an attempt, too.
    - `metadata`, `trace_id`, `cache_namespace`, `cache_force_refresh`: Portkey's, for every call.
    - `prices`: a `PriceBook`, or your own prices by model; False leaves every cost None, and genai-prices unimported.

    Raises `ConfigurationError`; with `from_env`, `NotEnabledError` where `PREFERRED_LLM_PROVIDER` names another
    provider. Nothing is sent, and no connection made.
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
    transport = shared()
    return PortkeyRouter(
        settings,
        ports=(SyncTransport(transport), transport),
        model=model,
        strategy=strategy,
        config=config,
        target=Target(virtual_key=virtual_key, provider=provider),
        run_on=run_on,
        max_retries=max_retries,
        deadlines=_deadlines(deadlines, timeout),
        options=CallOptions(
            metadata=metadata or {},
            trace_id=trace_id,
            cache_namespace=cache_namespace,
            cache_force_refresh=cache_force_refresh,
        ),
        prices=_price_book(prices),
    )


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

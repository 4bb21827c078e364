"""What a router is built from: the arguments of `build_router` and `PortkeyRouter.from_env`, each with its meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from portkey_router.flow.policy import PolicyOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydantic import SecretStr

    from portkey_router.budget import Budget, RateLimit
    from portkey_router.events import Sink
    from portkey_router.flow.deadlines import Deadlines
    from portkey_router.health import Health
    from portkey_router.ledger.keeper import BudgetLedger
    from portkey_router.planner import RunOn
    from portkey_router.pricing import Price, PriceBook
    from portkey_router.providers import ModelRule
    from portkey_router.targets import TargetLike

__all__ = ["RouterOptions"]


class RouterOptions(PolicyOptions, total=False):
    """A router's arguments. What is left out comes from the environment and `.env`, or has its default.

    - `model`, `strategy`, `config` (a saved `pc-...`, or a config as a dict): what is asked, unless a call says
      otherwise. Without any, `PORTKEY_CONFIG_ID`, `PORTKEY_STRATEGY` and `PORTKEY_FALLBACKS` decide.
    - `virtual_key`, `provider`: how `model` is reached; by default its name finds its virtual key.
    - `api_key`, `base_url`, `default_headers`: the gateway (`PORTKEY_API_KEY`, `PORTKEY_GATEWAY_URL`), or a list of
      gateways.
    - `virtual_keys` by provider name and `model_rules` extend what the environment and the table know.
    - `run_on`: the `client` (default) or the `gateway` runs the strategy; `max_retries`: further tries a target (2).
    - `timeout`: seconds for a whole call with all its attempts, 600 by default; `deadlines`: those of an attempt, too.
    - `metadata`, `trace_id`, `cache_namespace`, `cache_force_refresh`: Portkey's, for every call.
    - `prices`: a `PriceBook`, or your own prices by model; False leaves every cost None, and genai-prices unimported.
    - `health`: what is known of targets; by default all routers of the process share it, with `"redis://..."` processes
      share which of them are down. `sinks`: who hears of calls (`events`).
    - `budgets`, `limits`: what calls may spend, and how often (`Budget`, `RateLimit`); each attempt is set aside before
      it is sent. `ledger` keeps them: `"redis://..."` for all processes and machines together, or a `BudgetLedger` of
      yours, which brings its own budgets and limits. Without `ledger` each process counts for itself.
    - `count_tokens`: counts the tokens of a text for `CostAware` (`tokenizer.tiktoken_counter()`), in the place of an
      estimate by its length.
    - `retry_after_max`, `on_content_filter`, `on_stream_break`, `wire_stream`: how calls fail over; see `Policy`.
    - `env_file`: the file read beside the environment, `.env` by default; None for none.
    """

    model: str | None
    strategy: TargetLike | None
    config: str | Mapping[str, Any] | None
    virtual_key: str | SecretStr | None
    provider: str | None
    api_key: str | SecretStr | None
    base_url: str | Sequence[str] | None
    default_headers: Mapping[str, str] | None
    virtual_keys: Mapping[str, str | SecretStr] | None
    model_rules: Sequence[ModelRule]
    run_on: RunOn
    timeout: float | None
    deadlines: Deadlines | None
    max_retries: int
    metadata: Mapping[str, str] | None
    trace_id: str | None
    cache_namespace: str | None
    cache_force_refresh: bool | None
    prices: PriceBook | Mapping[str, Price] | Literal[False] | None
    health: Health | str | None
    sinks: Sequence[Sink]
    ledger: BudgetLedger | str | None
    budgets: Sequence[Budget]
    limits: Sequence[RateLimit]
    count_tokens: Callable[[str], int] | None
    env_file: str | None

"""Targets and the strategies over them.

A `Target` is one way to get an answer: a model, and the key that pays for it. A strategy says which target is asked,
and in which order. Both are plain values; `compile.py` turns them into Portkey's config JSON, and the planner into
attempts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, Union
from urllib.parse import urlsplit

from pydantic import SecretStr

from portkey_router.errors import ConfigurationError
from portkey_router.secrets import is_secret_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portkey_router.abilities import Abilities

__all__ = [
    "FALLBACK_STATUS_CODES",
    "RETRY_STATUS_CODES",
    "Conditional",
    "CostAware",
    "Fallback",
    "LoadBalance",
    "Single",
    "Sticky",
    "Strategy",
    "Target",
    "TargetLike",
    "When",
    "as_strategy",
    "check_no_config",
    "leaf_at",
    "leaves",
    "replace_targets",
]

RETRY_STATUS_CODES = (408, 409, 429, 500, 502, 503, 504, 529)
"""Statuses after which the same target is asked again: it may answer the next time."""

FALLBACK_STATUS_CODES = (401, 402, 403, 404, 408, 409, 412, 429, 500, 502, 503, 504, 529)
"""Statuses after which the next target is asked.

Beside the passing faults these are the ones that belong to a target and not to the request: its key (401, 403), its
account (402), its model (404), its budget in Portkey (412). 400 and 422 mean the request itself is wrong, and 446
that a guardrail denied it: another target would only be a way around.
"""


def _secret(value: str | SecretStr | None) -> SecretStr | None:
    return SecretStr(value) if isinstance(value, str) else value


_UNKNOWN_PRICE = ("last", "exclude", "error")
_CACHE_MODES = frozenset({"simple", "semantic"})
_STRATEGY_NAMES = frozenset({"single", "fallback", "loadbalance", "conditional", "cost_aware"})


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Target:
    """One model, and how to reach it. Everything but the model is optional.

    - `virtual_key`: a key in Portkey's vault. Where none is given, and no provider either, the model's name finds it
      among the `PORTKEY_VIRTUAL_KEY_*` variables; a Model Catalog slug (`@openai-prod/gpt-4o`) needs none.
    - `provider` with `api_key` (the provider's own key) serves gateways without a vault; `custom_host` replaces the
      provider's base URL (`http://127.0.0.1:8000/v1`). With a slug or a virtual key, `provider` says whose prices
      the target has.
    - `weight`: the share of traffic in `LoadBalance`; relative, 1 by default, 0 for none.
    - `override_params`: body fields that this target sets, over the call's (`{"max_tokens": 100}`).
    - `request_timeout`: seconds the gateway waits for the provider's headers before it answers 408.
    - `cache`: Portkey's own cache, `{"mode": "simple", "max_age": 3600}`; `max_age` in seconds.
    - `forward_headers`: names of headers the gateway passes on to the provider.
    - `options`: further fields of Portkey's config for this target (`{"aws_region": "eu-west-1"}`).
    - `lenient`: take a stream that ends with `[DONE]` for whole though it never said why (`finish_reason`), for servers
      that leave that out. Whatever else breaks off is still refused.
    - `abilities` and `quality` are for `CostAware`: what the model takes, where its name does not tell
      (`portkey_router.Abilities`), and how good you hold it to be, a number of your own.
    - `name`: what plans and records call it, by default the model; conditions refer to it.

    Keys are kept as `SecretStr`, are in no repr, and are dropped by pickle; a copy keeps them.
    """

    model: str | None = None
    virtual_key: SecretStr | str | None = field(default=None, repr=False, kw_only=True)
    provider: str | None = field(default=None, kw_only=True)
    api_key: SecretStr | str | None = field(default=None, repr=False, kw_only=True)
    custom_host: str | None = field(default=None, kw_only=True)
    weight: float = field(default=1, kw_only=True)
    override_params: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    request_timeout: float | None = field(default=None, kw_only=True)
    cache: Mapping[str, Any] | None = field(default=None, kw_only=True)
    forward_headers: Sequence[str] = field(default=(), kw_only=True)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False, kw_only=True)
    abilities: Abilities | None = field(default=None, kw_only=True)
    quality: float | None = field(default=None, kw_only=True)
    name: str | None = field(default=None, kw_only=True)
    lenient: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "virtual_key", _secret(self.virtual_key))
        object.__setattr__(self, "api_key", _secret(self.api_key))
        if isinstance(self.forward_headers, str):
            msg = f"Target({self.label!r}): forward_headers is a list of names: ['x-request-id']."
            raise ConfigurationError(msg)
        object.__setattr__(self, "forward_headers", tuple(self.forward_headers))
        _check_keys(self)
        _check_weight(self.weight, self.label)
        if self.custom_host is not None and not _is_url(self.custom_host):
            msg = f"Target({self.label!r}): custom_host must be a URL such as 'https://host/v1'."
            raise ConfigurationError(msg)
        if self.request_timeout is not None and not (_is_number(self.request_timeout) and self.request_timeout > 0):
            msg = f"Target({self.label!r}): request_timeout is in seconds and above 0, not {self.request_timeout!r}."
            raise ConfigurationError(msg)
        if self.cache is not None and not (isinstance(self.cache, dict) and self.cache.get("mode") in _CACHE_MODES):
            msg = f"Target({self.label!r}): cache needs a mode: {{'mode': 'simple'}} or {{'mode': 'semantic'}}."
            raise ConfigurationError(msg)

    @property
    def label(self) -> str:
        """What plans, records and messages call this target; never a key."""
        return self.name or self.model or self.provider or "target"

    @property
    def slug(self) -> str | None:
        """The Model Catalog slug (`@openai-prod`), from the model or the provider, where there is one."""
        for text in (self.model, self.provider):
            if text and text.startswith("@"):
                return text.split("/", 1)[0]
        return None

    def __copy__(self) -> Target:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Target:
        return self  # frozen: a deep copy of a model keeps its keys, which pickle would drop

    def __reduce__(self) -> tuple[Any, ...]:
        state = {f.name: getattr(self, f.name) for f in fields(self)}
        state["virtual_key"] = state["api_key"] = None
        state["options"] = {k: v for k, v in self.options.items() if not is_secret_name(k)}
        return _restore_target, (state,)


def _restore_target(state: dict[str, Any]) -> Target:
    return Target(**state)


def _check_keys(target: Target) -> None:
    """One key for each target: of two, one would be left out in silence."""
    if target.slug and target.virtual_key is not None:
        msg = f"Target({target.label!r}): a slug ({target.slug}) brings its own key; drop the virtual_key, or the slug."
        raise ConfigurationError(msg)
    if target.virtual_key is not None and target.api_key is not None:
        msg = f"Target({target.label!r}): pass virtual_key= (Portkey's vault) or api_key= (the provider's), not both."
        raise ConfigurationError(msg)


def _codes(owner: str, codes: object) -> tuple[int, ...]:
    if isinstance(codes, Iterable) and all(isinstance(code, int) for code in codes):
        return tuple(codes)
    msg = f"{owner}: on_status_codes is a list of HTTP statuses, such as [429, 503]."
    raise ConfigurationError(msg)


def _check_weight(weight: float, label: str) -> None:
    if not (_is_number(weight) and 0 <= weight < float("inf")):
        msg = f"The weight of {label!r} is a number from 0 up, not {weight!r}."
        raise ConfigurationError(msg)


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:  # a bracket that is never closed
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


TargetLike = Union[str, Target, "Strategy"]


@dataclass(frozen=True, slots=True)
class Single:
    """One target, asked again on passing faults."""

    target: Target

    def __init__(self, target: str | Target) -> None:
        object.__setattr__(self, "target", _as_target(target))

    @property
    def targets(self) -> tuple[Target, ...]:
        """The one target, as a tuple."""
        return (self.target,)


@dataclass(frozen=True, slots=True)
class Fallback:
    """Targets in order: the next is asked when one has failed with a status of `on_status_codes`, or not answered.

    By default those are `FALLBACK_STATUS_CODES`: a target's own faults, and not the request's.

    `weight` and `name` matter only where the strategy is itself a target of another.
    """

    targets: tuple[Target | Strategy, ...]
    on_status_codes: tuple[int, ...] = FALLBACK_STATUS_CODES
    weight: float = 1
    name: str | None = None

    def __init__(
        self,
        *targets: TargetLike,
        on_status_codes: Sequence[int] = FALLBACK_STATUS_CODES,
        weight: float = 1,
        name: str | None = None,
    ) -> None:
        object.__setattr__(self, "targets", _as_targets("Fallback", targets))
        object.__setattr__(self, "on_status_codes", _codes("Fallback", on_status_codes))
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "name", name)
        _check_weight(weight, name or "Fallback")


@dataclass(frozen=True, slots=True)
class Sticky:
    """Send requests with equal `hash_fields` (`metadata.user_id`) to one target, for `ttl` seconds (default 3600)."""

    hash_fields: tuple[str, ...]
    ttl: int = 3600

    def __init__(self, *hash_fields: str, ttl: int = 3600) -> None:
        if not hash_fields:
            msg = "Sticky needs the fields to hash, for example Sticky('metadata.user_id')."
            raise ConfigurationError(msg)
        object.__setattr__(self, "hash_fields", hash_fields)
        object.__setattr__(self, "ttl", ttl)


@dataclass(frozen=True, slots=True)
class LoadBalance:
    """Each call goes to one target, drawn by weight.

    Run by the client (the default), a target that fails with a status of `on_status_codes` hands over to another,
    drawn by weight among the rest; Portkey's own load balancer does not. `sticky` needs `run_on="gateway"`.
    """

    targets: tuple[Target | Strategy, ...]
    sticky: Sticky | None = None
    on_status_codes: tuple[int, ...] = FALLBACK_STATUS_CODES
    weight: float = 1
    name: str | None = None

    def __init__(
        self,
        *targets: TargetLike,
        sticky: Sticky | None = None,
        on_status_codes: Sequence[int] = FALLBACK_STATUS_CODES,
        weight: float = 1,
        name: str | None = None,
    ) -> None:
        object.__setattr__(self, "targets", _as_targets("LoadBalance", targets))
        object.__setattr__(self, "sticky", sticky)
        object.__setattr__(self, "on_status_codes", _codes("LoadBalance", on_status_codes))
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "name", name)
        _check_weight(weight, name or "LoadBalance")
        if not any(target_weight(target) for target in self.targets):
            msg = "LoadBalance: every weight is 0, so nothing would be asked; give one target a weight above 0."
            raise ConfigurationError(msg)


@dataclass(frozen=True, slots=True)
class CostAware:
    """Targets in the order that may be expected to be cheapest for each call, failures counted in.

    Each call is estimated: its tokens, the length of its answer (learned from earlier calls that begin alike, at most
    `max_tokens`), the share of the prompt that the provider has cached, and how often the target fails and what that
    costs. See `portkey_router.costing.Prospect` for the order. A target that is down stays, as the last. Left out, each
    with its reason in `plan()` and in `RouteDecided`: targets that cannot take the call (tools, images, JSON schema,
    context window), and by choice

    - `max_price`: those whose call would cost more, in USD;
    - `max_latency`: those of whose answers every tenth takes longer, in seconds;
    - `min_quality`: those whose `Target(quality=...)` is less, or not stated;
    - `unknown_price`: `"last"` asks targets without a price after all others, `"exclude"` never, `"error"` raises.

    `latency_price` is what a second of waiting is worth, in USD; 0 by default, which is cost alone. The gateway cannot
    estimate: with `run_on="gateway"` it is sent a fallback in the order of the moment.
    """

    targets: tuple[Target, ...]
    max_price: float | None = None
    max_latency: float | None = None
    min_quality: float | None = None
    unknown_price: Literal["last", "exclude", "error"] = "last"
    latency_price: float = 0.0
    on_status_codes: tuple[int, ...] = FALLBACK_STATUS_CODES
    weight: float = 1
    name: str | None = None

    def __init__(
        self,
        *targets: str | Target,
        max_price: float | Decimal | None = None,
        max_latency: float | None = None,
        min_quality: float | None = None,
        unknown_price: Literal["last", "exclude", "error"] = "last",
        latency_price: float | Decimal = 0.0,
        on_status_codes: Sequence[int] = FALLBACK_STATUS_CODES,
        weight: float = 1,
        name: str | None = None,
    ) -> None:
        given = {"max_price": max_price, "max_latency": max_latency, "latency_price": latency_price}
        # Money is told as `Decimal` everywhere else; what is only compared may be a float.
        limits = {limit: float(value) if isinstance(value, Decimal) else value for limit, value in given.items()}
        for limit, value in limits.items():
            if value is not None and not (_is_number(value) and 0 <= value < float("inf")):
                msg = f"CostAware({limit}=...) is a number from 0 up, not {value!r}."
                raise ConfigurationError(msg)
        if unknown_price not in _UNKNOWN_PRICE:
            msg = f"CostAware(unknown_price=...) is one of {', '.join(_UNKNOWN_PRICE)}, not {unknown_price!r}."
            raise ConfigurationError(msg)
        plain = _as_targets("CostAware", targets)
        if not all(isinstance(target, Target) for target in plain):
            msg = "CostAware takes targets, and no strategies: what one of these would cost is decided elsewhere."
            raise ConfigurationError(msg)
        object.__setattr__(self, "targets", plain)
        for limit, value in limits.items():
            object.__setattr__(self, limit, value)
        object.__setattr__(self, "min_quality", min_quality)
        object.__setattr__(self, "unknown_price", unknown_price)
        object.__setattr__(self, "on_status_codes", _codes("CostAware", on_status_codes))
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "name", name)
        _check_weight(weight, name or "CostAware")


@dataclass(frozen=True, slots=True)
class When:
    """If the request matches `query` (`{"metadata.plan": {"$eq": "paid"}}`), then ask `then`.

    Keys are `metadata.<field>`, `params.<field>` or `url.pathname`; operators `$eq $ne $gt $gte $lt $lte $in $nin
    $regex`, joined by `$and` and `$or`.
    """

    query: Mapping[str, Any]
    then: Target | Strategy

    def __init__(self, query: Mapping[str, Any], then: TargetLike) -> None:
        object.__setattr__(self, "query", query)
        object.__setattr__(self, "then", _as_targets("When", (then,))[0])


@dataclass(frozen=True, slots=True)
class Conditional:
    """The first `When` that matches decides who is asked, else `default`. Runs on the gateway only."""

    conditions: tuple[When, ...]
    default: Target | Strategy
    weight: float = 1
    name: str | None = None

    def __init__(self, *conditions: When, default: TargetLike, weight: float = 1, name: str | None = None) -> None:
        if not conditions:
            msg = "Conditional needs at least one When(query, then=...)."
            raise ConfigurationError(msg)
        object.__setattr__(self, "conditions", tuple(conditions))
        object.__setattr__(self, "default", _as_targets("Conditional", (default,))[0])
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "name", name)

    @property
    def targets(self) -> tuple[Target | Strategy, ...]:
        """The targets of the conditions in order, then the default, each once."""
        found: list[Target | Strategy] = []
        for target in (*(when.then for when in self.conditions), self.default):
            if not any(target is other for other in found):
                found.append(target)
        return tuple(found)


Strategy = Single | Fallback | LoadBalance | Conditional | CostAware


def target_weight(target: Target | Strategy) -> float:
    """The weight of a target or of a nested strategy; 1 where it has none."""
    return 1 if isinstance(target, Single) else target.weight


def _as_target(value: object) -> Target:
    if isinstance(value, str):
        return Target(value)
    if isinstance(value, Target):
        return value
    msg = (
        "A strategy is Fallback(...), LoadBalance(...), CostAware(...), Conditional(...) or Single(...) over targets, "
        f"and a target a model name or a Target(...); this is a {type(value).__name__}."
    )
    raise ConfigurationError(msg)


def _as_targets(owner: str, values: Sequence[TargetLike]) -> tuple[Target | Strategy, ...]:
    if not values:
        msg = f"{owner} needs at least one target, for example {owner}('gpt-4o', 'claude-sonnet-4-5')."
        raise ConfigurationError(msg)
    return tuple(
        v
        if isinstance(v, Fallback | LoadBalance | Conditional | CostAware)
        else v.target
        if isinstance(v, Single)
        else _as_target(v)
        for v in values
    )


def as_strategy(value: TargetLike) -> Strategy:
    """A strategy as given; a target or a model name becomes `Single`."""
    if isinstance(value, str) and value.lower() in _STRATEGY_NAMES:
        msg = (
            f"strategy={value!r} names no targets: write strategy=Fallback('gpt-4o', 'claude-sonnet-4-5') or the like."
        )
        raise ConfigurationError(msg)
    check_no_config(value)
    return value if isinstance(value, Single | Fallback | LoadBalance | Conditional | CostAware) else Single(value)


def check_no_config(value: object) -> None:
    """Raise `ConfigurationError` for a gateway config where a strategy is wanted."""
    if isinstance(value, Mapping) and "targets" in value and "mode" not in value:
        msg = "A gateway config goes to config=, and the gateway runs it; strategy= takes Fallback(...) or the like."
        raise ConfigurationError(msg)


def leaves(strategy: Target | Strategy) -> tuple[Target, ...]:
    """Every target of a strategy, nested ones included, in order."""
    if isinstance(strategy, Target):
        return (strategy,)
    return tuple(leaf for target in strategy.targets for leaf in leaves(target))


def replace_targets(strategy: Fallback, targets: Sequence[Target | Strategy]) -> Fallback:
    """The same fallback over other targets."""
    return Fallback(*targets, on_status_codes=strategy.on_status_codes, weight=strategy.weight, name=strategy.name)


def leaf_at(strategy: Strategy, path: str) -> Target | None:
    """The target that the gateway's path names (`config.targets[0].targets[1]`); None where the path does not fit."""
    node: Target | Strategy = strategy
    for position in map(int, re.findall(r"targets\[(\d+)\]", path)):
        if isinstance(node, Target) or position >= len(node.targets):
            return None
        node = node.targets[position]
    return node if isinstance(node, Target) else None

"""Strategies and routes as plain JSON without keys: for serialised models, plans on paper, cache keys and answers."""

from __future__ import annotations

from dataclasses import MISSING, asdict, fields
from typing import TYPE_CHECKING, Any

from portkey_router.abilities import Abilities
from portkey_router.errors import ConfigurationError
from portkey_router.secrets import is_secret_name
from portkey_router.targets import (
    FALLBACK_STATUS_CODES,
    Conditional,
    CostAware,
    Fallback,
    LoadBalance,
    Single,
    Sticky,
    Target,
    When,
    check_no_config,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portkey_router.messages import Completion
    from portkey_router.targets import Strategy, TargetLike

__all__ = ["route_to_dict", "strategy_from_dict", "strategy_to_dict"]


_MODES: dict[type, str] = {
    Single: "single",
    Fallback: "fallback",
    LoadBalance: "loadbalance",
    CostAware: "cost_aware",
    Conditional: "conditional",
}
_LIMITS = ("max_price", "max_latency", "min_quality", "unknown_price", "latency_price")
_UNLIMITED = CostAware("any")


def route_to_dict(completion: Completion) -> dict[str, Any]:
    """How an answer came about and what it cost, as frameworks keep it under `portkey`; amounts are text."""
    route = completion.route
    return {
        "trace_id": route.trace_id,
        "target": route.target,
        "provider": route.provider,
        "cache_status": route.cache_status,
        "run_on": route.run_on,
        "gateway_retries": route.retries,
        "cost": None if completion.cost is None else completion.cost.as_dict(),
        **({} if completion.cache is None else {"cache": dict(completion.cache)}),
        "attempts": [
            {
                "target": attempt.target,
                "model": attempt.model,
                "outcome": attempt.outcome,
                "status": attempt.status,
                "seconds": round(attempt.seconds, 6),
                "error": attempt.error,
                "billed": attempt.billed,
                **({"gateway": attempt.gateway} if attempt.gateway else {}),
            }
            for attempt in route.attempts
        ],
    }


def strategy_to_dict(value: TargetLike) -> dict[str, Any]:
    """A strategy or target as JSON. Keys are left out: restored, they come from the environment again."""
    if isinstance(value, str):
        return {"model": value}
    if isinstance(value, Target):
        return _target_to_dict(value)
    described: dict[str, Any] = {"mode": _MODES[type(value)]}
    if isinstance(value, Conditional):
        described["conditions"] = [
            {"query": dict(when.query), "then": strategy_to_dict(when.then)} for when in value.conditions
        ]
        described["default"] = strategy_to_dict(value.default)
    else:
        described["targets"] = [strategy_to_dict(target) for target in value.targets]
    if isinstance(value, CostAware):
        described |= {name: limit for name in _LIMITS if (limit := getattr(value, name)) != getattr(_UNLIMITED, name)}
    if isinstance(value, Fallback | LoadBalance | CostAware) and value.on_status_codes != FALLBACK_STATUS_CODES:
        described["on_status_codes"] = list(value.on_status_codes)
    if isinstance(value, LoadBalance) and value.sticky:
        described["sticky"] = {"hash_fields": list(value.sticky.hash_fields), "ttl": value.sticky.ttl}
    if not isinstance(value, Single):
        described |= {"weight": value.weight} if value.weight != 1 else {}
        described |= {"name": value.name} if value.name else {}
    return described


def _target_to_dict(target: Target) -> dict[str, Any]:
    described: dict[str, Any] = {}
    for field in fields(target):
        value = getattr(target, field.name)
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if field.name in {"virtual_key", "api_key"} or value == default:
            continue
        if field.name == "options":
            value = {name: option for name, option in value.items() if not is_secret_name(name)}
        if isinstance(value, Abilities):
            value = asdict(value)
        described[field.name] = list(value) if isinstance(value, tuple) else value
    return described


def strategy_from_dict(described: Mapping[str, Any]) -> Strategy | Target:
    """What `strategy_to_dict` described. Raises `ConfigurationError` for anything else."""
    check_no_config(described)
    try:
        rest = dict(described)
        mode = rest.pop("mode", None)
        if mode is None:
            return _target_from_dict(rest)
        if mode == "conditional":
            conditions = [When(when["query"], strategy_from_dict(when["then"])) for when in rest.pop("conditions")]
            return Conditional(*conditions, default=strategy_from_dict(rest.pop("default")), **rest)
        targets = [strategy_from_dict(target) for target in rest.pop("targets")]
        if mode == "single" and isinstance(targets[0], Target):
            return Single(targets[0])
        if mode == "fallback":
            return Fallback(*targets, **rest)
        if mode == "cost_aware":
            return CostAware(*targets, **rest)  # type: ignore[arg-type]  # it refuses strategies itself
        if mode == "loadbalance":
            sticky = rest.pop("sticky", None)
            return LoadBalance(
                *targets, sticky=Sticky(*sticky["hash_fields"], ttl=sticky["ttl"]) if sticky else None, **rest
            )
    except ConfigurationError:
        raise
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        msg = f"This is no strategy as `strategy_to_dict` writes one: {error}."
        raise ConfigurationError(msg) from error
    msg = f"{mode!r} is no strategy: expected single, fallback, loadbalance, cost_aware or conditional."
    raise ConfigurationError(msg)


def _target_from_dict(described: dict[str, Any]) -> Target:
    abilities = described.pop("abilities", None)
    return Target(**described, abilities=Abilities(**abilities) if abilities else None)

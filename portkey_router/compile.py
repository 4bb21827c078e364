"""Strategies as Portkey's gateway config JSON.

What comes out is valid against both schemas, the hosted one (closed: unknown top-level fields are refused) and the
open-source gateway's (open), and means the same in both. So:

- every leaf states its `retry`, even 0 attempts: an inherited or forgotten one would multiply with ours;
- `on_status_codes` is always explicit: left out, a fallback also fires on a 400;
- `use_retry_after_header(s)` is never sent: the two gateways spell it differently, and the released open-source one
  crashes on it; Retry-After is waited for by the client;
- a slug is `provider: "@slug"` with the bare model beside it, which is how Portkey documents it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING, Any

from portkey_router.errors import ConfigurationError
from portkey_router.providers import portkey_provider
from portkey_router.targets import RETRY_STATUS_CODES, Conditional, LoadBalance, Single, Target, target_weight

if TYPE_CHECKING:
    from collections.abc import Callable

    from portkey_router.targets import Strategy

__all__ = ["compile_config", "target_config"]

MAX_GATEWAY_RETRIES = 5
_OPERATORS = frozenset({"$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$regex"})
_KEY = re.compile(r"(metadata|params)\.[^.]+|url\.pathname")


def compile_config(
    strategy: Strategy, *, resolve: Callable[[Target], Target] | None = None, max_retries: int = 2
) -> dict[str, Any]:
    """Portkey's config JSON for a strategy, keys in clear: it goes on the wire and nowhere else.

    `resolve` fills in the keys of a target (by default they are taken as they are); `max_retries` is how often the
    gateway asks one target again. Raises `ConfigurationError` for what the gateway would refuse.
    """
    if not 0 <= max_retries <= MAX_GATEWAY_RETRIES:
        msg = f"The gateway retries at most {MAX_GATEWAY_RETRIES} times; max_retries is {max_retries}."
        raise ConfigurationError(msg)
    return _compile(strategy, resolve or (lambda target: target), max_retries)


def _compile(node: Strategy | Target, resolve: Callable[[Target], Target], max_retries: int) -> dict[str, Any]:
    if isinstance(node, Target):
        return target_config(resolve(node), max_retries=max_retries)
    if isinstance(node, Single):
        return {"strategy": {"mode": "single"}, "targets": [_compile(node.target, resolve, max_retries)]}
    if isinstance(node, Conditional):
        return _compile_conditional(node, resolve, max_retries)
    targets = [_compile(target, resolve, max_retries) for target in node.targets]
    if not isinstance(node, LoadBalance):  # a fallback, or what has no other form on a gateway: the cheapest first
        return {
            "strategy": {"mode": "fallback", "on_status_codes": list(node.on_status_codes)},
            "targets": targets,
            **_name(node.name),
        }
    for compiled, target in zip(targets, node.targets, strict=True):
        compiled["weight"] = target_weight(target)
    strategy: dict[str, Any] = {"mode": "loadbalance"}
    if node.sticky is not None:
        strategy["sticky_session"] = {"hash_fields": list(node.sticky.hash_fields), "ttl": node.sticky.ttl}
    return {"strategy": strategy, "targets": targets, **_name(node.name)}


def _name(name: str | None) -> dict[str, str]:
    return {"name": name} if name else {}


def _compile_conditional(node: Conditional, resolve: Callable[[Target], Target], max_retries: int) -> dict[str, Any]:
    targets = node.targets
    compiled = [_compile(target, resolve, max_retries) for target in targets]
    names = _unique_names(targets)
    for entry, name in zip(compiled, names, strict=True):
        entry["name"] = name

    def name_of(wanted: Target | Strategy) -> str:
        return next(name for target, name in zip(targets, names, strict=True) if target is wanted)

    conditions = []
    for when in node.conditions:
        _check_query(when.query)
        conditions.append({"query": dict(when.query), "then": name_of(when.then)})
    strategy = {"mode": "conditional", "conditions": conditions, "default": name_of(node.default)}
    return {"strategy": strategy, "targets": compiled, **_name(node.name)}


def _unique_names(targets: tuple[Target | Strategy, ...]) -> list[str]:
    """Their own names, or a number; two of one name would make a condition's `then` ambiguous."""
    names = [None if isinstance(t, Single) else t.name for t in targets]
    given = [name for name in names if name]
    if len(given) != len(set(given)):
        msg = "Conditional: two targets have the same name; give each its own Target(name=...)."
        raise ConfigurationError(msg)
    free = (name for position in count() if (name := f"target-{position}") not in given)
    return [name or next(free) for name in names]


def _check_query(query: Any) -> None:
    """Refuse what the gateway would only refuse (or never match) when the request is already on its way."""
    if not isinstance(query, Mapping):
        msg = f"When: a query is a mapping such as {{'metadata.plan': {{'$eq': 'paid'}}}}, not {type(query).__name__}."
        raise ConfigurationError(msg)
    for key, value in query.items():
        if key in {"$and", "$or"}:
            if not isinstance(value, list | tuple):
                msg = f"When: {key!r} joins a list of queries, not {type(value).__name__}."
                raise ConfigurationError(msg)
            for part in value:
                _check_query(part)
            continue
        if not _KEY.fullmatch(key):
            msg = f"When: {key!r} is not 'metadata.<field>', 'params.<field>' or 'url.pathname'."
            raise ConfigurationError(msg)
        operators = set(value) if isinstance(value, dict) else set()
        if not operators or operators - _OPERATORS:
            msg = f"When: the condition on {key!r} needs one of {', '.join(sorted(_OPERATORS))}: {{'$eq': 'paid'}}."
            raise ConfigurationError(msg)


def target_config(target: Target, *, max_retries: int = 0) -> dict[str, Any]:
    """One target as a leaf of Portkey's config; `request_timeout` becomes milliseconds."""
    config: dict[str, Any] = dict(target.options)
    params = dict(target.override_params)
    model = target.model
    if target.slug is not None:
        config["provider"] = target.slug
        if model and model.startswith("@"):
            model = model.partition("/")[2]
    elif target.virtual_key is not None:
        config["virtual_key"] = _reveal(target.virtual_key)
    elif target.provider is not None:
        config["provider"] = portkey_provider(target.provider)
        if target.api_key is not None:
            config["api_key"] = _reveal(target.api_key)
    if model:
        params = {"model": model, **params}
    if params:
        config["override_params"] = params
    if target.custom_host is not None:
        config["custom_host"] = target.custom_host
    if target.request_timeout is not None:
        config["request_timeout"] = round(target.request_timeout * 1000)
    if target.cache is not None:
        config["cache"] = dict(target.cache)
    if target.forward_headers:
        config["forward_headers"] = list(target.forward_headers)
    config["retry"] = {"attempts": max_retries, "on_status_codes": list(RETRY_STATUS_CODES)}
    return {**config, **_name(target.name)}


def _reveal(secret: Any) -> str:
    return str(secret.get_secret_value())

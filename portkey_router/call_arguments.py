"""The arguments of a call: which are options of it, which choose its route, and which are fields of its body."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from portkey_router.errors import ConfigurationError
from portkey_router.flow.cache_use import CACHE_OPTIONS, cache_use_of
from portkey_router.flow.policy import POLICY_OPTIONS
from portkey_router.messages import CallOptions
from portkey_router.money import as_max_cost
from portkey_router.spelling import check_body_field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portkey_router.messages import Operation

__all__ = ["body_of", "check_limits", "check_route", "options_over", "route_options"]

_ROUTE_OPTIONS = ("strategy", "config", "run_on", "virtual_key")
_NO_FIELDS = frozenset({*_ROUTE_OPTIONS, *POLICY_OPTIONS, *CACHE_OPTIONS})
_OF_A_CALL = frozenset({*(each.name for each in fields(CallOptions)), "extra_body", "model", *_NO_FIELDS})
_OF_A_ROUTER = {
    "budgets": "",
    "cache": " A call has no_cache=True.",
    "base_url": "",
    "deadlines": " A call has timeout=.",
    "env_file": "",
    "health": "",
    "ledger": "",
    "limits": "",
    "model_rules": "",
    "prices": "",
    "sinks": " A call has on_event=.",
    "virtual_keys": "",
}
_ARGUMENTS = {  # of a call itself, and so no fields of its body
    "chat": frozenset({"model", "messages", "stream"}),
    "embeddings": frozenset({"model", "messages", "stream", "input"}),
}
_MERGED = ("metadata", "extra_headers", "tags")


def options_over(own: CallOptions, given: Mapping[str, Any], others: Mapping[str, Any]) -> CallOptions:
    """A router's `own` options with those `given` to a call over them; `others` may hold words for the cache."""
    changes = {name: value for name, value in given.items() if value is not None}
    if "max_cost" in changes:
        changes["max_cost"] = as_max_cost(changes["max_cost"])
    for name in _MERGED:
        if name in changes:
            changes[name] = {**getattr(own, name), **changes[name]}
    if not CACHE_OPTIONS.isdisjoint(others):
        changes["cache_use"] = cache_use_of(own, others)
    return replace(own, **changes) if changes else own


def body_of(others: Mapping[str, Any], extra_body: Mapping[str, Any] | None, operation: Operation) -> dict[str, Any]:
    """The fields of the body among a call's `others`. Raises `ConfigurationError` for names that are none."""
    own = {name: value for name, value in others.items() if name not in _NO_FIELDS}
    for name in own:
        if name in _OF_A_ROUTER:
            raise ConfigurationError(f"{name!r} is an argument of the router, not of a call.{_OF_A_ROUTER[name]}")
        check_body_field("a call", name, _OF_A_CALL)
    body = {name: value for name, value in {**own, **(extra_body or {})}.items() if value is not None}
    if taken := body.keys() & _ARGUMENTS[operation]:
        raise ConfigurationError(
            f"extra_body holds {', '.join(sorted(taken))}; these are arguments of the call itself."
        )
    return body


def route_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a call's arguments that choose its route."""
    return {name: options[name] for name in _ROUTE_OPTIONS if options.get(name) is not None}


def check_route(strategy: object, config: object, run_on: str | None) -> None:
    """Raise `ConfigurationError` for a route that cannot be meant."""
    if strategy is not None and config is not None:
        raise ConfigurationError("Pass strategy= or config=, not both: a saved config brings its own strategy.")
    if run_on not in {None, "client", "gateway"}:
        raise ConfigurationError("run_on is 'client' or 'gateway'.")


def check_limits(max_retries: object, timeout: object) -> None:
    """Raise `ConfigurationError` for what is no number of tries, or no time."""
    if max_retries is not None and (not isinstance(max_retries, int) or max_retries < 0):
        raise ConfigurationError(f"max_retries counts further tries for each target, from 0 up; it is {max_retries!r}.")
    if timeout is not None and not (
        isinstance(timeout, int | float) and not isinstance(timeout, bool) and 0 < timeout < float("inf")
    ):
        raise ConfigurationError(
            "timeout is the seconds for the whole call, one number above 0, and not infinite; see Deadlines for others."
        )

"""PURE: what Portkey finds wrong with a gateway config, in the words of the open-source gateway where it has any."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

__all__ = ["faults_of"]

MODES: Final = ("single", "loadbalance", "fallback", "conditional")
# A config must hold one of these sets; the last ones are the hosted service's own.
SUFFICIENT: Final = (
    ("provider", "api_key"), ("strategy", "targets"), ("cache",), ("retry",), ("request_timeout",),
    ("input_guardrails",), ("output_guardrails",), ("before_request_hooks",), ("after_request_hooks",),
    ("virtual_key",), ("provider", "custom_host"), ("forward_headers",), ("override_params",), ("passthrough",),
)  # fmt: skip
INSUFFICIENT: Final = (
    "Invalid configuration. It must have either 'provider' and 'api_key', or 'strategy' and 'targets', or 'cache', or "
    "'retry', or 'request_timeout'"
)
_NUMBER: Final = ("number", lambda value: isinstance(value, int | float) and not isinstance(value, bool))
_STRING: Final = ("string", lambda value: isinstance(value, str))
_CODES: Final = ("array", lambda value: isinstance(value, list) and all(_NUMBER[1](each) for each in value))
_OBJECT: Final = ("object", lambda value: isinstance(value, Mapping))
_KINDS: Final[Mapping[str, tuple[str, Callable[[Any], bool]]]] = {
    "provider": _STRING, "api_key": _STRING, "virtual_key": _STRING, "custom_host": _STRING,
    "weight": _NUMBER, "request_timeout": _NUMBER, "on_status_codes": _CODES,
    "strategy": _OBJECT, "retry": _OBJECT, "cache": _OBJECT, "override_params": _OBJECT,
    "targets": ("array", lambda value: isinstance(value, list)),
    "strategy.on_status_codes": _CODES,
    "strategy.conditions": ("array", lambda value: isinstance(value, list)), "strategy.default": _STRING,
    "retry.attempts": _NUMBER, "retry.on_status_codes": _CODES, "cache.max_age": _NUMBER,
}  # fmt: skip


def faults_of(config: Any) -> list[str]:
    """Each fault as `path: a,b, message: ...`; empty: a good config."""
    return [f"path: {','.join(path)}, message: {message}" for path, message in _faults(config, ())]


def _faults(config: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if not isinstance(config, Mapping):
        yield path, f"Expected object, received {_name(config)}"
        return
    for key, (kind, fits) in _KINDS.items():
        outer, _, inner = key.rpartition(".")
        holder = config.get(outer) if outer else config
        value = holder.get(inner) if isinstance(holder, Mapping) else None
        if value is not None and not fits(value):
            yield (*path, *key.split(".")), f"Expected {kind}, received {_name(value)}"
    yield from _strategy_faults(config.get("strategy"), path)
    if isinstance(config.get("retry"), Mapping) and "attempts" not in config["retry"]:
        yield (*path, "retry", "attempts"), "Required"
    if not any(all(config.get(key) is not None for key in keys) for keys in SUFFICIENT):
        yield path, INSUFFICIENT
    targets = config.get("targets")
    for place, target in enumerate(targets if isinstance(targets, list) else []):
        yield from _faults(target, (*path, "targets", str(place)))


def _strategy_faults(strategy: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if not isinstance(strategy, Mapping):
        return
    if "mode" not in strategy:
        yield (*path, "strategy", "mode"), "Required"
    elif strategy["mode"] not in MODES:
        yield (*path, "strategy", "mode"), f"Invalid 'mode' value. Must be one of: {', '.join(MODES)}"
    conditions = strategy.get("conditions")
    for place, condition in enumerate(conditions if isinstance(conditions, list) else []):
        here = (*path, "strategy", "conditions", str(place))
        if not isinstance(condition, Mapping):
            yield here, f"Expected object, received {_name(condition)}"
        elif not isinstance(condition.get("query"), Mapping) or not isinstance(condition.get("then"), str):
            yield here, "A condition needs 'query' (an object) and 'then' (a target's name)"


def _name(value: Any) -> str:
    """JavaScript's name for the type."""
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", type(None): "null"}
    return names.get(type(value), "object")

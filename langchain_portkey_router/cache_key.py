"""What tells two calls apart in LangChain's cache: everything that decides the answer, nothing else, and no keys."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from portkey_router.describe import strategy_to_dict
from portkey_router.planner import is_saved
from portkey_router.targets import Conditional, Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["cache_key", "config_mark", "decides_by_metadata", "route_headers"]

# Of a call or of a model: who asks, what for, and how patiently. The answer is the same.
VOLATILE = frozenset(
    {
        "cache_force_refresh",
        "cache_namespace",
        "default_headers",
        "extra_headers",
        "max_retries",
        "on_content_filter",
        "on_stream_break",
        "parent_span_id",
        "portkey_api_key",
        "portkey_metadata",
        "request_timeout",
        "retry_after_max",
        "span_id",
        "span_name",
        "stream_options",
        "stream_usage",
        "streaming",
        "timeout",
        "trace_id",
        "virtual_key",
        "virtual_keys",
        "wire_stream",
    }
)
_ROUTE_HEADERS = ("x-portkey-config", "x-portkey-custom-host", "x-portkey-provider")


def cache_key(model: Mapping[str, Any], call: Mapping[str, Any], more: Mapping[str, Any]) -> str:
    """The key, as sorted JSON: what the model is set to, what the call says, and `more` that decides the route."""
    told = {
        "model": {name: value for name, value in model.items() if name not in VOLATILE},
        "call": {
            name: config_mark(value) if name in {"config", "portkey_config"} else value
            for name, value in call.items()
            if name not in VOLATILE and value is not None
        },
        **{name: value for name, value in more.items() if value},
    }
    return json.dumps(told, sort_keys=True, ensure_ascii=False, default=_plain)


def config_mark(config: Any) -> Any:
    """A saved config's id; of a whole config, which may hold keys, a digest."""
    if config is None or is_saved(config):
        return config
    whole = config if isinstance(config, str) else json.dumps(config, sort_keys=True, default=str)
    return "sha256:" + hashlib.sha256(whole.encode()).hexdigest()


def route_headers(*headers: Mapping[str, str] | None) -> dict[str, Any]:
    """The headers that say who answers; of several, the last."""
    merged = {name.lower(): value for each in headers for name, value in (each or {}).items()}
    return {name: config_mark(merged[name]) for name in _ROUTE_HEADERS if name in merged}


def decides_by_metadata(strategy: Any) -> bool:
    """Whether the request's metadata may decide which target answers."""
    inner: Iterable[Any] = () if isinstance(strategy, str | Target) else getattr(strategy, "targets", ())
    return isinstance(strategy, Conditional) or any(decides_by_metadata(each) for each in inner)


def _plain(value: Any) -> Any:
    """What JSON does not know: strategies, schemas given as classes, and others by their type."""
    if isinstance(value, Target) or hasattr(value, "targets"):
        return strategy_to_dict(value)
    if isinstance(value, set | frozenset | tuple):
        return sorted(value, key=str)
    schema = getattr(value, "model_json_schema", None)
    if isinstance(value, type) and callable(schema):
        return {"class": value.__qualname__, "schema": schema()}
    dumped = getattr(value, "model_dump", None)
    if callable(dumped):
        return {"class": type(value).__qualname__, "fields": dumped(mode="json")}
    return repr(value)

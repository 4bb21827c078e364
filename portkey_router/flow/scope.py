"""What of a call's route may change its answer, as cache keys take it: no keys, no timeouts, no ids."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from portkey_router.describe import strategy_to_dict
from portkey_router.planner import is_saved
from portkey_router.targets import Conditional, Target

if TYPE_CHECKING:
    from collections.abc import Iterable

    from portkey_router.messages import Request
    from portkey_router.planner import Plan
    from portkey_router.settings import Settings

__all__ = ["config_mark", "decides_by_metadata", "metadata_header", "route_headers", "scope_of"]

_ROUTE_HEADERS = ("x-portkey-config", "x-portkey-custom-host", "x-portkey-provider")
# Of a described target: what says how long it may take, or is a user's own mapping.
_TIMES, _AS_IT_IS = frozenset({"request_timeout"}), frozenset({"cache", "options", "override_params", "query"})


def scope_of(request: Request, plan: Plan, settings: Settings) -> dict[str, Any]:
    """Beside model and body: the gateway, the strategy or the config as a whole, and who runs it.

    Metadata take part where they may decide which target answers: in a `Conditional`, and in a config, which may have
    one.
    """
    source, options = plan.source, request.options
    strategy = None if source is None or isinstance(source, str | Mapping) else source
    config = source if strategy is None else None
    headers = {**settings.headers, **settings.route, **{name.lower(): v for name, v in options.extra_headers.items()}}
    scope: dict[str, Any] = {
        "answer_form": "completion",  # entries of other forms stand elsewhere, and are no corrupt ones here
        "gateway": settings.base_url,
        "run_on": plan.run_on,
        "strategy": None if strategy is None else _without_times(strategy_to_dict(strategy)),
        "config": config_mark(config),
        "route_headers": route_headers(headers) or None,
    }
    if config is not None or "x-portkey-config" in headers or decides_by_metadata(strategy):
        scope["decided_by"] = {**options.metadata, "": headers.get("x-portkey-metadata")}
    return scope


def _without_times(described: Any) -> Any:
    if isinstance(described, dict):
        return {
            name: value if name in _AS_IT_IS else _without_times(value)
            for name, value in described.items()
            if name not in _TIMES
        }
    return [_without_times(each) for each in described] if isinstance(described, list) else described


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


def metadata_header(*headers: Mapping[str, str] | None) -> dict[str, str]:
    """The metadata that stand in a header, under no name, where they do; of several, the last."""
    given = [v for each in headers for name, v in (each or {}).items() if name.lower() == "x-portkey-metadata"]
    return {"": given[-1]} if given else {}


def decides_by_metadata(strategy: Any) -> bool:
    """Whether the request's metadata may decide which target answers."""
    inner: Iterable[Any] = () if isinstance(strategy, str | Target) else getattr(strategy, "targets", ())
    return isinstance(strategy, Conditional) or any(decides_by_metadata(each) for each in inner)

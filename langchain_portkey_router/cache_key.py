"""What tells two calls apart in LangChain's cache: everything that decides the answer, nothing else, and no keys."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from portkey_router.cache.canonical import VOLATILE, plain
from portkey_router.flow.scope import config_mark, decides_by_metadata, metadata_header, route_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["cache_key", "config_mark", "decides_by_metadata", "metadata_header", "route_headers"]


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
    return json.dumps(told, sort_keys=True, ensure_ascii=False, default=plain)

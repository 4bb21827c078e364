"""Settings of a call as text that is the same whenever the answer would be: sorted JSON, without keys or ids."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from portkey_router.describe import strategy_to_dict
from portkey_router.errors import ConfigurationError
from portkey_router.targets import Target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["VOLATILE", "canonical_json", "deciding", "digest", "digest_of_texts", "plain"]

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
        "portkey_tags",
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
# The same, of OpenAI's body and of other LangChain models, whose settings we are only told.
_ALSO_VOLATILE = VOLATILE | {
    "cache",
    "callbacks",
    "headers",
    "ls_structured_output_format",
    "metadata",
    "prompt_cache_key",
    "prompt_cache_retention",
    "service_tier",
    "store",
    "stream",
    "tags",
    "verbose",
}


def deciding(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What of a call's settings may change the answer; whole numbers are equal however they are written."""
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in settings.items()
        if value is not None and name not in _ALSO_VOLATILE
    }


def canonical_json(value: Any) -> str:
    """Sorted ASCII JSON. Strategies are written without their keys, schemas given as classes by their schema.

    Raises `ConfigurationError` for what refers to itself or has keys that do not sort.
    """
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"No cache key can be made of this request: {error}. Give plain JSON, or no_cache=True."
        raise ConfigurationError(msg) from error


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON, in hex."""
    return hashlib.sha256(canonical_json(value).encode("ascii")).hexdigest()


def digest_of_texts(kind: str, scope: str, texts: str | Sequence[str]) -> str:
    """As `digest` of `[kind, scope, texts]`, but quicker: strings need no encoder of their own."""
    written = _encode(texts) if isinstance(texts, str) else f"[{','.join(map(_encode, texts))}]"
    return hashlib.sha256(f"[{_encode(kind)},{_encode(scope)},{written}]".encode("ascii")).hexdigest()


def plain(value: Any) -> Any:
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


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=plain).encode

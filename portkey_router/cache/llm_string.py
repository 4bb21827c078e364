"""LangChain's `llm_string` (which model, set how) read back into a model's name and what decides its answers.

Three writers are known: `ChatPortkey`, whose string is JSON of its own; serialisable models, which write
`{...}---[('stop', None)]`; and all others, whose string is a list of pairs. What cannot be read is taken whole: it can
keep equal calls apart, and never takes different ones for equal.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from portkey_router.cache.canonical import canonical_json, deciding
from portkey_router.secrets import is_secret_name

__all__ = ["settings_of"]

_ROUTE_HEADERS = ("x-portkey-config", "x-portkey-custom-host", "x-portkey-provider")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
# Arguments of models whose names only look like those of secrets.
_NO_SECRETS = frozenset({"bos_token", "eos_token", "pad_token", "stop_token"})


@lru_cache(maxsize=256)  # one for each model and set of bound tools: the same few at each call
def settings_of(llm_string: str) -> str:
    """The canonical settings of a call, as `settings_text` writes them for a request of our own."""
    ours = _ours(llm_string)
    if ours is not None:
        return settings_text(*ours)
    head, separator, tail = llm_string.partition("---[")
    model = _json_object(head) if separator else None
    if model is None:
        pairs = _pairs(llm_string)
        return settings_text(None, {"llm_string": llm_string} if pairs is None else _foreign({}, pairs))
    pairs = _pairs("[" + tail)
    call = {"call": tail} if pairs is None else pairs
    kind = ".".join(str(part) for part in model.get("id") or ())
    return settings_text(None, {"class": kind, **_foreign(model.get("kwargs") or {}, call)})


def settings_text(model: str | None, params: Mapping[str, Any]) -> str:
    """A model's name and its deciding parameters, canonical."""
    return canonical_json({"model": model, "params": deciding(params)})


def _ours(llm_string: str) -> tuple[str | None, dict[str, Any]] | None:
    told = _json_object(llm_string)
    if told is None or not isinstance(told.get("model"), dict) or not isinstance(told.get("call"), dict):
        return None
    model, call = dict(told.pop("model")), dict(told.pop("call"))
    named = call.pop("model", None) or model.pop("model_name", None)
    for name in ("model_name", "base_url"):  # said once more as the call's model, and as "gateway"
        model.pop(name, None)
    if model.get("run_on") == "client":
        del model["run_on"]
    more = {**(model.pop("extra_body", None) or {}), **(call.pop("extra_body", None) or {})}
    return named, {**model, **(model.pop("model_kwargs", None) or {}), **call, **more, **told}


def _foreign(model: Mapping[str, Any], call: Mapping[str, Any]) -> dict[str, Any]:
    """A foreign model's settings and its call's: no secrets; of headers, those that say who answers."""
    headers: dict[str, Any] = {}
    for each in (model, call):
        for name in ("default_headers", "extra_headers"):
            if isinstance(given := each.get(name), Mapping):
                headers.update({str(key).lower(): value for key, value in given.items()})
    route = {name: headers[name] for name in _ROUTE_HEADERS if name in headers}
    if "x-portkey-config" in route and "x-portkey-metadata" in headers:
        route["x-portkey-metadata"] = headers["x-portkey-metadata"]  # a config may choose its target by it
    told = {name: _without_secrets(value) for name, value in {**model, **call}.items() if not _is_secret(name, value)}
    return {**told, "headers_of_route": route} if route else told


def _is_secret(name: str, value: Any) -> bool:
    if isinstance(value, Mapping) and value.get("lc") == 1 and value.get("type") == "secret":
        return True
    return isinstance(value, str) and name not in _NO_SECRETS and is_secret_name(name)


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        if value.get("type") == "not_implemented":  # an object by its repr, which has its address
            return [value.get("id"), _ADDRESS.sub("", str(value.get("repr")))]
        return {name: _without_secrets(part) for name, part in value.items() if not _is_secret(str(name), part)}
    return [_without_secrets(part) for part in value] if isinstance(value, list | tuple) else value


def _json_object(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _pairs(text: str) -> dict[str, Any] | None:
    """`[('stop', None), ('tools', [...])]`, which is Python's; None where it holds more than plain values."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    try:
        return {str(name): part for name, part in value}
    except (TypeError, ValueError):
        return None

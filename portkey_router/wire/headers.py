"""Request headers: what Portkey's gateway reads, spelled as its own SDK spells it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from portkey_router._version import __version__
from portkey_router.errors import ConfigurationError
from portkey_router.providers import portkey_provider
from portkey_router.secrets import is_secret_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from portkey_router.messages import CallOptions
    from portkey_router.settings import Settings
    from portkey_router.targets import Target

__all__ = ["SecretsIn", "base_headers", "call_headers", "config_headers", "secrets_in", "target_headers"]

METADATA_VALUE_LIMIT = 128  # Portkey refuses longer values (docs: product/observability/metadata)
_ILLEGAL = re.compile(r"[\r\n\0]")


def base_headers(settings: Settings) -> dict[str, str]:
    """What every request of these settings carries; the user's default headers win over ours."""
    headers = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "user-agent": f"portkey-router/{__version__}",
        "x-portkey-package-version": f"portkey-router-{__version__}",
        # Without it the gateway drops what OpenAI's shape has no place for: reasoning, content blocks, refusals' hooks.
        "x-portkey-strict-open-ai-compliance": "false",
    }
    if settings.api_key is not None:
        headers["x-portkey-api-key"] = settings.api_key.get_secret_value()
    if settings.bearer is not None:
        headers["authorization"] = f"Bearer {settings.bearer.get_secret_value()}"
    return _checked({**headers, **settings.headers})


def target_headers(target: Target) -> dict[str, str]:
    """How one attempt names its target, when the client runs the strategy."""
    headers: dict[str, str] = {}
    for option, value in target.options.items():
        text = value if isinstance(value, str) else json.dumps(value)
        headers["x-portkey-" + option.replace("_", "-").lower()] = text
    if target.slug is not None:
        if not (target.model or "").startswith("@"):
            headers["x-portkey-provider"] = target.slug
    elif target.virtual_key is not None:
        headers["x-portkey-virtual-key"] = _reveal(target.virtual_key)
    elif target.provider is not None:
        headers["x-portkey-provider"] = portkey_provider(target.provider)
        if target.api_key is not None:
            headers["authorization"] = f"Bearer {_reveal(target.api_key)}"
    if target.custom_host is not None:
        headers["x-portkey-custom-host"] = target.custom_host
    if target.request_timeout is not None:
        headers["x-portkey-request-timeout"] = str(round(target.request_timeout * 1000))
    if target.forward_headers:
        headers["x-portkey-forward-headers"] = ",".join(target.forward_headers)
    if target.cache is not None:
        headers["x-portkey-config"] = json.dumps({"cache": dict(target.cache)})
    return _checked(headers)


def config_headers(config: str | Mapping[str, Any]) -> dict[str, str]:
    """A saved config by its id (`pc-...`), or a whole one as JSON."""
    return _checked({"x-portkey-config": config if isinstance(config, str) else json.dumps(config)})


def call_headers(options: CallOptions) -> dict[str, str]:
    """What one call adds: metadata, trace and span ids, cache control, the caller's own headers (which win)."""
    headers = {
        name: value
        for name, value in (
            ("x-portkey-trace-id", options.trace_id),
            ("x-portkey-span-id", options.span_id),
            ("x-portkey-parent-span-id", options.parent_span_id),
            ("x-portkey-span-name", options.span_name),
            ("x-portkey-cache-namespace", options.cache_namespace),
        )
        if value
    }
    if options.metadata:
        headers["x-portkey-metadata"] = json.dumps(_metadata(options.metadata))
    if options.cache_force_refresh is not None:
        headers["x-portkey-cache-force-refresh"] = "true" if options.cache_force_refresh else "false"
    headers.update((name.lower(), str(value)) for name, value in options.extra_headers.items())
    return _checked(headers)


def _metadata(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Portkey's metadata are strings; numbers and booleans are written out, anything longer is refused here."""
    texts: dict[str, str] = {}
    for key, value in metadata.items():
        try:
            text = value if isinstance(value, str) else json.dumps(value)
        except (TypeError, ValueError):
            msg = f"metadata[{key!r}] is a {type(value).__name__}; Portkey's metadata are strings: pass str(...) of it."
            raise ConfigurationError(msg) from None
        if len(text) > METADATA_VALUE_LIMIT:
            msg = f"metadata[{key!r}] has {len(text)} characters; Portkey takes at most {METADATA_VALUE_LIMIT}."
            raise ConfigurationError(msg)
        texts[str(key)] = text
    return texts


def _checked(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if _ILLEGAL.search(value) or _ILLEGAL.search(name):
            msg = f"The header {_ILLEGAL.sub('?', name)!r} holds a line break; remove it (was it read from a file?)."
            raise ConfigurationError(msg)
    return headers


def _reveal(secret: Any) -> str:
    return str(secret.get_secret_value())


class SecretsIn:
    """`secrets_in(headers)`, found once somebody looks: only errors need them."""

    __slots__ = ("_headers",)

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def __iter__(self) -> Iterator[str]:
        return iter(secrets_in(self._headers))


def secrets_in(headers: Mapping[str, str]) -> tuple[str, ...]:
    """The secret values that headers carry, to be struck from whatever comes back."""
    found: set[str] = set()
    for name, value in headers.items():
        if name == "authorization":
            found.add(value.strip().rpartition(" ")[2])
        elif name == "x-portkey-config":
            found.update(_secrets_in_config(value))
        elif is_secret_name(name):
            found.add(value)
    return tuple(found)


def _secrets_in_config(text: str) -> set[str]:
    try:
        stack: list[Any] = [json.loads(text)]
    except ValueError:  # a saved config's id; or broken, which is the gateway's to refuse
        return set()
    found: set[str] = set()
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            found.update(v for k, v in node.items() if isinstance(v, str) and is_secret_name(k))
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)
    return found

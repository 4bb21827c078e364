"""`status`: what is set, what can be reached, and which keys serve which models. Never a secret."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portkey_router.admin import AdminClient
from portkey_router.cli.options import Json  # noqa: TC001  (typer reads annotations)
from portkey_router.cli.output import note, progress, show, show_rows
from portkey_router.errors import AdminError, MissingCredentialError, PortkeyError, TransportError
from portkey_router.portal import SyncTransport
from portkey_router.providers import MODEL_RULES, variable_of
from portkey_router.settings import load_settings, read_environment
from portkey_router.transport.failures import where
from portkey_router.wire.headers import base_headers
from portkey_router.wire.http import Expiry, HttpCall

if TYPE_CHECKING:
    from portkey_router.settings import Settings

__all__ = ["register"]

NAMES = (
    "PORTKEY_API_KEY",
    "MASTER_PORTKEY_ADMIN_KEY",
    "PORTKEY_GATEWAY_URL",
    "PORTKEY_BASE_URL",
    "PORTKEY_ADMIN_URL",
    "PORTKEY_CONFIG_ID",
    "PORTKEY_STRATEGY",
    "PORTKEY_FALLBACKS",
    "PORTKEY_CACHE_ENABLED",
    "PORTKEY_CACHE_URL",
    "PORTKEY_CACHE_EMBEDDINGS",
    "PORTKEY_WORKSPACE",
    "PREFERRED_LLM_PROVIDER",
)
# Models of a provider by the table's patterns; more than these few help nobody.
SHOWN_PATTERNS = 6
UNREACHABLE, REFUSED = 6, 4


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status", rich_help_panel="Calls")(status)


def status(
    *,
    offline: Annotated[bool, typer.Option("--offline", help="Only what is set; ask nobody.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", min=0.001, help="Seconds to wait for each.")] = 5.0,
    as_json: Json = False,
) -> None:
    """Show what is set, whether the gateway and the admin API can be reached, and which keys serve which models."""
    environment = read_environment()
    settings = load_settings()
    value: dict[str, Any] = {
        "settings": [_setting(name, environment) for name in NAMES],
        "enabled": settings.enabled,
        "gateway": {"url": where(settings.base_url), "hosted": settings.hosted},
        "keys": [_key(provider) for provider in settings.virtual_keys],
    }
    if not offline:
        with progress("Asking the gateway and the admin API"):
            value["gateway"] |= _gateway(settings, timeout)
            value["admin"] = _admin(timeout)
    if as_json:
        show(value, "", as_json=True)
    else:
        _print(value)
    checks = [value["gateway"].get("state"), value.get("admin", {}).get("state")]
    code = UNREACHABLE if "unreachable" in checks else REFUSED if "refused" in checks else 0
    if code:
        raise typer.Exit(code)


def _setting(name: str, environment: dict[str, str]) -> dict[str, Any]:
    if name.lower() not in environment:
        return {"name": name, "set": False}
    outside = any(known.lower() == name.lower() and value.strip() for known, value in os.environ.items())
    return {"name": name, "set": True, "from": "environment" if outside else ".env"}


def _key(provider: str) -> dict[str, Any]:
    patterns = [rule.pattern for rule in MODEL_RULES if provider in {rule.provider, *rule.otherwise}]
    return {"variable": variable_of(provider), "provider": provider, "models": [*patterns, f"{provider}/*"]}


def _gateway(settings: Settings, timeout: float) -> dict[str, Any]:
    """Whether it answers at all; a 4xx does, since an open-source gateway lists no models."""
    try:
        settings.check_access()
    except MissingCredentialError as error:
        return {"state": "not set up", "detail": str(error)}
    expiry = Expiry(time.monotonic() + timeout, "total", timeout)
    call = HttpCall(f"{settings.base_url}/models", base_headers(settings), expiry, method="GET", connect=timeout)
    try:
        reply = SyncTransport().send(call)
    except TransportError as error:
        return {"state": "unreachable", "detail": str(error)}
    if reply.status in {401, 403}:
        return {"state": "refused", "detail": f"it answered {reply.status}: check PORTKEY_API_KEY"}
    return {"state": "reachable"}


def _admin(timeout: float) -> dict[str, Any]:
    try:
        client = AdminClient(timeout=timeout, max_retries=0)
    except MissingCredentialError as error:
        return {"state": "not set up", "detail": str(error)}
    told = {"url": where(client.url)}
    try:
        keys = sum(1 for _ in client.keys.list())
    except AdminError as error:
        state = "refused" if error.status in {401, 403} else "no admin API there"
        return {**told, "state": state, "detail": str(error)}
    except PortkeyError as error:
        return {**told, "state": "unreachable", "detail": str(error)}
    return {**told, "state": "reachable", "keys": keys}


def _print(value: dict[str, Any]) -> None:
    rows = [[entry["name"], "set" if entry["set"] else "-", entry.get("from", "")] for entry in value["settings"]]
    show_rows(["setting", "", "from"], rows, None, as_json=False, none="")
    if not value["enabled"]:
        note("PREFERRED_LLM_PROVIDER names another provider: Portkey is off.")
    asked = [(name, value[name]) for name in ("gateway", "admin") if name in value]
    rows = [[name, told.get("url"), told.get("state", "not asked"), told.get("detail", "")] for name, told in asked]
    show_rows(["service", "at", "state", ""], rows, None, as_json=False, none="")
    rows = [[key["variable"], ", ".join([*key["models"][:SHOWN_PATTERNS]])] for key in value["keys"]]
    none = "No PORTKEY_VIRTUAL_KEY_<PROVIDER> is set: name models by a slug (@openai-prod/gpt-4o) or a saved config."
    show_rows(["virtual key", "serves"], rows, None, as_json=False, none=none)

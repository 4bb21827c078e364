"""Providers' keys, whichever way the workspace keeps them: virtual keys, or integrations with providers.

Portkey made every old virtual key a provider of the Model Catalog with the same slug, so a slug may be both; then it
is treated as the virtual key that it was made as.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal

from portkey_router.admin.asks import Ask, each, limits, path, reveal
from portkey_router.admin.ends import Listing, M_co, Resource, Verb
from portkey_router.admin.models import ProviderKey
from portkey_router.admin.vault import Integrations, Providers, VirtualKeys
from portkey_router.errors import AdminError, ConfigurationError, PortkeyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import SecretStr

    from portkey_router.admin.asks import Operation
    from portkey_router.admin.models import Provider, RateLimits, UsageLimits, VirtualKey

__all__ = ["Kind", "ProviderKeys"]

Kind = Literal["virtual-key", "provider", "integration"]
# What an API answers that lacks this kind of thing, or a key that may not see it.
LACKING = frozenset({403, 404, 405, 501})


class ProviderKeys(Resource[M_co]):
    """Providers' keys, whichever kind the workspace has."""

    @Verb
    def create(
        self,
        *,
        name: str,
        provider: str,
        key: str | SecretStr,
        kind: Literal["auto", "virtual-key", "provider"] = "auto",
        note: str | None = None,
        usage_limits: UsageLimits | None = None,
        rate_limits: RateLimits | Sequence[RateLimits] | None = None,
        workspace_id: str | None = None,
    ) -> Operation[ProviderKey]:
        """Store a provider's key: as an integration with a provider where there is a Model Catalog, else a virtual key.

        `kind` decides it otherwise. Each thing is created once; `CreateUnconfirmedError` where a reply is lost. If the
        integration was made and its provider refused, the error's note says so.
        """
        limits(usage_limits, rate_limits)  # refused here, and not when the integration is made already
        reveal(key)
        shared: dict[str, Any] = {"note": note, "usage_limits": usage_limits, "rate_limits": rate_limits}
        shared["workspace_id"] = workspace_id
        if kind == "virtual-key" or (kind == "auto" and not (yield from _has_catalog())):
            stored = yield from VirtualKeys.create.operation(self, name=name, provider=provider, key=key, **shared)
            return ProviderKey(slug=stored.slug, name=name, kind="virtual-key", provider=provider)
        integration = yield from Integrations.create.operation(
            self, name=name, provider=provider, key=key, create_default_provider=False, workspace_id=workspace_id
        )
        try:
            made = yield from Providers.create.operation(self, name=name, integration=integration.slug, **shared)
        except PortkeyError as error:
            error.add_note(
                f"The integration {integration.slug!r} was made and holds the key; no provider of it is confirmed."
            )
            raise
        return ProviderKey(slug=made.slug, name=name, kind="provider", provider=provider, integration=integration.slug)

    @Listing.of(ProviderKey)
    def list(self, *, workspace_id: str | None = None) -> Operation[None]:
        """Every virtual key, and every provider that is not one of them."""
        seen: set[str] = set()
        refused: AdminError | None = None
        finds_of: dict[Kind, Operation[None]] = {
            "virtual-key": VirtualKeys.list.operation(self),
            "provider": Providers.list.operation(self, workspace_id=workspace_id),
        }
        for kind, finds in finds_of.items():
            try:
                yield from each(finds, functools.partial(_new, kind, seen))
            except AdminError as error:
                if error.status not in LACKING or refused is not None:
                    raise
                refused = error

    @Verb
    def kind_of(self, slug: str) -> Operation[Kind]:
        """What the slug names (a leading `@` is no part of it); `AdminError` 404 where nothing does."""
        return (yield from _kind_of(_bare(slug)))

    @Verb
    def rotate(self, slug: str, *, key: str | SecretStr) -> Operation[ProviderKey]:
        """Put a new key of the provider's in the old one's place. The slug stays, so nothing else has to change."""
        slug = _bare(slug)
        reveal(key)  # an empty one is refused before anything is asked
        kind = yield from _kind_of(slug)
        if kind == "virtual-key":
            yield from VirtualKeys.update.operation(self, slug, key=key)
            return ProviderKey(slug=slug, kind=kind)
        integration = slug
        if kind == "provider":
            integration = yield from _integration_of(self, slug)
        yield from Integrations.update.operation(self, integration, key=key)
        return ProviderKey(slug=slug, kind=kind, integration=integration)

    @Verb
    def set_limits(
        self,
        slug: str,
        *,
        usage_limits: UsageLimits | None = None,
        rate_limits: RateLimits | Sequence[RateLimits] | None = None,
        reset_usage: bool = False,
    ) -> Operation[ProviderKey]:
        """Set its budget and rate limits. `reset_usage` counts from 0 again, which only a provider can."""
        slug = _bare(slug)
        kind = yield from _kind_of(slug)
        if kind == "integration" or (kind == "virtual-key" and reset_usage):
            what = "an integration: its limits are" if kind == "integration" else "a virtual key: a reset is"
            raise ConfigurationError(f"{slug!r} is {what} a matter of its providers; name one of them.")
        changes: dict[str, Any] = {"usage_limits": usage_limits, "rate_limits": rate_limits}
        if kind == "virtual-key":
            yield from VirtualKeys.update.operation(self, slug, **changes)
        else:
            yield from Providers.update.operation(self, slug, reset_usage=reset_usage or None, **changes)
        return ProviderKey(slug=slug, kind=kind)

    @Verb
    def delete(self, slug: str, *, with_integration: bool = False) -> Operation[ProviderKey]:
        """Delete it. A provider's integration holds the key and may serve others: it stays, unless told otherwise."""
        slug = _bare(slug)
        kind = yield from _kind_of(slug)
        if kind == "virtual-key":
            yield from VirtualKeys.delete.operation(self, slug)
            return ProviderKey(slug=slug, kind=kind)
        if kind == "integration":
            yield from Integrations.delete.operation(self, slug)
            return ProviderKey(slug=slug, kind=kind)
        integration = yield from _integration_of(self, slug)
        yield from Providers.delete.operation(self, slug)
        if with_integration:
            yield from Integrations.delete.operation(self, integration)
        return ProviderKey(slug=slug, kind=kind, integration=None if with_integration else integration)


def _bare(slug: str) -> str:
    return slug.removeprefix("@")


def _has_catalog() -> Operation[bool]:
    try:
        yield Ask("GET", "/integrations", {"current_page": 0, "page_size": 1})
    except AdminError as error:
        if error.status not in LACKING:
            raise
        return False
    return True


def _new(kind: Kind, seen: set[str], found: VirtualKey | Provider) -> ProviderKey | None:
    """What was found as a `ProviderKey`; None where its slug was seen already."""
    if found.slug in seen:
        return None
    seen.add(found.slug)
    told = found.model_dump(exclude_none=True)
    return ProviderKey(**{**told, "kind": kind, "integration": told.get("integration_id")})


def _kind_of(slug: str) -> Operation[Kind]:
    kinds: dict[Kind, str] = {"virtual-key": "virtual-keys", "provider": "providers", "integration": "integrations"}
    refused: AdminError | None = None
    for kind, route in kinds.items():
        try:
            yield Ask("GET", path(route, slug))
        except AdminError as error:
            if error.status not in LACKING:
                raise
            # A 403 says more than a 404: perhaps it is there, and the key may not see it.
            refused = error if refused is None or error.status == 403 else refused  # noqa: PLR2004
        else:
            return kind
    raise refused or AssertionError("no kind was asked for")


def _integration_of(resource: Resource[Any], slug: str) -> Operation[str]:
    provider = yield from Providers.get.operation(resource, slug)
    if provider.integration_id is None:
        raise ConfigurationError(f"Portkey does not tell the integration of {slug!r}: name the integration instead.")
    return str(provider.integration_id)

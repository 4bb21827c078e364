"""Providers' keys: virtual keys, and in the Model Catalog integrations (credentials) and providers (their use)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portkey_router.admin.asks import Ask, create, limits, listing, path, reveal, stated, typed
from portkey_router.admin.ends import Listing, M_co, Resource, Verb
from portkey_router.admin.models import (
    CatalogModel,
    CreatedIntegration,
    CreatedProvider,
    CreatedVirtualKey,
    Integration,
    Provider,
    VirtualKey,
    WorkspaceAccess,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pydantic import SecretStr

    from portkey_router.admin.asks import Operation
    from portkey_router.admin.models import RateLimits, UsageLimits

__all__ = ["Integrations", "Providers", "VirtualKeys"]


def _when(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _workspace(resource: Resource[Any], given: str | None) -> dict[str, Any]:
    return {"workspace_id": given or resource._session.workspace_id}  # noqa: SLF001  (its verbs')


class VirtualKeys(Resource[M_co]):
    """Providers' keys in Portkey's vault. Portkey's successor of them are integrations with providers; both work."""

    @Listing.of(VirtualKey)
    def list(self) -> Operation[None]:
        """Every virtual key of the workspace."""
        return listing(VirtualKey, "/virtual-keys", key=lambda key: key.slug)

    @Verb
    def create(
        self,
        /,
        *,
        name: str,
        provider: str,
        key: str | SecretStr,
        note: str | None = None,
        usage_limits: UsageLimits | None = None,
        rate_limits: RateLimits | Sequence[RateLimits] | None = None,
        expires_at: datetime | None = None,
        workspace_id: str | None = None,
        **fields: Any,
    ) -> Operation[CreatedVirtualKey]:
        """Store a provider's key; `provider` is Portkey's name for it (`openai`, `mistral-ai`).

        `fields` are further ones of the API (`deploymentConfig`, `secret_mappings` ...). Sent once: raises
        `CreateUnconfirmedError` where the reply is lost, `AdminError` where Portkey refuses.
        """
        workspace = workspace_id or self._session.workspace_id
        body = stated(
            name=name,
            provider=provider,
            key=reveal(key),
            note=note,
            workspace_id=workspace,
            expires_at=_when(expires_at),
        )
        body |= {**limits(usage_limits, rate_limits), **fields}
        find = listing(VirtualKey, "/virtual-keys", key=lambda found: found.slug)
        return typed(CreatedVirtualKey, (yield from create("virtual key", "/virtual-keys", body, find=find)))

    @Verb
    def get(self, slug: str) -> Operation[VirtualKey]:
        """One virtual key."""
        return typed(VirtualKey, (yield Ask("GET", path("virtual-keys", slug))), slug=slug)

    @Verb
    def update(
        self,
        /,
        slug: str,
        *,
        name: str | None = None,
        key: str | SecretStr | None = None,
        note: str | None = None,
        usage_limits: UsageLimits | None = None,
        rate_limits: RateLimits | Sequence[RateLimits] | None = None,
        **fields: Any,
    ) -> Operation[None]:
        """Change what is given. A new `key` takes the place of the provider's old one; the slug stays."""
        body = stated(name=name, key=None if key is None else reveal(key), note=note)
        yield Ask("PUT", path("virtual-keys", slug), body={**body, **limits(usage_limits, rate_limits), **fields})

    @Verb
    def delete(self, slug: str) -> Operation[None]:
        """Delete it: requests that name it fail from now on."""
        yield Ask("DELETE", path("virtual-keys", slug))


class Providers(Resource[M_co]):
    """AI providers of the Model Catalog: `@slug/model`. Each draws on an integration."""

    @Listing.of(Provider)
    def list(self, *, workspace_id: str | None = None) -> Operation[None]:
        """Every provider of the workspace."""
        return listing(Provider, "/providers", key=lambda found: found.slug, query=_workspace(self, workspace_id))

    @Verb
    def create(
        self,
        *,
        name: str,
        integration: str,
        slug: str | None = None,
        note: str | None = None,
        usage_limits: UsageLimits | None = None,
        rate_limits: RateLimits | Sequence[RateLimits] | None = None,
        expires_at: datetime | None = None,
        workspace_id: str | None = None,
    ) -> Operation[CreatedProvider]:
        """Let a workspace use an integration (its slug). Sent once, as `VirtualKeys.create`."""
        query = _workspace(self, workspace_id)
        body = stated(
            name=name, integration_id=integration, slug=slug, note=note, expires_at=_when(expires_at), **query
        )
        find = listing(Provider, "/providers", key=lambda found: found.slug, query=query)
        body |= limits(usage_limits, rate_limits)
        return typed(CreatedProvider, (yield from create("provider", "/providers", body, find=find)))

    @Verb
    def get(self, slug: str, *, workspace_id: str | None = None) -> Operation[Provider]:
        """One provider; its slug without the `@`."""
        return typed(Provider, (yield Ask("GET", path("providers", slug), _workspace(self, workspace_id))), slug=slug)

    @Verb
    def update(
        self,
        slug: str,
        *,
        name: str | None = None,
        note: str | None = None,
        usage_limits: UsageLimits | None = None,
        rate_limits: RateLimits | Sequence[RateLimits] | None = None,
        expires_at: datetime | None = None,
        reset_usage: bool | None = None,
        workspace_id: str | None = None,
    ) -> Operation[None]:
        """Change what is given; `reset_usage` counts its budget from 0 again."""
        body = stated(name=name, note=note, expires_at=_when(expires_at), reset_usage=reset_usage)
        body |= limits(usage_limits, rate_limits)
        yield Ask("PUT", path("providers", slug), _workspace(self, workspace_id), body)

    @Verb
    def delete(self, slug: str, *, workspace_id: str | None = None) -> Operation[None]:
        """Delete it; its integration stays."""
        yield Ask("DELETE", path("providers", slug), _workspace(self, workspace_id))


class Integrations(Resource[M_co]):
    """Credentials of providers in the Model Catalog: their models, and the workspaces that may use them."""

    @Listing.of(Integration)
    def list(self, *, type: str | None = None, workspace_id: str | None = None) -> Operation[None]:  # noqa: A002  (the API's name)
        """Every integration; `type`: those of the `workspace`, of the `organisation`, or `all`."""
        query = {"type": type, "workspace_id": workspace_id or self._session.workspace_id}
        return listing(Integration, "/integrations", key=lambda found: found.slug, query=query)

    @Verb
    def create(
        self,
        /,
        *,
        name: str,
        provider: str,
        key: str | SecretStr | None = None,
        slug: str | None = None,
        description: str | None = None,
        configurations: Mapping[str, Any] | None = None,
        create_default_provider: bool = True,
        default_provider_slug: str | None = None,
        workspace_id: str | None = None,
        **fields: Any,
    ) -> Operation[CreatedIntegration]:
        """Store a provider's credentials; `provider` is Portkey's name for it, `configurations` what else it needs.

        `create_default_provider` makes a provider with it, in the workspaces that may use it. Sent once, as
        `VirtualKeys.create`.
        """
        body = stated(
            name=name,
            ai_provider_id=provider,
            key=None if key is None else reveal(key),
            slug=slug,
            description=description,
            configurations=configurations,
            create_default_provider=create_default_provider,
            default_provider_slug=default_provider_slug,
            workspace_id=workspace_id or self._session.workspace_id,
        )
        find = listing(Integration, "/integrations", key=lambda found: found.slug)
        reply = yield from create("integration", "/integrations", {**body, **fields}, find=find)
        return typed(CreatedIntegration, reply)

    @Verb
    def get(self, slug: str) -> Operation[Integration]:
        """One integration."""
        return typed(Integration, (yield Ask("GET", path("integrations", slug))), slug=slug)

    @Verb
    def update(
        self,
        /,
        slug: str,
        *,
        name: str | None = None,
        key: str | SecretStr | None = None,
        description: str | None = None,
        configurations: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Operation[None]:
        """Change what is given. A new `key` takes the place of the provider's old one; its providers' slugs stay."""
        body = stated(
            name=name,
            key=None if key is None else reveal(key),
            description=description,
            configurations=configurations,
        )
        yield Ask("PUT", path("integrations", slug), body={**body, **fields})

    @Verb
    def delete(self, slug: str) -> Operation[None]:
        """Delete it."""
        yield Ask("DELETE", path("integrations", slug))

    @Listing.of(CatalogModel)
    def models(self, slug: str) -> Operation[None]:
        """The models of an integration."""
        route = path("integrations", slug, "models")
        return listing(CatalogModel, route, key=lambda model: model.slug, paged=False, within="models")

    @Verb
    def update_models(
        self, slug: str, models: Sequence[Mapping[str, Any]], *, allow_all_models: bool | None = None
    ) -> Operation[None]:
        """Allow or forbid models: `[{"slug": "gpt-4o", "enabled": True}]`; also custom ones (`is_custom`, prices)."""
        body = stated(models=[dict(model) for model in models], allow_all_models=allow_all_models)
        yield Ask("PUT", path("integrations", slug, "models"), body=body)

    @Verb
    def delete_models(self, slug: str, models: Sequence[str]) -> Operation[None]:
        """Delete custom models of an integration, by their slugs."""
        yield Ask("DELETE", path("integrations", slug, "models"), {"slugs": ",".join(models)})

    @Listing.of(WorkspaceAccess)
    def workspaces(self, slug: str) -> Operation[None]:
        """Which workspaces may use it."""
        route = path("integrations", slug, "workspaces")
        return listing(WorkspaceAccess, route, key=lambda access: access.id, paged=False, within="workspaces")

    @Verb
    def update_workspaces(
        self,
        slug: str,
        workspaces: Sequence[Mapping[str, Any]] = (),
        *,
        global_workspace_access: Mapping[str, Any] | None = None,
        override_existing_workspace_access: bool | None = None,
    ) -> Operation[None]:
        """Say which workspaces may use it: `[{"id": "...", "enabled": True}]`, or all alike."""
        body = stated(
            workspaces=[dict(workspace) for workspace in workspaces],
            global_workspace_access=global_workspace_access,
            override_existing_workspace_access=override_existing_workspace_access,
        )
        yield Ask("PUT", path("integrations", slug, "workspaces"), body=body)

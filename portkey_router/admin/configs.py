"""Saved gateway configs, with their versions."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from portkey_router.admin.asks import Ask, create, each, listing, path, typed, unwrapped
from portkey_router.admin.ends import Listing, M_co, Resource, Verb
from portkey_router.admin.models import Config, ConfigVersion, SavedConfig
from portkey_router.compile import compile_config
from portkey_router.errors import PortkeyError
from portkey_router.targets import as_strategy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portkey_router.admin.asks import Operation
    from portkey_router.targets import TargetLike

__all__ = ["Configs"]


class Configs(Resource[M_co]):
    """Saved gateway configs: what `config="pc-..."` and `PORTKEY_CONFIG_ID` name."""

    @Listing.of(Config)
    def list(self, *, workspace_id: str | None = None) -> Operation[None]:
        """Every config, without what it says."""
        return _listed(workspace_id or self._session.workspace_id)

    @Verb
    def create(
        self,
        *,
        name: str,
        config: Mapping[str, Any] | TargetLike,
        is_default: bool = False,
        workspace_id: str | None = None,
    ) -> Operation[SavedConfig]:
        """Save a config: Portkey's JSON, or a strategy (`Fallback(Target(..., virtual_key=...), ...)`).

        Sent once, as `VirtualKeys.create`. Portkey tells the id of what it saved; its slug, which requests name, is
        looked up by it.
        """
        workspace = workspace_id or self._session.workspace_id
        body: dict[str, Any] = {"name": name, "config": _as_config(config)}
        if is_default:
            body["isDefault"] = 1
        if workspace is not None:
            body["workspace_id"] = workspace
        saved = typed(SavedConfig, (yield from create("config", "/configs", body, find=_listed(workspace))))
        if saved.slug is not None or saved.id is None:
            return saved
        return saved.model_copy(update={"slug": (yield from _slug_of(saved.id, workspace))})

    @Verb
    def get(self, slug: str) -> Operation[Config]:
        """One config, with what it says."""
        return typed(Config, _parsed(unwrapped((yield Ask("GET", path("configs", slug))))), slug=slug)

    @Verb
    def update(
        self,
        slug: str,
        *,
        name: str | None = None,
        config: Mapping[str, Any] | TargetLike | None = None,
        status: str | None = None,
    ) -> Operation[SavedConfig]:
        """Change what is given; what it said before stays as a version. Sent once, since each makes a version."""
        body: dict[str, Any] = {
            "name": name,
            "config": None if config is None else _as_config(config),
            "status": status,
        }
        body = {field: value for field, value in body.items() if value is not None}
        return typed(SavedConfig, (yield Ask("PUT", path("configs", slug), body=body, repeatable=False)), slug=slug)

    @Verb
    def delete(self, slug: str) -> Operation[None]:
        """Delete it: requests that name it fail from now on."""
        yield Ask("DELETE", path("configs", slug))

    @Listing.of(ConfigVersion)
    def versions(self, slug: str) -> Operation[None]:
        """What it said before, and says now."""
        route = path("configs", slug, "versions")
        return listing(ConfigVersion, route, key=lambda version: version.version_id, paged=False, read=_parsed)


def _as_config(config: Mapping[str, Any] | TargetLike) -> dict[str, Any]:
    return dict(config) if hasattr(config, "keys") else compile_config(as_strategy(config))  # type: ignore[arg-type]  # a mapping, or a strategy


def _parsed(found: Any) -> Any:
    """The config itself: some replies hold it as JSON in a string."""
    if not isinstance(found, dict) or not isinstance(found.get("config"), str):
        return found
    try:
        return {**found, "config": json.loads(found["config"])}
    except ValueError:
        return {**found, "config": None, "config_text": found["config"]}


def _listed(workspace: str | None) -> Operation[None]:
    return listing(
        Config,
        "/configs",
        key=lambda found: found.slug or found.id,
        query={"workspace_id": workspace},
        paged=False,
        read=_parsed,
    )


def _slug_of(config_id: str, workspace: str | None) -> Operation[str | None]:
    """The slug of the config just saved. It is saved, whatever becomes of this question: then None."""
    slugs: dict[str | None, str | None] = {}
    with contextlib.suppress(PortkeyError):
        yield from each(_listed(workspace), lambda found: slugs.update({found.id: found.slug}))
    return slugs.get(config_id)

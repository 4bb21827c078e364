"""The admin API of the double: keys, the Model Catalog, configs and API keys, as far as a command line needs them.

What is made here serves requests at once: a virtual key, a provider of the catalog, a saved config. Limits are kept and
told, not enforced (`PortkeyDouble.exhaust` spends a budget). Not here: policies, analytics, feedback, workspaces.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from portkey_router.sandbox.config_check import faults_of
from portkey_router.sandbox.replies import faulty, json_reply
from portkey_router.sandbox.vault import Stored

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portkey_router.sandbox.faults import Fault
    from portkey_router.sandbox.replies import Reply
    from portkey_router.sandbox.vault import Vault

__all__ = ["Control", "is_admin"]

SECRETS: Final = frozenset({"key"})
CATALOG: Final = frozenset({"integrations", "providers"})
KINDS: Final = ("virtual-keys", "integrations", "providers", "configs", "api-keys")


class _RefusedError(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.reply = json_reply({"error": {"code": code, "message": message, "type": "invalid_request"}}, status)


@dataclass(slots=True)
class Control:
    """The account's administration. `catalog=False`: an account (or a control plane) from before the Model Catalog.

    `shapes` is how creations and single objects are told: `wrapped` in `{"success": true, "data": ...}`, or `bare`;
    both are documented.
    """

    vault: Vault
    catalog: bool = True
    shapes: str = "wrapped"
    made: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    count: int = 0

    def answer(self, method: str, route: str, query: Mapping[str, str], body: Any, fault: Fault) -> Reply:
        """The reply. A fault that breaks the connection loses the reply to what was done (see `faulty`)."""
        _, kind, *rest = route.split("/", 2)
        return faulty(fault, lambda: self._done(method, kind, "".join(rest), query, body))

    def _done(self, method: str, kind: str, rest: str, query: Mapping[str, str], body: Any) -> Reply:
        if kind in CATALOG and not self.catalog:
            return _RefusedError(404, "AB08", "There is no such route.").reply
        try:
            slug, _, more = rest.partition("/")
            if method == "POST" and (not slug or kind == "api-keys") and more != "rotate":
                return self._create(kind, body if isinstance(body, dict) else {})
            if not slug:
                return self._list(kind, query)
            return self._one(method, kind, slug, more, body if isinstance(body, dict) else {})
        except _RefusedError as refused:
            return refused.reply

    def _list(self, kind: str, query: Mapping[str, str]) -> Reply:
        found = [_told(record) for record in self.made[kind].values()]
        if kind == "configs":
            return json_reply({"success": True, "data": [_without(record, "config") for record in found]})
        number, size = int(query.get("current_page", 0)), int(query.get("page_size", 50))
        return json_reply({"object": "list", "total": len(found), "data": found[number * size : (number + 1) * size]})

    def _create(self, kind: str, body: dict[str, Any]) -> Reply:
        if not body.get("name"):
            raise _RefusedError(400, "AB01", "name is required")
        self.count += 1
        record_id = str(UUID(int=self.count))
        slug = body.get("slug") or f"{_slugged(str(body['name']))}-{self.count:06x}"
        slug = f"pc-{slug}" if kind == "configs" else slug
        if slug in self.made[kind]:
            raise _RefusedError(409, "AB07", f"{slug!r} exists already")
        when = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.count)
        record = {**body, "id": record_id, "slug": slug, "status": "active", "created_at": when.isoformat()}
        self._serve(kind, slug, record)
        self.made[kind][record_id if kind == "api-keys" else slug] = record
        if kind == "configs":
            return self._shaped({"id": record_id, "version_id": self._version(record)})
        if kind == "api-keys":
            return json_reply({"id": record_id, "key": f"pk-sandbox-{self.count:08x}", "object": "api-key"})
        return self._shaped({"slug": slug} if kind == "virtual-keys" else {"id": record_id, "slug": slug})

    def _serve(self, kind: str, slug: str, record: dict[str, Any]) -> None:
        """Let requests use what was made."""
        if kind == "virtual-keys":
            self.vault.stored[slug] = Stored(slug, str(record.get("provider") or "openai"))
        elif kind == "providers":
            integration = self.made["integrations"].get(str(record.get("integration_id")))
            if integration is None:
                raise _RefusedError(404, "AB02", f"there is no integration {record.get('integration_id')!r}")
            self.vault.stored[slug] = Stored(slug, str(integration["ai_provider_id"]))
        elif kind == "configs":
            if not isinstance(record.get("config"), dict) or (wrong := faults_of(record["config"])):
                raise _RefusedError(400, "AB01", f"not a config: {'; '.join(wrong or ['config is required'])}")
            self.vault.configs[slug] = record["config"]

    def _one(self, method: str, kind: str, slug: str, more: str, body: dict[str, Any]) -> Reply:
        record = self.made[kind].get(slug)
        if record is None:
            raise _RefusedError(404, "AB02", f"there is no {slug!r}")
        if more == "versions":
            return json_reply({"object": "list", "total": len(record["versions"]), "data": record["versions"]})
        if more == "rotate":
            self.count += 1
            return json_reply({"id": slug, "key": f"pk-sandbox-{self.count:08x}"})
        if more == "models":
            return json_reply({"total": 1, "models": [{"slug": "sandbox-model", "enabled": True}]})
        if method == "PUT":
            changed = {**record, **body}
            if kind == "configs":
                self._serve(kind, slug, changed)
            self.made[kind][slug] = changed
            return self._shaped({"version_id": self._version(changed)}) if kind == "configs" else json_reply({})
        if method == "DELETE":
            del self.made[kind][slug]
            self.vault.stored.pop(slug, None)
            self.vault.configs.pop(slug, None)
            return json_reply({})
        return self._shaped(_told(record))

    def _version(self, record: dict[str, Any]) -> str:
        self.count += 1
        version = str(UUID(int=self.count))
        told = {"version_id": version, "slug": record["slug"], "name": record["name"], "object": "config"}
        record["versions"] = [*record.get("versions", ()), {**told, "config": json.dumps(record["config"])}]
        return version

    def _shaped(self, found: dict[str, Any]) -> Reply:
        return json_reply({"success": True, "data": found} if self.shapes == "wrapped" else found)


def is_admin(route: str) -> bool:
    """Whether the path (below /v1) is the admin API's."""
    return route.split("/")[1] in KINDS


def _told(record: dict[str, Any]) -> dict[str, Any]:
    """What is told of a record: never its key."""
    masked = {"masked_key": "***"} if "ai_provider_id" in record and record.get("key") else {}
    return {name: value for name, value in {**record, **masked}.items() if name not in SECRETS | {"versions"}}


def _without(record: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != name}


def _slugged(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unnamed"

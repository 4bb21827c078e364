from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from portkey_router.admin import AdminClient, AsyncAdminClient, RateLimits, UsageLimits, models
from portkey_router.errors import AdminError
from portkey_router.targets import Fallback, Target
from tests.services.prism import DESCRIPTION

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from portkey_router.wire.http import HttpCall, HttpReply

ID = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
SPAN: dict[str, Any] = {
    "since": datetime(2026, 11, 1, tzinfo=UTC),
    "until": datetime(2026, 11, 8, tzinfo=UTC),
    "workspace": "main",
}
BUDGET = UsageLimits(credit_limit=10, type="cost", alert_threshold=8, periodic_reset="monthly")
RATE = RateLimits(type="requests", unit="rpm", value=60)
STRATEGY = Fallback(Target("gpt-4o", virtual_key="vk-openai"), Target("claude-sonnet-4-5", virtual_key="vk-anthropic"))
SOON = datetime.now(UTC) + timedelta(days=30)

# One entry for each endpoint: what is called, and what comes back.
GET, POST, PUT, DELETE = "get", "post", "put", "delete"
VERBS: list[tuple[str, str, Callable[[Any], Any], type | None]] = [
    (
        POST,
        "/virtual-keys",
        lambda c: c.virtual_keys.create(
            name="A",
            provider="openai",
            key="sk-1",
            note="n",
            usage_limits=BUDGET,
            rate_limits=RATE,
            expires_at=SOON,
            workspace_id=ID,
        ),
        models.CreatedVirtualKey,
    ),
    (GET, "/virtual-keys/{slug}", lambda c: c.virtual_keys.get("a"), models.VirtualKey),
    (
        PUT,
        "/virtual-keys/{slug}",
        lambda c: c.virtual_keys.update("a", key="sk-2", usage_limits=BUDGET, rate_limits=RATE),
        None,
    ),
    (DELETE, "/virtual-keys/{slug}", lambda c: c.virtual_keys.delete("a"), None),
    (
        POST,
        "/providers",
        lambda c: c.providers.create(
            name="A",
            integration="i",
            slug="a",
            note="n",
            usage_limits=BUDGET,
            rate_limits=RATE,
            expires_at=SOON,
            workspace_id=ID,
        ),
        models.CreatedProvider,
    ),
    (GET, "/providers/{slug}", lambda c: c.providers.get("a", workspace_id=ID), models.Provider),
    (
        PUT,
        "/providers/{slug}",
        lambda c: c.providers.update(
            "a", name="B", note="n", usage_limits=BUDGET, rate_limits=RATE, expires_at=SOON, reset_usage=True
        ),
        None,
    ),
    (DELETE, "/providers/{slug}", lambda c: c.providers.delete("a"), None),
    (
        POST,
        "/integrations",
        lambda c: c.integrations.create(
            name="A",
            provider="openai",
            key="sk-1",
            slug="a",
            description="d",
            configurations={"openai_project": "p"},
            workspace_id=ID,
        ),
        models.CreatedIntegration,
    ),
    (GET, "/integrations/{slug}", lambda c: c.integrations.get("a"), models.Integration),
    (PUT, "/integrations/{slug}", lambda c: c.integrations.update("a", key="sk-2", name="B"), None),
    (DELETE, "/integrations/{slug}", lambda c: c.integrations.delete("a"), None),
    (
        PUT,
        "/integrations/{slug}/models",
        lambda c: c.integrations.update_models("a", [{"slug": "gpt-4o", "enabled": True}], allow_all_models=False),
        None,
    ),
    (DELETE, "/integrations/{slug}/models", lambda c: c.integrations.delete_models("a", ["m", "n"]), None),
    (
        PUT,
        "/integrations/{slug}/workspaces",
        lambda c: c.integrations.update_workspaces(
            "a", [{"id": "w", "enabled": True}], global_workspace_access={"enabled": False}
        ),
        None,
    ),
    (
        POST,
        "/configs",
        lambda c: c.configs.create(name="A", config=STRATEGY, is_default=True, workspace_id=ID),
        models.SavedConfig,
    ),
    (GET, "/configs/{slug}", lambda c: c.configs.get("pc-a"), models.Config),
    (
        PUT,
        "/configs/{slug}",
        lambda c: c.configs.update("pc-a", name="B", config={"virtual_key": "vk"}, status="active"),
        models.SavedConfig,
    ),
    (DELETE, "/configs/{slug}", lambda c: c.configs.delete("pc-a"), None),
    (
        POST,
        "/api-keys/{type}/{sub-type}",
        lambda c: c.api_keys.create(
            name="A",
            scopes=["completions.write"],
            usage_limits=BUDGET,
            rate_limits=[RATE],
            defaults={"config_id": "pc-a"},
            expires_at=SOON,
            workspace_id=ID,
        ),
        models.NewApiKey,
    ),
    (GET, "/api-keys/{id}", lambda c: c.api_keys.get(ID), models.ApiKey),
    (PUT, "/api-keys/{id}", lambda c: c.api_keys.update(ID, name="B", scopes=["logs.view"], reset_usage=True), None),
    (DELETE, "/api-keys/{id}", lambda c: c.api_keys.delete(ID), None),
    (POST, "/api-keys/{id}/rotate", lambda c: c.api_keys.rotate(ID, transition=1800), models.RotatedApiKey),
    (
        POST,
        "/policies/usage-limits",
        lambda c: c.usage_limits.create(
            name="A",
            conditions={"workspace_id": ID},
            group_by=["api_key"],
            credit_limit=10,
            alert_threshold=5,
            periodic_reset="weekly",
            organisation_id=ID,
        ),
        models.UsageLimitPolicy,
    ),
    (
        GET,
        "/policies/usage-limits/{policyUsageLimitsId}",
        lambda c: c.usage_limits.get(ID, include_usage=True),
        models.UsageLimitPolicy,
    ),
    (PUT, "/policies/usage-limits/{policyUsageLimitsId}", lambda c: c.usage_limits.update(ID, credit_limit=20), None),
    (DELETE, "/policies/usage-limits/{policyUsageLimitsId}", lambda c: c.usage_limits.delete(ID), None),
    (
        PUT,
        "/policies/usage-limits/{policyUsageLimitsId}/entities/{entityId}/reset",
        lambda c: c.usage_limits.reset_entity(ID, "e"),
        None,
    ),
    (
        POST,
        "/policies/rate-limits",
        lambda c: c.rate_limits.create(
            name="A", conditions={"metadata._user": "u"}, group_by=["metadata._user"], value=60, unit="rpm"
        ),
        models.RateLimitPolicy,
    ),
    (GET, "/policies/rate-limits/{rateLimitsPolicyId}", lambda c: c.rate_limits.get(ID), models.RateLimitPolicy),
    (PUT, "/policies/rate-limits/{rateLimitsPolicyId}", lambda c: c.rate_limits.update(ID, unit="rph", value=9), None),
    (DELETE, "/policies/rate-limits/{rateLimitsPolicyId}", lambda c: c.rate_limits.delete(ID), None),
    (GET, "/analytics/summary/cache", lambda c: c.analytics.cache_summary(**SPAN), models.CacheSummary),
    (
        GET,
        "/analytics/graphs/cost",
        lambda c: c.analytics.cost(**SPAN, virtual_keys=["a", "b"], metadata={"env": "dev"}),
        models.Graph,
    ),
    (
        POST,
        "/feedback",
        lambda c: c.feedback.create(trace_id="t", value=5, weight=0.5, metadata={"who": "u"}),
        models.FeedbackReceipt,
    ),
    (PUT, "/feedback/{id}", lambda c: c.feedback.update(ID, value=-10), models.FeedbackReceipt),
]
GRAPHS = (
    "requests", "latency", "tokens", "users", "users/requests", "errors", "errors/rate", "errors/stacks",
    "errors/status-codes", "requests/rescued", "cache/hit-rate", "cache/latency", "feedbacks", "feedbacks/scores",
    "feedbacks/weighted", "feedbacks/ai-models",
)  # fmt: skip


def _graph(client: Any, *, name: str) -> Any:
    return client.analytics.graph(name, **SPAN)


VERBS += [(GET, f"/analytics/graphs/{name}", functools.partial(_graph, name=name), models.Graph) for name in GRAPHS]
LISTINGS: list[tuple[str, Callable[[Any], Any], type]] = [
    ("/virtual-keys", lambda c: c.virtual_keys.list(), models.VirtualKey),
    ("/providers", lambda c: c.providers.list(workspace_id=ID), models.Provider),
    ("/integrations", lambda c: c.integrations.list(type="all"), models.Integration),
    ("/integrations/{slug}/models", lambda c: c.integrations.models("a"), models.CatalogModel),
    ("/integrations/{slug}/workspaces", lambda c: c.integrations.workspaces("a"), models.WorkspaceAccess),
    ("/configs", lambda c: c.configs.list(), models.Config),
    ("/configs/{slug}/versions", lambda c: c.configs.versions("pc-a"), models.ConfigVersion),
    ("/api-keys", lambda c: c.api_keys.list(), models.ApiKey),
    ("/policies/usage-limits", lambda c: c.usage_limits.list(status="active"), models.UsageLimitPolicy),
    (
        "/policies/usage-limits/{policyUsageLimitsId}/entities",
        lambda c: c.usage_limits.entities(ID, search="x"),
        models.Entity,
    ),
    ("/policies/rate-limits", lambda c: c.rate_limits.list(), models.RateLimitPolicy),
    ("/analytics/groups/users", lambda c: c.analytics.by_user(**SPAN), models.Group),
    ("/analytics/groups/ai-models", lambda c: c.analytics.by_model(**SPAN), models.Group),
    ("/analytics/groups/metadata/{metadataKey}", lambda c: c.analytics.by_metadata("env", **SPAN), models.Group),
]


class Recorder:
    """A port that keeps what was sent, and lets it through."""

    def __init__(self, port: Any) -> None:
        self.port = port
        self.calls: list[HttpCall] = []

    def send(self, call: HttpCall) -> HttpReply:
        """Keep it, and send it."""
        self.calls.append(call)
        return self.port.send(call)  # type: ignore[no-any-return]

    def open(self, call: HttpCall) -> Any:
        """No admin verb streams."""
        raise NotImplementedError


@pytest.fixture
def admin(prism_url: str) -> AdminClient:
    """A client of Prism."""
    return AdminClient(base_url=prism_url, api_key="pk-any-key", max_retries=0)


@pytest.mark.parametrize(
    ("method", "route", "verb", "kind"), VERBS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_each_verb_is_one_that_portkey_documents(
    admin: AdminClient, method: str, route: str, verb: Callable[[Any], Any], kind: type | None
) -> None:
    """Prism takes the request (method, path, query, body), and its reply is read as the record it should be."""
    result = verb(admin)
    assert result is None if kind is None else isinstance(result, kind)


@pytest.mark.parametrize(("route", "listing", "kind"), LISTINGS, ids=[route for route, *_ in LISTINGS])
def test_each_listing_is_one_that_portkey_documents(
    admin: AdminClient, route: str, listing: Callable[[Any], Any], kind: type
) -> None:
    """Prism takes the request with its paging, and what is found is of the kind it should be."""
    found = list(listing(admin))
    assert found
    assert all(isinstance(item, kind) for item in found)


def test_no_endpoint_that_we_cut_out_of_the_description_is_left_out() -> None:
    """The two tables above name every operation that the description kept, and the description every row."""
    paths: dict[str, Any] = yaml.safe_load(DESCRIPTION.read_text("utf-8"))["paths"]
    described = {
        (method, path.removeprefix("/v1"))
        for path, item in paths.items()
        for method in item
        if method in {GET, POST, PUT, DELETE}
    }
    called = {(method, route) for method, route, *_ in VERBS} | {(GET, route) for route, *_ in LISTINGS}
    assert called == described


async def test_the_asynchronous_client_says_the_same(prism_url: str) -> None:
    """One verb and one listing through the other end: the same records."""
    admin = AsyncAdminClient(base_url=prism_url, api_key="pk-any-key")
    waiting: Coroutine[Any, Any, models.VirtualKey] = admin.virtual_keys.get("a")
    assert (await waiting).name == "Open AI Workspace"
    assert [config.slug async for config in admin.configs.list()] == ["pc-pplx-c-ca7a87"]


def test_what_portkey_would_refuse_is_an_error_that_says_why(admin: AdminClient) -> None:
    """Prism's refusal of a wrong body is an AdminError with the status and the field."""
    with pytest.raises(AdminError, match=r"422 to PUT /virtual-keys/a.*note") as caught:
        admin.virtual_keys.update("a", note=5)  # type: ignore[arg-type]
    assert caught.value.status == 422


def test_a_missing_key_is_refused(prism_url: str) -> None:
    """The key goes in the header that the description names: under another name Prism answers 401."""
    from portkey_router.portal import SyncTransport

    recorder = Recorder(SyncTransport())
    AdminClient(base_url=prism_url, api_key="pk-planted", port=recorder).virtual_keys.get("a")
    (call,) = recorder.calls
    assert call.headers["x-portkey-api-key"] == "pk-planted"
    assert "pk-planted" not in call.url

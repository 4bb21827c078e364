"""Portkey's own API keys, and the policies that limit what is used through them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from portkey_router.admin.asks import Ask, create, limits, listing, path, stated, typed
from portkey_router.admin.ends import Listing, M_co, Resource, Verb
from portkey_router.admin.models import ApiKey, Entity, NewApiKey, RateLimitPolicy, RotatedApiKey, UsageLimitPolicy
from portkey_router.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from portkey_router.admin.asks import Operation
    from portkey_router.admin.models import RateLimits, UsageLimits

__all__ = ["ApiKeys", "RateLimitPolicies", "UsageLimitPolicies"]

SHORTEST_TRANSITION = 1800.0  # seconds; Portkey's own limit


class ApiKeys(Resource[M_co]):
    """Portkey API keys."""

    @Listing.of(ApiKey)
    def list(self, *, workspace_id: str | None = None) -> Operation[None]:
        """Every API key."""
        return _api_keys(workspace_id or self._session.workspace_id)

    @Verb
    def create(
        self,
        /,
        *,
        name: str,
        scopes: Sequence[str],
        type: Literal["organisation", "workspace"] = "workspace",  # noqa: A002  (the API's name)
        sub_type: Literal["user", "service"] = "service",
        workspace_id: str | None = None,
        user_id: str | None = None,
        usage_limits: UsageLimits | None = None,
        rate_limits: Sequence[RateLimits] | None = None,
        defaults: Mapping[str, Any] | None = None,
        expires_at: datetime | None = None,
        **fields: Any,
    ) -> Operation[NewApiKey]:
        """Make an API key with these scopes (`completions.write` ...); the reply is the only one that holds it.

        Sent once. Where the reply is lost, so is the key: `CreateUnconfirmedError.found` has the id to rotate.
        """
        workspace = workspace_id or self._session.workspace_id
        body = stated(
            name=name,
            scopes=list(scopes),
            workspace_id=workspace,
            user_id=user_id,
            defaults=defaults,
            expires_at=None if expires_at is None else expires_at.isoformat(),
        )
        body |= {**limits(usage_limits, rate_limits), **fields}
        route = path("api-keys", type, sub_type)
        return typed(NewApiKey, (yield from create("API key", route, body, find=_api_keys(workspace))))

    @Verb
    def get(self, id: str) -> Operation[ApiKey]:  # noqa: A002  (the API's name)
        """One API key."""
        return typed(ApiKey, (yield Ask("GET", path("api-keys", id))), id=id)

    @Verb
    def update(
        self,
        /,
        id: str,  # noqa: A002  (the API's name)
        *,
        name: str | None = None,
        scopes: Sequence[str] | None = None,
        usage_limits: UsageLimits | None = None,
        rate_limits: Sequence[RateLimits] | None = None,
        reset_usage: bool | None = None,
        **fields: Any,
    ) -> Operation[None]:
        """Change what is given."""
        body = stated(name=name, scopes=None if scopes is None else list(scopes), reset_usage=reset_usage)
        yield Ask("PUT", path("api-keys", id), body={**body, **limits(usage_limits, rate_limits), **fields})

    @Verb
    def delete(self, id: str) -> Operation[None]:  # noqa: A002  (the API's name)
        """Delete it: whoever uses it is refused from now on."""
        yield Ask("DELETE", path("api-keys", id))

    @Verb
    def rotate(self, id: str, *, transition: float | None = None) -> Operation[RotatedApiKey]:  # noqa: A002  (the API's name)
        """A new key under the same id; the old one works for `transition` seconds more (1800 at least).

        Sent once. Where the reply is lost, so is the new key: rotate again.
        """
        if transition is not None and transition < SHORTEST_TRANSITION:
            raise ConfigurationError(f"Portkey lets the old key work for {SHORTEST_TRANSITION:g} s at least.")
        body = {} if transition is None else {"key_transition_period_ms": round(transition * 1000)}
        reply = yield Ask("POST", path("api-keys", id, "rotate"), body=body, repeatable=False)
        return typed(RotatedApiKey, reply, id=id)


def _api_keys(workspace: str | None) -> Operation[None]:
    return listing(ApiKey, "/api-keys", key=lambda found: found.id, query={"workspace_id": workspace})


def _conditions(conditions: Mapping[str, str], group_by: Sequence[str]) -> dict[str, Any]:
    if not conditions or not group_by or isinstance(group_by, str):
        raise ConfigurationError(
            "A policy has conditions and is counted apart by something: conditions={'workspace_id': '...'}, "
            "group_by=['api_key'] (also metadata.<field>)."
        )
    return {
        "conditions": [{"key": key, "value": value} for key, value in conditions.items()],
        "group_by": [{"key": key} for key in group_by],
    }


class UsageLimitPolicies(Resource[M_co]):
    """Budgets for whatever meets their conditions."""

    @Listing.of(UsageLimitPolicy)
    def list(self, *, status: str | None = None, workspace_id: str | None = None) -> Operation[None]:
        """Every policy that is active, or `archived`."""
        return _usage_limits(workspace_id or self._session.workspace_id, status)

    @Verb
    def create(
        self,
        *,
        conditions: Mapping[str, str],
        group_by: Sequence[str],
        credit_limit: float,
        type: Literal["cost", "tokens"] = "cost",  # noqa: A002  (the API's name)
        name: str | None = None,
        alert_threshold: float | None = None,
        periodic_reset: Literal["monthly", "weekly"] | None = None,
        workspace_id: str | None = None,
        organisation_id: str | None = None,
    ) -> Operation[UsageLimitPolicy]:
        """Limit what may be used: US dollars (`cost`) or `tokens`. Sent once, as `VirtualKeys.create`."""
        workspace = workspace_id or self._session.workspace_id
        body = _conditions(conditions, group_by) | stated(
            type=type,
            credit_limit=credit_limit,
            name=name,
            alert_threshold=alert_threshold,
            periodic_reset=periodic_reset,
            workspace_id=workspace,
            organisation_id=organisation_id,
        )
        find = _usage_limits(workspace, None)
        return typed(
            UsageLimitPolicy, (yield from create("usage-limit policy", "/policies/usage-limits", body, find=find))
        )

    @Verb
    def get(self, id: str, *, include_usage: bool = False) -> Operation[UsageLimitPolicy]:  # noqa: A002  (the API's name)
        """One policy."""
        query = {"include_usage": "true"} if include_usage else {}
        return typed(UsageLimitPolicy, (yield Ask("GET", path("policies", "usage-limits", id), query)), id=id)

    @Verb
    def update(
        self,
        id: str,  # noqa: A002  (the API's name)
        *,
        name: str | None = None,
        credit_limit: float | None = None,
        alert_threshold: float | None = None,
        periodic_reset: Literal["monthly", "weekly"] | None = None,
    ) -> Operation[None]:
        """Change what is given."""
        body = stated(
            name=name, credit_limit=credit_limit, alert_threshold=alert_threshold, periodic_reset=periodic_reset
        )
        yield Ask("PUT", path("policies", "usage-limits", id), body=body)

    @Verb
    def delete(self, id: str) -> Operation[None]:  # noqa: A002  (the API's name)
        """Delete it."""
        yield Ask("DELETE", path("policies", "usage-limits", id))

    @Listing.of(Entity)
    def entities(self, id: str, *, search: str | None = None) -> Operation[None]:  # noqa: A002  (the API's name)
        """Those whom it counts apart, and what each has used."""
        route = path("policies", "usage-limits", id, "entities")
        return listing(Entity, route, key=lambda entity: entity.id, query={"search": search})

    @Verb
    def reset_entity(self, id: str, entity_id: str) -> Operation[None]:  # noqa: A002  (the API's name)
        """Count one of them from 0 again."""
        yield Ask("PUT", path("policies", "usage-limits", id, "entities", entity_id, "reset"))


def _usage_limits(workspace: str | None, status: str | None) -> Operation[None]:
    query = {"workspace_id": workspace, "status": status}
    return listing(UsageLimitPolicy, "/policies/usage-limits", key=lambda policy: policy.id, query=query)


class RateLimitPolicies(Resource[M_co]):
    """Rate limits for whatever meets their conditions."""

    @Listing.of(RateLimitPolicy)
    def list(self, *, status: str | None = None, workspace_id: str | None = None) -> Operation[None]:
        """Every policy that is active, or `archived`."""
        return _rate_limits(workspace_id or self._session.workspace_id, status)

    @Verb
    def create(
        self,
        *,
        conditions: Mapping[str, str],
        group_by: Sequence[str],
        value: int,
        unit: Literal["rpm", "rph", "rpd"] = "rpm",
        type: Literal["requests", "tokens"] = "requests",  # noqa: A002  (the API's name)
        name: str | None = None,
        workspace_id: str | None = None,
        organisation_id: str | None = None,
    ) -> Operation[RateLimitPolicy]:
        """Allow so many requests or tokens in each minute, hour or day. Sent once, as `VirtualKeys.create`."""
        workspace = workspace_id or self._session.workspace_id
        body = _conditions(conditions, group_by) | stated(
            type=type, unit=unit, value=value, name=name, workspace_id=workspace, organisation_id=organisation_id
        )
        find = _rate_limits(workspace, None)
        return typed(
            RateLimitPolicy, (yield from create("rate-limit policy", "/policies/rate-limits", body, find=find))
        )

    @Verb
    def get(self, id: str) -> Operation[RateLimitPolicy]:  # noqa: A002  (the API's name)
        """One policy."""
        return typed(RateLimitPolicy, (yield Ask("GET", path("policies", "rate-limits", id))), id=id)

    @Verb
    def update(
        self,
        id: str,  # noqa: A002  (the API's name)
        *,
        name: str | None = None,
        unit: Literal["rpm", "rph", "rpd"] | None = None,
        value: int | None = None,
    ) -> Operation[None]:
        """Change what is given."""
        yield Ask("PUT", path("policies", "rate-limits", id), body=stated(name=name, unit=unit, value=value))

    @Verb
    def delete(self, id: str) -> Operation[None]:  # noqa: A002  (the API's name)
        """Delete it."""
        yield Ask("DELETE", path("policies", "rate-limits", id))


def _rate_limits(workspace: str | None, status: str | None) -> Operation[None]:
    query = {"workspace_id": workspace, "status": status}
    return listing(RateLimitPolicy, "/policies/rate-limits", key=lambda policy: policy.id, query=query)

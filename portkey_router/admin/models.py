"""What the admin API answers, as frozen records. Fields that are not named here are kept, as attributes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from portkey_router.secrets import is_secret_name

__all__ = [
    "ApiKey",
    "CacheSummary",
    "CatalogModel",
    "Config",
    "ConfigVersion",
    "CostPoint",
    "CreatedIntegration",
    "CreatedProvider",
    "CreatedVirtualKey",
    "Entity",
    "FeedbackReceipt",
    "Graph",
    "GraphPoint",
    "Group",
    "Integration",
    "NewApiKey",
    "Provider",
    "ProviderKey",
    "RateLimitPolicy",
    "RateLimits",
    "Record",
    "RotatedApiKey",
    "SavedConfig",
    "UsageLimitPolicy",
    "UsageLimits",
    "VirtualKey",
    "WorkspaceAccess",
]


class Record(BaseModel):
    """One object of the admin API."""

    # `hide_input_in_errors`: a reply that does not fit may hold a key.
    # `defer_build`: most programs never use most of these records.
    model_config = ConfigDict(
        frozen=True, extra="allow", hide_input_in_errors=True, protected_namespaces=(), defer_build=True
    )

    def __repr_args__(self) -> Any:
        for name, value in super().__repr_args__():
            secret = name is not None and is_secret_name(name) and isinstance(value, str)
            yield name, "**********" if secret else value


def _as_tuple(value: Any) -> Any:
    """The API writes one limit as an object, several as a list, none as null."""
    return () if value is None else (value,) if isinstance(value, dict | BaseModel) else value


def _as_count(value: Any) -> int | None:
    """A count as the API writes it, at times as text; None where there is none."""
    try:
        return None if value is None else int(Decimal(str(value)))
    except (ArithmeticError, ValueError):
        return None


class UsageLimits(Record):
    """A budget: `credit_limit` in US dollars (`type="cost"`) or tokens (`type="tokens"`).

    From `alert_threshold` (the same unit) Portkey sends alerts. It begins anew `periodic_reset` (`monthly`, `weekly`),
    or every `periodic_reset_days` days; without either, never.
    """

    credit_limit: int | Decimal | None = None
    type: Literal["cost", "tokens"] | None = None
    alert_threshold: int | Decimal | None = None
    periodic_reset: Literal["monthly", "weekly"] | None = None
    periodic_reset_days: int | None = None
    next_usage_reset_at: datetime | None = None


class RateLimits(Record):
    """At most `value` requests or tokens in each minute (`rpm`), hour (`rph`) or day (`rpd`).

    API keys also know `rps` and `rpw`, each second and each week.
    """

    type: str
    unit: str
    value: int


_Usage = Annotated[tuple[UsageLimits, ...], BeforeValidator(_as_tuple)]
_Rates = Annotated[tuple[RateLimits, ...], BeforeValidator(_as_tuple)]


class CreatedVirtualKey(Record):
    """The slug of a virtual key just made: what requests name."""

    slug: str


class VirtualKey(Record):
    """A provider's key in Portkey's vault. The key itself is never told."""

    slug: str
    name: str | None = None
    note: str | None = None
    status: str | None = None
    usage_limits: _Usage = ()
    rate_limits: _Rates = ()
    created_at: datetime | None = None
    expires_at: datetime | None = None


class CreatedProvider(Record):
    """An AI provider just made; models are asked for as `@slug/model`."""

    slug: str
    id: str | None = None


class Provider(Record):
    """An AI provider of the Model Catalog: what a workspace may use of an integration, and up to which limits."""

    slug: str
    name: str | None = None
    integration_id: str | None = None
    note: str | None = None
    status: str | None = None
    usage_limits: _Usage = ()
    rate_limits: _Rates = ()
    created_at: datetime | None = None
    expires_at: datetime | None = None


class CreatedIntegration(Record):
    """An integration just made."""

    slug: str
    id: str | None = None


class Integration(Record):
    """A provider's credentials in the Model Catalog; `masked_key` is all that is told of the key."""

    slug: str
    id: str | None = None
    name: str | None = None
    ai_provider_id: str | None = None
    status: str | None = None
    created_at: datetime | None = None
    last_updated_at: datetime | None = None


class CatalogModel(Record):
    """A model of an integration, and whether it may be used."""

    slug: str
    name: str | None = None
    enabled: bool | None = None
    is_custom: bool | None = None
    is_finetune: bool | None = None
    base_model_slug: str | None = None


class WorkspaceAccess(Record):
    """Whether a workspace may use an integration, and up to which limits."""

    id: str
    enabled: bool | None = None
    usage_limits: _Usage = ()
    rate_limits: _Rates = ()


class SavedConfig(Record):
    """A gateway config just saved: `slug` (`pc-...`) is what requests name; None where Portkey did not tell it."""

    id: str | None = None
    version_id: str | None = None
    slug: str | None = None


class Config(Record):
    """A saved gateway config. `config` is what it says; lists leave it out (None)."""

    slug: str | None = None
    id: str | None = None
    name: str | None = None
    status: str | None = None
    is_default: int | None = None
    config: Mapping[str, Any] | None = Field(default=None, repr=False)
    created_at: datetime | None = None
    last_updated_at: datetime | None = None


class ConfigVersion(Record):
    """A version of a saved config; `config` is what it said, parsed."""

    version_id: str | None = None
    slug: str | None = None
    name: str | None = None
    config: Mapping[str, Any] | None = Field(default=None, repr=False)
    status: str | None = None
    created_at: datetime | None = None


class NewApiKey(Record):
    """A Portkey API key just made. `key` is told this once."""

    id: str
    key: SecretStr


class RotatedApiKey(Record):
    """The new key of a rotation, told this once; the old one works until `key_transition_expires_at`."""

    id: str
    key: SecretStr
    key_transition_expires_at: datetime | None = None


class ApiKey(Record):
    """A Portkey API key; what the API tells of the key itself is masked, and kept as a secret all the same."""

    id: str
    key: SecretStr | None = None
    name: str | None = None
    type: str | None = None
    status: str | None = None
    workspace_id: str | None = None
    scopes: tuple[str, ...] = ()
    usage_limits: _Usage = ()
    rate_limits: _Rates = ()
    created_at: datetime | None = None
    expires_at: datetime | None = None


class _Policy(Record):
    id: str
    name: str | None = None
    conditions: tuple[Mapping[str, Any], ...] = ()
    group_by: tuple[Mapping[str, Any], ...] = ()
    type: str | None = None
    status: str | None = None
    workspace_id: str | None = None
    created_at: datetime | None = None


class UsageLimitPolicy(_Policy):
    """A budget for whatever meets its conditions, counted apart by `group_by`; amounts as in `UsageLimits`."""

    credit_limit: Decimal | None = None
    alert_threshold: Decimal | None = None
    periodic_reset: str | None = None


class RateLimitPolicy(_Policy):
    """A rate limit for whatever meets its conditions, counted apart by `group_by`."""

    unit: str | None = None
    value: Decimal | None = None


class Entity(Record):
    """One of those whom a usage-limit policy counts apart, and what it has used."""

    id: str
    value_key: str | None = None
    current_usage: Decimal | None = None


class GraphPoint(Record):
    """What was measured in the span of time that begins at `timestamp`; which fields there are depends on the graph.

    Some graphs are not over time (errors by status, feedback by score or model): there `timestamp` is None.
    """

    timestamp: datetime | None = None


class CostPoint(GraphPoint):
    """Cost in US dollars: `total` of the span, `average` of a request."""

    total: Decimal = Decimal(0)
    average: Decimal = Decimal(0)


class Graph(Record):
    """A measure over time, and its summary, as the API tells it."""

    points: tuple[GraphPoint, ...] = ()
    summary: Mapping[str, Any] = Field(default_factory=dict)


class Group(Record):
    """The requests of one user, model or metadata value (`name`); `cost` in US dollars where the API tells it."""

    name: str
    requests: Annotated[int | None, BeforeValidator(_as_count)] = None
    cost: Decimal | None = None


class CacheSummary(Record):
    """What Portkey's own cache did, as the API tells it."""


class FeedbackReceipt(Record):
    """That feedback was taken, and under which ids."""

    status: str | None = None
    message: str | None = None
    feedback_ids: tuple[str, ...] = ()


class ProviderKey(Record):
    """A provider's key by the slug that requests name, and what Portkey keeps it as.

    `integration` holds the key of a `provider`; with an integration that was deleted too, it is None.
    """

    slug: str
    kind: Literal["virtual-key", "provider", "integration"]
    name: str | None = None
    provider: str | None = None
    integration: str | None = None
    status: str | None = None
    usage_limits: _Usage = ()
    rate_limits: _Rates = ()
    created_at: datetime | None = None
    expires_at: datetime | None = None

"""What Portkey has seen: graphs over time, groups, its cache; and feedback on answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Literal

from portkey_router.admin.asks import Ask, create, listing, path, typed, unwrapped
from portkey_router.admin.ends import Listing, M_co, Resource, Verb
from portkey_router.admin.models import CacheSummary, CostPoint, FeedbackReceipt, Graph, Group
from portkey_router.errors import ConfigurationError

if TYPE_CHECKING:
    from datetime import datetime

    from portkey_router.admin.asks import Operation

__all__ = ["Analytics", "Feedback", "GraphName"]

GraphName = Literal[
    "requests",
    "cost",
    "latency",
    "tokens",
    "users",
    "users/requests",
    "errors",
    "errors/rate",
    "errors/stacks",
    "errors/status-codes",
    "requests/rescued",
    "cache/hit-rate",
    "cache/latency",
    "feedbacks",
    "feedbacks/scores",
    "feedbacks/weighted",
    "feedbacks/ai-models",
]
CENT = Decimal("0.01")


def _query(since: datetime, until: datetime, workspace: str, filters: Mapping[str, Any]) -> dict[str, Any]:
    if since.tzinfo is None or until.tzinfo is None or since >= until:
        raise ConfigurationError("since= and until= are moments with a time zone, the earlier one first.")
    if not workspace:
        raise ConfigurationError("Analytics are a workspace's: pass its slug, workspace='my-workspace'.")
    told = {
        name: ",".join(map(str, value)) if isinstance(value, list | tuple) else value for name, value in filters.items()
    }
    if isinstance(filters.get("metadata"), Mapping):
        told["metadata"] = json.dumps(filters["metadata"])
    span = {"time_of_generation_min": _iso(since), "time_of_generation_max": _iso(until)}
    return {"workspace_slug": workspace, **span, **told}


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Analytics(Resource[M_co]):
    """Figures of a workspace (its slug) between `since` and `until`.

    `filters` are the API's: `virtual_keys`, `configs`, `api_key_ids`, `ai_org_model` (lists), `metadata` (a mapping),
    `status_code`, `trace_id`, `cost_min` ...
    """

    @Verb
    def graph(
        self, /, name: GraphName, *, since: datetime, until: datetime, workspace: str, **filters: Any
    ) -> Operation[Graph]:
        """A measure over time, its points as the API tells them; of money see `cost`."""
        found = unwrapped((yield Ask("GET", f"/analytics/graphs/{name}", _query(since, until, workspace, filters))))
        return _graph(found)

    @Verb
    def cost(self, /, *, since: datetime, until: datetime, workspace: str, **filters: Any) -> Operation[Graph]:
        """What was spent over time: `CostPoint`s, in US dollars (the API counts in cents)."""
        found = unwrapped((yield Ask("GET", "/analytics/graphs/cost", _query(since, until, workspace, filters))))
        graph = _graph(found)
        points = tuple(
            CostPoint(
                timestamp=point.timestamp,
                total=_dollars(getattr(point, "total", None)) or Decimal(0),
                average=_dollars(getattr(point, "avg", None)) or Decimal(0),
            )
            for point in graph.points
        )
        summary = {name: _dollars(value) for name, value in graph.summary.items()}
        return graph.model_copy(update={"points": points, "summary": summary})

    @Listing.of(Group)
    def by_model(self, /, *, since: datetime, until: datetime, workspace: str, **filters: Any) -> Operation[None]:
        """Requests by model."""
        return _groups("ai-models", "ai_model", _query(since, until, workspace, filters))

    @Listing.of(Group)
    def by_user(self, /, *, since: datetime, until: datetime, workspace: str, **filters: Any) -> Operation[None]:
        """Requests and cost by user (`metadata._user`)."""
        return _groups("users", "user", _query(since, until, workspace, filters))

    @Listing.of(Group)
    def by_metadata(
        self, /, key: str, *, since: datetime, until: datetime, workspace: str, **filters: Any
    ) -> Operation[None]:
        """Requests and cost by the value of a metadata field."""
        route = path("metadata", key).lstrip("/")
        return _groups(route, "metadata_value", _query(since, until, workspace, filters))

    @Verb
    def cache_summary(
        self, /, *, since: datetime, until: datetime, workspace: str, **filters: Any
    ) -> Operation[CacheSummary]:
        """What Portkey's own cache did."""
        query = _query(since, until, workspace, filters)
        return typed(CacheSummary, (yield Ask("GET", "/analytics/summary/cache", query)))


def _graph(found: Any) -> Graph:
    told = found if isinstance(found, dict) else {}
    rest = {name: value for name, value in told.items() if name != "data_points"}
    return typed(Graph, {**rest, "points": told.get("data_points", ())})


def _groups(route: str, name: str, query: Mapping[str, Any]) -> Operation[None]:
    def read(item: Any) -> Any:
        return {**item, "name": str(item.get(name, "")), "cost": _dollars(item.get("cost"))}

    return listing(Group, f"/analytics/groups/{route}", key=lambda group: group.name, query=query, read=read)


def _dollars(cents: Any) -> Decimal | None:
    """Cents (a number, or one as text) as dollars; None where there is no number."""
    try:
        return None if cents is None else Decimal(str(cents)) * CENT
    except InvalidOperation:
        return None


LOWEST, HIGHEST = -10, 10


class Feedback(Resource[M_co]):
    """What users think of answers."""

    @Verb
    def create(
        self, *, trace_id: str, value: int, weight: float = 1.0, metadata: Mapping[str, Any] | None = None
    ) -> Operation[FeedbackReceipt]:
        """Judge the answer with this trace id (`Completion.route.trace_id`): -10 to 10, `weight` 0 to 1. Sent once."""
        body = {"trace_id": trace_id, **_judgement(value, weight, metadata)}
        return typed(FeedbackReceipt, (yield from create("feedback", "/feedback", body, find=None)))

    @Verb
    def update(
        self,
        id: str,  # noqa: A002  (the API's name)
        *,
        value: int,
        weight: float = 1.0,
        metadata: Mapping[str, Any] | None = None,
    ) -> Operation[FeedbackReceipt]:
        """Change a judgement."""
        return typed(
            FeedbackReceipt, (yield Ask("PUT", path("feedback", id), body=_judgement(value, weight, metadata)))
        )


def _judgement(value: int, weight: float, metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    if not LOWEST <= value <= HIGHEST or not 0 <= weight <= 1:
        raise ConfigurationError(f"Feedback has a value from {LOWEST} to {HIGHEST} and a weight from 0 to 1.")
    return {"value": value, "weight": weight, **({"metadata": dict(metadata)} if metadata else {})}

"""Calls, tokens, costs and durations as Prometheus metrics."""

from __future__ import annotations

import re
import threading
import weakref
from typing import TYPE_CHECKING, Any

from portkey_router.errors import ConfigurationError
from portkey_router.events import (
    AttemptFinished,
    BudgetAlert,
    BudgetExceeded,
    CacheLookup,
    CallFinished,
    TargetCooledDown,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from prometheus_client import CollectorRegistry, Counter, Histogram

    from portkey_router.events import Event

__all__ = ["PrometheusSink"]

# Seconds: from a cache's answer to a long chain of thought.
_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128)
_OF_CALLS = ("operation", "provider", "model", "target")
_COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "calls": ("Calls that ended.", (*_OF_CALLS, "outcome", "cache")),
    "tokens": ("Tokens used; cached and reasoning ones are within input and output.", (*_OF_CALLS, "type")),
    "cost_usd": ("What calls cost, in USD, as far as it is known.", _OF_CALLS),
    "unpriced_calls": ("Calls that used tokens of unknown price.", _OF_CALLS),
    "attempts": ("Attempts at a target.", ("target", "outcome")),
    "cache_lookups": ("Questions to a cache, by the layer that answered.", ("layer",)),
    "cooldowns": ("Targets left alone for a while.", ("target",)),
    "budget_alerts": ("Budgets used up to one of their alerts.", ("budget", "share")),
    "budget_refusals": ("Calls refused by a hard budget.", ("budget",)),
}
_HISTOGRAMS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "call_seconds": ("How long calls took, all attempts together.", (*_OF_CALLS, "outcome", "cache")),
    "first_token_seconds": ("How long until something of a stream could be seen.", _OF_CALLS),
}
_TAGGED = frozenset({"calls", "tokens", "cost_usd", "unpriced_calls"})

_lock = threading.Lock()
_made: weakref.WeakKeyDictionary[Any, dict[str, _Metrics]] = weakref.WeakKeyDictionary()


class _Metrics:
    """The metrics of one registry under one prefix."""

    def __init__(self, registry: CollectorRegistry, prefix: str, tags: tuple[str, ...]) -> None:
        from prometheus_client import Counter, Histogram  # noqa: PLC0415  (an extra)

        self.tags = tags
        self.counters: dict[str, Counter] = {
            name: Counter(f"{prefix}_{name}", text, (*labels, *(tags if name in _TAGGED else ())), registry=registry)
            for name, (text, labels) in _COUNTERS.items()
        }
        self.histograms: dict[str, Histogram] = {
            name: Histogram(f"{prefix}_{name}", text, labels, registry=registry, buckets=_BUCKETS)
            for name, (text, labels) in _HISTOGRAMS.items()
        }


class PrometheusSink:
    """Counts in a registry of prometheus-client, its global one by default.

    `portkey_calls_total`, `portkey_tokens_total`, `portkey_cost_usd_total`, `portkey_unpriced_calls_total` by
    operation, provider, model and target; `portkey_attempts_total`, `portkey_call_seconds`,
    `portkey_first_token_seconds`, and more: see the registry. `tags` are those of a call's tags that become labels
    too: each of their values is a time series of its own, so name teams here, not users. Several sinks on one
    registry, with the same prefix and tags, share its metrics. Costs are floats here, as all of Prometheus is.

    Raises `ConfigurationError` where prometheus-client is not installed, a tag cannot be a label, or the registry has
    metrics of this prefix with other tags.
    """

    def __init__(
        self, registry: CollectorRegistry | None = None, *, prefix: str = "portkey", tags: Sequence[str] = ()
    ) -> None:
        try:
            from prometheus_client import REGISTRY  # noqa: PLC0415  (an extra)
        except ImportError as error:
            msg = 'PrometheusSink needs prometheus-client: pip install "portkey-router[prometheus]"'
            raise ConfigurationError(msg) from error
        taken = {label for _, labels in _COUNTERS.values() for label in labels}
        for tag in tags:
            if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", tag) or tag.startswith("__") or tag in taken:
                raise ConfigurationError(f"tags=: {tag!r} cannot be a label of Prometheus, or is one of ours.")
        self._tags = tuple(tags)
        target = REGISTRY if registry is None else registry
        with _lock:
            of_registry = _made.setdefault(target, {})
            if prefix not in of_registry:
                of_registry[prefix] = _Metrics(target, prefix, self._tags)
            self._metrics = of_registry[prefix]
        if self._metrics.tags != self._tags:
            msg = (
                f"There are {prefix}_* metrics with other tags in this registry: {self._metrics.tags}. Give a prefix=."
            )
            raise ConfigurationError(msg)

    def handle(self, event: Event) -> None:
        """Count it."""
        match event:
            case CallFinished():
                self._call(event)
            case AttemptFinished():
                self._count("attempts", {"target": event.target, "outcome": event.outcome})
            case CacheLookup():
                self._count("cache_lookups", {"layer": event.layer or "none"})
            case TargetCooledDown():
                self._count("cooldowns", {"target": event.target})
            case BudgetAlert():
                self._count("budget_alerts", {"budget": event.budget, "share": f"{event.share:g}"})
            case BudgetExceeded():
                self._count("budget_refusals", {"budget": event.budget})

    def _count(self, name: str, labels: Mapping[str, str], amount: float = 1) -> None:
        self._metrics.counters[name].labels(**labels).inc(amount)

    def _call(self, call: CallFinished) -> None:
        model = call.model or call.requested_model
        who = {"operation": call.operation, "provider": call.provider, "model": model, "target": call.target}
        of_calls = {name: value or "" for name, value in who.items()}
        tagged = {**of_calls, **{name: str(call.tags.get(name, "")) for name in self._tags}}
        cache = call.cache or ("gateway" if call.hit else "")
        self._count("calls", {**tagged, "outcome": call.outcome, "cache": cache})
        ended = self._metrics.histograms["call_seconds"]
        ended.labels(**of_calls, outcome=call.outcome, cache=cache).observe(call.seconds)
        if call.first_token is not None:
            self._metrics.histograms["first_token_seconds"].labels(**of_calls).observe(call.first_token)
        if call.usage is None or call.hit:
            return
        usage = call.usage
        for kind, tokens in (
            ("input", usage.input_tokens),
            ("output", usage.output_tokens),
            ("cache_read", usage.cache_read_tokens),
            ("cache_write", usage.cache_write_tokens),
            ("reasoning", usage.reasoning_tokens),
        ):
            if tokens:
                self._count("tokens", {**tagged, "type": kind}, tokens)
        if call.cost is None:
            self._count("unpriced_calls", tagged)
        else:
            self._count("cost_usd", tagged, float(call.cost.amount))

"""Events as the journey emits them, made by hand."""

from __future__ import annotations

from decimal import Decimal
from itertools import count
from typing import Any

from portkey_router import AttemptFinished, CallFinished, Cost, RouteDecided, Usage

_numbers = count(1)


def cost(amount: str = "0.0125", model: str = "gpt-4o", **more: Any) -> Cost:
    """A known cost."""
    return Cost(Decimal(amount), more.pop("source", "genai-prices"), more.pop("provider", "openai"), model, **more)


def call(model: str | None = "gpt-4o", **more: Any) -> CallFinished:
    """A call that ended well: 1,000 tokens in, 1,000 out, at gpt-4o's price."""
    values: dict[str, Any] = {
        "call_id": f"call-{next(_numbers)}",
        "trace_id": "trace-1",
        "outcome": "ok",
        "requested_model": model,
        "model": model,
        "provider": "openai",
        "target": model,
        "usage": Usage(1000, 1000, 2000),
        "cost": cost(),
        "streamed": False,
        "seconds": 1.5,
        "attempts": 1,
    }
    return CallFinished(**{**values, **more})


def decided(call_id: str = "call-0", **more: Any) -> RouteDecided:
    """A call that begins."""
    values: dict[str, Any] = {
        "trace_id": "trace-1",
        "requested_model": "gpt-4o",
        "strategy": "fallback",
        "run_on": "client",
        "targets": ("gpt-4o", "claude-sonnet-4-5"),
        "reasons": ("first", "next"),
    }
    return RouteDecided(call_id, **{**values, **more})


def attempt(call_id: str = "call-0", number: int = 1, outcome: str = "ok", **more: Any) -> AttemptFinished:
    """An attempt that ended."""
    values: dict[str, Any] = {"target": "gpt-4o", "model": "gpt-4o", "seconds": 0.5, "status": 200}
    return AttemptFinished(call_id, "trace-1", number, outcome=outcome, **{**values, **more})

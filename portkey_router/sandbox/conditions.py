"""PURE: which target a conditional strategy chooses, by the open-source gateway's rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["RoutingError", "choose"]

_Context = Mapping[str, Mapping[str, Any]]


class RoutingError(Exception):
    """The config leads nowhere: the gateway answers 400 with this message, whatever other targets there are."""


def choose(config: Mapping[str, Any], context: _Context) -> int:
    """The index of the target that the first matching condition names, else of `default`.

    `context` holds `metadata`, `params` (the request's body) and `url`; queries look two levels deep
    (`metadata.user_plan`, `params.model`, `url.pathname`).

    Raises:
        RoutingError: nothing matches and there is no default, or a name or operator is unknown.
    """
    strategy = config["strategy"]
    if not strategy.get("conditions"):
        raise RoutingError("No conditions passed in the query router")
    for condition in strategy["conditions"]:
        if _holds(condition["query"], context):
            return _index(config, condition["then"])
    if strategy.get("default"):
        return _index(config, strategy["default"])
    raise RoutingError("Query router did not resolve to any valid target")


def _index(config: Mapping[str, Any], name: str) -> int:
    for index, target in enumerate(config.get("targets") or []):
        if target.get("name") == name:
            return index
    raise RoutingError(f"Invalid target name found in the query router: {name}")


def _holds(query: Mapping[str, Any], context: _Context) -> bool:
    for key, wanted in query.items():
        # The gateway decides by the first of these it meets and reads no further.
        if key == "$or" and isinstance(wanted, list):
            return any(_holds(each, context) for each in wanted)
        if key == "$and" and isinstance(wanted, list):
            return all(_holds(each, context) for each in wanted)
        first, _, second = key.partition(".")
        value = (context.get(first) or {}).get(second.partition(".")[0])
        operators = wanted if isinstance(wanted, Mapping) else {"$eq": wanted}
        if not all(_compare(operator, value, operand) for operator, operand in operators.items()):
            return False
    return True


def _compare(operator: str, value: Any, operand: Any) -> bool:
    match operator:
        case "$eq":
            return _same(value, operand)
        case "$ne":
            return not _same(value, operand)
        case "$gt" | "$gte" | "$lt" | "$lte":
            return _ordered(operator, value, operand)
        case "$in":
            return isinstance(operand, list) and any(_same(value, each) for each in operand)
        case "$nin":
            return isinstance(operand, list) and not any(_same(value, each) for each in operand)
        case "$regex":
            return _matches(operand, value)
    raise RoutingError(f"Unsupported operator used in the query router: {operator}")


def _same(value: Any, operand: Any) -> bool:
    """JavaScript's `===`: 1 is 1.0, and neither is true."""
    return isinstance(value, bool) == isinstance(operand, bool) and bool(value == operand)


def _ordered(operator: str, value: Any, operand: Any) -> bool:
    left, right = _number(value), _number(operand)
    if left is None or right is None:
        return False
    return {"$gt": left > right, "$gte": left >= right, "$lt": left < right, "$lte": left <= right}[operator]


def _number(value: Any) -> float | None:
    """JavaScript's `parseFloat`: the number a text begins with; None where it begins with none."""
    found = re.match(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", "" if isinstance(value, bool) else str(value))
    return float(found[0]) if found else None


def _matches(pattern: Any, value: Any) -> bool:
    # JavaScript tests the word "undefined" where there is no value.
    text = "undefined" if value is None else str(value)
    try:
        return re.search(str(pattern), text) is not None
    except re.error:
        return False

"""Routing by hand: the steps are fed with answers, no server and no clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from portkey_router.sandbox.conditions import RoutingError, choose
from portkey_router.sandbox.config_check import faults_of
from portkey_router.sandbox.routing import Context, Pause, Routed, route

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from portkey_router.sandbox.routing import Ask


@dataclass(frozen=True)
class Answer:
    """As much of an answer as routing looks at."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)


def run(config: dict[str, Any], *answers: Answer, draw: float = 0.0) -> tuple[list[str | float], Routed[Answer]]:
    """The steps made (a target's path, or a pause in seconds), and where they ended."""
    steps: Generator[Ask | Pause, Answer | None, Routed[Answer]] = route(
        config, {"model": "m"}, Context(draw=lambda: draw)
    )
    made: list[str | float] = []
    left = list(answers)
    sent: Answer | None = None
    while True:
        try:
            step = steps.send(sent)
        except StopIteration as end:
            assert not left
            return made, end.value
        made.append(step.seconds if isinstance(step, Pause) else step.index)
        sent = None if isinstance(step, Pause) else left.pop(0)


FAILED, GOOD = Answer(503), Answer(200)


def test_pauses_double() -> None:
    """Between retries: 1, 2, 4 seconds; the count is told when one succeeds."""
    made, routed = run({"provider": "x", "retry": {"attempts": 3}}, FAILED, FAILED, FAILED, GOOD)
    assert made == ["config", 1.0, "config", 2.0, "config", 4.0, "config"]
    assert routed.retries == 3


@pytest.mark.parametrize("spelling", ["use_retry_after_header", "use_retry_after_headers"])
def test_retry_after_is_heeded_if_asked(spelling: str) -> None:
    """With either spelling the pause of a 429 is the one it asks for; without, the usual one."""
    limited = Answer(429, {"retry-after": "7"})
    retry: dict[str, Any] = {"attempts": 1}
    assert run({"provider": "x", "retry": {**retry, spelling: True}}, limited, GOOD)[0][1] == 7.0
    assert run({"provider": "x", "retry": retry}, limited, GOOD)[0][1] == 1.0
    millis = Answer(429, {"retry-after-ms": "1500", "retry-after": "7"})
    assert run({"provider": "x", "retry": {**retry, spelling: True}}, millis, GOOD)[0][1] == 1.5


def test_a_long_retry_after_is_not_waited_for() -> None:
    """A minute or more: the 429 is passed on at once, counted as -1."""
    config = {"provider": "x", "retry": {"attempts": 5, "use_retry_after_header": True}}
    made, routed = run(config, Answer(429, {"retry-after": "60"}))
    assert (made, routed.retries) == (["config"], -1)


@pytest.mark.parametrize(("draw", "place"), [(0.0, 0), (0.74, 0), (0.76, 1), (0.999, 1)])
def test_the_draw_goes_by_weight(draw: float, place: int) -> None:
    """Weights 3 and (by default) 1: three quarters go to the first."""
    config = {"strategy": {"mode": "loadbalance"}, "targets": [{"provider": "a", "weight": 3}, {"provider": "b"}]}
    assert run(config, GOOD, draw=draw)[0] == [f"config.targets[{place}]"]


def test_a_target_inherits_what_it_lacks() -> None:
    """`request_timeout`, `retry` and `cache` come from the parent, unless the target has its own."""
    parent = {"strategy": {"mode": "fallback"}, "request_timeout": 500, "cache": {"mode": "simple"}}
    steps: Generator[Ask | Pause, Answer | None, Routed[Answer]] = route(
        {**parent, "targets": [{"provider": "a"}, {"provider": "b", "request_timeout": 9}]}, {}, Context()
    )
    first = next(steps)
    second = steps.send(FAILED)
    assert not isinstance(first, Pause)
    assert not isinstance(second, Pause)
    assert (first.timeout, first.target["cache"], second.timeout) == (0.5, {"mode": "simple"}, 0.009)


def test_the_gateways_own_stumble_ends_a_fallback() -> None:
    """An answer marked as the gateway's exception is passed on; nobody else is asked."""
    config = {"strategy": {"mode": "fallback"}, "targets": [{"provider": "a"}, {"provider": "b"}]}
    made, routed = run(config, Answer(500, {"x-portkey-gateway-exception": "true"}))
    assert (made, routed.answer.status) == (["config.targets[0]"], 500)


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ({"metadata.plan": "paid"}, True),
        ({"metadata.plan": {"$eq": "free"}}, False),
        ({"metadata.age": {"$gte": 18, "$lt": 66}}, True),
        ({"metadata.age": {"$gt": "many"}}, False),
        ({"metadata.none": {"$lte": 5}}, False),
        ({"metadata.plan": {"$nin": ["free"]}}, True),
        ({"metadata.none": {"$regex": "^undefined$"}}, True),
        ({"metadata.plan": {"$regex": "("}}, False),
        ({"url.pathname": {"$regex": "chat"}}, True),
        ({"params.n": 1}, False),
        ({"$or": [{"metadata.plan": "free"}, {"params.model": "m"}]}, True),
        ({"$and": [{"metadata.plan": "paid"}, {"params.model": "x"}]}, False),
    ],
)
def test_conditions(query: dict[str, Any], holds: bool) -> None:
    """Each operator, with JavaScript's ideas of numbers and of what is missing."""
    context: dict[str, dict[str, Any]] = {
        "metadata": {"plan": "paid", "age": "42 years"},
        "params": {"model": "m", "n": True},
        "url": {"pathname": "/v1/chat/completions"},
    }
    strategy = {"mode": "conditional", "conditions": [{"query": query, "then": "b"}], "default": "a"}
    assert choose({"strategy": strategy, "targets": [{"name": "a"}, {"name": "b"}]}, context) == int(holds)


def test_an_unknown_operator_leads_nowhere() -> None:
    """The message names it."""
    strategy = {"mode": "conditional", "conditions": [{"query": {"metadata.x": {"$like": 1}}, "then": "a"}]}
    with pytest.raises(RoutingError, match=r"\$like"):
        choose({"strategy": strategy, "targets": [{"name": "a"}]}, {})


@pytest.mark.parametrize(
    "config",
    [
        {"virtual_key": "vk-a"},
        {"provider": "@openai-prod", "override_params": {"model": "m"}},
        {"cache": {"mode": "simple"}},
        {"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": "a"}, {"provider": "x", "api_key": "k"}]},
    ],
    ids=str,
)
def test_good_configs(config: dict[str, Any]) -> None:
    """What hosted Portkey takes is not complained of."""
    assert faults_of(config) == []


@pytest.mark.parametrize("config", [{}, [], {"name": "x"}, {"virtual_key": 5}, {"retry": {}}], ids=str)
def test_bad_configs(config: Any) -> None:
    """Nothing that says where to go, a wrong type, a missing part: each is told."""
    assert faults_of(config)

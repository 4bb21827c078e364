"""SANS-IO: a gateway config and a request -> the attempts a gateway makes, by the open-source gateway's rules.

`route` is a generator: it yields an `Ask` for each attempt and a `Pause` for each wait, is sent the answer to the
first and nothing for the second, and returns what the caller of the gateway is told.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from portkey_router.sandbox.conditions import RoutingError, choose
from portkey_router.sandbox.relay import GATEWAY_EXCEPTION

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

__all__ = ["EXHAUSTED", "Answer", "Ask", "Context", "Pause", "Routed", "route"]

RETRIED: Final = (429, 500, 502, 503, 504)
# `x-portkey-retry-attempt-count` when the last retry failed too.
EXHAUSTED: Final = -1
LONGEST_RETRY_AFTER: Final = 60.0
# In the order the gateway looks for them; the divisor gives seconds.
RETRY_AFTER_HEADERS: Final = (("retry-after-ms", 1000), ("x-ms-retry-after-ms", 1000), ("retry-after", 1))
# A target that lacks one of these has its parent's.
INHERITED: Final = ("retry", "cache", "request_timeout", "custom_host", "forward_headers")


class Answer(Protocol):
    """What an attempt came back with, as far as routing looks."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, with names in lower case."""


_A = TypeVar("_A", bound=Answer)


@dataclass(frozen=True, slots=True)
class Ask:
    """One attempt: send `body` to `target` (with what it inherited); `index` is its JSON path in the config."""

    target: Mapping[str, Any]
    index: str
    body: Mapping[str, Any]
    attempt: int = 0

    @property
    def timeout(self) -> float | None:
        """Seconds until the reply's headers must be there; None: no limit."""
        limit = self.target.get("request_timeout")
        return limit / 1000 if limit else None


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds before the next attempt."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Routed(Generic[_A]):
    """The end: the last answer, the attempt it answers, and how many retries that target took (-1: all, in vain)."""

    answer: _A
    ask: Ask
    retries: int


@dataclass(frozen=True, slots=True)
class Context:
    """What a config is decided by, besides the config: the caller's metadata, the path, and a random number [0, 1)."""

    metadata: Mapping[str, Any] = field(default_factory=dict)
    path: str = "/v1/chat/completions"
    draw: Callable[[], float] = lambda: 0.0


def route(
    config: Mapping[str, Any], body: Mapping[str, Any], context: Context
) -> Generator[Ask | Pause, _A | None, Routed[_A]]:
    """The attempts for one request.

    - fallback goes on after any status that is not 2xx, or only after those in `on_status_codes`, and never after an
      answer marked `x-portkey-gateway-exception`
    - loadbalance draws one target by weight, and stays with it
    - conditional takes the first target whose condition holds
    - `retry` repeats an attempt on its status codes, after 1, 2, 4 ... seconds

    Strategies nest. Targets inherit `retry`, `cache`, `request_timeout`, `custom_host` and `forward_headers`;
    `override_params` are merged on the way down.

    Raises:
        RoutingError: a conditional strategy leads nowhere.
    """
    return (yield from _descend(config, body, context, "config"))


def _descend(
    config: Mapping[str, Any], body: Mapping[str, Any], context: Context, index: str
) -> Generator[Ask | Pause, _A | None, Routed[_A]]:
    mode = (config.get("strategy") or {}).get("mode")
    targets = config.get("targets") or []
    if mode is None:
        return (yield from _attempts(Ask(config, index, {**body, **(config.get("override_params") or {})})))
    if not targets:
        raise RoutingError("Something went wrong")
    if mode == "fallback":
        return (yield from _fall_back(config, body, context, index))
    if mode == "loadbalance":
        chosen = _drawn([target.get("weight", 1) for target in targets], context.draw())
    elif mode == "conditional":
        surroundings = {"metadata": context.metadata, "params": body, "url": {"pathname": context.path}}
        chosen = choose(config, surroundings)
    else:
        chosen = 0
    return (yield from _descend(_heir(config, chosen), body, context, f"{index}.targets[{chosen}]"))


def _fall_back(
    config: Mapping[str, Any], body: Mapping[str, Any], context: Context, index: str
) -> Generator[Ask | Pause, _A | None, Routed[_A]]:
    codes = config["strategy"].get("on_status_codes")
    for place in range(len(config["targets"])):
        routed: Routed[_A] = yield from _descend(_heir(config, place), body, context, f"{index}.targets[{place}]")
        good = 200 <= routed.answer.status < 300  # noqa: PLR2004 - HTTP's success
        enough = routed.answer.status not in codes if codes is not None else good
        # After a stumble of its own, a gateway asks nobody else.
        if enough or routed.answer.headers.get(GATEWAY_EXCEPTION) == "true":
            break
    return routed


def _heir(parent: Mapping[str, Any], place: int) -> dict[str, Any]:
    """The target, with what it inherits from its parent."""
    target = dict(parent["targets"][place])
    for key in INHERITED:
        if not target.get(key) and parent.get(key):
            target[key] = parent[key]
    overrides = {**(parent.get("override_params") or {}), **(target.get("override_params") or {})}
    return {**target, "override_params": overrides} if overrides else target


def _drawn(weights: list[float], draw: float) -> int:
    left = draw * sum(weights)
    for place, weight in enumerate(weights):
        if left < weight:
            return place
        left -= weight
    raise RoutingError("Something went wrong")


# ---- one target ------------------------------------------------------------------------------------------------------


def _attempts(ask: Ask) -> Generator[Ask | Pause, _A | None, Routed[_A]]:
    """An attempt and its retries."""
    retry = ask.target.get("retry") or {}
    most = int(retry.get("attempts") or 0)
    codes = retry.get("on_status_codes") or RETRIED
    heeds = retry.get("use_retry_after_header") or retry.get("use_retry_after_headers")
    waited = 0.0
    retries = 0
    while True:
        answer = yield replace(ask, attempt=retries)
        if answer is None:
            raise TypeError("an Ask is sent its answer")
        if not most or answer.status not in codes:
            return Routed(answer, ask, retries)
        asked = _retry_after(answer) if heeds and answer.status == 429 else None  # noqa: PLR2004 - too many requests
        if retries == most or (asked is not None and waited + asked >= LONGEST_RETRY_AFTER):
            return Routed(answer, ask, EXHAUSTED)
        waited += asked or 0.0
        yield Pause(float(2**retries) if asked is None else asked)
        retries += 1


def _retry_after(answer: Answer) -> float | None:
    """Seconds, from the first header of the three that is there; whole numbers only, as the gateway reads them."""
    for name, divisor in RETRY_AFTER_HEADERS:
        if (text := answer.headers.get(name)) is not None:
            digits = text.strip().partition(".")[0]
            return int(digits) / divisor if digits.isdecimal() else None
    return None

"""What calls have taught of each target: how it counts tokens, how much it says, what its prompts' caching saves."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portkey_router.messages import Usage

__all__ = ["Experience", "Learned"]

USUAL_ANSWER = 300.0
"""Tokens of an answer, before any has been seen."""
_SHARE = 0.1  # what one more answer counts against all before it
_RATIOS = (0.25, 4.0)  # one absurd count must not spoil the estimates that follow
_WAITS_KEPT = 64
_WAITS_NEEDED = 5
_TARGETS_KEPT = 1024


@dataclass(slots=True)
class Learned:
    """Of one target, as averages that forget; the first answers count alike, so that a first guess is soon forgotten.

    `ratio`: tokens it counts, to tokens estimated. `answer`: tokens of its answers. `cached`: the share of a prompt
    that its provider reads from its cache. `seconds`: of its answers, None before the first; `slow`: what a tenth of
    the latest answers took at least, None before the fifth. `failing`: seconds until a failure shows, `wasted`: what a
    failed attempt bills, in USD.
    """

    ratio: float = 1.0
    answer: float = USUAL_ANSWER
    cached: float = 0.0
    seconds: float | None = None
    slow: float | None = None
    failing: float = 0.0
    wasted: float = 0.0
    answers: int = 0
    failures: int = 0


_NOTHING = Learned()


class Experience:
    """What has been learned, by target. Safe across threads: an update lost to another is one answer's worth."""

    __slots__ = ("_learned", "_waits")

    def __init__(self) -> None:
        self._learned: dict[str, Learned] = {}
        self._waits: dict[str, deque[float]] = {}

    def of(self, target: str) -> Learned:
        """What is known of a target."""
        return self._learned.get(target, _NOTHING)

    def answered(self, target: str, estimated: int, usage: Usage | None, seconds: float) -> None:
        """Take an answer into account; `estimated` is how many input tokens the call was thought to have."""
        known = self._known(target)
        known.answers += 1
        share = max(_SHARE, 1 / known.answers)
        known.seconds = seconds if known.seconds is None else known.seconds + share * (seconds - known.seconds)
        waits = self._waits.setdefault(target, deque(maxlen=_WAITS_KEPT))
        waits.append(seconds)
        if len(waits) >= _WAITS_NEEDED:
            known.slow = sorted(waits)[-1 - len(waits) // 10]
        if usage is None or usage.impossible:
            return
        known.answer += share * (usage.output_tokens - known.answer)
        if estimated > 0 and usage.input_tokens > 0:
            ratio = min(max(usage.input_tokens / estimated, _RATIOS[0]), _RATIOS[1])
            known.ratio += share * (ratio - known.ratio)
            cached = min(1.0, (usage.cache_read_tokens or 0) / usage.input_tokens)
            known.cached += share * (cached - known.cached)

    def failed(self, target: str, seconds: float, wasted: float = 0.0) -> None:
        """Take a failed attempt into account: how long it took, and what it billed, in USD."""
        known = self._known(target)
        known.failures += 1
        share = max(_SHARE, 1 / known.failures)
        known.failing += share * (seconds - known.failing)
        known.wasted += share * (wasted - known.wasted)

    def _known(self, target: str) -> Learned:
        known = self._learned.get(target)
        if known is None:
            if len(self._learned) >= _TARGETS_KEPT:
                oldest = next(iter(self._learned))
                self._learned.pop(oldest, None)
                self._waits.pop(oldest, None)
            known = self._learned[target] = Learned()
        return known

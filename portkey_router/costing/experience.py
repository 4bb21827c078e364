"""What calls have taught of each target: how it counts tokens, how much it says, what its prompts' caching saves."""

from __future__ import annotations

import contextlib
from collections import OrderedDict, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portkey_router.messages import Usage

__all__ = ["ANY_KIND", "Experience", "Learned"]

USUAL_ANSWER = 300.0
"""Tokens of an answer, before any has been seen."""
ANY_KIND = 0
"""Of all calls together, in the place of one kind of them (see `Needs.kind`)."""
_SHARE = 0.1  # what one more answer counts against all before it
_RATIOS = (0.25, 4.0)  # one absurd count must not spoil the estimates that follow
_WAITS_KEPT = 64
_WAITS_NEEDED = 5
_TARGETS_KEPT = 1024
_KINDS_KEPT = 512
# A target's own answers to a kind of call weigh as many as they are, 64 at most, and half as much after 128 more by
# others; what all targets' answers are like weighs as much as two. So a few odd answers are forgotten soon, and what is
# well known late. Somebody else's cached share is hoped for, too: a switch loses a provider's cache for one call.
_OTHERS_COUNT = 2.0
_MOST = 64
_FORGOTTEN_BY_HALF = 128


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

    def hear(self, estimated: int, usage: Usage | None, seconds: float, *, aloud: bool = False) -> None:
        """One more answer; `aloud`: without the tokens that were thought and not said."""
        self.answers += 1
        share = max(_SHARE, 1 / self.answers)
        self.seconds = seconds if self.seconds is None else self.seconds + share * (seconds - self.seconds)
        if usage is None or usage.impossible:
            return
        thought = (usage.reasoning_tokens or 0) if aloud else 0
        self.answer += share * (max(0, usage.output_tokens - thought) - self.answer)
        if estimated > 0 and usage.input_tokens > 0:
            ratio = min(max(usage.input_tokens / estimated, _RATIOS[0]), _RATIOS[1])
            self.ratio += share * (ratio - self.ratio)
            cached = min(1.0, (usage.cache_read_tokens or 0) / usage.input_tokens)
            self.cached += share * (cached - self.cached)


_NOTHING = Learned()


@dataclass(slots=True)
class _Own:
    """A target's own answers to a kind of call, and how many answers of all there had been `at` the latest."""

    learned: Learned = field(default_factory=Learned)
    at: int = 0


@dataclass(slots=True)
class _Kind:
    """One kind of call: what all targets' answers to it are like, and each target's own."""

    all: Learned = field(default_factory=Learned)
    own: dict[str, _Own] = field(default_factory=dict)

    def hear(self, target: str, estimated: int, usage: Usage | None, seconds: float) -> None:
        """One more answer. What one thinks before it says nothing of what another would."""
        self.all.hear(estimated, usage, seconds, aloud=True)
        own = self.own.get(target)
        if own is None:
            if len(self.own) >= _TARGETS_KEPT:
                self.own.pop(next(iter(self.own)), None)
            own = self.own.setdefault(target, _Own())
        own.at = self.all.answers
        own.learned.hear(estimated, usage, seconds)

    def of(self, target: str, known: Learned) -> Learned:
        """A target's answers to it, as they may be expected; `known` is what is known of the target at all."""
        usual, heard = self.all, self.own.get(target)
        rest = known.slow, known.failing, known.wasted
        if heard is None:  # who was never asked anything is hoped to be quick: it will be asked once
            seconds = None if known.seconds is None else usual.seconds
            return Learned(usual.ratio, usual.answer, usual.cached, seconds, *rest)
        own = heard.learned
        counts = min(own.answers, _MOST) * 0.5 ** ((usual.answers - heard.at) / _FORGOTTEN_BY_HALF)
        share = counts / (counts + _OTHERS_COUNT)
        seconds = usual.seconds
        if seconds is not None and own.seconds is not None:
            seconds += share * (own.seconds - seconds)
        return Learned(
            usual.ratio + share * (own.ratio - usual.ratio),
            usual.answer + share * (own.answer - usual.answer),
            usual.cached + share * (own.cached - usual.cached),
            seconds,
            *rest,
        )


class Experience:
    """What has been learned, by target and kind of call. Safe across threads: an update lost is one answer's worth.

    Targets are asked different things, by the very choice of the cheapest: who is given the long answers would seem to
    be talkative. So answers are held against those of the same kind, and a target that has not been asked a thing, or
    not lately, is thought to be as the others are: one long answer does not rule it out for good.
    """

    __slots__ = ("_kinds", "_learned", "_waits")

    def __init__(self) -> None:
        self._learned: dict[str, Learned] = {}
        self._waits: dict[str, deque[float]] = {}
        self._kinds: OrderedDict[int, _Kind] = OrderedDict()

    def of(self, target: str, kind: int | None = None) -> Learned:
        """What is known of a target: of all its answers, or what its answer to a `kind` of call may be expected to be.

        A kind that was never heard of is taken for the average of all.
        """
        known = self._learned.get(target, _NOTHING)
        if kind is None:
            return known
        kept = self._kinds.get(kind)
        if kept is not None:
            return kept.of(target, known)
        kept = self._kinds.get(ANY_KIND)
        # How a target counts is its own; what others' answers are like says nothing of that, but for equal texts.
        return known if kept is None else replace(kept.of(target, known), ratio=known.ratio)

    def answered(self, target: str, estimated: int, usage: Usage | None, seconds: float, kind: int = ANY_KIND) -> None:
        """Take an answer into account; `estimated` is how many input tokens the call was thought to have.

        `kind` is that of the call (`Needs.kind`).
        """
        known = self._known(target)
        known.hear(estimated, usage, seconds)
        waits = self._waits.setdefault(target, deque(maxlen=_WAITS_KEPT))
        waits.append(seconds)
        if len(waits) >= _WAITS_NEEDED:
            known.slow = sorted(waits)[-1 - len(waits) // 10]
        for each in {kind, ANY_KIND}:
            self._kind(each).hear(target, estimated, usage, seconds)

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

    def _kind(self, kind: int) -> _Kind:
        kept = self._kinds.get(kind)
        if kept is None:
            kept = self._kinds.setdefault(kind, _Kind())
        with contextlib.suppress(KeyError):  # another thread has just let go of it
            self._kinds.move_to_end(kind)
            if len(self._kinds) > _KINDS_KEPT:
                self._kinds.popitem(last=False)  # the one unheard of for longest
        return kept

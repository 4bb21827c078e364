"""Choosing the similarity threshold from labelled pairs of questions, and saying what the choice is worth.

Thresholds differ by the encoder and by what is asked. `MINILM_THRESHOLD` and `WORDLLAMA_THRESHOLD` are two that
`benchmarks/cache_quality.py` measures; for your own encoder and questions, calibrate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from operator import mul
from typing import TYPE_CHECKING

from portkey_router.cache.courtesy import without_courtesy
from portkey_router.cache.guards import Guards
from portkey_router.cache.normalise import normalise
from portkey_router.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["MINILM_THRESHOLD", "WORDLLAMA_THRESHOLD", "Calibration", "Point", "calibrate"]

# Cosines at which, guards on, less than 1 % of banking77's stream is answered wrongly (0.7 and 0.8 %).
MINILM_THRESHOLD = 0.9
WORDLLAMA_THRESHOLD = 0.87

_SURE = 0.95
_IDENTICAL = 2.0  # above any cosine: the exact layers answer, whatever the threshold


@dataclass(frozen=True, slots=True)
class Point:
    """What one threshold would do: `recall` of the same pairs, `false_hits` of the different ones, both shares."""

    threshold: float
    recall: float
    false_hits: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """The chosen threshold (a cosine) and what it is worth. `print` it for a table.

    - `recall`: the share of same pairs that hit; `false_hits`: the share of different pairs that do.
    - `at_most`: with 95 % confidence the true share of false hits is no more (Clopper and Pearson 1934, one-sided).
      `confident` says whether that is within `max_error` too; `pairs_needed` different pairs without one false hit
      would show it.
    - `same`, `different`: pairs given; `vetoed_same`, `vetoed_different`: those that the guards keep apart.
    - `met`: False where no threshold keeps to `max_error`, as the exact layers or a cosine of 1 already break it.
    - `points`: the trade, from the strictest threshold down, for a plot.
    """

    threshold: float
    recall: float
    false_hits: float
    at_most: float
    max_error: float
    met: bool
    same: int
    different: int
    vetoed_same: int
    vetoed_different: int
    points: tuple[Point, ...] = field(repr=False)

    @property
    def distance_threshold(self) -> float:
        """The same as a cosine distance, as `RedisSemanticCache(distance_threshold=...)` takes it."""
        return round(1 - self.threshold, 4)

    @property
    def confident(self) -> bool:
        """Whether the pairs are enough to say that `max_error` is kept, with 95 % confidence."""
        return self.at_most <= self.max_error

    @property
    def pairs_needed(self) -> int:
        """How many different pairs, none of which hits, would show that `max_error` is kept."""
        if not 0 < self.max_error < 1:
            return 0
        return math.ceil(math.log(1 - _SURE) / math.log(1 - self.max_error))

    def __str__(self) -> str:
        rows = [f"| {point.threshold:.3f} | {point.recall:.3f} | {point.false_hits:.4f} |" for point in self._spread()]
        chosen = f"threshold {self.threshold:.3f} (distance {self.distance_threshold:.3f})"
        share = f"recall {self.recall:.1%} of {self.same}, false hits {self.false_hits:.2%} of {self.different}"
        if not self.met:
            verdict = f"No threshold keeps false hits within {self.max_error:.2%}: look at the pairs that hit at 1."
        elif self.confident:
            verdict = f"With 95 % confidence false hits are at most {self.at_most:.2%}."
        else:
            verdict = (
                f"Too few pairs to be sure: true false hits may be up to {self.at_most:.2%}; {self.pairs_needed}"
                f" different pairs without a false hit would show {self.max_error:.2%}."
            )
        return "\n".join(
            ["| threshold | recall | false hits |", "|---|---|---|", *rows, "", f"{chosen}: {share}", verdict]
        )

    def _spread(self) -> list[Point]:
        """A dozen of the points, over the whole range."""
        step = max(1, len(self.points) // 12)
        return list(self.points[::step])


def calibrate(
    pairs: Iterable[tuple[str, str, bool]],
    embed: Callable[[list[str]], Sequence[Sequence[float]]],
    *,
    guards: Guards | None = None,
    max_error: float = 0.01,
) -> Calibration:
    """The lowest threshold at which at most `max_error` of the different pairs would hit.

    `pairs` are (question, question, whether one's answer is the other's); take them from your own logs, the different
    ones as alike as they come. `embed` gives the vectors of a list of texts, as `Embeddings.embed_documents` does; it
    is called once. `guards` are those of the cache to be; by default all.

    Raises `ConfigurationError` without pairs of both kinds, or where `embed` gives not one vector for each text.
    """
    labelled = [(without_courtesy(first), without_courtesy(second), bool(same)) for first, second, same in pairs]
    if not any(same for *_, same in labelled) or all(same for *_, same in labelled):
        msg = "calibrate needs pairs of both kinds: (question, question, True) and (question, question, False)."
        raise ConfigurationError(msg)
    if not 0 <= max_error < 1:
        msg = f"max_error is a share such as 0.01, not {max_error}."
        raise ConfigurationError(msg)
    guards = guards or Guards()
    scores = _scores([(first, second) for first, second, _ in labelled], embed)
    passed: list[tuple[float, bool]] = []
    vetoed = {True: 0, False: 0}
    for (first, second, same), score in zip(labelled, scores, strict=True):
        if score < _IDENTICAL and guards.veto(guards.read(first), guards.read(second)):
            vetoed[same] += 1
        else:
            passed.append((score, same))
    totals = {kind: sum(same is kind for *_, same in labelled) for kind in (True, False)}
    return _choose(passed, totals, vetoed, max_error)


def _scores(texts: Sequence[tuple[str, str]], embed: Callable[[list[str]], Sequence[Sequence[float]]]) -> list[float]:
    """The cosine of each pair; above all of them where the exact layers take the two for one."""
    distinct = list(dict.fromkeys(text for pair in texts for text in pair))
    vectors = embed(distinct)
    if len(vectors) != len(distinct):
        msg = f"embed was given {len(distinct)} texts and gave {len(vectors)} vectors; one each is needed, in order."
        raise ConfigurationError(msg)
    by_text = dict(zip(distinct, vectors, strict=True))
    return [
        _IDENTICAL if normalise(first) == normalise(second) else _cosine(by_text[first], by_text[second])
        for first, second in texts
    ]


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    lengths = math.sqrt(sum(map(mul, one, one)) * sum(map(mul, other, other)))
    return float(sum(map(mul, one, other)) / lengths) if lengths else 0.0


def _choose(
    passed: list[tuple[float, bool]], totals: dict[bool, int], vetoed: dict[bool, int], max_error: float
) -> Calibration:
    points = _trade(passed, totals)
    kept = [point for point in points if point.false_hits <= max_error]
    best = kept[-1] if kept else points[0]
    below = next((point for point in points if point.threshold < best.threshold), None)
    # Halfway to the next cosine seen, which is one too far; with none, the last is as low as the pairs can tell.
    threshold = best.threshold
    if kept and below:
        threshold = (best.threshold + below.threshold) / 2
        short = round(threshold, 4)
        threshold = short if below.threshold < short <= best.threshold else threshold
    wrong = round(best.false_hits * totals[False])
    return Calibration(
        threshold=threshold,
        recall=best.recall,
        false_hits=best.false_hits,
        at_most=_upper_bound(wrong, totals[False]),
        max_error=max_error,
        met=bool(kept),
        same=totals[True],
        different=totals[False],
        vetoed_same=vetoed[True],
        vetoed_different=vetoed[False],
        points=points,
    )


def _trade(passed: list[tuple[float, bool]], totals: dict[bool, int]) -> tuple[Point, ...]:
    """What each cosine seen would do as a threshold, from 1 down."""
    hits = {True: 0, False: 0}
    points: dict[float, Point] = {}
    for score, same in [(1.0, None), *sorted(passed, key=lambda each: -each[0])]:
        if same is not None:
            hits[same] += 1
        threshold = min(score, 1.0)
        points[threshold] = Point(threshold, hits[True] / totals[True], hits[False] / totals[False])
    return tuple(sorted(points.values(), key=lambda point: -point.threshold))


def _upper_bound(wrong: int, number: int) -> float:
    """The one-sided 95 % bound of a share of which `wrong` of `number` were seen: where so few would be a surprise."""
    if wrong >= number:
        return 1.0
    low, high = wrong / number, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _at_most(wrong, number, middle) > 1 - _SURE:
            low = middle
        else:
            high = middle
    return high


def _at_most(wrong: int, number: int, share: float) -> float:
    """The chance of at most so many of so many, by the binomial distribution, in logarithms."""
    logs = (
        math.lgamma(number + 1)
        - math.lgamma(seen + 1)
        - math.lgamma(number - seen + 1)
        + seen * math.log(share)
        + (number - seen) * math.log1p(-share)
        for seen in range(wrong + 1)
    )
    return math.fsum(map(math.exp, logs))

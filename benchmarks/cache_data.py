"""The questions of the cache benchmarks: minimal pairs and banking77's stream."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DIFFERENT", "SAME", "Pair", "Question", "banking77", "pairs"]

_DATA = Path(__file__).parent / "data"
_CHOICE = re.compile(r"\{([^{}|]*)\|([^{}|]*)\}")
# Classes of pairs that ask for different things, and of pairs that ask for the same.
DIFFERENT = ("number", "unit", "negation", "antonym", "entity", "order")
SAME = ("politeness", "suffix", "contraction", "typo")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two questions; `same` says whether one's answer is the other's. `held_out`: not looked at for the guards."""

    kind: str
    first: str
    second: str
    same: bool
    held_out: bool


@dataclass(frozen=True, slots=True)
class Question:
    """A question and its intent."""

    text: str
    intent: str


def pairs() -> list[Pair]:
    """Every pair of `data/pairs.txt`; of each class, lines 2, 4, 6 ... are held out."""
    found: list[Pair] = []
    kind, position = "", 0
    for line in (_DATA / "pairs.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            kind, position = line.strip("[]"), 0
        elif line and not line.startswith("#"):
            position += 1
            first, second = (_CHOICE.sub(rf"\{side}", line) for side in (1, 2))
            found.append(Pair(kind, first, second, kind in SAME, position % 2 == 0))
    return found


def banking77(part: str) -> list[Question]:
    """The `stream` (4,000) or the `tuning` questions (2,000), in their fixed order."""
    with (_DATA / "banking77" / f"{part}.csv").open(encoding="utf-8", newline="") as file:
        return [Question(row["text"], row["category"]) for row in csv.DictReader(file)]

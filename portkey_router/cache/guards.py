"""Guards against wrong answers: two questions that encoders find alike, and that ask for different things."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from portkey_router.cache.normalise import expand_contractions
from portkey_router.cache.words import NEGATIONS

__all__ = ["Features", "Guards"]

_WORDS = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Features:
    """What the guards read of one question."""

    numbers: tuple[str, ...] = ()
    negations: int = 0


@dataclass(frozen=True, slots=True)
class Guards:
    """Which differences between two questions forbid one the other's answer; each can be switched off.

    `time_words` is asked when a key is made (`key_of_messages(time_words=guards.time_words)`), not of pairs.
    """

    numbers: bool = True
    negation: bool = True
    antonyms: bool = True
    entities: bool = True
    order: bool = True
    time_words: bool = True

    def read(self, text: str) -> Features:
        """What there is to compare in a question; about 0.1 ms, so worth keeping with an entry in memory."""
        words = _WORDS.findall(expand_contractions(text.lower()))
        numbers = sorted(Counter(word for word in words if word[0].isdigit()).elements())
        return Features(tuple(numbers), sum(word in NEGATIONS for word in words))

    def veto(self, asked: Features, stored: Features) -> str | None:
        """Why the stored question's answer is none for the asked one: the guard's name; None where all let pass."""
        if self.numbers and asked.numbers != stored.numbers:
            return "numbers"
        if self.negation and asked.negations != stored.negations:
            return "negation"
        return None

"""Guards against wrong answers: two questions that encoders find alike, and that ask for different things.

Each guard compares a few features of the two texts. They are rules, for English first. A veto too many costs a call to
the model; a veto too few is a wrong answer, and what no rule knows is left to the threshold.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portkey_router.cache.contrasts import OPPOSITES, prefixed
from portkey_router.cache.features import Features, read_features
from portkey_router.cache.quantities import differing
from portkey_router.cache.words import COORDINATORS, PIVOTS, STOP, slips, stem

if TYPE_CHECKING:
    from portkey_router.cache.quantities import Quantity

__all__ = ["Features", "Guards"]


@dataclass(frozen=True, slots=True)
class Guards:
    """Which differences between two questions forbid one the other's answer; each can be switched off.

    - `numbers`: other numbers, or other units (`5 km`, `5 miles`).
    - `negation`: one denies what the other does not.
    - `antonyms`: opposites and members of closed sets (`enable`, `disable`; `June`, `July`; `when`, `where`).
    - `entities`: a name, acronym or quotation that the other does not have; or nothing differs but a word or two in the
      same place, and not by a slip of the keys (`salmon`, `lamb`).
    - `order`: the same words with two of them in each other's place (`from A to B`).
    - `time_words`: asked when a key is made (`key_of_messages(time_words=guards.time_words)`), not of pairs.
    """

    numbers: bool = True
    negation: bool = True
    antonyms: bool = True
    entities: bool = True
    order: bool = True
    time_words: bool = True

    def read(self, text: str) -> Features:
        """What there is to compare in a question. About 0.02 ms: worth keeping beside an entry in memory."""
        return read_features(text)

    def veto(self, asked: Features, stored: Features) -> str | None:
        """Why the stored question's answer is none for the asked one, or None where every guard lets it pass.

        `numbers`, `units`, `negation`, `antonyms`, `entities` or `order`: the first that objects. Symmetric.
        """
        if self.numbers:
            reason = differing(asked.quantities, stored.quantities) or _other_units(asked.units, stored.units)
            if reason:
                return reason
        if self.negation and asked.negations != stored.negations:
            return "negation"
        if self.antonyms and _opposed(asked, stored):
            return "antonyms"
        if self.entities and _other_subject(asked, stored):
            return "entities"
        if self.order and asked.words != stored.words and _reordered(asked, stored):
            return "order"
        return None


_ALIKE = 0.8  # of their words two texts must share, for an exchange of two to tell
_FEW = 16  # pairs of words that differ
_PHRASE = 2  # words
_ROOT = 6  # letters at the front of two words of one root
_LONG_WORD = 6  # letters of a word in which two slips are still slips


def _other_units(asked: frozenset[Quantity], stored: frozenset[Quantity]) -> str | None:
    if asked == stored:
        return None
    here, there = asked - stored, stored - asked
    return "units" if {dimension for dimension, _ in here} & {dimension for dimension, _ in there} else None


def _opposed(asked: Features, stored: Features) -> bool:
    if asked.asks and stored.asks and asked.asks.isdisjoint(stored.asks):
        return True
    if asked.poles != stored.poles:
        here = {axis for axis, _ in asked.poles - stored.poles}
        there = {axis for axis, _ in stored.poles - asked.poles}
        if here & there:
            return True
        sets = (here | there) - OPPOSITES  # "in June", "in June and July"
        if any(axis in sets for axis, _ in asked.poles & stored.poles):
            return True
    one_side, other_side = set(asked.words), set(stored.words)
    one_side, other_side = one_side - other_side, other_side - one_side
    if len(one_side) * len(other_side) > _FEW:  # so much differs that no one prefix decides
        return False
    return any(prefixed(one, other) for one in one_side for other in other_side)


def _other_subject(asked: Features, stored: Features) -> bool:
    if asked.names != stored.names and (_missing(stored, asked) or _missing(asked, stored)):
        return True
    return asked.tokens != stored.tokens and _replaced(asked.tokens, stored.tokens)


def _replaced(asked: tuple[str, ...], stored: tuple[str, ...]) -> bool:
    """Whether the texts are equal but for one place, where each has words of its own that say something."""
    here, there = _between(asked, stored)
    if not (0 < len(here) <= _PHRASE and 0 < len(there) <= _PHRASE) or len(here) == len(asked):
        return False
    if any(word in STOP or word in PIVOTS or word in COORDINATORS for word in (*here, *there)):
        return False  # another turn of phrase, more often than another question
    return not _same_phrase(here, there)


def _same_phrase(here: tuple[str, ...], there: tuple[str, ...]) -> bool:
    """Whether they are forms of one word, a slip of the keys, initials, or judged by another guard."""
    if sorted(here) == sorted(there) or any(word[0].isdigit() for word in (*here, *there)):
        return True
    one, other = "".join(here), "".join(there)
    if stem(one) == stem(other) or one[:_ROOT] == other[:_ROOT]:
        return True
    if "".join(word[0] for word in here) == other or "".join(word[0] for word in there) == one:
        return True
    return one[0] == other[0] and slips(one, other) <= (2 if min(len(one), len(other)) >= _LONG_WORD else 1)


def _missing(features: Features, other: Features) -> bool:
    """Whether the other has a name that these do not have: as a word, as initials, or spelled out behind initials."""
    missing = set(other.names - features.names - frozenset(features.words))
    if not missing:
        return False
    initials = _initials(features)
    missing = {name for name in missing if len(name) == 1 or not name.isalpha() or name not in initials}
    spelled, initials = _spelled(other), _initials(other)
    for name in features.names:
        if len(name) > 1 and (start := initials.find(name)) >= 0:
            missing -= set(spelled[start : start + len(name)])
    return bool(missing)


def _spelled(features: Features) -> list[str]:
    return [word for word in features.words if word not in COORDINATORS]


def _initials(features: Features) -> str:
    return "".join(word[0] for word in _spelled(features))


def _reordered(asked: Features, stored: Features) -> bool:
    if _exchanged(asked.tokens, stored.tokens):
        return True
    here, there = _between(asked.words, stored.words)
    if not here or not there:
        return False
    kept = len(asked.words) - len(here)
    shared = kept + sum((Counter(here) & Counter(there)).values())
    # Longer texts say the same in another order as a matter of course; a swap changes nothing else.
    alike = 2 * shared >= _ALIKE * (len(asked.words) + len(stored.words))
    return alike and _swapped(_once(here, asked.words), _once(there, stored.words))


def _once(words: tuple[str, ...], of: tuple[str, ...]) -> list[str]:
    """Those that stand once in the whole."""
    return [word for word in words if of.count(word) == 1]


def _between(asked: tuple[str, ...], stored: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is left of both without the words they begin with and those they end with, as far as these are equal."""
    shorter = min(len(asked), len(stored))
    start = end = 0
    while start < shorter and asked[start] == stored[start]:
        start += 1
    while end < shorter - start and asked[-1 - end] == stored[-1 - end]:
        end += 1
    return asked[start : len(asked) - end], stored[start : len(stored) - end]


def _exchanged(asked: tuple[str, ...], stored: tuple[str, ...]) -> bool:
    """Whether nothing differs but two words, each in the other's place; not two joined by `and` alone."""
    if len(asked) != len(stored):
        return False
    places = [place for place, pair in enumerate(zip(asked, stored, strict=True)) if pair[0] != pair[1]]
    if len(places) != 2 or asked[places[0]] != stored[places[1]] or asked[places[1]] != stored[places[0]]:  # noqa: PLR2004 - a pair
        return False
    return not COORDINATORS.intersection(asked[places[0] : places[1]])


def _swapped(asked: list[str], stored: list[str]) -> bool:
    """Whether two shared words stand in each other's place around a third.

    That is a decreasing triple in the permutation from one order to the other. A phrase that merely moved (`in Python`
    to the end) makes none, nor do two words around `and`.
    """
    places = {word: place for place, word in enumerate(stored)}
    order = [(word, places[word]) for word in asked if word in places]
    lowest_behind = len(stored)
    behind: list[int] = []
    for _, place in reversed(order):
        behind.append(lowest_behind)
        lowest_behind = min(lowest_behind, place)
    highest = -1
    for (word, place), lowest in zip(order, reversed(behind), strict=True):
        if lowest < place < highest and word not in COORDINATORS:
            return True
        highest = max(highest, place)
    return False

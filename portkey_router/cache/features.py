"""What the guards read of a question.

Most words tell nothing, so what a word tells is looked up once for each word, and a rule runs only on a text that has a
sign of what the rule is about.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from portkey_router.cache.contrasts import POLES, Pole
from portkey_router.cache.normalise import expand_contractions, straight_quotes
from portkey_router.cache.quantities import Quantity, may_begin, quantities, units
from portkey_router.cache.words import (
    COORDINATORS,
    DETERMINERS,
    NEGATIONS,
    PIVOTS,
    STOP,
    has_one,
    listed,
    say_denials,
    stem,
    without_frames,
)

__all__ = ["Features", "read_features"]

# Words with their apostrophes; numbers with their points, a minus at their front, an ending; signs; pauses.
_TOKENS = re.compile(
    r"[^\W\d]+(?:'[^\W\d_]+)?|(?<![\w.])-?\d+(?:[.,:/]\d+)*(?:st|nd|rd|th|k|bn|x)?(?![^\W_])|\d+(?:[.,:/]\d+)*"
    r"|[%$€£¥₹°]|[,.;:?!]"
)
_COMPOUND = re.compile(r"\b(log|sign|check|opt|zoom)(?:ging|ing|ming|ged|ed|s|ted|ting)?[ -](in|out|off)\b")
_COMPOUNDS = ("log", "sign", "check", "opt", "zoom")
_HOW = re.compile(r"\bhow (long|much|many|often|far|old|tall|fast|big|soon|deep)\b")
# Question words that ask; not "when paying", nor "the man who". Letters come first, which makes them quick to look for.
_AUXILIARY = "is|are|was|were|am|do|does|did|will|would|can|could|should|may|might|has|have|had"
_ASKS = {
    "whe": re.compile(rf"whe(?<!\wwhe)(?:n|re)(?= (?:{_AUXILIARY})\b)"),
    "why": re.compile(r"why(?<!\wwhy)\b"),
    "who": re.compile(r"who(?:(?<=[.?!,] who)|(?<=^who))(?:se|m)?\b"),
}
_CAPITALS = re.compile(r"(?<![.!?\"'(] )(?<!^)\b[A-Z][\w'-]*|\b[A-Z]{2,}\b|\b[a-zA-Z]+\d[\w-]*|\b\d+[A-Z]+\b")
# Without any of these after its first letter, a text names nothing; an "I" that stands alone is no name.
_MAY_NAME = re.compile(r"[A-HJ-Z\d\"]")
_NO_PRONOUN = re.compile(r"I(?:(?=[\w'-])|(?<=\wI))")
_QUOTED = re.compile(r"\"([^\"]+)\"")
_ASIDES = listed("i i'm i'd i've i'll ok hi hello hey please thanks faq asap pls tia")


@dataclass(frozen=True, slots=True)
class Features:
    """What the guards read of one question: quantities, negations, contrasts, names, and the words in their order.

    `words` are stems of what says something, with the prepositions between them; `tokens` all words as they stand.
    """

    quantities: tuple[Quantity, ...] = ()
    units: frozenset[Quantity] = frozenset()
    negations: int = 0
    asks: frozenset[str] = frozenset()
    poles: frozenset[Pole] = frozenset()
    names: frozenset[str] = frozenset()
    words: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Word:
    """What a token tells, wherever it stands."""

    negates: bool
    poles: tuple[Pole, ...]
    units: frozenset[Quantity]
    counts: bool  # a number may begin with it


@lru_cache(maxsize=8192)
def _word(token: str) -> tuple[str, _Word | None]:
    """The place a token takes among the words that say something, empty for none; and what it tells, if anything."""
    if token in COORDINATORS or token in PIVOTS:
        said = token
    else:
        said = stem(token) if token not in STOP and token[0].isalnum() else ""
    negates, poles, named, counts = token in NEGATIONS, POLES.get(stem(token), ()), units([token]), may_begin(token)
    return said, _Word(negates, poles, named, counts) if negates or poles or named or counts else None


def read_features(text: str) -> Features:
    """What there is to compare in a question."""
    if not text.isascii():
        text = straight_quotes(text)
    lowered = _in_plain_words(text)
    tokens = _TOKENS.findall(lowered)
    words = list(map(_word, tokens))
    telling = [word for _, word in words if word is not None]
    named = frozenset(chain.from_iterable([word.units for word in telling]))
    article = "a" in tokens
    counted = any(word.counts for word in telling) or (named and (article or "an" in tokens))
    return Features(
        quantities=quantities(tokens) if counted else (),
        units=named,
        negations=sum([word.negates for word in telling]),
        asks=_asks(lowered),
        poles=frozenset(chain.from_iterable([word.poles for word in telling])),
        names=_names(text),
        words=_with_symbols(tokens) if article else tuple([said for said, _ in words if said]),
        tokens=tuple([token for token in tokens if token[0].isalnum()]),
    )


def _in_plain_words(text: str) -> str:
    """Lower case, with contractions and denials said out, and what is one word as one."""
    lowered = expand_contractions(text.lower())
    if "how " in lowered:
        lowered = _HOW.sub(r"how_\1", lowered)
    if has_one(lowered, _COMPOUNDS):
        lowered = _COMPOUND.sub(r"\1_\2", lowered)
    return say_denials(without_frames(lowered))


def _asks(lowered: str) -> frozenset[str]:
    found = [asks.findall(lowered) for letters, asks in _ASKS.items() if letters in lowered]
    return frozenset(chain.from_iterable(found))


def _with_symbols(tokens: list[str]) -> tuple[str, ...]:
    """The words that say something, where an `a` may be a letter."""
    said = ["a." if word == "a" and _is_symbol(tokens, place) else _word(word)[0] for place, word in enumerate(tokens)]
    return tuple([word for word in said if word])


def _is_symbol(tokens: list[str], position: int) -> bool:
    """Whether an `a` is a letter, not an article: nothing it could belong to follows."""
    following = tokens[position + 1] if position + 1 < len(tokens) else "."
    return following in PIVOTS or following in DETERMINERS or not following[0].isalnum() or following in {"is", "and"}


def _names(text: str) -> frozenset[str]:
    """Capitalised words inside sentences, acronyms, words with digits, quotations: by their stems, lower case."""
    if not _MAY_NAME.search(text, 1) and not _NO_PRONOUN.search(text, 1):
        return frozenset()
    found = _CAPITALS.findall(text)
    words = text.split()
    if len(found) > _MANY and 2 * len(found) > len(words):  # a title, or shouting: capitals say nothing
        found = []
    quoted = [word for part in _QUOTED.findall(text) for word in part.split()]
    lowered = (word.lower().removesuffix("'s").strip("'-.,?!") for word in [*found, *quoted])
    return frozenset(stem(word) for word in lowered if word and word not in _ASIDES and word not in STOP)


_MANY = 3  # capitalised words, more than half of all: a title

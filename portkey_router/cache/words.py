"""Word lists of the guards, by hand and short. English first; the commonest negations of its neighbours beside it."""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = [
    "COORDINATORS",
    "DETERMINERS",
    "NEGATIONS",
    "PIVOTS",
    "STOP",
    "has_one",
    "listed",
    "say_denials",
    "slips",
    "stem",
    "time_word",
    "without_frames",
]


def has_one(text: str, parts: tuple[str, ...]) -> bool:
    """Whether any of these stands anywhere in the text: much quicker than a regular expression that does not match."""
    for part in parts:  # noqa: SIM110  (a generator would take twice as long)
        if part in text:
            return True
    return False


def listed(words: str) -> frozenset[str]:
    """The words of a list written as a text."""
    return frozenset(words.split())


# A question with one of these has another answer at another time; not in "by now" or "and now it ...": stories.
_DATES = (
    "(?:minute|hour|morning|afternoon|evening|night|week|weekend|month|quarter|season|year"
    "|monday|tuesday|wednesday|thursday|friday|saturday|sunday)"
)
_NOT_BEHIND = "".join(
    f"(?<!{word} )" for word in ("by", "and", "but", "so", "until", "just", "even", "days", "weeks", "months", "years")
)
_TIME = re.compile(
    rf"\b(?:today(?:'s)?|tonight(?:'s)?|tomorrow(?:'s)?|{_NOT_BEHIND}now|nowadays|current(?:ly)?|latest|newest"
    r"|most recent(?:ly)?|at (?:the|this) moment|up[- ]to[- ]date|breaking news|as of|these days|what time is it"
    rf"|next {_DATES}|heute|gestern|jetzt|aktuell\w*|aujourd'hui|demain|maintenant|actuellement|hoy|ayer|ahora"
    rf"|actualmente)\b|\b(yesterday(?:'s)?|last night|(?:this|last) {_DATES})\b",
    re.IGNORECASE,
)
# One of these is in each of them, but for "now".
_SIGNS_OF_TIME = (
    *("today", "tonight", "tomorrow", "current", "latest", "newest", "recent", "moment", "to date", "to-date"),
    *("breaking", "as of", "these days", "what time", "yesterday", "heute", "gestern", "jetzt", "aktuell", "aujourd"),
    *("demain", "maintenant", "actuel", "hoy", "ayer", "ahora", "actualmente"),
)
_BEFORE_DATES = ("next ", "last ", "this ")
_SIGNS_OF_DATES = ("minute", "hour", "noon", "ning", "night", "week", "month", "quarter", "season", "year", "day")
# What happened to the asker, told before the question: "I ordered it last week".
_STORY = re.compile(r"\b(?:i|i've|i'd|we|my|me|been)\b", re.IGNORECASE)
_ASKING = re.compile(
    r"\b(?:who|what|which|when|where|how|why|was|were|is|are|did|do|does|has|have i|tell|show)\b", re.IGNORECASE
)
_SENTENCE_ENDS = re.compile(r"[.?!\n]")

# Each denies what it stands beside. "cannot" and "n't" have become "not" before they are counted.
NEGATIONS = listed("""
    not no non never without neither nor none nobody nothing nowhere hardly barely avoid avoids avoiding skip skipping
    nicht kein keine keinen keiner nie niemals ohne pas jamais sans ne nunca jam\u00e1s ning\u00fan ninguna n\u00e3o nem
    sem senza mai niet geen nooit
""")
# Negations that deny nothing of what is asked: politeness, tags, and the asker's own ignorance.
_QUESTION_WORD = "(?:how|what|why|where|when|if|whether|which|who)"
_FRAMES = re.compile(
    r"\bi (?:do|did|can|could) not (?:really |even )?(?:find|locate|recall|remember)"
    r"|\b(?:i|we|but|and|just) (?:do|did|can|could) not (?:really |even )?(?:know|understand|get|see|figure out)"
    rf"(?= {_QUESTION_WORD})|\bi have no idea\b|\bdo(?:es)? not make (?:any )?sense\b|\bif you (?:do|would) not mind\b"
    r"|\bwhether or not\b|\bor not\b|\bnot only\b|\bno (?:problem|worries|rush|doubt)\b"
    rf"|\bnot sure(?= {_QUESTION_WORD})"
    r"|\b(?:is|are|was|do|does|did|can|could|would|will) not (?:it|you|they|he|she|we)(?=\W*$)"
    r"|^(?:can|could|would|will|do) not you\b|\bdo not hesitate\b|\bwhy not\b"
)
# Denials that have a word of their own, which is then judged as one of two opposites ("is not working", "is broken").
_AUXILIARY = "(?:do|does|did|will|would|can|could|may|might|is|are|was|were|have|has|be)"
_CANNOT_GET = re.compile(r"\bnot (?:get|make)((?: [\w'-]+){1,6}) to work\b")
_DENIALS = re.compile(
    rf"\b(?:{_AUXILIARY} )?not (?:been |be |being |\w+ly )?(working|work|worked)\b"
    r"|\bnot (right|correct|possible|available|valid|safe|legal|allowed|permitted|happy|the same)\b"
    r"|\bnot go(?:ing|ne)? (through)\b"
    r"|\b(?:fail(?:s|ed|ing)? to|refus(?:es?|ed|ing) to|unable(?: to)?|not able to|no longer|yet to)\b"
)
_SIGNS_OF_DENIAL = ("not", "fail", "refus", "unable", "no longer", "yet to")
_DENIED = {
    "working": "broken",
    "work": "broken",
    "worked": "broken",
    "right": "wrong",
    "correct": "wrong",
    "possible": "impossible",
    "available": "unavailable",
    "valid": "invalid",
    "safe": "unsafe",
    "legal": "illegal",
    "allowed": "forbidden",
    "permitted": "forbidden",
    "happy": "unhappy",
    "the same": "different",
    "through": "fail",
}


def without_frames(text: str) -> str:
    """Without negations that deny nothing of what is asked; lower case, contractions expanded."""
    return _FRAMES.sub(" ", text) if "not" in text or "no " in text else text


def say_denials(text: str) -> str:
    """`is not working` -> `broken`, `failed to arrive` -> `not arrive`; lower case, contractions expanded."""
    if not has_one(text, _SIGNS_OF_DENIAL):
        return text
    if "to work" in text:
        text = _CANNOT_GET.sub(r"\1 broken", text)
    return _DENIALS.sub(lambda found: _DENIED.get(found[1] or found[2] or found[3], "not"), text)


# Words without a say in what is asked.
DETERMINERS = listed("a an the this that these those my your our their its some any")
STOP = DETERMINERS | listed("""
    i me you we us it they them he she am is are was were be been being do does did doing have has had having
    can could will would shall should may might must what which who whom whose when where why how there here
    and or but if so as just also too very really please kindly thanks thank thx cheers hi hello hey dear sorry
    tell explain describe give show know want need like help let get got yes ok okay well still already yet ever
    much many lot about
""")
# Kept in the order of words: around them two words change places (`from A to B`).
PIVOTS = listed("from to into onto in on at of for with by than over under before after against behind out off")
# Around these, changing places changes nothing.
COORDINATORS = listed("and or vs versus &")
_WHOLE_WORDS = listed("evening morning nothing something anything everything during building thing king")
_SHORTEST = 4  # letters of a word that may have an ending


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """The word without the commonest English endings, so that `enabled`, `enables` and `enabling` are one."""
    if word in _WHOLE_WORDS or len(word) < _SHORTEST or not word.isalpha():
        return word
    if word.endswith("ies"):
        word = word[:-3] + "y"
    elif word.endswith(("sses", "xes", "zes", "ches", "shes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) >= _SHORTEST - 1 and _VOWEL.search(rest):
            word = rest[:-1] if rest[-1] == rest[-2] and rest[-1] not in "lsz" else rest
            break
    return word[:-1] if len(word) >= _SHORTEST and word.endswith("e") else word


_VOWEL = re.compile(r"[aeiouy]")


def slips(one: str, other: str) -> int:
    """The slips of the keys between two words: letters put in, left out, changed, or exchanged with their neighbour.

    Optimal string alignment (Boytsov 2011, restricted Damerau-Levenshtein), counted up to 3, which is also what very
    long words get.
    """
    if abs(len(one) - len(other)) > _SLIPS or len(one) > _LONGEST:
        return _SLIPS + 1
    before: list[int] = []
    above = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        line = [row]
        for column, against in enumerate(other, 1):
            least = min(above[column] + 1, line[-1] + 1, above[column - 1] + (letter != against))
            if row > 1 and column > 1 and letter == other[column - 2] and one[row - 2] == against:
                least = min(least, before[column - 2] + 1)
            line.append(least)
        before, above = above, line
    return min(above[-1], _SLIPS + 1)


_SLIPS = 2
_LONGEST = 40


def time_word(text: str) -> str | None:
    """The first word that ties the question to the moment it is asked, lower case; None where there is none."""
    if text.isascii() and not _may_tell_time(text.lower()):
        return None
    for found in _TIME.finditer(text):
        if found[1] is None or not _tells(text, found.start(), found.end()):
            return found[0].lower()
    return None


def _may_tell_time(lowered: str) -> bool:
    """Whether there is a sign of the time: quick, and sure only where it says no."""
    if has_one(lowered, _SIGNS_OF_TIME):
        return True
    if "now" in lowered and "now" in lowered.replace("know", ""):
        return True
    return has_one(lowered, _BEFORE_DATES) and has_one(lowered, _SIGNS_OF_DATES)


def _tells(text: str, start: int, end: int) -> bool:
    """Whether the sentence around a word of the past is the asker's story and asks nothing itself."""
    before = [found.end() for found in _SENTENCE_ENDS.finditer(text, 0, start)]
    behind = _SENTENCE_ENDS.search(text, end)
    sentence = text[before[-1] if before else 0 : behind.start() if behind else len(text)]
    if (behind and behind[0] == "?") or text[start:end].endswith("'s"):
        return False
    return bool(_STORY.search(sentence)) and not _ASKING.search(sentence)

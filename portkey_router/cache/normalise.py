"""A question with what never changes its answer taken away: case, spacing, a final stop, the spelling of contractions.

Only the obvious is equal here, because this layer has no second look: words that mean something else in capitals (US,
Polish) keep them, and a text that looks like code is left as it is, but for its ends.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from portkey_router.cache.words import has_one

__all__ = ["expand_contractions", "normalise", "straight_quotes"]

_QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201b": "'", "\u02bc": "'", "\u201c": '"', "\u201d": '"'})
_CODE = re.compile(
    r"[`{}\\_=<>|~^]|//|\w\(|\bdef \b|\bclass \b|\bselect \S+ from\b|;\s*$", re.IGNORECASE | re.MULTILINE
)
# Without one of these, in lower case, an ASCII text is no code.
_SIGNS_OF_CODE = re.compile(r"[`{}\\_=<>|~^(;/]")
_WORDS_OF_CODE = ("def ", "class ", "select ")
# A comma, semicolon or colon between words; not in 1,000 or 10:30.
_PAUSE = re.compile(r"[,;:]+(?=\s)")
_MAY_PAUSE = re.compile(r"[,;:]")
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_QUESTION = re.compile(
    r"(?:what|who|whom|whose|which|where|when|why|how|is|are|was|were|am|do|does|did|can|could|will|would|shall|should|may"
    r"|might|has|have|had)\b"
)
# In capitals, or with one inside a sentence, these are other words.
_CASE_TELLS = frozenset(
    {"aids", "bath", "c", "can", "cat", "china", "ct", "go", "id", "in", "it", "job", "lent", "march", "may", "me"}
    | {"mobile", "nice", "ok", "or", "pat", "polish", "r", "ram", "reading", "ruby", "rust", "sat", "sec", "swift"}
    | {"turkey", "us", "who"}
)
_LONGEST = 4_000  # characters: a document is seldom sent twice with another full stop
_WHOLE = {
    "can't": "can not",
    "cannot": "can not",
    "won't": "will not",
    "shan't": "shall not",
    "ain't": "is not",
    "let's": "let us",
    "i'm": "i am",
}
# Before 's these leave no doubt that it is "is" (or "has", which no one writes out beside it).
_TAKES_IS = frozenset(
    {"he", "how", "it", "she", "that", "there", "here", "this", "what", "when", "where", "which", "who", "why"}
)
_ENDINGS = {"'re": " are", "'ve": " have", "'ll": " will"}
_BARE = {
    "arent": "are not",
    "cant": "can not",
    "couldnt": "could not",
    "didnt": "did not",
    "doesnt": "does not",
    "dont": "do not",
    "hasnt": "has not",
    "havent": "have not",
    "im": "i am",
    "isnt": "is not",
    "ive": "i have",
    "shouldnt": "should not",
    "thats": "that is",
    "wasnt": "was not",
    "werent": "were not",
    "whats": "what is",
    "wont": "will not",
    "wouldnt": "would not",
}


def straight_quotes(text: str) -> str:
    """The text with plain quotes and apostrophes in place of curly ones."""
    return text.translate(_QUOTES)


def normalise(text: str) -> str:
    """The text in its normal form; idempotent, and never empty for a text that is not."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text.translate(_QUOTES))
    text = text.strip()
    if len(text) > _LONGEST or _is_code(text):
        return text
    parts = (_PAUSE.sub(" ", text) if _MAY_PAUSE.search(text) else text).split()
    words = " ".join(parts)
    plain = text.isascii() and _in_case_of_no_account(parts)
    lowered = words.lower() if plain else _lower_but_for_names(words, shouted=text.isupper())
    return _without_stop(expand_contractions(lowered)) or text


def _is_code(text: str) -> bool:
    if text.isascii() and not _SIGNS_OF_CODE.search(text):
        lowered = text.lower()
        if not has_one(lowered, _WORDS_OF_CODE):
            return False
    return _CODE.search(text) is not None


def _in_case_of_no_account(parts: list[str]) -> bool:
    """Whether all words may be written small: none is another word in capitals. For what is not sure, no. ASCII."""
    for part in parts:
        if part.islower():
            continue
        if part is parts[0] and part[1:2].isalpha() and part[1:].islower():  # the first word of a sentence
            continue
        if _may_tell(part):
            return False
    return True


@lru_cache(maxsize=4096)
def _may_tell(part: str) -> bool:
    return any(word.lower() in _CASE_TELLS for word in _WORD.findall(part))


def _lower_but_for_names(words: str, *, shouted: bool) -> str:
    return _WORD.sub(lambda found: _lowered(found, shouted=shouted), words)


def _lowered(found: re.Match[str], *, shouted: bool) -> str:
    word = found[0]
    lowered = word.lower()
    if shouted or lowered not in _CASE_TELLS or word == lowered:
        return lowered
    return lowered if found.start() == 0 and not word.isupper() else word


def _without_stop(text: str) -> str:
    """Without its final stops; a question mark goes only where the words themselves ask."""
    ends = ".! " if "?" in text and not _QUESTION.match(text) else ".!? "
    return text.rstrip(ends)


def expand_contractions(text: str) -> str:
    """`what's` -> `what is`, `can't` and `cannot` -> `can not`; a possessive and an ambiguous 'd stay. Lower case."""
    return (_CONTRACTION if "'" in text else _BARE_CONTRACTION).sub(_expanded, text)


_WITHOUT_APOSTROPHE = "|".join(sorted({"cannot", *_BARE}))
_BARE_CONTRACTION = re.compile(rf"\b(?:{_WITHOUT_APOSTROPHE})\b")
_CONTRACTION = re.compile(rf"\b(?:[^\W\d_]+n't|[^\W\d_]+'(?:s|re|ve|ll|m)|{_WITHOUT_APOSTROPHE})\b")


def _expanded(found: re.Match[str]) -> str:
    word = found[0]
    if whole := _WHOLE.get(word) or _BARE.get(word):
        return whole
    if word.endswith("n't"):
        return word[:-3] + " not"
    if word.endswith("'s"):
        return f"{word[:-2]} is" if word[:-2] in _TAKES_IS else word
    cut = word.index("'")
    return word[:cut] + _ENDINGS.get(word[cut:], word[cut:])

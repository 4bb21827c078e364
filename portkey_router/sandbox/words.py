"""What a text says: its numbers, its quotations, its names and words, handed out in their order."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["Words", "tokens"]

TOKEN = re.compile(r"\s*\w{1,6}|\s*[^\w\s]|\s+")
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?!\w)")
# An apostrophe inside a word quotes nothing.
QUOTED = re.compile(
    r'"([^"]+)"|“([^”]+)”|„([^“”]+)[“”]|«\s*([^»]+?)\s*»|「([^」]+)」|`([^`]+)`|(?<!\w)\'([^\']+)\'(?!\w)'
)
NAME = re.compile(r"(?<=[\w,;:]\s)[A-Z][\w'’-]*(?:[ ][A-Z][\w'’-]*)*")  # noqa: RUF001  (both apostrophes are meant)
WORD = re.compile(r"[^\W\d_][\w'’-]*")  # noqa: RUF001  (as above)
# Words that say nothing by themselves.
FILLER: Final = frozenset(
    """
    a about all an and any are as at be by call called can create do does for from get give has have
    how i in into is it its make me my named now of on or please show so some tell that the their
    them then there this to tool up us use using value want was what when where which who will with
    would you your
    """.split()  # noqa: SIM905  (words read better as a text than as a list of seventy lines)
)


def tokens(text: str) -> list[str]:
    """The text in pieces of at most six letters; together they are the text. One piece counts as one token."""
    return TOKEN.findall(text)


@dataclass(slots=True)
class Words:
    """Values out of a text, each handed out once and in its order; after the last one, the first comes again."""

    text: str
    _taken: dict[str, int] = field(default_factory=dict)

    def number(self) -> float:
        """The next number; the number of words where the text has none."""
        value: float = self._next("number", self.numbers() or [len(WORD.findall(self.text))])
        return value

    def numbers(self) -> list[float]:
        """Every number, in order."""
        return [_number(digits) for digits in NUMBER.findall(self.text)]

    def quotations(self) -> list[str]:
        """Everything quoted, in order, without its quotation marks."""
        return [next(part for part in match if part) for match in QUOTED.findall(self.text)]

    def string(self) -> str:
        """The next quotation, else the next name, else the next word that says something."""
        if quoted := self.quotations():
            return str(self._next("quoted", quoted))
        names = [name for name in NAME.findall(self.text) if name.lower() not in FILLER]
        words = [word for word in WORD.findall(self.text) if word.lower() not in FILLER]
        spoken = [*names, *(word for word in words if not any(word in name for name in names))]
        return str(self._next("word", spoken or [self.text.strip() or "nothing"]))

    def named(self, key: str) -> str | None:
        """What the text assigns to a key (`key=value`, `key: value`), as written."""
        value = rf"(?:{QUOTED.pattern}|([^\s,;)]+))"
        match = re.search(rf"(?<!\w){re.escape(key)}\s*[=:]\s*{value}", self.text)
        return next((part for part in match.groups() if part), None) if match else None

    def mentions(self, word: str) -> bool:
        """Whether the word occurs in the text, in whatever case."""
        return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", self.text, re.IGNORECASE) is not None

    def _next(self, kind: str, values: list[Any]) -> Any:
        index = self._taken.get(kind, 0)
        self._taken[kind] = index + 1
        return values[index % len(values)]


def _number(digits: str) -> float:
    if digits.lstrip("+-").isdigit():
        return int(digits)
    return float(digits) if math.isfinite(float(digits)) else 0

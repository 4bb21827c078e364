"""How far the estimate of a prompt's tokens is off, before and after answers have taught a target's ratio.

What is true is tiktoken's count, by the encodings that LlamaIndex ships (o200k: gpt-4o and later; cl100k: gpt-4). The
texts come with Python (its manual, its code) and with this project; those in four other languages were written for it.
"""

from __future__ import annotations

import json
import random
import statistics
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from pydoc_data import topics
from typing import TYPE_CHECKING

from cache_data import banking77

from portkey_router import Request, Usage
from portkey_router.costing import Experience, needs_of
from portkey_router.tokenizer import tiktoken_counter
from portkey_router.tokens import tokens_of_messages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["ENCODINGS", "Off", "errors"]

ENCODINGS = {"o200k": "gpt-4o", "cl100k": "gpt-4"}
_HERE = Path(__file__).parent
_STDLIB = Path(sysconfig.get_path("stdlib"))


@dataclass(frozen=True, slots=True)
class Off:
    """How far estimates are off, as shares of the true count: the median, and what one of twenty exceeds."""

    median: float
    p95: float

    def __str__(self) -> str:
        return f"{self.median:.0%}, {self.p95:.0%}"


def errors(texts: int) -> dict[str, dict[str, tuple[Off, Off]]]:
    """By kind of text and encoding: how far off before, and after as many texts have been learned from.

    The last two rows are of one target that is asked all kinds in turn: without a system prompt, so that nothing tells
    them apart, and with one for each kind.
    """
    counters = {name: tiktoken_counter(model) for name, model in ENCODINGS.items()}
    kinds = {name: list(_some(name, 2 * texts)) for name in _SOURCES}
    plain = {
        name: [Request(({"role": "user", "content": text},), None) for text in found] for name, found in kinds.items()
    }
    turns = [requests[number] for number in range(2 * texts) for requests in plain.values()]
    told = [_told(request, name) for number in range(2 * texts) for name, request in _turn(plain, number)]
    rows = {**plain, "all in turn": turns, "all in turn, a system prompt each": told}
    return {name: {each: _errors(asked, counters[each]) for each in counters} for name, asked in rows.items()}


def _turn(plain: dict[str, list[Request]], number: int) -> Iterator[tuple[str, Request]]:
    for name, requests in plain.items():
        yield name, requests[number]


def _told(request: Request, name: str) -> Request:
    return Request(({"role": "system", "content": f"You are asked about {name}."}, *request.messages), None)


def _errors(asked: Sequence[Request], count: Callable[[str], int]) -> tuple[Off, Off]:
    first, second = asked[: len(asked) // 2], asked[len(asked) // 2 :]
    experience = Experience()
    for request in first:
        needs, true = needs_of(request), tokens_of_messages(request.messages, count=count)
        experience.answered("target", needs.tokens, Usage(true, 1, true + 1), 1.0, needs.kind)
    before, after = [], []
    for request in second:
        needs, true = needs_of(request), tokens_of_messages(request.messages, count=count)
        before.append(abs(needs.tokens - true) / true)
        after.append(abs(needs.tokens * experience.of("target", needs.kind).ratio - true) / true)
    return _off(before), _off(after)


def _off(shares: list[float]) -> Off:
    return Off(statistics.median(shares), statistics.quantiles(shares, n=20)[-1])


# ---- texts -----------------------------------------------------------------------------------------------------------


def _some(name: str, number: int) -> Iterator[str]:
    """Texts of one kind, the same each time."""
    lines, least, most = _SOURCES[name]
    chance, every = random.Random(name), lines()  # noqa: S311  (a benchmark's)
    for place in range(number):
        length, start = chance.randint(least, most), chance.randrange(len(every))
        # A number of its own, or two that begin with the same line would be calls of a kind.
        yield f"{place}. " + "\n".join((every * 2)[start : start + length])


def _questions() -> list[str]:
    return [question.text for question in banking77("stream")]


def _manual() -> list[str]:
    return "\n".join(topics.topics[name] for name in sorted(topics.topics)).splitlines()


def _code() -> list[str]:
    return "\n".join(
        (_STDLIB / f"{name}.py").read_text("utf-8") for name in ("argparse", "heapq", "shutil")
    ).splitlines()


def _json() -> list[str]:
    schema = json.loads((_HERE.parent / "tests" / "data" / "portkey-config.schema.json").read_text("utf-8"))
    pretty, small = json.dumps(schema, indent=2).splitlines(), json.dumps(schema, separators=(",", ":"))
    return pretty + [small[start : start + 400] for start in range(0, len(small), 400)]


def _sentences(language: str) -> Callable[[], list[str]]:
    def lines() -> list[str]:
        written = (_HERE / "data" / "sentences.txt").read_text("utf-8")
        return written.partition(f"[{language}]\n")[2].partition("\n\n")[0].splitlines()

    return lines


# By kind: its lines, and how many of them a text has, at least and at most.
_SOURCES: dict[str, tuple[Callable[[], list[str]], int, int]] = {
    "short questions": (_questions, 1, 1),
    "English manual": (_manual, 5, 80),
    "Python code": (_code, 10, 80),
    "JSON": (_json, 5, 60),
    "German": (_sentences("german"), 1, 8),
    "Russian": (_sentences("russian"), 1, 8),
    "Chinese": (_sentences("chinese"), 1, 8),
    "Japanese": (_sentences("japanese"), 1, 8),
}

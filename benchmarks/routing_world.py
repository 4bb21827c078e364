"""The world of the simulated day: what targets are like, what is asked of them, and what then happens.

All of it is made up, here and once, and drawn from a seed: change it, and the benchmark's figures change. Prices alone
are real, those of genai-prices.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from portkey_router import Request, Usage

if TYPE_CHECKING:
    from portkey_router import PriceBook

__all__ = ["NATURES", "Asked", "Outcome", "World", "a_day"]

MIDNIGHT = datetime(2026, 11, 25, tzinfo=UTC)
HOUR = 3600.0
WARM = 300.0  # seconds that a provider keeps a prompt's beginning
CACHEABLE = 1024  # tokens of a beginning, from which on it is kept


@dataclass(frozen=True, slots=True)
class Nature:
    """What a target is like. `counts`: its tokens for each of OpenAI's; `talks`: its answers' length likewise.

    `thinks`: tokens before each answer, billed and not seen. `first`, `speed`: seconds until the first token, and
    tokens a second. `fails`: the shares of attempts that get a 503, are never answered, or break off in the middle
    (which is billed); `busy`: of 429s in working hours. `down`: from, to (hours), and whether it hangs or refuses.
    """

    provider: str
    counts: float = 1.0
    talks: float = 1.0
    thinks: int = 0
    caches: bool = True
    first: float = 0.8
    speed: float = 80.0
    fails: tuple[float, float, float] = (0.004, 0.001, 0.002)
    busy: float = 0.0
    down: tuple[float, float, str] | None = None


NATURES = {
    "gpt-4.1-mini": Nature("openai"),
    "gpt-5-mini": Nature("openai", talks=0.9, thinks=250, first=2.5),
    "gemini-2.5-flash": Nature("google", counts=1.05, thinks=200, first=1.0, speed=150),
    "claude-haiku-4-5": Nature("anthropic", counts=1.2, talks=0.9, caches=False, speed=110),
    "deepseek-chat": Nature(
        "deepseek", counts=1.02, talks=1.1, first=1.8, speed=35, fails=(0.01, 0.02, 0.01), down=(10, 11.5, "hangs")
    ),
    "llama-3.3-70b-versatile": Nature(
        "groq", counts=1.03, caches=False, first=0.4, speed=250, busy=0.06, down=(15, 16, "refuses")
    ),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """What is asked: its share of all calls, tokens of the shared beginning, of the rest, of the answer (medians)."""

    name: str
    share: int
    shared: int
    fresh: int
    answer: int
    bytes_a_token: float = 4.4


KINDS = (
    Kind("chat", 50, 300, 600, 250),
    Kind("documents", 25, 3_000, 1_500, 180),
    Kind("classify", 15, 1_500, 250, 8, 3.3),
    Kind("write", 9, 200, 150, 900),
    Kind("long", 1, 500, 60_000, 400),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One call of the day: when (seconds from midnight), and its true sizes in OpenAI's tokens."""

    number: int
    at: float
    kind: Kind
    fresh: int
    answer: int

    def request(self) -> Request:
        """As it is sent; what it says is its length alone."""
        kind = self.kind
        system = {"role": "system", "content": kind.name + "s" * round(kind.shared * kind.bytes_a_token)}
        return Request((system, {"role": "user", "content": "u" * round(self.fresh * kind.bytes_a_token)}), None)


def a_day(seed: int, calls: int) -> list[Asked]:
    """The calls of a day, more of them by day than by night."""
    chance = random.Random(seed)  # noqa: S311  (a benchmark's)
    asked = []
    for number in range(calls):
        hour = min(max(chance.gauss(13, 4), 0), 23.99) if chance.random() < 0.8 else chance.random() * 24  # noqa: PLR2004
        kind = chance.choices(KINDS, [kind.share for kind in KINDS])[0]
        fresh, answer = (max(1, round(size * chance.lognormvariate(0, 0.4))) for size in (kind.fresh, kind.answer))
        asked.append(Asked(number, hour * HOUR, kind, fresh, answer))
    return asked


# ---- what really happens ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one attempt: what became of it, after how many seconds, what it used, and what that is billed."""

    what: str  # answers, busy (429), refuses (503), hangs, breaks
    first: float
    seconds: float
    usage: Usage
    usd: float


@dataclass(slots=True)
class World:
    """The providers, for one policy's day: what they answer is drawn anew for each, and comes out the same."""

    seed: int
    prices: PriceBook
    now: float = 0.0
    warm: dict[tuple[str, str], float] = field(default_factory=dict)

    @property
    def time(self) -> datetime:
        """The time of day."""
        return MIDNIGHT + timedelta(seconds=self.now)

    def outcome(self, asked: Asked, name: str, number: int) -> Outcome:
        """What the target's answer to this attempt would be, if it were asked now."""
        nature, kind = NATURES[name], asked.kind
        chance = random.Random(f"{self.seed}/{asked.number}/{name}/{number}")  # noqa: S311  (a benchmark's)
        what = self._what(nature, chance.random())
        made = round(asked.answer * nature.talks * chance.lognormvariate(0, 0.15)) + nature.thinks
        first = nature.first * chance.lognormvariate(0, 0.3) + nature.thinks / nature.speed
        if what in {"busy", "refuses", "hangs"}:
            return Outcome(what, 0.2, 0.2, Usage(0, 0, 0), 0.0)
        if what == "breaks":
            made = max(1, made // 2)
        sent = round((kind.shared + asked.fresh) * nature.counts)
        kept = nature.caches and kind.shared >= CACHEABLE and self.now - self.warm.get((name, kind.name), -1e9) < WARM
        cached, thought = kind.shared // 128 * 128 if kept else 0, min(nature.thinks, made)
        usage = Usage(sent, made, sent + made, cache_read_tokens=cached, reasoning_tokens=thought)
        cost = self.prices.cost(usage, model=name, provider=nature.provider, at=self.time)
        assert cost is not None, f"no price of {name}"
        return Outcome(what, first, first + max(0, made - nature.thinks) / nature.speed, usage, float(cost.amount))

    def _what(self, nature: Nature, drawn: float) -> str:
        hour = self.now / HOUR
        if nature.down is not None and nature.down[0] <= hour < nature.down[1]:
            return nature.down[2]
        busy = nature.busy if 9 <= hour < 17 else 0.0  # noqa: PLR2004  (working hours)
        for what, share in zip(("refuses", "hangs", "breaks", "busy"), (*nature.fails, busy), strict=True):
            if drawn < share:
                return what
            drawn -= share
        return "answers"

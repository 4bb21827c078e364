"""What a lookup in the cache costs, beside the bare commands and beside langchain-redis; embedding excluded.

    .venv/bin/python benchmarks/cache_speed.py            # 1,000, 10,000 and 100,000 entries: about eight minutes
    .venv/bin/python benchmarks/cache_speed.py --quick    # 200 entries, rough

Medians of wall time, milliseconds, of one run on one Redis: the calls of all are interleaved, so the ratios hold where
the absolute figures do not. Answers are of 2 kB, vectors of 384 numbers, and a hundredth of the entries is of one scope
(tenant). "Bare" is redis-py with nothing around it, its reply not even decoded. Every question is a new one, so no
remembered vector or parsed question helps; every answer is checked. langchain-redis compares no scopes, and is left out
at 100,000 entries, which it takes too long to store.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import math
import random
import statistics
import struct
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).parent.parent))  # `tests.services`, which starts a Redis

import redis
import redis.asyncio
from cache_policies import redis_url
from langchain_core.embeddings import Embeddings
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration
from langchain_redis import RedisSemanticCache as LangchainRedis

from langchain_portkey_router import RedisSemanticCache
from portkey_router.cache.cache import SemanticCache
from portkey_router.cache.results import Hit
from portkey_router.cache.texts import text_of_entry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

DIMENSIONS = 384
SCOPES = 100
ANSWER = "".join(
    f"Step {number}: look at the {number}th page of the manual, and do as it says. " for number in range(30)
)
PATIENCE = 30.0
TOPICS = "card loan transfer account statement mortgage refund deposit pension invoice cheque receipt".split()
SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]


def question(number: int) -> str:
    """A question of its own."""
    name = "".join(SYLLABLES[number // 70**place % 70] for place in range(3))
    return f"Where do I find the {TOPICS[number % len(TOPICS)]} of the branch called {name}?"


def alike(number: int, turn: int) -> str:
    """The same in other words, which are new at each turn."""
    name = "".join(SYLLABLES[number // 70**place % 70] for place in range(3))
    spaces = "so " * (turn % 7) + "and " * (turn // 7 % 7) + "well " * (turn // 49)
    return f"{spaces}where do I find the {TOPICS[number % len(TOPICS)]} of that branch called {name}?"


class Vectors(Embeddings):
    """A vector for each question; that of one alike has a cosine of 0.995 with it."""

    model = "random"
    max_seq_length = 8192

    def __init__(self) -> None:
        self._of: dict[str, list[float]] = {}

    def know(self, number: int, text: str, *, noise: float = 0.0) -> None:
        """Make it ready, so that asking costs nothing."""
        chance = random.Random(number)
        vector = [chance.gauss(0, DIMENSIONS**-0.5) for _ in range(DIMENSIONS)]
        shift = random.Random(number + 1_000_000)
        self._of[text] = _scaled([each + noise * shift.gauss(0, DIMENSIONS**-0.5) for each in vector])

    def embed_query(self, text: str) -> list[float]:
        """The vector of the question, or of the question in LangChain's JSON."""
        if text.startswith("[{"):
            text = text.partition('"content": "')[2].partition('"')[0]
        return self._of.get(text) or [1.0] * DIMENSIONS

    async def aembed_query(self, text: str) -> list[float]:
        """As `embed_query`."""
        return self.embed_query(text)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Those of several."""
        return [self.embed_query(text) for text in texts]


def _scaled(vector: list[float]) -> list[float]:
    """Of length 1, as encoders give them."""
    length = math.hypot(*vector)
    return [each / length for each in vector]


@dataclass
class Bench:
    """One size: the stores are filled, `size` entries each."""

    url: str
    size: int
    peer: bool

    def __post_init__(self) -> None:
        self.name = f"speed:{uuid4().hex[:8]}"
        self.vectors = Vectors()
        self.sync = redis.Redis.from_url(self.url)
        self.cache = SemanticCache(self.url, self.vectors, name=self.name, timeout=PATIENCE, connect_timeout=PATIENCE)
        self.langchain = RedisSemanticCache(cache=self.cache)
        self.theirs: Any = None
        for number in range(self.size):
            self.vectors.know(number, question(number))

    def fill(self) -> dict[str, float]:
        """Bytes that an entry takes, by who stored it."""
        taken = {"ours": self._bytes(self._fill_ours)}
        if self.peer:
            taken["langchain-redis"] = self._bytes(self._fill_theirs)
        return taken

    def _bytes(self, fill: Callable[[], None]) -> float:
        before = self._used()
        fill()
        return (self._used() - before) / self.size

    def _used(self) -> int:
        return int(self.sync.info("memory")["used_memory"])

    def _fill_ours(self) -> None:
        for number in range(self.size):
            reason = self.cache.put(question(number), ANSWER, tenant=str(number % SCOPES))
            assert reason is None, reason

    def _fill_theirs(self) -> None:
        theirs = f"{self.name}-theirs"
        self.theirs = LangchainRedis(self.vectors, self.url, 0.1, name=theirs, prefix=theirs)
        generations = [ChatGeneration(message=AIMessage(ANSWER))]
        for number in range(self.size):
            self.theirs.update(dumps([HumanMessage(question(number))]), "llm", generations)

    # --- the calls: each gives whether the answer is right --------------------------------------------------------

    def new(self, number: int, turn: int) -> str:
        """A question that nobody has asked yet, with its vector."""
        text = alike(number, turn)
        self.vectors.know(number, text, noise=0.1)
        return text

    def key(self, number: int, text: str) -> Any:
        """The key of a question."""
        return self.cache.key([{"role": "user", "content": text}], tenant=str(number % SCOPES))

    def row(self, number: int) -> str:
        """The GET of the same size is of this key."""
        return f"{self.name}:get:{self.key(number, question(number)).normalised[:32]}"

    def copy_bodies(self, numbers: Sequence[int]) -> None:
        """Strings of the same size as the entries, for the bare GET."""
        for number in numbers:
            row = self.key(number, question(number)).normalised[:32]
            self.sync.set(self.row(number), bytes(self.sync.hget(f"{self.name}:e:{row}", "a") or b""))

    def search(self, number: int, text: str) -> tuple[Any, ...]:
        """The bare search of the same scope, for one row and its body."""
        index = next(
            each for each in self.sync.execute_command("FT._LIST") if each.startswith(f"{self.name}:i:".encode())
        )
        return index, self.key(number, text).scope[:32], struct.pack(f"<{DIMENSIONS}f", *self.vectors.embed_query(text))

    def close(self) -> None:
        """Leave nothing behind."""
        for key in self.sync.scan_iter(f"{self.name}:get:*"):
            self.sync.unlink(key)
        self.cache.clear()
        if self.theirs is not None:
            self.theirs.clear()
        self.sync.close()


def bare_search(index: bytes, scope: str, vector: bytes) -> tuple[Any, ...]:
    """FT.SEARCH for the nearest of a scope."""
    field = f"v_{index.decode().split(':')[-2]}_32"
    query = f"(@s:{{{scope}}})=>[KNN 1 @{field} $q AS d]"
    return (
        "FT.SEARCH",
        index,
        query,
        "PARAMS",
        "2",
        "q",
        vector,
        "RETURN",
        "2",
        "a",
        "d",
        "LIMIT",
        "0",
        "1",
        "DIALECT",
        "2",
    )


def sync_calls(bench: Bench) -> dict[str, Callable[[int, int], Callable[[], Any]]]:
    """Each prepares a call, which is then timed; it gives something true where the answer is right."""

    def exact(number: int, _: int) -> Callable[[], Any]:
        text, tenant = question(number), str(number % SCOPES)
        messages = [{"role": "user", "content": text}]
        return lambda: _is(bench.cache.lookup(bench.cache.key(messages, tenant=tenant), text_of_entry), "exact")

    def semantic(number: int, turn: int) -> Callable[[], Any]:
        text, tenant = bench.new(number, turn), str(number % SCOPES)
        messages = [{"role": "user", "content": text}]
        return lambda: _is(bench.cache.lookup(bench.cache.key(messages, tenant=tenant), text_of_entry), "semantic")

    def get(number: int, _: int) -> Callable[[], Any]:
        row = bench.row(number)
        return lambda: bench.sync.get(row)

    def search(number: int, turn: int) -> Callable[[], Any]:
        command = bare_search(*bench.search(number, bench.new(number, turn)))
        return lambda: _found(bench.sync.execute_command(*command))

    def theirs(number: int, turn: int) -> Callable[[], Any]:
        prompt = dumps([HumanMessage(bench.new(number, turn))])
        return lambda: bench.theirs.lookup(prompt, "llm")

    calls = {GET: get, EXACT: exact, SEARCH: search, SEMANTIC: semantic}
    return {**calls, PEER: theirs} if bench.theirs is not None else calls


def async_calls(bench: Bench, client: Any) -> dict[str, Callable[[int, int], Callable[[], Awaitable[Any]]]]:
    """The same in a loop."""

    def looked(text: str, number: int, layer: str) -> Callable[[], Awaitable[Any]]:
        messages, tenant = [{"role": "user", "content": text}], str(number % SCOPES)

        async def look() -> bool:
            return _is(await bench.cache.alookup(bench.cache.key(messages, tenant=tenant), text_of_entry), layer)

        return look

    def exact(number: int, _: int) -> Callable[[], Awaitable[Any]]:
        return looked(question(number), number, "exact")

    def semantic(number: int, turn: int) -> Callable[[], Awaitable[Any]]:
        return looked(bench.new(number, turn), number, "semantic")

    def get(number: int, _: int) -> Callable[[], Awaitable[Any]]:
        row = bench.row(number)
        return lambda: client.get(row)

    def search(number: int, turn: int) -> Callable[[], Awaitable[Any]]:
        command = bare_search(*bench.search(number, bench.new(number, turn)))

        async def look() -> bool:
            return _found(await client.execute_command(*command))

        return look

    def theirs(number: int, turn: int) -> Callable[[], Awaitable[Any]]:
        prompt = dumps([HumanMessage(bench.new(number, turn))])
        return lambda: bench.theirs.alookup(prompt, "llm")

    calls = {GET: get, EXACT: exact, SEARCH: search, SEMANTIC: semantic}
    return {**calls, PEER: theirs} if bench.theirs is not None else calls


GET, EXACT, SEARCH, SEMANTIC, PEER = "bare GET", "exact hit", "bare FT.SEARCH", "semantic hit", "langchain-redis"


def _is(result: Any, layer: str) -> bool:
    assert isinstance(result, Hit), result
    assert (result.layer, result.value) == (layer, ANSWER), result.layer
    return True


def _found(reply: Any) -> bool:
    return bool(reply[b"results"] if isinstance(reply, dict) else reply[0])


def numbers(bench: Bench, turns: int) -> list[int]:
    """Which entries are asked for."""
    return [random.Random(turn).randrange(bench.size) for turn in range(turns)]


TURN = itertools.count()


def measure(bench: Bench, turns: int) -> dict[str, float]:
    """Median milliseconds of each call, in this thread."""
    taken: dict[str, list[float]] = {}
    calls = sync_calls(bench)
    for number in numbers(bench, turns):
        for name, prepare in calls.items():
            call = prepare(number, next(TURN) % 343)
            begun = time.perf_counter()
            right = call()
            taken.setdefault(name, []).append((time.perf_counter() - begun) * 1000)
            assert right, f"{name} found nothing"
    return {name: statistics.median(figures) for name, figures in taken.items()}


async def measure_async(bench: Bench, turns: int) -> dict[str, float]:
    """The same in a loop, one call at a time."""
    taken: dict[str, list[float]] = {}
    async with redis.asyncio.Redis.from_url(bench.url) as client:
        calls = async_calls(bench, client)
        for number in numbers(bench, turns):
            for name, prepare in calls.items():
                call = prepare(number, next(TURN) % 343)
                begun = time.perf_counter()
                right = await call()
                taken.setdefault(name, []).append((time.perf_counter() - begun) * 1000)
                assert right, f"{name} found nothing"
    return {name: statistics.median(figures) for name, figures in taken.items()}


def aims(size: int, how: str, took: dict[str, float]) -> Iterator[tuple[str, float, str]]:
    """What was aimed at, what it is, and whether it is met."""
    entries = f"{size:,} entries, {how}"
    exact, semantic = took[EXACT] / took[GET], took[SEMANTIC] / took[SEARCH]
    yield f"{entries}: exact hit, at most 2.5 x GET", exact, "met" if exact <= 2.5 else "not met"
    yield f"{entries}: semantic hit, at most 2.5 x FT.SEARCH", semantic, "met" if semantic <= 2.5 else "not met"
    if PEER in took:
        least = 4 if size >= 10_000 else 2
        faster = took[PEER] / took[SEMANTIC]
        yield f"{entries}: langchain-redis, at least {least} x ours", faster, "met" if faster >= least else "not met"


def show(head: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """A table."""
    print("| " + " | ".join(head) + " |\n|" + " --- |" * len(head))
    for line in lines:
        print("| " + " | ".join(line) + " |")
    print(flush=True)


def main() -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--redis", help="the URL of a Redis with search; by default one is started")
    parser.add_argument("--quick", action="store_true", help="200 entries, rough")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    options = parser.parse_args()
    sizes, turns = ([200], 20) if options.quick else (options.sizes, 400)
    judged: list[tuple[str, float, str]] = []
    room: list[list[str]] = []
    with ExitStack() as stack:
        url = stack.enter_context(redis_url(options.redis))
        if url is None:
            sys.exit("This benchmark needs a Redis with search: --redis URL.")
        for size in sizes:
            bench = Bench(url, size, peer=size <= 10_000)
            try:
                bytes_of = bench.fill()
                bench.copy_bodies(numbers(bench, turns))
                gc.collect()
                took = {"sync": measure(bench, turns), "async": asyncio.run(measure_async(bench, turns))}
            finally:
                bench.close()
            lines = [[name, *(f"{took[how][name]:.3f}" for how in took)] for name in took["sync"]]
            show([f"{size:,} entries, ms", *took], lines)
            judged += [line for how in took for line in aims(size, how, took[how])]
            room.append([f"{size:,}", *(f"{bytes_of[who]:,.0f}" if who in bytes_of else "-" for who in ("ours", PEER))])
    show(["bytes an entry, of", "ours", PEER], room)
    show(["aim", "is", "met?"], [[what, f"{figure:.2f}", met] for what, figure, met in judged])


if __name__ == "__main__":
    main()

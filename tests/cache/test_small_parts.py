from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portkey_router.cache.aside import Asides
from portkey_router.cache.breaker import Breaker
from portkey_router.cache.cache import SemanticCache
from portkey_router.cache.entry import CorruptEntryError, Entry, EntryTooLargeError, body_of, entry_of
from portkey_router.cache.recent import Recent
from portkey_router.errors import ConfigurationError
from portkey_router.sansio import run_steps

ROOT = Path(__file__).parent.parent.parent

TEXTS = st.text(alphabet=st.characters(), max_size=50)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=30,
)


ENTRIES = st.builds(
    Entry,
    kind=TEXTS,
    answer=JSON,
    text=st.text(max_size=3000),
    created=st.floats(0, 1e10),
    model=st.none() | TEXTS,
    input_tokens=st.none() | st.integers(0, 10**9),
    output_tokens=st.none() | st.integers(0, 10**9),
    cost=st.none() | st.decimals(0, 1000, allow_nan=False, places=9),
    exact=TEXTS,
    tags=st.lists(TEXTS, max_size=3).map(tuple),
    tenant=TEXTS,
    namespace=TEXTS,
    name=st.none() | TEXTS,
    target=st.none() | TEXTS,
)


@given(ENTRIES)
def test_entries_survive_the_store(entry: Entry) -> None:
    """What is written is read, whatever it is."""
    assert entry_of(body_of(entry, 1 << 20)) == entry


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    """They are an entry, or a `CorruptEntryError`."""
    for start in (b"", b"0", b"1"):
        with pytest.raises(CorruptEntryError):
            entry_of(start + body)


GOOD = ["spoken", {"text": "Hi."}, "How?", 1.0, None, 5, 2, "0.001", "", [], "", "", None, None]
NESTED: Any = "Hi."
for _ in range(400):  # json reads and writes it; `copy.deepcopy` of it ends in a RecursionError
    NESTED = [NESTED]


@pytest.mark.parametrize(
    ("field", "forged"),
    [
        *((7, cost) for cost in ("sNaN", "NaN", "Infinity", "-1", "1E+99999999", "1E-99999999", "0E+99999999")),
        *((3, created) for created in (math.nan, math.inf, -math.inf)),
        *((place, tokens) for place in (5, 6) for tokens in (-1, 10**30)),
        (1, NESTED),
        (1, {"choices": [{"message": NESTED}]}),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_could_not_be_counted_shown_or_copied_is_no_entry(field: int, forged: Any) -> None:
    """Costs, times and tokens that are none, and what is nested too deeply: refused by the reader."""
    told = [forged if place == field else value for place, value in enumerate(GOOD)]
    assert entry_of(b"0" + json.dumps(GOOD).encode()).cost == Decimal("0.001")
    with pytest.raises(CorruptEntryError):
        entry_of(b"0" + json.dumps(told).encode())


def test_what_could_not_be_read_again_is_not_written() -> None:
    """An answer that is nested too deeply is refused when it is stored; many flat parts are not deep."""
    deeper: Any = NESTED
    for _ in range(100_000):
        deeper = {"in": deeper}
    for nested in (NESTED, deeper):
        with pytest.raises(ValueError, match="nested"):
            body_of(Entry("spoken", nested, "How?", 1.0), 1 << 20)
    flat = Entry("spoken", [{"top": [{"token": "a"}]}] * 500, "How?", 1.0)
    assert entry_of(body_of(flat, 1 << 20)) == flat


def test_an_entry_is_bounded_and_compressed() -> None:
    """Above 1 kB it is compressed; above the limit it is refused."""
    long = Entry("spoken", {"text": "lorem ipsum " * 1000}, "How?", 1.0)
    assert len(body_of(long, 4096)) < 400
    with pytest.raises(EntryTooLargeError):
        body_of(long, 50)
    short = Entry("spoken", {"text": "Hi."}, "How?", 1.0)
    assert json.loads(body_of(short, 4096)[1:])[1] == {"text": "Hi."}


def test_a_breaker_opens_tries_and_closes() -> None:
    """Three failures in a row open it; after the cooldown one try; a success closes it."""
    breaker = Breaker(failures=3, cooldown=5.0)
    breaker.failed(0.0)
    breaker.failed(0.0)
    breaker.succeeded()
    for now in (1.0, 1.0, 1.0):
        assert breaker.allows(now)
        breaker.failed(now)
    assert not breaker.allows(5.9)
    assert breaker.allows(6.0)
    assert not breaker.allows(6.0)  # one try is under way
    breaker.failed(7.0)
    assert not breaker.allows(11.9)
    assert breaker.allows(12.0)
    breaker.succeeded()
    assert breaker.allows(12.0)
    assert breaker.allows(12.0)


def test_recent_keeps_the_last_used() -> None:
    """Reading counts as using."""
    recent: Recent[int] = Recent(2)
    recent.put("a", 1)
    recent.put("b", 2)
    assert recent.get("a") == 1
    recent.put("c", 3)
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == (1, None, 3)


def test_recent_is_safe_in_threads() -> None:
    """Eight threads on a small one: no error, and never more than it keeps."""
    recent: Recent[int] = Recent(3)
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(5000):
                recent.put(str((turn * number) % 7), turn)
                recent.get(str(turn % 7))
        except BaseException as error:  # noqa: BLE001  (asserted below)
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(recent._values) <= 3


def test_asides_are_bounded() -> None:
    """What comes while all hands are full is not done."""
    asides, go = Asides(at_once=2), threading.Event()
    assert [asides.in_thread(go.wait) for _ in range(3)] == [True, True, False]
    go.set()


def test_steps_are_thrown_their_errors() -> None:
    """A generator may handle what its driver could not do."""

    def steps() -> Any:
        try:
            yield "impossible"
        except KeyError:
            return (yield "possible")

    def perform(step: str) -> str:
        if step == "impossible":
            raise KeyError(step)
        return step

    assert run_steps(steps(), perform) == "possible"


@pytest.mark.parametrize(
    "options",
    [
        {"distance_threshold": 1.0},
        {"distance_threshold": -0.1},
        {"ttl": 0},
        {"ttl": float("inf")},
        {"timeout": 0},
        {"name": ""},
        {"name": "a b"},
        {"store": "http://localhost"},
        {"store": "redis://localhost", "algorithm": "SVS"},
        {"embeddings": 7},
    ],
    ids=str,
)
def test_mistakes_are_told_at_construction(options: dict[str, Any]) -> None:
    """What cannot be meant is an error, before the network."""
    with pytest.raises(ConfigurationError):
        SemanticCache(**options)


def test_a_cache_in_memory_keeps_the_last_used() -> None:
    """Without numpy as with it, it is bounded, and vectors go with their rows."""
    program = (
        "import sys\n"
        "if sys.argv[1] == 'without': sys.modules['numpy'] = None\n"
        "import importlib.util\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name: None if sys.argv[1] == 'without' and name == 'numpy' else find(name)\n"
        "from portkey_router.cache.cache import SemanticCache\n"
        "from portkey_router.stores.memory_cache import MemoryCacheStore\n"
        "from tests.cache.words import Words\n"
        "store = MemoryCacheStore(max_rows=20)\n"
        "cache = SemanticCache(store, Words(), distance_threshold=0.3, guards=None)\n"
        "for n in range(50): cache.put(f'topic{n} word{n} thing{n} place{n} person{n}', n)\n"
        "found = [cache.get(f'topic{n} word{n} thing{n} place{n} person{n} x') for n in range(50)]\n"
        "assert found == [None] * 30 + list(range(30, 50)), found\n"
        "assert cache.clear(tag='none') == 0 and cache.count() == 20\n"
        "cache.clear()\n"
        "assert not store._rows and not store._vectors\n"
        "print('numpy' in sys.modules and sys.modules['numpy'] is not None)\n"
    )
    for kind, expected in (("without", "False\n"), ("with", f"{importlib.util.find_spec('numpy') is not None}\n")):
        command = [sys.executable, "-c", program, kind]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert (done.stdout, done.stderr) == (expected, "")

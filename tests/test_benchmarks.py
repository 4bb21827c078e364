"""The benchmarks run: every client gives the right answer, and the tables are printed. What they say is not judged."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.services.redis import RedisServer

ROOT = Path(__file__).parent.parent


def rows(script: str, *arguments: str) -> dict[str, list[list[str]]]:
    """Each table that the script prints, by the head of its first column."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / script), "--quick", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr  # a wrong answer is an AssertionError there
    tables: dict[str, list[list[str]]] = {}
    for block in re.findall(r"(?:^\|.*\n)+", done.stdout, flags=re.MULTILINE):
        head, rule, *body = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
        assert set(rule) == {"---"}
        assert {len(line) for line in body} == {len(head)}
        tables[head[0]] = body
    return tables


@pytest.mark.timeout(180)
def test_clients_prints_its_tables() -> None:
    """Four clients by two ways, six imports, and a figure in every cell."""
    tables = rows("clients.py")
    assert [line[0] for line in tables["client"]] == ["httpx", "openai SDK", "portkey-ai SDK", "PortkeyRouter"]
    assert len(tables["import"]) == 6
    assert all(float(cell) >= 0 for line in tables["client"] for cell in line[1:])


@pytest.mark.timeout(180)
def test_overhead_prints_its_tables_and_its_aims() -> None:
    """Nine clients in each of four tables, our own code, the imports, and for each aim whether it is met."""
    tables = rows("overhead.py")
    everybody = ["httpx", "portkey-ai SDK", "PortkeyRouter", "LangChain's floor", "ChatPortkey", "ChatOpenAI"]
    everybody += ["LlamaIndex's floor", "PortkeyLLM", "LlamaIndex OpenAI"]
    side_by_side = [lines for lines in tables.values() if lines[0][0] == "httpx"]
    assert [[line[0] for line in lines] for lines in side_by_side] == [everybody] * 4
    assert all(float(cell) >= 0 for lines in side_by_side for line in lines for cell in line[1:])
    assert {"own code, without HTTP", "import"} <= tables.keys()
    assert len(tables["aim"]) == 8
    assert {line[-1] for line in tables["aim"]} <= {"met", "not met"}


@pytest.mark.timeout(180)
def test_wire_stream_prints_its_table() -> None:
    """Three clients, by three ways, and what a token costs."""
    (lines,) = rows("wire_stream.py").values()
    assert [line[0] for line in lines] == ["PortkeyRouter", "ChatPortkey", "PortkeyLLM"]
    assert all(float(cell) == float(cell) for line in lines for cell in line[1:])


@pytest.mark.timeout(180)
def test_cache_quality_prints_its_tables_and_meets_its_aims() -> None:
    """Wrong answers, pairs by class, a stream; ours serves none of 25 intents wrongly, and every aim is met.

    What is judged is decided, not timed: the small encoder gives the same figures each time.
    """
    tables = rows("cache_quality.py")
    ours, *others = tables["served a wrong answer"]
    assert ours[1:] == ["0 of 25"] * 3
    assert len(others) == 3
    assert [line[0].split()[0] for line in tables["class"]] == [
        *("number", "unit", "negation", "antonym", "entity", "order"),
        *("politeness", "suffix", "contraction", "typo"),
    ]
    assert all(int(line[1]) >= 40 for line in tables["class"])
    assert len(tables["banking77, 800 questions"]) == 4
    assert [line[-1] for line in tables["aim"]] == ["met"] * 6


@pytest.mark.timeout(180)
def test_ledger_prints_its_tables_and_never_overspends(
    plain_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both stores by two ways beside the floor; what is checked, then recorded, overspends, what is reserved never."""
    monkeypatch.setenv("REDIS_URL", plain_redis.url)
    tables = rows("ledger.py")
    every = ["two INCRBY by redis-py"]
    every += [f"{store}, {what}" for store in ("memory", "Redis") for what in ("1 budget", "3 budgets, 2 limits")]
    rates = [lines for title, lines in tables.items() if title.startswith("reserve and settle")]
    assert [[line[0] for line in lines] for lines in rates] == [every] * 2
    assert all(float(line[2]) > 0 for lines in rates for line in lines)
    spent = tables["in flight, on a budget of $5"]
    assert all(float(line[2].removeprefix("$")) <= 5 for line in spent)
    assert float(spent[-1][1].removeprefix("$")) > 5


@pytest.mark.timeout(180)
def test_cache_speed_prints_its_tables_and_its_aims(redis_url: str) -> None:
    """Six calls in threads and in loops, the bytes an entry takes, and for each aim whether it is met."""
    tables = rows("cache_speed.py", "--redis", redis_url)
    calls = ["bare GET", "exact hit", "bare FT.SEARCH", "semantic hit, known words", "semantic hit, new words"]
    assert [line[0] for line in tables["200 entries, ms"]] == [*calls, "langchain-redis"]
    assert all(float(cell) > 0 for line in tables["200 entries, ms"] for cell in line[1:])
    assert len(tables["bytes an entry, of"]) == 1
    assert len(tables["aim"]) == 10
    assert {line[-1] for line in tables["aim"]} <= {"met", "not met"}


@pytest.mark.timeout(180)
def test_routing_prints_its_tables_and_saves(plain_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decisions, the ledger, two days and the tokens' error; no policy is cheaper than foresight, nor ours than others.

    What is judged is drawn from a seed, not timed: the days give the same figures each time.
    """
    monkeypatch.setenv("REDIS_URL", plain_redis.url)
    tables = rows("routing.py")
    assert [line[0] for line in tables["a decision, CPU ms"]] == ["a question", "20 messages, 8 tools"]
    assert [line[-1] in {"met", "not met"} for line in tables["aim"]] == [True, True]
    assert len(tables["reserve and settle"]) == 5
    for title in ("400 calls, six targets", "400 calls, four of them"):
        ours, waiting, by_list, by_rates, foresight = tables[title]
        assert float(foresight[2]) == 1.0
        assert 1.0 <= float(ours[2]) < min(float(by_list[2]), float(by_rates[2]))
        assert float(waiting[6]) < min(float(ours[6]), float(by_list[6]))
    off = {line[0]: line[1:] for line in tables["estimate off by: median, p95"]}
    assert len(off) == 10
    by_bytes, learned = (int(cell.partition("%")[0]) for cell in off["Russian"][:2])
    assert by_bytes > 50
    assert learned < 30

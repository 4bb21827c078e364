"""Hits in both adapters, and of each kind of cache in ChatPortkey: they say the same of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from portkey_router import SemanticCache, usage_report
from tests.langchain.caches import GENEROUS
from tests.test_parity import BOTH, WAYS, Case, by_langchain, by_llama_index

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portkey_router.sandbox import PortkeyDouble

CASES = {
    "text": Case(),
    "settings": Case(options={"model": "gpt-4o", "seed": 7, "stop": ["way"], "portkey_metadata": {"a": "b"}}),
    "reasoning": Case(options={"model": "gpt-5", "reasoning_effort": "low"}),
    "a strategy": Case(options={"strategy": BOTH, "max_retries": 1}),
    "slug": Case(options={"model": "@openai-prod/gpt-4o"}),
}
UNPRICED = "@openai-prod/weird-model"


def hit(ask: Any, case: Case, ways: tuple[str, str], cache: Any) -> dict[str, Any]:
    """What a hit says, and what the report of its call does; the answer was stored by one way, and found by another."""
    cached = Case(case.question, case.kind, {**case.options, **cache})
    with usage_report() as report:
        first = ask(cached, ways[0])
        found = ask(cached, ways[1])
    stored, told = report.calls
    assert (stored.cache, first["text"]) == (None, found["text"])
    assert found["portkey"]["cache"].pop("age_seconds") >= 0
    assert told.saved_usd == (None if stored.cost is None else stored.cost.amount)
    portkey = {name: value for name, value in found["portkey"].items() if name != "run_on"}
    event = (told.outcome, told.model, told.provider, told.target, told.cache, told.cost, told.usage, told.attempts)
    return {**found, "portkey": portkey, "event": event, "streamed": told.streamed}


def one() -> SemanticCache:
    """A patient cache of its own."""
    return SemanticCache("memory://", name=f"test:{uuid4().hex}", timeout=GENEROUS)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
def test_hits_of_both_adapters_come_out_the_same(
    portkey: PortkeyDouble, monkeypatch: pytest.MonkeyPatch, name: str, way: str
) -> None:
    """ChatPortkey with a cache of its own, and the environment's; PortkeyLLM: text, usage, what is told, the event."""
    case = CASES[name]
    of_its_own = hit(by_langchain, case, ("call", way), {"cache": one()})
    of_llama_index = hit(by_llama_index, case, ("call", way), {"cache": one()})
    monkeypatch.setenv("PORTKEY_CACHE_ENABLED", "1")
    monkeypatch.setenv("PORTKEY_CACHE_URL", f"memory://{uuid4().hex}")
    of_the_environment = hit(by_langchain, case, (way, "call" if way == "stream" else way), {})
    assert of_its_own == of_llama_index
    assert {**of_the_environment, "streamed": of_its_own["streamed"]} == of_its_own
    assert len(portkey.requests) == 3
    assert of_its_own["usage"] == (0, 0, 0)
    assert of_its_own["portkey"]["cost"]["amount"] == "0"


def test_what_was_never_priced_saves_nothing_known(portkey: PortkeyDouble) -> None:
    """An answer of unknown cost: what the hit has saved is not known either, and the hit costs nothing all the same."""
    case = Case(options={"model": UNPRICED})
    found = [hit(ask, case, ("call", "stream"), {"cache": one()}) for ask in (by_langchain, by_llama_index)]
    assert found[0] == found[1]
    told: Mapping[str, Any] = found[0]["portkey"]
    assert (told["cache"]["saved_cost"], told["cost"]["amount"]) == (None, "0")

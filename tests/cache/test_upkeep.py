"""What is done to a cache beside asking it: clearing, looking inside, rejecting, and the judge of near misses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from portkey_router.cache.results import Hit, Miss
from portkey_router.errors import StoreError
from tests.cache.test_semantic_cache import ALIKE, OTHER, QUESTION, key, said, spoken
from tests.net_server import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from portkey_router.cache.cache import SemanticCache

Ask = Any  # calls a verb, synchronous or not


# ---- administration --------------------------------------------------------------------------------------------------


def test_clearing_by_what_fits(store_url: str, make_cache: Callable[..., SemanticCache], ask: Ask) -> None:
    """By namespace, tenant, tag, prompt and age, by several at once, and all; other caches' entries stay."""
    moment = [1000.0]
    cache = make_cache(store_url, now=lambda: moment[0])
    neighbour = make_cache(store_url, name=f"neighbour:{id(cache)}")
    neighbour.put(QUESTION, "Stays.")
    for number, own in enumerate([{}, {"namespace": "n"}, {"tenant": "t"}, {"namespace": "n", "tenant": "t"}]):
        moment[0] = 1000.0 + 100 * number
        ask(cache, "put", QUESTION, "a", tags=["x"], **own)
        ask(cache, "put", OTHER, "b", tags=["x", "y:z, {w}"], **own)
    moment[0] = 1400.0
    assert ask(cache, "clear", tag="no such tag") == 0
    assert ask(cache, "clear", tag="y:z, {w}", namespace="n", tenant="t") == 1
    assert ask(cache, "clear", prompt=f"Hello, {QUESTION.upper()} Thanks!", namespace="n") == 2
    assert ask(cache, "clear", older_than=350) == 2
    assert ask(cache, "clear", tenant="t") == 2
    assert ask(cache, "clear", tag="x") == 1
    ask(cache, "put", QUESTION, "a")
    ask(cache, "put", None, "b", key="k")
    assert (ask(cache, "count"), ask(cache, "clear"), ask(cache, "count")) == (2, 2, 0)
    assert ask(neighbour, "get", QUESTION) == "Stays."


def test_a_cleared_cache_works_on(alike: SemanticCache, ask: Ask) -> None:
    """Its index is made anew."""
    for _ in range(2):
        assert isinstance(ask(alike, "lookup", key(alike, ALIKE), spoken), Miss)
        ask(alike, "store", key(alike, QUESTION), said("Click here."))
        hits = [ask(alike, "lookup", key(alike, ALIKE), spoken) for _ in range(2)]
        assert isinstance(hits[1], Hit)
        assert ask(alike, "clear") == 1


def test_looking_inside(cache: SemanticCache, ask: Ask) -> None:
    """Entries show what the user put in; `limit` bounds them."""
    ask(cache, "put", QUESTION, "Click here.", key="password", tags=["help"], namespace="n", tenant="t")
    ask(cache, "put", OTHER, "Nine to five.")
    (shown,) = ask(cache, "inspect", namespace="n")
    assert (shown.text, shown.answer, shown.kind, shown.name) == (QUESTION, "Click here.", "text", "password")
    assert (shown.tags, shown.namespace, shown.tenant, shown.bar) == (("help",), "n", "t", None)
    assert shown.age >= 0
    assert len(ask(cache, "inspect")) == 2
    assert len(ask(cache, "inspect", limit=1, tag="help")) <= 1
    assert ask(cache, "remove", shown.id) == 1


def test_a_rejected_entry_asks_for_more(alike: SemanticCache, ask: Ask) -> None:
    """Its own bar rises above that question; equal questions, and other entries, are served as before."""
    ask(alike, "store", key(alike, QUESTION), said("Click here."))
    hit = ask(alike, "lookup", key(alike, ALIKE), spoken)
    ask(alike, "reject", hit)
    assert isinstance(ask(alike, "lookup", key(alike, ALIKE), spoken), Miss)
    assert isinstance(ask(alike, "lookup", key(alike, QUESTION), spoken), Hit)
    (shown,) = ask(alike, "inspect")
    assert hit.similarity < shown.bar < 1
    ask(alike, "store", key(alike, QUESTION), said("Click there."))  # a new answer starts anew
    assert isinstance(ask(alike, "lookup", key(alike, ALIKE), spoken), Hit)


def test_an_answer_rejected_after_an_exact_hit_is_gone(cache: SemanticCache, ask: Ask) -> None:
    """No threshold could save it."""
    ask(cache, "store", key(cache, QUESTION), said("Nonsense."))
    ask(cache, "reject", ask(cache, "lookup", key(cache, QUESTION), spoken))
    assert isinstance(ask(cache, "lookup", key(cache, QUESTION), spoken), Miss)


def test_rejecting_what_has_expired_makes_nothing_anew(alike: SemanticCache, ask: Ask) -> None:
    """A bar without an entry would never expire."""
    ask(alike, "store", key(alike, QUESTION), said("Click here."))
    hit = ask(alike, "lookup", key(alike, ALIKE), spoken)
    ask(alike, "remove", hit.id)
    ask(alike, "reject", hit)
    assert ask(alike, "count") == 0


def test_behind_a_rejected_entry_another_is_found(alike: SemanticCache, ask: Ask) -> None:
    """The nearest is refused by its own bar; the next one answers."""
    ask(alike, "store", key(alike, QUESTION), said("Click here."))
    ask(alike, "reject", ask(alike, "lookup", key(alike, ALIKE), spoken))
    farther = "How do I reset the password of my account please, dear bank of mine?"
    ask(alike, "store", key(alike, farther), said("Click there."))
    hit = ask(alike, "lookup", key(alike, ALIKE), spoken)
    assert (hit.value, hit.layer) == ({"text": "Click there."}, "semantic")


def test_only_where_the_nearest_is_refused_others_are_asked_for(
    alike: SemanticCache, ask: Ask, monkeypatch: Any
) -> None:
    """A hit, and a question that nothing is like, take one search; a refusal takes two, and fails without harm."""
    counts: list[int] = []
    search = type(alike._store).search

    def counted(self: Any, name: str, nearest: Any) -> Any:
        counts.append(nearest.count)
        if nearest.count > 1:
            raise StoreError("gone away")
        return search(self, name, nearest)

    ask(alike, "store", key(alike, QUESTION), said("Click here."))
    monkeypatch.setattr(type(alike._store), "search", counted)
    assert isinstance(ask(alike, "lookup", key(alike, ALIKE), spoken), Hit)
    assert ask(alike, "lookup", key(alike, OTHER), spoken).reason == "nothing alike"
    assert counts == [1, 1]
    miss = ask(alike, "lookup", key(alike, "How do I not reset the password of my account?"), spoken)
    assert (miss.reason, counts) == ("vetoed: negation", [1, 1, 1, 3])
    assert miss.vector is not None


# ---- the judge -------------------------------------------------------------------------------------------------------

NEARLY = "How can I reset the password of my account?"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_judge_confirms_near_misses(
    searching_url: str, make_cache: Callable[..., SemanticCache], ask: Ask, asynchronous: bool
) -> None:
    """It is asked beside the call, and what it confirms is a hit from then on."""
    asked: list[tuple[str, str, Any]] = []

    def judge(question: str, stored: str, answer: Any) -> bool:
        asked.append((question, stored, answer))
        return True

    async def ajudge(question: str, stored: str, answer: Any) -> bool:
        return judge(question, stored, answer)

    cache = make_cache(
        searching_url, judge=ajudge if asynchronous else judge, judge_margin=0.3, distance_threshold=0.05
    )
    ask(cache, "store", key(cache, QUESTION), said("Click here."))
    assert isinstance(ask(cache, "lookup", key(cache, NEARLY), spoken), Miss)
    assert until(lambda: isinstance(ask(cache, "lookup", key(cache, NEARLY), spoken), Hit))
    assert asked[0] == (NEARLY, QUESTION, {"text": "Click here."})
    stats = cache.stats()
    assert stats.judged >= stats.confirmed >= 1
    assert isinstance(ask(cache, "lookup", key(cache, OTHER), spoken), Miss)
    assert all(question != OTHER for question, _, _ in asked)


def test_a_judge_that_fails_or_denies_changes_nothing(
    searching_url: str, make_cache: Callable[..., SemanticCache], ask: Ask
) -> None:
    """The calls go on as without it; a failure is counted."""
    verdicts: list[Any] = [RuntimeError("out of order"), False]

    def judge(*_: Any) -> bool:
        verdict = verdicts.pop(0)
        if isinstance(verdict, Exception):
            raise verdict
        return bool(verdict)

    cache = make_cache(searching_url, judge=judge, judge_margin=0.3, distance_threshold=0.05)
    ask(cache, "store", key(cache, QUESTION), said("Click here."))
    for _ in range(2):
        left = len(verdicts)
        assert isinstance(ask(cache, "lookup", key(cache, NEARLY), spoken), Miss)
        assert until(lambda left=left: ask(cache, "count") == 1 and len(verdicts) < left)  # type: ignore[misc]
    assert until(lambda: ask(cache, "count") == 1 and cache.stats().judged == 1)
    assert (cache.stats().failures, cache.stats().confirmed) == ({"judge": 1}, 0)

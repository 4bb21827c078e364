"""The behaviour of a cache on every kind of store, in threads and in loops."""

from __future__ import annotations

import asyncio
import random
import threading
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from portkey_router.cache.entry import CorruptEntryError, Entry
from portkey_router.cache.guards import Guards
from portkey_router.cache.policy import Answer
from portkey_router.cache.results import Hit, Miss, NewAnswer
from portkey_router.errors import ConfigurationError
from portkey_router.events import CacheLookup, capture_events
from tests.net_server import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from portkey_router.cache.cache import SemanticCache
    from portkey_router.cache.key import CacheKey
    from tests.cache.words import Words

Ask = Any  # calls a verb, synchronous or not

QUESTION = "How do I reset the password of my account?"
SPELT = "how do I reset  the password of my account"
ALIKE = "How do I reset the password of my account please, bank?"
OTHER = "Which opening hours has the branch in Berlin?"


def spoken(entry: Entry) -> Any:
    """The answer of an entry of these tests."""
    if entry.kind != "spoken":
        raise CorruptEntryError(entry.kind)
    return entry.answer


def said(text: str, **more: Any) -> NewAnswer:
    """A complete answer."""
    return NewAnswer("spoken", {"text": text}, [Answer(text, "stop")], **more)


def key(cache: SemanticCache, question: str, system: str = "Be brief.", **options: Any) -> CacheKey:
    """The key of a chat request."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    return cache.key(messages, **{"model": "gpt-4o", **options})


# ---- layers ----------------------------------------------------------------------------------------------------------


def test_the_same_request_is_answered_exactly(cache: SemanticCache, ask: Ask, words: Words) -> None:
    """A miss, a store, then the same answer with its age; the hit embeds nothing."""
    asked = key(cache, QUESTION)
    miss = ask(cache, "lookup", asked, spoken)
    assert isinstance(miss, Miss)
    assert ask(cache, "store", miss, said("Click here.")) is None
    embedded = words.calls
    hit = ask(cache, "lookup", asked, spoken)
    assert isinstance(hit, Hit)
    assert (hit.value, hit.layer, hit.similarity) == ({"text": "Click here."}, "exact", 1.0)
    assert hit.age >= 0
    assert words.calls == embedded <= 1


def test_spelling_does_not_matter(cache: SemanticCache, ask: Ask, words: Words) -> None:
    """Another case, spacing and stop is the second layer's, which embeds nothing either."""
    ask(cache, "store", key(cache, QUESTION), said("Click here."))
    embedded = words.calls
    hit = ask(cache, "lookup", key(cache, SPELT), spoken)
    assert (hit.value["text"], hit.layer, words.calls) == ("Click here.", "normalised", embedded)


def test_other_words_are_answered_by_meaning(alike: SemanticCache, ask: Ask, words: Words) -> None:
    """One embedding for the lookup, none for the store: the miss brought its vector."""
    ask(alike, "store", ask(alike, "lookup", key(alike, QUESTION), spoken), said("Click here."))
    assert words.calls == 1
    hit = ask(alike, "lookup", key(alike, ALIKE), spoken)
    assert (hit.value["text"], hit.layer, words.calls) == ("Click here.", "semantic", 2)
    assert 0.85 <= hit.similarity < 1
    ask(alike, "lookup", key(alike, ALIKE), spoken)
    assert words.calls == 2  # remembered
    assert isinstance(ask(alike, "lookup", key(alike, OTHER), spoken), Miss)


def test_a_question_asked_again_takes_one_round_trip(alike: SemanticCache, ask: Ask, monkeypatch: Any) -> None:
    """Where it is known not to be stored, both layers are asked at once; once it is stored, one is enough."""
    asked: list[str] = []
    store = alike._store

    def noted(name: str, operation: Any) -> Any:
        def call(*given: Any) -> Any:
            asked.append(name)
            return operation(*given)

        return call

    for name in ("fetch", "search", "find"):
        monkeypatch.setattr(store, name, noted(name, getattr(store, name)))

    def layer() -> Any:
        asked.clear()
        return getattr(ask(alike, "lookup", key(alike, ALIKE), spoken), "layer", None)

    memory = "Memory" in type(store).__name__  # whose `find` is made of the others
    ask(alike, "store", key(alike, QUESTION), said("Click here."))
    assert (layer(), asked) == ("semantic", ["fetch", "search"])
    assert (layer(), asked[:1], len(asked)) == ("semantic", ["find"], 3 if memory else 1)
    ask(alike, "store", key(alike, ALIKE), said("Click there."))
    assert (layer(), asked) == ("exact", ["fetch"])


def test_embeddings_are_asked_in_the_callers_way(alike: SemanticCache, words: Words, request: Any) -> None:
    """Synchronous verbs use the synchronous method, asynchronous ones the other."""
    alike.lookup(key(alike, QUESTION), spoken)
    asyncio.run(alike.alookup(key(alike, OTHER), spoken))
    assert (words.asked, words.awaited) == ([QUESTION], [OTHER])


def test_a_store_without_search_answers_equal_questions(cache: SemanticCache, ask: Ask, words: Words) -> None:
    """Where vectors cannot be compared, the miss says so, and nothing is embedded for it any more."""
    ask(cache, "store", ask(cache, "lookup", key(cache, QUESTION), spoken), said("Click here."))
    result = ask(cache, "lookup", key(cache, ALIKE), spoken)
    if isinstance(result, Hit):
        assert result.layer == "semantic"
    else:
        assert result.reason == "the store cannot search: equal questions only"
        assert words.calls == 1


def test_without_embeddings_equal_questions_only(store_url: str, make_cache: Callable[..., SemanticCache]) -> None:
    """It says so, and both exact layers work."""
    cache = make_cache(store_url, None)
    assert "equal questions only" in repr(cache)
    cache.store(key(cache, QUESTION), said("Click here."))
    assert isinstance(cache.lookup(key(cache, SPELT), spoken), Hit)
    miss = cache.lookup(key(cache, ALIKE), spoken)
    assert isinstance(miss, Miss)
    assert miss.reason.startswith("no embeddings")


@pytest.mark.parametrize(
    "question", ["What is the weather in Berlin today?", "word " * 400], ids=["a time word", "too long"]
)
def test_some_questions_are_only_compared_exactly(alike: SemanticCache, ask: Ask, words: Words, question: str) -> None:
    """What changes by the hour, and what the encoder would not read to its end, is never embedded."""
    ask(alike, "store", ask(alike, "lookup", key(alike, question), spoken), said("So it is."))
    assert ask(alike, "lookup", key(alike, question), spoken).layer == "exact"
    assert isinstance(ask(alike, "lookup", key(alike, f"{question} bank"), spoken), Miss)
    assert words.calls == 0


# ---- what keeps answers apart ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        {"model": "gpt-4o-mini"},
        {"params": {"temperature": 1.5}},
        {"params": {"tools": [{"type": "function", "function": {"name": "f"}}]}},
        {"system": "Be long."},
        {"tenant": "another"},
        {"namespace": "another"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_another_scope_is_never_met(alike: SemanticCache, ask: Ask, other: dict[str, Any]) -> None:
    """Not exactly, not by meaning; and the nearest of another scope hides none of one's own."""
    ask(alike, "store", key(alike, QUESTION, **other), said("Theirs."))
    assert isinstance(ask(alike, "lookup", key(alike, QUESTION), spoken), Miss)
    assert isinstance(ask(alike, "lookup", key(alike, ALIKE), spoken), Miss)
    ask(alike, "store", key(alike, ALIKE), said("Ours."))
    assert ask(alike, "lookup", key(alike, QUESTION), spoken).value["text"] == "Ours."
    assert ask(alike, "lookup", key(alike, QUESTION, **other), spoken).value["text"] == "Theirs."


NUMBERS = "How do I convert 100 dollars to euros at the bank?", "How do I convert 500 dollars to euros at the bank?"


def test_a_guard_forbids_what_is_near_enough(alike: SemanticCache, ask: Ask) -> None:
    """Another number is another question; the miss and the statistics name the guard."""
    ask(alike, "store", key(alike, NUMBERS[0]), said("92."))
    miss = ask(alike, "lookup", key(alike, NUMBERS[1]), spoken)
    assert (miss.reason, alike.stats().vetoes) == ("vetoed: numbers", {"numbers": 1})
    assert miss.similarity > 0.85


def test_guards_can_be_switched_off(searching_url: str, make_cache: Callable[..., SemanticCache], ask: Ask) -> None:
    """One of them, or all."""
    for guards in (Guards(numbers=False, entities=False), None):
        cache = make_cache(searching_url, guards=guards)
        ask(cache, "store", key(cache, NUMBERS[0]), said("92."))
        assert isinstance(ask(cache, "lookup", key(cache, NUMBERS[1]), spoken), Hit)


def test_behind_a_vetoed_entry_another_is_found(alike: SemanticCache, ask: Ask) -> None:
    """The nearest may be forbidden; the next nearest answers."""
    ask(alike, "store", key(alike, NUMBERS[0]), said("92."))
    ask(alike, "store", key(alike, NUMBERS[1] + " Tell me please, friend"), said("460."))
    assert ask(alike, "lookup", key(alike, NUMBERS[1] + " Tell me please"), spoken).value["text"] == "460."


# ---- what is kept, and for how long ----------------------------------------------------------------------------------


def test_an_entry_expires(store_url: str, make_cache: Callable[..., SemanticCache], ask: Ask) -> None:
    """After its ttl, and reading does not prolong it."""
    cache = make_cache(store_url, chance=lambda: 0.0)
    asked = key(cache, QUESTION)
    ask(cache, "store", asked, said("Click here."), ttl=0.3)
    assert until(lambda: isinstance(ask(cache, "lookup", asked, spoken), Miss))
    assert ask(cache, "count") == 0


def test_the_policy_decides(cache: SemanticCache, ask: Ask) -> None:
    """A tool call is not kept, an event says so, and `cache_if` takes the policy's place."""
    called = NewAnswer("spoken", {}, [Answer("", "tool_calls", tool_calls=True)])
    with capture_events() as events:
        assert ask(cache, "store", key(cache, QUESTION), called) == "tool calls"
    assert [event.reason for event in events if isinstance(event, CacheLookup)] == ["not stored: tool calls"]
    assert (ask(cache, "count"), cache.stats().refused) == (0, {"tool calls": 1})


def test_a_policy_of_ones_own(store_url: str, make_cache: Callable[..., SemanticCache], ask: Ask) -> None:
    """`cache_if` is asked with the alternatives."""
    cache = make_cache(store_url, cache_if=lambda answers: "rude" if "fool" in answers[0].text else None)
    assert ask(cache, "store", key(cache, QUESTION), said("You fool!")) == "rude"
    assert ask(cache, "store", key(cache, OTHER), said("Nine to five.")) is None
    assert ask(cache, "count") == 1


def test_what_is_too_large_or_no_json_is_not_kept(
    store_url: str, make_cache: Callable[..., SemanticCache], ask: Ask
) -> None:
    """Both are told, and neither reaches the store."""
    cache = make_cache(store_url, max_entry_bytes=2000)
    noise = random.Random(1).randbytes(4000).hex()  # noqa: S311  (it only does not compress well)
    assert "too large" in ask(cache, "store", key(cache, QUESTION), said(noise))
    assert "no JSON" in ask(cache, "put", QUESTION, {1, 2})
    assert "no JSON" in ask(cache, "put", QUESTION, float("nan"))
    assert ask(cache, "count") == 0


def test_an_answer_comes_back_as_it_was(cache: SemanticCache, ask: Ask) -> None:
    """Small and large (compressed), every character, and what the call had cost."""
    text = "ü\U0001f600\ud800\0 " + "lorem ipsum " * 4000
    paid = said(text, model="gpt-4o", input_tokens=7, output_tokens=5, cost=Decimal("0.0012"))
    ask(cache, "store", key(cache, QUESTION), paid)
    hit = ask(cache, "lookup", key(cache, QUESTION), spoken)
    assert hit.value["text"] == text
    told = hit.as_dict()
    assert (told["layer"], told["saved_input_tokens"], told["saved_output_tokens"]) == ("exact", 7, 5)
    assert (told["saved_cost"], told["currency"]) == ("0.0012", "USD")
    assert (cache.stats().saved_tokens, cache.stats().saved_cost) == (12, Decimal("0.0012"))


def test_an_answer_of_another_form_is_a_miss(cache: SemanticCache, ask: Ask) -> None:
    """What the caller cannot read is not given to him, and storing puts his own in its place."""
    ask(cache, "store", key(cache, QUESTION), NewAnswer("written", "Dear Sir", [Answer("Dear Sir", "stop")]))
    assert isinstance(ask(cache, "lookup", key(cache, QUESTION), spoken), Miss)
    ask(cache, "store", key(cache, QUESTION), said("Hi."))
    assert ask(cache, "lookup", key(cache, QUESTION), spoken).value["text"] == "Hi."


# ---- questions and answers of one's own ------------------------------------------------------------------------------


def test_put_and_get(cache: SemanticCache, ask: Ask) -> None:
    """Under a question, under a key, or both; any JSON."""
    assert ask(cache, "get", "What is the capital of France?") is None
    assert ask(cache, "get", key="geography:france:capital") is None
    ask(cache, "put", "What is the capital of France?", "Paris", key="geography:france:capital", ttl=86400)
    assert ask(cache, "get", "what is the capital of France") == "Paris"
    assert ask(cache, "get", key="geography:france:capital") == "Paris"
    ask(cache, "put", None, {"list": [1, None]}, key="a key alone")
    assert ask(cache, "get", key="a key alone") == {"list": [1, None]}
    assert ask(cache, "get", key="a key alone", tenant="another") is None


def test_what_was_put_under_a_key_can_be_removed(cache: SemanticCache, ask: Ask) -> None:
    """With the question that leads to it."""
    ask(cache, "put", QUESTION, "Click here.", key="password")
    assert ask(cache, "remove", key="password") == 2
    assert (ask(cache, "get", QUESTION), ask(cache, "get", key="password")) == (None, None)
    assert ask(cache, "remove", key="password") == 0


def test_a_question_or_a_key_is_needed(cache: SemanticCache) -> None:
    """Under neither, nothing could be found again."""
    with pytest.raises(ConfigurationError, match="or key="):
        cache.put(None, "lost")
    with pytest.raises(ConfigurationError, match="or key="):
        cache.get()


# ---- many at once ----------------------------------------------------------------------------------------------------


def test_many_threads_and_loops_at_once(alike: SemanticCache) -> None:
    """16 threads, half of them with loops of their own, each find what they stored, and nothing else."""
    wrong: list[Any] = []

    def check(number: int, turn: int, result: Any) -> None:
        if not isinstance(result, Hit) or result.value["text"] != f"{number}:{turn}":
            wrong.append((number, turn, result))

    def synchronous(number: int) -> None:
        for turn in range(8):
            asked = key(alike, QUESTION, tenant=f"{number}:{turn}")
            alike.store(asked, said(f"{number}:{turn}"))
            check(number, turn, alike.lookup(key(alike, ALIKE, tenant=f"{number}:{turn}"), spoken))

    async def asynchronous(number: int) -> None:
        async def one(turn: int) -> None:
            asked = key(alike, QUESTION, tenant=f"{number}:{turn}")
            await alike.astore(asked, said(f"{number}:{turn}"))
            check(number, turn, await alike.alookup(key(alike, ALIKE, tenant=f"{number}:{turn}"), spoken))

        await asyncio.gather(*[one(turn) for turn in range(8)])

    def work(number: int) -> None:
        asyncio.run(asynchronous(number)) if number % 2 else synchronous(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert alike.stats().hits == {"semantic": 128}


# ---- what a cache tells ----------------------------------------------------------------------------------------------


def test_events_tell_of_each_lookup(alike: SemanticCache, ask: Ask) -> None:
    """The layer, the similarity, the age; or the reason. Never a word of the question or of the answer."""
    ask(alike, "store", key(alike, QUESTION), said("Click here."))
    with capture_events() as events:
        ask(alike, "lookup", key(alike, QUESTION), spoken, call_id="7")
        ask(alike, "lookup", key(alike, ALIKE), spoken)
        ask(alike, "lookup", key(alike, OTHER), spoken)
    exact, semantic, missed = events
    assert isinstance(exact, CacheLookup)
    assert isinstance(semantic, CacheLookup)
    assert isinstance(missed, CacheLookup)
    assert (exact.call_id, exact.layer, exact.similarity) == ("7", "exact", 1.0)
    assert semantic.layer == "semantic"
    assert semantic.similarity is not None
    assert semantic.age is not None
    assert (missed.layer, missed.reason) == (None, "nothing alike")
    assert "password" not in repr(events)
    assert "Click" not in repr(events)


def test_statistics(alike: SemanticCache, ask: Ask) -> None:
    """Layers, reasons and the hit rate; those of this process."""
    assert (alike.stats().lookups, alike.stats().hit_rate) == (0, 0.0)
    ask(alike, "lookup", key(alike, QUESTION), spoken)
    ask(alike, "store", key(alike, QUESTION), said("Click here."))
    ask(alike, "lookup", key(alike, SPELT), spoken)
    stats = alike.stats()
    assert (stats.hits, stats.misses, stats.stored) == ({"normalised": 1}, {"nothing alike": 1}, 1)
    assert (stats.embedded, stats.reused, stats.hit_rate) == (1, 1, 0.5)

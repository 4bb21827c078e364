"""What an administrator sees of a store: sums, entries with their lives, indexes; on every kind of store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from portkey_router.cache.cache import SemanticCache
from portkey_router.cache.entry import Entry, body_of
from portkey_router.cache.policy import Answer
from portkey_router.cache.results import Hit, NewAnswer
from portkey_router.cache.store import Marks, Row
from portkey_router.cache.texts import text_of_entry
from portkey_router.deadline import Deadline
from portkey_router.errors import StoreError
from portkey_router.stores.redis_index import state_of_index

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.services.redis import RedisServer

QUESTION = "How do I reset the password of my account?"
OTHER = "Which opening hours has the branch in Berlin?"
TODAY = "Who is on duty today?"  # of questions with such a word only equal ones are answered


def fill(cache: SemanticCache, moment: list[float]) -> None:
    """Three entries of one's own, one of a model, and a name that leads to one of them."""
    cache.put(QUESTION, "Click here.", key="password", tags=["help", "x"], namespace="n")
    moment[0] += 100
    cache.put(TODAY, "Ann.", tenant="t", tags=["x"])
    cache.put(None, {"a": 1}, key="alone")
    key = cache.key([{"role": "user", "content": OTHER}], model="gpt-4o")
    cache.store(key, NewAnswer("completion", {"c": 1}, [Answer("Nine", "stop")], model="gpt-4o"))


@pytest.fixture
def moment() -> list[float]:
    """The time, to be moved on."""
    return [1000.0]


@pytest.fixture
def filled(store_url: str, make_cache: Callable[..., SemanticCache], moment: list[float]) -> SemanticCache:
    """A cache that holds them, whose entries never expire."""
    cache = make_cache(store_url, now=lambda: moment[0], ttl=None)
    fill(cache, moment)
    return cache


def test_a_survey_counts_what_the_store_holds(filled: SemanticCache, moment: list[float]) -> None:
    """By whom, by model, by tag, by form; names apart; ages by the clock of the cache."""
    moment[0] += 50
    told = filled.survey()
    assert (told.rows, told.read, told.entries, told.names, told.unreadable) == (5, 5, 4, 1, 0)
    assert (told.namespaces, told.tenants) == ({"": 3, "n": 1}, {"": 3, "t": 1})
    assert (told.tags, told.models) == ({"x": 2, "help": 1}, {None: 3, "gpt-4o": 1})
    assert told.kinds == {"text": 3, "completion": 1}
    assert (told.oldest, told.newest, told.endless) == (150, 50, 4)
    assert told.stored_bytes == sum(entry.size for entry in filled.inspect())
    assert told.stored_bytes > 100
    in_memory = "Memory" in repr(filled)
    assert (told.row_bytes is None) is in_memory
    assert in_memory or (told.row_bytes or 0) > 200


async def test_each_verb_has_an_asynchronous_form(filled: SemanticCache) -> None:
    """It gives the same."""
    await filled.acheck()
    assert (await filled.asurvey(tag="x")).tags == filled.survey(tag="x").tags == {"x": 2, "help": 1}
    assert await filled.acount(tag="help") == 2
    assert await filled.ainspect(tag="help") == filled.inspect(tag="help")


def test_a_survey_can_be_of_a_part(filled: SemanticCache) -> None:
    """Of what fits, as in `clear`; and of so many rows, which it says."""
    assert filled.survey(tag="x").entries == 2
    assert filled.survey(namespace="n", tag="help").tags == {"help": 1, "x": 1}
    part = filled.survey(limit=2)
    assert (part.rows, part.read) == (5, 2)
    empty = filled.survey(namespace="none")
    assert (empty.rows, empty.entries, empty.oldest, empty.newest, empty.row_bytes) == (0, 0, None, None, None)


def test_counting_takes_a_choice(filled: SemanticCache) -> None:
    """Names that lead to an entry are counted with it, as clearing removes them with it."""
    assert filled.count() == 5
    assert filled.count(tag="help") == 2 == filled.clear(tag="help")
    assert filled.count() == 3


def test_an_index_tells_of_itself(alike: SemanticCache) -> None:
    """With its encoder, which the entries name; where vectors are compared in memory, there is none."""
    alike.put(QUESTION, "Click here.")
    told = alike.survey()
    (entry,) = alike.inspect()
    assert list(told.encoders) == [entry.encoder]
    assert entry.encoder is not None
    if "Memory" in repr(alike):
        assert told.indexes is None
        return
    (index,) = told.indexes or ()
    assert (index.encoder, index.kind, index.dims) == (entry.encoder, "flat-float32", 128)
    assert index.name.endswith(f":i:1:{entry.encoder}:flat-float32")
    assert index.failures == 0
    assert 0 <= (-1 if index.indexed is None else index.indexed) <= 1
    assert (index.bytes or 0) > 1000


def test_a_redis_without_search_tells_of_no_index(
    plain_redis: RedisServer, make_cache: Callable[..., SemanticCache]
) -> None:
    """None: no question is compared by meaning."""
    cache = make_cache(plain_redis.url)
    cache.put(QUESTION, "Click here.")
    told = cache.survey()
    assert (told.entries, told.indexes) == (1, None)


def test_entries_say_how_long_they_live(store_url: str, make_cache: Callable[..., SemanticCache]) -> None:
    """Seconds that are left; None for ever."""
    cache = make_cache(store_url, chance=lambda: 0.0)
    cache.put(QUESTION, "Click here.", ttl=1000)
    (entry,) = cache.inspect()
    assert 900 < (entry.expires_in or 0) <= 1000
    assert cache.survey().endless == 0
    endless = make_cache(store_url, ttl=None)
    endless.put(QUESTION, "Click here.")
    (entry,) = endless.inspect()
    assert entry.expires_in is None


def test_a_limit_is_of_entries_and_not_of_names(filled: SemanticCache) -> None:
    """As many entries are shown as there are, up to the limit."""
    assert [len(filled.inspect(limit=limit)) for limit in (1, 3, 4, 9)] == [1, 3, 4, 4]


def test_what_cannot_be_read_is_counted(cache: SemanticCache) -> None:
    """Rows of another version, or of nobody's: neither an error, nor an entry."""
    cache.put(QUESTION, "Click here.")
    name, marks = cache._lookups.rules.name, Marks("s", "t", "n", "p")
    for row, body in (("a", b"7rubbish"), ("b", body_of(Entry("x", None, "", 1.0), 1000)[:9])):
        cache._store.run(cache._store.put(name, Row(row, body, marks, 1.0, None)), Deadline(20))
    told = cache.survey()
    assert (told.rows, told.entries, told.unreadable) == (3, 1, 2)


def test_a_check_says_whether_the_store_serves(cache: SemanticCache) -> None:
    """Nothing, where it does."""
    cache.check()
    assert cache.count() == 0


def test_a_check_of_a_store_that_is_away_raises() -> None:
    """Which a lookup does not."""
    cache = SemanticCache("redis://127.0.0.1:9")
    with pytest.raises(StoreError, match="cannot be reached") as caught:
        cache.check()
    assert caught.value.code is None
    assert cache.get(QUESTION) is None


def test_a_key_does_not_lead_to_anothers_answer(cache: SemanticCache) -> None:
    """The same question put again under another key, with another answer: the first key gives nothing."""
    cache.put("What is the capital?", "Paris", key="france")
    cache.put("What is the capital?", "Madrid", key="spain")
    assert cache.get(key="spain") == "Madrid"
    assert cache.get(key="france") is None
    assert cache.remove(key="france") == 1
    assert cache.get(key="spain") == "Madrid"
    cache.put("What is the capital?", "Madrid, since 1561")
    assert cache.get(key="spain") == "Madrid, since 1561"


def test_an_encoder_may_be_given_as_it_is(alike: SemanticCache, make_cache: Callable[..., SemanticCache]) -> None:
    """One that was made before serves another cache, in the same space."""
    encoder = alike._encoder
    other = make_cache("memory://", embeddings=encoder)
    assert other._encoder is encoder
    other.put(QUESTION, "Click here.")
    alike_question = "How do I reset the password of my account please, bank?"
    assert isinstance(other.lookup(other.key([{"role": "user", "content": alike_question}]), text_of_entry), Hit)


VALKEY = {
    b"index_name": b"c:i:1:0123456789ab:hnsw-float32",
    b"num_docs": b"7",
    b"backfill_complete_percent": b"0.25",
    b"hash_indexing_failures": b"2",
    b"state": b"backfill_in_progress",
    b"attributes": [
        [b"identifier", b"s", b"attribute", b"s", b"type", b"TAG"],
        [b"identifier", b"v", b"type", b"VECTOR", b"index", [b"capacity", 10240, b"dimensions", 384]],
    ],
}


@pytest.mark.parametrize("listed", [False, True], ids=["RESP3", "RESP2"])
def test_valkeys_words_for_an_index_are_understood(listed: bool) -> None:
    """As its sources write them; what it does not tell is None."""
    reply: Any = [part for pair in VALKEY.items() for part in pair] if listed else VALKEY
    state = state_of_index("c", "c:i:1:0123456789ab:hnsw-float32", reply)
    assert (state.encoder, state.kind, state.dims) == ("0123456789ab", "hnsw-float32", 384)
    assert (state.indexed, state.failures, state.bytes) == (0.25, 2, None)


@pytest.mark.parametrize("reply", [None, [], {}, b"OK", [b"num_docs"], {b"percent_indexed": b"nan"}], ids=str)
def test_what_an_index_does_not_tell_is_none(reply: Any) -> None:
    """Whatever a server answers, it is no error."""
    state = state_of_index("c", "c:i:1", reply)
    assert (state.encoder, state.kind, state.dims, state.indexed, state.bytes) == ("", "", None, None, None)

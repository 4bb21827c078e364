from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portkey_router.cache.courtesy import without_courtesy
from portkey_router.cache.guards import Features, Guards
from portkey_router.cache.normalise import normalise
from portkey_router.cache.words import time_word

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from cache_data import DIFFERENT, SAME, pairs

GUARDS = Guards()
PAIRS = pairs()


def veto(one: str, other: str, guards: Guards = GUARDS) -> str | None:
    """What the guards say of two texts."""
    return guards.veto(guards.read(one), guards.read(other))


# --- the benchmark's pairs, without an encoder ------------------------------------------------------------------------


def kept_apart(kind: str) -> float:
    """The share of a class's pairs that the guards alone keep apart."""
    chosen = [pair for pair in PAIRS if pair.kind == kind]
    assert len(chosen) >= 40
    return sum(veto(pair.first, pair.second) is not None for pair in chosen) / len(chosen)


@pytest.mark.parametrize("kind", DIFFERENT)
def test_pairs_that_ask_for_different_things_are_kept_apart(kind: str) -> None:
    """At least 98 % of each class, whatever the encoder thinks of them."""
    assert kept_apart(kind) >= 0.98


@pytest.mark.parametrize("kind", SAME)
def test_pairs_that_ask_for_the_same_are_let_pass(kind: str) -> None:
    """Courtesies, suffixes and contractions always; slips of the keys nearly always."""
    assert kept_apart(kind) <= (0.05 if kind == "typo" else 0)


def test_a_veto_does_not_depend_on_who_asks_first() -> None:
    """Of all the pairs: the reason is the same both ways, and no question is kept from itself."""
    asymmetric = [pair for pair in PAIRS if veto(pair.first, pair.second) != veto(pair.second, pair.first)]
    lonely = [pair.first for pair in PAIRS if veto(pair.first, pair.first) is not None]
    assert (asymmetric, lonely) == ([], [])


# --- each guard -------------------------------------------------------------------------------------------------------

REASONS = [
    ("Convert 100 USD", "Convert 1000 USD", "numbers"),
    ("two eggs", "three eggs", "numbers"),
    ("It costs $5", "It costs $50", "numbers"),
    ("above 5 degrees", "above -5 degrees", "numbers"),
    ("Python 3.1", "Python 3.10", "numbers"),
    ("run 5 km", "run 5 miles", "units"),
    ("tell me in celsius", "tell me in fahrenheit", "units"),
    ("Is it safe for dogs", "Is it never safe for dogs", "negation"),
    ("How do I enable it?", "How do I disable it?", "antonyms"),
    ("Trains in June", "Trains in July", "antonyms"),
    ("When is the game?", "Where is the game?", "antonyms"),
    ("Is the card locked?", "Is the card unlocked?", "antonyms"),
    ("Is it a useful tip", "Is it a useless tip", "antonyms"),
    ("The capital of France?", "The capital of Peru?", "entities"),
    ("best wine with salmon", "best wine with lamb", "entities"),
    ("Ask Ann about my order", "Ask about my order", "entities"),
    ("Flights from Oslo to Rome", "Flights from Rome to Oslo", "order"),
    ("Did a dog bite the man?", "Did a man bite the dog?", "order"),
    ("are all cats pets", "are all pets cats", "order"),
]
SWITCHES = {"units": "numbers"}


@pytest.mark.parametrize(("one", "other", "reason"), REASONS)
def test_each_guard_objects_by_its_name_and_can_be_switched_off(one: str, other: str, reason: str) -> None:
    """The reason names the guard; without that guard it is not given."""
    assert veto(one, other) == reason
    off = replace(GUARDS, **{SWITCHES.get(reason, reason): False})
    assert veto(one, other, off) != reason
    nothing = Guards(numbers=False, negation=False, antonyms=False, entities=False, order=False)
    assert veto(one, other, nothing) is None


PASSES = [
    ("It costs 1,000 dollars", "It costs $1000"),
    ("It costs 5k euros", "It costs 5000 euros"),
    ("twenty five percent of it", "25% of it"),
    ("Which one is faster?", "Which is faster?"),
    ("I waited a week", "I waited one week"),
    ("I can't log in", "I am unable to log in"),
    ("My card isn't working", "My card is broken"),
    ("I can't find my PIN", "Where do I find my PIN?"),
    ("It failed to arrive", "It did not arrive"),
    ("cats and dogs", "dogs and cats"),
    ("In Python, how do I sort a list?", "How do I sort a list in Python?"),
    ("What is the UN?", "What is the United Nations?"),
    ("The capital of france?", "the capital of France"),
    ("How do I renew my pasport?", "How do I renew my passport?"),
    ("why was i charged when I paid", "Why was I charged as I paid"),
]


@pytest.mark.parametrize(("one", "other"), PASSES)
def test_another_way_to_say_the_same_passes(one: str, other: str) -> None:
    """Spellings of numbers, denials with a word of their own, phrases that moved, acronyms, slips of the keys."""
    assert veto(one, other) is None


NOUNS = st.lists(
    st.sampled_from(["doctor", "nurse", "lawyer", "cook", "baker", "Anna", "Boris", "ferry", "museum", "guitar"]),
    min_size=2,
    max_size=2,
    unique=True,
)
FORMS = ["Does the {} owe the {} money?", "Is {} nearer than {}?", "from {} to {}", "Can a {} replace a {}?"]


@given(nouns=NOUNS, form=st.sampled_from(FORMS))
def test_two_nouns_that_change_places_are_seen(nouns: list[str], form: str) -> None:
    """The same words in another order, as in PAWS: each such pair is kept apart, each text from itself not."""
    one, other = form.format(*nouns), form.format(*reversed(nouns))
    assert veto(one, other) == "order"
    assert veto(one, one) is None


SPOKEN = """
the a not no one two 5 5km 10% $3 1st Paris ATM how long why when , . ? enable disable before and from to it's I
"""
WORDS = st.sampled_from(SPOKEN.split())
ANY_TEXT = st.text() | st.lists(WORDS, max_size=12).map(" ".join) | st.text(alphabet="aA1.-\u2019'\u0130\ud800 $%")


@given(one=ANY_TEXT, other=ANY_TEXT)
def test_guards_read_anything_and_are_symmetric(one: str, other: str) -> None:
    """No text makes them fail; nothing is kept from itself; who asks first does not matter."""
    assert veto(one, one) is None
    assert veto(one, other) == veto(other, one)


@pytest.mark.parametrize("piece", ["please ", "not get a ", "one ", '"', "thanks, ", "yesterday ", "1,", "a'b", "Ab "])
def test_a_text_made_to_be_slow_is_not(piece: str) -> None:
    """Each pattern takes time in proportion to the text: 200,000 characters are done long before the test's limit."""
    text = piece * (200_000 // len(piece))
    assert isinstance(GUARDS.read(text), Features)
    assert veto(text, text + "x 7") == veto(text + "x 7", text)
    assert normalise(text)
    assert without_courtesy(text)
    time_word(text)

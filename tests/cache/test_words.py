from __future__ import annotations

import pytest

from portkey_router.cache.contrasts import prefixed
from portkey_router.cache.words import slips, stem, time_word


@pytest.mark.parametrize(
    "words",
    ["enable enables enabled enabling", "city cities", "stop stops stopped stopping", "box boxes", "rise rising"],
)
def test_forms_of_a_word_have_one_stem(words: str) -> None:
    """The commonest endings go."""
    assert len({stem(word) for word in words.split()}) == 1


def test_short_and_whole_words_keep_their_endings() -> None:
    """`evening` is not even, and `is` not i."""
    assert [stem(word) for word in ("evening", "is", "bus", "king", "red")] == ["evening", "is", "bus", "king", "red"]


@pytest.mark.parametrize(
    ("one", "other", "number"),
    [
        ("form", "form", 0),
        ("form", "from", 1),
        ("cat", "cats", 1),
        ("recipe", "recepie", 2),
        ("a", "abcdef", 3),
        ("ab", "xy", 2),
    ],
)
def test_slips_are_counted(one: str, other: str, number: int) -> None:
    """Letters in, out, changed and exchanged; up to three, and so for very long words."""
    assert slips(one, other) == slips(other, one) == number
    assert slips("a" * 99, "a" * 99) == 3


def test_beginnings_and_ends_make_opposites() -> None:
    """By themselves, and in exchange for one another; not where too little is left."""
    opposites = [("lock", "unlock"), ("include", "exclude"), ("upload", "download"), ("careful", "careless")]
    assert all(prefixed(one, other) and prefixed(other, one) for one, other in opposites)
    assert not any(
        prefixed(one, other) for one, other in [("it", "unit"), ("cat", "dog"), ("art", "start"), ("a", "a")]
    )


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("What is the weather today?", "today"),
        ("Who is the PM NOW?", "now"),
        ("Today's rate", "today's"),
        ("who won last night", "last night"),
        ("I want yesterday's scores", "yesterday's"),
        ("Wie ist das Wetter heute?", "heute"),
        ("I ordered it last week. When does it come?", None),
        ("It should be here by now", None),
        ("I paid and now it is gone", None),
        ("I know how", None),
    ],
)
def test_time_words_are_found_and_stories_left_out(text: str, word: str | None) -> None:
    """What asks for the present is told from what tells of the past."""
    assert time_word(text) == word

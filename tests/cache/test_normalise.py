from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portkey_router.cache.courtesy import plain_form, without_courtesy
from portkey_router.cache.normalise import normalise
from portkey_router.cache.windows import exceeds, upper_estimate

ANY_TEXT = (
    st.text() | st.text(alphabet="aA1.,?-\u2019'\u0130\ud800 US") | st.sampled_from([", 0", "hi, it's", "I CAN'T"])
)


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("Hi there, how are you", "how are you"),
        ("Could you please tell me how it works? Thanks in advance!", "how it works?"),
        ("Can you explain gravity, please?", "explain gravity"),
        ("Good morning! What is it? Many thanks", "What is it?"),
        ("Hello World in Python", "Hello World in Python"),
        ("How do you say thanks?", "How do you say thanks?"),
        ("Can you eat raw salmon?", "Can you eat raw salmon?"),
        ("Thanks!", "Thanks!"),
        ("Hi, bye", "Hi, bye"),
        ("", ""),
    ],
)
def test_courtesies_go_where_they_stand_apart(text: str, question: str) -> None:
    """The question is what is left; a text of courtesies stays."""
    assert without_courtesy(text) == question


SAID = ["hi,", "please", "Could you", "tell me", "how", "now?", "thanks!", "Thank you.", "a", ":)", "ok,", "can I ask"]


@given(ANY_TEXT | st.lists(st.sampled_from(SAID), max_size=9).map(" ".join))
def test_courtesies_taken_away_twice_are_taken_away_once(text: str) -> None:
    """So an entry, which keeps the question alone, is found by it in any dress; and no text is left without words."""
    assert without_courtesy(without_courtesy(text)) == without_courtesy(text)
    assert plain_form(without_courtesy(text)) == plain_form(text)
    assert bool(without_courtesy(text).strip()) is bool(text.strip())


def test_a_document_has_no_manners() -> None:
    """Long texts are left as they are, in both ways."""
    text = "Hello, " + "word " * 1_000 + "? Thanks!"
    assert without_courtesy(text) == text
    assert normalise(text) == text


@given(ANY_TEXT)
def test_normalising_twice_is_normalising_once(text: str) -> None:
    """The normal form is its own, and empty only for an empty text."""
    assert normalise(normalise(text)) == normalise(text)
    assert bool(normalise(text)) is bool(text.strip())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What's  this?", "what is this"),
        ("I can\u2019t do it.", "i cannot do it"),
        ("First, wait", "first wait"),
        ("SHOUT AT US", "shout at us"),
    ],
)
def test_what_never_matters_is_normalised_away(one: str, other: str) -> None:
    """Contractions, curly quotes, spacing, stops, case."""
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ask the US", "Ask the us"),
        ("Is it Polish?", "is it polish?"),
        ("The server is down?", "The server is down."),
        ("What does `X` do", "What does `x` do"),
        ("1,000", "1000"),
        ("C++", "C"),
        ("John's here", "John is here"),
        ("x\u00b2", "x2"),
    ],
)
def test_what_may_matter_is_not(one: str, other: str) -> None:
    """This layer has no second look."""
    assert normalise(one) != normalise(other)


def test_the_estimate_of_tokens_errs_on_the_long_side() -> None:
    """Words by fours of letters, digits by twos, other characters one each, and two marks; short texts never exceed."""
    assert upper_estimate("reset 1234 \u4f60\u597d") == 2 + 2 + 2 + 2
    assert not exceeds("a" * 250, 256)
    assert exceeds("\u4f60" * 300, 256)
    assert exceeds("word " * 300, 256)
    assert not exceeds("word " * 200, 256)

from __future__ import annotations

import pytest

from portkey_router.cache.quantities import differing, quantities, units


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("5 km", [("5", "kilometre")]),
        ("$ 5", [("5", "usd")]),
        ("1,000 kg", [("1000", "kilogram")]),
        ("1,5 kg", [("1,5", "kilogram")]),
        ("5k", [("5000", "")]),
        ("2 million dollars", [("2000000", "usd")]),
        ("two hundred and five", [("200", ""), ("5", "")]),
        ("twenty one pounds", [("21", "pound")]),
        ("one", [("~1", "")]),
        ("a week", [("~1", "week")]),
        ("a dozen", [("12", "")]),
        ("1st 3rd third", [("1", ""), ("3", ""), ("3", "")]),
        ("a cat has an end", []),
        ("3:30 pm", [("3:30", "pm")]),
    ],
)
def test_quantities_are_read(text: str, found: list[tuple[str, str]]) -> None:
    """Digits and words, scales, signs, units; an article is no number."""
    assert list(quantities(text.split())) == sorted(found)


def test_a_unit_left_out_fits_any() -> None:
    """`5` and `5 km` may mean the same; `5 km` and `5 miles` cannot; a weak one needs no partner."""
    assert differing([("5", "")], [("5", "kilometre")]) is None
    assert differing([("5", "mile")], [("5", "kilometre")]) == "units"
    assert differing([("~1", "")], []) is None
    assert differing([("~1", "")], [("2", "")]) == "numbers"
    assert differing([("1", "")], [("~1", "week")]) is None


def test_units_are_read_without_a_number_too() -> None:
    """Names and signs, by dimension; short names only where they are no words, and `has` is not several hectares."""
    assert units(["price", "in", "$", "per", "litre"]) == {("money", "usd"), ("volume", "litre")}
    assert units(["ten", "pounds"]) == {("mass", "pound"), ("money", "pound")}
    assert units(["who", "has", "a", "bag", "in", "m", "or", "g"]) == frozenset()

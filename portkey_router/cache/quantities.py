"""The quantities of a question: numbers in digits and words, with their units."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from portkey_router.cache.words import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["WEAK", "Quantity", "differing", "may_begin", "quantities", "units"]

Quantity = tuple[str, str]  # (the number in its normal form, its unit or "")
WEAK = "~1"  # "one", "a week": a number, or only an article

# Canonical unit: (dimensions, other names). Names of one letter count only behind a number.
_UNITS = """
length: millimetre mm millimeter | centimetre cm centimeter | metre m meter | kilometre km kilometer | inch in inches
length: nautical | foot ft feet | yard yd | mile mi | nanometre nm | light-year lightyear
speed: km/h kph kmh | mph | knot
mass: milligram mg | gram g gramme gm | kilogram kg kilo | tonne ton t | ounce oz | pound lb lbs | stone st
volume: millilitre ml milliliter | litre l liter | gallon gal | pint pt | quart qt | cup | tablespoon tbsp
volume: teaspoon tsp
area: acre | hectare ha
time: nanosecond ns | microsecond | millisecond ms | second s sec secs | minute min mins | hour h hr hrs
time: day d | week wk | month mo | year yr | decade | century centuries | fortnight
temperature: celsius c centigrade °c | fahrenheit f °f | kelvin
angle: radian rad | degree deg °
money: usd $ dollar buck | eur € euro | gbp £ quid | pound | jpy ¥ yen | cent | penny pence | chf franc | inr rupee ₹
money: rub ruble rouble | krw won | cny yuan | bitcoin btc | ether eth | cad | aud | peso | krona
data: bit | byte | kb kilobyte | mb megabyte | gb gigabyte | tb terabyte | kbps | mbps | gbps
power: w watt | kw kilowatt | mw megawatt | hp horsepower
energy: joule j | kilojoule kj | calorie cal kcal | kwh
electric: volt v | ampere amp a | ohm
pressure: bar | psi | pascal pa | atmosphere atm
share: percent % | percentage_point
clock: am | pm
"""
_ONES = """
zero one two three four five six seven eight nine ten
eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen
"""
_DECADES = "twenty thirty forty fifty sixty seventy eighty ninety"
_RANKS = "third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"  # a "second" is more often a time
_SMALL = {word: value for value, word in enumerate(_ONES.split())}
_TENS = {word: 10 * value for value, word in enumerate(_DECADES.split(), 2)}
_HUNDRED = 100
_SCALES = {"hundred": _HUNDRED, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000, "trillion": 10**12}
_ORDINALS = {word: str(value) for value, word in enumerate(_RANKS.split(), 3)}
_FIRST = ("first",)
_OTHER = {"half": "1/2", "twice": "2", "thrice": "3", "double": "2", "triple": "3", "dozen": "12"}
_DIGITS = re.compile(r"(-?\d[\d.,:/]*?)(st|nd|rd|th|k|bn|x)?")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_SHORTEST_PLURAL = 3
_SHORT = listed("km cm mm kg mg ml gb mb kb tb kw lb oz ft ms ns °c °f")
_SIGNS = frozenset("$€£¥₹")


def _names() -> dict[str, tuple[str, frozenset[str]]]:
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for line in _UNITS.strip().splitlines():
        dimension, _, rest = line.partition(":")
        for group in rest.split("|"):
            names = group.split()
            for name in names:
                dimensions = found.get(name, ("", frozenset()))[1] | {dimension}
                found[name] = (names[0], dimensions)
    return found


_NAMES = _names()


def unit_of(token: str) -> str:
    """The canonical unit a token names, singular or plural; empty where it names none."""
    return _unit(token)[0]


def _unit(token: str) -> tuple[str, frozenset[str]]:
    found = _NAMES.get(token)
    if found is None and token.endswith("s") and len(token) > _SHORTEST_PLURAL:  # "has" is no hectares
        found = _NAMES.get(token[:-1])
    return found or ("", frozenset())


def units(tokens: Sequence[str]) -> frozenset[Quantity]:
    """The units named anywhere, as (dimension, unit); of the shortest names only those that are no words."""
    found = (_unit(token) for token in tokens if len(token) >= _SHORTEST_PLURAL or token in _SHORT or token in _SIGNS)
    return frozenset((dimension, unit) for unit, dimensions in found for dimension in dimensions)


def quantities(tokens: Sequence[str]) -> tuple[Quantity, ...]:
    """Every number with its unit, sorted."""
    found: list[Quantity] = []
    position = 0
    while position < len(tokens):
        value, used = _number(tokens, position)
        if not used:
            position += 1
            continue
        before = tokens[position - 1] if position and tokens[position - 1] in _SIGNS else ""
        after = tokens[position + used] if position + used < len(tokens) else ""
        unit = unit_of(before) or unit_of(after)
        if value != WEAK or unit or tokens[position] not in {"a", "an"}:
            found.append((value, unit))
        position += used
    return tuple(sorted(found))


def may_begin(token: str) -> bool:
    """Whether a number may begin with this token, or behind an article; `a week` is for who knows the units."""
    return _in_digits(token) or any(token in words for words in (_SMALL, _TENS, _ORDINALS, _OTHER, _FIRST, _SCALES))


def _in_digits(token: str) -> bool:
    return token[-1].isdigit() or token[0].isdigit() or (token[0] == "-" and len(token) > 1)


def _number(tokens: Sequence[str], position: int) -> tuple[str, int]:
    """The number that begins here and how many tokens it takes; 0 tokens where none does."""
    token = tokens[position]
    if _in_digits(token):
        return _of_digits(tokens, position)
    if token in _SMALL or token in _TENS:
        return _of_words(tokens, position)
    if token in _ORDINALS:
        return _ORDINALS[token], 1
    if token in _OTHER:
        return _OTHER[token], 1
    if token in _FIRST:
        return WEAK, 1
    if token in {"a", "an"} and position + 1 < len(tokens):
        following = tokens[position + 1]
        if following in _SCALES or following == "dozen":
            value, used = _of_words(tokens, position + 1, start=1) if following in _SCALES else ("12", 1)
            return value, used + 1
        if len(following) >= _SHORTEST_PLURAL and unit_of(following):
            return WEAK, 1
    return "", 0


def _of_digits(tokens: Sequence[str], position: int) -> tuple[str, int]:
    match = _DIGITS.fullmatch(tokens[position])
    if match is None:
        return tokens[position], 1
    value = match[1]
    if _THOUSANDS.fullmatch(value):
        value = value.replace(",", "")
    scale = {"k": 1_000, "bn": 1_000_000_000}.get(match[2] or "", 1)
    used = 1
    if position + 1 < len(tokens) and tokens[position + 1] in _SCALES:
        scale, used = _SCALES[tokens[position + 1]], 2
    if scale > 1:
        try:
            value = f"{float(value) * scale:.12g}"
        except ValueError:
            return f"{value}*{scale}", used
    return value, used


def _of_words(tokens: Sequence[str], position: int, *, start: int = 0) -> tuple[str, int]:
    """`two hundred and five` -> 205; `one` alone is weak."""
    total, part, used = 0, start, 0
    for token in tokens[position:]:
        if token in _SMALL:
            part += _SMALL[token]
        elif token in _TENS:
            part += _TENS[token]
        elif _SCALES.get(token) == _HUNDRED:
            part = max(part, 1) * _HUNDRED
        elif token in _SCALES:
            total, part = total + max(part, 1) * _SCALES[token], 0
        else:
            break
        used += 1
    value = str(total + part)
    return (WEAK if value == "1" else value), used


def differing(asked: Sequence[Quantity], stored: Sequence[Quantity]) -> str | None:
    """`numbers` or `units` where two lists of quantities differ. A unit left out fits any; so does a weak one."""
    if asked == stored:
        return None
    left, right = Counter(asked), Counter(stored)
    common = left & right
    rest, other = sorted((left - common).elements()), sorted((right - common).elements())
    for quantity in tuple(rest):
        fit = next(
            (each for each in other if each[0].lstrip("~") == quantity[0].lstrip("~") and _fits(each, quantity)), None
        )
        if fit is not None:
            rest.remove(quantity)
            other.remove(fit)
    if not rest and not other:
        return None
    if not rest or not other:
        return None if all(value == WEAK for value, _ in rest or other) else "numbers"
    same = Counter(value.lstrip("~") for value, _ in rest) == Counter(value.lstrip("~") for value, _ in other)
    return "units" if same else "numbers"


def _fits(one: Quantity, other: Quantity) -> bool:
    return one[1] == other[1] or not one[1] or not other[1]

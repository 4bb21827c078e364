"""Money: `Decimal` US dollars at the door, whole nano-dollars inside a ledger."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, InvalidOperation

from portkey_router.errors import ConfigurationError

__all__ = ["Amount", "as_max_cost", "as_usd", "nano", "nano_floor", "usd"]

Amount = Decimal | int | float | str

# A context of our own: the caller's may round, or trap.
_EXACT = Context(prec=60, traps=[])


def as_usd(amount: object) -> Decimal | None:
    """An amount as given, a float by its shortest spelling, which is what was typed; None for what is no amount."""
    if isinstance(amount, bool) or not isinstance(amount, Decimal | int | float | str):
        return None
    try:
        found = Decimal(str(amount))
    except InvalidOperation:
        return None
    return found if found.is_finite() and found >= 0 else None


def as_max_cost(given: object) -> Decimal:
    """The caller's own bound of what an attempt costs. Raises `ConfigurationError` for what is no amount."""
    amount = as_usd(given)
    if amount is None:
        raise ConfigurationError(f"max_cost= is in US dollars, from 0 up, not {given!r}.")
    return amount


def nano(amount: Decimal) -> int:
    """US dollars as whole nano-dollars. What is smaller is rounded up, so that a sum of costs is never too low."""
    return int(_EXACT.scaleb(amount, 9).to_integral_value(rounding=ROUND_CEILING))


def nano_floor(amount: Decimal) -> int:
    """The same rounded down, for limits."""
    return int(_EXACT.scaleb(amount, 9).to_integral_value(rounding=ROUND_FLOOR))


def usd(nanos: int) -> Decimal:
    """Nano-dollars as US dollars, exact."""
    amount = _EXACT.normalize(_EXACT.scaleb(Decimal(nanos), -9))
    return _EXACT.quantize(amount, Decimal(1)) if amount == amount.to_integral_value() else amount

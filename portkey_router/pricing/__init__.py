"""What an answer costs: prices from four sources behind one `PriceBook`, and how sure each cost is."""

from portkey_router.pricing.book import PriceBook, PricedAs, priced_as
from portkey_router.pricing.card import Price

__all__ = ["Price", "PriceBook", "PricedAs", "priced_as"]

"""Quantiles of many numbers in bounded memory."""

from __future__ import annotations

import math
from collections import Counter

__all__ = ["Quantiles"]

_ERROR = 0.01
_GAMMA = (1 + _ERROR) / (1 - _ERROR)
_LOG_GAMMA = math.log(_GAMMA)
# Beyond these a number is counted as the nearer of them: so there are at most 1,152 buckets.
_LEAST, _MOST = 1e-4, 1e6


class Quantiles:
    """Takes numbers one by one, and tells what share of them lies below what, to within 1 % of the true quantile.

    Numbers are counted in buckets whose bounds grow by a constant factor (DDSketch: Masson, Rim and Lee, "DDSketch: a
    fast and fully-mergeable quantile sketch with relative-error guarantees", VLDB 2019, section 2). That holds for
    numbers from 0.0001 to 1,000,000, such as seconds; 0 counts as the least of them.
    """

    __slots__ = ("_buckets", "_highest", "_lowest", "count")

    def __init__(self) -> None:
        self.count = 0
        self._buckets: Counter[int] = Counter()
        self._lowest, self._highest = math.inf, 0.0

    def add(self, number: float) -> None:
        """Take one; finite, from 0 up."""
        self.count += 1
        self._lowest, self._highest = min(self._lowest, number), max(self._highest, number)
        within = min(max(number, _LEAST), _MOST)
        self._buckets[math.ceil(math.log(within) / _LOG_GAMMA)] += 1

    def quantile(self, share: float) -> float | None:
        """The number of rank `share * (count - 1)`, rounded down, in order of size: 0.5 is the median. None of none."""
        if not self.count:
            return None
        left = int(share * (self.count - 1))
        for bucket in sorted(self._buckets):
            left -= self._buckets[bucket]
            if left < 0:
                break
        middle: float = 2 * _GAMMA**bucket / (_GAMMA + 1)
        return min(max(middle, self._lowest), self._highest)

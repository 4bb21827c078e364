"""Looking for a planted key in everything an error shows, or hands to whoever reports it."""

from __future__ import annotations

import traceback


def assert_no_trace(key: str, error: BaseException) -> None:
    """The key is neither in the error, nor in what it came from, nor in the printed traceback."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        assert key not in str(one), type(one)
        assert key not in repr(one), type(one)
        assert key not in repr(vars(one)), type(one)
        waiting += [one.__cause__, one.__context__]
    assert key not in "".join(traceback.format_exception(error))

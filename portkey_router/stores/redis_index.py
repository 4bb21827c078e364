"""What FT.INFO says of an index: RediSearch's words and Valkey-search's, in RESP2 (flat lists) or RESP3 (maps)."""

from __future__ import annotations

import math
from typing import Any

from portkey_router.cache.store import IndexState

__all__ = ["state_of_index"]

_MEGABYTE = 1024 * 1024
_INDEXED = ("percent_indexed", "backfill_complete_percent")


def state_of_index(cache: str, name: str, reply: Any) -> IndexState:
    """The state of an index of this cache, by its name: `{cache}:i:{version}:{fingerprint}:{algorithm}-{type}`."""
    _, encoder, kind = f"{name.removeprefix(f'{cache}:i:')}::".split(":")[:3]
    told = _map(reply)
    sizes = [size for size in map(_number, (told.get(each) for each in _SIZES)) if size is not None]
    shares = [share for share in map(_number, (told.get(each) for each in _INDEXED)) if share is not None]
    failures = _number(told.get("hash_indexing_failures"))
    return IndexState(
        name=name,
        encoder=encoder,
        kind=kind,
        dims=_dims(told.get("attributes")),
        indexed=shares[0] if shares else None,
        failures=None if failures is None else int(failures),
        bytes=int(sum(sizes) * _MEGABYTE) if sizes else None,
    )


# RediSearch's total is that of all but the vectors.
_SIZES = ("vector_index_sz_mb", "total_index_memory_sz_mb")


def _dims(attributes: Any) -> int | None:
    """Of the one field that is a vector: in RediSearch beside its type, in Valkey-search in a list below it."""
    for attribute in attributes or ():
        told = _map(attribute)
        number = _number(told.get("dim") or _map(told.get("index")).get("dimensions"))
        if number is not None:
            return int(number)
    return None


def _map(reply: Any) -> dict[str, Any]:
    """Names in lower case, with what stands beside them."""
    if isinstance(reply, dict):
        return {_word(name).lower(): value for name, value in reply.items()}
    listed = reply if isinstance(reply, list) else []
    return {_word(name).lower(): value for name, value in zip(listed[::2], listed[1::2], strict=False)}


def _word(name: Any) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)


def _number(value: Any) -> float | None:
    try:
        number = None if value is None else float(value)
    except (TypeError, ValueError):
        return None
    return number if number is not None and math.isfinite(number) else None

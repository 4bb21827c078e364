"""Embeddings without a model: vectors hashed from the words, so that texts that share words lie closer together."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from typing import TYPE_CHECKING, Any

from portkey_router.sandbox.engine import BadRequestError
from portkey_router.sandbox.words import tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["embed"]

DIMENSIONS = 1536
MOST_TEXTS = 2048


def embed(body: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to an embeddings request: one unit vector for each input, the same for the same text and model.

    Raises:
        BadRequestError: no model or no input, an empty text, too many of them, unknown dimensions or encoding.
    """
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise BadRequestError("you must provide a model parameter")
    given = body.get("input")
    if given is None or given in ("", []):
        raise BadRequestError("'input' must be a text or a list of texts")
    # A list of integers is one input, as tokens; a list of such lists is several.
    several = isinstance(given, list) and not isinstance(given[0], int)
    texts = [_text(item) for item in (given if several else [given])]
    if "" in texts or len(texts) > MOST_TEXTS:
        raise BadRequestError(f"'input' is at most {MOST_TEXTS} texts, none of them empty")
    count = body.get("dimensions", DIMENSIONS)
    if not isinstance(count, int) or count < 1:
        raise BadRequestError("'dimensions' must be a number from 1 up")
    encoding = body.get("encoding_format", "float")
    if encoding not in {"float", "base64"}:
        raise BadRequestError("'encoding_format' must be 'float' or 'base64'")
    packed = encoding == "base64"
    used = sum(len(tokens(text)) for text in texts)
    return {
        "object": "list",
        "model": body["model"],
        "data": [
            {"object": "embedding", "index": index, "embedding": _vector(text, count, packed=packed)}
            for index, text in enumerate(texts)
        ],
        "usage": {"prompt_tokens": used, "total_tokens": used},
    }


def _text(item: Any) -> str:
    return item if isinstance(item, str) else " ".join(map(str, item))


def _vector(text: str, count: int, *, packed: bool) -> list[float] | str:
    """The sum of the words' vectors, of length 1; little-endian 32-bit floats in base64 if packed."""
    sums = [0.0] * count
    for word in text.lower().split() or [""]:
        drawn = struct.unpack(f"<{count}h", hashlib.shake_128(word.encode()).digest(2 * count))
        sums = [total + value for total, value in zip(sums, drawn, strict=True)]
    length = math.sqrt(sum(value * value for value in sums)) or 1.0
    vector = [value / length for value in sums]
    return base64.b64encode(struct.pack(f"<{count}f", *vector)).decode("ascii") if packed else vector

"""What turns a question into a vector: LangChain's embeddings, LlamaIndex's, or any callable, each by its own methods.

Neither framework is imported: an object is known by the methods it has. In synchronous calls its synchronous method
runs in the caller's thread, in asynchronous ones its asynchronous method in the caller's loop; what has only the other
kind is run in a thread, or in a loop of its own.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from portkey_router.cache.callables import both_ways, in_thread
from portkey_router.cache.key import MINILM_WINDOW
from portkey_router.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["Encoder", "encoder_of", "vector_bytes"]

OPENAI_WINDOW = 8191
_MODEL_NAMES = ("model", "model_name", "model_id", "deployment_name", "repo_id")
_LENGTHS = ("dimensions", "dims")


@dataclass(frozen=True, slots=True)
class Encoder:
    """An embedding, whoever made it. `name` tells it from others; `window` is how many tokens it reads."""

    name: str
    window: int
    encode: Callable[[str], Sequence[float]]
    aencode: Callable[[str], Awaitable[Sequence[float]]]

    @property
    def label(self) -> str:
        """For people."""
        return " ".join(self.name.rpartition(".")[2].split("\0")).strip()

    def fingerprint(self, dims: int) -> str:
        """Twelve hex digits for the space its vectors are in."""
        return _fingerprint(self.name, dims)


@lru_cache(maxsize=64)
def _fingerprint(name: str, dims: int) -> str:
    return hashlib.sha256(f"{name}\0{dims}".encode()).hexdigest()[:12]


def encoder_of(embeddings: Any, *, by_name: Callable[[str], Any]) -> Encoder | None:
    """The encoder for what a user gives: None for None, an encoder as it is; `by_name` makes one for a model's name.

    Raises `ConfigurationError` for what is none.
    """
    if embeddings is None or isinstance(embeddings, Encoder):
        return embeddings
    if isinstance(embeddings, str):
        named = by_name(embeddings)
        return Encoder(f"portkey:{embeddings}", _window(embeddings), named.encode, named.aencode)
    for encode, aencode in (("embed_query", "aembed_query"), ("get_query_embedding", "aget_query_embedding")):
        if callable(getattr(embeddings, encode, None)):
            one = getattr(embeddings, encode)
            other = getattr(embeddings, aencode, None)
            return Encoder(_name(embeddings), _window(_model(embeddings), embeddings), one, other or in_thread(one))
    if callable(embeddings):
        return _of_function(embeddings)
    raise ConfigurationError(
        f"embeddings= takes LangChain Embeddings, a LlamaIndex embedding, a callable (text -> numbers) or a model's "
        f"name, and no {type(embeddings).__name__}. Without one, only equal questions are answered."
    )


def _of_function(function: Any) -> Encoder:
    name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', type(function).__qualname__)}"
    return Encoder(name, MINILM_WINDOW, *both_ways(function))


def _name(embeddings: Any) -> str:
    """Class, model and asked-for length, as far as the object tells them."""
    kind = type(embeddings)
    length = next((str(told) for name in _LENGTHS if (told := getattr(embeddings, name, None))), "")
    return "\0".join([f"{kind.__module__}.{kind.__qualname__}", _model(embeddings), length])


def _model(embeddings: Any) -> str:
    told = (getattr(embeddings, name, None) for name in _MODEL_NAMES)
    return next((name for name in told if isinstance(name, str) and name), "")


def _window(model: str, *holders: Any) -> int:
    """How many tokens a model reads; of one that is not known, as few as small encoders do."""
    for holder in (*holders, *(getattr(each, name, None) for each in holders for name in ("_client", "client"))):
        told = getattr(holder, "max_seq_length", None)  # sentence-transformers', and what wraps them
        if isinstance(told, int) and told > 0:
            return told
    return OPENAI_WINDOW if "text-embedding-" in model else MINILM_WINDOW


def vector_bytes(vector: Any) -> bytes:
    """A vector of length 1, FLOAT32, little-endian. Raises `ValueError` for what has no direction."""
    numbers = vector.tolist() if hasattr(vector, "tolist") else list(vector)
    length = math.hypot(*numbers)
    if not numbers or not 0 < length < _LARGEST:
        raise ValueError("the embedding is empty, zero, or not finite")
    numbers = array("f", numbers if abs(length - 1) <= _ONE else [number / length for number in numbers])
    if _BIG_ENDIAN:
        numbers.byteswap()
    return numbers.tobytes()


_ONE = 1e-6
"""Most encoders give vectors of this length, but for the rounding of FLOAT32."""
_LARGEST = 3.4e38
"""Of FLOAT32."""
_BIG_ENDIAN = array("H", [1]).tobytes() == b"\0\1"

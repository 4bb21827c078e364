"""A small embedding model on this machine, without a network: for demos and tests, too weak for serving."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portkey_router.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LocalEmbeddings"]


class LocalEmbeddings:
    """WordLlama's 256 numbers, in LangChain's form; loaded at the first text (about a second). `[local-embeddings]`.

    It averages the vectors of words, so it reads texts of any length, and sees little of their order.
    """

    model = "wordllama-256"
    max_seq_length = 1_000_000

    def __init__(self) -> None:
        if importlib.util.find_spec("wordllama") is None:
            raise ConfigurationError('The small model is missing: pip install "portkey-router[local-embeddings]"')

    def embed_query(self, text: str) -> list[float]:
        """The text's vector."""
        return self.embed_documents([text])[0]

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        """The texts' vectors."""
        vectors: list[list[float]] = _model().embed(list(texts)).tolist()
        return vectors


@functools.cache
def _model() -> Any:
    import wordllama  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415  (an extra, and slow to import)

    # Its own `load()` looks for the tokenizer in the wrong folder, and then on the network.
    return wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)

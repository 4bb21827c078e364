"""An encoder for tests: alike are texts that share words. It counts what it is asked, and can fail."""

from __future__ import annotations

import hashlib
import re
from typing import Any

__all__ = ["Words"]

DIMENSIONS = 128


class Words:
    """LangChain's two methods, without LangChain. Each word points in a direction of its own."""

    def __init__(self, model: str = "words") -> None:
        self.model = model
        self.asked: list[str] = []
        self.awaited: list[str] = []
        self.error: Exception | None = None

    def embed_query(self, text: str) -> list[float]:
        """In a thread."""
        self.asked.append(text)
        return self._vector(text)

    async def aembed_query(self, text: str) -> list[float]:
        """In a loop."""
        self.awaited.append(text)
        return self._vector(text)

    def _vector(self, text: str) -> list[float]:
        if self.error is not None:
            raise self.error
        vector = [0.0] * DIMENSIONS
        for word in re.findall(r"\w+", text.lower()):
            for byte in hashlib.sha256(word.encode()).digest()[:8]:
                vector[byte % DIMENSIONS] += 1.0 if byte < DIMENSIONS else -1.0
        return vector

    @property
    def calls(self) -> int:
        """How often it was asked, in either way."""
        return len(self.asked) + len(self.awaited)


def similarity(one: str, other: str) -> float:
    """The cosine that this encoder gives."""
    a, b = Words().embed_query(one), Words().embed_query(other)

    def length(vector: list[float]) -> Any:
        return sum(each * each for each in vector) ** 0.5

    return float(sum(x * y for x, y in zip(a, b, strict=True)) / (length(a) * length(b)))

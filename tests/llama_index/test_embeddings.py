from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core import Document, MockEmbedding, Settings, VectorStoreIndex
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.callbacks.schema import EventPayload
from llama_index.core.rate_limiter import BaseRateLimiter
from portkey_ai import createHeaders
from pydantic import SecretStr, ValidationError

from llama_index_portkey import PortkeyEmbedding
from portkey_router import ConfigurationError, Fallback, Target, UnknownModelError

if TYPE_CHECKING:
    from portkey_router.sandbox import PortkeyDouble

MODEL = "text-embedding-3-small"


def inputs(portkey: PortkeyDouble) -> list[Any]:
    """The input of each request at the provider."""
    return [received.body["input"] for received in portkey.log("vk-openai")]


async def test_every_method_gives_the_same(portkey: PortkeyDouble) -> None:
    """Text, query and batch, sync and async: one text, one vector."""
    model = PortkeyEmbedding(model=MODEL, dimensions=8)
    expected = await asyncio.to_thread(model.get_text_embedding, "a")
    assert len(expected) == 8
    assert await model.aget_text_embedding("a") == expected
    assert await asyncio.to_thread(model.get_query_embedding, "a") == expected
    assert await model.aget_query_embedding("a") == expected
    assert await asyncio.to_thread(model.get_text_embedding_batch, ["a", "b"]) == await model.aget_text_embedding_batch(
        ["a", "b"]
    )


async def test_the_async_methods_do_not_block_the_loop(portkey: PortkeyDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """They never go through the sync verb, which would hold the loop."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the sync verb was called")

    monkeypatch.setattr(PortkeyEmbedding, "embed", refuse)
    model = PortkeyEmbedding(model=MODEL, dimensions=8)
    assert len(await model.aget_text_embedding_batch(["a", "b"])) == 2
    assert len(await model.aget_query_embedding("a")) == 8
    assert len(await model.aget_text_embedding("a")) == 8


def test_two_loops_in_a_row(portkey: PortkeyDouble) -> None:
    """One model serves one `asyncio.run` after another."""
    model = PortkeyEmbedding(model=MODEL, dimensions=8)
    first, second = (asyncio.run(model.aget_text_embedding("a")) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("workers", [None, 1, 3])
def test_batches_and_workers(portkey: PortkeyDouble, workers: int | None) -> None:
    """`embed_batch_size` texts a request, in order, however many workers."""
    model = PortkeyEmbedding(model=MODEL, dimensions=4, embed_batch_size=3, num_workers=workers)
    texts = [f"text {number}" for number in range(8)]
    vectors = model.get_text_embedding_batch(texts)
    assert inputs(portkey) == [texts[:3], texts[3:6], texts[6:]]
    assert asyncio.run(model.aget_text_embedding_batch(texts)) == vectors
    assert vectors[7] == model.get_text_embedding("text 7")


def test_queries_and_documents_may_have_fields_of_their_own(portkey: PortkeyDouble) -> None:
    """Cohere's input_type, say; what is no field of ours is a field of the body."""
    model = PortkeyEmbedding(
        model=MODEL,
        dimensions=4,
        query_body={"input_type": "q"},
        document_body={"input_type": "d"},
        additional_kwargs={"user": "u"},
        truncate="END",  # type: ignore[call-arg]  # a field of the body
    )
    model.get_query_embedding("a")
    model.get_text_embedding("a")
    bodies = [received.body for received in portkey.log("vk-openai")]
    assert [body["input_type"] for body in bodies] == ["q", "d"]
    assert {(body["user"], body["truncate"]) for body in bodies} == {("u", "END")}


def test_an_index_over_settings(portkey: PortkeyDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """`Settings.embed_model`, an index, a retriever: the nearest document is found."""
    monkeypatch.setattr(Settings, "_embed_model", None)
    Settings.embed_model = PortkeyEmbedding(model=MODEL, dimensions=64)
    documents = [Document(text="a red car on the road"), Document(text="quantum physics")]
    found = VectorStoreIndex.from_documents(documents).as_retriever(similarity_top_k=1).retrieve("red car")
    assert found[0].text == "a red car on the road"
    assert not isinstance(Settings.embed_model, MockEmbedding)


def test_openai_likes_arguments(portkey: PortkeyDouble) -> None:
    """`api_base`, `default_headers`, `model_name`, `timeout`, `max_retries`: as in OpenAILikeEmbedding."""
    model = PortkeyEmbedding(
        model_name=MODEL,  # type: ignore[call-arg]  # type checkers know the first of the two names
        api_base=portkey.url,
        api_key="X",
        default_headers=createHeaders(api_key=portkey.api_key, virtual_key="vk-openai"),
        timeout=20,
        max_retries=1,
        dimensions=4,
    )
    assert len(model.get_text_embedding("a")) == 4
    assert model.model_name == MODEL


def test_callbacks_and_rate_limiter(portkey: PortkeyDouble) -> None:
    """LlamaIndex's own hooks see each batch, and none of them a key."""
    acquired: list[int] = []

    class Limiter(BaseRateLimiter):
        def acquire(self, num_tokens: int = 0) -> None:
            acquired.append(1)

        async def async_acquire(self, num_tokens: int = 0) -> None:
            acquired.append(1)

    handler = LlamaDebugHandler(print_trace_on_end=False)
    model = PortkeyEmbedding(
        model=MODEL,
        dimensions=4,
        embed_batch_size=2,
        callback_manager=CallbackManager([handler]),
        rate_limiter=Limiter(),
    )
    model.get_text_embedding_batch(["a", "b", "c"])
    pairs = handler.get_event_pairs(CBEventType.EMBEDDING)
    assert [pair[1].payload[EventPayload.CHUNKS] for pair in pairs if pair[1].payload] == [["a", "b"], ["c"]]
    assert acquired == [1, 1]
    assert portkey.api_key not in repr([event.payload for pair in pairs for event in pair])


def test_written_down_and_restored(portkey: PortkeyDouble, caplog: pytest.LogCaptureFixture) -> None:
    """`to_dict`, JSON, pickle and deep copies, before and after a call: the same model, and no key but in the copy."""
    caplog.set_level(logging.WARNING)
    strategy = Fallback(MODEL, Target(f"@openai-prod/{MODEL}"))
    model = PortkeyEmbedding(strategy=strategy, dimensions=4, api_key=portkey.api_key, num_workers=2)
    for _ in range(2):
        written = model.to_dict()
        restored = [
            PortkeyEmbedding.from_dict(json.loads(json.dumps(written))),
            PortkeyEmbedding.from_json(model.to_json()),
            pickle.loads(pickle.dumps(model)),  # noqa: S301  (our own)
            copy.deepcopy(model),
        ]
        for each in restored:
            assert each.get_text_embedding("a") == model.get_text_embedding("a")
            assert (each.strategy, each.num_workers, each.model_name) == (strategy, 2, MODEL)
        assert [each.api_key for each in restored[:3]] == [None, None, None]
        assert isinstance(restored[3].api_key, SecretStr)
        assert portkey.api_key not in json.dumps(written) + repr(model) + repr(model.to_payload())
        assert written["class_name"] == "portkey_embedding"
    assert "unpickleable" not in caplog.text


def test_what_is_wrong_is_told_at_construction(portkey: PortkeyDouble) -> None:
    """No key, no model, mixed spaces, no such argument: each says what to do, and nothing is sent."""
    with pytest.raises(UnknownModelError, match="PORTKEY_VIRTUAL_KEY_COHERE"):
        PortkeyEmbedding(model="embed-v4.0")
    with pytest.raises(ConfigurationError, match="No model"):
        PortkeyEmbedding()
    with pytest.raises(ConfigurationError, match="mixed vector spaces"):
        PortkeyEmbedding(strategy=Fallback(MODEL, "text-embedding-3-large"))
    with pytest.raises(ValidationError, match="did you mean 'virtual_key'"):
        PortkeyEmbedding(model=MODEL, virtual_keyy="x")  # type: ignore[call-arg]  # what is refused
    wrongs: tuple[dict[str, Any], ...] = ({"dimensions": 0}, {"embed_batch_size": 0}, {"num_workers": 0})
    for wrong in wrongs:
        with pytest.raises(ValidationError):
            PortkeyEmbedding(model=MODEL, **wrong)
    assert portkey.requests == ()


def test_usage_and_cost(portkey: PortkeyDouble) -> None:
    """`embed` gives what LlamaIndex's methods have no place for."""
    told = PortkeyEmbedding(model=MODEL).embed(["a b c"], dimensions=4)
    assert told.usage is not None
    assert told.usage.input_tokens > 0
    assert told.cost is not None

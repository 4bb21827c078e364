from __future__ import annotations

import asyncio
import copy
import json
import pickle
from contextlib import closing
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core._api import LangChainBetaWarning
from langchain_core.exceptions import ModelRateLimitError
from langchain_core.load import dumps, load
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import OpenAIEmbeddings
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests
from portkey_ai import createHeaders
from pydantic import SecretStr, ValidationError

from langchain_portkey_router import PortkeyEmbeddings
from portkey_router import ConfigurationError, Fallback, Target, UnknownModelError, UpstreamRateLimitError, sandbox

if TYPE_CHECKING:
    from portkey_router.sandbox import PortkeyDouble

MODEL = "text-embedding-3-small"


class TestStandardUnit(EmbeddingsUnitTests):
    """LangChain's own unit suite for embeddings, whole."""

    @property
    def embeddings_class(self) -> type[PortkeyEmbeddings]:
        """The class under test."""
        return PortkeyEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        """A model that needs nothing from the environment."""
        return {"model": f"@openai-prod/{MODEL}", "api_key": "test"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        """Environment, arguments, and what the model must then hold."""
        model = f"@openai-prod/{MODEL}"
        return {"PORTKEY_API_KEY": "from-env"}, {"model": model}, {"model_name": model}


class TestStandardIntegration(EmbeddingsIntegrationTests):
    """LangChain's own integration suite for embeddings, whole, over the double."""

    @pytest.fixture(autouse=True)
    def _connected(self, portkey: PortkeyDouble) -> None:
        """The environment points to the double."""

    @property
    def embeddings_class(self) -> type[PortkeyEmbeddings]:
        """The class under test."""
        return PortkeyEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        """The rest comes from the environment."""
        return {"model": MODEL}


def test_the_documented_form_works_with_the_class_name_swapped(portkey: PortkeyDouble) -> None:
    """What Portkey documents for `OpenAIEmbeddings`, and what it gives: the same numbers, swapped class and all."""
    arguments: dict[str, Any] = {
        "model": MODEL,
        "base_url": portkey.url,
        "api_key": "X",
        "default_headers": createHeaders(api_key=portkey.api_key, virtual_key="vk-openai"),
        "dimensions": 8,
        "chunk_size": 2,
        "max_retries": 1,
        "timeout": 20,
        "check_embedding_ctx_length": False,
        "model_kwargs": {"user": "u"},
    }
    texts = ["a red car", "a red bus", "quantum physics"]
    theirs, ours = OpenAIEmbeddings(**arguments), PortkeyEmbeddings(**arguments)
    with closing(theirs.client._client):  # a socket that is left to the garbage collector is another test's error
        for one, other in zip(ours.embed_documents(texts), theirs.embed_documents(texts), strict=True):
            assert one == pytest.approx(other, rel=1e-6)
    bodies = [received.body for received in portkey.log("vk-openai")]
    assert bodies[:2] == bodies[2:]
    assert [body["input"] for body in bodies[:2]] == [texts[:2], texts[2:]]
    assert bodies[0]["user"] == "u"


async def test_documents_and_queries(portkey: PortkeyDouble) -> None:
    """Sync and async give the same; documents and queries may have fields of their own (Cohere's input_type)."""
    model = PortkeyEmbeddings(
        model=MODEL,
        dimensions=4,
        query_body={"input_type": "search_query"},
        document_body={"input_type": "search_document"},
        user="u",  # type: ignore[call-arg]  # a field of the body
    )
    query = await asyncio.to_thread(model.embed_query, "a")
    assert await model.aembed_query("a") == query
    documents = await asyncio.to_thread(model.embed_documents, ["a", "b"])
    assert await model.aembed_documents(["a", "b"]) == documents
    assert documents[0] == query
    bodies = [received.body for received in portkey.log("vk-openai")]
    assert [body["input_type"] for body in bodies] == ["search_query"] * 2 + ["search_document"] * 2
    assert {body["user"] for body in bodies} == {"u"}
    assert await model.aembed_documents([]) == []


def test_chunk_size_of_a_call(portkey: PortkeyDouble) -> None:
    """`embed_documents(texts, chunk_size)` as in `OpenAIEmbeddings`."""
    PortkeyEmbeddings(model=MODEL, dimensions=4).embed_documents(["a", "b", "c"], chunk_size=1)
    assert len(portkey.log("vk-openai")) == 3


def test_usage_and_cost(portkey: PortkeyDouble) -> None:
    """`embed` gives what LangChain's methods have no place for; options of the call are the router's."""
    told = PortkeyEmbeddings(model=MODEL, portkey_metadata={"a": "1"}).embed(["a b c"], dimensions=4, trace_id="t")
    assert told.usage is not None
    assert told.usage.input_tokens > 0
    assert told.cost is not None
    assert told.routes[0].trace_id == "t"
    headers = portkey.requests[-1].headers
    assert json.loads(headers["x-portkey-metadata"]) == {"a": "1"}


def test_a_vector_store(portkey: PortkeyDouble) -> None:
    """As any embeddings: a store finds the nearest text."""
    store = InMemoryVectorStore(PortkeyEmbeddings(model=MODEL, dimensions=64))
    store.add_texts(["a red car on the road", "quantum physics"])
    assert store.similarity_search("red car", k=1)[0].page_content == "a red car on the road"


def test_errors_are_langchains_too(portkey: PortkeyDouble) -> None:
    """One except clause of LangChain's, one of ours: the same error."""
    portkey.always("vk-openai", sandbox.Fault.status(429))
    with pytest.raises(ModelRateLimitError) as caught:
        PortkeyEmbeddings(model=MODEL, max_retries=0).embed_query("a")
    assert isinstance(caught.value, UpstreamRateLimitError)


def test_what_is_wrong_is_told_at_construction(portkey: PortkeyDouble) -> None:
    """No key, no model, mixed spaces, no such argument: each says what to do, and nothing is sent."""
    with pytest.raises(UnknownModelError, match="PORTKEY_VIRTUAL_KEY_COHERE"):
        PortkeyEmbeddings(model="embed-v4.0")
    with pytest.raises(ConfigurationError, match="No model"):
        PortkeyEmbeddings()
    with pytest.raises(ConfigurationError, match="mixed vector spaces"):
        PortkeyEmbeddings(strategy=Fallback(MODEL, Target(MODEL, override_params={"dimensions": 8})))
    with pytest.raises(ValidationError, match="did you mean 'virtual_key'"):
        PortkeyEmbeddings(model=MODEL, virtual_keyy="x")  # type: ignore[call-arg]  # what is refused
    with pytest.raises(ValidationError, match="http_client: for OpenAI's own client"):
        PortkeyEmbeddings(model=MODEL, http_client=object())  # type: ignore[call-arg]  # what is refused
    with pytest.raises(ValidationError, match="texts are sent whole"):
        PortkeyEmbeddings(model=MODEL, check_embedding_ctx_length=True)
    wrongs: tuple[dict[str, Any], ...] = ({"dimensions": 0}, {"chunk_size": 0}, {"max_concurrency": 0})
    for wrong in (*wrongs, {"encoding_format": "int8"}):
        with pytest.raises(ValidationError):
            PortkeyEmbeddings(model=MODEL, **wrong)
    assert portkey.requests == ()


def test_written_down_and_restored(portkey: PortkeyDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """`dumps`, pickle and deep copies make the same model; only the copy keeps keys that were passed."""
    model = PortkeyEmbeddings(
        strategy=Fallback(MODEL, Target(f"@openai-prod/{MODEL}")), dimensions=4, api_key=portkey.api_key
    )
    expected = model.embed_query("a")
    loading, path = import_module("langchain_core.load.load"), tuple(PortkeyEmbeddings.lc_id())
    monkeypatch.setitem(loading.ALL_SERIALIZABLE_MAPPINGS, path, path)
    monkeypatch.setattr(loading, "_default_class_paths_cache", {})
    with pytest.warns(LangChainBetaWarning, match="`load` is in beta"):
        loaded = load(
            json.loads(dumps(model)),
            allowed_objects=[PortkeyEmbeddings],
            valid_namespaces=["langchain_portkey_router"],
            secrets_from_env=True,
        )
    restored = pickle.loads(pickle.dumps(model))  # noqa: S301  (our own)
    for each in (loaded, restored, copy.deepcopy(model)):
        assert each.embed_query("a") == expected
        assert each.strategy == model.strategy
    copied = copy.deepcopy(model)
    assert isinstance(copied.portkey_api_key, SecretStr)
    assert restored.portkey_api_key is None
    assert portkey.api_key not in dumps(model) + repr(model)


def test_a_changed_field_makes_another_router(portkey: PortkeyDouble) -> None:
    """Fields may be set after the fact, as in LangChain's own."""
    model = PortkeyEmbeddings(model=MODEL, dimensions=4)
    model.embed_query("a")
    model.dimensions, model.model_name = 6, f"@openai-prod/{MODEL}"
    assert len(model.embed_query("a")) == 6
    assert len(portkey.log("openai-prod")) == 1

"""Embeddings through the real gateway and the double, by the core and by both adapters: the same of all."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_portkey_router import PortkeyEmbeddings
from llama_index_portkey import PortkeyEmbedding
from portkey_router import (
    AllTargetsFailedError,
    AuthenticationError,
    ConfigurationError,
    Embeddings,
    Fallback,
    PortkeyError,
    PortkeyRouter,
    Target,
    UpstreamUnavailableError,
    sandbox,
)
from portkey_router.bootstrap import process_health
from portkey_router.sandbox.embedding import embed as sandbox_embed
from portkey_router.sandbox.engine import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from portkey_router.planner import RunOn
    from portkey_router.sandbox import Gateway, PortkeyDouble, Providers

MODEL = "text-embedding-3-small"
TEXTS = ["a red car", "a red bus", "quantum physics"]


@pytest.fixture
def target(portkey_providers: Providers) -> Callable[..., Target]:
    """Makes a target that is a provider of the sandbox."""

    def make(name: str, **options: Any) -> Target:
        host = portkey_providers.host(name)
        return Target(MODEL, provider="openai", api_key="sk-test", custom_host=host, name=name, **options)

    return make


def by_core(**options: Any) -> Callable[[list[str]], Embeddings]:
    """The router's sync verb."""
    call = {"dimensions": options.pop("dimensions")} if "dimensions" in options else {}
    router = PortkeyRouter.from_env(**options)
    return lambda texts: router.embed(texts, **call)


def by_core_async(**options: Any) -> Callable[[list[str]], Embeddings]:
    """The router's async verb."""
    call = {"dimensions": options.pop("dimensions")} if "dimensions" in options else {}
    router = PortkeyRouter.from_env(**options)
    return lambda texts: asyncio.run(router.aembed(texts, **call))


def by_langchain(**options: Any) -> Callable[[list[str]], Embeddings]:
    """LangChain's, sync."""
    return PortkeyEmbeddings(**options).embed


def by_langchain_async(**options: Any) -> Callable[[list[str]], Embeddings]:
    """LangChain's, async."""
    model = PortkeyEmbeddings(**options)
    return lambda texts: asyncio.run(model.aembed(texts))


def by_llama_index(**options: Any) -> Callable[[list[str]], Embeddings]:
    """LlamaIndex's, sync."""
    return PortkeyEmbedding(**options).embed


def by_llama_index_async(**options: Any) -> Callable[[list[str]], Embeddings]:
    """LlamaIndex's, async."""
    model = PortkeyEmbedding(**options)
    return lambda texts: asyncio.run(model.aembed(texts))


WAYS = (by_core, by_core_async, by_langchain, by_langchain_async, by_llama_index, by_llama_index_async)
each_way = pytest.mark.parametrize("way", WAYS)


def told(result: Embeddings | PortkeyError) -> list[tuple[str, str, int | None]]:
    """Target, outcome and status of every attempt."""
    return [(attempt.target, attempt.outcome, attempt.status) for attempt in result.attempts]


def outcome(way: Callable[..., Callable[[list[str]], Embeddings]], **options: Any) -> tuple[Any, ...]:
    """Everything two ways must agree in: vectors, usage, cost, target and attempts, or the error and its attempts."""
    try:
        result = way(**options)(TEXTS)
    except PortkeyError as error:
        ours = next(cls for cls in type(error).__mro__ if cls.__module__ == "portkey_router.errors")
        return ours.__name__, str(error), told(error)
    return (
        result.vectors,
        result.model,
        result.usage,
        result.cost,
        [route.target for route in result.routes],
        told(result),
    )


SCRIPTS: dict[str, tuple[dict[str, sandbox.Fault], RunOn]] = {
    "answer": ({}, "client"),
    "fallback": ({"a": sandbox.Fault.status(401)}, "client"),
    "retry": ({"a": sandbox.Fault.status(503)}, "client"),
    "gateway": ({"a": sandbox.Fault.status(401)}, "gateway"),
    "error": ({"a": sandbox.Fault.status(400)}, "client"),
    "all fail": ({"a": sandbox.Fault.status(401), "b": sandbox.Fault.status(404)}, "client"),
    "garbage": ({"a": sandbox.Fault.invalid_json(), "b": sandbox.Fault.status(401)}, "client"),
}


@pytest.mark.parametrize("case", SCRIPTS)
def test_every_way_agrees(
    portkey_gateway: Gateway, portkey_providers: Providers, target: Callable[..., Target], case: str
) -> None:
    """Through the real gateway: core, LangChain and LlamaIndex, sync and async, give the same for the same faults."""
    faults, run_on = SCRIPTS[case]
    found = []
    for way in WAYS:
        process_health.cache_clear()  # else later ways would know what earlier ones met
        for name in "ab":
            portkey_providers.clear(name)
        for name, fault in faults.items():
            portkey_providers.script(name, *[fault] * (1 if case == "retry" else 5))
        options: dict[str, Any] = {
            "base_url": portkey_gateway.url,
            "strategy": Fallback(target("a"), target("b")),
            "dimensions": 16,
            "run_on": run_on,
            "max_retries": 1 if case == "retry" else 0,
        }
        found.append(outcome(way, **options))
    assert all(each == found[0] for each in found), found
    attempts = [(name, kind) for name, kind, _ in found[0][-1]]
    assert (
        attempts
        == {
            "answer": [("a", "ok")],
            "fallback": [("a", "AuthenticationError"), ("b", "ok")],
            "retry": [("a", "UpstreamUnavailableError"), ("a", "ok")],
            "gateway": [("a > b", "ok")],
            "error": [("a", "InvalidRequestError")],
            "all fail": [("a", "AuthenticationError"), ("b", "InvalidRequestError")],
            "garbage": [("a", "UpstreamUnavailableError"), ("b", "AuthenticationError")],
        }[case]
    )


def test_base64_is_what_the_provider_is_asked_for(
    portkey_gateway: Gateway, portkey_providers: Providers, target: Callable[..., Target]
) -> None:
    """The gateway passes base64 and dimensions on; the numbers are those that JSON would have brought."""
    router = PortkeyRouter.from_env(base_url=portkey_gateway.url, strategy=target("a"))
    packed = router.embed(TEXTS, dimensions=32)
    plain = router.embed(TEXTS, dimensions=32, encoding_format="float")
    first, second = (received.body for received in portkey_providers.log("a"))
    assert first == {"model": MODEL, "input": TEXTS, "dimensions": 32, "encoding_format": "base64"}
    assert second == {**first, "encoding_format": "float"}
    for one, other in zip(packed.vectors, plain.vectors, strict=True):
        assert one == pytest.approx(other, rel=1e-6)
    red_car, red_bus, quantum = packed.vectors
    assert sum(map(float.__mul__, red_car, red_bus)) > sum(map(float.__mul__, red_car, quantum))


def test_batches_through_the_gateway(portkey_gateway: Gateway, target: Callable[..., Target]) -> None:
    """Texts in many requests, some at once, come back as texts in one do."""
    router = PortkeyRouter.from_env(base_url=portkey_gateway.url, strategy=target("a"))
    texts = [f"text number {number}" for number in range(23)]
    whole = router.embed(texts, dimensions=8)
    for split in (
        router.embed(texts, dimensions=8, batch_size=5),
        asyncio.run(router.aembed(texts, dimensions=8, batch_size=5)),
    ):
        assert split.vectors == whole.vectors
        assert (split.usage, len(split.routes), len(whole.routes)) == (whole.usage, 5, 1)
        assert split.cost is not None
        assert whole.cost is not None
        assert split.cost.amount == whole.cost.amount


def test_dimensions_that_the_gateway_drops_are_noticed(portkey_gateway: Gateway, portkey_providers: Providers) -> None:
    """The gateway does not pass Mistral's on: vectors of another length are no answer."""
    mistral = Target("mistral-embed", provider="mistral-ai", api_key="sk-test", custom_host=portkey_providers.host("m"))
    router = PortkeyRouter.from_env(base_url=portkey_gateway.url, strategy=mistral, max_retries=0)
    assert router.embed(TEXTS).dimensions == 1536
    with pytest.raises(UpstreamUnavailableError, match="1536 dimensions, not the 4 asked for"):
        router.embed(TEXTS, dimensions=4)
    assert [received.body for received in portkey_providers.log("m")] == [
        {"model": "mistral-embed", "input": TEXTS}
    ] * 2


@pytest.fixture
def portkey(portkey: PortkeyDouble, monkeypatch: pytest.MonkeyPatch) -> PortkeyDouble:
    """The double that the environment points to, with a key for Azure, too."""
    portkey.add_virtual_key("vk-azure", provider="azure-openai")
    monkeypatch.setenv("PORTKEY_VIRTUAL_KEY_AZURE", "vk-azure")
    return portkey


@each_way
def test_hosted_portkey(portkey: PortkeyDouble, way: Callable[..., Callable[[list[str]], Embeddings]]) -> None:
    """Virtual key by the model's name, a slug, and a fallback to the same model at another provider."""
    by_name = way(model=MODEL, dimensions=8)(TEXTS)
    by_slug = way(model=f"@openai-prod/{MODEL}", dimensions=8)(TEXTS)
    assert by_name.vectors == by_slug.vectors
    assert by_name.cost is not None
    assert (by_name.cost.provider, by_name.cost.model) == ("openai", MODEL)
    portkey.script("vk-openai", sandbox.Fault.status(429), sandbox.Fault.status(429))
    fallen = way(strategy=Fallback(MODEL, f"azure/{MODEL}"), dimensions=8, max_retries=0)(TEXTS)
    assert fallen.vectors == by_name.vectors
    assert [attempt.outcome for attempt in fallen.attempts] == ["UpstreamRateLimitError", "ok"]
    assert fallen.cost is not None
    assert fallen.cost.provider == "azure-openai"


@each_way
def test_a_saved_config(portkey: PortkeyDouble, way: Callable[..., Callable[[list[str]], Embeddings]]) -> None:
    """It is run by the gateway; the model goes along."""
    portkey.add_config("pc-embed", {"virtual_key": "vk-openai"})
    assert way(model=MODEL, config="pc-embed", dimensions=8)(TEXTS).dimensions == 8


@each_way
def test_mixed_spaces(portkey: PortkeyDouble, way: Callable[..., Callable[[list[str]], Embeddings]]) -> None:
    """Refused, with the reason, before anything is sent: by the adapters already at construction."""
    with pytest.raises(ConfigurationError, match="mixed vector spaces"):
        way(strategy=Fallback(MODEL, "text-embedding-3-large"))(TEXTS)
    assert portkey.requests == ()


@each_way
def test_the_environments_chat_strategy_is_left_alone(
    portkey: PortkeyDouble, monkeypatch: pytest.MonkeyPatch, way: Callable[..., Callable[[list[str]], Embeddings]]
) -> None:
    """An environment made for chat does not lead embeddings elsewhere, nor is it in their way."""
    monkeypatch.setenv("PORTKEY_STRATEGY", "fallback")
    monkeypatch.setenv("PORTKEY_FALLBACKS", json.dumps([{"model": "gpt-4o"}]))
    monkeypatch.setenv("PORTKEY_CONFIG_ID", "pc-chat")
    assert way(model=MODEL, dimensions=8)(TEXTS).dimensions == 8


@pytest.mark.parametrize("kind", [PortkeyEmbeddings, PortkeyEmbedding])
def test_what_a_call_says_is_over_what_the_model_is_set_to(portkey: PortkeyDouble, kind: Any) -> None:
    """Metadata add up, the call's win; `extra_body` is for fields under names that are arguments (`timeout`)."""
    model = kind(model=MODEL, portkey_metadata={"a": "1", "b": "1"}, extra_body={"timeout": 1, "user": "model"})
    model.embed(["x"], dimensions=4, metadata={"b": "2"}, extra_body={"user": "call"}, timeout=30)
    received = portkey.requests[-1]
    assert json.loads(received.headers["x-portkey-metadata"]) == {"a": "1", "b": "2"}
    assert (received.body["timeout"], received.body["user"], received.body["dimensions"]) == (1, "call", 4)


def test_an_error_through_langchain_keeps_what_was_paid_for(portkey: PortkeyDouble) -> None:
    """LangChain's class of the error still carries the finished batches."""
    portkey.script("vk-openai", sandbox.Fault.ok(), sandbox.Fault.status(401))
    with pytest.raises(AuthenticationError) as caught:
        PortkeyEmbeddings(model=MODEL, dimensions=8, chunk_size=2, max_retries=0).embed_documents(TEXTS)
    assert caught.value.embedded is not None
    assert sorted(caught.value.embedded.vectors) == [0, 1]
    assert caught.value.embedded.usage is not None


@settings(max_examples=15)
@given(st.lists(st.text("abc ", min_size=1, max_size=9), max_size=12), st.integers(min_value=1, max_value=5))
def test_the_sandboxs_vectors_depend_on_the_text_alone(texts: list[str], size: int) -> None:
    """However texts are put together, each has its own vector: what the tests of batches rest on."""
    alone = [sandbox_embed({"model": "m", "input": text, "dimensions": 4})["data"][0]["embedding"] for text in texts]
    together: list[Any] = []
    for start in range(0, len(texts), size):
        batch = sandbox_embed({"model": "m", "input": texts[start : start + size], "dimensions": 4})
        together += [row["embedding"] for row in batch["data"]]
    assert together == alone


def test_the_sandbox_refuses_what_openai_refuses() -> None:
    """An empty text among others, too many at once, an encoding it does not know: 400, as the provider says it."""
    for body in (
        {"input": ["a", ""]},
        {"input": ["a"] * 2049},
        {"input": "a", "encoding_format": "int8"},
        {"input": "a", "dimensions": 0},
    ):
        with pytest.raises(BadRequestError):
            sandbox_embed({"model": "m", **body})


def test_all_targets_failed(portkey: PortkeyDouble) -> None:
    """Several targets: their errors in one."""
    portkey.always("vk-openai", sandbox.Fault.status(401))
    portkey.always("vk-azure", sandbox.Fault.status(403))
    with pytest.raises(AllTargetsFailedError):
        PortkeyEmbedding(strategy=Fallback(MODEL, f"azure/{MODEL}")).get_text_embedding("a")

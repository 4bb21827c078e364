from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.runnables import ConfigurableField
from langchain_core.tracers.base import BaseTracer

from langchain_portkey_router import ChatPortkey
from portkey_router import Fallback, sandbox
from tests.langchain.test_chat_portkey import magic_function
from tests.langchain.verbs import VERBS, ask

if TYPE_CHECKING:
    from langchain_core.tracers.schemas import Run

    from portkey_router.sandbox import PortkeyDouble


class Runs(BaseTracer):
    """Keeps every run as a tracer would send it."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.kept.append(run)


@pytest.mark.parametrize("verb", VERBS)
def test_tracers_see_the_model_that_served(portkey: PortkeyDouble, verb: str) -> None:
    """After a fallback a trace names the second model and its provider, and the answer says nothing of how it knows."""
    portkey.always("vk-openai", sandbox.Fault.status(503))
    runs = Runs()
    llm = ChatPortkey(strategy=Fallback("gpt-4o", "claude-sonnet-4-5"), max_retries=0)
    answer = ask(llm.with_config(callbacks=[runs]), verb, "Hello")
    metadata = runs.kept[-1].metadata
    assert (metadata["ls_model_name"], metadata["ls_provider"]) == ("claude-sonnet-4-5", "anthropic")
    assert metadata["ls_gateway_info"] == {"model": "claude-sonnet-4-5", "provider": "anthropic"}
    assert "lc_gateway_metadata" not in answer.response_metadata


def test_provider_names_agree() -> None:
    """What a trace starts with and what an answer says are one name: summarising middleware compares them."""
    llm = ChatPortkey(model="@a/gpt-4o", api_key="k", temperature=0.5, max_tokens=7, stop=["END"])
    params = llm._get_ls_params()
    assert params["ls_provider"] == "portkey"
    assert (params["ls_model_name"], params["ls_temperature"]) == ("@a/gpt-4o", 0.5)
    assert (params["ls_max_tokens"], params["ls_stop"]) == (7, ["END"])
    assert llm._get_ls_params(model="@b/other")["ls_model_name"] == "@b/other"


@pytest.mark.parametrize("verb", VERBS)
def test_usage_is_counted_once_by_model(portkey: PortkeyDouble, verb: str) -> None:
    """LangChain's own usage handler adds up several calls, streamed ones too."""
    usage = UsageMetadataCallbackHandler()
    llm = ChatPortkey(model="gpt-4o").with_config(callbacks=[usage])
    answers = [ask(llm, verb, "Hello") for _ in range(2)]
    expected = [answer.usage_metadata["total_tokens"] for answer in answers if answer.usage_metadata]
    assert usage.usage_metadata["gpt-4o"]["total_tokens"] == sum(expected)


@pytest.mark.parametrize("wanted", [True, False])
def test_stream_usage_can_be_turned_off(portkey: PortkeyDouble, wanted: bool) -> None:
    """On by default; off for a model or for a call."""
    default = ask(ChatPortkey(model="gpt-4o"), "stream", "Hello")
    assert default.usage_metadata is not None
    of_model = ask(ChatPortkey(model="gpt-4o", stream_usage=wanted), "stream", "Hello")
    of_call = ask(ChatPortkey(model="gpt-4o").bind(stream_usage=wanted), "stream", "Hello")
    assert [answer.usage_metadata is not None for answer in (of_model, of_call)] == [wanted, wanted]


def test_events_v2(portkey: PortkeyDouble) -> None:
    """Start, a piece at a time, end; the pieces are the answer."""

    async def events() -> list[Any]:
        return [event async for event in ChatPortkey(model="gpt-4o").astream_events("Hello", version="v2")]

    seen = asyncio.run(events())
    kinds = [event["event"] for event in seen]
    assert (kinds[0], kinds[-1]) == ("on_chat_model_start", "on_chat_model_end")
    pieces = [event["data"]["chunk"].text for event in seen if event["event"] == "on_chat_model_stream"]
    assert "".join(pieces) == seen[-1]["data"]["output"].text


@pytest.mark.parametrize("color", ["sync", "async"])
def test_events_v3_have_reasoning_text_and_calls(portkey: PortkeyDouble, color: str) -> None:
    """The typed stream assembles v1 content: thoughts, then the call; usage and the served model with it."""
    llm: Any = ChatPortkey(model="gpt-4o", reasoning_effort="low").bind_tools([magic_function])
    question = "Use magic_function with 3"

    async def streamed() -> Any:
        return await (await llm.astream_events(question, version="v3")).output

    message = llm.stream_events(question, version="v3").output if color == "sync" else asyncio.run(streamed())
    assert isinstance(message, AIMessage)
    assert [block["type"] for block in message.content_blocks] == ["reasoning", "tool_call"]
    assert message.tool_calls[0]["args"] == {"number": 3}
    assert message.usage_metadata is not None
    assert message.response_metadata["model_name"] == "gpt-4o"


def test_a_rate_limiter_is_waited_for(portkey: PortkeyDouble) -> None:
    """Two calls at ten a second take two tenths of a second at least; the limiter is no part of a serialised model."""
    limiter = InMemoryRateLimiter(requests_per_second=10, check_every_n_seconds=0.01, max_bucket_size=1)
    llm = ChatPortkey(model="gpt-4o", rate_limiter=limiter)
    start = time.monotonic()  # before both: how long the first one takes is not the limiter's
    for _ in range(2):
        llm.invoke("Hello")
    assert time.monotonic() - start > 0.19
    assert "rate_limiter" not in llm._serialized["kwargs"]


def test_streaming_can_be_disabled(portkey: PortkeyDouble) -> None:
    """`disable_streaming`: streams become one whole answer, always or only with tools."""
    llm = ChatPortkey(model="gpt-4o", disable_streaming=True)
    assert len(list(llm.stream("Hello"))) == 1
    assert not portkey.requests[-1].body.get("stream")
    llm = ChatPortkey(model="gpt-4o", disable_streaming="tool_calling")
    list(llm.stream("Hello"))
    assert portkey.requests[-1].body["stream"]
    list(llm.bind_tools([magic_function]).stream("Hello"))
    assert not portkey.requests[-1].body.get("stream")


@pytest.mark.parametrize("verb", VERBS)
def test_with_fallbacks(portkey: PortkeyDouble, verb: str) -> None:
    """LangChain's own fallback takes over from a model whose targets have all failed, before anything was shown."""
    portkey.always("vk-openai", sandbox.Fault.cut(after=1))
    first = ChatPortkey(model="gpt-4o", max_retries=0)
    answer = ask(first.with_fallbacks([ChatPortkey(model="claude-sonnet-4-5")]), verb, "Hello")
    assert answer.response_metadata["model_name"] == "claude-sonnet-4-5"


def test_configurable_fields(portkey: PortkeyDouble) -> None:
    """Model and temperature chosen at run time: the right key, and the model's own as before."""
    llm = ChatPortkey(model="gpt-4o", temperature=0.1).configurable_fields(
        model_name=ConfigurableField(id="model"), temperature=ConfigurableField(id="temperature")
    )
    chosen: Any = {"configurable": {"model": "claude-sonnet-4-5", "temperature": 0.9}}
    assert llm.invoke("Hello", chosen).response_metadata["model_name"] == "claude-sonnet-4-5"
    sent = portkey.requests[-1]
    assert (sent.headers["x-portkey-virtual-key"], sent.body["temperature"]) == ("vk-anthropic", 0.9)
    assert llm.invoke("Hello").response_metadata["model_name"] == "gpt-4o"
    assert portkey.requests[-1].body["temperature"] == 0.1


def test_configurable_alternatives(portkey: PortkeyDouble) -> None:
    """Another whole model at run time."""
    llm = ChatPortkey(model="gpt-4o").configurable_alternatives(
        ConfigurableField(id="llm"), other=ChatPortkey(model="claude-sonnet-4-5")
    )
    answer = llm.invoke("Hello", {"configurable": {"llm": "other"}})
    assert answer.response_metadata["model_name"] == "claude-sonnet-4-5"


@pytest.mark.parametrize("verb", ["stream", "astream"])
def test_a_streams_last_chunk_says_the_rest_once(portkey: PortkeyDouble, verb: str) -> None:
    """Usage, finish reason and route are on one chunk, the last."""

    async def collected() -> list[Any]:
        return [chunk async for chunk in ChatPortkey(model="gpt-4o").astream("Hello")]

    chunks = list(ChatPortkey(model="gpt-4o").stream("Hello")) if verb == "stream" else asyncio.run(collected())
    assert all(isinstance(chunk, AIMessageChunk) for chunk in chunks)
    for name in ("finish_reason", "model_name", "portkey"):
        assert [name in chunk.response_metadata for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert [bool(chunk.usage_metadata) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].chunk_position == "last"


def test_seed_n_and_stop_reach_the_provider(portkey: PortkeyDouble) -> None:
    """As fields of the model, and the seed's fingerprint comes back."""
    answer = ChatPortkey(model="gpt-4o", seed=7, stop=["answers"]).invoke("Hello")
    assert answer.response_metadata["system_fingerprint"] == "fp_seed_7"
    assert answer.text.strip() == "gpt-4o"

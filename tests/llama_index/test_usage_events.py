from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.callbacks import CallbackManager, CBEventType
from llama_index.core.callbacks.schema import EventPayload
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.events.llm import LLMChatStartEvent, LLMCompletionStartEvent
from llama_index.core.llms.mock import MockLLM
from llama_index.core.prompts import PromptTemplate
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.dispatcher import instrument_tags
from pydantic import BaseModel

from llama_index_portkey import (
    PortkeyEmbedding,
    PortkeyLLM,
    PortkeyUsageCallbackHandler,
    PortkeyUsageEvent,
    PortkeyUsageHandler,
)
from portkey_router import Fallback, Price, sandbox, usage_report
from tests.llama_index.verbs import CHAT, COMPLETION, ask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llama_index.core.instrumentation.events import BaseEvent

    from portkey_router.sandbox import PortkeyDouble

HELLO = [ChatMessage("Hello")]


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


class Kept(BaseEventHandler):
    """Keeps every event but exceptions, whose tracebacks would keep a stream open that was left."""

    seen: list[Any] = []  # noqa: RUF012  (a field of pydantic's)

    def handle(self, event: BaseEvent, **_: Any) -> None:
        """Keep it."""
        if not isinstance(event, ExceptionEvent):
            self.seen.append(event)


@pytest.fixture
def told() -> Iterator[tuple[list[Any], PortkeyUsageHandler]]:
    """Every event that the root dispatcher hears of while the test runs, and a handler that sums ours."""
    root, kept, usage = get_dispatcher(), Kept(), PortkeyUsageHandler()
    root.add_event_handler(kept)
    root.add_event_handler(usage)
    yield kept.seen, usage
    root.event_handlers.remove(kept)
    root.event_handlers.remove(usage)


def of_usage(events: list[Any]) -> list[PortkeyUsageEvent]:
    """Ours among them."""
    return [event for event in events if isinstance(event, PortkeyUsageEvent)]


@pytest.mark.parametrize("verb", CHAT + COMPLETION)
def test_an_event_for_each_call(portkey: PortkeyDouble, told: Any, verb: str) -> None:
    """After a fallback: who answered, what it used and cost, exactly, in the call's own span and with its tags."""
    portkey.always("vk-openai", sandbox.Fault.status(503))
    legacy = PortkeyUsageCallbackHandler()
    llm = PortkeyLLM(
        strategy=Fallback("gpt-4o", "claude-sonnet-4-5"), max_retries=0, callback_manager=CallbackManager([legacy])
    )
    events, usage = told
    with usage_report() as report, instrument_tags({"user": "u1", "api_key": "sk-1", "big": object()}):
        answer = ask(llm, verb, "Hello")
    [event] = of_usage(events)
    said = answer.additional_kwargs
    assert (event.model, event.provider, event.target) == ("claude-sonnet-4-5", "anthropic", "claude-sonnet-4-5")
    assert (event.prompt_tokens, event.total_tokens) == (said["prompt_tokens"], said["total_tokens"])
    assert event.cost_usd == Decimal(said["portkey"]["cost"]["amount"]) > 0
    assert (event.attempts, event.streamed, event.outcome) == (2, "stream" in verb, "ok")
    [start] = [each for each in events if isinstance(each, LLMChatStartEvent | LLMCompletionStartEvent)]
    assert event.span_id == start.span_id
    assert event.tags["user"] == "u1"
    assert event.model_dump()["cost_usd"] == said["portkey"]["cost"]["amount"]
    assert "call" not in event.model_dump()
    for counted in (usage, legacy, report):
        assert counted.by("user")["u1"].calls == 1
        assert counted.cost_usd == event.cost_usd
    assert report.calls[0].tags == {"user": "u1"}


@pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet-4-5"])
@pytest.mark.parametrize("streamed", [False, True])
def test_structured_calls(portkey: PortkeyDouble, told: Any, model: str, streamed: bool) -> None:
    """A structured call is a call for each request that it makes, in the span of the chat within it."""
    events, usage = told
    llm, prompt = PortkeyLLM(model=model), PromptTemplate('"Ada" is {age}')
    if streamed:
        assert list(llm.stream_structured_predict(Person, prompt, age=36))
    else:
        llm.structured_predict(Person, prompt, age=36)
    told_of = of_usage(events)
    assert len(told_of) == usage.totals.calls == len(portkey.requests)
    assert {str(event.span_id).partition("-")[0] for event in told_of} == {
        "PortkeyLLM.stream_chat" if streamed else "PortkeyLLM.chat"
    }


@pytest.mark.parametrize("color", ["sync", "async"])
def test_a_stream_left_early(portkey: PortkeyDouble, told: Any, color: str) -> None:
    """A stream that is left tells what it used until then, as an estimate, in its span."""
    events, usage = told
    legacy = PortkeyUsageCallbackHandler()
    llm = PortkeyLLM(model="gpt-4o", callback_manager=CallbackManager([legacy]))

    async def leave() -> None:
        stream = await llm.astream_chat(HELLO)
        await anext(stream)
        await stream.aclose()

    if color == "async":
        asyncio.run(leave())
    else:
        stream = llm.stream_chat(HELLO)
        next(stream)
        stream.close()
    [event] = of_usage(events)
    assert (event.outcome, event.estimated) == ("left", True)
    assert event.prompt_tokens > 0
    assert event.span_id is not None
    assert usage.cost_usd == legacy.cost_usd == event.cost_usd
    assert (legacy.totals.calls, legacy.totals.estimated) == (1, 1)


def test_a_failed_call(portkey: PortkeyDouble, told: Any) -> None:
    """A call that failed is told, without usage, under its error's name."""
    events, usage = told
    portkey.always("vk-openai", sandbox.Fault.status(401))
    with pytest.raises(Exception, match="401"):
        PortkeyLLM(model="gpt-4o", max_retries=0).chat(HELLO)
    [event] = of_usage(events)
    assert (event.outcome, event.total_tokens, event.cost_usd) == ("AuthenticationError", 0, None)
    assert (usage.totals.failed, usage.totals.unpriced) == (1, 0)


def test_a_hit_of_the_gateway(portkey: PortkeyDouble, told: Any) -> None:
    """What the gateway's cache answers cost nothing, and used nothing."""
    events, usage = told
    llm = PortkeyLLM(config={"virtual_key": "vk-openai", "cache": {"mode": "simple"}}, model="gpt-4o")
    for _ in range(2):
        llm.chat(HELLO)
    event = of_usage(events)[1]
    assert (event.cache, event.total_tokens, str(event.cost_usd)) == ("gateway", 0, "0")
    assert (usage.totals.calls, usage.totals.hits) == (2, 1)


def test_an_event_handed_on_twice_is_one_call(portkey: PortkeyDouble, told: Any) -> None:
    """A handler on two dispatchers of one line counts a call once."""
    _, usage = told
    near = get_dispatcher("llama_index_portkey.events")
    near.add_event_handler(usage)
    try:
        PortkeyLLM(model="gpt-4o").chat(HELLO)
    finally:
        near.event_handlers.remove(usage)
    assert usage.totals.calls == 1
    assert "gpt-4o" in str(usage)


@pytest.mark.parametrize("color", ["sync", "async"])
def test_embeddings(portkey: PortkeyDouble, told: Any, color: str) -> None:
    """Each batch of an embedding is told and counted, in its span, with its tags."""
    events, usage = told
    model = PortkeyEmbedding(model="text-embedding-3-small", virtual_key="vk-openai", embed_batch_size=2)
    with usage_report() as report, instrument_tags({"user": "u1"}):
        if color == "sync":
            model.get_text_embedding_batch(["a", "b", "c"])
        else:
            asyncio.run(model.aget_text_embedding_batch(["a", "b", "c"]))
    batches = of_usage(events)
    assert [(each.operation, each.outcome) for each in batches] == [("embeddings", "ok")] * 2
    assert all(each.span_id for each in batches)
    assert usage.by("user")["u1"].calls == report.by("user")["u1"].calls == 2
    assert usage.cost_usd == report.cost_usd > 0


def test_the_calls_own_tags_win(portkey: PortkeyDouble) -> None:
    """Over LlamaIndex's, and those over the model's."""
    llm = PortkeyLLM(model="gpt-4o", portkey_tags={"user": "model", "app": "shop", "team": "model"})
    with usage_report() as report, instrument_tags({"user": "tags", "team": "tags"}):
        llm.chat(HELLO, portkey_tags={"user": "call"})
    assert report.calls[0].tags == {"user": "call", "team": "tags", "app": "shop"}


def test_a_listener_of_ones_own(portkey: PortkeyDouble) -> None:
    """`on_event=` of a call hears of it beside the others."""
    heard: list[Any] = []
    PortkeyLLM(model="gpt-4o").chat(HELLO, on_event=heard.append)
    assert [type(event).__name__ for event in heard] == ["RouteDecided", "AttemptFinished", "CallFinished"]


# ---- the older callbacks, on LLMs that are not ours ------------------------------------------------------------------


OPENAI: dict[str, Any] = {
    "model": "gpt-4o",
    "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
}
ANTHROPIC = {
    "model": "claude-sonnet-4-5",
    "usage": {
        "input_tokens": 300,
        "output_tokens": 100,
        "cache_read_input_tokens": 200,
        "cache_creation_input_tokens": 500,
    },
}
GOOGLE = {
    "model": "gemini-2.5-pro",
    "usage_metadata": {"prompt_token_count": 1000, "candidates_token_count": 60, "thoughts_token_count": 40},
}


@pytest.mark.parametrize(
    ("raw", "more", "cost"),
    [
        (OPENAI, {}, "0.0035"),
        (ANTHROPIC, {}, "0.004335"),
        (GOOGLE, {}, "0.00225"),
        (None, {**OPENAI["usage"], "model_name": "gpt-4o"}, "0.0035"),
    ],
    ids=["openai", "anthropic", "google", "additional_kwargs"],
)
@pytest.mark.parametrize("kind", [ChatResponse, CompletionResponse])
def test_other_llms(raw: Any, more: Any, cost: str, kind: Any) -> None:
    """Priced from what their answers state, under `instrument_tags`."""
    handler = PortkeyUsageCallbackHandler()
    answer: Any = (
        ChatResponse(message=ChatMessage("Hi"), raw=raw, additional_kwargs=more)
        if kind is ChatResponse
        else CompletionResponse(text="Hi", raw=raw, additional_kwargs=more)
    )
    name = EventPayload.RESPONSE if kind is ChatResponse else EventPayload.COMPLETION
    with instrument_tags({"user": "u1"}):
        handler.on_event_start(CBEventType.LLM, {}, event_id="1")
        handler.on_event_end(CBEventType.LLM, {name: answer}, event_id="1")
    assert str(handler.by("user")["u1"].cost_usd) == cost


def test_other_llms_that_say_nothing() -> None:
    """An LLM that states no usage is not counted, nor is a failure, nor what is no call of an LLM."""
    handler = PortkeyUsageCallbackHandler(prices={"x": Price(1, 1)})
    MockLLM(callback_manager=CallbackManager([handler])).complete("Hello")
    handler.on_event_end(CBEventType.LLM, {EventPayload.EXCEPTION: ValueError()}, event_id="2")
    handler.on_event_end(CBEventType.QUERY, {}, event_id="3")
    assert handler.totals.calls == 0
    assert not handler._started


def test_ones_own_price() -> None:
    """A model of unknown price is counted as such; with one's own price it is known."""
    answer = ChatResponse(message=ChatMessage("Hi"), raw={**OPENAI, "model": "mine"})
    for prices, expected in ((None, (1, "0")), ({"mine": Price(1, 1)}, (0, "0.0011"))):
        handler = PortkeyUsageCallbackHandler(prices=prices)
        handler.on_event_start(CBEventType.LLM, {EventPayload.SERIALIZED: {"model": "asked"}}, event_id="1")
        handler.on_event_end(CBEventType.LLM, {EventPayload.RESPONSE: answer}, event_id="1")
        assert (handler.totals.unpriced, str(handler.cost_usd)) == expected
        assert handler.report.calls[0].requested_model == "asked"


def test_sinks_of_a_model(portkey: PortkeyDouble) -> None:
    """A model's sinks hear of its calls; copies share them, and what is written down leaves them out."""
    heard: list[Any] = []
    sink = SimpleNamespace(handle=heard.append, lock=threading.Lock())  # a lock cannot be copied
    llm = PortkeyLLM(model="gpt-4o", sinks=[sink])
    for each in (llm, copy.deepcopy(llm)):
        each.chat(HELLO)
    pickle.loads(pickle.dumps(llm)).chat(HELLO)  # noqa: S301  (our own)
    assert [type(event).__name__ for event in heard].count("CallFinished") == 2
    assert "sinks" not in llm.to_dict()

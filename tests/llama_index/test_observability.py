from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]  # not listed there
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.llm import (
    LLMChatEndEvent,
    LLMChatStartEvent,
    LLMCompletionEndEvent,
    LLMCompletionStartEvent,
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.prompts import PromptTemplate
from llama_index.core.rate_limiter import BaseRateLimiter

from llama_index_portkey import PortkeyLLM
from tests.llama_index.test_structured import Person
from tests.llama_index.verbs import CHAT, COMPLETION, ask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llama_index.core.instrumentation.events import BaseEvent

    from portkey_router.sandbox import PortkeyDouble


ROOT = Path(__file__).parent.parent.parent


class Events(BaseEventHandler):
    """Keeps every event that LlamaIndex tells."""

    seen: list[Any] = []  # noqa: RUF012  (a pydantic field, copied for each instance)

    def handle(self, event: BaseEvent, **_: Any) -> None:
        """Keep it."""
        self.seen.append(event)


@pytest.fixture
def events() -> Iterator[list[Any]]:
    """Every event of the test."""
    root, handler = get_dispatcher(), Events()
    root.add_event_handler(handler)
    yield handler.seen
    root.event_handlers.remove(handler)


@pytest.mark.parametrize("verb", CHAT + COMPLETION)
def test_each_call_is_told_once(portkey: PortkeyDouble, events: list[Any], verb: str) -> None:
    """One start and one end, on the dispatcher and to the callback manager; a completion is no chat beside."""
    debug = LlamaDebugHandler(print_trace_on_end=False)
    ask(PortkeyLLM(model="gpt-4o", temperature=0.5, callback_manager=CallbackManager([debug])), verb, "Hello")
    starts = [event for event in events if isinstance(event, LLMChatStartEvent | LLMCompletionStartEvent)]
    ends = [event for event in events if isinstance(event, LLMChatEndEvent | LLMCompletionEndEvent)]
    expected = LLMCompletionStartEvent if verb in COMPLETION else LLMChatStartEvent
    assert [type(event) for event in starts] == [expected]
    assert len(ends) == 1
    assert len(debug.get_event_pairs(CBEventType.LLM)) == 1
    assert (starts[0].model_dict["model"], starts[0].model_dict["temperature"]) == ("gpt-4o", 0.5)
    assert starts[0].span_id == ends[0].span_id
    assert ends[0].response is not None
    assert ends[0].response.additional_kwargs["total_tokens"] > 0


@pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet-4-5"])
def test_structured_calls_are_told_once(portkey: PortkeyDouble, events: list[Any], model: str) -> None:
    """Start and end with the object, around one chat, sync and async."""
    llm, prompt = PortkeyLLM(model=model), PromptTemplate('"Ada" is {age}')
    llm.structured_predict(Person, prompt, age=36)
    asyncio.run(llm.astructured_predict(Person, prompt, age=36))
    found = [
        type(event) for event in events if "StructuredPredict" in type(event).__name__ or "Chat" in type(event).__name__
    ]
    once = [LLMStructuredPredictStartEvent, LLMChatStartEvent, LLMChatEndEvent, LLMStructuredPredictEndEvent]
    assert found == once * 2


def test_a_rate_limiter_is_asked(portkey: PortkeyDouble) -> None:
    """LlamaIndex's limiter stands before the call and can stop it."""

    class Full(BaseRateLimiter):
        def acquire(self, num_tokens: int = 0) -> None:
            raise RuntimeError("full")

        async def async_acquire(self, num_tokens: int = 0) -> None:
            raise RuntimeError("full")

    llm = PortkeyLLM(model="gpt-4o", rate_limiter=Full())
    with pytest.raises(RuntimeError, match="full"):
        llm.chat([ChatMessage("Hello")])
    with pytest.raises(RuntimeError, match="full"):
        asyncio.run(llm.achat([ChatMessage("Hello")]))
    assert not portkey.requests


def traced(package: str) -> dict[str, Any]:
    """What a tracing package tells of a call by each verb; none of the keys in use is among it."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.llama_index.tracing", package],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    keys, text = found.pop("keys"), json.dumps(found)
    assert [key for key in keys if key in text] == []
    return found


def test_openinference_sees_model_and_tokens() -> None:
    """The model asked for and the exact counts, details too, of calls and streams; providers it knows by class."""
    found = traced("openinference")
    for verb in CHAT:
        [llm] = [span for span in found[verb]["spans"] if span.get("openinference.span.kind") == "LLM"]
        said = found[verb]["said"]
        assert llm["llm.model_name"] == "gpt-4o"
        assert llm["llm.token_count.prompt"] == said["prompt_tokens"]
        assert llm["llm.token_count.completion"] == said["completion_tokens"]
        assert llm["llm.token_count.total"] == said["total_tokens"]
        assert llm["llm.token_count.prompt_details.cache_read"] == 0


def test_llama_indexs_opentelemetry_sees_model_provider_and_tokens() -> None:
    """Its span events hold what was asked, who served it after what, and the exact counts.

    Of a stream, whoever's LLM it is, it closes the span when the stream is handed over, and drops what is told later.
    """
    found = traced("otel")
    for verb in CHAT:
        events, said = found[verb]["events"], found[verb]["said"]
        assert "claude-sonnet-4-5" in json.dumps(events["LLMChatStartEvent"]), "the route is told before the call"
        assert ("LLMChatEndEvent" in events) is ("stream" not in verb)
        end = json.dumps(events.get("LLMChatEndEvent"))
        for part in ("anthropic", "claude-sonnet-4-5", "UpstreamUnavailableError", f"{said['total_tokens']}"):
            assert "stream" in verb or part in end, (verb, part)

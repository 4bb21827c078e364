"""The router and the chat model on what the real gateway answered, replayed with sockets blocked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core import exceptions as langchain
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool
from pydantic import BaseModel
from vcr.errors import CannotOverwriteExistingCassetteException  # type: ignore[import-untyped]

from langchain_portkey_router import ChatPortkey
from portkey_router import (
    AuthenticationError,
    Completion,
    Fallback,
    PortkeyError,
    PortkeyRouter,
    StreamInterruptedError,
    sandbox,
)
from tests.langchain.verbs import VERBS as LANGCHAIN_VERBS
from tests.langchain.verbs import ask as ask_llm

if TYPE_CHECKING:
    from tests.cassettes.conftest import Backdrop

VERBS = ("complete", "acomplete", "stream", "astream")
QUESTION = "What does a gateway do?"
MESSAGES = [{"role": "user", "content": QUESTION}]
recorded = pytest.mark.vcr
pytestmark = pytest.mark.usefixtures("whole_cassette_offline")


class Person(BaseModel):
    """A person."""

    name: str
    age: int


@tool
def get_weather(place: str) -> str:
    """Tell the weather at a place."""
    return f"sunny in {place}"


def ask(router: PortkeyRouter, verb: str) -> Completion:
    """The answer by any of the router's four verbs; a stream's chunks add up to it."""

    async def astreamed() -> Completion:
        stream = router.astream(MESSAGES)
        text = "".join([chunk.content async for chunk in stream])
        assert stream.completion is not None
        assert text == stream.completion.text
        return stream.completion

    if verb == "complete":
        return router.complete(MESSAGES)
    if verb == "acomplete":
        return asyncio.run(router.acomplete(MESSAGES))
    if verb == "astream":
        return asyncio.run(astreamed())
    stream = router.stream(MESSAGES)
    text = "".join(chunk.content for chunk in stream)
    assert stream.completion is not None
    assert text == stream.completion.text
    return stream.completion


def attempts(answer: Any) -> list[tuple[str, int]]:
    """Target and status of every attempt that a chat model's answer took."""
    return [(each["target"], each["status"]) for each in answer.response_metadata["portkey"]["attempts"]]


# ---- the router ------------------------------------------------------------------------------------------------------


@recorded
@pytest.mark.parametrize("verb", VERBS)
def test_router_answers(backdrop: Backdrop, verb: str) -> None:
    """Text, usage, model, finish reason, and what the gateway's headers said, by all four verbs."""
    answer = ask(PortkeyRouter.from_env(base_url=backdrop.url, strategy=backdrop.target("a")), verb)
    assert answer.text == f"model-a answers to: {QUESTION}"
    assert (answer.model, answer.finish_reason) == ("model-a", "stop")
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (10, 14, 24)
    assert (answer.route.target, answer.route.provider, answer.route.index) == ("a", "openai", "config")


@recorded
@pytest.mark.parametrize("verb", VERBS)
def test_router_falls_back_after_a_503(backdrop: Backdrop, verb: str) -> None:
    """The first target's 503 is in the route, the second target answers."""
    backdrop.always("a", sandbox.Fault.status(503))
    strategy = Fallback(backdrop.target("a"), backdrop.target("b"))
    answer = ask(PortkeyRouter.from_env(base_url=backdrop.url, strategy=strategy, max_retries=0), verb)
    assert [(each.target, each.status) for each in answer.route.attempts] == [("a", 503), ("b", 200)]
    assert answer.text == f"model-b answers to: {QUESTION}"


@recorded
@pytest.mark.parametrize("verb", VERBS)
def test_router_has_the_gateway_fall_back(backdrop: Backdrop, verb: str) -> None:
    """One request, and the gateway's header says which target answered it."""
    backdrop.always("a", sandbox.Fault.status(503))
    strategy = Fallback(backdrop.target("a"), backdrop.target("b"))
    router = PortkeyRouter.from_env(base_url=backdrop.url, strategy=strategy, run_on="gateway", max_retries=0)
    answer = ask(router, verb)
    assert [each.status for each in answer.route.attempts] == [200]
    assert (answer.route.target, answer.route.index, answer.model) == ("b", "config.targets[1]", "model-b")


@recorded
@pytest.mark.parametrize("verb", VERBS)
def test_router_names_a_refused_key(backdrop: Backdrop, verb: str) -> None:
    """A 401 is an `AuthenticationError` with the provider's words and what to do."""
    backdrop.always("a", sandbox.Fault.status(401))
    router = PortkeyRouter.from_env(base_url=backdrop.url, strategy=backdrop.target("a"))
    with pytest.raises(AuthenticationError, match=r"Incorrect API key provided.*PORTKEY_API_KEY") as caught:
        ask(router, verb)
    assert (caught.value.status, caught.value.provider) == (401, "openai")


@recorded
@pytest.mark.parametrize("verb", ["stream", "astream"])
def test_router_knows_a_stream_that_the_gateway_ended_early(backdrop: Backdrop, verb: str) -> None:
    """A cut stream, which the gateway ends as a clean 200, is an error that holds the part that came."""
    backdrop.always("a", sandbox.Fault.cut(after=3))
    router = PortkeyRouter.from_env(base_url=backdrop.url, strategy=backdrop.target("a"), max_retries=0)
    with pytest.raises(StreamInterruptedError) as caught:
        ask(router, verb)
    assert caught.value.partial is not None
    assert f"model-a answers to: {QUESTION}".startswith(caught.value.partial.text)
    assert caught.value.partial.text


# ---- the chat model --------------------------------------------------------------------------------------------------


@recorded
@pytest.mark.parametrize("verb", LANGCHAIN_VERBS)
def test_chat_answers(backdrop: Backdrop, verb: str) -> None:
    """The same message by all four verbs: text, usage, model and finish reason."""
    answer = ask_llm(ChatPortkey(base_url=backdrop.url, strategy=backdrop.target("a")), verb, QUESTION)
    assert answer.text == f"model-a answers to: {QUESTION}"
    assert answer.response_metadata["model_name"] == "model-a"
    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] == 24
    assert attempts(answer) == [("a", 200)]


@recorded
@pytest.mark.parametrize("verb", LANGCHAIN_VERBS)
def test_chat_tells_usage_in_detail(backdrop: Backdrop, verb: str) -> None:
    """Reasoning, and tokens read from the prompt cache when the same long prompt comes again, streamed too."""
    llm = ChatPortkey(base_url=backdrop.url, strategy=backdrop.target("a"), reasoning_effort="low")
    messages = [SystemMessage("Answer in one short line. " * 40), HumanMessage(QUESTION)]
    first, second = (ask_llm(llm, verb, messages).usage_metadata for _ in range(2))
    assert first is not None
    assert second is not None
    assert (first["input_token_details"]["cache_read"], second["input_token_details"]["cache_read"]) == (0, 241)
    assert second["output_token_details"]["reasoning"] == 17
    assert second["total_tokens"] == first["total_tokens"] == second["input_tokens"] + second["output_tokens"]


@recorded
@pytest.mark.parametrize("verb", LANGCHAIN_VERBS)
def test_chat_calls_tools(backdrop: Backdrop, verb: str) -> None:
    """A tool call with its arguments, whole and put together from a stream."""
    llm = ChatPortkey(base_url=backdrop.url, strategy=backdrop.target("a"))
    answer = ask_llm(llm.bind_tools([get_weather], tool_choice="any"), verb, 'How is the weather in "Oslo"?')
    [call] = answer.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"place": "Oslo"})
    assert call["id"]
    assert answer.response_metadata["finish_reason"] == "tool_calls"


@recorded
@pytest.mark.parametrize("verb", ["invoke", "ainvoke"])
def test_chat_gives_objects_through_tools(backdrop: Backdrop, verb: str) -> None:
    """Structured output by `function_calling` is an object of the class."""
    llm = ChatPortkey(base_url=backdrop.url, strategy=backdrop.target("a"))
    chain = llm.with_structured_output(Person, method="function_calling")
    question = '"Ada" is 36 years old.'
    found = chain.invoke(question) if verb == "invoke" else asyncio.run(chain.ainvoke(question))
    assert found == Person(name="Ada", age=36)


@recorded
@pytest.mark.parametrize("verb", LANGCHAIN_VERBS)
def test_chat_falls_back_after_a_503(backdrop: Backdrop, verb: str) -> None:
    """The second target answers, and the message says after what."""
    backdrop.always("a", sandbox.Fault.status(503))
    strategy = Fallback(backdrop.target("a"), backdrop.target("b"))
    answer = ask_llm(ChatPortkey(base_url=backdrop.url, strategy=strategy, max_retries=0), verb, QUESTION)
    assert attempts(answer) == [("a", 503), ("b", 200)]
    assert answer.response_metadata["model_name"] == "model-b"


@recorded
@pytest.mark.parametrize("verb", LANGCHAIN_VERBS)
def test_chat_names_a_refused_key(backdrop: Backdrop, verb: str) -> None:
    """A 401 is LangChain's `ModelAuthenticationError` and the router's own, with the provider's words."""
    backdrop.always("a", sandbox.Fault.status(401))
    llm = ChatPortkey(base_url=backdrop.url, strategy=backdrop.target("a"))
    with pytest.raises(langchain.ModelAuthenticationError, match="Incorrect API key provided") as caught:
        ask_llm(llm, verb, QUESTION)
    assert isinstance(caught.value, AuthenticationError)
    assert caught.value.status == 401


@recorded
@pytest.mark.parametrize("verb", ["batch", "abatch"])
def test_chat_answers_many_at_once(backdrop: Backdrop, verb: str, record_mode: str) -> None:
    """`batch` (threads, one portal) and `abatch` keep each answer with its question."""
    # Recorded one by one: always in the same order.
    config: Any = {"max_concurrency": None if record_mode == "none" else 1}
    llm = ChatPortkey(base_url=backdrop.url, strategy=backdrop.target("a"))
    questions: list[Any] = [f"Question {number}?" for number in range(4)]
    answers = llm.batch(questions, config) if verb == "batch" else asyncio.run(llm.abatch(questions, config))
    assert [answer.text for answer in answers] == [f"model-a answers to: {question}" for question in questions]


# ---- the lane itself -------------------------------------------------------------------------------------------------


@recorded
def test_another_question_is_not_answered_from_the_tape(backdrop: Backdrop, record_mode: str) -> None:
    """The body is compared: the wrong question finds nothing, and the right one afterwards does."""
    router = PortkeyRouter.from_env(base_url=backdrop.url, strategy=backdrop.target("a"))
    if record_mode == "none":
        with pytest.raises(CannotOverwriteExistingCassetteException):
            router.complete([{"role": "user", "content": "And what does a router do?"}])
    assert ask(router, "complete").text


def test_without_a_cassette_a_call_ends_at_the_blocked_sockets(
    backdrop: Backdrop, offline: list[str], record_mode: str
) -> None:
    """The lane is offline: a call that no cassette answers fails where it would open a connection, sync and async."""
    if record_mode != "none":
        pytest.skip("sockets are open while recording")
    router = PortkeyRouter.from_env(base_url=backdrop.url, strategy=backdrop.target("a"), max_retries=0)
    for verb in ("complete", "acomplete"):
        with pytest.raises((PortkeyError, RuntimeError)):
            ask(router, verb)
        assert offline
        assert set(offline) == {"socket.getaddrinfo"}
        offline.clear()

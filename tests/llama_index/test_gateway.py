"""LlamaIndex's engines and agents through the real open-source gateway, with the sandbox's providers behind it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core import Document, MockEmbedding, VectorStoreIndex
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.chat_engine.types import ChatMode
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import PromptTemplate

from llama_index_portkey import PortkeyLLM
from portkey_router import Fallback, Target, sandbox
from tests.llama_index.test_structured import Person
from tests.llama_index.test_tools import QUESTION, WEATHER

if TYPE_CHECKING:
    from llama_index.core.base.response.schema import RESPONSE_TYPE

    from portkey_router.sandbox import Gateway, Providers

# LlamaIndex's own: its workflows look at every attribute of an agent, and its agents at `is_running`.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:is_running called:DeprecationWarning"),
]


@pytest.fixture
def llm(portkey_gateway: Gateway, portkey_providers: Providers) -> PortkeyLLM:
    """A model whose first target is down, and whose second answers."""
    portkey_providers.always("down", sandbox.Fault.status(503))
    targets = [
        Target(model, provider="openai", api_key="sk-test", custom_host=portkey_providers.host(name), name=name)
        for model, name in (("gpt-4o", "down"), ("gpt-4o-mini", "up"))
    ]
    return PortkeyLLM(base_url=portkey_gateway.url, strategy=Fallback(*targets), max_retries=0)


@pytest.fixture
def index() -> VectorStoreIndex:
    """Two facts, found by a mock embedding: both are always retrieved."""
    facts = ["The gateway listens on port 8787.", "The router gives up after 600 seconds."]
    return VectorStoreIndex.from_documents([Document(text=fact) for fact in facts], embed_model=MockEmbedding(8))


def check(providers: Providers, answer: RESPONSE_TYPE | str, *parts: str) -> None:
    """The second target answered, and was given these texts."""
    assert "gpt-4o-mini" in str(answer)
    sent = str(providers.requests[-1].body["messages"])
    assert [part for part in parts if part not in sent] == []
    assert {request.provider for request in providers.requests} == {"down", "up"}


def test_a_query_engine(llm: PortkeyLLM, index: VectorStoreIndex, portkey_providers: Providers) -> None:
    """Facts and question reach the model, sync and async."""
    engine = index.as_query_engine(llm=llm)
    for answer in (engine.query("Which port?"), asyncio.run(engine.aquery("Which port?"))):
        check(portkey_providers, answer, "8787", "Which port?")


def test_a_streaming_query_engine(llm: PortkeyLLM, index: VectorStoreIndex, portkey_providers: Providers) -> None:
    """The answer comes in pieces, that are what the whole answer is."""
    response: Any = index.as_query_engine(llm=llm, streaming=True).query("Which port?")
    pieces = list(response.response_gen)
    assert len([piece for piece in pieces if piece]) > 1
    check(portkey_providers, "".join(pieces), "8787")


def test_a_chat_engine_with_memory(llm: PortkeyLLM, index: VectorStoreIndex, portkey_providers: Providers) -> None:
    """The second question is asked with the first and its answer before it; the memory knows the window."""
    memory = ChatMemoryBuffer.from_defaults(llm=llm)
    assert memory.token_limit == int(128_000 * 0.75)
    engine = index.as_chat_engine(chat_mode=ChatMode.CONTEXT, llm=llm, memory=memory)
    engine.chat("Which port?")
    answer = engine.chat("And the timeout?")
    check(portkey_providers, str(answer), "Which port?", "And the timeout?", "600 seconds")
    roles = [message["role"] for message in portkey_providers.requests[-1].body["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    streamed = engine.stream_chat("Once more?")
    assert "Once more?" in "".join(streamed.response_gen)


async def test_an_agent(llm: PortkeyLLM, portkey_providers: Providers) -> None:
    """Question, call, result, answer."""
    answer = await FunctionAgent(tools=[WEATHER], llm=llm).run(QUESTION)
    assert "sunny in Oslo" in str(answer)
    check(portkey_providers, str(answer), "sunny in Oslo")


async def test_a_workflow_of_two_agents(llm: PortkeyLLM, portkey_providers: Providers) -> None:
    """The first hands over, the second calls its tool, and its answer is the workflow's."""
    greeter = FunctionAgent(name="greeter", description="Greets.", llm=llm, can_handoff_to=["reporter"])
    reporter = FunctionAgent(name="reporter", description="Reports.", llm=llm, tools=[WEATHER])
    running = AgentWorkflow(agents=[greeter, reporter], root_agent="greeter").run(
        'handoff to "reporter", who says the weather in "Oslo"'
    )
    called = [event.tool_name async for event in running.stream_events() if isinstance(event, ToolCallResult)]
    answer: Any = await running
    assert called[0] == "handoff"
    assert answer.current_agent_name == "reporter"
    check(portkey_providers, str(answer))


def test_structured_extraction(llm: PortkeyLLM, portkey_providers: Providers) -> None:
    """An object out of a text, in the four verbs, by the schema that both models are known to take."""
    ada, prompt = Person(name="Ada", age=36), PromptTemplate('"{name}" is 36')

    async def arun() -> list[Any]:
        streamed = [each async for each in await llm.astream_structured_predict(Person, prompt, name="Ada")]
        return [await llm.astructured_predict(Person, prompt, name="Ada"), streamed[-1]]

    found = [
        llm.structured_predict(Person, prompt, name="Ada"),
        list(llm.stream_structured_predict(Person, prompt, name="Ada"))[-1],
        *asyncio.run(arun()),
    ]
    assert found == [ada] * 4
    assert portkey_providers.requests[-1].body["response_format"]["json_schema"]["name"] == "Person"


def test_many_at_once(llm: PortkeyLLM) -> None:
    """Sixteen chats in one loop, and again in another."""

    async def ask() -> list[str]:
        answers = await asyncio.gather(*(llm.achat([ChatMessage(f"question {n}")]) for n in range(16)))
        return [answer.message.content or "" for answer in answers]

    expected = [f"gpt-4o-mini answers to: question {number}" for number in range(16)]
    assert [asyncio.run(ask()) for _ in range(2)] == [expected] * 2

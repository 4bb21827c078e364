from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, FunctionAgent, ReActAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, TextBlock, ToolCallBlock
from llama_index.core.tools import FunctionTool

from llama_index_portkey import PortkeyLLM, StructuredOutputError
from portkey_router import Fallback, sandbox

if TYPE_CHECKING:
    from portkey_router.sandbox import PortkeyDouble

# LlamaIndex's own: its workflows look at every attribute of an agent, and its agents at `is_running`.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:is_running called:DeprecationWarning"),
]


def get_weather(place: str) -> str:
    """Tell the weather at a place."""
    return f"sunny in {place}"


def get_time(place: str) -> str:
    """Tell the time at a place."""
    return f"noon in {place}"


WEATHER, TIME = FunctionTool.from_defaults(get_weather), FunctionTool.from_defaults(get_time)
QUESTION = 'What is the weather in "Oslo"?'


@pytest.fixture
def llm(portkey: PortkeyDouble) -> PortkeyLLM:
    """A model at the double."""
    return PortkeyLLM(model="gpt-4o")


def test_the_callers_history_stays_as_it_is(llm: PortkeyLLM) -> None:
    """The question is added to a copy."""
    history = [ChatMessage("old")]
    asked = llm._prepare_chat_with_tools([WEATHER], user_msg="new", chat_history=history)
    assert [message.content for message in asked["messages"]] == ["old", "new"]
    assert len(history) == 1


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({}, "auto"),
        ({"tool_required": True}, "required"),
        ({"tool_choice": "none", "tool_required": True}, "none"),
        ({"tool_choice": "required"}, "required"),
        ({"tool_choice": "get_weather"}, {"type": "function", "function": {"name": "get_weather"}}),
        (
            {"tool_choice": {"type": "function", "function": {"name": "x"}}},
            {"type": "function", "function": {"name": "x"}},
        ),
    ],
)
def test_every_spelling_of_tool_choice(portkey: PortkeyDouble, llm: PortkeyLLM, options: Any, sent: Any) -> None:
    """LlamaIndex's spellings become OpenAI's; one call at a time unless more are allowed."""
    llm.chat_with_tools([WEATHER], user_msg="hello", **options)
    body = portkey.requests[-1].body
    assert body["tool_choice"] == sent
    assert body["parallel_tool_calls"] is False
    assert [tool["function"]["name"] for tool in body["tools"]] == ["get_weather"]


def test_a_tool_choice_that_names_no_tool_is_refused(llm: PortkeyLLM) -> None:
    """A misspelt tool is told before anything is sent."""
    with pytest.raises(ValueError, match="get_weather"):
        llm.chat_with_tools([WEATHER], user_msg="hello", tool_choice="weather")


def test_no_tools_and_models_without_the_switch(portkey: PortkeyDouble) -> None:
    """Without tools none of their fields is sent; reasoning models of OpenAI's refuse `parallel_tool_calls`."""
    PortkeyLLM(model="gpt-4o").chat_with_tools([], user_msg="hello", tool_required=True)
    assert set(portkey.requests[-1].body) == {"model", "messages"}
    PortkeyLLM(model="o3").chat_with_tools([WEATHER], user_msg="hello")
    assert "parallel_tool_calls" not in portkey.requests[-1].body
    PortkeyLLM(model="gpt-4o").chat_with_tools([WEATHER], user_msg="hello", strict=True)
    function = portkey.requests[-1].body["tools"][0]["function"]
    assert (function["strict"], function["parameters"]["additionalProperties"]) == (True, False)


@pytest.mark.parametrize(
    "verb", ["chat_with_tools", "achat_with_tools", "stream_chat_with_tools", "astream_chat_with_tools"]
)
def test_calls_in_every_verb(llm: PortkeyLLM, verb: str) -> None:
    """The call, with parsed arguments; of a stream on every piece as far as it has come, and whole on the last."""
    called = getattr(llm, verb)

    async def collect() -> list[ChatResponse]:
        if verb == "achat_with_tools":
            return [await called([WEATHER], user_msg=QUESTION)]
        return [piece async for piece in await called([WEATHER], user_msg=QUESTION)]

    if verb == "chat_with_tools":
        pieces = [called([WEATHER], user_msg=QUESTION)]
    elif verb == "stream_chat_with_tools":
        pieces = list(called([WEATHER], user_msg=QUESTION))
    else:
        pieces = asyncio.run(collect())
    grown = [llm.get_tool_calls_from_response(piece, error_on_no_tool_call=False) for piece in pieces]
    [call] = grown[-1]
    assert (call.tool_name, call.tool_kwargs) == ("get_weather", {"place": "Oslo"})
    assert call.tool_id.startswith("call_")
    assert "stream" not in verb or len([calls for calls in grown if calls and calls[0].tool_kwargs == {}]) >= 1
    [legacy] = pieces[-1].message.additional_kwargs["tool_calls"]
    assert legacy["function"]["name"] == "get_weather"


def test_one_call_alone_unless_more_are_allowed(llm: PortkeyLLM) -> None:
    """A provider that makes two all the same: the first counts, in both places."""
    blocks = [ToolCallBlock(tool_call_id=name, tool_name=name) for name in ("a", "b")]
    calls = [{"id": name, "function": {"name": name, "arguments": "{}"}} for name in ("a", "b")]
    message = ChatMessage(role="assistant", blocks=blocks, additional_kwargs={"tool_calls": calls})
    both = llm._validate_chat_with_tools_response(ChatResponse(message=message), [], allow_parallel_tool_calls=True)
    assert len(llm.get_tool_calls_from_response(both)) == 2
    one = llm._validate_chat_with_tools_response(ChatResponse(message=message), [])
    assert [call.tool_name for call in llm.get_tool_calls_from_response(one)] == ["a"]
    assert [call["id"] for call in one.message.additional_kwargs["tool_calls"]] == ["a"]


def test_calls_kept_the_old_way_alone(llm: PortkeyLLM) -> None:
    """Without blocks, the list in `additional_kwargs` is read."""
    calls = [{"id": "1", "function": {"name": "f", "arguments": '{"a": 1}'}}]
    message = ChatMessage(role="assistant", content="", additional_kwargs={"tool_calls": calls})
    [found] = llm.get_tool_calls_from_response(ChatResponse(message=message))
    assert (found.tool_id, found.tool_name, found.tool_kwargs) == ("1", "f", {"a": 1})


def test_arguments_cut_short_are_no_call(llm: PortkeyLLM) -> None:
    """While a stream runs they are closed; once the answer has ended, guessing them would call the tool wrongly."""
    cut = ToolCallBlock(tool_call_id="1", tool_name="f", tool_kwargs='{"a": "b", ')
    message = ChatMessage(role="assistant", blocks=[cut])
    [growing] = llm.get_tool_calls_from_response(ChatResponse(message=message))
    assert growing.tool_kwargs == {"a": "b"}
    with pytest.raises(StructuredOutputError, match="length"):
        llm.get_tool_calls_from_response(ChatResponse(message=message, additional_kwargs={"finish_reason": "length"}))


def test_no_call_is_told_unless_it_may_be(llm: PortkeyLLM) -> None:
    """LlamaIndex asks both ways."""
    response = ChatResponse(message=ChatMessage(role="assistant", blocks=[TextBlock(text="no")]))
    assert llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []
    with pytest.raises(ValueError, match="none"):
        llm.get_tool_calls_from_response(response)


def test_predict_and_call(llm: PortkeyLLM) -> None:
    """The tool is called, sync and async; several at once where allowed."""
    assert str(llm.predict_and_call([WEATHER], user_msg=QUESTION)) == "sunny in Oslo"
    assert str(asyncio.run(llm.apredict_and_call([WEATHER], user_msg=QUESTION))) == "sunny in Oslo"
    both = llm.predict_and_call(
        [WEATHER, TIME], user_msg='get_weather in "Oslo", get_time in "Rome"', allow_parallel_tool_calls=True
    )
    assert [source.content for source in both.sources] == ["sunny in Oslo", "noon in Rome"]


@pytest.mark.parametrize("streaming", [True, False])
async def test_an_agent_calls_its_tool(portkey: PortkeyDouble, streaming: bool) -> None:
    """Question, call, result, answer: over a fallback; its stream has text, calls, and raw answers as plain JSON."""
    portkey.script("vk-openai", sandbox.Fault.status(503))
    llm = PortkeyLLM(strategy=Fallback("gpt-4o", "claude-sonnet-4-5"), max_retries=0)
    agent = FunctionAgent(tools=[WEATHER], llm=llm, system_prompt="Be brief.", streaming=streaming)
    running = agent.run(QUESTION)
    events = [event async for event in running.stream_events()]
    answer: Any = await running
    assert "sunny in Oslo" in str(answer)
    assert answer.raw["usage"]["total_tokens"] > 0
    [result] = [event for event in events if isinstance(event, ToolCallResult)]
    assert result.tool_kwargs == {"place": "Oslo"}
    if streaming:
        pieces = [event for event in events if isinstance(event, AgentStream)]
        assert "".join(piece.delta for piece in pieces) == str(answer)
    served = [request.body["model"] for request in portkey.requests if request.status == 200]
    assert served == ["claude-sonnet-4-5", "gpt-4o"]
    roles = [message["role"] for message in portkey.requests[-1].body["messages"]]
    assert roles == ["system", "user", "assistant", "tool"]


async def test_an_agents_first_choice_of_tool(portkey: PortkeyDouble, llm: PortkeyLLM) -> None:
    """`initial_tool_choice` is sent with the first question only."""
    agent = FunctionAgent(tools=[WEATHER, TIME], llm=llm, initial_tool_choice="get_time")
    assert "noon" in str(await agent.run('What of "Oslo"?'))
    choices = [request.body["tool_choice"] for request in portkey.requests]
    assert choices == [{"type": "function", "function": {"name": "get_time"}}, "auto"]


async def test_two_agents_hand_over(portkey: PortkeyDouble, llm: PortkeyLLM) -> None:
    """An AgentWorkflow: the first hands the question on, the second calls its tool and answers."""
    greeter = FunctionAgent(name="greeter", description="Greets.", llm=llm, can_handoff_to=["reporter"])
    reporter = FunctionAgent(name="reporter", description="Reports.", llm=llm, tools=[WEATHER])
    flow = AgentWorkflow(agents=[greeter, reporter], root_agent="greeter")
    running = flow.run('handoff to "reporter", who says the weather in "Oslo"')
    results = [event async for event in running.stream_events() if isinstance(event, ToolCallResult)]
    answer: Any = await running
    assert results[0].tool_name == "handoff"
    assert answer.current_agent_name == "reporter"


async def test_without_tools_agents_reason_in_text(portkey: PortkeyDouble) -> None:
    """`is_function_calling_model=False`: a workflow makes a ReAct agent, which sends no tools."""
    llm = PortkeyLLM(model="gpt-4o", is_function_calling_model=False)
    flow = AgentWorkflow.from_tools_or_functions([WEATHER], llm=llm)
    assert isinstance(next(iter(flow.agents.values())), ReActAgent)
    assert str(await flow.run("Thought: I can answer.\nAnswer: sunny"))
    assert "tools" not in portkey.requests[-1].body
    assert "get_weather" in str(portkey.requests[-1].body["messages"])

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode, tools_condition
from pydantic import BaseModel

from langchain_portkey_router import ChatPortkey
from portkey_router import Fallback, sandbox

if TYPE_CHECKING:
    from portkey_router.sandbox import PortkeyDouble


@tool
def get_weather(place: str) -> str:
    """Tell the weather at a place."""
    return f"sunny in {place}"


class Report(BaseModel):
    """A weather report."""

    place: str


class Talk(TypedDict):
    """The state of a graph: its messages."""

    messages: Annotated[list[AnyMessage], add_messages]


QUESTION: Any = {"messages": [HumanMessage('What is the weather in "Oslo"?')]}


@pytest.mark.parametrize("version", ["v0", "v1"])
@pytest.mark.parametrize("color", ["sync", "async"])
def test_an_agent_calls_its_tool(portkey: PortkeyDouble, version: str, color: str) -> None:
    """Question, call, result, answer; over a fallback, in both output versions."""
    portkey.script("vk-openai", sandbox.Fault.status(503))
    llm = ChatPortkey(strategy=Fallback("gpt-4o", "claude-sonnet-4-5"), max_retries=0, output_version=version)
    agent = create_agent(llm, [get_weather], system_prompt="Be brief.")
    state = agent.invoke(QUESTION) if color == "sync" else asyncio.run(agent.ainvoke(QUESTION))
    kinds = [type(message) for message in state["messages"]]
    assert kinds == [HumanMessage, AIMessage, ToolMessage, AIMessage]
    assert "sunny in Oslo" in state["messages"][-1].text
    served = [m.response_metadata["model_name"] for m in state["messages"] if isinstance(m, AIMessage)]
    assert served == ["claude-sonnet-4-5", "gpt-4o"]


@pytest.mark.parametrize("model", ["o3", "mistral-large"])
def test_an_agents_structured_response(portkey: PortkeyDouble, model: str) -> None:
    """By the provider where the profile says that it keeps to a schema; by a tool where nothing is known."""
    agent = create_agent(ChatPortkey(model=model, virtual_key="vk-openai"), response_format=Report)
    state = agent.invoke(QUESTION)
    assert state["structured_response"] == Report(place="Oslo")
    assert ("response_format" in portkey.requests[0].body) is (model == "o3")


def test_an_agents_structured_response_by_a_tool(portkey: PortkeyDouble) -> None:
    """`ToolStrategy` asked for by name."""
    agent = create_agent(ChatPortkey(model="gpt-4o"), [], response_format=ToolStrategy(Report))
    assert agent.invoke(QUESTION)["structured_response"] == Report(place="Oslo")


def test_an_agent_streams_tokens(portkey: PortkeyDouble) -> None:
    """`stream_mode="messages"` shows the answer in pieces."""
    agent = create_agent(ChatPortkey(model="gpt-4o"))
    shown: list[Any] = list(agent.stream(QUESTION, stream_mode="messages"))
    pieces = [chunk.text for chunk, _ in shown]
    assert len([piece for piece in pieces if piece]) > 1


def test_a_graph_keeps_its_state(portkey: PortkeyDouble) -> None:
    """A LangGraph with a tool node and a checkpointer: two turns of one thread, every message kept."""
    llm = ChatPortkey(model="gpt-4o").bind_tools([get_weather])

    def talk(state: Talk) -> dict[str, Any]:
        return {"messages": [llm.invoke(state["messages"])]}

    graph = StateGraph(Talk)
    graph.add_node("talk", talk)
    graph.add_node("tools", ToolNode([get_weather]))
    graph.add_edge(START, "talk")
    graph.add_conditional_edges("talk", tools_condition, {"tools": "tools", END: END})
    graph.add_edge("tools", "talk")
    app = graph.compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    app.invoke(QUESTION, config)
    state = app.invoke({"messages": [HumanMessage("Thank you.")]}, config)
    kinds = [message.type for message in state["messages"]]
    assert kinds == ["human", "ai", "tool", "ai", "human", "ai"]
    assert len({message.id for message in state["messages"]}) == len(kinds)
    roles = [message["role"] for message in portkey.requests[-1].body["messages"]]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]

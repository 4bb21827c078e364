"""Both adapters over one core: the same case, asked through LangChain and through LlamaIndex, comes out the same."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import HumanMessage
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from langchain_portkey_router import ChatPortkey
from llama_index_portkey import PortkeyLLM
from portkey_router import Fallback, LoadBalance, PortkeyError, SemanticCache, Target, build_router, sandbox
from portkey_router.bootstrap import process_health
from portkey_router.describe import route_to_dict
from tests.core.cached import ask as ask_router
from tests.core.cached import question
from tests.langchain.verbs import total

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from portkey_router.sandbox import Fault, PortkeyDouble


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def get_weather(place: str) -> str:
    """Tell the weather at a place."""
    return f"sunny in {place}"


WEATHER = FunctionTool.from_defaults(get_weather)


@dataclass(frozen=True)
class Case:
    """A question to a model so set up, with faults by virtual key; `kind` is what is asked for."""

    question: str = "What is a gateway?"
    kind: str = "text"
    options: Mapping[str, Any] = field(default_factory=lambda: {"model": "gpt-4o"})
    faults: Mapping[str, Fault] = field(default_factory=dict)
    once: bool = False


BOTH = Fallback("gpt-4o", "claude-sonnet-4-5")
TWO = {"strategy": BOTH, "max_retries": 1}
ALONE = {"model": "gpt-4o", "max_retries": 0}
DOWN = {"vk-openai": sandbox.Fault.status(503)}
CASES = {
    "text": Case(),
    "settings": Case(
        options={"model": "gpt-4o", "temperature": 0.5, "seed": 7, "stop": ["g"], "portkey_metadata": {"a": "b"}}
    ),
    "reasoning": Case(options={"model": "gpt-5", "reasoning_effort": "low"}),
    "slug": Case(options={"model": "@openai-prod/gpt-4o"}),
    "unknown price": Case(options={"model": "@openai-prod/weird-model"}),
    "tools": Case('What is the weather in "Oslo"?', kind="tools"),
    "structured by schema": Case('"Ada" is 36', kind="structured"),
    "structured by a tool": Case('"Ada" is 36', kind="structured", options={"model": "claude-sonnet-4-5"}),
    "a fault, then again": Case(faults=DOWN, once=True),
    "a fault, then fallback": Case(options=TWO, faults=DOWN),
    "a key refused, then fallback": Case(options=TWO, faults={"vk-openai": sandbox.Fault.status(401)}),
    "tools after a fallback": Case('What is the weather in "Oslo"?', kind="tools", options=TWO, faults=DOWN),
    "structured after a fallback": Case('"Ada" is 36', kind="structured", options=TWO, faults=DOWN),
    "run by the gateway": Case(options={**TWO, "run_on": "gateway"}, faults=DOWN),
    "cut, then fallback": Case(options=TWO, faults={"vk-openai": sandbox.Fault.cut(after=1)}),
    "load balanced": Case(options={"strategy": LoadBalance("gpt-4o", Target("claude-sonnet-4-5", weight=0))}),
    "an error": Case(options={"model": "gpt-4o", "max_retries": 1}, faults=DOWN),
    "a wrong request": Case(options=TWO, faults={"vk-openai": sandbox.Fault.status(400)}),
    "every target failing": Case(options=TWO, faults={**DOWN, "vk-anthropic": sandbox.Fault.status(500)}),
    "a stream cut late": Case(
        options={"model": "gpt-4o", "max_retries": 0}, faults={"vk-openai": sandbox.Fault.cut(after=4)}
    ),
    "no answer in time": Case(
        options={**ALONE, "timeout": 0.3},
        faults={"vk-openai": sandbox.Fault.slow(first_token=3)},
    ),
}
WAYS = ("call", "acall", "stream", "astream")
WAYS_OF_ROUTER = {"call": "complete", "acall": "acomplete", "stream": "stream", "astream": "astream"}


def portkey_of(route: Mapping[str, Any]) -> dict[str, Any]:
    """The part of an answer's `portkey` block that does not differ from call to call."""
    attempts = [{name: value for name, value in each.items() if name != "seconds"} for each in route["attempts"]]
    return {**route, "trace_id": len(route["trace_id"]), "attempts": attempts}


def by_langchain(case: Case, way: str) -> dict[str, Any]:
    """What ChatPortkey gives."""
    model = ChatPortkey(**case.options)
    llm: Any = model
    if case.kind == "tools":
        llm = model.bind_tools([WEATHER.metadata.to_openai_tool()], parallel_tool_calls=False, tool_choice="auto")
    if case.kind == "structured":
        llm = model.with_structured_output(Person, include_raw=True)
    question = [HumanMessage(case.question)]

    async def astream() -> list[Any]:
        return [chunk async for chunk in llm.astream(question)]

    if way in {"call", "acall"}:
        answer = llm.invoke(question) if way == "call" else asyncio.run(llm.ainvoke(question))
    else:
        chunks = list(llm.stream(question)) if way == "stream" else asyncio.run(astream())
        answer = chunks if case.kind == "structured" else total(chunks)
    if case.kind == "structured":
        return {"object": answer["parsed"] if isinstance(answer, dict) else _last_parsed(answer)}
    usage = answer.usage_metadata
    return {
        "text": answer.text,
        "thoughts": answer.additional_kwargs.get("reasoning_content"),
        "calls": [(call["name"], call["args"]) for call in answer.tool_calls],
        "usage": usage and (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]),
        "model": answer.response_metadata["model_name"],
        "finish_reason": answer.response_metadata["finish_reason"],
        "portkey": portkey_of(answer.response_metadata["portkey"]),
    }


def _last_parsed(chunks: list[dict[str, Any]]) -> Any:
    return [chunk["parsed"] for chunk in chunks if chunk.get("parsed") is not None][-1]


def by_llama_index(case: Case, way: str) -> dict[str, Any]:
    """What PortkeyLLM gives."""
    llm = PortkeyLLM(**case.options)
    verb = {"call": "", "acall": "a", "stream": "stream_", "astream": "astream_"}[way]
    if case.kind == "structured":
        named = {"call": "structured_predict", "acall": "astructured_predict"}
        ask: Callable[..., Any] = getattr(llm, named.get(way, f"{verb}structured_predict"))
        given: tuple[Any, ...] = (Person, PromptTemplate(case.question))
        options: dict[str, Any] = {}
    else:
        tools = "chat_with_tools" if case.kind == "tools" else "chat"
        ask = getattr(llm, verb + tools)
        given = ([WEATHER],) if case.kind == "tools" else ([ChatMessage(case.question)],)
        options = {"user_msg": case.question} if case.kind == "tools" else {}

    async def astream() -> list[Any]:
        return [piece async for piece in await ask(*given, **options)]

    match way:
        case "call":
            answer = ask(*given, **options)
        case "acall":
            answer = asyncio.run(ask(*given, **options))
        case "stream":
            answer = list(ask(*given, **options))[-1]
        case _:
            answer = asyncio.run(astream())[-1]
    if case.kind == "structured":
        return {"object": answer}
    said = answer.additional_kwargs
    thoughts = [block.content for block in answer.message.blocks if block.block_type == "thinking"]
    calls = llm.get_tool_calls_from_response(answer, error_on_no_tool_call=False)
    return {
        "text": answer.message.content or "",
        "thoughts": thoughts[0] if thoughts else None,
        "calls": [(call.tool_name, call.tool_kwargs) for call in calls],
        "usage": tuple(said[f"{name}_tokens"] for name in ("prompt", "completion", "total")),
        "model": said["model_name"],
        "finish_reason": said["finish_reason"],
        "portkey": portkey_of(said["portkey"]),
    }


def outcome(ask: Callable[[Case, str], dict[str, Any]], case: Case, way: str, server: PortkeyDouble) -> dict[str, Any]:
    """What comes of a case, errors included, and the requests that it took."""
    process_health.cache_clear()  # neither adapter learns from what the other went through
    for key in ("vk-openai", "vk-anthropic"):
        server.clear(key)
    for key, fault in case.faults.items():
        if case.once:
            server.script(key, fault)
        else:
            server.always(key, fault)
    before = len(server.requests)
    try:
        found = ask(case, way)
    except PortkeyError as error:
        names = {each.__name__ for each in type(error).__mro__ if each.__module__ == "portkey_router.errors"}
        attempts = [(each.target, each.model, each.outcome, each.status) for each in error.attempts]
        found = {"error": names, "attempts": attempts}
    return {**found, "sent": [sent_of(request.body) for request in server.requests[before:]]}


WORDED = frozenset({"response_format", "tool_choice", "tools"})


def sent_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """A request's body; where an object is wanted, each framework has its own words for the same fields."""
    if "response_format" not in body and body.get("tool_choice") in (None, "auto"):
        return dict(body)
    plain = {name: value for name, value in body.items() if name not in WORDED}
    return {**plain, "by": "schema" if "response_format" in body else "tool"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
def test_both_adapters_come_out_the_same(portkey: PortkeyDouble, name: str, way: str) -> None:
    """Text, calls, objects, usage, cost, target, attempts and error class; and what was sent for them."""
    case = CASES[name]
    langchain = outcome(by_langchain, case, way, portkey)
    llama_index = outcome(by_llama_index, case, way, portkey)
    assert llama_index == langchain
    assert langchain["sent"], "something was asked"


CACHED: dict[str, dict[str, Any]] = {
    "text": {"model": "gpt-4o"},
    "reasoning": {"model": "gpt-5", "reasoning_effort": "low"},
    "a strategy": {"strategy": BOTH},
    "run by the gateway": {"strategy": BOTH, "run_on": "gateway"},
}


def hit_by_router(options: Mapping[str, Any], cache: SemanticCache, way: str) -> dict[str, Any]:
    """What the core gives of a cache."""
    own = {name: value for name, value in options.items() if name != "reasoning_effort"}
    body = {name: value for name, value in options.items() if name == "reasoning_effort"}
    answer = ask_router(build_router(cache=cache, **own), WAYS_OF_ROUTER[way], question("What is a gateway?"), **body)
    usage = answer.usage
    assert usage is not None
    return {
        "text": answer.text,
        "thoughts": answer.message.get("reasoning_content"),
        "usage": (usage.input_tokens, usage.output_tokens, usage.total_tokens),
        "portkey": portkey_of(route_to_dict(answer)),
    }


def hit_by_llama_index(options: Mapping[str, Any], cache: SemanticCache, way: str) -> dict[str, Any]:
    """What PortkeyLLM gives of a cache."""
    found = by_llama_index(Case(options={**options, "cache": cache}), way)
    return {name: found[name] for name in ("text", "thoughts", "usage", "portkey")}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CACHED)
def test_a_hit_is_the_same_to_the_core_and_to_its_adapter(portkey: PortkeyDouble, name: str, way: str) -> None:
    """Text, thoughts, usage 0, cost 0, and what the cache says; each is answered by what the other has brought."""
    told = []
    for asked in ((hit_by_router, hit_by_llama_index), (hit_by_llama_index, hit_by_router)):
        cache = SemanticCache("memory://", now=lambda: 0.0)
        before = len(portkey.requests)
        paid, hit = (each(CACHED[name], cache, way) for each in asked)
        assert len(portkey.requests) == before + 1
        assert (paid["text"], paid["thoughts"]) == (hit["text"], hit["thoughts"])
        assert (hit["usage"], hit["portkey"]["cost"]["amount"], hit["portkey"]["attempts"]) == ((0, 0, 0), "0", [])
        assert hit["portkey"]["cache"]["saved_input_tokens"] == paid["usage"][0]
        told.append(hit)
    assert told[0] == told[1]


@pytest.mark.parametrize("name", ["text", "tools", "a fault, then fallback", "reasoning"])
def test_sync_async_whole_and_streamed_come_out_the_same(portkey: PortkeyDouble, name: str) -> None:
    """All four ways of PortkeyLLM: the same answer, usage, cost and attempts, whichever way it was asked for."""
    found = [outcome(by_llama_index, CASES[name], way, portkey) for way in WAYS]
    for each in found:
        del each["sent"]
    assert found == [found[0]] * 4

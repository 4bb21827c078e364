from __future__ import annotations

import asyncio
import copy
import json
import pickle
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.documents import Document
from langchain_core.load import dumpd
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from langchain_portkey_router import ChatPortkey, UsageCallbackHandler
from portkey_router import Fallback, sandbox, usage_report
from portkey_router.sinks import JsonLinesSink
from tests.langchain.test_usage_callback import leave_early
from tests.langchain.verbs import VERBS, ask

if TYPE_CHECKING:
    from pathlib import Path

    from portkey_router.sandbox import PortkeyDouble


# ---- ours, and the real langchain-openai, against a double of Portkey ------------------------------------------------


@tool
def get_weather(place: str) -> str:
    """Tell the weather at a place."""
    return f"sunny in {place}"


@pytest.mark.parametrize("verb", VERBS)
def test_chat_portkey(portkey: PortkeyDouble, verb: str) -> None:
    """After a fallback the cost is that of the model that answered, the very figure that its answer states."""
    portkey.always("vk-openai", sandbox.Fault.status(503))
    llm = ChatPortkey(strategy=Fallback("gpt-4o", "claude-sonnet-4-5"), max_retries=0)
    with UsageCallbackHandler() as usage:
        answer = ask(llm, verb, "Hello")
    [call] = usage.report.calls
    assert str(usage.cost_usd) == answer.response_metadata["portkey"]["cost"]["amount"]
    assert usage.cost_usd > 0
    assert (call.model, call.provider, call.target, call.attempts) == (
        "claude-sonnet-4-5",
        "anthropic",
        "claude-sonnet-4-5",
        2,
    )


@pytest.mark.parametrize("color", ["sync", "async"])
def test_an_agent(portkey: PortkeyDouble, color: str) -> None:
    """Both of an agent's calls, under one run, one user, and the agent's name."""
    agent = create_agent(ChatPortkey(model="gpt-4o"), [get_weather], name="forecaster")
    question: Any = {"messages": [("user", 'What is the weather in "Oslo"?')]}
    config: Any = {"metadata": {"user": "u1"}, "run_id": uuid4()}
    with UsageCallbackHandler() as usage:
        agent.invoke(question, config) if color == "sync" else asyncio.run(agent.ainvoke(question, config))
    assert list(usage.by("run")) == [str(config["run_id"])]
    assert usage.by("user")["u1"].calls == 2
    assert usage.by("lc_agent_name")["forecaster"].calls == 2


@pytest.mark.parametrize("color", ["sync", "async"])
def test_what_tools_and_retrievers_ask_is_part_of_the_run(
    portkey: PortkeyDouble, caplog: pytest.LogCaptureFixture, color: str
) -> None:
    """Models that they ask are counted under the outermost run, and LangChain has no error of ours to log."""
    llm = ChatPortkey(model="gpt-4o")

    @tool
    def ask_back(question: str) -> str:
        """Ask somebody else."""
        return llm.invoke(question).text

    class Library(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            return [Document(llm.invoke(query, config={"callbacks": run_manager.get_child()}).text)]

    chain: Any = RunnableLambda(lambda text: {"question": text}) | ask_back | Library()
    config: Any = {"run_id": uuid4()}
    with UsageCallbackHandler() as usage:
        chain.invoke("Who?", config) if color == "sync" else asyncio.run(chain.ainvoke("Who?", config))
    assert list(usage.by("run")) == [str(config["run_id"])]
    assert usage.totals.calls == 2
    assert caplog.records == []


def test_chat_openai(portkey: PortkeyDouble) -> None:
    """langchain-openai's model on the same gateway: one call, its two choices once, at the same price as ours."""
    other = ChatOpenAI(
        model="gpt-4o",
        base_url=portkey.url,
        api_key="x",  # type: ignore[arg-type]
        default_headers={"x-portkey-api-key": portkey.api_key, "x-portkey-virtual-key": "vk-openai"},
        n=2,
    )
    ours = ChatPortkey(model="gpt-4o", n=2)
    costs = []
    for model in (other, ours):
        with UsageCallbackHandler() as usage:
            model.invoke("Hello")
        costs.append(usage.cost_usd)
        assert usage.totals.calls == 1
    assert costs[0] == costs[1] > 0


@pytest.mark.parametrize("color", ["sync", "async"])
def test_our_stream_left_early(portkey: PortkeyDouble, color: str) -> None:
    """A stream that is left after its first token is one call that was left, with an estimate of its use."""
    with usage_report() as report:
        usage = leave_early(ChatPortkey(model="gpt-4o"), color, "Hello")
    [call] = usage.report.calls
    assert (call.outcome, call.estimated) == ("left", True)
    assert usage.cost_usd == report.cost_usd > 0
    assert call.usage is not None
    assert call.usage.input_tokens > 0


def test_a_failed_call_of_ours(portkey: PortkeyDouble) -> None:
    """A call that failed is a call without usage, under its error's name."""
    portkey.always("vk-openai", sandbox.Fault.status(401))
    with UsageCallbackHandler() as usage, pytest.raises(Exception, match="401"):
        ChatPortkey(model="gpt-4o", max_retries=0).invoke("Hello")
    [call] = usage.report.calls
    assert (call.outcome, call.usage, call.cost) == ("AuthenticationError", None, None)


def test_hits_of_ours(portkey: PortkeyDouble) -> None:
    """A hit in LangChain's cache costs nothing, and says what the stored answer once cost."""
    llm = ChatPortkey(model="gpt-4o", cache=InMemoryCache())
    with UsageCallbackHandler() as usage:
        answers = [llm.invoke("Hello") for _ in range(2)]
    told = answers[1].response_metadata["portkey"]
    assert (told["cost"]["amount"], told["cache"]["saved_cost"]) == ("0", str(usage.cost_usd))
    assert (usage.totals.calls, usage.totals.hits) == (2, 1)


def test_hits_of_the_gateway(portkey: PortkeyDouble) -> None:
    """A hit in the gateway's cache is a call, a hit, and no spend."""
    llm = ChatPortkey(config={"virtual_key": "vk-openai", "cache": {"mode": "simple"}}, model="gpt-4o")
    with UsageCallbackHandler() as usage:
        for _ in range(2):
            llm.invoke("Hello")
    assert (usage.totals.calls, usage.totals.hits) == (2, 1)
    assert usage.cost_usd == usage.report.calls[0].cost.amount > 0  # type: ignore[union-attr]


# ---- the tags of our calls -------------------------------------------------------------------------------------------


def sent_tags(llm: Any, verb: str, monkeypatch: pytest.MonkeyPatch, **config: Any) -> dict[str, Any]:
    """The tags with which the router was asked."""
    seen: list[dict[str, Any]] = []
    router = llm._the_router()
    request = router.request

    def spy(messages: Any, **options: Any) -> Any:
        seen.append(dict(options["tags"]))
        return request(messages, **options)

    monkeypatch.setattr(router, "request", spy)
    ask(llm.with_config(**config) if config else llm, verb, "Hello")
    return seen[0]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("more", [{}, {"streaming": True}], ids=["", "streaming"])
def test_tags_of_a_call(
    portkey: PortkeyDouble, monkeypatch: pytest.MonkeyPatch, verb: str, more: dict[str, Any]
) -> None:
    """The run's metadata and tags, and the model's own, are the call's tags, with LangChain's id of the run."""
    llm = ChatPortkey(
        model="gpt-4o",
        metadata={"team": "search"},
        portkey_tags={"app": "shop", "user": "nobody"},
        **more,
    )
    tags = sent_tags(llm, verb, monkeypatch, metadata={"user": "u1", "ls_x": 1}, tags=["a"])
    assert UUID(tags.pop("run_id")).version
    assert tags == {"team": "search", "app": "shop", "user": "u1", "tags": ("a",)}
    assert "tags" not in portkey.requests[-1].body


def test_the_calls_own_tags_win(portkey: PortkeyDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """`portkey_tags=` of a call stands over all others (`tags=` is LangChain's own)."""
    llm = ChatPortkey(model="gpt-4o", metadata={"user": "u1"})
    tags = sent_tags(llm.bind(portkey_tags={"user": "u2"}).bound, "invoke", monkeypatch)
    assert tags["user"] == "u1"
    llm.invoke("Hello", portkey_tags={"user": "u2"})


def test_tags_do_not_keep_equal_calls_apart(portkey: PortkeyDouble) -> None:
    """Who asks is no part of the question: a call with other tags is answered from the cache."""
    llm = ChatPortkey(model="gpt-4o", cache=InMemoryCache())
    for user in ("u1", "u2"):
        llm.invoke("Hello", portkey_tags={"user": user}, config={"metadata": {"user": user}})
    assert len(portkey.requests) == 1


# ---- sinks of a model -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_sinks_of_a_model(portkey: PortkeyDouble, tmp_path: Path, verb: str) -> None:
    """A model's sinks hear of its calls; copies share them, and what is written down or pickled leaves them out."""
    sink = JsonLinesSink(tmp_path / "calls.jsonl")
    llm = ChatPortkey(model="gpt-4o", sinks=[sink])
    for each in (llm, copy.deepcopy(llm), llm.model_copy(deep=True)):
        ask(each.with_config(metadata={"user": "u1"}), verb, "Hello")
    ask(pickle.loads(pickle.dumps(llm)), verb, "Hello")  # noqa: S301  (our own)
    assert sink.close(30)
    events = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["RouteDecided", "AttemptFinished", "CallFinished"] * 3
    assert {event["tags"]["user"] for event in events} == {"u1"}
    assert "sinks" not in dumpd(llm)["kwargs"]
    written = (tmp_path / "calls.jsonl").read_text()
    assert portkey.api_key not in written
    assert "vk-openai" not in written

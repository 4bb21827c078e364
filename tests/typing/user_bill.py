"""A second user's program, never run: prices and costs, keys as plain text, chains, an agent, and mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal, assert_type

from langchain.agents import create_agent  # pyright: ignore[reportUnknownVariableType]  (LangChain's own gap)
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from langchain_portkey_router import ChatPortkey
from portkey_router import (
    Attempt,
    AttemptRecord,
    ChatMessage,
    Completion,
    Cost,
    Fallback,
    ModelRule,
    PortkeyRouter,
    Price,
    PriceBook,
    Strategy,
    Target,
    ToolCall,
    Usage,
    build_router,
    load_portkey_prices,
    sandbox,
)


def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


def prices() -> None:
    """Prices of one's own, and those of a file."""
    book = PriceBook({"gpt-4o": Price(2.5, "10", cache_read=Decimal("1.25"))}, portkey=load_portkey_prices("pricing"))
    cost = book.cost(Usage(input_tokens=10, output_tokens=5), model="gpt-4o")
    assert_type(cost, Cost | None)
    router = build_router(model="gpt-4o", prices=book, model_rules=[ModelRule("acme-*", "openai")])
    assert_type(router, PortkeyRouter)
    build_router(model="gpt-4o", prices={"gpt-4o": Price(2.5, 10)})
    build_router(model="gpt-4o", prices=False)


def bill(router: PortkeyRouter) -> Decimal:
    """What an answer cost, and who gave it."""
    messages: list[ChatMessage] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    answer = router.complete(messages, strategy=Fallback("gpt-4o", Target("claude-sonnet-4-5", provider="anthropic")))
    assert_type(answer, Completion)
    if answer.cost is None:
        return Decimal(0)
    assert_type(answer.cost.amount, Decimal)
    assert_type(answer.cost.source, Literal["user", "reported", "portkey", "genai-prices", "cache"])
    assert_type(answer.cost.rates, Mapping[str, Decimal])
    for attempt in answer.route.attempts:
        assert_type(attempt, AttemptRecord)
        assert_type(attempt.status, int | None)
    calls: list[ToolCall] = list(answer.tool_calls)
    assert_type(calls[0]["function"]["name"], str)
    for planned in router.plan(messages).attempts:
        assert_type(planned, Attempt)
        assert_type(planned.strategy, Strategy | None)
    return answer.cost.amount


def chains() -> None:
    """ChatPortkey in the middle of chains and agents."""
    llm = ChatPortkey(model="gpt-4o", api_key="k", virtual_key="vk", temperature=0)
    ChatPortkey(model="gpt-4o", virtual_keys={"openai": "vk"}, timeout=30.5, max_tokens=100, seed=1, user="u1")
    ChatPortkey(model="@openai-prod/gpt-4o", config={"retry": {"attempts": 3}}, run_on="gateway", streaming=True)
    chain = ChatPromptTemplate.from_template("Explain {topic}.") | llm | StrOutputParser()
    assert_type(chain.invoke({"topic": "gateways"}), str)
    assert_type(llm.with_retry().invoke("Hello"), AIMessage)
    assert_type(llm.with_fallbacks([llm]).invoke("Hello"), AIMessage)
    assert_type(llm.batch(["Hello", "Hi"]), list[AIMessage])
    agent = create_agent(llm, [multiply])  # pyright: ignore[reportUnknownVariableType]  (as above)
    question = {"role": "user", "content": "What is 6 times 7?"}
    agent.invoke({"messages": [question]})  # pyright: ignore[reportUnknownMemberType]  (as above)


def everywhere() -> None:
    """A program that runs with keys and without."""
    with sandbox.unless_configured() as double:
        assert_type(double, sandbox.PortkeyDouble | None)
        if double is not None:
            double.always("vk-openai", sandbox.Fault.slow(between=0.1))


def mistakes(router: PortkeyRouter, answer: Completion) -> None:
    """Both checkers refuse each of these: an ignore that is not needed is an error itself."""
    router.complete("Hello")  # type: ignore[arg-type]
    Fallback(1)  # type: ignore[arg-type]
    Target("gpt-4o", weight="much")  # type: ignore[arg-type]
    Target("gpt-4o", "vk")  # type: ignore[call-arg]
    ChatPortkey(model="gpt-4o", temperature="hot")  # type: ignore[arg-type]
    ChatPortkey(model="gpt-4o", run_on="server")  # type: ignore[arg-type]
    str(answer.cost.amount)  # type: ignore[union-attr]
    build_router(modle="gpt-4o")  # type: ignore[call-arg]
    sandbox.Fault.status("503")  # type: ignore[arg-type]

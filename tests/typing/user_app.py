"""A user's program, which is never run: type checkers read it, and what they infer is held to what we promise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_type

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import Runnable
from langchain_core.tools import tool
from pydantic import BaseModel, SecretStr

from langchain_portkey_router import ChatPortkey, OutputRefusedError
from portkey_router import (
    AllTargetsFailedError,
    AsyncCompletionStream,
    AttemptRecord,
    Chunk,
    Completion,
    CompletionStream,
    Conditional,
    ConfigurationError,
    DeadlineExceededError,
    Embeddings,
    Fallback,
    LoadBalance,
    Plan,
    PortkeyError,
    PortkeyRouter,
    Settings,
    StreamInterruptedError,
    Target,
    UpstreamError,
    Usage,
    When,
    load_settings,
    sandbox,
)


class Person(BaseModel):
    """A person."""

    name: str


@tool
def look_up(word: str) -> str:
    """Look a word up."""
    return word


def core() -> None:
    """The router without a framework."""
    messages = [{"role": "user", "content": "Hello"}]
    router = PortkeyRouter.from_env(model="gpt-4o", timeout=30)
    assert_type(router, PortkeyRouter)
    vectors = router.embed(["Hello"], model="text-embedding-3-small", dimensions=8)
    assert_type(vectors, Embeddings)
    assert_type(vectors.vectors, tuple[list[float], ...])
    assert_type(vectors.attempts, tuple[AttemptRecord, ...])
    answer = router.complete(messages, temperature=0, metadata={"_user": "u1"})
    assert_type(answer, Completion)
    assert_type(answer.text, str)
    assert_type(answer.usage, Usage | None)
    assert_type(answer.route.provider, str | None)
    assert_type(answer.route.attempts, tuple[AttemptRecord, ...])
    with router.stream(messages, model="claude-sonnet-4-5") as stream:
        assert_type(stream, CompletionStream)
        for chunk in stream:
            assert_type(chunk, Chunk)
            assert_type(chunk.content, str)
    assert_type(stream.completion, Completion | None)
    assert_type(router.plan(messages, model="gpt-4o"), Plan)
    assert_type(load_settings(api_key="k"), Settings)


async def acore(router: PortkeyRouter) -> None:
    """The same, awaited."""
    messages = [{"role": "user", "content": "Hello"}]
    assert_type(await router.acomplete(messages), Completion)
    async with router.astream(messages) as stream:
        assert_type(stream, AsyncCompletionStream)
        async for chunk in stream:
            assert_type(chunk.tool_calls[0].arguments, str)


def strategies() -> None:
    """Names, targets and strategies nest."""
    best = Fallback("gpt-4o", Target("claude-sonnet-4-5", virtual_key="vk"), name="best")
    spread = LoadBalance(best, Target("gpt-4o-mini", weight=3))
    Conditional(When({"metadata.plan": {"$eq": "paid"}}, best), default="gpt-4o-mini")
    PortkeyRouter.from_env(strategy=spread, run_on="gateway")


def errors(router: PortkeyRouter) -> float | None:
    """Every error says what a program needs."""
    try:
        router.complete([])
    except ConfigurationError as error:
        assert_type(str(error), str)
    except AllTargetsFailedError as error:
        assert_type(error.attempts, Sequence[AttemptRecord])
    except UpstreamError as error:
        assert_type(error.status, int)
        return error.retry_after
    except DeadlineExceededError as error:
        return error.seconds
    except StreamInterruptedError as error:
        assert_type(error.partial, Completion | None)
    except PortkeyError as error:
        assert_type(error.attempts, Sequence[AttemptRecord])
    return None


def langchain() -> None:
    """ChatPortkey: its arguments by their short names, and what its verbs give."""
    llm = ChatPortkey(model="gpt-4o", api_key=SecretStr("k"), timeout=30, max_retries=1, stop=["END"])
    ChatPortkey(strategy=Fallback("gpt-4o", "claude-sonnet-4-5"), temperature=0.2, portkey_metadata={"_user": "u1"})
    ChatPortkey(config="pc-my-config", base_url="http://localhost:8787/v1", default_headers={"x-custom": "1"})
    assert_type(llm.invoke("Hello"), AIMessage)
    for chunk in llm.stream("Hello"):
        assert_type(chunk, AIMessageChunk)
    with_tools = llm.bind_tools([look_up], tool_choice="any", parallel_tool_calls=False)
    assert_type(with_tools, Runnable[LanguageModelInput, AIMessage])
    structured = llm.with_structured_output(Person, method="json_schema", include_raw=True, strict=True)
    assert_type(structured, Runnable[LanguageModelInput, Any])
    assert_type(llm.get_num_tokens("Hello"), int)
    try:
        structured.invoke("Hello")
    except OutputRefusedError as error:
        assert_type(str(error), str)


async def alangchain(llm: ChatPortkey) -> None:
    """The same, awaited."""
    assert_type(await llm.ainvoke("Hello"), AIMessage)
    async for chunk in llm.astream("Hello"):
        assert_type(chunk.text.upper(), str)


def tests() -> None:
    """The sandbox, as users' tests take it."""
    with sandbox.portkey() as server:
        server.add_virtual_key("vk-a", provider="openai")
        server.script("vk-a", sandbox.Fault.status(503), sandbox.ok())
        assert_type(server.url, str)

"""A LlamaIndex user's program, which is never run: type checkers read it, and what they infer is held to our word."""

from __future__ import annotations

from typing import Any, assert_type

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    LLMMetadata,
)
from llama_index.core.llms.llm import ToolSelection
from pydantic import SecretStr

from llama_index_portkey import OutputRefusedError, PortkeyLLM, StructuredOutputError
from portkey_router import Deadlines, Fallback, LoadBalance, PortkeyError, Price, Target


def made() -> list[PortkeyLLM]:
    """Its arguments: ChatPortkey's, and OpenAILike's."""
    return [
        PortkeyLLM(model="gpt-4o", api_key=SecretStr("k"), timeout=30, max_retries=1, stop=["END"], temperature=0),
        PortkeyLLM(
            strategy=Fallback("gpt-4o", "claude-sonnet-4-5"), portkey_metadata={"_user": "u1"}, run_on="gateway"
        ),
        PortkeyLLM(strategy=LoadBalance(Target("gpt-4o", weight=2), "gpt-4o-mini"), deadlines=Deadlines(first_token=5)),
        PortkeyLLM(config="pc-my-config", base_url="http://localhost:8787/v1", prices={"m": Price(1, 2)}),
        PortkeyLLM(
            model="my-model",
            api_base="http://localhost:8787/v1",
            api_key="X",
            default_headers={"x-portkey-provider": "openai"},
            is_chat_model=True,
            is_function_calling_model=False,
            context_window=32_000,
            additional_kwargs={"seed": 7},
            system_prompt="Be brief.",
        ),
    ]


def asked(llm: PortkeyLLM) -> None:
    """What its verbs give."""
    question = [ChatMessage("Hello")]
    answer = llm.chat(question, temperature=0)
    assert_type(answer, ChatResponse)
    assert_type(answer.message.content, str | None)
    assert_type(llm.stream_chat(question), ChatResponseGen)
    assert_type(llm.complete("Hello"), CompletionResponse)
    for piece in llm.stream_complete("Hello"):
        assert_type(piece.delta, str | None)
    assert_type(llm.get_tool_calls_from_response(answer), list[ToolSelection])
    assert_type(llm.metadata, LLMMetadata)
    assert_type(llm.to_payload(), dict[str, Any])


async def awaited(llm: PortkeyLLM) -> None:
    """The same, awaited."""
    question = [ChatMessage("Hello")]
    assert_type(await llm.achat(question), ChatResponse)
    stream = await llm.astream_chat(question)
    assert_type(stream, ChatResponseAsyncGen)
    async for piece in await llm.astream_complete("Hello"):
        assert_type(piece, CompletionResponse)


def failed(llm: PortkeyLLM) -> str:
    """Errors are the router's, and two of its own."""
    try:
        llm.chat([])
    except OutputRefusedError as error:
        return str(error)
    except StructuredOutputError as error:
        assert_type(error, StructuredOutputError)
    except PortkeyError as error:
        return ", ".join(attempt.outcome for attempt in error.attempts)
    return ""

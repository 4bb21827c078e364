from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage, trim_messages

from langchain_portkey_router import ChatPortkey
from tests.langchain.test_chat_portkey import magic_function

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage


@pytest.fixture
def llm() -> ChatPortkey:
    """A model whose name no tokenizer knows."""
    return ChatPortkey(model="@a/claude-sonnet-4-5", api_key="k")


def test_counting_opens_no_connection(llm: ChatPortkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """No tokenizer is fetched, for no model."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a connection was made")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert llm.get_num_tokens("Hello, how are you today?") == 7
    assert llm.get_num_tokens_from_messages([HumanMessage("Hello")]) > 0


@pytest.mark.parametrize(
    ("text", "count"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("日本語", 3), ("\ud800", 1)]
)
def test_a_quarter_of_the_bytes(llm: ChatPortkey, text: str, count: int) -> None:
    """Rounded up; a lone surrogate is counted, not an error."""
    assert llm.get_num_tokens(text) == count


@pytest.mark.parametrize(
    ("messages", "count"),
    [
        ([HumanMessage("abcd")], 1 + 3 + 3),
        ([SystemMessage("abcd"), HumanMessage("abcd")], 2 * (1 + 3) + 3),
        ([HumanMessage([{"type": "text", "text": "abcd"}, {"type": "image", "url": "https://a/b"}])], 1 + 85 + 3 + 3),
        ([HumanMessage("abcd", name="anna")], 1 + 1 + 3 + 3),
        ([ToolMessage("abcd", tool_call_id="abcd")], 1 + 1 + 3 + 3),
    ],
)
def test_messages_have_a_price_of_their_own(llm: ChatPortkey, messages: list[BaseMessage], count: int) -> None:
    """Three a message, three for the answer's start, 85 an image."""
    assert llm.get_num_tokens_from_messages(messages) == count


def test_tools_and_calls_count(llm: ChatPortkey) -> None:
    """The schemas of tools, and the arguments of calls."""
    plain = llm.get_num_tokens_from_messages([HumanMessage("abcd")])
    assert llm.get_num_tokens_from_messages([HumanMessage("abcd")], tools=[magic_function]) > plain + 10
    called = AIMessage("", tool_calls=[{"name": "f", "args": {"a": "x" * 400}, "id": "1"}])
    assert llm.get_num_tokens_from_messages([called]) > 100


def test_ones_own_tokenizer_wins() -> None:
    """`custom_get_token_ids` is LangChain's way to be exact."""
    llm = ChatPortkey(model="@a/b", api_key="k", custom_get_token_ids=lambda text: list(range(len(text))))
    assert llm.get_num_tokens("abcd") == 4
    assert llm.get_num_tokens_from_messages([HumanMessage("abcd")]) == len("Human: abcd")


def test_trimming_by_the_model_works(llm: ChatPortkey) -> None:
    """`trim_messages(token_counter=model)` keeps the last that fits."""
    messages = [HumanMessage("x" * 400), HumanMessage("y" * 40)]
    assert trim_messages(messages, max_tokens=30, token_counter=llm, strategy="last") == [messages[1]]

from __future__ import annotations

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_portkey_router._convert import to_chunk, to_last_chunk, to_messages, to_result, to_usage
from portkey_router.messages import AttemptRecord, Choice, Chunk, Completion, Route, ToolCallDelta, Usage

ROUTE = Route(
    trace_id="t1",
    target="gpt-4o",
    provider="openai",
    attempts=(AttemptRecord("gpt-4o", "gpt-4o", "ok", 0.25, 200),),
)


def completion(**message: object) -> Completion:
    """An answer with usage, a route, and this in its message."""
    usage = Usage(input_tokens=3, output_tokens=2, total_tokens=5, cache_read_tokens=1, reasoning_tokens=1)
    choice = Choice({"role": "assistant", "content": "hi", **message}, finish_reason="stop")
    return Completion((choice,), model="gpt-4o-2024", route=ROUTE, usage=usage, id="c1", raw={})


def test_every_role_keeps_its_meaning() -> None:
    """System, human, AI with tool calls, tool and free-role messages become the OpenAI roles."""
    converted = to_messages(
        [
            SystemMessage("s"),
            HumanMessage("h", name="ann"),
            AIMessage("", tool_calls=[{"name": "f", "args": {"a": "ü"}, "id": "1", "type": "tool_call"}]),
            ToolMessage("r", tool_call_id="1"),
            ChatMessage(role="developer", content="d"),
        ]
    )
    assert [message["role"] for message in converted] == ["system", "user", "assistant", "tool", "developer"]
    assert converted[1]["name"] == "ann"
    assert converted[2]["tool_calls"][0]["function"]["name"] == "f"
    assert converted[3]["tool_call_id"] == "1"


def test_images_of_every_spelling_become_image_urls() -> None:
    """LangChain's v0 and v1 image blocks and OpenAI's own all arrive as `image_url` parts."""
    blocks: list[str | dict[str, object]] = [
        {"type": "text", "text": "look"},
        {"type": "image", "source_type": "base64", "data": "QUJD", "mime_type": "image/png"},
        {"type": "image", "base64": "QUJD", "mime_type": "image/png"},
        {"type": "image", "url": "https://example.com/a.png"},
        {"type": "image_url", "image_url": {"url": "https://example.com/b.png"}},
    ]
    parts = to_messages([HumanMessage(blocks)])[0]["content"]
    urls = [part["image_url"]["url"] for part in parts[1:]]
    data = "data:image/png;base64,QUJD"
    assert urls == [data, data, "https://example.com/a.png", "https://example.com/b.png"]


def test_an_earlier_answers_reasoning_is_not_sent_back() -> None:
    """Reasoning blocks of earlier turns are dropped; text and tool calls stay."""
    message = AIMessage([{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "x"}])
    assert to_messages([message])[0]["content"] == [{"type": "text", "text": "x"}]


def test_usage_states_only_what_the_provider_stated() -> None:
    """Details that were not given are absent, not zero; and everything is an integer."""
    assert to_usage(Usage(1, 2, 3)) == {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    usage = to_usage(Usage(1, 2, 3, cache_read_tokens=0, reasoning_tokens=1))
    assert usage is not None
    assert usage["input_token_details"] == {"cache_read": 0}
    assert usage["output_token_details"] == {"reasoning": 1}
    assert to_usage(None) is None


def test_the_answer_says_who_gave_it() -> None:
    """`response_metadata` has the served model, the finish reason and the route."""
    message = to_result(completion()).generations[0].message
    assert isinstance(message, AIMessage)
    assert message.response_metadata["model_name"] == "gpt-4o-2024"
    assert message.response_metadata["finish_reason"] == "stop"
    portkey = message.response_metadata["portkey"]
    assert (portkey["trace_id"], portkey["target"], portkey["provider"]) == ("t1", "gpt-4o", "openai")
    assert portkey["attempts"][0]["outcome"] == "ok"
    assert message.usage_metadata is not None
    assert message.usage_metadata["total_tokens"] == 5


def test_broken_arguments_are_kept_apart() -> None:
    """A tool call whose arguments are no JSON object is an invalid tool call, with its raw text."""
    calls = [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
        {"id": "2", "type": "function", "function": {"name": "g", "arguments": '{"a": '}},
        {"id": "3", "type": "function", "function": {"name": "h", "arguments": "[1]"}},
        {"id": "4", "type": "function", "function": {"name": "i", "arguments": ""}},
    ]
    message = to_result(completion(content=None, tool_calls=calls)).generations[0].message
    assert isinstance(message, AIMessage)
    assert [(call["name"], call["args"]) for call in message.tool_calls] == [("f", {"a": 1}), ("i", {})]
    assert [(call["name"], call["args"]) for call in message.invalid_tool_calls] == [("g", '{"a": '), ("h", "[1]")]
    assert message.content == ""


def test_n_choices_are_n_generations_and_one_usage() -> None:
    """Usage is the call's: it stands on the first generation only, so that sums come out right."""
    whole = completion()
    two = Completion((*whole.choices, Choice({"content": "b"}, "stop", 1)), "m", ROUTE, usage=whole.usage)
    first, second = (generation.message for generation in to_result(two).generations)
    assert isinstance(first, AIMessage)
    assert isinstance(second, AIMessage)
    assert first.usage_metadata is not None
    assert second.usage_metadata is None


def test_chunks_add_up_to_the_answer() -> None:
    """The chunks of a stream sum to one message: text once, tool calls whole, usage and route from the last."""
    pieces = [
        to_chunk(Chunk(content="he")),
        to_chunk(Chunk(content="y", reasoning="hm")),
        to_chunk(Chunk(tool_calls=(ToolCallDelta(0, "1", "f", '{"a"'),))),
        to_chunk(Chunk(tool_calls=(ToolCallDelta(0, None, None, ": 1}"),))),
        to_last_chunk(completion()),
    ]
    whole = pieces[0].message
    for piece in pieces[1:]:
        whole += piece.message
    assert isinstance(whole, AIMessageChunk)
    assert whole.content == "hey"
    assert whole.additional_kwargs == {"reasoning_content": "hm"}
    assert [(call["name"], call["args"]) for call in whole.tool_calls] == [("f", {"a": 1})]
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] == 2
    assert whole.response_metadata["model_name"] == "gpt-4o-2024"
    assert whole.response_metadata["portkey"]["target"] == "gpt-4o"

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.utils._merge import merge_lists

from langchain_portkey_router import ChatPortkey
from langchain_portkey_router._convert import to_chunk, to_result
from portkey_router.messages import Choice, Chunk, Completion, Route, ToolCallDelta
from tests.langchain.test_chat_portkey import magic_function
from tests.langchain.verbs import VERBS, ask

if TYPE_CHECKING:
    from portkey_router.sandbox import PortkeyDouble


def answered(**message: Any) -> AIMessage:
    """What LangChain is given for such a message of the gateway's."""
    choice = Choice({"role": "assistant", "content": "hi", **message}, finish_reason="stop")
    found = to_result(Completion((choice,), model="m", route=Route("t", "a"))).generations[0].message
    assert isinstance(found, AIMessage)
    return found


@pytest.mark.parametrize(
    "message",
    [
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"content_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "hi"}]},
    ],
)
def test_reasoning_wherever_it_stands(message: dict[str, Any]) -> None:
    """DeepSeek's, OpenRouter's and Claude's thoughts are one reasoning block, before the text."""
    found = answered(**message)
    assert found.content_blocks == [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "hi"}]
    assert found.additional_kwargs["reasoning_content"] == "hm"


@pytest.mark.parametrize("extra", [{"content_blocks": [{"index": 0, "delta": {"thinking": "hm"}}]}, {"images": []}])
def test_streamed_reasoning_of_claude(extra: dict[str, Any]) -> None:
    """Claude's thoughts come in `content_blocks` deltas; a delta without any has none."""
    blocks: list[Any] = to_chunk(Chunk(extra=extra)).message.content_blocks
    assert [block["reasoning"] for block in blocks] == (["hm"] if "content_blocks" in extra else [])


def test_images_that_a_model_made() -> None:
    """Data URLs become base64 blocks, others URLs; streamed too."""
    images = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
        {"type": "image_url", "image_url": {"url": "https://a/b.png"}},
        {"type": "nonsense"},
    ]
    expected = [
        {"type": "image", "base64": "QUJD", "mime_type": "image/png"},
        {"type": "image", "url": "https://a/b.png"},
    ]
    assert answered(images=images).content_blocks == [{"type": "text", "text": "hi"}, *expected]
    streamed: list[Any] = to_chunk(Chunk(extra={"images": images})).message.content_blocks
    assert [{name: value for name, value in block.items() if name != "index"} for block in streamed] == expected


def test_the_blocks_of_a_stream_do_not_run_together() -> None:
    """Thoughts, text and two calls: in v1 each adds up by itself, though LangChain numbers them alike."""
    pieces = [
        to_chunk(Chunk(reasoning="h")),
        to_chunk(Chunk(reasoning="m")),
        to_chunk(Chunk(content="a")),
        to_chunk(Chunk(content="b")),
        to_chunk(Chunk(tool_calls=(ToolCallDelta(0, "1", "f", "{"), ToolCallDelta(1, "2", "g", "")))),
        to_chunk(Chunk(tool_calls=(ToolCallDelta(0, None, None, "}"), ToolCallDelta(1, None, None, "{}")))),
    ]
    contents: list[Any] = [piece.message.content_blocks for piece in pieces]
    merged = merge_lists(*contents)
    assert merged is not None
    assert [(b["type"], b.get("reasoning") or b.get("text") or b["args"]) for b in merged] == [
        ("reasoning", "hm"),
        ("text", "ab"),
        ("tool_call_chunk", "{}"),
        ("tool_call_chunk", "{}"),
    ]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("version", ["v0", "v1"])
def test_reasoning_text_and_usage_in_both_versions(portkey: PortkeyDouble, verb: str, version: str) -> None:
    """The same blocks, whichever version and verb; v1 has them for its content."""
    llm = ChatPortkey(model="gpt-4o", reasoning_effort="high", output_version=version)
    answer = ask(llm, verb, "Why?")
    blocks: list[Any] = list(answer.content_blocks)
    assert [block["type"] for block in blocks] == ["reasoning", "text"]
    assert blocks[0]["reasoning"] == "With high effort, let me think about this: Why?"
    assert blocks[1]["text"] == answer.text == "gpt-4o answers to: Why?"
    assert (answer.content == answer.text) is (version == "v0")
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_token_details"]["reasoning"] > 0
    assert isinstance(answer, AIMessageChunk) is (verb in {"stream", "astream"})


@pytest.mark.parametrize("verb", VERBS)
def test_tool_calls_in_v1_and_back_again(portkey: PortkeyDouble, verb: str) -> None:
    """A v1 answer with a tool call is understood when it is sent back with the result."""
    llm = ChatPortkey(model="gpt-4o", output_version="v1", reasoning_effort="low").bind_tools([magic_function])
    answer = ask(llm, verb, "Use magic_function with 3")
    assert [block["type"] for block in answer.content_blocks] == ["reasoning", "tool_call"]
    [call] = answer.tool_calls
    result = magic_function.invoke(call)
    final = ask(llm, verb, ["Use magic_function with 3", answer, result])
    assert "5" in final.text
    sent = portkey.requests[-1].body["messages"][1]
    assert [each["function"]["name"] for each in sent["tool_calls"]] == ["magic_function"]
    assert sent["content"] is None


def test_logprobs_are_with_the_answer(portkey: PortkeyDouble) -> None:
    """Streamed or not, `logprobs` of the whole answer are in the metadata."""
    llm = ChatPortkey(model="gpt-4o", logprobs=True, top_logprobs=2)
    for verb in ("invoke", "stream"):
        answer = ask(llm, verb, "Hello")
        tokens = answer.response_metadata["logprobs"]["content"]
        assert "".join(token["token"] for token in tokens) == answer.text
        assert len(tokens[0]["top_logprobs"]) == 2

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from langchain_portkey_router import ChatPortkey
from langchain_portkey_router._convert import to_messages
from portkey_router import ConfigurationError

if TYPE_CHECKING:
    from portkey_router.sandbox import PortkeyDouble

DATA = base64.b64encode(b"ABC").decode()
PNG = f"data:image/png;base64,{DATA}"


def sent(*blocks: Any, message: type[BaseMessage] = HumanMessage, **fields: Any) -> Any:
    """The content of a message with these blocks, as it goes out."""
    return to_messages([message(content=list(blocks), **fields)])[0]["content"]


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ("plain", {"type": "text", "text": "plain"}),
        ({"type": "text", "text": "t", "annotations": [], "id": "1", "index": 0}, {"type": "text", "text": "t"}),
        ({"type": "text-plain", "text": "t", "mime_type": "text/plain"}, {"type": "text", "text": "t"}),
        ({"type": "image", "base64": DATA, "mime_type": "image/png"}, {"type": "image_url", "image_url": {"url": PNG}}),
        ({"type": "image", "url": "https://a/b.png"}, {"type": "image_url", "image_url": {"url": "https://a/b.png"}}),
        (
            {"type": "image", "url": "https://a/b.png", "extras": {"detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "low"}},
        ),
        (
            {"type": "image", "source_type": "base64", "data": DATA, "mime_type": "image/png"},
            {"type": "image_url", "image_url": {"url": PNG}},
        ),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}},
            {"type": "image_url", "image_url": {"url": PNG}},
        ),
        ({"image": {"format": "png", "source": {"bytes": b"ABC"}}}, {"type": "image_url", "image_url": {"url": PNG}}),
        (
            {"type": "media", "mime_type": "image/png", "data": b"ABC"},
            {"type": "image_url", "image_url": {"url": PNG}},
        ),
        ({"type": "image_url", "image_url": "https://a/b"}, {"type": "image_url", "image_url": {"url": "https://a/b"}}),
        (
            {"type": "image_url", "image_url": {"url": PNG, "detail": "high"}},
            {"type": "image_url", "image_url": {"url": PNG, "detail": "high"}},
        ),
        (
            {"type": "audio", "base64": DATA, "mime_type": "audio/mpeg"},
            {"type": "input_audio", "input_audio": {"data": DATA, "format": "mp3"}},
        ),
        (
            {"type": "media", "mime_type": "audio/wav", "data": DATA},
            {"type": "input_audio", "input_audio": {"data": DATA, "format": "wav"}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": DATA, "format": "wav"}},
            {"type": "input_audio", "input_audio": {"data": DATA, "format": "wav"}},
        ),
        (
            {"type": "file", "base64": DATA, "mime_type": "application/pdf", "filename": "a.pdf"},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{DATA}"}},
        ),
        (
            {"type": "file", "base64": DATA, "mime_type": "application/pdf"},
            {"type": "file", "file": {"filename": "file.pdf", "file_data": f"data:application/pdf;base64,{DATA}"}},
        ),
        (
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": DATA}},
            {"type": "file", "file": {"filename": "file.pdf", "file_data": f"data:application/pdf;base64,{DATA}"}},
        ),
        ({"type": "document", "source": {"type": "text", "data": "words"}}, {"type": "text", "text": "words"}),
        ({"type": "file", "file_id": "f1"}, {"type": "file", "file": {"file_id": "f1"}}),
        ({"type": "file", "source_type": "id", "id": "f1"}, {"type": "file", "file": {"file_id": "f1"}}),
        (
            {"type": "file", "url": "https://a/b.pdf", "mime_type": "application/pdf"},
            {"type": "file", "file": {"file_url": "https://a/b.pdf", "mime_type": "application/pdf"}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:,x"}},
            {"type": "file", "file": {"filename": "file", "file_data": "data:,x"}},
        ),
        ({"type": "json", "json": {"ä": 1}}, {"type": "text", "text": '{"ä": 1}'}),
        ({"guard_content": {"text": {"text": "t"}}}, {"type": "text", "text": "t"}),
        (
            {"type": "text", "text": "t", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "t", "cache_control": {"type": "ephemeral"}},
        ),
        (
            {"type": "image", "url": "https://a/b", "cache_control": {"type": "ephemeral"}},
            {"type": "image_url", "image_url": {"url": "https://a/b"}, "cache_control": {"type": "ephemeral"}},
        ),
    ],
)
def test_every_spelling_of_a_block(block: Any, part: Any) -> None:
    """LangChain's v0 and v1, OpenAI's, Anthropic's, Bedrock's and Google's blocks are OpenAI's parts; no warning."""
    assert sent(block) == [part]


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"type": "hologram", "data": "x"}, r"messages\[0\]\.content\[1\].*'hologram' cannot be sent.*text, image"),
        ({"type": "video", "base64": DATA, "mime_type": "video/mp4"}, "'video' cannot be sent"),
        ({"type": "non_standard", "value": {}}, "'non_standard' cannot be sent"),
        ({"type": "reasoning", "reasoning": "hm"}, "'reasoning' cannot be sent"),
        ({"nothing": "known"}, "None cannot be sent"),
        ({"type": "audio", "url": "https://a/b.wav"}, "base64"),
        ({"type": "audio", "base64": DATA}, "not complete.*mime_type"),
        ({"type": "image", "base64": DATA}, "not complete.*mime_type"),
        ({"type": "image", "file_id": "f1"}, "as a url, or as base64"),
        ({"type": "text"}, "cannot be sent"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_name(block: Any, said: str) -> None:
    """A clear error says which message, which block and what is missing or could be sent instead."""
    with pytest.raises(ConfigurationError, match=said):
        sent("look at this", block)


@pytest.mark.parametrize("verb", ["invoke", "stream"])
def test_a_refused_block_never_leaves_the_machine(portkey: PortkeyDouble, verb: str) -> None:
    """The error comes before the network; it is a ValueError."""
    llm = ChatPortkey(model="gpt-4o")
    with pytest.raises(ValueError, match="hologram"):
        list(getattr(llm, verb)([HumanMessage([{"type": "hologram"}])]))
    assert portkey.requests == ()


def test_an_answer_in_v1_form_goes_back_as_it_came() -> None:
    """Its thoughts are dropped, its text stays, its calls are tool calls once."""
    call: Any = {"type": "tool_call", "name": "f", "args": {"a": "ü"}, "id": "1"}
    answer = AIMessage(
        content_blocks=[{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "x"}, call],
        response_metadata={"output_version": "v1", "model_provider": "portkey"},
    )
    [message] = to_messages([answer])
    assert message["content"] == [{"type": "text", "text": "x"}]
    [sent_call] = message["tool_calls"]
    assert (sent_call["id"], sent_call["function"]) == ("1", {"name": "f", "arguments": '{"a": "ü"}'})


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}},
        {"type": "tool_call", "id": "1", "name": "f", "args": {"a": 1}},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": '{"a": 1}'},
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_calls_in_the_content_are_sent_once(block: Any, known: bool) -> None:
    """Whether or not the message lists them beside its content, as Anthropic's and v1's do."""
    calls: Any = [{"type": "tool_call", "name": "f", "args": {"a": 1}, "id": "1"}] if known else []
    [message] = to_messages([AIMessage([{"type": "text", "text": "x"}, block], tool_calls=calls)])
    assert [call["function"] for call in message["tool_calls"]] == [{"name": "f", "arguments": '{"a": 1}'}]
    assert message["content"] == [{"type": "text", "text": "x"}]
    assert to_messages([AIMessage([block], tool_calls=calls)])[0]["content"] is None


def test_tool_results_and_system_prompts_may_be_blocks() -> None:
    """A tool's picture, Anthropic's tool results among a user's blocks, a cached system prompt."""
    picture = {"type": "image", "base64": DATA, "mime_type": "image/png"}
    assert sent(picture, message=ToolMessage, tool_call_id="1")[0]["image_url"]["url"] == PNG
    results = to_messages([HumanMessage([{"type": "tool_result", "tool_use_id": "1", "content": "r"}])])
    assert [(message["role"], message["content"]) for message in results] == [("tool", "r")]
    cached = {"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}
    assert sent(cached, message=SystemMessage) == [cached]


def test_all_kinds_of_attachments_arrive(portkey: PortkeyDouble) -> None:
    """A picture, a sound and a file in one question are with the provider, through the gateway."""
    blocks: list[Any] = [
        {"type": "text", "text": "What are these?"},
        {"type": "image", "base64": DATA, "mime_type": "image/png"},
        {"type": "audio", "base64": DATA, "mime_type": "audio/wav"},
        {"type": "file", "base64": DATA, "mime_type": "application/pdf"},
    ]
    answer = ChatPortkey(model="gpt-4o").invoke([HumanMessage(blocks)])
    assert "1 image, 1 audio clip, 1 file" in answer.text

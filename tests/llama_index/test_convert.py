from __future__ import annotations

import io
import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from llama_index_portkey import PortkeyLLM
from llama_index_portkey._convert import StreamedAnswer, to_messages, to_response
from portkey_router import Choice, Chunk, Completion, ConfigurationError, Fallback, Route, ToolCallDelta, Usage

if TYPE_CHECKING:
    from pathlib import Path

    from portkey_router.sandbox import PortkeyDouble

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 16
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + b"\x00" * 16
PDF = b"%PDF-1.4\n%%EOF\n"


def in64(data: bytes) -> str:
    """Base64 as text."""
    return b64encode(data).decode()


def parts(*blocks: Any, role: str = "user", cache_points: bool = False) -> Any:
    """The content of a message of these blocks as it is sent."""
    return to_messages([ChatMessage(role=role, blocks=list(blocks))], cache_points=cache_points)[0]["content"]


@pytest.mark.parametrize(
    ("block", "part"),
    [
        (ImageBlock(image=PNG, detail="low"), {"url": f"data:image/png;base64,{in64(PNG)}", "detail": "low"}),
        (ImageBlock(image=io.BytesIO(PNG)), {"url": f"data:image/png;base64,{in64(PNG)}"}),
        (ImageBlock(url="https://a.example/b.png"), {"url": "https://a.example/b.png"}),
    ],
)
def test_images(block: ImageBlock, part: dict[str, str]) -> None:
    """Bytes and files become data URLs with their kind; a URL goes out as it is, and nothing is fetched."""
    assert parts(TextBlock(text="what?"), block) == [
        {"type": "text", "text": "what?"},
        {"type": "image_url", "image_url": part},
    ]


def test_files_named_by_path(tmp_path: Path) -> None:
    """Images, audio, video and documents are read where they lie."""
    for name, data in {"a.png": PNG, "a.wav": WAV, "a.mp4": b"mp4", "a.pdf": PDF}.items():
        (tmp_path / name).write_bytes(data)
    found = parts(
        ImageBlock(path=tmp_path / "a.png"),
        AudioBlock(path=tmp_path / "a.wav"),
        VideoBlock(path=tmp_path / "a.mp4"),
        DocumentBlock(path=tmp_path / "a.pdf", title="terms"),
    )
    assert found == [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{in64(PNG)}"}},
        {"type": "input_audio", "input_audio": {"data": in64(WAV), "format": "wav"}},
        {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{in64(b'mp4')}"}},
        {"type": "file", "file": {"filename": "terms.pdf", "file_data": f"data:application/pdf;base64,{in64(PDF)}"}},
    ]


def test_documents_audio_and_video_in_hand() -> None:
    """Data as data; a document's URL for the providers that fetch files, a video's as it is."""
    assert parts(DocumentBlock(data=PDF))[0]["file"]["filename"] == "input_document.pdf"
    far = parts(DocumentBlock(url="https://a.example/b.pdf"))[0]
    assert far == {"type": "file", "file": {"file_url": "https://a.example/b.pdf", "mime_type": "application/pdf"}}
    assert parts(AudioBlock(audio=WAV))[0]["input_audio"]["format"] == "wav"
    assert parts(AudioBlock(audio=b"abcd", format="mpeg"))[0]["input_audio"]["format"] == "mp3"
    assert parts(VideoBlock(url="https://a.example/b.mp4"))[0]["video_url"] == {"url": "https://a.example/b.mp4"}


def test_citable_blocks_are_what_they_hold() -> None:
    """Their content is sent, in place; a chat request has no frame for it."""
    cited = CitableBlock(
        title="t", source="s", content=[TextBlock(text="fact"), ImageBlock(url="https://a.example/b.png")]
    )
    assert [part["type"] for part in parts(cited)] == ["text", "image_url"]
    quoted = CitationBlock(cited_content=TextBlock(text="fact"), source="s", title="t", additional_location_info={})
    assert parts(quoted) == "fact"


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (AudioBlock(url="https://a.example/b.wav"), "no URL"),
        (AudioBlock(audio=b"abcd"), "format"),
        (ImageBlock(), "empty"),
        (ImageBlock(image=b"what is this"), "mimetype"),
        (ToolCallBlock(tool_name="f"), "ToolCallBlock"),
    ],
)
def test_what_cannot_be_sent_is_named(block: Any, said: str) -> None:
    """Message, position and what to do, before anything is sent."""
    with pytest.raises(ConfigurationError, match=rf"messages\[0\]\.blocks\[1\].*{said}"):
        parts(TextBlock(text="a"), block)


def test_texts_are_one_text() -> None:
    """Several text blocks are joined as LlamaIndex joins them; no block at all is an empty text."""
    assert parts(TextBlock(text="a"), TextBlock(text="b")) == "a\nb"
    assert parts() == ""


def test_cache_points() -> None:
    """Anthropic's mark on what stands before, its ttl where it is not the default; one that marks nothing is told."""
    short = CachePoint(cache_control=CacheControl(type="ephemeral"))
    long = CachePoint(cache_control=CacheControl(type="ephemeral", ttl="1h"))
    found = parts(TextBlock(text="a"), long, TextBlock(text="b"), short, cache_points=True)
    marks = [part["cache_control"] for part in found]
    assert marks == [{"type": "ephemeral", "ttl": "1h"}, {"type": "ephemeral"}]
    assert parts(TextBlock(text="a"), short) == "a"
    with pytest.raises(ConfigurationError, match="CachePoint"):
        parts(short, cache_points=True)


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({"model": "claude-sonnet-4-5"}, True),
        ({"model": "@openai-prod/claude-sonnet-9"}, True),
        ({"model": "gpt-4o"}, False),
        ({"strategy": Fallback("claude-sonnet-4-5", "gpt-4o")}, False),
        ({"strategy": Fallback("claude-sonnet-4-5", "claude-opus-4-1"), "run_on": "gateway"}, True),
    ],
)
def test_cache_points_go_only_where_all_take_them(portkey: PortkeyDouble, options: Any, sent: bool) -> None:
    """Where one of the models that may answer would refuse the field, it is left out for all."""
    point = CachePoint(cache_control=CacheControl(type="ephemeral"))
    PortkeyLLM(**options).chat([ChatMessage(role="user", blocks=[TextBlock(text="a"), point])])
    assert ("cache_control" in str(portkey.requests[-1].body["messages"])) is sent


def test_a_conversation_with_tools() -> None:
    """Calls stand beside the content, results name their call, and thoughts and sources are not sent back."""
    said = ChatMessage(
        role="assistant",
        blocks=[
            ThinkingBlock(content="hm"),
            TextBlock(text="let me see"),
            ToolCallBlock(tool_call_id="1", tool_name="f", tool_kwargs={"a": "ü"}),
            ToolCallBlock(tool_call_id="2", tool_name="g", tool_kwargs='{"b": 1}'),
            CitationBlock(cited_content=TextBlock(text="fact"), source="s", title="t", additional_location_info={}),
        ],
        additional_kwargs={"tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]},
    )
    result = ChatMessage(role="tool", content="5", additional_kwargs={"tool_call_id": "1"})
    assert to_messages([said, result]) == [
        {
            "role": "assistant",
            "content": "let me see",
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": "ü"}'}},
                {"id": "2", "type": "function", "function": {"name": "g", "arguments": '{"b": 1}'}},
            ],
        },
        {"role": "tool", "content": "5", "tool_call_id": "1"},
    ]


def test_calls_kept_the_old_way() -> None:
    """Other LLMs' histories keep calls in `additional_kwargs`: as dicts, as OpenAI's objects, as Anthropic's."""
    from openai.types.chat import ChatCompletionMessageToolCall as Call

    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    for kept in (call, Call.model_validate(call), {"id": "1", "name": "f", "input": {"a": 1}}):
        message = ChatMessage(role="assistant", blocks=[], additional_kwargs={"tool_calls": [kept]})
        assert to_messages([message]) == [{"role": "assistant", "content": None, "tool_calls": [call]}]


def answered(**message: Any) -> ChatMessage:
    """What LlamaIndex is given for such a message of the gateway's."""
    choice = Choice({"role": "assistant", "content": "hi", **message}, finish_reason="stop")
    return to_response(Completion((choice,), model="m", route=Route("t", "a"))).message


@pytest.mark.parametrize(
    ("message", "notes"),
    [
        ({"reasoning_content": "hm"}, {}),
        ({"reasoning": "hm"}, {}),
        ({"content_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}]}, {"signature": "s"}),
    ],
)
def test_reasoning_wherever_it_stands(message: dict[str, Any], notes: dict[str, str]) -> None:
    """DeepSeek's, OpenRouter's and Claude's thoughts are one thinking block, before the text."""
    assert answered(**message).blocks == [
        ThinkingBlock(content="hm", additional_information=notes),
        TextBlock(text="hi"),
    ]


def test_what_a_model_made() -> None:
    """Images, audio and sources become blocks; text stays the message's content."""
    images = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{in64(PNG)}"}}, {"type": "nonsense"}]
    sources = [{"type": "url_citation", "url_citation": {"url": "https://a.example", "start_index": 0, "end_index": 2}}]
    found = answered(images=images, annotations=sources, audio={"data": in64(WAV), "transcript": "hi"})
    assert [block.block_type for block in found.blocks] == ["text", "citation", "image", "audio"]
    image, audio, citation = found.blocks[2], found.blocks[3], found.blocks[1]
    assert isinstance(image, ImageBlock)
    assert image.resolve_image().read() == PNG
    assert isinstance(audio, AudioBlock)
    assert audio.resolve_audio().read() == WAV
    assert isinstance(citation, CitationBlock)
    assert (citation.source, citation.cited_content) == ("https://a.example", TextBlock(text="hi"))
    assert found.content == "hi"
    assert answered(content=None).content == ""
    assert answered(content=None, refusal="no").additional_kwargs == {"refusal": "no"}
    assert ChatMessage.model_validate(found.model_dump()) == found


def test_an_answer_goes_back_as_it_came() -> None:
    """An answer in the history is sent as the provider gave it, arguments to the letter."""
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a":1 }'}}]
    assert to_messages([answered(content=None, tool_calls=calls)]) == [
        {"role": "assistant", "content": None, "tool_calls": calls}
    ]


def test_usage_has_one_meaning() -> None:
    """`raw["usage"]` is what the router counts, over what the provider said; details only where they were stated."""
    usage = Usage(30, 20, 50, cache_read_tokens=10, cache_write_tokens=4, reasoning_tokens=7)
    said = {"prompt_tokens": 16, "completion_tokens": 20, "cost": 0.5, "prompt_tokens_details": {"other": 1}}
    choice = Choice({"content": "hi"})
    whole = to_response(Completion((choice,), "m", Route("t", "a"), usage=usage, raw={"usage": said, "id": "x"}))
    assert whole.raw == {
        "id": "x",
        "usage": {
            "prompt_tokens": 30,
            "completion_tokens": 20,
            "total_tokens": 50,
            "cache_creation_input_tokens": 4,
            "cost": 0.5,
            "prompt_tokens_details": {"other": 1, "cached_tokens": 10},
            "completion_tokens_details": {"reasoning_tokens": 7},
        },
    }
    unknown = to_response(Completion((choice,), "m", Route("t", "a")))
    assert unknown.raw is not None
    assert "usage" not in unknown.raw
    assert "prompt_tokens" not in unknown.additional_kwargs


def test_a_stream_grows() -> None:
    """Each piece has the whole so far, calls in both places; one that adds nothing, or of another choice, is none."""
    answer = StreamedAnswer()
    assert answer.add(Chunk(role="assistant")) is None
    assert answer.add(Chunk(content="x", index=1)) is None
    assert answer.add(Chunk(usage=Usage(1, 1, 2))) is None
    answer.add(Chunk(content="a"))
    answer.add(Chunk(tool_calls=(ToolCallDelta(0, "1", "f", '{"a"'),)))
    first = answer.add(Chunk(content="b"))
    last = answer.add(Chunk(tool_calls=(ToolCallDelta(0, None, None, ": 1}"), ToolCallDelta(1, "2", "g", ""))))
    assert first is not None
    assert last is not None
    assert last.message.blocks == [
        TextBlock(text="ab"),
        ToolCallBlock(tool_call_id="1", tool_name="f", tool_kwargs='{"a": 1}'),
        ToolCallBlock(tool_call_id="2", tool_name="g", tool_kwargs=""),
    ]
    [call, _] = last.message.additional_kwargs["tool_calls"]
    assert call["function"] == {"name": "f", "arguments": '{"a": 1}'}
    assert first.message.additional_kwargs["tool_calls"][0]["function"]["arguments"] == '{"a"', (
        "a piece stays as it was"
    )
    assert json.loads(json.dumps(last.raw))["choices"][0]["delta"]["tool_calls"][1]["id"] == "2"
    claude = StreamedAnswer().add(Chunk(extra={"content_blocks": [{"index": 0, "delta": {"thinking": "hm"}}]}))
    assert claude is not None
    assert claude.additional_kwargs == {"thinking_delta": "hm"}


def test_a_stream_that_begins_anew() -> None:
    """What was shown is void: the marker says so, and the whole so far is the new answer's alone."""
    answer = StreamedAnswer()
    answer.add(Chunk(content="half", tool_calls=(ToolCallDelta(0, "1", "f", "{"),)))
    marker, first = answer.add(Chunk(reset=True)), answer.add(Chunk(content="whole"))
    assert marker is not None
    assert (marker.message.content, marker.delta, marker.additional_kwargs) == ("", "", {"portkey_reset": True})
    assert first is not None
    assert first.message.blocks == [TextBlock(text="whole")]

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portkey_router.errors import PortkeyError, StreamInterruptedError, UpstreamError, UpstreamRateLimitError
from portkey_router.flow.assembler import Assembler
from portkey_router.messages import Chunk, Route, ToolCallDelta, Usage
from portkey_router.wire.stream import StreamDecoder
from tests.core.fakes import DONE, WHOLE, delta, event, usage_event
from tests.core.leaks import assert_no_trace
from tests.core.test_wire_replies import CALLS, ODD, USAGES

SECRET = "wJalrX/K7"
DELTAS = st.fixed_dictionaries(
    {},
    optional={"role": ODD, "content": ODD, "tool_calls": CALLS | ODD, "reasoning": ODD, "refusal": ODD, "odd": ODD},
)
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "choices": st.lists(
            st.fixed_dictionaries(
                {}, optional={"index": ODD, "delta": DELTAS | ODD, "finish_reason": ODD, "logprobs": ODD}
            )
            | ODD,
            max_size=2,
        )
        | ODD,
        "usage": USAGES,
        "error": st.none() | ODD,
        "model": ODD,
        "id": ODD,
    },
)


def read(*pieces: bytes, secrets: tuple[str, ...] = ()) -> tuple[StreamDecoder, list[Chunk]]:
    """The chunks of a stream, its end included."""
    decoder = StreamDecoder({}, secrets)
    chunks = [chunk for piece in (*pieces, b"") for chunk in decoder.feed(piece)]
    return decoder, chunks


@given(st.lists(EVENTS | ODD, max_size=4), st.binary(max_size=20))
def test_any_stream_is_read_or_a_portkey_error(events: list[Any], tail: bytes) -> None:
    """Events of any JSON, and any bytes after them: chunks that can be put together, or a PortkeyError."""
    try:
        _, chunks = read(*(event(value) for value in events), tail)
    except PortkeyError:
        return
    assembler = Assembler()
    for chunk in chunks:
        assembler.add(chunk)
    assert json.dumps(assembler.completion(Route("t", "one"), model=None).choices[0].message)


@given(st.lists(EVENTS, max_size=4), st.booleans())
def test_finished_needs_a_finish_reason(events: list[Any], done: bool) -> None:
    """No stream counts as whole before a choice has said why it ended; [DONE] alone says nothing."""
    decoder = StreamDecoder({})
    reasons: list[str] = []
    try:
        for value in events:
            reasons += [chunk.finish_reason for chunk in decoder.feed(event(value)) if chunk.finish_reason]
        list(decoder.feed(DONE if done else b""))
    except PortkeyError:
        pass
    assert not decoder.finished or reasons


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_whole_stream(size: int) -> None:
    """Split anywhere, a stream gives its text, its end and its usage."""
    stream = b"".join(WHOLE)
    decoder, chunks = read(*(stream[i : i + size] for i in range(0, len(stream), size)))
    assert "".join(chunk.content for chunk in chunks) == "Hello"
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["stop"]
    assert chunks[-1].usage == Usage(5, 2, 7)
    assert (decoder.done, decoder.finished, decoder.usage_seen) == (True, True, True)
    assert chunks[0] == Chunk(role="assistant", model="gpt-4o", id="s-1")


def test_done_is_not_finished() -> None:
    """A stream that says [DONE] without a finish reason is done, and not whole."""
    decoder, _ = read(delta(content="Hel"), DONE)
    assert (decoder.done, decoder.finished) == (True, False)


def test_nothing_counts_after_done() -> None:
    """What follows [DONE] is not part of the answer."""
    _, chunks = read(DONE, delta(content="late"))
    assert chunks == []


def test_every_choice_must_finish() -> None:
    """With several choices the stream is whole once each has ended, in whatever order."""
    decoder = StreamDecoder({})
    for piece, finished in [
        (delta(content="a", index=0), False),
        (delta(content="b", index=1), False),
        (delta("stop", index=1), False),
        (delta("length", index=0), True),
        (delta(content="c", index=2), False),
        (delta("stop", index=2), True),
    ]:
        list(decoder.feed(piece))
        assert decoder.finished is finished


def test_usage_beside_choices_is_given_once() -> None:
    """Usage that comes with the last choices, as some providers send it, is on the first of them only."""
    both = [{"index": i, "delta": {"content": "x"}, "finish_reason": "stop"} for i in range(2)]
    decoder, chunks = read(event({"choices": both, "usage": {"prompt_tokens": 1, "completion_tokens": 2}}))
    assert [chunk.usage for chunk in chunks] == [Usage(1, 2, 3), None]
    assert decoder.usage_seen
    assert not read(delta("stop"))[0].usage_seen
    assert read(usage_event())[0].usage_seen


@pytest.mark.parametrize("data", [b"{", b"[1]", b"5", b"null", b"<html>", b'{"choices": [', b"\xff"])
def test_an_event_that_is_no_json_means_loss(data: bytes) -> None:
    """A broken event is part of the answer that is lost: never skipped."""
    with pytest.raises(StreamInterruptedError, match="lost"):
        read(delta(content="Hel"), event(data))


def test_an_event_cut_off_by_the_end_means_loss() -> None:
    """A stream that ends within an event is broken, one that ends without the last blank line is not."""
    with pytest.raises(StreamInterruptedError):
        read(delta(content="Hel"), delta("stop")[:-9])
    assert read(delta("stop").rstrip(b"\n"))[0].finished
    assert read(delta("stop").removesuffix(b"\n"))[0].finished


@pytest.mark.parametrize(
    "value",
    [
        {"error": {"message": "slow down", "code": 429}},
        {"choices": [], "error": {"message": "slow down", "code": 429}},
        {
            "error": {"message": "slow down", "code": 429},
            "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
        },
    ],
)
def test_an_error_inside_a_stream_is_that_error(value: Any) -> None:
    """An error event is told as the error it is, and beside a choice that says `error` too: that is no end."""
    with pytest.raises(UpstreamRateLimitError, match="slow down"):
        read(delta(content="Hel"), event(value))


def test_keys_are_struck_from_errors_in_a_stream() -> None:
    """An error event may quote a key as well, escaped or not."""
    data = event({"error": {"message": f"bad key: {SECRET}"}}).replace(b"/", b"\\/")
    with pytest.raises(UpstreamError) as caught:
        read(data, secrets=(SECRET,))
    assert_no_trace(SECRET, caught.value)


def test_reasoning_refusals_logprobs_and_the_unknown() -> None:
    """What is not text has its own field; what the core does not know is kept as it came."""
    logprobs = {"content": [{"token": "a"}]}
    choice = {"delta": {"reasoning": "r", "refusal": "no", "annotations": [1]}, "logprobs": logprobs}
    _, chunks = read(delta(reasoning_content="hm"), event({"choices": [choice]}))
    assert chunks[0].reasoning == "hm"
    assert (chunks[1].reasoning, chunks[1].refusal, chunks[1].logprobs) == ("r", "no", logprobs)
    assert chunks[1].extra == {"annotations": [1]}
    assert chunks[0].extra is None


def test_content_in_parts() -> None:
    """Content as a list of parts, as Mistral sends it, is its text."""
    _, (chunk,) = read(delta(content=[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, {"type": "x"}]))
    assert chunk.content == "ab"


def call(index: int | None = None, name: str | None = None, arguments: Any = "", **more: Any) -> dict[str, Any]:
    """A piece of a tool call."""
    placed = {} if index is None else {"index": index}
    return {**placed, "function": {"name": name, "arguments": arguments}, **more}


def calls_of(*pieces: dict[str, Any]) -> list[ToolCallDelta]:
    """The tool call deltas of a stream with one piece in each event."""
    _, chunks = read(*(delta(tool_calls=[piece]) for piece in pieces))
    return [one for chunk in chunks for one in chunk.tool_calls]


@pytest.mark.parametrize(
    "pieces",
    [
        [call(0, "f", id="a"), call(0, arguments="1"), call(1, "g", id="b"), call(1, arguments="2")],
        [call(0, "f", id="a"), call(0, arguments="1"), call(0, "g", id="b"), call(0, arguments="2")],
        [call(None, "f", id="a"), call(None, arguments="1"), call(None, "g", id="b"), call(None, arguments="2")],
        [call(1, "f", id="a"), call(1, arguments="1"), call(5, "g", id="b"), call(5, arguments="2")],
        [call(0, "f", "1", id="a"), call(0, "g", "2", id="b")],
        [call(0, "f", "1", id="a"), call(0, "", "", id="a"), call(1, "g", "2", id="b")],
    ],
)
def test_parallel_tool_calls_keep_apart(pieces: list[dict[str, Any]]) -> None:
    """Well indexed, all under one index, under none or with gaps: two ids are two calls, 0 and 1."""
    deltas = calls_of(*pieces)
    joined = {
        index: tuple(
            "".join(text)
            for text in zip(*((d.name or "", d.arguments) for d in deltas if d.index == index), strict=True)
        )
        for index in (0, 1)
    }
    assert joined == {0: ("f", "1"), 1: ("g", "2")}
    assert {delta.index for delta in deltas} == {0, 1}


def test_interleaved_tool_calls() -> None:
    """Pieces of two calls may take turns; their index tells them apart."""
    deltas = calls_of(call(0, "f", id="a"), call(1, "g", id="b"), call(0, arguments="1"), call(1, arguments="2"))
    assert [(delta.index, delta.arguments) for delta in deltas] == [(0, ""), (1, ""), (0, "1"), (1, "2")]


def test_an_id_that_comes_late() -> None:
    """A call that starts without its id is still the same call when the id comes."""
    assert [delta.index for delta in calls_of(call(0, "f"), call(0, "", "{", id="a"), call(0, "", "}", id="a"))] == [
        0,
        0,
        0,
    ]


def test_arguments_that_are_no_text() -> None:
    """Arguments sent as an object are JSON again."""
    assert calls_of(call(0, "f", {"a": 1}, id="a"))[0].arguments == '{"a": 1}'

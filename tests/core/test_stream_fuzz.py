"""Streams and replies made up at random, split anywhere, cut anywhere, broken anywhere: never a wrong success."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portkey_router.errors import PortkeyError, StreamInterruptedError
from portkey_router.flow.policy import Policy
from portkey_router.messages import Chunk, Completion
from portkey_router.wire.http import HttpReply
from portkey_router.wire.replies import decode_reply
from portkey_router.wire.stream import StreamDecoder
from tests.core.fakes import DONE, JSON, Stream, Told, delta, event, failed, ok, plan, target, tell, usage_event
from tests.core.test_wire_failures import HEADERS, JSON_VALUES

TEXT = st.text(max_size=8)
NOISE = st.sampled_from([b": ping\n\n", b"event: ping\ndata: \n\n", b"id: 1\nretry: 5\n\n", b"\n\n", b": \n"])
PIECES = st.one_of(
    TEXT.map(lambda text: delta(content=text)),
    TEXT.map(lambda text: delta(reasoning_content=text)),
    TEXT.map(lambda text: delta(tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": text}}])),
    st.just(delta(role="assistant")),
    NOISE,
)
BODIES = st.lists(PIECES, min_size=1, max_size=6)
LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


def streamed(body: list[bytes], line_end: bytes = b"\n", bom: bytes = b"") -> bytes:
    """A whole stream of these pieces."""
    whole = b"".join([*body, delta(content="."), delta("stop"), usage_event(), DONE])
    return bom + whole.replace(b"\n", line_end)


def read(*pieces: bytes) -> tuple[StreamDecoder, list[Chunk]]:
    """What a decoder makes of the pieces and the end."""
    decoder = StreamDecoder({})
    return decoder, [chunk for piece in (*pieces, b"") for chunk in decoder.feed(piece)]


def told_by(chunks: list[Chunk]) -> tuple[str, str, str]:
    """Text, reasoning, and arguments of tool calls."""
    arguments = (call.arguments for chunk in chunks for call in chunk.tool_calls)
    return "".join(c.content for c in chunks), "".join(c.reasoning for c in chunks), "".join(arguments)


@given(BODIES, LINE_ENDS, st.sampled_from([b"", b"\xef\xbb\xbf"]))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=40)
def test_split_at_every_byte(body: list[bytes], line_end: bytes, bom: bytes) -> None:
    """Wherever the network cuts it in two, and byte by byte, a stream says the same."""
    stream = streamed(body, line_end, bom)
    decoder, whole = read(stream)
    assert (decoder.finished, decoder.done, decoder.usage_seen) == (True, True, True)
    for place in range(1, len(stream)):
        again, chunks = read(stream[:place], stream[place:])
        assert chunks == whole
        assert again.finished
    assert read(*(stream[i : i + 1] for i in range(len(stream))))[1] == whole


@given(BODIES, LINE_ENDS)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=40)
def test_cut_at_every_byte(body: list[bytes], line_end: bytes) -> None:
    """Ended anywhere, it is whole only if all of the answer had come: else it is a PortkeyError."""
    stream = streamed(body, line_end)
    everything = told_by(read(stream)[1])
    for place in range(len(stream)):
        decoder = StreamDecoder({})
        chunks: list[Chunk] = []
        try:
            for piece in (stream[:place], b""):
                if piece or place:
                    chunks += decoder.feed(piece)
            decoder.check_whole()
        except StreamInterruptedError:
            assert all(all_of.startswith(part) for all_of, part in zip(everything, told_by(chunks), strict=True))
        else:
            assert told_by(chunks) == everything


@given(BODIES, st.data())
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=40)
def test_damaged_anywhere(body: list[bytes], data: st.DataObject) -> None:
    """Bytes changed, lost or added: chunks, or a PortkeyError; nothing else ever leaves the decoder."""
    stream = bytearray(streamed(body))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(stream) - 1))
        stream[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        decoder, _ = read(bytes(stream))
        decoder.check_whole()
    except PortkeyError:
        return
    assert decoder.finished


CHOICES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "index": JSON_VALUES,
            "delta": JSON_VALUES | st.dictionaries(st.sampled_from(["content", "tool_calls", "role"]), JSON_VALUES),
            "message": JSON_VALUES,
            "finish_reason": st.none() | st.sampled_from(["stop", "error", "content_filter"]) | JSON_VALUES,
            "error": JSON_VALUES,
        },
    )
    | JSON_VALUES,
    max_size=2,
)
EVENTS = st.fixed_dictionaries(
    {}, optional={"choices": CHOICES | JSON_VALUES, "error": JSON_VALUES, "usage": JSON_VALUES}
)


@given(st.integers(200, 599), HEADERS, st.one_of(EVENTS, JSON_VALUES).map(json.dumps) | st.text(max_size=30))
def test_every_shape_of_a_reply(status: int, headers: dict[str, str], body: str) -> None:
    """Whatever a server answers: an answer with a message and no error, or a PortkeyError."""
    try:
        decoded = decode_reply(HttpReply(status, {**JSON, **headers}, body.encode("utf-8", "surrogatepass")))
    except PortkeyError:
        return
    assert status < 300
    assert not decoded.get("error")
    assert any(isinstance(choice, dict) and isinstance(choice.get("message"), dict) for choice in decoded["choices"])


def end_of(told: Told) -> None:
    """A call's end is an answer that was whole, or an error of the tree."""
    if told.error is None:
        assert isinstance(told.shown[-1], Completion)
    else:
        assert isinstance(told.error, PortkeyError)
        assert not any(isinstance(item, Completion) for item in told.shown)


@given(st.lists(EVENTS.map(event) | st.just(DONE) | PIECES, max_size=5), st.booleans())
def test_every_shape_of_an_event_by_the_journey(events: list[bytes], hidden: bool) -> None:
    """Through the whole journey, shown or not: never an exception outside the tree, never an answer not finished."""
    two = plan(target("one"), target("two"))
    policy = Policy(wire_stream=True) if hidden else None
    around: dict[str, Any] = {} if policy is None else {"policy": policy}
    # The second target may or may not be asked: its answer is left over where it is not.
    told = tell(two, Stream(events), *[Stream()] * 3, stream=not hidden, unused=True, **around)
    end_of(told)
    if told.error is None and told.completion.route.target == "one":
        assert told.completion.choices[0].finish_reason


@given(
    st.integers(100, 599), HEADERS, JSON_VALUES.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=20)
)
def test_every_shape_of_a_failure_by_the_journey(status: int, headers: dict[str, str], body: bytes) -> None:
    """Any status with any body, then another target: an answer, or an error of the tree."""
    two = plan(target("one"), target("two"))
    told = tell(two, HttpReply(status, {**JSON, **headers}, body), *[ok()] * 3, unused=True)
    end_of(told)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_200_after_it(status: int) -> None:
    """The fuzz above ends in answers, too: this one does."""
    told = tell(plan(target("one"), target("two")), failed(status), ok(), unused=True)
    assert told.completion.route.target == "two"

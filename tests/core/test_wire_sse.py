from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portkey_router.wire.sse import SseDecoder

LINES = st.lists(
    st.sampled_from(
        [
            b"data: a",
            b"data:b",
            b"data:  c",
            b"data:",
            b"data: \xc3\xa9",
            b"",
            b"",
            b": ping",
            b"event: x",
            b"id: 1",
            b"nonsense",
        ]
    ),
    max_size=12,
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


def events(*pieces: bytes) -> list[bytes]:
    """The data of all events, those of the stream's end included."""
    decoder = SseDecoder()
    found = [data for piece in pieces for data in decoder.feed(piece)]
    return found + decoder.flush()


@given(LINES, st.data())
def test_where_the_bytes_are_split_makes_no_difference(lines: list[bytes], data: st.DataObject) -> None:
    """Split at every byte, or anywhere, a stream gives the events it gives whole."""
    stream = b"".join(line + data.draw(ENDS) for line in lines)
    if data.draw(st.booleans()):
        stream = stream.rstrip(b"\r\n")
    whole = events(stream)
    assert events(*(stream[i : i + 1] for i in range(len(stream)))) == whole
    cut = data.draw(st.integers(0, len(stream)))
    assert events(stream[:cut], stream[cut:]) == whole


@given(LINES)
def test_the_kind_of_line_end_makes_no_difference(lines: list[bytes]) -> None:
    """LF, CRLF and CR end lines alike."""
    one, two, three = (events(b"".join(line + end for line in lines)) for end in (b"\n", b"\r\n", b"\r"))
    assert one == two == three


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b": ping\n\ndata: a\n\n", [b"a"]),
        (b"event: x\nid: 1\nretry: 5\ndata: a\n\n", [b"a"]),
        (b"\n\n\n", []),
        (b"event: x\n\n", []),
        (b"", []),
        (b"data: a", [b"a"]),
        (b"data: a\n", [b"a"]),
        (b"data: a\r", [b"a"]),
        (b"data: a\r\n", [b"a"]),
        (b"data: a\r\n\r", [b"a"]),
        (b"data: a\n\ndata: [DONE]\n", [b"a", b"[DONE]"]),
        (b"data: a\ndata: b", [b"a\nb"]),
    ],
)
def test_events(stream: bytes, expected: list[bytes]) -> None:
    """Data are joined, comments and other fields dropped; an event the stream ends in is not lost."""
    assert events(stream) == expected


def test_an_event_is_given_once_it_is_finished() -> None:
    """A blank line gives the event at once, not with the next piece."""
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\n") == []
    assert decoder.feed(b"\n") == [b"a"]
    assert decoder.feed(b"data: b\r\n\r\n") == [b"b"]
    assert decoder.flush() == []

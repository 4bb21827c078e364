from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portkey_router.errors import ConfigurationError, UpstreamRateLimitError, UpstreamUnavailableError
from portkey_router.messages import Request
from portkey_router.wire.embeddings import check_dimensions, check_texts, decode_embeddings
from portkey_router.wire.http import HttpReply
from tests.core.embedding_fakes import packed, reply
from tests.core.fakes import JSON, failed


def asked(*texts: str) -> Request:
    """A request for these texts."""
    return Request((), "m", body={"input": list(texts)}, operation="embeddings")


def of(data: Any, **more: Any) -> HttpReply:
    """A reply with this `data`."""
    return HttpReply(200, JSON, json.dumps({"data": data, **more}).encode())


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=40))
def test_base64_gives_the_numbers_that_json_gives(vector: list[float]) -> None:
    """The same vector, in base64 and as JSON numbers, comes out the same to the last bit of a 32-bit float."""
    (from_base64,) = decode_embeddings(reply(tuple(vector)), asked("a"))["data"]
    (from_numbers,) = decode_embeddings(reply(vector), asked("a"))["data"]
    assert from_base64 == from_numbers == vector
    assert all(type(number) is float for number in (*from_base64, *from_numbers))


def test_a_vector_written_by_hand() -> None:
    """Known bytes give known numbers: 1.0 is 00 00 80 3f, -2.5 is 00 00 20 c0."""
    assert packed((1.0, -2.5)) == "AACAPwAAIMA="
    assert decode_embeddings(reply("AACAPwAAIMA="), asked("a"))["data"] == [[1.0, -2.5]]


def test_vectors_come_in_the_order_of_the_texts() -> None:
    """The index decides, not the place in the reply; whole numbers become floats."""
    data = [{"index": 1, "embedding": [3, 4]}, {"index": 0, "embedding": packed((1.0, 2.0))}]
    vectors = decode_embeddings(of(data), asked("a", "b"))["data"]
    assert vectors == [[1.0, 2.0], [3.0, 4.0]]
    assert type(vectors[1][0]) is float


def test_a_text_alone_is_one_input() -> None:
    """An input that is a text, and no list, has one vector."""
    assert decode_embeddings(reply([1.0]), Request((), body={"input": "abc"}))["data"] == [[1.0]]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ([{"index": 0, "embedding": [1.0]}], "1 embeddings came back for 2 texts.*batch_size=1"),
        ([{"index": n, "embedding": [1.0]} for n in range(3)], "3 embeddings came back for 2"),
        ([{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}], "which text"),
        ([{"index": 0, "embedding": [1.0]}, {"index": 5, "embedding": [1.0]}], "which text"),
        ([{"index": 0, "embedding": [1.0]}, "x"], "which text"),
        ([{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}], "1 and 2 dimensions"),
        ([{"embedding": [1.0]}, {"embedding": ["x"]}], "finite numbers"),
        ([{"embedding": [1.0]}, {"embedding": []}], "finite numbers"),
        ([{"embedding": [1.0]}, {"embedding": None}], "finite numbers"),
        ([{"embedding": [1.0]}, {"embedding": 3}], "finite numbers"),
        ([{"embedding": [1.0]}, {"embedding": [math.nan]}], "finite numbers"),
        ([{"embedding": [1.0]}, {"embedding": "no base64!"}], "finite numbers"),
        ([{"embedding": [1.0]}, {"embedding": "AAAA"}], "finite numbers"),
        ([{"embedding": [1.0]}, {"embedding": packed((math.inf,))}], "finite numbers"),
    ],
)
def test_what_is_not_as_asked_is_refused(data: list[Any], says: str) -> None:
    """Too few, too many, misplaced, uneven or unreadable vectors: an error that no second try would mend."""
    with pytest.raises(UpstreamUnavailableError, match=says) as caught:
        decode_embeddings(of(data), asked("a", "b"))
    assert (caught.value.status, caught.value.retryable) == (502, False)


def test_dimensions_other_than_asked_for_are_refused() -> None:
    """A provider that ignores `dimensions` has not answered the question."""
    with pytest.raises(UpstreamUnavailableError, match="have 2 dimensions, not the 3 asked for"):
        decode_embeddings(reply([1.0, 2.0]), asked("a"), 3)
    assert decode_embeddings(reply([1.0, 2.0]), asked("a"), 2)["data"] == [[1.0, 2.0]]


def test_errors_are_told_apart_as_in_chat() -> None:
    """A status, an error inside a 200, and something that is no embeddings reply at all."""
    with pytest.raises(UpstreamRateLimitError):
        decode_embeddings(failed(429), asked("a"))
    with pytest.raises(UpstreamUnavailableError, match="boom"):
        decode_embeddings(HttpReply(200, JSON, b'{"error": {"message": "boom"}}'), asked("a"))
    for body in (b"<html>", b"[]", b'{"choices": []}', b'{"data": {}}'):
        with pytest.raises(UpstreamUnavailableError, match="no list of embeddings") as caught:
            decode_embeddings(HttpReply(200, JSON, body), asked("a"))
        assert caught.value.retryable


def test_an_error_quotes_no_key() -> None:
    """A key that comes back in an error is struck from it."""
    with pytest.raises(UpstreamUnavailableError) as caught:
        decode_embeddings(
            HttpReply(200, JSON, b'{"error": {"message": "bad PLANTED-key"}}'), asked("a"), secrets=["PLANTED-key"]
        )
    assert "PLANTED" not in repr((str(caught.value), vars(caught.value)))


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ("abc", "a list of texts"),
        (b"abc", "a list of texts"),
        ({"a": 1}, "a list of texts"),
        (None, "a list of texts"),
        (["a", 1], r"texts\[1\] is a int"),
        (["a", None], r"texts\[1\] is a NoneType"),
        ([[1, 2]], r"texts\[0\] is a list"),
        (["a", ""], r"texts\[1\] is empty"),
    ],
)
def test_what_is_no_text_is_refused(texts: Any, says: str) -> None:
    """Bad input is named by its position, before the network."""
    with pytest.raises(ConfigurationError, match=says):
        check_texts(texts)


def test_texts_may_be_a_list_or_a_tuple() -> None:
    """No texts are fine, too."""
    assert check_texts(("a", " ")) == ["a", " "]
    assert check_texts([]) == []


@pytest.mark.parametrize("dimensions", [0, -1, 1.5, "8", True])
def test_dimensions_are_a_whole_number(dimensions: Any) -> None:
    """Anything else is refused before the network."""
    with pytest.raises(ConfigurationError, match="dimensions"):
        check_dimensions(dimensions)
    check_dimensions(None)
    check_dimensions(8)

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portkey_router.errors import (
    ContentFilterError,
    InvalidRequestError,
    PortkeyError,
    UpstreamError,
    UpstreamRateLimitError,
    UpstreamUnavailableError,
)
from portkey_router.messages import Choice, Chunk, ToolCallDelta, Usage
from portkey_router.wire.http import HttpReply
from portkey_router.wire.replies import (
    check_status,
    chunks_of,
    decode_choices,
    decode_reply,
    gateway_retries,
)
from portkey_router.wire.usage import decode_usage
from tests.core.fakes import JSON, answer, failed, ok

ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
FUNCTIONS = st.fixed_dictionaries({}, optional={"name": ODD, "arguments": ODD}) | ODD
CALLS = st.lists(st.fixed_dictionaries({}, optional={"id": ODD, "function": FUNCTIONS, "index": ODD}) | ODD, max_size=2)
MESSAGES = st.fixed_dictionaries(
    {}, optional={"role": ODD, "content": ODD, "tool_calls": CALLS | ODD, "refusal": ODD, "reasoning": ODD}
)
CHOICES = st.fixed_dictionaries(
    {"message": MESSAGES | ODD}, optional={"index": ODD, "finish_reason": ODD, "logprobs": ODD, "error": ODD}
)
USAGES = st.dictionaries(st.sampled_from(["prompt_tokens", "total_tokens", "prompt_tokens_details"]), ODD) | ODD
BODIES = st.fixed_dictionaries(
    {"choices": st.lists(CHOICES | ODD, max_size=3) | ODD},
    optional={"usage": USAGES, "model": ODD, "id": ODD, "error": ODD},
)


def reply(body: object, status: int = 200) -> HttpReply:
    """A reply with this JSON."""
    return HttpReply(status, JSON, json.dumps(body).encode())


@given(BODIES | ODD)
def test_any_json_is_an_answer_or_an_upstream_error(body: object) -> None:
    """Whatever a 200 holds: either it can be read as an answer, with at least one choice, or it is an UpstreamError."""
    try:
        decoded = decode_reply(reply(body))
    except UpstreamError:
        return
    choices = decode_choices(decoded)
    assert choices
    assert all(isinstance(choice.message, dict) for choice in choices)
    usage = decode_usage(decoded.get("usage"))
    assert usage is None or usage.input_tokens >= 0
    for chunk in chunks_of(decoded):
        assert isinstance(chunk.content + chunk.reasoning, str)
        assert all(isinstance(delta.arguments, str) for delta in chunk.tool_calls)


@given(st.binary(), st.integers(200, 599))
def test_any_bytes_are_an_upstream_error(data: bytes, status: int) -> None:
    """Bytes that are no completion are refused as such, whatever the status."""
    with pytest.raises(UpstreamError):
        decode_reply(HttpReply(status, {}, data))


def test_an_answer() -> None:
    """A completion's body is given as it is, its choices in the order of their index."""
    body = decode_reply(ok("Hi"))
    assert body == json.loads(answer("Hi"))
    assert decode_choices(body) == (Choice({"role": "assistant", "content": "Hi"}, "stop"),)
    two = {"choices": [{"index": 1, "message": {"content": "b"}}, {"index": 0, "message": {"content": "a"}}]}
    assert [choice.message["content"] for choice in decode_choices(two)] == ["a", "b"]


@pytest.mark.parametrize("status", [200, 201, 246, 299])
def test_every_2xx_passes(status: int) -> None:
    """246 is Portkey's: a guardrail failed, yet the answer is given."""
    check_status(status, {}, b"")


@pytest.mark.parametrize("status", [199, 301, 400, 500])
def test_any_other_status_raises(status: int) -> None:
    """Everything else is an error, redirects too."""
    with pytest.raises(UpstreamError) as caught:
        check_status(status, {}, b"")
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"error": {"message": "m", "code": 429}}, 429, UpstreamRateLimitError),
        ({"error": {"message": "m", "status": 400}}, 400, InvalidRequestError),
        ({"error": {"message": "m", "code": "content_filter", "status_code": 400}}, 400, ContentFilterError),
        ({"error": {"message": "Network connection lost.", "code": "x"}}, 502, UpstreamUnavailableError),
        ({"error": "Network connection lost."}, 502, UpstreamUnavailableError),
        (
            {"error": {"message": "m"}, "choices": [{"message": {"content": "par"}, "finish_reason": "error"}]},
            502,
            UpstreamUnavailableError,
        ),
        (
            {"choices": [{"message": {"content": "par"}, "finish_reason": "error", "error": {"message": "m"}}]},
            502,
            UpstreamUnavailableError,
        ),
    ],
)
def test_an_error_inside_a_200_is_an_error(body: Any, status: int, kind: type[UpstreamError]) -> None:
    """An error is one whatever the status around it, beside a choice too; its own status counts, else 502."""
    with pytest.raises(kind) as caught:
        decode_reply(reply(body))
    assert type(caught.value) is kind
    assert caught.value.status == status


def test_no_error_is_no_error() -> None:
    """`"error": null` beside an answer means nothing."""
    assert decode_reply(ok(error=None))["choices"]


@pytest.mark.parametrize(
    "body", [[], {}, {"choices": []}, {"choices": [None]}, {"choices": [{"text": "Hi"}]}, 5, "Hi", None]
)
def test_what_is_no_completion_says_where_to_look(body: object) -> None:
    """A page or another API behind the URL is told as such, and may be tried again elsewhere."""
    with pytest.raises(UpstreamUnavailableError, match=r"no chat completion.*PORTKEY_GATEWAY_URL") as caught:
        decode_reply(reply(body))
    assert (caught.value.status, caught.value.retryable) == (502, True)
    assert "answered 200" in str(caught.value)


def test_keys_are_struck_from_errors_in_a_200() -> None:
    """An error inside a 200 may quote a key as well."""
    with pytest.raises(PortkeyError) as caught:
        decode_reply(reply({"error": {"message": "bad key: wJalrX/K7"}}), secrets=["wJalrX/K7"])
    assert "wJalrX" not in str(caught.value)
    with pytest.raises(PortkeyError) as caught:
        decode_reply(failed(401, "bad key: wJalrX/K7"), secrets=["wJalrX/K7"])
    assert "wJalrX" not in str(caught.value)


@pytest.mark.parametrize(("header", "retries"), [("2", 2), ("0", 0), ("-1", 0), ("", 0), ("many", 0), (None, 0)])
def test_the_gateways_own_retries(header: str | None, retries: int) -> None:
    """The gateway writes -1 where its tries are used up."""
    assert gateway_retries({"x-portkey-retry-attempt-count": header} if header is not None else {}) == retries


def test_a_whole_reply_as_chunks() -> None:
    """Where a stream was asked for and a whole answer came, it is shown as one chunk for each choice, and the usage."""
    call = {"id": "call-1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "hm", "refusal": None}
    body = {
        "id": "c-1",
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }
    first, last = chunks_of(body)
    assert first == Chunk(
        reasoning="hm",
        tool_calls=(ToolCallDelta(0, "call-1", "f", '{"a": 1}'),),
        finish_reason="tool_calls",
        role="assistant",
        model="m",
        id="c-1",
    )
    assert last == Chunk(usage=Usage(1, 1, 2), model="m", id="c-1")


def test_content_in_parts() -> None:
    """Content given as a list of parts is shown as its text; arguments given as an object are JSON again."""
    call = {"id": "1", "function": {"name": "f", "arguments": {"a": 1}}}
    message = {"content": [{"type": "text", "text": "a"}, {"type": "image"}, {"text": "b"}], "tool_calls": [call]}
    (chunk,) = chunks_of({"choices": [{"message": message}]})
    assert chunk.content == "ab"
    assert chunk.tool_calls[0].arguments == '{"a": 1}'

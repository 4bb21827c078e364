from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portkey_router.errors import ConfigurationError
from portkey_router.messages import Request
from portkey_router.wire.body import check_messages, encode_body
from tests.core.fakes import HELLO

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def encoded(request: Request, model: str | None = "gpt-4o", **override_params: Any) -> Any:
    """The body, read back."""
    return json.loads(encode_body(request, model=model, override_params=override_params))


@given(JSON_VALUES)
def test_any_json_goes_through_unchanged(value: Any) -> None:
    """Fields the core does not know are passed on as they are, whatever text they hold."""
    assert encoded(Request(HELLO, body={"field": value}))["field"] == value


def test_the_fields_of_a_body() -> None:
    """Model and messages first, then the call's fields, then the target's own, which win."""
    body = encoded(Request(HELLO, body={"temperature": 0, "max_tokens": 9}), max_tokens=5, model="gpt-4")
    assert body == {"model": "gpt-4", "messages": HELLO, "temperature": 0, "max_tokens": 5}
    assert "model" not in encoded(Request(HELLO), model=None)


def test_a_stream_asks_for_its_usage() -> None:
    """Without it a streamed answer has no price; a caller who says otherwise is heard."""
    assert encoded(Request(HELLO, stream=True))["stream_options"] == {"include_usage": True}
    assert encoded(Request(HELLO, stream=True))["stream"] is True
    own = Request(HELLO, stream=True, body={"stream_options": {"include_usage": False}})
    assert encoded(own)["stream_options"] == {"include_usage": False}
    assert {"stream", "stream_options"}.isdisjoint(encoded(Request(HELLO)))


def test_half_an_emoji_still_makes_valid_json() -> None:
    """A text cut within a surrogate pair is sent as an escape, not refused."""
    messages = [{"role": "user", "content": "cut \ud83d"}]
    assert encoded(Request(messages))["messages"] == messages


def _circle() -> dict[str, Any]:
    circle: dict[str, Any] = {}
    circle["itself"] = circle
    return circle


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}, b"bytes", _circle(), {(1, 2): 3}])
def test_what_is_no_json_is_refused_by_name(value: Any) -> None:
    """The field that cannot be written is named, before anything is sent."""
    with pytest.raises(ConfigurationError, match="'odd'"):
        encoded(Request(HELLO, body={"temperature": 0, "odd": value}))


@pytest.mark.parametrize(
    "messages",
    [
        "Hello",
        None,
        5,
        [],
        ["Hello"],
        [{"content": "Hello"}],
        [{"role": 5}],
        [{"role": "user"}, "Hello"],
        {},
        {"role": "user"},
    ],
)
def test_what_are_no_messages_is_refused(messages: Any) -> None:
    """The usual slips are answered with what messages look like."""
    with pytest.raises(ConfigurationError, match=r"messages.*'role': 'user'"):
        check_messages(messages)


@pytest.mark.parametrize(
    "messages", [HELLO, tuple(HELLO), [{"role": "tool", "content": None, "tool_call_id": "1"}], [{"role": "user"}]]
)
def test_messages_pass(messages: Any) -> None:
    """Any role, any content: what they mean is the model's business."""
    check_messages(messages)

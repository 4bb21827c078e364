from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portkey_router.errors import (
    AuthenticationError,
    ContentFilterError,
    ContextLengthError,
    GuardrailError,
    InvalidRequestError,
    UpstreamError,
    UpstreamRateLimitError,
    UpstreamUnavailableError,
)
from portkey_router.wire.failures import classify, retry_after
from tests.core.leaks import assert_no_trace

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text() | st.sampled_from(["error", "message", "code", "data", "errors", "provider", "detail"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "retry-after-ms", "date", "x-request-id", "x-portkey-provider"]),
    st.text("0123456789-.e infaMonGT:+", max_size=30),
)


def read(status: int, body: object, **headers: str) -> UpstreamError:
    """The error that a reply means; header names with `_` for `-`."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return classify(status, {name.replace("_", "-"): value for name, value in headers.items()}, data)


@given(st.integers(100, 599), HEADERS, st.binary() | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_reply_is_an_upstream_error(status: int, headers: dict[str, str], body: bytes) -> None:
    """Whatever a server answers, it is told as an UpstreamError with a message and a sane wait."""
    error = classify(status, headers, body)
    assert isinstance(error, UpstreamError)
    assert error.status == status
    assert str(status) in str(error)
    assert error.retry_after is None or 0 <= error.retry_after < float("inf")
    assert error.code is None or isinstance(error.code, str)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b"1" * 100_000, b"\xff\xfe", b"", b"[]", b"null"])
def test_bodies_made_to_hurt(body: bytes) -> None:
    """Nesting without end, numbers without end and bytes that are no text are errors like any other."""
    assert isinstance(classify(500, {}, body), UpstreamUnavailableError)


@pytest.mark.parametrize("piece", [b"<", b"<script", b"<style>", b"<!--"])
def test_markup_made_to_hurt(piece: bytes) -> None:
    """A page of unclosed tags takes no longer than another."""
    began = time.thread_time()
    classify(502, {}, piece * 200_000)
    assert time.thread_time() - began < 5


PROVIDER_ERROR = {"message": "openai error: boom", "type": "server_error", "param": None, "code": "overloaded"}


@pytest.mark.parametrize(
    ("body", "message", "code", "provider"),
    [
        ({"error": PROVIDER_ERROR, "provider": "openai"}, "openai error: boom", "overloaded", "openai"),
        ({"error": {"message": "m", "type": "timeout_error", "param": None, "code": None}}, "m", "timeout_error", None),
        ({"status": "failure", "message": "Invalid config passed"}, "Invalid config passed", None, None),
        ({"status": "failure", "message": "Invalid", "errors": ["a", "b"]}, "Invalid: a; b", None, None),
        ({"html-message": "Message: fetch failed Cause: refused"}, "Message: fetch failed Cause: refused", None, None),
        ({"success": False, "data": {"message": "Unauthorised Request"}}, "Unauthorised Request", None, None),
        ({"success": False, "data": {"message": "m"}, "errorCode": "AB05"}, "m", "AB05", None),
        ({"error": "Model not found"}, "Model not found", None, None),
        ({"message": "plain"}, "plain", None, None),
        ({"detail": "Not Found"}, "Not Found", None, None),
        ({"error": None, "message": "beside"}, "beside", None, None),
        ([{"error": {"code": 503, "message": "m", "status": "UNAVAILABLE"}}], "m", "503", None),
        (b"<html><head><style>p {}</style></head><h1>502</h1>Bad &amp; gone</html>", "502 Bad &amp; gone", None, None),
        (b"upstream connect error", "upstream connect error", None, None),
        (b"", "no message", None, None),
        ({}, "", None, None),
    ],
)
def test_every_shape_is_read(body: object, message: str, code: str | None, provider: str | None) -> None:
    """The message, code and provider are found in each shape that Portkey and providers use."""
    error = read(503, body)
    assert message in str(error)
    assert (error.code, error.provider) == (code, provider)
    assert str(error).startswith(f"{provider or 'the gateway'} answered 503")


def test_a_provider_named_in_the_headers() -> None:
    """Where the body does not say whose error it is, the gateway's header does."""
    assert read(500, {}, x_portkey_provider="anthropic").provider == "anthropic"
    assert read(500, {"provider": "openai"}, x_portkey_provider="anthropic").provider == "openai"


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, InvalidRequestError, False),
        (401, AuthenticationError, False),
        (402, UpstreamUnavailableError, False),
        (403, AuthenticationError, False),
        (404, InvalidRequestError, False),
        (408, UpstreamUnavailableError, True),
        (409, UpstreamUnavailableError, True),
        (412, UpstreamUnavailableError, False),
        (413, InvalidRequestError, False),
        (422, InvalidRequestError, False),
        (429, UpstreamRateLimitError, True),
        (446, GuardrailError, False),
        (500, UpstreamUnavailableError, True),
        (502, UpstreamUnavailableError, True),
        (503, UpstreamUnavailableError, True),
        (504, UpstreamUnavailableError, True),
        (529, UpstreamUnavailableError, True),
        (501, UpstreamUnavailableError, False),
        (302, InvalidRequestError, False),
    ],
)
def test_what_a_status_means(status: int, kind: type[UpstreamError], retryable: bool) -> None:
    """Each status is one class of error, and either worth another try or not."""
    error = read(status, {"error": {"message": "m", "code": "c"}}, x_request_id="r-1")
    assert type(error) is kind
    assert (error.retryable, error.request_id, error.body) == (
        retryable,
        "r-1",
        {"error": {"message": "m", "code": "c"}},
    )


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "PORTKEY_API_KEY"),
        (404, "model's name"),
        (412, "budget"),
        (429, "fallback"),
        (446, "hook_results"),
    ],
)
def test_the_message_says_what_to_do(status: int, advice: str) -> None:
    """Where something can be done about it, the message says what."""
    assert advice in str(read(status, {"error": {"message": "m"}}))


@pytest.mark.parametrize("code", ["insufficient_quota", "billing_hard_limit_reached"])
def test_an_empty_account_is_not_waited_for(code: str) -> None:
    """A 429 for want of money does not pass by itself: another target may answer, this one will not."""
    error = read(429, {"error": {"message": "You exceeded your current quota", "code": code}})
    assert isinstance(error, UpstreamRateLimitError)
    assert not error.retryable


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("context_length_exceeded", "This model's maximum context length is 8192 tokens. However, you requested 9000."),
        ("string_above_max_length", "Please reduce: the input exceeds the model's maximum of 128000 tokens"),
        ("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
        ("invalid_request_error", "input length and `max_tokens` exceed context limit: the context window is 200000"),
        ("ValidationException", "Input is too long for requested model."),
        ("INVALID_ARGUMENT", "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."),
        ("invalid_request", "too many tokens: total number of tokens in the prompt cannot exceed 4081"),
        (None, "Prompt contains 40000 tokens, too large for model with 32768 maximum context length"),
    ],
)
def test_context_length_in_many_words(code: str | None, message: str) -> None:
    """OpenAI, Anthropic, Bedrock, Google, Cohere and Mistral each say it in their own words."""
    assert type(read(400, {"error": {"message": message, "code": code}})) is ContextLengthError


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("content_filter", "The response was filtered due to Azure OpenAI's content management policy."),
        ("content_policy_violation", "Your request was rejected as a result of our safety system."),
        ("ResponsibleAIPolicyViolation", "filtered"),
        ("invalid_request_error", "Output blocked by content filtering policy"),
        (None, "blocked by the safety filter"),
    ],
)
def test_content_filters_in_many_words(code: str | None, message: str) -> None:
    """OpenAI, Azure and Anthropic each say it in their own words."""
    assert type(read(400, {"error": {"message": message, "code": code}})) is ContentFilterError


@pytest.mark.parametrize(
    "message", ["max_tokens is too large: 9000", "Unknown field 'contex'", "invalid image content"]
)
def test_other_wrong_requests_stay_wrong_requests(message: str) -> None:
    """Only what is known to be about length or content is told as such; a 500 never is."""
    assert type(read(400, {"error": {"message": message}})) is InvalidRequestError
    assert type(read(500, {"error": {"message": "maximum context length exceeded"}})) is UpstreamUnavailableError


DATE = "Mon, 23 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"x-ms-retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "3"}, 3.0),
        ({"retry-after": "Mon, 23 Nov 2026 10:00:30 GMT", "date": DATE}, 30.0),
        ({"retry-after": "Mon, 23 Nov 2026 09:00:00 GMT", "date": DATE}, 0.0),
        ({"retry-after": "Mon, 23 Nov 2026 10:00:30 GMT"}, None),
        ({"retry-after": "Mon, 23 Nov 2026 10:00:30 GMT", "date": "today"}, None),
        ({"retry-after": "Mon, 23 Nov 2026 10:00:30 -0000", "date": DATE}, None),
        ({"retry-after": "Mon, 23 Nov 2026 10:00:30 +9999999999999999", "date": DATE}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "later", "date": DATE}, None),
        ({}, None),
    ],
)
def test_retry_after_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    """Milliseconds, seconds or a date against the reply's own clock; anything else is not stated."""
    assert retry_after(headers) == seconds
    assert classify(429, headers, b"{}").retry_after == seconds


KEY = "wJalrXUtnFEMI/K7MDENG=bPxRfiCY"


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"error": {"message": f"Incorrect API key: {KEY}."}}),
        json.dumps({"error": {"message": f"Incorrect API key: {KEY}."}}).replace("/", "\\/"),
        json.dumps({"error": {"message": f"Incorrect API key: {KEY}."}}).replace("=", "\\u003d"),
        json.dumps({"status": "failure", "message": "no", "errors": [KEY, {"key": KEY}]}),
        json.dumps({"error": {"message": "no", KEY: [[KEY]]}}),
        json.dumps({"error": KEY}),
        json.dumps([{"error": {"message": "m", "code": KEY}}]),
        f"<p>{KEY}</p>",
        f"{KEY} is not valid",
    ],
)
def test_keys_are_struck_from_message_and_body(body: str) -> None:
    """A key that a reply quotes, escaped or not, is in none of what the error shows."""
    error = classify(401, {}, body.encode(), secrets=[KEY])
    assert_no_trace(KEY, error)
    assert "***" in repr(vars(error)) + str(error)


@pytest.mark.parametrize("before", ["\n", "\t", '"', "\\"])
def test_a_key_is_struck_wherever_it_begins(before: str) -> None:
    r"""In JSON a line break before a key is `\\\\n`: its `n` must not hide where the key begins."""
    error = read(401, {"error": {"message": f"Incorrect API key provided:{before}sk-live-0123456789"}})
    assert "0123456789" not in str(error) + repr(vars(error))


def test_long_pages_are_cut() -> None:
    """Neither the message nor a body that is no JSON grows without bounds."""
    error: Any = read(502, b"word " * 10_000)
    assert len(str(error)) < 700
    assert len(error.body) <= 500
    assert len(str(read(502, {"error": "word " * 10_000}))) < 700


@pytest.mark.parametrize(
    ("status", "body", "advice"),
    [
        (400, {"error": {"message": "flagged by content policy", "code": "content_filter"}}, "on_content_filter="),
        (403, {"error": {"message": "Input was flagged by moderation: flagged as spam"}}, "on_content_filter="),
        (400, {"error": {"message": "too long", "code": "context_length_exceeded"}}, "shorten the messages"),
        (
            400,
            {"message": "Either x-portkey-config or x-portkey-provider header is required"},
            "provider= and api_key=",
        ),
        (400, {"message": "Invalid config passed. You need to pass a valid json"}, "provider= and api_key="),
        (400, {"message": "Invalid config passed. You need to pass a valid json or slug: pc-a"}, "key or slug"),
    ],
)
def test_what_is_known_of_an_error_is_its_advice(status: int, body: dict[str, Any], advice: str) -> None:
    """A refused prompt is not told to check its key, nor who asks an open-source gateway for a vault."""
    told = str(read(status, body))
    assert advice in told
    assert ("check the model's name" in told) == (advice == "key or slug")


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("https://gateway.example.com/v1?key=PLANTED", r"redirects to https://gateway\.example\.com, .*base_url"),
        ("https://joe:PLANTED@gateway.example.com:8443/v1", r"https://gateway\.example\.com:8443, "),
        ("/login?key=PLANTED", r"redirects elsewhere on the same host, "),
        ("http://[PLANTED", "redirects elsewhere, "),
        ("", "answered 308: no message"),
    ],
)
def test_a_redirect_says_where_to(location: str, said: str) -> None:
    """It is not followed, for the key would go with it: the error names the place to set, and no more of the URL."""
    error = read(308, b"", location=location) if location else read(308, b"")
    assert re.search(said, str(error))
    assert "PLANTED" not in str(error)
    assert not error.retryable

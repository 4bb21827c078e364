from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portkey_router.errors import ContextLengthError
from portkey_router.wire.context_length import sizes, speaks_of_context_length
from portkey_router.wire.failures import classify
from portkey_router.wire.replies import error_in_event

# Provider, code, message, the window and what was needed, as far as they say.
SPELLINGS = [
    (
        "openai",
        "context_length_exceeded",
        (
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 10021 tokens. "
            "Please reduce the length of the messages."
        ),
        8192,
        10021,
    ),
    (
        "openai, with max_tokens",
        "context_length_exceeded",
        (
            "This model's maximum context length is 16385 tokens. However, you requested 20000 tokens (16000 in the "
            "messages, 4000 in the completion)."
        ),
        16385,
        20000,
    ),
    ("openai, newer", "context_length_exceeded", "Your input exceeds the context window of this model.", None, None),
    ("anthropic", "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum", 200000, 210000),
    (
        "anthropic, with max_tokens",
        "invalid_request_error",
        "input length and `max_tokens` exceed context limit: 195000 + 8192 > 200000, decrease input length",
        200000,
        203192,
    ),
    (
        "google",
        "INVALID_ARGUMENT",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        1048576,
        1200000,
    ),
    (
        "google, short",
        "INVALID_ARGUMENT",
        "The input token count exceeds the maximum number of tokens allowed (1048576).",
        1048576,
        None,
    ),
    ("bedrock", "ValidationException", "Input is too long for requested model.", None, None),
    (
        "mistral",
        None,
        "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
        32768,
        40000,
    ),
    (
        "cohere",
        "invalid_request",
        "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000",
        4081,
        None,
    ),
    (
        "together and TGI",
        "validation",
        (
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097. Given: 4000 `inputs` tokens "
            "and 512 `max_new_tokens`"
        ),
        4097,
        4512,
    ),
    ("TGI", "validation", "`inputs` must have less than 1024 tokens. Given: 2000", 1024, 2000),
    (
        "cerebras",
        "context_length_exceeded",
        "Please reduce the length of the messages or completion. Current length is 9000 while limit is 8192",
        8192,
        9000,
    ),
    (
        "groq",
        "context_length_exceeded",
        "Please reduce the length of the messages or completion.",
        None,
        None,
    ),
    (
        "fireworks",
        "invalid_request_error",
        "The prompt is too long: 40000, model maximum context length: 32767",
        32767,
        40000,
    ),
    (
        "openrouter",
        "400",
        (
            "This endpoint's maximum context length is 131072 tokens. However, you requested about 200000 tokens "
            "(190000 of text input, 10000 in the output)."
        ),
        131072,
        200000,
    ),
    (
        "xai",
        None,
        "This model's maximum prompt length is 131072 but the request contains 150000 tokens.",
        131072,
        150000,
    ),
    (
        "llama.cpp",
        "exceed_context_size_error",
        "the request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it",
        4096,
        5000,
    ),
    ("ai21", None, "Prompt too long. Please reduce its size.", None, None),
    (
        "vllm",
        "BadRequestError",
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens in the messages.",
        4096,
        5000,
    ),
    (
        "deepseek",
        "invalid_request_error",
        "This model's maximum context length is 65,536 tokens. However, you requested 70,000 tokens.",
        65536,
        70000,
    ),
]
each_spelling = pytest.mark.parametrize(
    ("code", "message", "limit", "needed"), [s[1:] for s in SPELLINGS], ids=[s[0] for s in SPELLINGS]
)


@each_spelling
def test_every_providers_words(code: str | None, message: str, limit: int | None, needed: int | None) -> None:
    """A prompt too long is known by whatever provider says it, with the sizes it states."""
    body = json.dumps({"error": {"message": message, "type": code, "code": code}}).encode()
    error = classify(400, {}, body)
    assert type(error) is ContextLengthError
    assert (error.limit, error.needed) == (limit, needed)
    assert not error.retryable


@each_spelling
def test_it_may_come_inside_a_stream(code: str | None, message: str, limit: int | None, needed: int | None) -> None:
    """Or in a 200: there is no status then, and the words alone tell."""
    error = error_in_event({"error": {"message": message, "type": code}}, {})
    assert type(error) is ContextLengthError
    assert (error.limit, error.needed) == (limit, needed)


@pytest.mark.parametrize(
    "message",
    [
        "Rate limit reached for tokens per min",
        "The model does not exist",
        "max_tokens is too large: 5000. This model supports at most 4096 completion tokens",
        "Invalid value for 'temperature'",
        "You exceeded your current quota",
    ],
)
def test_other_refusals_are_not_taken_for_it(message: str) -> None:
    """A wrong parameter is the caller's to see: a larger window would not help."""
    assert not speaks_of_context_length(message)


@given(st.text("0123456789 tokens>+()maximum context length is,.", max_size=200))
def test_any_words_are_read(text: str) -> None:
    """Whatever is written, sizes are counts or None."""
    limit, needed = sizes(text)
    assert limit is None or 0 <= limit < 10**12
    assert needed is None or needed >= 0


def test_words_made_to_hurt() -> None:
    """As long as a message may be, and made of what the patterns begin with, it takes no time."""
    began = time.thread_time()
    for text in ("1" * 500, "1 + " * 120, "maximum context length is 1 " * 20, "too long: " * 50, "1," * 250):
        sizes(text)
        speaks_of_context_length(text)
    assert time.thread_time() - began < 5

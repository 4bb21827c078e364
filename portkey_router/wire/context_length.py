"""A prompt too long for a model, in every provider's words, and the sizes they state."""

from __future__ import annotations

import re

__all__ = ["sizes", "speaks_of_context_length"]

_WORDS = re.compile(
    r"context.?(?:length|window|size|limit)|maximum (?:context|prompt|input) length|prompt.?(?:is )?too.?(?:long|large)"
    r"|input.?(?:is )?too.?long|too many (?:input |prompt )?tokens|request too large for.*context"
    r"|maximum (?:allowed )?(?:number of )?(?:input |prompt )?tokens|input token count"
    r"|exceeds? the (?:max|model)[^.]*token"
    r"|reduce the length of (?:the |your )?(?:messages|prompt|input)|tokens?`? \+ `?max_new_tokens`? must be"
    r"|`?inputs`? (?:tokens )?must have less than|token limit exceeded|exceeded? (?:the )?(?:model's )?token limit",
    re.IGNORECASE,
)
_NUMBER = r"(\d[\d,._]*\d|\d)"
# Each with the group of the window and those whose sum is needed.
_SIZES: tuple[tuple[re.Pattern[str], int, tuple[int, ...]], ...] = tuple(
    (re.compile(pattern.replace("#", _NUMBER), re.IGNORECASE | re.DOTALL), limit, needed)
    for pattern, limit, needed in (
        # OpenAI, Azure, vLLM, DeepSeek, OpenRouter, xAI
        (r"maximum (?:context|prompt) length is #.{0,80}?(?:resulted in|requested(?: about)?|contains|has) #", 1, (2,)),
        (r"# \+ # > #", 3, (1, 2)),  # Anthropic, with max_tokens
        (r"# tokens > #", 2, (1,)),
        (r"input token count \(#\)[^()]*\(#\)", 2, (1,)),  # Google
        (r"contains # tokens.{0,60}?model with # maximum", 2, (1,)),  # Mistral
        (r"current length is # while limit is #", 2, (1,)),  # Cerebras
        (r"must be <= #\. Given: # .{0,40}? and #", 1, (2, 3)),  # Hugging Face's TGI, Together
        (r"must have less than # tokens\. Given: #", 1, (2,)),
        (r"too long: #,? .{0,20}?maximum context length: #", 2, (1,)),  # Fireworks
        (r"request \(# tokens\) exceeds the available context size \(# tokens\)", 2, (1,)),  # llama.cpp
        # those that state the window alone
        (r"maximum (?:context|prompt|input) length (?:is|of) #", 1, ()),
        (r"maximum number of (?:input )?tokens allowed \(#\)", 1, ()),
        (r"cannot exceed # ?(?:tokens)?", 1, ()),
        (r"context window (?:is|of) #", 1, ()),
        (r"maximum of # tokens", 1, ()),
    )
)


def speaks_of_context_length(words: str) -> bool:
    """Whether an error's code and message say that the prompt does not fit the model."""
    return _WORDS.search(words) is not None


def sizes(message: str) -> tuple[int | None, int | None]:
    """(the model's window, what the request needs), in tokens, as far as the message states them."""
    for pattern, limit, needed in _SIZES:
        if found := pattern.search(message):
            total = sum(_count(found[group]) for group in needed) if needed else None
            return _count(found[limit]), total
    return None, None


def _count(text: str) -> int:
    return int(re.sub(r"\D", "", text)[:12])

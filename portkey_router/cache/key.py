"""What tells two requests apart in a cache, and what of them is compared by meaning.

The scope is hard: everything but the question itself. Only requests of one scope are ever compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from portkey_router.cache.canonical import digest, digest_of_texts
from portkey_router.cache.conversation import turns_of_dump, turns_of_messages
from portkey_router.cache.courtesy import without_courtesy
from portkey_router.cache.llm_string import settings_of, settings_text
from portkey_router.cache.normalise import normalise
from portkey_router.cache.windows import exceeds
from portkey_router.cache.words import time_word

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from portkey_router.cache.conversation import Turn

__all__ = ["MINILM_WINDOW", "CacheKey", "key_of_langchain", "key_of_messages"]

MINILM_WINDOW = 256
_REMEMBERED = 2000  # characters: of longer questions nothing is kept
_VERSION = 1  # of the digests: a change of what goes into them must not meet entries of the old kind


@dataclass(frozen=True, slots=True)
class CacheKey:
    """The names of one request in a cache. The digests are hex SHA-256: no user text, no key is in them.

    - `exact`: the whole request. `normalised`: the same after `normalise` of `text`.
    - `scope`: all but the text: tenant, namespace, model, deciding parameters, system prompt, tools, response format,
      every earlier turn, and what the last message holds beside its text. Fit for a TAG.
    - `text`: the question, without greetings and thanks: the only thing to embed. Empty where there is none.
    - `semantic`: whether it may be compared by meaning; else `why_not` says why: `no user text`, `media`,
      `longer than the encoder reads`, or `time word: today`. The two exact layers serve it all the same.
    """

    exact: str
    normalised: str
    scope: str
    text: str = field(repr=False)
    semantic: bool
    why_not: str | None = None


def key_of_messages(
    messages: Sequence[Mapping[str, Any]],
    *,
    model: str | None = None,
    params: Mapping[str, Any] | None = None,
    tenant: str = "",
    namespace: str = "",
    key_text: Callable[[str], str] | None = None,
    context_varies: bool = False,
    window_tokens: int | None = MINILM_WINDOW,
    time_words: bool = True,
) -> CacheKey:
    """The key of a request in OpenAI's shape.

    `params` is what else may change the answer: `temperature`, `tools`, `response_format`, the gateway, the strategy;
    names in `VOLATILE` (trace ids, headers, timeouts, keys ...) and values of None take no part. A request with `user`
    is that user's own.

    `key_text` picks the question out of the last message, where a RAG prompt has more in it. The rest of the message
    is then part of the scope: another context, another answer. `context_varies=True` says that it may differ (the same
    question is then answered from what was retrieved the first time); the exact digest still covers it all.

    `window_tokens` is how much the encoder reads (256: MiniLM's; None: no limit); a longer question is not compared by
    meaning, since its end would not be seen. `time_words=False` compares questions with today, now, latest ... too.

    Raises `ConfigurationError` for parameters that are no JSON and no strategy.
    """
    settings = settings_text(model, params or {})
    asked = _Asked(settings, tenant, namespace, key_text, context_varies, window_tokens, time_words)
    return asked.key(turns_of_messages(messages))


def key_of_langchain(
    prompt: str,
    llm_string: str,
    *,
    tenant: str = "",
    namespace: str = "",
    key_text: Callable[[str], str] | None = None,
    context_varies: bool = False,
    window_tokens: int | None = MINILM_WINDOW,
    time_words: bool = True,
) -> CacheKey:
    """The key of what LangChain hands to a cache: its JSON dump of the messages (or a plain prompt) and its llm_string.

    Equal to that of `key_of_messages` where `ChatPortkey` wrote the llm_string and `params` are the same: its fields,
    the call's, and `gateway` with the URL. Other models' keys name their class, and meet only each other's. Content
    blocks other than text are compared as they are written, so an image in LangChain's own shape and the same image in
    OpenAI's are two. For the arguments see `key_of_messages`.
    """
    asked = _Asked(settings_of(llm_string), tenant, namespace, key_text, context_varies, window_tokens, time_words)
    turns = turns_of_dump(prompt)
    return asked.key([{"role": "user", "content": [prompt]}] if turns is None else turns)


@dataclass(frozen=True, slots=True)
class _Asked:
    """All of a request but its conversation, and how its key is wanted."""

    settings: str
    tenant: str
    namespace: str
    key_text: Callable[[str], str] | None
    context_varies: bool
    window_tokens: int | None
    time_words: bool

    def key(self, turns: Sequence[Turn]) -> CacheKey:
        last = turns[-1] if turns and turns[-1].get("role") == "user" else None
        texts = [part for part in last["content"] if isinstance(part, str)] if last else []
        whole = "\n".join(texts)
        asked, rest = self._question(whole)
        read = _read if len(asked) <= _REMEMBERED else _read.__wrapped__
        text, normal, why_not = read(asked, self.window_tokens, self.time_words)
        # Where texts and other parts stood, and what the others were.
        layout = _layout(last) if last else 0
        earlier = turns[:-1] if last else turns
        scope = digest([_VERSION, self.tenant, self.namespace, self.settings, earlier, layout, rest])
        if last and len(texts) < len(last["content"]):
            why_not = "media"
        return CacheKey(
            exact=digest_of_texts("exact", scope, texts),
            normalised=digest_of_texts("normalised", scope, normal),
            scope=scope,
            text=text,
            semantic=why_not is None,
            why_not=why_not,
        )

    def _question(self, whole: str) -> tuple[str, Any]:
        """The question, and what of its message belongs to the scope."""
        if self.key_text is None:
            return whole, None
        text = self.key_text(whole)
        if self.context_varies:
            return text, None
        before, found, after = whole.rpartition(text)
        return text, [before, after] if found else [whole]


@lru_cache(maxsize=4096)  # what is asked often is read once
def _read(asked: str, window_tokens: int | None, time_words: bool) -> tuple[str, str, str | None]:  # noqa: FBT001  (a key)
    """A question without its courtesies, its normal form, and why it may not be compared by meaning."""
    text = without_courtesy(asked)
    return text, normalise(text), _why_not(text, window_tokens, time_words=time_words)


def _why_not(text: str, window_tokens: int | None, *, time_words: bool) -> str | None:
    if not text.strip():
        return "no user text"
    if window_tokens is not None and exceeds(text, window_tokens):
        return "longer than the encoder reads"
    if time_words and (word := time_word(text)):
        return f"time word: {word}"
    return None


def _layout(turn: Turn) -> Turn:
    """A turn without its texts: where they stood, what stood beside them, and who spoke."""
    return {**turn, "content": [None if isinstance(part, str) else part for part in turn["content"]]}

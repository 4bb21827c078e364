"""Answers of ours as a cache keeps them, and back: field by field, and nothing else, whatever an entry says.

What an answer was (its choices, the model that was asked and the one that served, who served it, what its reply had
beside) is kept; what its call was (ids, times, usage, attempts) is not.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from portkey_router.cache.entry import CorruptEntryError
from portkey_router.cache.policy import answer_of_completion
from portkey_router.cache.results import NewAnswer
from portkey_router.messages import Choice, Chunk, Completion, Cost, Route, Usage
from portkey_router.wire.replies import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portkey_router.cache.entry import Entry

__all__ = ["KIND", "chunks_of_completion", "completion_of_entry", "given_again", "new_answer", "saved_by"]

KIND = "completion"

# Of a reply's body: of the call that was made, or said elsewhere.
_OF_THE_CALL = frozenset(
    {"choices", "created", "error", "hook_results", "id", "model", "object", "service_tier", "usage"}
)
# Of a message: what chunks have a field for.
_IN_CHUNKS = frozenset({"content", "reasoning", "reasoning_content", "refusal", "role"})
_CALLS = ("tool_calls", "function_call")


# ---- to JSON ---------------------------------------------------------------------------------------------------------


def new_answer(completion: Completion, asked: str | None) -> NewAnswer:
    """The answer as it is stored; `asked` is the model that the request names."""
    usage, route = completion.usage, completion.route
    told = {
        "choices": [
            {
                "index": choice.index,
                "message": dict(choice.message),
                "finish_reason": choice.finish_reason,
                "logprobs": None if choice.logprobs is None else dict(choice.logprobs),
            }
            for choice in completion.choices
        ],
        "asked": asked,
        "provider": route.provider,
        "target": route.target,
        "more": {name: value for name, value in completion.raw.items() if name not in _OF_THE_CALL},
    }
    return NewAnswer(
        kind=KIND,
        answer=told,
        alternatives=answer_of_completion(completion),
        model=completion.model,
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        cost=completion.cost.amount if completion.cost else None,
    )


# ---- and back --------------------------------------------------------------------------------------------------------


def completion_of_entry(entry: Entry) -> Completion:
    """The answer of an entry, not yet anybody's: without id, usage and cost. Raises `CorruptEntryError`."""
    told = entry.answer
    if entry.kind != KIND:
        raise CorruptEntryError(f"an answer of the form {entry.kind!r}")
    if not isinstance(told, dict) or not isinstance(told.get("choices"), list) or not told["choices"]:
        raise CorruptEntryError("an answer without choices")
    choices = tuple(_choice(each) for each in told["choices"])
    more = _object(told.get("more"))
    return Completion(
        choices=choices,
        model=entry.model or "",
        route=Route("", _text(told.get("target")) or "", provider=_text(told.get("provider"))),
        raw={name: value for name, value in more.items() if name not in _OF_THE_CALL},
    )


def _choice(told: Any) -> Choice:
    """One alternative; what may never be stored is none."""
    choice = _object(told)
    message = _object(choice.get("message"))
    content, index = message.get("content"), choice.get("index")
    if not isinstance(content, str | list | None) or not isinstance(message.get("role", ""), str):
        raise CorruptEntryError("a message of another form")
    if any(message.get(name) for name in _CALLS) or type(index) is not int:
        raise CorruptEntryError("a choice that is never stored")
    logprobs = None if choice.get("logprobs") is None else _object(choice["logprobs"])
    if not isinstance((logprobs or {}).get("content"), list | None):
        raise CorruptEntryError("logprobs of another form")
    return Choice(message, _text(choice.get("finish_reason")), index, logprobs)


def _object(told: Any) -> dict[str, Any]:
    if not isinstance(told, dict):
        raise CorruptEntryError("no JSON object")
    return told


def _text(told: Any) -> str | None:
    if not isinstance(told, str | None):
        raise CorruptEntryError("no text")
    return told


# ---- given out -------------------------------------------------------------------------------------------------------


def given_again(kept: Completion, cache: Mapping[str, Any], *, id: str, route: Route, created: int) -> Completion:  # noqa: A002  (its name)
    """An answer for one more call, of which it is all that this one has used: nothing. `cache` is told with it.

    Nothing of it is shared with another call, which may change what it was given. `created`: seconds of the epoch.
    """
    choices = tuple(
        Choice(dict(deepcopy(choice.message)), choice.finish_reason, choice.index, deepcopy(choice.logprobs))
        for choice in kept.choices
    )
    usage = Usage(0, 0, 0)
    body = {
        **{name: deepcopy(value) for name, value in kept.raw.items() if name not in _OF_THE_CALL},
        "id": id,
        "object": "chat.completion",
        "created": created,
        "model": kept.model,
        "choices": [
            {
                "index": choice.index,
                "message": choice.message,
                "finish_reason": choice.finish_reason,
                **({} if choice.logprobs is None else {"logprobs": choice.logprobs}),
            }
            for choice in choices
        ],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    }
    return replace(
        kept,
        choices=choices,
        route=replace(route, target=kept.route.target, provider=kept.route.provider),
        usage=usage,
        id=id,
        raw=body,
        cost=Cost(Decimal(0), "cache", kept.route.provider, kept.model),
        cache=cache,
    )


def saved_by(answer: Completion) -> dict[str, Any]:
    """What is told (`Completion.cache`) of an answer that an equal call in flight has brought."""
    usage, cost = answer.usage, answer.cost
    return {
        "layer": "shared",
        "similarity": 1.0,
        "age_seconds": 0.0,
        "saved_input_tokens": usage.input_tokens if usage else None,
        "saved_output_tokens": usage.output_tokens if usage else None,
        "saved_cost": f"{cost.amount:f}" if cost else None,
        "currency": "USD",
    }


def chunks_of_completion(answer: Completion) -> list[Chunk]:
    """A whole answer as a stream tells it: of each choice its thoughts, its text, its end; and last the usage."""
    chunks: list[Chunk] = []
    for choice in answer.choices:
        message = choice.message
        at: dict[str, Any] = {"index": choice.index, "model": answer.model, "id": answer.id}
        thoughts = text_of(message.get("reasoning_content") or message.get("reasoning"))
        extra = {name: value for name, value in message.items() if name not in _IN_CHUNKS and value is not None}
        role = _string(message.get("role"))
        if thoughts or extra:  # in one: the extra fields may say the thoughts once more
            chunks.append(Chunk(reasoning=thoughts, extra=extra or None, role=role, **at))
        text, refusal = text_of(message.get("content")), _string(message.get("refusal"))
        chunks.append(Chunk(content=text, refusal=refusal, logprobs=choice.logprobs, role=role, **at))
        chunks.append(Chunk(finish_reason=choice.finish_reason, **at))
    return [*chunks, Chunk(usage=answer.usage, model=answer.model, id=answer.id)]


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None

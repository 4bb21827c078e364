"""What may be stored: complete answers, and nothing that is wrong to say twice.

`storable` is the default of `cache_if=`, which is any callable of an `Answer` that gives None (store it) or the reason
not to. Answers are stored whatever the temperature: a cache is asked for the same answer again. Requests in flight are
another matter (`shareable`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from portkey_router.messages import Completion

__all__ = ["Answer", "answer_of_completion", "answer_of_generations", "shareable", "storable"]

# Why an answer ended, as OpenAI, Anthropic, Bedrock, Google, Cohere, Ollama and open-source servers say it: by itself.
_COMPLETE = frozenset({"complete", "end_turn", "eos", "eos_token", "stop", "stop_sequence", "stop_token"})
_REASONS = ("finish_reason", "stop_reason", "done_reason", "stopReason", "finishReason")
# A refusal in so many words, where the provider does not mark it; of short answers only, and in English.
_REFUSAL = re.compile(
    r"(?:i['\u2019]?m (?:very |really )?sorry|sorry|i apologi[sz]e|unfortunately|as an ai)?[^.!?]{0,60}"
    r"\bi(?:['\u2019]?m| am)? (?:can(?:['\u2019]t|not| not)|(?:not able|unable) to|won['\u2019]t(?: be able to)?) "
    r"(?:help|assist|comply|fulfil|fulfill|provide|answer|do that|discuss|support|engage)",
    re.IGNORECASE,
)
_SHORT = 400  # characters


@dataclass(frozen=True, slots=True)
class Answer:
    """One alternative of an answer, or the whole of it, whoever gave it.

    `finish_reason` is in lower case, None where the model does not say. `refusal` is what the provider marked as one.
    """

    text: str
    finish_reason: str | None = None
    tool_calls: bool = False
    refusal: str | None = None
    error: str | None = None
    media: bool = False


def storable(answers: Sequence[Answer]) -> str | None:
    """None for an answer that may be stored; else the reason: of several alternatives, the first that may not.

    `empty`, `error`, `tool calls`, `refusal`, or `finish reason: length` (and every other that is not a natural end).
    """
    if not answers:
        return "empty"
    return next((reason for answer in answers if (reason := _why_not(answer))), None)


def _why_not(answer: Answer) -> str | None:
    if answer.error:
        return "error"
    if answer.tool_calls:
        return "tool calls"
    if answer.refusal or (len(answer.text) < _SHORT and _REFUSAL.match(answer.text.lstrip())):
        return "refusal"
    if answer.finish_reason is not None and answer.finish_reason not in _COMPLETE:
        return f"finish reason: {answer.finish_reason}"
    return None if answer.text.strip() or answer.media else "empty"


def shareable(params: Mapping[str, Any]) -> bool:
    """Whether equal requests in flight may be answered by one call: not at a stated temperature above 0.

    Who states one asks for variety, and of several calls at once for several answers. A stored answer is another
    matter: it is served at any temperature.
    """
    temperature = params.get("temperature")
    return not (isinstance(temperature, int | float) and temperature > 0)


def answer_of_completion(completion: Completion) -> list[Answer]:
    """The alternatives of a completion of ours. One without a finish reason was cut short."""
    failed = completion.raw.get("error") or _failed_guardrails(completion.raw.get("hook_results"))
    return [
        Answer(
            text=_text(choice.message.get("content")),
            finish_reason=str(choice.finish_reason or "missing").lower(),
            tool_calls=bool(choice.message.get("tool_calls") or choice.message.get("function_call")),
            refusal=choice.message.get("refusal") or None,
            error=str(failed) if failed else None,
            media=bool(choice.message.get("audio") or choice.message.get("images")),
        )
        for choice in completion.choices
    ]


def _failed_guardrails(results: Any) -> str | None:
    """Portkey's guardrails may fail and let the answer pass (status 246); the body says so."""
    hooks = [hook for group in results.values() for hook in group or ()] if isinstance(results, Mapping) else []
    failed = any(isinstance(hook, Mapping) and hook.get("verdict") is False for hook in hooks)
    return "a guardrail failed" if failed else None


def answer_of_generations(generations: Iterable[Any]) -> list[Answer]:
    """The alternatives of LangChain's generations, of chat models and of plain ones; read by attribute."""
    return [_of_generation(generation) for generation in generations]


def _of_generation(generation: Any) -> Answer:
    message = getattr(generation, "message", None)
    told = [getattr(generation, "generation_info", None), getattr(message, "response_metadata", None)]
    reasons = [each[name] for each in told if isinstance(each, Mapping) for name in _REASONS if each.get(name)]
    more = getattr(message, "additional_kwargs", None) or {}
    content = getattr(message, "content", None)
    blocks = [part for part in content if isinstance(part, Mapping)] if isinstance(content, list) else []
    kinds = {part.get("type") for part in blocks}
    called = getattr(message, "tool_calls", None) or getattr(message, "invalid_tool_calls", None)
    return Answer(
        text=getattr(generation, "text", None) or _text(content),
        finish_reason=str(reasons[0]).lower().removeprefix("finishreason.") if reasons else None,
        tool_calls=bool(called or more.get("function_call") or kinds & {"tool_use", "tool_call", "function_call"}),
        refusal=more.get("refusal") or next((str(part) for part in blocks if part.get("type") == "refusal"), None),
        media=bool(more.get("audio") or more.get("images") or kinds & {"audio", "image", "image_url", "video", "file"}),
    )


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(
        part if isinstance(part, str) else str(part.get("text") or "")
        for part in content or ()
        if isinstance(part, str | Mapping)
    )

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation

from portkey_router.cache.policy import Answer, answer_of_completion, answer_of_generations, shareable, storable
from portkey_router.messages import Choice, Completion, Route

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def completed(*choices: Choice, **more: Any) -> str | None:
    """What the policy says of a completion of ours."""
    return storable(answer_of_completion(Completion(choices, model="m", route=Route("t", "a"), **more)))


def choice(content: Any = "Paris.", finish_reason: str | None = "stop", **message: Any) -> Choice:
    """One alternative."""
    return Choice({"role": "assistant", "content": content, **message}, finish_reason)


def generated(*generations: Any) -> str | None:
    """What the policy says of LangChain's generations."""
    return storable(answer_of_generations(generations))


def chat(content: Any = "Paris.", finish_reason: str | None = "stop", **message: Any) -> ChatGeneration:
    """A generation of a chat model."""
    info = {"finish_reason": finish_reason} if finish_reason else None
    return ChatGeneration(message=AIMessage(content, **message), generation_info=info)


def test_complete_answers_are_stored() -> None:
    """Ours and LangChain's, one alternative or several, text as blocks, an image without a word."""
    parts = [{"type": "text", "text": "Paris."}]
    assert completed(choice()) is None
    assert completed(choice(), choice("Paris, France.")) is None
    assert completed(choice(parts)) is None
    assert completed(choice(None, images=[{"image_url": {"url": "data:"}}])) is None
    assert generated(chat()) is None
    assert generated(chat(parts), chat()) is None
    assert generated(Generation(text="Paris."), Generation(text="Lyon.")) is None


@pytest.mark.parametrize(
    "reason", ["stop", "end_turn", "STOP", "stop_sequence", "COMPLETE", "eos_token", "FinishReason.STOP"]
)
def test_every_providers_natural_end_is_known(reason: str) -> None:
    """Each says it in its own way and place."""
    assert generated(chat(finish_reason=reason)) is None
    assert generated(chat(finish_reason=None, response_metadata={"stop_reason": reason})) is None


@pytest.mark.parametrize(
    "reason", ["length", "max_tokens", "MAX_TOKENS", "content_filter", "SAFETY", "refusal", "new_one"]
)
def test_what_ended_otherwise_is_not_stored(reason: str) -> None:
    """Cut off, filtered, or for a reason nobody knows."""
    told = f"finish reason: {reason.lower()}"
    assert completed(choice(finish_reason=reason)) == told
    assert generated(chat(finish_reason=reason)) == told
    assert generated(chat(finish_reason=None, response_metadata={"stopReason": reason})) == told


def test_an_answer_without_a_finish_reason() -> None:
    """Of ours it was cut short; models of LangChain need not say one."""
    assert completed(choice(finish_reason=None)) == "finish reason: missing"
    assert generated(chat(finish_reason=None)) is None


def test_tool_calls_are_not_stored() -> None:
    """They act on the world of the one who asked."""
    calls = [{"name": "f", "args": {}, "id": "c"}]
    invalid = [{"name": "f", "args": "{", "id": "c", "error": None}]
    assert completed(choice("", tool_calls=[CALL])) == "tool calls"
    assert completed(choice("", function_call={"name": "f"})) == "tool calls"
    assert generated(chat("", tool_calls=calls)) == "tool calls"
    assert generated(chat("", invalid_tool_calls=invalid)) == "tool calls"
    assert generated(chat([{"type": "tool_use", "id": "c", "name": "f", "input": {}}])) == "tool calls"


REFUSALS = [
    "I'm sorry, but I can't help with that.",
    "I cannot assist with that request.",
    "As an AI, I am unable to provide medical advice.",
    "Unfortunately I won\u2019t be able to answer this.",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals_are_not_stored(text: str) -> None:
    """In so many words, or by the provider's mark."""
    assert completed(choice(text)) == "refusal"
    assert generated(chat(text)) == "refusal"
    assert completed(choice("", refusal="No.")) == "refusal"
    assert generated(chat("", additional_kwargs={"refusal": "No."})) == "refusal"
    assert generated(chat([{"type": "refusal", "refusal": "No."}])) == "refusal"


@pytest.mark.parametrize(
    "text", ["I can help you with that.", "You cannot help it.", "Sorry seems to be the hardest word.", "I am able to."]
)
def test_answers_that_only_sound_like_refusals_are_stored(text: str) -> None:
    """And so is a long answer that begins like one."""
    assert completed(choice(text)) is None
    assert completed(choice(REFUSALS[0] + " But this much is known." * 30)) is None


def test_empty_answers_and_errors_are_not_stored() -> None:
    """Nothing to say twice."""
    assert completed(choice("")) == completed(choice(None)) == completed(choice(" \n")) == "empty"
    assert completed() == generated() == "empty"
    assert generated(Generation(text="")) == "empty"
    assert completed(choice(), raw={"error": {"message": "overloaded"}}) == "error"


@pytest.mark.parametrize("hooks", ["before_request_hooks", "after_request_hooks"])
def test_an_answer_whose_guardrails_failed_is_not_stored(hooks: str) -> None:
    """The gateway may let it through with status 246 and say so in the body."""
    assert completed(choice(), raw={"hook_results": {hooks: [{"verdict": True}, {"verdict": False}]}}) == "error"
    assert completed(choice(), raw={"hook_results": {hooks: [{"verdict": True}]}}) is None
    assert completed(choice(), raw={"hook_results": None}) is None


def test_one_bad_alternative_spoils_all() -> None:
    """A part of an answer is not stored."""
    assert completed(choice(), choice(finish_reason="length")) == "finish reason: length"
    assert generated(chat(), chat("")) == "empty"


def test_cache_if_is_any_callable_of_answers() -> None:
    """What a user's own policy is given: text, finish reason and marks, without a framework's classes."""
    (answer,) = answer_of_generations([chat("Paris.")])
    assert answer == Answer("Paris.", "stop")


@pytest.mark.parametrize(
    ("params", "shared"),
    [
        ({}, True),
        ({"temperature": None}, True),
        ({"temperature": 0}, True),
        ({"temperature": 0.0}, True),
        ({"temperature": 0.1}, False),
        ({"temperature": 1}, False),
    ],
)
def test_a_stated_temperature_above_zero_is_not_shared_in_flight(params: dict[str, Any], shared: bool) -> None:
    """Who asks for variety gets an answer for each call; who states nothing does not."""
    assert shareable(params) is shared

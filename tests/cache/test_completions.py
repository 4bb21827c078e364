from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portkey_router.cache.completions import KIND, completion_of_entry, new_answer
from portkey_router.cache.entry import CorruptEntryError, Entry, body_of, entry_of
from portkey_router.messages import Choice, Completion, Cost, Route, Usage

LIMIT = 256 * 1024
MESSAGE = {"role": "assistant", "content": "Hi"}
ANSWER: dict[str, Any] = {
    "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop", "logprobs": None}],
    "asked": "gpt-4o",
    "provider": "openai",
    "target": "one",
    "more": {},
}

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def entry(answer: Any, **more: Any) -> Entry:
    """An entry of this answer."""
    return Entry(**{"kind": KIND, "answer": answer, "text": "Hello", "created": 0.0, "model": "gpt-4o", **more})


def completion(**more: Any) -> Completion:
    """An answer as it came."""
    usage, cost = Usage(5, 2, 7), Cost(Decimal("0.001"), "user", "openai", "gpt-4o")
    route = Route("t-1", "one", provider="openai", request_id="r-1")
    given: dict[str, Any] = {"choices": (Choice(dict(MESSAGE), "stop"),), "model": "gpt-4o-2024", "route": route}
    return Completion(**{**given, "usage": usage, "cost": cost, "id": "c-1", **more})


def stored(answer: Completion) -> Completion:
    """Written as an entry in bytes, and read again."""
    new = new_answer(answer, "gpt-4o")
    written = Entry(new.kind, new.answer, "Hello", 0.0, new.model, new.input_tokens, new.output_tokens, new.cost)
    return completion_of_entry(entry_of(body_of(written, LIMIT)))


@given(
    message=st.dictionaries(st.text(min_size=1, max_size=8), plain, max_size=4),
    content=st.none() | st.text(max_size=20) | st.lists(st.dictionaries(st.text(max_size=4), plain, max_size=2)),
    reason=st.sampled_from(["stop", "end_turn", None]),
    logprobs=st.none() | st.dictionaries(st.text(max_size=4), plain, max_size=2),
    indices=st.lists(st.integers(0, 9), min_size=1, max_size=3),
    more=st.dictionaries(st.text(min_size=1, max_size=8), plain, max_size=3),
)
def test_an_answer_comes_back_as_it_was(
    *, message: Any, content: Any, reason: Any, logprobs: Any, indices: Any, more: Any
) -> None:
    """Messages of any shape, reasons, alternatives, logprobs, the model, the provider; nothing of the call."""
    said = {**message, "role": "assistant", "content": content}
    said = {name: value for name, value in said.items() if name not in {"tool_calls", "function_call"}}
    choices = tuple(Choice(said, reason, index, logprobs) for index in indices)
    raw = {**more, "id": "c-1", "created": 3, "usage": {"total_tokens": 7}, "choices": []}
    back = stored(completion(choices=choices, raw=raw))
    of_the_call = {"choices", "created", "error", "hook_results", "id", "model", "object", "service_tier", "usage"}
    assert back.choices == choices
    assert (back.model, back.route.provider, back.route.target) == ("gpt-4o-2024", "openai", "one")
    assert (back.id, back.usage, back.cost, back.route.trace_id, back.route.request_id) == (None, None, None, "", None)
    assert back.raw == {name: value for name, value in more.items() if name not in of_the_call}


def test_what_the_call_was_is_not_kept() -> None:
    """No id, no trace, no usage, no time is in the entry; what it cost and used is beside the answer."""
    new = new_answer(completion(raw={"id": "c-1", "created": 17, "system": "x", "hook_results": {}}), "gpt-4o")
    assert set(new.answer) == {"choices", "asked", "provider", "target", "more"}
    assert (new.answer["asked"], new.answer["more"]) == ("gpt-4o", {"system": "x"})
    assert (new.kind, new.model, new.input_tokens, new.output_tokens, new.cost) == (
        "completion",
        "gpt-4o-2024",
        5,
        2,
        Decimal("0.001"),
    )


def test_an_answer_of_unknown_usage_and_cost_is_kept() -> None:
    """Unknown stays unknown."""
    new = new_answer(completion(usage=None, cost=None), None)
    assert (new.input_tokens, new.output_tokens, new.cost) == (None, None, None)


WRONG: list[Any] = [
    None,
    [],
    "Hi",
    {},
    {"choices": []},
    {"choices": "Hi"},
    {**ANSWER, "choices": [None]},
    {**ANSWER, "choices": [{"index": 0}]},
    {**ANSWER, "choices": [{"index": "0", "message": MESSAGE}]},
    {**ANSWER, "choices": [{"index": True, "message": MESSAGE}]},
    {**ANSWER, "choices": [{"message": MESSAGE}]},
    {**ANSWER, "choices": [{"index": 0, "message": {**MESSAGE, "content": 3}}]},
    {**ANSWER, "choices": [{"index": 0, "message": {**MESSAGE, "role": 3}}]},
    {**ANSWER, "choices": [{"index": 0, "message": {**MESSAGE, "tool_calls": [{"id": "1"}]}}]},
    {**ANSWER, "choices": [{"index": 0, "message": {**MESSAGE, "function_call": {"name": "rm"}}}]},
    {**ANSWER, "choices": [{"index": 0, "message": MESSAGE, "finish_reason": 3}]},
    {**ANSWER, "choices": [{"index": 0, "message": MESSAGE, "logprobs": []}]},
    {**ANSWER, "choices": [{"index": 0, "message": MESSAGE, "logprobs": {"content": 5}}]},
    {**ANSWER, "provider": 3},
    {**ANSWER, "target": []},
    {**ANSWER, "more": []},
    {"content": "Hi", "lc": 1, "type": "constructor", "id": ["os", "system"]},
]


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_what_is_no_answer_of_ours_is_refused(wrong: Any) -> None:
    """Corrupt, foreign and forged entries, those of tool calls among them: a `ValueError`, which is a miss."""
    with pytest.raises(CorruptEntryError):
        completion_of_entry(entry(wrong))


@given(wrong=plain)
def test_no_entry_brings_anything_else_about(wrong: Any) -> None:
    """Whatever an entry says, it is an answer or a `ValueError`."""
    for answer in (wrong, {**ANSWER, "choices": wrong}, {**ANSWER, "choices": [wrong]}, {**ANSWER, "more": wrong}):
        try:
            made = completion_of_entry(entry(answer))
        except ValueError:
            continue
        assert isinstance(made, Completion)
        assert not made.tool_calls


def test_other_forms_are_somebody_elses() -> None:
    """An entry of LangChain's, or of a text, is none here; and what ours is called, is."""
    assert completion_of_entry(entry(ANSWER)).text == "Hi"
    for kind in ("langchain", "text", "pointer", ""):
        with pytest.raises(ValueError, match="form"):
            completion_of_entry(replace(entry(ANSWER), kind=kind))


def test_an_entry_cannot_speak_for_the_call() -> None:
    """What a forged entry says of ids and usage is not taken over."""
    forged = {**ANSWER, "more": {"id": "forged", "usage": {"total_tokens": 9}, "choices": [], "citations": ["a"]}}
    assert completion_of_entry(entry(forged)).raw == {"citations": ["a"]}

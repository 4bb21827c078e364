from __future__ import annotations

from typing import Any

import pytest

from portkey_router.flow.assembler import Assembler
from portkey_router.messages import Choice, Chunk, Completion, Route, ToolCallDelta, Usage
from portkey_router.wire.stream import StreamDecoder
from tests.core.fakes import delta, usage_event

ROUTE = Route("t-1", "one")


def assembled(*chunks: Chunk, model: str | None = None) -> Completion:
    """What chunks make."""
    assembler = Assembler()
    for chunk in chunks:
        assembler.add(chunk)
    return assembler.completion(ROUTE, model=model)


def streamed(*pieces: bytes) -> Completion:
    """What a stream's bytes make."""
    decoder = StreamDecoder({})
    return assembled(*(chunk for piece in pieces for chunk in decoder.feed(piece)))


def test_text_in_pieces() -> None:
    """Text is joined; the model, the id, the usage and the end are what the stream stated."""
    whole = streamed(delta(role="assistant"), delta(content="Hel"), delta(content="lo"), delta("stop"), usage_event())
    assert whole == Completion(
        (Choice({"role": "assistant", "content": "Hello"}, "stop"),), "gpt-4o", ROUTE, Usage(5, 2, 7), "s-1"
    )


def test_tool_calls_in_pieces() -> None:
    """A call's id and name come once, its arguments in pieces; parallel calls do not mix."""
    whole = streamed(
        delta(tool_calls=[{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": '{"x"'}}]),
        delta(tool_calls=[{"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": ": 1}"}}]),
        delta("tool_calls"),
    )
    assert whole.tool_calls == (
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    )
    assert whole.message["content"] is None
    assert whole.finish_reason == "tool_calls"


@pytest.mark.parametrize("indices", [(0, 0), (None, None), (3, 9)])
def test_parallel_calls_with_broken_indices(indices: tuple[Any, Any]) -> None:
    """Calls that a gateway gave one index, none, or odd ones are still two calls, in order."""
    first, second = ({} if index is None else {"index": index} for index in indices)
    whole = streamed(
        delta(tool_calls=[{**first, "id": "a", "function": {"name": "f", "arguments": ""}}]),
        delta(tool_calls=[{**first, "function": {"arguments": "{1}"}}]),
        delta(tool_calls=[{**second, "id": "b", "function": {"name": "g", "arguments": ""}}]),
        delta(tool_calls=[{**second, "function": {"arguments": "{2}"}}]),
    )
    called = [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in whole.tool_calls]
    assert called == [("a", "f", "{1}"), ("b", "g", "{2}")]


def test_text_beside_a_tool_call_stays() -> None:
    """Only an empty content becomes None beside calls."""
    call = ToolCallDelta(0, "a", "f", "{}")
    assert assembled(Chunk(content="Let me see", tool_calls=(call,))).message["content"] == "Let me see"


def test_several_choices() -> None:
    """Choices grow apart and stand in the order of their index, each with its own end."""
    whole = streamed(
        delta(index=1, content="b"), delta(index=0, content="a"), delta("length", index=1), delta("stop", index=0)
    )
    assert [(choice.index, choice.message["content"], choice.finish_reason) for choice in whole.choices] == [
        (0, "a", "stop"),
        (1, "b", "length"),
    ]


def test_reasoning_refusal_logprobs_and_the_unknown() -> None:
    """Each is kept beside the text, in OpenAI's places."""
    whole = assembled(
        Chunk(reasoning="h", logprobs={"content": [1]}),
        Chunk(reasoning="m", refusal="I ", extra={"annotations": [1]}, logprobs={"content": [2]}),
        Chunk(refusal="won't", finish_reason="stop", logprobs={"content": None}),
    )
    assert whole.message == {
        "role": "assistant",
        "content": "",
        "reasoning_content": "hm",
        "refusal": "I won't",
        "annotations": [1],
    }
    assert whole.choices[0].logprobs == {"content": [1, 2]}


@pytest.mark.parametrize(
    ("chunk", "shown"),
    [
        (Chunk(role="assistant"), False),
        (Chunk(finish_reason="stop"), False),
        (Chunk(usage=Usage(1, 1, 2)), False),
        (Chunk(extra={"annotations": []}), False),
        (Chunk(content="a"), True),
        (Chunk(reasoning="a"), True),
        (Chunk(refusal="a"), True),
        (Chunk(tool_calls=(ToolCallDelta(0, "a", None, ""),)), True),
    ],
)
def test_what_counts_as_shown(chunk: Chunk, shown: bool) -> None:
    """Text, reasoning, a refusal or a tool call is seen by the caller; a role, an end or a count is not."""
    assembler = Assembler()
    assembler.add(chunk)
    assert bool(assembler.told) is shown
    assert chunk.visible is shown


def test_nothing_is_an_empty_answer() -> None:
    """Without a chunk there is one empty choice, under the model that was asked."""
    assert assembled(model="gpt-4o") == Completion((Choice({"role": "assistant", "content": ""}),), "gpt-4o", ROUTE)

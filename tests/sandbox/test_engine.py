"""The answers of the providers, each derived from its request."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from portkey_router.sandbox.embedding import embed
from portkey_router.sandbox.engine import BadRequestError, Moment, complete
from portkey_router.sandbox.schema_fill import fill
from portkey_router.sandbox.streaming import events


def ask(text: str = "Hello there", **body: Any) -> dict[str, Any]:
    """The completion for a user message."""
    return complete({"model": "m", "messages": [{"role": "user", "content": text}], **body}, Moment())


def said(text: str = "Hello there", **body: Any) -> str:
    """The text of the first choice."""
    return str(ask(text, **body)["choices"][0]["message"]["content"])


def tool(name: str, /, **properties: Any) -> dict[str, Any]:
    """A tool that requires all of its properties."""
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def calls(text: str, *tools: dict[str, Any], **body: Any) -> list[tuple[str, Any]]:
    """The tool calls, as (name, arguments)."""
    message = ask(text, tools=list(tools), **body)["choices"][0]["message"]
    listed = message.get("tool_calls", [])
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in listed]


MAGIC = tool("magic_function", input={"type": "integer"})
ADD, MULTIPLY = (tool(name, a={"type": "number"}, b={"type": "number"}) for name in ("add", "multiply"))


# ---- text ------------------------------------------------------------------------------------------------------------


def test_an_answer_names_the_model_and_the_question() -> None:
    """The text is about the last user message, unicode included; the model is echoed."""
    answer = ask("¿Qué tal, 世界?")
    assert answer["model"] == "m"
    assert answer["choices"][0]["message"]["content"] == "m answers to: ¿Qué tal, 世界?"
    assert answer["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("stop", ["Hello", ["nowhere", "there", "Hello"]])
def test_stop_cuts_the_text(stop: Any) -> None:
    """The text ends before the stop sequence that comes first."""
    assert said(stop=stop) == "m answers to: "


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_token_limit_cuts_the_text(name: str) -> None:
    """At the limit the text ends with `length`, and the usage says as many tokens as were allowed."""
    answer = ask("a long question, with words enough", **{name: 4})
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 4


def test_seed_n_and_logprobs() -> None:
    """`n` gives that many different choices, `seed` shows in the fingerprint, `logprobs` lists every token."""
    answer = ask(n=3, seed=7, logprobs=True, top_logprobs=2)
    texts = [choice["message"]["content"] for choice in answer["choices"]]
    assert len(set(texts)) == 3
    assert answer["system_fingerprint"] == "fp_seed_7"
    listed = answer["choices"][0]["logprobs"]["content"]
    assert "".join(entry["token"] for entry in listed) == texts[0]
    assert all(len(entry["top_logprobs"]) == 2 for entry in listed)


def test_attachments_are_counted() -> None:
    """The answer says how many images and files came with the message."""
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    parts = [{"type": "text", "text": "Look"}, image, image, {"type": "file", "file": {}}]
    messages = [{"role": "user", "content": parts}]
    assert said(messages=messages).endswith("With 2 images, 1 file.")


@pytest.mark.parametrize("body", [{}, {"model": "m"}, {"model": "m", "messages": []}, {"model": "m", "messages": "x"}])
def test_a_bad_request(body: dict[str, Any]) -> None:
    """No model, or no list of messages: a bad request, as at OpenAI."""
    with pytest.raises(BadRequestError):
        complete(body, Moment())


# ---- usage -----------------------------------------------------------------------------------------------------------


def test_usage_adds_up() -> None:
    """The total is the sum, and a longer prompt costs more."""
    short, long = ask("Hi")["usage"], ask("Hi " * 50)["usage"]
    assert short["total_tokens"] == short["prompt_tokens"] + short["completion_tokens"]
    assert long["prompt_tokens"] > short["prompt_tokens"]


def test_reasoning() -> None:
    """With `reasoning_effort`, thoughts come beside the answer, and their tokens are counted."""
    answer = ask(reasoning_effort="high")
    assert answer["choices"][0]["message"]["reasoning_content"]
    thought = answer["usage"]["completion_tokens_details"]["reasoning_tokens"]
    assert 0 < thought < answer["usage"]["completion_tokens"]
    assert ask()["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0


@pytest.mark.parametrize(("length", "seen", "cached"), [(2000, True, True), (2000, False, False), (100, True, False)])
def test_cached_tokens(length: int, seen: bool, cached: bool) -> None:
    """A long system prompt that was seen before counts as cached; a new or a short one does not."""
    messages = [{"role": "system", "content": "x" * length}, {"role": "user", "content": "Hi"}]
    usage = complete({"model": "m", "messages": messages}, Moment(prompt_seen=seen))["usage"]
    assert (usage["prompt_tokens_details"]["cached_tokens"] > 0) is cached
    assert usage["prompt_tokens_details"]["cached_tokens"] < usage["prompt_tokens"]


# ---- tools -----------------------------------------------------------------------------------------------------------


def test_a_named_tool_is_called_with_the_number_said() -> None:
    """`magic_function(3)` gives {"input": 3}, and `tool_calls` as the reason."""
    assert calls("What is the value of magic_function(3)? Use the tool.", MAGIC) == [("magic_function", {"input": 3})]
    assert ask("magic_function(3)", tools=[MAGIC])["choices"][0]["finish_reason"] == "tool_calls"


def test_a_quoted_string_is_taken_as_it_is() -> None:
    """Quoted unicode arrives unescaped."""
    create = tool("create_customer", name={"type": "string"})
    text = "Create a customer named '你好啊集团'"
    assert calls(text, create) == [("create_customer", {"name": "你好啊集团"})]


def test_a_tool_is_found_by_its_words() -> None:
    """`get_weather` answers a question about the weather."""
    weather = tool("get_weather", location={"type": "string"})
    ((name, arguments),) = calls("What is the weather in San Francisco, CA?", weather)
    assert (name, "San Francisco" in arguments["location"]) == ("get_weather", True)


def test_parallel_calls() -> None:
    """Each tool named is called with what follows its name; not in parallel, only the first."""
    text = "Call add(1, 2) and multiply(3, 4)"
    both = [("add", {"a": 1, "b": 2}), ("multiply", {"a": 3, "b": 4})]
    assert calls(text, ADD, MULTIPLY) == both
    assert calls(text, ADD, MULTIPLY, parallel_tool_calls=False) == both[:1]


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("none", []),
        ("auto", []),
        ("required", ["magic_function"]),
        ({"type": "function", "function": {"name": "add"}}, ["add"]),
    ],
    ids=["none", "auto", "required", "named"],
)
def test_tool_choice(choice: Any, names: list[str]) -> None:
    """`tool_choice` decides where the text names no tool."""
    assert [name for name, _ in calls("Hello!", MAGIC, ADD, tool_choice=choice)] == names


def test_after_a_tool_result_comes_text() -> None:
    """The answer to a tool's result holds the result; no further call is made."""
    call = {"id": "c", "type": "function", "function": {"name": "magic_function", "arguments": '{"input": 3}'}}
    messages = [
        {"role": "user", "content": "magic_function(3)"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "the answer is 5"},
    ]
    assert calls("", MAGIC, messages=messages) == []
    assert "the answer is 5" in said(messages=messages, tools=[MAGIC])


# ---- values for schemas ----------------------------------------------------------------------------------------------

TEXT = 'Book "Hotel Ada" for 3 nights from 2 to 9 in blue, guests "Åsa" and "Bo"'
SCHEMAS: dict[str, dict[str, Any]] = {
    "scalars": {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "integer"}, "c": {"type": "boolean"}},
        "required": ["a", "b", "c"],
    },
    "nested": {
        "type": "object",
        "properties": {
            "stay": {"type": "object", "properties": {"nights": {"type": "integer"}}, "required": ["nights"]},
            "guests": {"type": "array", "items": {"type": "string"}, "minItems": 2, "uniqueItems": True},
        },
        "required": ["stay", "guests"],
        "additionalProperties": False,
    },
    "references": {
        "$defs": {
            "Node": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
                },
                "required": ["name", "next"],
            }
        },
        "$ref": "#/$defs/Node",
    },
    "bounds": {
        "type": "object",
        "properties": {
            "low": {"type": "integer", "minimum": 100},
            "high": {"type": "number", "exclusiveMaximum": 1},
            "step": {"type": "integer", "multipleOf": 5},
            "short": {"type": "string", "maxLength": 3},
            "long": {"type": "string", "minLength": 40},
        },
        "required": ["low", "high", "step", "short", "long"],
    },
    "formats": {
        "type": "object",
        "properties": {kind: {"type": "string", "format": kind} for kind in ("date", "email", "uuid", "ipv4")},
        "required": ["date", "email", "uuid", "ipv4"],
    },
    "alternatives": {
        "type": "object",
        "properties": {
            "colour": {"enum": ["red", "blue"]},
            "maybe": {"type": ["string", "null"]},
            "either": {"oneOf": [{"type": "null"}, {"type": "number"}]},
            "kind": {"const": "stay"},
            "both": {"allOf": [{"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}]},
        },
        "required": ["colour", "maybe", "either", "kind", "both"],
    },
    "tuple": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
    "map": {"type": "object", "additionalProperties": {"type": "integer"}},
}


@pytest.mark.parametrize("text", [TEXT, "", "no"], ids=["rich", "empty", "poor"])
@pytest.mark.parametrize("name", SCHEMAS)
def test_what_is_filled_is_valid(name: str, text: str) -> None:
    """Whatever the text has to offer, the value is valid under the schema."""
    schema = SCHEMAS[name]
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.Draft202012Validator(schema, format_checker=checker).validate(fill(schema, text))


def test_values_come_from_the_text() -> None:
    """Numbers and quotations in order, an enum's member by name, `name=value` wins."""
    assert fill(SCHEMAS["alternatives"], TEXT)["colour"] == "blue"
    assert fill(SCHEMAS["nested"], TEXT)["stay"] == {"nights": 3}
    assert fill(SCHEMAS["scalars"], 'b=7 and a="x", not 1') == {"a": "x", "b": 7, "c": False}
    numbers = {"type": "array", "items": {"type": "integer"}}
    assert fill(numbers, "sum 4, 8 and 15") == [4, 8, 15]


def test_structured_answers() -> None:
    """`json_schema` is answered by the schema, `json_object` by some object."""
    shape = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMAS["nested"]}}
    jsonschema.validate(json.loads(said(TEXT, response_format=shape)), SCHEMAS["nested"])
    assert isinstance(json.loads(said(TEXT, response_format={"type": "json_object"})), dict)


# ---- streams and embeddings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [{}, {"tools": [MAGIC, ADD]}, {"n": 2}, {"reasoning_effort": "low"}], ids=str)
def test_a_stream_adds_up_to_the_answer(body: dict[str, Any]) -> None:
    """Roles first, a finish reason last, and between them, piece by piece, the whole message."""
    whole = ask("magic_function(3) and add(1, 2)", **body)
    built: dict[int, dict[str, Any]] = {}
    reasons: dict[int, str] = {}
    for event in events(whole, include_usage=False):
        (choice,) = event["choices"]
        message = built.setdefault(choice["index"], {"content": "", "reasoning_content": "", "calls": {}})
        delta = choice["delta"]
        message["content"] += delta.get("content") or ""
        message["reasoning_content"] += delta.get("reasoning_content") or ""
        for call in delta.get("tool_calls", []):
            known = message["calls"].setdefault(call["index"], {"arguments": "", **call})
            known["arguments"] += call["function"]["arguments"]
        if choice["finish_reason"]:
            reasons[choice["index"]] = choice["finish_reason"]
    for choice in whole["choices"]:
        message, streamed = choice["message"], built[choice["index"]]
        assert streamed["content"] == (message["content"] or "")
        assert streamed["reasoning_content"] == message.get("reasoning_content", "")
        arguments = [call["arguments"] for call in streamed["calls"].values()]
        assert arguments == [call["function"]["arguments"] for call in message.get("tool_calls", [])]
        assert reasons[choice["index"]] == choice["finish_reason"]


def test_embeddings() -> None:
    """The same text gives the same vector, of the dimensions asked for; texts that share words lie closer."""
    data = embed({"model": "e", "input": ["a red car", "a red car", "a red bus", "quantum"], "dimensions": 64})["data"]
    first, again, near, far = (row["embedding"] for row in data)
    assert first == again
    assert len(first) == 64

    def dot(left: list[float], right: list[float]) -> float:
        return sum(x * y for x, y in zip(left, right, strict=True))

    assert dot(first, near) > dot(first, far)
    assert dot(first, first) == pytest.approx(1.0, abs=1e-6)
    assert isinstance(embed({"model": "e", "input": "x", "encoding_format": "base64"})["data"][0]["embedding"], str)

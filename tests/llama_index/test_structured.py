from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, Field

from llama_index_portkey import OutputRefusedError, PortkeyLLM, StructuredOutputError
from llama_index_portkey._convert import to_response
from llama_index_portkey.structured import StructuredCall
from portkey_router import Choice, Completion, Fallback, PortkeyError, Route, sandbox
from portkey_router.wire.json_schema import response_format, strict_schema

if TYPE_CHECKING:
    from portkey_router.sandbox import PortkeyDouble

# LlamaIndex's own: StructuredLLM calls `.json()`.
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")


class Person(BaseModel):
    """A person."""

    name: str
    age: int = Field(description="In years.")


PROMPT = PromptTemplate('"{name}" is 36')
ADA = Person(name="Ada", age=36)
VERBS = ("structured_predict", "astructured_predict", "stream_structured_predict", "astream_structured_predict")


def predict(llm: PortkeyLLM, verb: str, **options: Any) -> list[Any]:
    """The objects that a verb gives: one, or a stream's in order."""

    async def arun() -> list[Any]:
        if verb == "astructured_predict":
            return [await llm.astructured_predict(Person, PROMPT, name="Ada", **options)]
        return [each async for each in await llm.astream_structured_predict(Person, PROMPT, name="Ada", **options)]

    if verb == "structured_predict":
        return [llm.structured_predict(Person, PROMPT, name="Ada", **options)]
    if verb == "stream_structured_predict":
        return list(llm.stream_structured_predict(Person, PROMPT, name="Ada", **options))
    return asyncio.run(arun())


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet-4-5"])
def test_every_verb_by_either_way(portkey: PortkeyDouble, verb: str, model: str) -> None:
    """The object, by json_schema or by a tool that must be called, the system prompt kept, a stream's growing."""
    llm = PortkeyLLM(model=model, system_prompt="Be brief.")
    found = predict(llm, verb)
    assert found[-1] == ADA
    assert type(found[-1]) is Person
    if "stream" in verb:
        assert getattr(found[0], "age", None) is None
        assert any(getattr(each, "name", None) for each in found[:-1]), "it grows"
    body = portkey.requests[-1].body
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    if model == "gpt-4o":
        assert body["response_format"]["json_schema"]["strict"] is True
        assert "tools" not in body
    else:
        assert body["tool_choice"] == "required"
        assert body["parallel_tool_calls"] is False
        assert body["tools"][0]["function"]["description"] == "A person."


@pytest.mark.parametrize(
    ("options", "by_schema"),
    [
        ({"model": "gpt-4o"}, True),
        ({"model": "@openai-prod/gpt-4o"}, True),
        ({"model": "@openai-prod/weird-model"}, False),
        ({"strategy": Fallback("gpt-4o", "o3")}, True),
        ({"strategy": Fallback("gpt-4o", "claude-sonnet-4-5")}, False),
        ({"strategy": Fallback("gpt-4o", "o3"), "run_on": "gateway"}, True),
        ({"model": "@openai-prod/weird-model", "should_use_structured_outputs": True}, True),
        ({"model": "gpt-4o", "should_use_structured_outputs": False}, False),
        ({"model": "gpt-4o", "pydantic_program_mode": PydanticProgramMode.FUNCTION}, False),
    ],
)
def test_json_schema_where_every_target_takes_it(portkey: PortkeyDouble, options: Any, by_schema: bool) -> None:
    """Of all models that may answer; a flag and LlamaIndex's mode say otherwise."""
    assert PortkeyLLM(**options).structured_predict(Person, PROMPT, name="Ada") == ADA
    assert ("response_format" in portkey.requests[-1].body) is by_schema


def test_a_calls_own_model_and_options_count(portkey: PortkeyDouble) -> None:
    """`llm_kwargs` are the call's; they are not changed, and the tool is demanded whatever they say."""
    given = {"model": "claude-sonnet-4-5", "temperature": 0.1, "tool_choice": "auto"}
    PortkeyLLM(model="gpt-4o").structured_predict(Person, PROMPT, llm_kwargs=given, name="Ada")
    body = portkey.requests[-1].body
    assert (body["model"], body["temperature"], body["tool_choice"]) == ("claude-sonnet-4-5", 0.1, "required")
    assert "response_format" not in body
    assert given == {"model": "claude-sonnet-4-5", "temperature": 0.1, "tool_choice": "auto"}


@pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet-4-5"])
def test_as_structured_llm(portkey: PortkeyDouble, model: str) -> None:
    """Chat and completion, sync, async and streamed, give the object as `raw`."""
    llm = PortkeyLLM(model=model).as_structured_llm(Person)
    question = [ChatMessage('"Ada" is 36')]
    assert llm.chat(question).raw == ADA
    assert asyncio.run(llm.achat(question)).raw == ADA
    assert llm.complete('"Ada" is 36').raw == ADA
    assert list(llm.stream_chat(question))[-1].raw == ADA

    async def collect() -> list[Any]:
        return [piece async for piece in await llm.astream_chat(question)]

    assert asyncio.run(collect())[-1].raw == ADA


def test_braces_in_messages_are_no_template(portkey: PortkeyDouble) -> None:
    """A message that holds JSON is sent as it is."""
    PortkeyLLM(model="gpt-4o").as_structured_llm(Person).chat([ChatMessage('{"name": "Ada", "age": 36}')])
    assert portkey.requests[-1].body["messages"][0]["content"] == '{"name": "Ada", "age": 36}'


@pytest.mark.parametrize("verb", VERBS)
def test_an_answer_cut_short_is_an_error(portkey: PortkeyDouble, verb: str) -> None:
    """Never an object made of half an answer, streamed or not."""
    with pytest.raises(StructuredOutputError, match=r"Person.*length"):
        predict(PortkeyLLM(model="gpt-4o", max_tokens=2), verb)


def read(by_tool: bool, ended: str = "stop", **message: Any) -> Any:
    """The object in such a message of the gateway's."""
    choice = Choice({"role": "assistant", **message}, finish_reason=ended)
    call = StructuredCall(Person, [], {}, by_tool=by_tool)
    return call.read(to_response(Completion((choice,), "m", Route("t", "a"))))


def test_a_call_cut_short_is_an_error() -> None:
    """Arguments that could be closed are not: the name may be half of one."""
    function = {"name": "Person", "arguments": '{"age": 36, "name": "Ada Lo'}
    with pytest.raises(StructuredOutputError, match=r"Person.*length"):
        read(by_tool=True, ended="length", content=None, tool_calls=[{"id": "1", "function": function}])
    function["arguments"] += 'velace"}'
    found = read(by_tool=True, content=None, tool_calls=[{"id": "1", "function": function}])
    assert found == Person(name="Ada Lovelace", age=36)


def test_a_refusal_and_no_call_are_told() -> None:
    """As errors of our tree that are `ValueError`s too, with the model's own words."""
    for by_tool in (True, False):
        with pytest.raises(OutputRefusedError, match="I will not"):
            read(by_tool, content=None, refusal="I will not")
    with pytest.raises(StructuredOutputError, match="just text"):
        read(by_tool=True, content="just text")
    with pytest.raises(StructuredOutputError, match="Person"):
        read(by_tool=False, content='{"age": 1}')
    assert issubclass(StructuredOutputError, ValueError)
    assert issubclass(StructuredOutputError, PortkeyError)


def test_without_tools_the_schema_is_in_the_prompt(portkey: PortkeyDouble) -> None:
    """LlamaIndex's own way, where neither a schema nor a tool can be sent."""
    llm = PortkeyLLM(model="@openai-prod/weird-model", is_function_calling_model=False)
    prompt = PromptTemplate('"{name}" is 36')  # LlamaIndex leaves its parser in it
    with pytest.raises(ValueError, match="JSON"):  # the double does not read schemas in prompts
        llm.structured_predict(Person, prompt, name="Ada")
    sent = portkey.requests[-1].body
    assert set(sent) == {"model", "messages"}
    assert '"properties"' in json.dumps(sent["messages"]).replace("\\", "")


def test_a_stream_left_early_is_closed(portkey: PortkeyDouble) -> None:
    """Objects are taken until one is enough; then the call ends."""
    from tests.llama_index.test_llm import closed_early

    portkey.always("vk-openai", sandbox.Fault.slow(between=0.2))
    stream = PortkeyLLM(model="gpt-4o").stream_structured_predict(Person, PROMPT, name="Ada Augusta King of Lovelace")
    next(stream)
    stream.close()
    assert closed_early(portkey)


class Nested(BaseModel):
    """Everything that OpenAI's strict form forbids, and what has none."""

    class Inner(BaseModel):
        """An inner one."""

        default: str = "a"

    properties: Inner = Field(description="A property of that name.")
    choice: str | None = None


def test_the_strict_form_of_a_schema() -> None:
    """Every property required, no other allowed, no defaults, notes beside a reference written out."""
    strict = strict_schema(Nested.model_json_schema())
    assert strict is not None
    assert strict["required"] == ["properties", "choice"]
    assert strict["additionalProperties"] is False
    inner = strict["properties"]["properties"]
    assert (inner["description"], inner["required"], inner["additionalProperties"]) == (
        "A property of that name.",
        ["default"],
        False,
    )
    assert inner["properties"]["default"] == {"title": "Default", "type": "string"}
    assert "default" not in strict["properties"]["choice"]


def test_a_schema_without_a_strict_form_is_sent_as_it_is() -> None:
    """A free dict cannot be listed; the name is one that OpenAI takes."""

    class Free(BaseModel):
        notes: dict[str, str]

    assert strict_schema(Free.model_json_schema()) is None
    shape = response_format(Free.model_json_schema(), "Free[a, b]")["json_schema"]
    assert (shape["name"], shape["strict"], shape["schema"]) == ("Free_a__b_", False, Free.model_json_schema())

from __future__ import annotations

import asyncio
import functools
import json
import operator
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import ModelError, OutputParserException
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk
from langchain_core.runnables import AddableDict
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import BaseModel, Field

from langchain_portkey_router import ChatPortkey
from langchain_portkey_router.errors import OutputRefusedError
from langchain_portkey_router.structured import _AnswerParser, _ToolParser
from portkey_router import Fallback

if TYPE_CHECKING:
    from portkey_router.sandbox import PortkeyDouble


class Person(BaseModel):
    """A person."""

    name: str
    age: int = Field(description="in years")


class PersonDict(TypedDict):
    """A person."""

    name: Annotated[str, ..., "the name"]
    age: Annotated[int, ..., "in years"]


@tool
def get_weather(place: str) -> str:
    """Tell the weather at a place."""
    return f"sunny in {place}"


SCHEMAS: list[Any] = [Person, PersonDict, Person.model_json_schema()]
IDS = ["pydantic", "typeddict", "json_schema"]
QUESTION = '"Ada" is 36 years old.'


class Options(BaseCallbackHandler):
    """Keeps what a tracer is told of a call."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def on_chat_model_start(self, *_: Any, **kwargs: Any) -> None:
        """Keep them."""
        self.seen.append(kwargs["options"])


def age_of(found: Any) -> int:
    """The age in an object of any schema; a pydantic schema must have given its class."""
    return found["age"] if isinstance(found, dict) else Person.model_validate(found).age


@pytest.mark.parametrize("schema", SCHEMAS, ids=IDS)
@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
@pytest.mark.parametrize("verb", ["invoke", "ainvoke", "stream", "astream"])
def test_every_schema_by_every_method_and_verb(portkey: PortkeyDouble, schema: Any, method: Any, verb: str) -> None:
    """The object of the schema, by all verbs; tracers are told the schema and the method."""
    options = Options()
    llm = ChatPortkey(model="gpt-4o").with_structured_output(schema, method=method)
    config: Any = {"callbacks": [options]}

    async def streamed() -> list[Any]:
        return [each async for each in llm.astream(QUESTION, config)]

    found = {
        "invoke": lambda: llm.invoke(QUESTION, config),
        "ainvoke": lambda: asyncio.run(llm.ainvoke(QUESTION, config)),
        "stream": lambda: list(llm.stream(QUESTION, config))[-1],
        "astream": lambda: asyncio.run(streamed())[-1],
    }[verb]()
    assert age_of(found) == 36
    assert isinstance(found, Person) == (schema is Person)
    [seen] = options.seen
    assert seen["ls_structured_output_format"]["schema"] == convert_to_json_schema(schema)
    assert seen["ls_structured_output_format"]["kwargs"]["method"] == method


def test_what_each_method_sends(portkey: PortkeyDouble) -> None:
    """json_schema: a schema, strict for classes. function_calling: one tool, demanded. json_mode: JSON of any shape."""
    llm = ChatPortkey(model="gpt-4o")

    def sent(schema: Any, **options: Any) -> dict[str, Any]:
        llm.with_structured_output(schema, **options).invoke(QUESTION)
        return dict(portkey.requests[-1].body)

    shape = sent(Person, method="json_schema")["response_format"]["json_schema"]
    assert (shape["name"], shape["strict"]) == ("Person", True)
    assert shape["schema"]["additionalProperties"] is False
    assert sent(Person, method="json_schema", strict=False)["response_format"]["json_schema"]["strict"] is False
    assert sent(PersonDict, method="json_schema")["response_format"]["json_schema"]["strict"] is False
    body = sent(Person, method="function_calling", strict=True)
    assert body["tool_choice"] == {"type": "function", "function": {"name": "Person"}}
    assert body["parallel_tool_calls"] is False
    assert body["tools"][0]["function"]["strict"] is True
    body = sent(None, method="json_mode")
    assert body["response_format"] == {"type": "json_object"}
    assert "tools" not in body


def test_json_mode_streams_objects(portkey: PortkeyDouble) -> None:
    """With the keys named in the prompt, JSON mode gives the dict as it grows, without a schema."""
    llm = ChatPortkey(model="gpt-4o").with_structured_output(None, method="json_mode")
    pieces = list(llm.stream("Ada is 36. Answer as JSON with the keys 'name' and 'age'."))
    assert len(pieces) > 1
    assert pieces[-1].keys() == {"name", "age"}


@pytest.mark.parametrize(
    ("options", "method"),
    [
        ({"model": "gpt-4o"}, "response_format"),
        ({"model": "openai/gpt-4o-2024-08-06"}, "response_format"),
        ({"model": "claude-sonnet-4-5"}, "tools"),
        ({"model": "gpt-4-turbo"}, "tools"),
        ({"model": "gpt-nobody-knows"}, "tools"),
        ({"strategy": Fallback("gpt-4o", "gpt-4.1")}, "response_format"),
        ({"strategy": Fallback("gpt-4o", "claude-sonnet-4-5")}, "tools"),
        ({"config": "pc-any"}, "tools"),
    ],
)
def test_the_default_is_what_every_target_can(portkey: PortkeyDouble, options: Any, method: str) -> None:
    """json_schema only where each model that may answer is known to keep to one; else a tool."""
    portkey.add_config("pc-any", {"virtual_key": "vk-openai", "override_params": {"model": "gpt-4o"}})
    found = ChatPortkey(**options).with_structured_output(Person).invoke(QUESTION)
    assert isinstance(found, Person)
    assert {"response_format", "tools"} & portkey.requests[-1].body.keys() == {method}


def test_raw_beside_parsed(portkey: PortkeyDouble) -> None:
    """`include_raw` gives the message, the object, and the parser's error instead of raising it."""
    llm = ChatPortkey(model="gpt-4o").with_structured_output(Person, include_raw=True)
    found = llm.invoke(QUESTION)
    assert isinstance(found["raw"], AIMessage)
    assert found["raw"].usage_metadata
    assert (found["parsed"], found["parsing_error"]) == (Person(name="Ada", age=36), None)
    cut = ChatPortkey(model="gpt-4o", max_tokens=3).with_structured_output(Person, include_raw=True).invoke(QUESTION)
    assert cut["parsed"] is None
    assert isinstance(cut["parsing_error"], OutputParserException)
    with pytest.raises(OutputParserException):
        ChatPortkey(model="gpt-4o", max_tokens=3).with_structured_output(Person).invoke(QUESTION)


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
async def test_the_raw_message_streams_with_the_object(portkey: PortkeyDouble, method: Any) -> None:
    """`include_raw` hides no stream: message and object grow together, and sum up to what `invoke` gives."""
    llm = ChatPortkey(model="gpt-4o").with_structured_output(Person, method=method, include_raw=True)
    for chunks in (list(llm.stream(QUESTION)), [chunk async for chunk in llm.astream(QUESTION)]):
        assert len([chunk for chunk in chunks if "raw" in chunk]) > 2
        whole = functools.reduce(operator.add, map(AddableDict, chunks))
        assert (whole["parsed"], whole["parsing_error"]) == (Person(name="Ada", age=36), None)
        assert whole["raw"].usage_metadata
    assert portkey.log("vk-openai")[-1].body["stream"] is True


@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
async def test_a_streamed_parsing_error_is_told_beside_the_raw_message(portkey: PortkeyDouble, method: Any) -> None:
    """Not raised in the midst of the stream, and not kept to itself."""
    llm = ChatPortkey(model="gpt-4o", max_tokens=3).with_structured_output(Person, method=method, include_raw=True)
    for chunks in (list(llm.stream(QUESTION)), [chunk async for chunk in llm.astream(QUESTION)]):
        last = chunks[-1]
        assert isinstance(last["parsing_error"], OutputParserException)
        assert last["parsed"] is None
        assert any("raw" in chunk for chunk in chunks)
    assert len(portkey.requests) == 2


async def test_another_tools_stream_says_that_there_is_no_object(portkey: PortkeyDouble) -> None:
    """The keys are there, however the model answered."""
    llm = ChatPortkey(model="gpt-4o").with_structured_output(Person, tools=[get_weather], include_raw=True)
    for chunks in (
        list(llm.stream('Use get_weather for "Oslo"')),
        [chunk async for chunk in llm.astream('Use get_weather for "Oslo"')],
    ):
        assert chunks[-1] == {"parsed": None, "parsing_error": None}
    assert portkey.requests


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_other_tools_are_kept(portkey: PortkeyDouble, method: Any) -> None:
    """Beside the schema a tool can be called; then there is no object, and the raw message has the call."""
    llm = ChatPortkey(model="gpt-4o").with_structured_output(
        Person, method=method, tools=[get_weather], include_raw=True
    )
    found = llm.invoke('Use get_weather for "Oslo"')
    assert [call["name"] for call in found["raw"].tool_calls] == ["get_weather"]
    assert (found["parsed"], found["parsing_error"]) == (None, None)


def answer(parser: Any, message: AIMessage, *, streamed: bool = False) -> Any:
    """What a parser makes of a message, or of a stream that ends with it."""
    if not streamed:
        return parser.parse_result([ChatGeneration(message=message)])
    chunk = AIMessageChunk(content=message.content, additional_kwargs=message.additional_kwargs, chunk_position="last")
    return parser.parse_result([ChatGenerationChunk(message=chunk)], partial=True)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("parser", [_AnswerParser(pydantic_object=Person), _ToolParser(key_name="Person")])
def test_a_refusal_is_an_error(parser: Any, streamed: bool) -> None:
    """A refusal is told as one, with the message, streamed too; it is no parsing error."""
    refused = AIMessage("", additional_kwargs={"refusal": "I cannot help with that."})
    with pytest.raises(OutputRefusedError, match="cannot help") as caught:
        answer(parser, refused, streamed=streamed)
    assert isinstance(caught.value, ModelError)
    assert caught.value.raw_message.additional_kwargs == refused.additional_kwargs


def test_a_stream_that_ends_without_an_object_is_an_error() -> None:
    """LangChain's own parsers end such a stream in silence."""
    with pytest.raises(OutputParserException, match="no Person"):
        answer(_AnswerParser(pydantic_object=Person), AIMessage('{"name": "Ada"}'), streamed=True)


def test_broken_arguments_are_a_parsing_error() -> None:
    """A call of the schema's tool whose arguments are no JSON is an error that quotes them."""
    call: Any = {"type": "invalid_tool_call", "name": "Person", "args": '{"name"', "id": "1", "error": "no JSON"}
    with pytest.raises(OutputParserException) as caught:
        answer(_ToolParser(key_name="Person", schema_class=Person), AIMessage("", invalid_tool_calls=[call]))
    assert caught.value.llm_output == '{"name"'


def test_mistakes_are_told_at_once() -> None:
    """No schema, an unknown method, strict with json_mode, two answers to strict."""
    llm = ChatPortkey(model="@a/gpt-4o", api_key="k")
    with pytest.raises(ValueError, match="needs a schema"):
        llm.with_structured_output()
    with pytest.raises(ValueError, match="'magic'"):
        llm.with_structured_output(Person, method="magic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="json_mode"):
        llm.with_structured_output(Person, method="json_mode", strict=True)
    framed = {"name": "Person", "strict": False, "schema": Person.model_json_schema()}
    with pytest.raises(ValueError, match="say it once"):
        llm.with_structured_output(framed, method="json_schema", strict=True)


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_a_framed_schema_is_the_schema(portkey: PortkeyDouble, method: Any) -> None:
    """OpenAI's `response_format` and its inner part serve as schemas, by either method."""
    inner = {"name": "Person", "schema": Person.model_json_schema(), "strict": True}
    for framed in (inner, {"type": "json_schema", "json_schema": inner}):
        found = ChatPortkey(model="gpt-4o").with_structured_output(framed, method=method).invoke(QUESTION)
        assert found == {"name": "Ada", "age": 36}
    assert "Person" in json.dumps(portkey.requests[-1].body)


def test_the_override_is_ours() -> None:
    """LangChain's own `with_structured_output` drops `method` and `strict`."""
    assert ChatPortkey.with_structured_output is not BaseChatModel.with_structured_output

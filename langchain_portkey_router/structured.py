"""`with_structured_output`: a model's answer as an object of a schema."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.exceptions import OutputParserException
from langchain_core.output_parsers import BaseCumulativeTransformOutputParser, JsonOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser
from langchain_core.outputs import Generation
from langchain_core.runnables import RunnableGenerator, RunnableMap, RunnablePassthrough, RunnablePick
from langchain_core.utils.function_calling import convert_to_openai_function, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from langchain_portkey_router.errors import OutputRefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from langchain_core.language_models import LanguageModelInput
    from langchain_core.language_models.chat_models import BaseChatModel
    from langchain_core.runnables import Runnable

__all__ = ["Method", "structured_output"]

Method = Literal["json_schema", "function_calling", "json_mode"]


def structured_output(
    model: BaseChatModel,
    schema: dict[str, Any] | type | None,
    *,
    method: Method,
    include_raw: bool,
    strict: bool | None,
    tools: Sequence[Any],
    options: dict[str, Any],
) -> Runnable[LanguageModelInput, Any]:
    """The model with its answer parsed; see `ChatPortkey.with_structured_output`."""
    if schema is None and method != "json_mode":
        raise ValueError("with_structured_output needs a schema; only method='json_mode' goes without.")
    if method == "json_mode" and strict is not None:
        raise ValueError("strict= says how a schema is kept to, and json_mode sends none: use method='json_schema'.")
    if method not in {"json_schema", "function_calling", "json_mode"}:
        raise ValueError(f"method={method!r} is none of 'json_schema', 'function_calling' and 'json_mode'.")
    made_by = {"method": method} if strict is None else {"method": method, "strict": strict}
    if schema is not None:
        options = {"ls_structured_output_format": {"kwargs": made_by, "schema": _bare(schema)}, **options}
    parser: JsonOutputParser | JsonOutputKeyToolsParser
    if method == "function_calling":
        llm, parser = _by_tool(model, schema, strict=strict, tools=tools, options=options)
    else:
        if tools:
            options["tools"] = [convert_to_openai_tool(tool, strict=strict) for tool in tools]
        shape = {"type": "json_object"} if method == "json_mode" else _response_format(schema, strict)
        llm, parser = model.bind(response_format=shape, **options), _AnswerParser(pydantic_object=_class_of(schema))
    return _with_raw(llm, parser) if include_raw else llm | parser


def _by_tool(
    model: BaseChatModel, schema: Any, *, strict: bool | None, tools: Sequence[Any], options: Any
) -> tuple[Runnable[LanguageModelInput, Any], _ToolParser]:
    """The schema as a tool that must be called; beside further tools, one of them all must be."""
    wanted = _bare(schema)
    name = convert_to_openai_tool(wanted)["function"]["name"]
    chosen: dict[str, Any] = {"tool_choice": "any"} if tools else {"tool_choice": name, "parallel_tool_calls": False}
    llm = model.bind_tools([wanted, *tools], strict=strict, **{**chosen, **options})
    return llm, _ToolParser(key_name=name, first_tool_only=True, schema_class=_class_of(schema))


def _class_of(schema: Any) -> Any:
    return schema if isinstance(schema, type) and is_basemodel_subclass(schema) else None


def _bare(schema: Any) -> Any:
    """The schema without the frame of a `response_format`."""
    framed = schema.get("json_schema") if isinstance(schema, dict) and schema.get("type") == "json_schema" else schema
    if isinstance(framed, dict) and "name" in framed and isinstance(framed.get("schema"), dict):
        notes = {"description": framed["description"]} if "description" in framed else {}
        return {"title": framed["name"], **notes, **framed["schema"]}
    return framed


def _response_format(schema: Any, strict: bool | None) -> dict[str, Any]:  # noqa: FBT001  (OpenAI's flag, passed on)
    """OpenAI's `response_format`. Pydantic classes are kept to strictly unless the caller says otherwise."""
    if isinstance(schema, dict) and schema.get("type") == "json_schema" and "json_schema" in schema:
        framed = dict(schema["json_schema"])
    elif isinstance(schema, dict) and "name" in schema and isinstance(schema.get("schema"), dict):
        framed = dict(schema)
    else:
        if strict is None:
            strict = bool(schema.get("strict")) if isinstance(schema, dict) else _class_of(schema) is not None
        function = convert_to_openai_function(schema, strict=strict)
        parameters = function.pop("parameters", {})
        return {"type": "json_schema", "json_schema": {**function, "schema": parameters}}
    if strict is not None and framed.setdefault("strict", strict) != strict:
        raise ValueError(f"The schema says strict={framed['strict']} and the call strict={strict}: say it once.")
    return {"type": "json_schema", "json_schema": framed}


def _with_raw(llm: Runnable[LanguageModelInput, Any], parser: Any) -> Runnable[LanguageModelInput, Any]:
    """`{"raw", "parsed", "parsing_error"}`, an error of the parser kept instead of raised; in streams as they grow.

    LangChain's own way, a fallback of the parser, would hold the stream back, and then raise the error after all.
    """
    parsed = RunnablePassthrough.assign(parsed=RunnablePick("raw") | _KeptErrors(parser=parser))
    return RunnableMap(raw=llm) | parsed | RunnableGenerator(_told, _atold, name="parsing_error")


@dataclass(frozen=True, slots=True)
class _Failed:
    """An answer that could not be parsed."""

    error: Exception


class _KeptErrors(BaseCumulativeTransformOutputParser[Any]):
    """Another parser, whose errors are values."""

    parser: Any

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        try:
            return self.parser.parse_result(result, partial=partial)
        except (ValueError, OutputRefusedError) as error:
            return _Failed(error)

    def parse(self, text: str) -> Any:
        return self.parse_result([Generation(text=text)])


def _told(chunks: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    parsed = False
    for chunk in chunks:
        parsed = parsed or "parsed" in chunk
        yield _in_three(chunk)
    if not parsed:
        yield _in_three({"parsed": None})


async def _atold(chunks: AsyncIterator[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    parsed = False
    async for chunk in chunks:
        parsed = parsed or "parsed" in chunk
        yield _in_three(chunk)
    if not parsed:
        yield _in_three({"parsed": None})


def _in_three(chunk: dict[str, Any]) -> dict[str, Any]:
    if "parsed" not in chunk:
        return chunk
    found = chunk["parsed"]
    error = found.error if isinstance(found, _Failed) else None
    return {**chunk, "parsed": None if error else found, "parsing_error": error}


class _AnswerParser(JsonOutputParser):
    """The answer's JSON, as an instance of the schema's class where there is one; None where a tool is called instead.

    While a stream runs, what has come so far: for a class, once it is valid.
    """

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        partial = _unfinished(result, partial=partial)
        message = getattr(result[0], "message", None)
        if not result[0].text.strip() and (partial or getattr(message, "tool_calls", None)):
            return None
        return _validated(self.pydantic_object, super().parse_result(result, partial=partial), partial=partial)


class _ToolParser(JsonOutputKeyToolsParser):
    """The arguments of the schema's tool; None where another tool is called."""

    schema_class: Any = None

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        partial = _unfinished(result, partial=partial)
        if not partial:
            for call in getattr(getattr(result[0], "message", None), "invalid_tool_calls", ()):
                if call["name"] == self.key_name:
                    raise OutputParserException(f"{self.key_name}: {call['error']}", llm_output=call["args"])
        return _validated(self.schema_class, super().parse_result(result, partial=partial), partial=partial)


def _unfinished(result: list[Generation], *, partial: bool) -> bool:
    """Whether more is to come. A whole answer that is a refusal is raised as one.

    LangChain's parsers never learn that a stream has ended: its last chunk says so.
    """
    message = getattr(result[0], "message", None)
    if partial and getattr(message, "chunk_position", None) != "last":
        return True
    refusal = getattr(message, "additional_kwargs", {}).get("refusal")
    if refusal and not result[0].text:
        raise OutputRefusedError(str(refusal), raw_message=message)
    return False


def _validated(cls: Any, found: Any, *, partial: bool) -> Any:
    if cls is None or found is None:
        return found
    try:
        validate = getattr(cls, "model_validate", None) or cls.parse_obj  # pydantic 2, and pydantic.v1
        return validate(found)
    except ValueError as error:
        if partial:
            return None
        raise OutputParserException(
            f"The answer is no {cls.__name__}: {error}", llm_output=json.dumps(found, ensure_ascii=False)
        ) from error

"""Answers as objects of a pydantic class: `structured_predict`, its twins, and what `as_structured_llm` rests on.

LlamaIndex's own way would lose `system_prompt` where it is awaited, and would not demand the tool where it streams.
"""

from __future__ import annotations

import json
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]  # not listed there
from llama_index.core.instrumentation.events.llm import LLMStructuredPredictEndEvent, LLMStructuredPredictStartEvent
from llama_index.core.program.streaming_utils import process_streaming_content_incremental
from llama_index.core.program.utils import process_streaming_objects
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, ValidationError

from llama_index_portkey.errors import OutputRefusedError, StructuredOutputError
from llama_index_portkey.fields import PortkeyLLMFields
from llama_index_portkey.tools import tool_of
from portkey_router.abilities import common_abilities
from portkey_router.wire.json_schema import response_format

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Sequence

    from llama_index.core.base.llms.types import ChatMessage, ChatResponse
    from llama_index.core.llms import LLM
    from llama_index.core.prompts import BasePromptTemplate, PromptTemplate
    from llama_index.core.types import Model

__all__ = ["StructuredCall", "StructuredOutput"]

dispatcher = get_dispatcher(__name__)


@dataclass(frozen=True, slots=True)
class StructuredCall:
    """A chat that asks for an object: what is sent, and how the object is read from what comes."""

    output_cls: type[BaseModel]
    messages: Sequence[ChatMessage]
    options: dict[str, Any]
    by_tool: bool

    def read(self, response: ChatResponse) -> Any:
        """The object in a whole answer. Raises `StructuredOutputError`, and `OutputRefusedError` for a refusal."""
        message = response.message
        refusal = message.additional_kwargs.get("refusal")
        text = self._arguments(response) if self.by_tool else message.content or ""
        if refusal and not text:
            raise OutputRefusedError(str(refusal))
        try:
            return self.output_cls.model_validate(json.loads(text, strict=False))
        except ValueError as error:
            name, ended = self.output_cls.__name__, response.additional_kwargs.get("finish_reason")
            why = error.errors(include_url=False, include_input=False) if isinstance(error, ValidationError) else error
            raise StructuredOutputError(f"The answer is no {name} (finish_reason {ended!r}): {why}") from error

    def _arguments(self, response: ChatResponse) -> str:
        calls = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
        if calls:
            arguments = calls[0].tool_kwargs
            return arguments if isinstance(arguments, str) else json.dumps(arguments)
        if response.message.additional_kwargs.get("refusal"):
            return ""
        raise StructuredOutputError(
            f"The model called no tool, and so gave no {self.output_cls.__name__}; it said: "
            f"{response.message.content!r}. For a model without tools set is_function_calling_model=False."
        )

    def grow(self, response: ChatResponse, so_far: Any, llm: LLM) -> Any:
        """The object in a piece of a stream: as far as it has come, and at the end as `read` gives it."""
        if "finish_reason" in response.additional_kwargs:
            return self.read(response)
        if response.additional_kwargs.get("portkey"):
            so_far = None  # the stream broke and begins anew
        if self.by_tool:
            known = None if so_far is None else [so_far]
            return process_streaming_objects(response, self.output_cls, known, llm=llm)
        return process_streaming_content_incremental(response, self.output_cls, so_far)


class StructuredOutput(PortkeyLLMFields):
    """LlamaIndex's four verbs for structured output, with one core."""

    def _structured_call(
        self, output_cls: type[Model], prompt: BasePromptTemplate, llm_kwargs: dict[str, Any] | None, given: Any
    ) -> StructuredCall | None:
        """What to ask; None where LlamaIndex is to put the schema into the prompt."""
        options = dict(llm_kwargs or {})
        for name in ("tool_choice", "tool_required", "allow_parallel_tool_calls"):
            options.pop(name, None)  # there is one tool, and it must be called once
        mode = self.pydantic_program_mode
        by_schema = mode == PydanticProgramMode.DEFAULT and self._takes_json_schema(options)
        by_tool = mode in {PydanticProgramMode.DEFAULT, PydanticProgramMode.FUNCTION} and self.is_function_calling_model
        if not (by_schema or by_tool):
            return None
        messages = self._extend_messages(prompt.format_messages(llm=self, **given))
        if by_schema:
            shape = response_format(output_cls.model_json_schema(), output_cls.__name__)
            return StructuredCall(output_cls, messages, {**options, "response_format": shape}, by_tool=False)
        tool = tool_of(output_cls.model_json_schema(), output_cls.__name__, strict=self.strict)
        asked = self._tool_options([tool], "required", options, parallel=False)
        return StructuredCall(output_cls, messages, {**asked, **options}, by_tool=True)

    def _takes_json_schema(self, options: dict[str, Any]) -> bool:
        if self.should_use_structured_outputs is not None:
            return self.should_use_structured_outputs
        abilities = common_abilities(self._possible_models(options))
        return abilities is not None and abilities.json_schema

    def structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """The answer to a prompt as an object of the class; `llm_kwargs` are the call's own arguments.

        Raises `StructuredOutputError` for an answer that does not fit, and `OutputRefusedError` for a refusal.
        """
        call = self._structured_call(output_cls, prompt, llm_kwargs, prompt_args)
        if call is None:
            output: Model = super().structured_predict(output_cls, prompt, llm_kwargs=llm_kwargs, **prompt_args)
            return output
        _started(output_cls, prompt, prompt_args)
        output = call.read(self.chat(call.messages, **call.options))
        return _ended(output)

    async def astructured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """As `structured_predict`, awaited."""
        call = self._structured_call(output_cls, prompt, llm_kwargs, prompt_args)
        if call is None:
            output: Model = await super().astructured_predict(output_cls, prompt, llm_kwargs=llm_kwargs, **prompt_args)
            return output
        _started(output_cls, prompt, prompt_args)
        output = call.read(await self.achat(call.messages, **call.options))
        return _ended(output)

    def _structured_stream_call(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any, None, None]:
        call = self._structured_call(output_cls, prompt, llm_kwargs, prompt_args)
        if call is None:
            yield from super()._structured_stream_call(output_cls, prompt, llm_kwargs, **prompt_args)
            return
        found = None
        with closing(self.stream_chat(call.messages, **call.options)) as responses:
            for response in responses:
                found = call.grow(response, found, self)
                yield found

    async def _structured_astream_call(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        call = self._structured_call(output_cls, prompt, llm_kwargs, prompt_args)
        if call is None:
            return await super()._structured_astream_call(output_cls, prompt, llm_kwargs, **prompt_args)
        return self._growing(call)

    async def _growing(self, call: StructuredCall) -> AsyncGenerator[Any, None]:
        found = None
        async with aclosing(await self.astream_chat(call.messages, **call.options)) as responses:
            async for response in responses:
                found = call.grow(response, found, self)
                yield found


def _started(output_cls: type[BaseModel], prompt: BasePromptTemplate, given: dict[str, Any]) -> None:
    dispatcher.event(LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=given))


def _ended(output: Model) -> Model:
    dispatcher.event(LLMStructuredPredictEndEvent(output=output))
    return output

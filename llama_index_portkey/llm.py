"""PortkeyLLM: a LlamaIndex LLM whose calls the Portkey router carries."""

from __future__ import annotations

from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, TypeVar

from llama_index.core.base.llms.generic_utils import (
    achat_to_completion_decorator,
    astream_chat_to_completion_decorator,
    chat_to_completion_decorator,
    stream_chat_to_completion_decorator,
)
from llama_index.core.base.llms.types import CachePoint, ChatMessage, MessageRole
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback

from llama_index_portkey._convert import StreamedAnswer, to_messages, to_response
from llama_index_portkey.callbacks import told_here
from llama_index_portkey.structured import StructuredOutput
from llama_index_portkey.tools import selections, single_call, to_tools
from portkey_router.abilities import takes_cache_points
from portkey_router.messages import Chunk, Completion
from portkey_router.wire.tool_choice import as_tool_choice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llama_index.core.base.llms.types import (
        ChatResponse,
        ChatResponseAsyncGen,
        ChatResponseGen,
        CompletionResponse,
        CompletionResponseAsyncGen,
        CompletionResponseGen,
    )
    from llama_index.core.llms.llm import ToolSelection
    from llama_index.core.tools.types import BaseTool

    from portkey_router.router import PortkeyRouter

__all__ = ["PortkeyLLM"]

_Method = TypeVar("_Method", bound="Callable[..., Any]")


def _as_chat(method: _Method) -> _Method:
    """LlamaIndex's events around a chat verb; its decorator by itself would forget the verb's types."""
    decorated: _Method = llm_chat_callback()(method)
    return decorated


def _as_completion(method: _Method) -> _Method:
    decorated: _Method = llm_completion_callback()(method)
    return decorated


class PortkeyLLM(StructuredOutput):
    """An LLM on the Portkey AI gateway.

    ```python
    PortkeyLLM(model="gpt-4o")                                # PORTKEY_API_KEY, PORTKEY_VIRTUAL_KEY_OPENAI
    PortkeyLLM(model="@openai-prod/gpt-4o", api_key="pk-...")  # a Model Catalog slug
    PortkeyLLM(strategy=Fallback("@openai-prod/gpt-4o", "@anthropic-prod/claude-sonnet-4-5"))
    PortkeyLLM(config="pc-my-config")                         # a saved config, run by the gateway
    ```

    What is not given comes from the environment and `.env` (see `portkey_router.load_settings`). `OpenAILike`'s
    arguments mean what they mean there: an app that pointed `OpenAILike` at Portkey swaps the class name.

    Answers carry in `additional_kwargs` their token counts and a `portkey` block: trace id, target, provider, every
    attempt, and what it cost (US dollars, as text); of a stream, the last piece does. `raw` is plain JSON. Keys are
    never serialised: `to_dict`, `to_payload`, `repr` and pickle leave them out, and a model so restored takes them
    from the environment; `copy.deepcopy` keeps them.

    Raises `ConfigurationError` at construction where no key fits. Errors of calls are `portkey_router.errors`'.
    """

    # --- the eight verbs -----------------------------------------------------------------------------------------

    @_as_chat
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """The whole answer. Blocks the calling thread; `kwargs` are fields of the body and options of the call."""
        return self._chat(self._framed(messages), **kwargs)

    @_as_chat
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """The answer as it comes; usage and route are on the last piece."""
        return self._stream_chat(self._framed(messages), **kwargs)

    @_as_chat
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """As `chat`, in the running loop."""
        return await self._achat(self._framed(messages), **kwargs)

    @_as_chat
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """As `stream_chat`, in the running loop: `async for piece in await llm.astream_chat(...)`."""
        return await self._astream_chat(self._framed(messages), **kwargs)

    @_as_completion
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: FBT001, FBT002  (LlamaIndex's signature)
        """The whole answer to one text, which is sent as one user message."""
        return chat_to_completion_decorator(self._chat)(self._prompt(prompt, formatted=formatted), **kwargs)

    @_as_completion
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:  # noqa: FBT001, FBT002  (as above)
        """The answer to one text as it comes."""
        ask = stream_chat_to_completion_decorator(self._stream_chat)
        return ask(self._prompt(prompt, formatted=formatted), **kwargs)

    @_as_completion
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: FBT001, FBT002  (as above)
        """As `complete`, in the running loop."""
        return await achat_to_completion_decorator(self._achat)(self._prompt(prompt, formatted=formatted), **kwargs)

    @_as_completion
    async def astream_complete(
        self,
        prompt: str,
        formatted: bool = False,  # noqa: FBT001, FBT002  (as above)
        **kwargs: Any,
    ) -> CompletionResponseAsyncGen:
        """As `stream_complete`, in the running loop."""
        ask = astream_chat_to_completion_decorator(self._astream_chat)
        return await ask(self._prompt(prompt, formatted=formatted), **kwargs)

    # --- their core, without LlamaIndex's events: a completion is a chat, and would be told twice ----------------

    def _chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        router, sent, options = self._prepare(messages, kwargs)
        return to_response(router.complete(sent, **options))

    async def _achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        router, sent, options = self._prepare(messages, kwargs)
        return to_response(await router.acomplete(sent, **options))

    def _stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        router, sent, options = self._prepare(messages, kwargs, stream=True)

        began = router.run_stream(sent, **options)  # here, in the call's own span; sent when it is read

        def pieces() -> ChatResponseGen:
            answer = StreamedAnswer()
            with closing(began) as items:
                for item in items:
                    piece = _piece(answer, item)
                    if piece is not None:
                        yield piece

        return pieces()

    async def _astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        router, sent, options = self._prepare(messages, kwargs, stream=True)

        began = router.arun_stream(sent, **options)  # as above

        async def pieces() -> ChatResponseAsyncGen:
            answer = StreamedAnswer()
            async with aclosing(began) as items:
                async for item in items:
                    piece = _piece(answer, item)
                    if piece is not None:
                        yield piece

        return pieces()

    # --- what a call is made of ----------------------------------------------------------------------------------

    def _framed(self, messages: Sequence[ChatMessage]) -> Sequence[ChatMessage]:
        """The messages; of a model that is no chat model, as one text."""
        if self.is_chat_model or self.messages_to_prompt is None:
            return messages
        return [ChatMessage(role=MessageRole.USER, content=self.messages_to_prompt(messages))]

    def _prompt(self, prompt: str, *, formatted: bool) -> str:
        return prompt if formatted or self.completion_to_prompt is None else self.completion_to_prompt(prompt)

    def _prepare(
        self, messages: Sequence[ChatMessage], kwargs: dict[str, Any], *, stream: bool = False
    ) -> tuple[PortkeyRouter, list[dict[str, Any]], dict[str, Any]]:
        """The router, and the messages and arguments of its verbs: the model's own, with the call's over them."""
        router = self._the_router()
        own = {"modalities": self.modalities, "audio": self.audio_config}
        options = {**own, **self._call_options(self.model, told_here(kwargs, self.callback_manager), stream=stream)}
        options.pop("use_chat_completions", None)  # of OpenAI's class; there is no other way here
        if not stream:
            options.pop("stream_options", None)
        marked = any(isinstance(block, CachePoint) for message in messages for block in message.blocks)
        cache_points = marked and takes_cache_points(self._possible_models(options))
        return router, to_messages(messages, cache_points=cache_points), options

    # --- tools ---------------------------------------------------------------------------------------------------

    def _prepare_chat_with_tools(  # noqa: PLR0917  (LlamaIndex's signature)
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,  # noqa: ARG002, FBT001, FBT002  (as above)
        allow_parallel_tool_calls: bool = False,  # noqa: FBT001, FBT002  (as above)
        tool_required: bool = False,  # noqa: FBT001, FBT002  (as above)
        tool_choice: str | dict[str, Any] | None = None,
        strict: bool | None = None,  # noqa: FBT001  (as above)
        **kwargs: Any,
    ) -> dict[str, Any]:
        """The arguments of `chat` that hand over the tools; `tool_choice` is a tool's name, or OpenAI's."""
        messages = list(chat_history or ())  # a copy: the caller's history stays as it is
        if user_msg:
            messages.append(
                ChatMessage(role=MessageRole.USER, content=user_msg) if isinstance(user_msg, str) else user_msg
            )
        specs = to_tools(tools, strict=self.strict if strict is None else strict)
        choice = as_tool_choice(tool_choice, specs) or ("required" if tool_required else "auto")
        options = self._tool_options(specs, choice, kwargs, parallel=allow_parallel_tool_calls)
        return {"messages": messages, **options, **kwargs}

    def _validate_chat_with_tools_response(
        self,
        response: ChatResponse,
        tools: Sequence[BaseTool],  # noqa: ARG002  (LlamaIndex's signature)
        allow_parallel_tool_calls: bool = False,  # noqa: FBT001, FBT002  (as above)
        **kwargs: Any,  # noqa: ARG002  (as above)
    ) -> ChatResponse:
        return response if allow_parallel_tool_calls else single_call(response)

    def get_tool_calls_from_response(
        self,
        response: ChatResponse,
        error_on_no_tool_call: bool = True,  # noqa: FBT001, FBT002  (LlamaIndex's signature)
        **kwargs: Any,  # noqa: ARG002  (as above)
    ) -> list[ToolSelection]:
        """The tool calls of an answer, or as far as they have come in a piece of a stream.

        Raises `ValueError` where there is none, unless `error_on_no_tool_call` is False, and `StructuredOutputError`
        where a whole answer's arguments are no JSON object: they are cut short, and are not guessed.
        """
        found = selections(response)
        if not found and error_on_no_tool_call:
            raise ValueError(f"Expected a tool call, and the model made none; it said: {response.message.content!r}")
        return found


def _piece(answer: StreamedAnswer, item: Chunk | Completion) -> ChatResponse | None:
    return answer.add(item) if isinstance(item, Chunk) else to_response(item, delta="")

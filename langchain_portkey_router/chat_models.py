"""ChatPortkey: a LangChain chat model whose calls the Portkey router carries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.load import dumpd
from langchain_core.utils.function_calling import convert_to_openai_tool

from langchain_portkey_router._blocks import register
from langchain_portkey_router._convert import MODEL_PROVIDER, to_chunk, to_last_chunk, to_messages, to_result
from langchain_portkey_router._replay import as_hits, cache_of, chunks_of
from langchain_portkey_router._restart import RestartableChunk
from langchain_portkey_router.cache_key import (
    cache_key,
    config_mark,
    decides_by_metadata,
    metadata_header,
    route_headers,
)
from langchain_portkey_router.caching import (
    CALL,
    Asked,
    CacheCall,
    Refreshed,
    chosen_cache,
    give_out,
    hit_id,
    without_wishes,
)
from langchain_portkey_router.errors import as_langchain_errors
from langchain_portkey_router.fields import PortkeyFields
from langchain_portkey_router.runs import call_of_run, noted_run, with_noted_run
from langchain_portkey_router.structured import Method, structured_output
from portkey_router.messages import CacheUse, Chunk, Completion
from portkey_router.tokens import tokens_of_messages, tokens_of_text
from portkey_router.wire.tool_choice import as_tool_choice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.language_models.base import LangSmithParams
    from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
    from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, Generation
    from langchain_core.runnables import Runnable, RunnableConfig
    from langchain_core.tools import BaseTool

    from portkey_router.router import PortkeyRouter

    RunManager = CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun

__all__ = ["ChatPortkey"]

register(MODEL_PROVIDER)


class ChatPortkey(PortkeyFields):
    """A chat model on the Portkey AI gateway.

    ```python
    ChatPortkey(model="gpt-4o")                                # PORTKEY_API_KEY, PORTKEY_VIRTUAL_KEY_OPENAI
    ChatPortkey(model="@openai-prod/gpt-4o", api_key="pk-...")  # a Model Catalog slug
    ChatPortkey(strategy=Fallback("@openai-prod/gpt-4o", "@anthropic-prod/claude-sonnet-4-5"))
    ChatPortkey(config="pc-my-config")                         # a saved config, run by the gateway
    ```

    What is not given comes from the environment and `.env` (see `portkey_router.load_settings`). `ChatOpenAI`'s
    arguments mean what they mean there: an app that pointed `ChatOpenAI` at Portkey swaps the class name.

    Answers carry `usage_metadata`, and in `response_metadata` the `model_name` that served them and a `portkey` block:
    trace id, target, provider, every attempt, the gateway's cache status. Keys are never serialised: `dumpd`, `repr`
    and pickle leave them out, and a model so restored takes them from the environment; `copy.deepcopy` keeps them.

    Raises `ConfigurationError` at construction where no key fits. Errors of calls are `portkey_router`'s and
    `langchain_core.exceptions`' at once (`UpstreamRateLimitError` is a `ModelRateLimitError`, and so on).
    """

    # --- what LangChain asks of a model -------------------------------------------------------------------------

    @property
    def _llm_type(self) -> str:
        return "portkey-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name, **self._body_fields(), **self.lc_attributes}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = MODEL_PROVIDER
        model = kwargs.get("model") or self.model_name
        if model:
            params["ls_model_name"] = model
        tokens = kwargs.get("max_tokens") or self.max_tokens or self.max_completion_tokens
        if tokens:
            params["ls_max_tokens"] = tokens
        stop = stop or self._stop()
        if stop:
            params["ls_stop"] = stop
        return params

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """The key of LangChain's cache, made anew each time: fields may have changed, and the base class remembers."""
        call: CacheCall | None = kwargs.pop(CALL, None)
        router = self._the_router()
        given = kwargs.get("portkey_config") or kwargs.get("config") or self.portkey_config
        config = given or router.settings.config
        strategy = kwargs.get("strategy") or self.strategy
        default = (
            None if strategy or config else router.settings.default_strategy(kwargs.get("model") or self.model_name)
        )
        headers = route_headers(self.default_headers, kwargs.get("extra_headers"))
        more: dict[str, Any] = {
            "gateway": router.settings.base_url,
            "route_headers": headers,
            "config": config_mark(config),
            "default_strategy": default,
        }
        if config or "x-portkey-config" in headers or decides_by_metadata(strategy):
            more["decided_by"] = {
                **(self.portkey_metadata or {}),
                **(kwargs.get("portkey_metadata") or {}),
                **metadata_header(self.default_headers, kwargs.get("extra_headers")),
            }
        if call is not None and not call.ours:
            apart = {"tenant": call.use.tenant, "namespace": call.use.namespace}  # which other caches do not have
            more["apart"] = {name: value for name, value in apart.items() if value}
        key = cache_key(dumpd(self)["kwargs"], {**without_wishes(kwargs), "stop": stop}, more)
        return key if call is None else call.key(key)

    # --- token counts before a call: estimates, nothing is downloaded (see `portkey_router.tokens`) -------------------

    def get_num_tokens(self, text: str) -> int:
        """About how many tokens a text is; exactly, where `custom_get_token_ids` is given."""
        return super().get_num_tokens(text) if self.custom_get_token_ids else tokens_of_text(text)

    def get_num_tokens_from_messages(
        self,
        messages: list[BaseMessage],
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool] | None = None,
    ) -> int:
        """About how many tokens a request is, its tools, images and files included."""
        if self.custom_get_token_ids:
            return super().get_num_tokens_from_messages(messages)
        return tokens_of_messages(to_messages(messages), [convert_to_openai_tool(tool) for tool in tools or ()])

    # --- calls --------------------------------------------------------------------------------------------------

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = self._cache_call(kwargs)
        router, options = self._prepare(stop, kwargs, run_manager)
        with as_langchain_errors:
            completion = router.complete(to_messages(messages), **options, cache_use=call.for_router())
        call.keeps(completion)
        return to_result(completion)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = self._cache_call(kwargs)
        router, options = self._prepare(stop, kwargs, run_manager)
        with as_langchain_errors:
            completion = await router.acomplete(to_messages(messages), **options, cache_use=call.for_router())
        call.keeps(completion)
        return to_result(completion)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        call, asked = self._asked(messages, stop, kwargs)
        router, options = self._prepare(stop, kwargs, run_manager, stream=True)
        if asked and (found := asked.look_up()):
            for piece in self._replay(found, call, router, options):
                if run_manager is not None:
                    run_manager.on_llm_new_token(piece.text, chunk=piece)
                yield piece
            return
        restarts = _restarts(router, options)
        with as_langchain_errors:
            for item in router.run_stream(to_messages(messages), **options, cache_use=call.for_router()):
                if isinstance(item, Completion) and call.keeps(item) and asked:
                    asked.keep(item)
                chunk = _piece(item, restarts=restarts)
                if chunk is None:
                    continue
                if run_manager is not None:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        call, asked = self._asked(messages, stop, kwargs)
        router, options = self._prepare(stop, kwargs, run_manager, stream=True)
        if asked and (found := await asked.alook_up()):
            for piece in self._replay(found, call, router, options):
                if run_manager is not None:
                    await run_manager.on_llm_new_token(piece.text, chunk=piece)
                yield piece
            return
        restarts = _restarts(router, options)
        items = router.arun_stream(to_messages(messages), **options, cache_use=call.for_router())
        try:
            with as_langchain_errors:
                async for item in items:
                    if isinstance(item, Completion) and call.keeps(item) and asked:
                        await asked.akeep(item)
                    chunk = _piece(item, restarts=restarts)
                    if chunk is None:
                        continue
                    if run_manager is not None:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk
        finally:
            await items.aclose()  # a consumer who leaves early must not leave the socket to the garbage collector

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: dict[str, Any] | str | bool | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Give the model tools.

        `tool_choice`: a tool's name, `"auto"`, `"none"`, `"any"` (or `"required"`, or True) to demand one, or OpenAI's
        own dict. `strict`: hold arguments to the schema exactly. `parallel_tool_calls=False`: one call at a time.
        """
        formatted = [convert_to_openai_tool(tool, strict=strict) for tool in tools]
        choice = as_tool_choice(tool_choice, formatted)
        if choice is not None:
            kwargs["tool_choice"] = choice
        if parallel_tool_calls is not None:
            kwargs["parallel_tool_calls"] = parallel_tool_calls
        return super().bind(tools=formatted, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: Method | None = None,
        include_raw: bool = False,
        strict: bool | None = None,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool] | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """The model with answers as objects of a schema: a pydantic class, a TypedDict, a JSON schema, a tool.

        `method`: `"json_schema"` (the provider keeps to the schema), `"function_calling"` (the schema is a tool that
        must be called), `"json_mode"` (JSON of any shape; say in the prompt which). By default `json_schema` where
        every model that may answer is known to take it, else `function_calling`.

        `strict` is OpenAI's; by default pydantic classes are strict with `json_schema`. `include_raw=True` gives
        `{"raw", "parsed", "parsing_error"}`. `tools` are further tools; where one of them is called, the parsed answer
        is None. Other arguments go to the call. Streams give the object as it grows.

        Raises `OutputParserException` for an answer that does not fit, and `OutputRefusedError` for a refusal.
        """
        if method is None:
            method = "json_schema" if (self.profile or {}).get("structured_output") else "function_calling"
        return structured_output(
            self,
            schema,
            method=method,
            include_raw=include_raw,
            strict=strict,
            tools=tools or (),
            options=kwargs,
        )

    # --- LangChain tells `_stream` nothing of its run, so it is noted before ----------------------------------------

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002  (LangChain's name)
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """The answer's chunks as they come."""
        return super().stream(input, with_noted_run(config), **kwargs)

    def astream(
        self,
        input: LanguageModelInput,  # noqa: A002  (LangChain's name)
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """The answer's chunks as they come, in the running loop."""
        return super().astream(input, with_noted_run(config), **kwargs)

    # --- the cache: LangChain asks it for whole answers, and not for streams ---------------------------------------

    def _generate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = chosen_cache(self.cache, kwargs)
        asks = super(ChatPortkey, self._with_wishes(call))._generate_with_cache
        with noted_run(run_manager):
            result = asks(messages, stop=stop, run_manager=run_manager, **{**kwargs, CALL: call})
        return self._given_out(result, call, stop, kwargs, run_manager)

    async def _agenerate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = chosen_cache(self.cache, kwargs)
        asks = super(ChatPortkey, self._with_wishes(call))._agenerate_with_cache
        with noted_run(run_manager):
            result = await asks(messages, stop=stop, run_manager=run_manager, **{**kwargs, CALL: call})
        return self._given_out(result, call, stop, kwargs, run_manager)

    def _with_wishes(self, call: CacheCall) -> ChatPortkey:
        """The model whose cache does what the call wants: itself, but where LangChain would ask one that cannot."""
        if call.cache is None or call.ours or not (call.use.off or call.use.refresh):
            return self
        return self.model_copy(update={"cache": False if call.use.off else Refreshed(call.cache)})

    def _convert_cached_generations(self, cache_val: list[Generation]) -> list[ChatGeneration]:
        """LangChain's hits, as they are given out."""
        return as_hits(super()._convert_cached_generations(cache_val))

    def _given_out(
        self,
        result: ChatResult,
        call: CacheCall,
        stop: list[str] | None,
        kwargs: dict[str, Any],
        run_manager: RunManager | None,
    ) -> ChatResult:
        """A hit gets an id, as an answer of a model does, and is told."""
        if call.asked or not result.generations or cache_of(result.generations[0].message) is None:
            return result
        for index, generation in enumerate(result.generations):
            generation.message.id = hit_id(run_manager, index)
        router, options = self._prepare(stop, kwargs, run_manager)
        give_out(router, options, result.generations, began=call.began, streamed=False)
        return result

    def _asked(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]
    ) -> tuple[CacheCall, Asked | None]:
        """For a stream: its call, and what is asked of the cache; None where LangChain has done that."""
        if CALL in kwargs:
            return self._cache_call(kwargs), None
        call = chosen_cache(self.cache, kwargs)
        key = self._get_llm_string(stop, **kwargs, **{CALL: call}) if call.cache else ""
        return call, Asked.of(call, messages, key, self.output_version)

    def _replay(
        self, found: list[Generation], call: CacheCall, router: PortkeyRouter, options: dict[str, Any]
    ) -> Iterator[ChatGenerationChunk]:
        """A hit, as a stream brings it."""
        generations = self._convert_cached_generations(found)
        give_out(router, options, generations, began=call.began, streamed=True)
        return chunks_of(generations[0])

    # --- what a call is made of ---------------------------------------------------------------------------------

    def _cache_call(self, kwargs: dict[str, Any]) -> CacheCall:
        """Taken out of the arguments, where LangChain's entry has put it; a call without it asks no cache."""
        call: CacheCall | None = kwargs.pop(CALL, None)
        return CacheCall(None, CacheUse(off=True)) if call is None else call

    def _prepare(
        self, stop: list[str] | None, kwargs: dict[str, Any], run_manager: RunManager | None, *, stream: bool = False
    ) -> tuple[PortkeyRouter, dict[str, Any]]:
        """The router, and the arguments of its verbs: the model's own, with the call's over them."""
        given = without_wishes({**kwargs, "stop": stop} if stop else kwargs)
        given = call_of_run(given, run_manager)
        return self._the_router(), self._call_options(self.model_name, given, stream=stream)


def _restarts(router: PortkeyRouter, options: dict[str, Any]) -> bool:
    """Whether a stream of this call may begin anew."""
    return (options.get("on_stream_break") or router.policy.on_stream_break) == "restart"


def _piece(item: Chunk | Completion, *, restarts: bool) -> ChatGenerationChunk | None:
    """A chunk as LangChain's; None for one that says nothing the last chunk will not say."""
    if isinstance(item, Completion):
        chunk = to_last_chunk(item)
    elif item.index or not (item.visible or item.logprobs or item.extra or item.reset):
        return None
    else:
        chunk = to_chunk(item)
    return RestartableChunk(message=chunk.message, generation_info=chunk.generation_info) if restarts else chunk

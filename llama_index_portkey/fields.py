"""What our models are set to in LlamaIndex: fields, how they are written down, and what LlamaIndex is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from llama_index.core.base.llms.types import LLMMetadata
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.schema import BaseComponent
from pydantic import AliasChoices, ConfigDict, Field, SecretStr, field_serializer, field_validator, model_validator

from portkey_router.abilities import abilities_of, takes_parallel_switch
from portkey_router.call_arguments import route_options
from portkey_router.describe import strategy_to_dict
from portkey_router.fields import ChatFields, RouterFields, without_keys
from portkey_router.planner import is_saved
from portkey_router.targets import leaves

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["UNKNOWN_WINDOW", "LlamaIndexFields", "PortkeyLLMFields"]

UNKNOWN_WINDOW = 128_000
"""Tokens: the context window of a model that nothing is known of. A prompt too long is then told by the provider."""

# Arguments of `OpenAILike` for which there is nothing to set: connections are always reused, ...
_WITHOUT_EFFECT = frozenset({"api_version", "reuse_client", "tokenizer"})
_OF_OPENAIS_CLIENT = frozenset({"async_http_client", "async_openai_client", "http_client", "openai_client"})


class LlamaIndexFields(RouterFields, BaseComponent):
    """The fields of a router as LlamaIndex's models name them, and how they are written down: without keys."""

    api_key: SecretStr | str | None = Field(default=None, exclude=True, repr=False)
    """Portkey's key, by default `PORTKEY_API_KEY`; the Authorization bearer where `default_headers` hold Portkey's."""
    base_url: str | Sequence[str] | None = None
    """The gateway, by default `PORTKEY_GATEWAY_URL`, else Portkey's own; of a list, the next where one fails."""
    api_base: str | None = None
    """The same, under the name that `OpenAILike` has for it."""
    portkey_config: str | dict[str, Any] | None = Field(
        default=None, alias="config", repr=False, validation_alias=AliasChoices("config", "portkey_config")
    )
    """A saved gateway config (`pc-...`), or a whole one; per call `portkey_config=`."""
    timeout: float | None = None
    """Seconds for a whole call with all its attempts; 600 by default."""

    additional_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Further fields of the request's body."""
    _body_field: ClassVar[str] = "additional_kwargs"

    model_config = ConfigDict(
        populate_by_name=True,
        arbitrary_types_allowed=True,
        extra="forbid",
        hide_input_in_errors=True,
        protected_namespaces=(),
    )

    @field_validator("api_key", mode="after")
    @classmethod
    def _hide_key(cls, value: SecretStr | str | None) -> SecretStr | None:
        return SecretStr(value) if isinstance(value, str) else value

    @field_serializer("portkey_config")
    def _write_config(self, value: Any) -> Any:
        return value if value is not None and is_saved(value) else None  # a whole one may hold keys

    def __getstate__(self) -> dict[str, Any]:
        """Pickle keeps no keys; the restored model takes them from the environment."""
        kept = self.model_copy()
        kept._router = None  # noqa: SLF001  (of our own class)
        vars(kept).update(without_keys(vars(kept)))
        return super(LlamaIndexFields, kept).__getstate__()

    def _router_arguments(self) -> dict[str, Any]:
        return {
            **super()._router_arguments(),
            "api_key": self.api_key,
            "base_url": self.base_url or self.api_base,
            "timeout": self.timeout,
        }


class PortkeyLLMFields(LlamaIndexFields, ChatFields, FunctionCallingLLM):
    """The fields of `PortkeyLLM`: those that it shares with `ChatPortkey`, and those of `OpenAILike`."""

    model: str | None = None
    """The model: `gpt-4o`, `@slug/model`, `provider/model`."""
    context_window: int | None = None
    """Tokens; by default what is known of the model, else 128,000."""
    is_chat_model: bool = True
    """False: LlamaIndex hands over prompts as one text, which is sent as one user message."""
    is_function_calling_model: bool = True
    """False: agents reason in text (ReAct) instead of calling tools."""
    should_use_structured_outputs: bool | None = None
    """Whether structured output comes by `json_schema`; by default where every model that may answer is known to take
    it, else by a tool."""
    strict: bool = False
    """Whether tools are strict, as OpenAI means it."""
    cache: Any = Field(default=None, exclude=True, repr=False)
    """Answers what was asked before, or alike: a `portkey_router.SemanticCache`, or the URL of a store (equal questions
    only). By default what `PORTKEY_CACHE_ENABLED` says; False: none. A call may say `no_cache=`, `refresh=`,
    `cache_ttl=`, `cache_tags=`, `tenant=`, `namespace=` (see `PortkeyRouter.request`). Never serialised."""
    modalities: list[str] | None = None
    audio_config: dict[str, Any] | None = None
    """OpenAI's `audio`: `{"voice": "alloy", "format": "mp3"}`."""

    @model_validator(mode="before")
    @classmethod
    def _take_as_openai_like_does(cls, values: Any) -> Any:
        """`OpenAILike`'s arguments that are no fields here, and headers among the body's fields, where keys may be."""
        if not isinstance(values, dict):
            return values
        kept = {name: value for name, value in values.items() if name not in _WITHOUT_EFFECT}
        for name in _OF_OPENAIS_CLIENT & kept.keys():
            if kept.pop(name) is not None:
                raise ValueError(f"{name} is of OpenAI's client, which is not used: connections are the router's own.")
        if "metadata" in kept:
            kept["portkey_metadata"] = kept.pop("metadata")
        further = dict(kept.get("additional_kwargs") or {})
        if headers := further.pop("extra_headers", None):
            kept["default_headers"] = {**(kept.get("default_headers") or {}), **headers}
            kept["additional_kwargs"] = further
        return kept

    if not TYPE_CHECKING:  # type checkers read the signature off the fields

        def __init__(self, model: str | None = None, **kwargs: Any) -> None:
            super().__init__(model=model, **kwargs)
            # Not in a validator: pydantic would wrap our error in its own.
            router = self._the_router()
            if self.model or self.strategy or self.portkey_config:
                router.plan_for(self.model)  # a model that no key fits is told now, not at the first call

    def _router_arguments(self) -> dict[str, Any]:
        return {**super()._router_arguments(), "model": self.model, "cache": self.cache}

    def _possible_models(self, options: Mapping[str, Any]) -> tuple[str | None, ...]:
        """The models that may answer a call with these arguments; None for one that only the gateway knows."""
        route = route_options({**options, "config": options.get("portkey_config") or options.get("config")})
        plan = self._the_router().plan_for(options.get("model") or self.model, **route)
        if plan.strategy == "config":
            return (None,)
        models: list[str | None] = []
        for attempt in plan.attempts:
            models += [leaf.model for leaf in leaves(attempt.strategy)] if attempt.strategy else [attempt.model]
        return tuple(models)

    def _tool_options(
        self, tools: list[dict[str, Any]], choice: Any, options: Mapping[str, Any], *, parallel: bool
    ) -> dict[str, Any]:
        """The fields of a request that hand over tools; none without tools."""
        if not tools:
            return {}
        asked: dict[str, Any] = {"tools": tools, "tool_choice": choice}
        if takes_parallel_switch(self._possible_models(options)):
            asked["parallel_tool_calls"] = parallel
        return asked

    # --- what LlamaIndex is told of it ---------------------------------------------------------------------------

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex writes it down."""
        return "portkey_llm"

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex plans with: cheap, offline, and of any model."""
        models = self._models(self.model)
        return LLMMetadata.model_construct(  # asked for in every call, of values that were validated
            context_window=self.context_window or _window(models),
            num_output=self.max_tokens or self.max_completion_tokens or -1,
            is_chat_model=self.is_chat_model,
            is_function_calling_model=self.is_function_calling_model,
            model_name=self.model or next(filter(None, models), None) or self._config_id() or "unknown",
        )

    def to_payload(self) -> dict[str, Any]:
        """What events and traces carry: `metadata`, the model, its temperature, and the route; never a key."""
        payload = {**super().to_payload(), "model": self.model, "provider": self.provider}
        if self.temperature is not None:
            payload["temperature"] = self.temperature
        payload["portkey"] = {
            "run_on": self.run_on,
            "strategy": None if self.strategy is None else strategy_to_dict(self.strategy),
            "config": self._config_id(),
        }
        return payload

    def _config_id(self) -> str | None:
        config = self.portkey_config
        return config if isinstance(config, str) and is_saved(config) else None


def _window(models: tuple[str | None, ...]) -> int:
    """The smallest window among the models that are known."""
    known = [abilities.context_window for model in models if model and (abilities := abilities_of(model)) is not None]
    return min(known, default=UNKNOWN_WINDOW)

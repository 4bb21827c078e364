"""What our models are set to in LangChain: fields, how they are written down, and what follows when one changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.load.serializable import Serializable
from pydantic import AliasChoices, ConfigDict, Field, SecretStr, field_validator, model_validator

from langchain_portkey_router.caching import as_cache
from langchain_portkey_router.profiles import profile_of_all
from portkey_router._version import __version__
from portkey_router.describe import strategy_to_dict
from portkey_router.fields import ChatFields, RouterFields, without_keys
from portkey_router.planner import is_saved

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import EllipsisType

    from langchain_core.language_models.model_profile import ModelProfile

__all__ = ["OF_OPENAI", "LangChainFields", "PortkeyFields"]

# Arguments of ChatOpenAI and OpenAIEmbeddings for what there is none of here: OpenAI's client, its other API.
OF_OPENAI = frozenset(
    {
        "async_client",
        "client",
        "default_query",
        "http_async_client",
        "http_client",
        "openai_organization",
        "openai_proxy",
        "organization",
        "tiktoken_model_name",
    }
)
_OF_CHAT_OPENAI = frozenset(
    {
        "disabled_params",
        "http_socket_options",
        "include_response_headers",
        "root_async_client",
        "root_client",
        "stream_chunk_timeout",
        "use_previous_response_id",
        "use_responses_api",
    }
)

# Fields that decide which models may answer.
_MODEL_FIELDS = frozenset({"model_name", "strategy", "portkey_config"})


class LangChainFields(RouterFields, Serializable):
    """The fields of a router as LangChain's models name them, and how they are written down: without keys."""

    model_name: str | None = Field(default=None, alias="model")
    """The model: `gpt-4o`, `@slug/model`, `provider/model`."""
    portkey_api_key: SecretStr | str | None = Field(
        default=None, alias="api_key", validation_alias=AliasChoices("api_key", "portkey_api_key", "openai_api_key")
    )
    """Portkey's key, by default `PORTKEY_API_KEY`; the Authorization bearer where `default_headers` hold Portkey's."""
    base_url: str | Sequence[str] | None = Field(
        default=None, validation_alias=AliasChoices("base_url", "openai_api_base")
    )
    """The gateway, by default `PORTKEY_GATEWAY_URL`, else Portkey's own; of a list, the next where one fails."""
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Further fields of the request's body."""
    request_timeout: float | None = Field(
        default=None, alias="timeout", validation_alias=AliasChoices("timeout", "request_timeout")
    )
    """Seconds for a whole call with all its attempts; 600 by default."""
    _body_field: ClassVar[str] = "model_kwargs"
    _of_openai: ClassVar[frozenset[str]] = OF_OPENAI

    # Built at the first model, which costs it 12 ms: not at import, which every program pays.
    model_config = ConfigDict(
        populate_by_name=True, arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True, defer_build=True
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_what_is_of_openai(cls, values: Any) -> Any:
        """Its client's arguments would go into the body. None says nothing, as there."""
        if not isinstance(values, dict):
            return values
        strange = cls._of_openai & values.keys()
        if given := sorted(name for name in strange if values[name] is not None):
            raise ValueError(
                f"{', '.join(given)}: for OpenAI's own client, and without meaning in {cls.__name__}; leave it out."
            )
        return {name: value for name, value in values.items() if name not in strange} if strange else values

    @property
    def model(self) -> str | None:
        """The same as `model_name`, as in `ChatOpenAI`."""
        return self.model_name

    @field_validator("portkey_api_key", mode="after")
    @classmethod
    def _hide_key(cls, value: SecretStr | str | None) -> SecretStr | None:
        return SecretStr(value) if isinstance(value, str) else value

    # --- as LangChain writes a model down ------------------------------------------------------------------------

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Where a restored model finds its key."""
        return {"portkey_api_key": "PORTKEY_API_KEY"}

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """The strategy and the config, as JSON without keys."""
        attributes: dict[str, Any] = {}
        if self.strategy is not None:
            attributes["strategy"] = strategy_to_dict(self.strategy)
        if self.portkey_config is not None and is_saved(self.portkey_config):
            attributes["config"] = self.portkey_config
        return attributes

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Yes: without keys."""
        return True

    # --- the router ----------------------------------------------------------------------------------------------

    def _router_arguments(self) -> dict[str, Any]:
        return {
            **super()._router_arguments(),
            "model": self.model_name,
            "api_key": self.portkey_api_key,
            "base_url": self.base_url,
            "timeout": self.request_timeout,
        }

    def __getstate__(self) -> dict[Any, Any]:
        """Pickle keeps no keys; the restored model takes them from the environment."""
        state = super().__getstate__()
        return {**state, "__dict__": without_keys(state["__dict__"]), "__pydantic_private__": {"_router": None}}


class PortkeyFields(LangChainFields, ChatFields, BaseChatModel):
    """The fields of `ChatPortkey`, and the router they make."""

    _of_openai: ClassVar[frozenset[str]] = OF_OPENAI | _OF_CHAT_OPENAI

    streaming: bool = False
    """Whether `invoke` streams underneath, so that callback handlers see tokens."""
    cache: Any = Field(default=None, exclude=True)
    """Who answers what was asked before, streams too: a `RedisSemanticCache`, a `SemanticCache`, a URL, any cache of
    LangChain's. None: LangChain's global one (`set_llm_cache`), else the environment's (`PORTKEY_CACHE_ENABLED`);
    False: none. Per call: `no_cache`, `refresh`, `cache_ttl`, `namespace`."""

    if not TYPE_CHECKING:  # type checkers read the signature off the fields

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            # Not in a validator: pydantic would wrap our error in its own, with the arguments, keys included, in it.
            if "cache" in kwargs:
                kwargs["cache"] = as_cache(kwargs["cache"])
            super().__init__(*args, **kwargs)
            self._add_version("portkey-router", __version__)
            router = self._the_router()
            if self.model_name or self.strategy or self.portkey_config:
                router.plan_for(self.model_name)  # a model that no key fits is told now, not at the first call

    def __getstate__(self) -> dict[Any, Any]:
        """As the base's; a cache, its connections and its password belong to their process."""
        state = super().__getstate__()
        cache = self.cache if isinstance(self.cache, bool) else None
        return {**state, "__dict__": {**state["__dict__"], "cache": cache}}

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        """Where `load` finds the class."""
        return ["langchain_portkey_router", "chat_models"]

    def _resolve_model_profile(self) -> ModelProfile | None:
        return profile_of_all(self._models(self.model_name))

    # --- changes and copies -------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        before = self._resolve_model_profile() if name in _MODEL_FIELDS else None
        super().__setattr__(name, as_cache(value) if name == "cache" else value)
        self._forget(before if name in _MODEL_FIELDS else ...)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with these fields changed, which shares nothing that was made of the old ones."""
        if update and "cache" in update:
            update = {**update, "cache": as_cache(update["cache"])}
        copied = super().model_copy(update=update, deep=deep)
        copied._forget(self._resolve_model_profile() if update and "profile" not in update else ...)  # noqa: SLF001  (of our own class)
        return copied

    def _forget(self, old_profile: ModelProfile | EllipsisType | None) -> None:
        """Drop what was made of fields now changed: the trace's description, and a profile nobody gave."""
        vars(self).pop("_serialized", None)
        if old_profile is not ... and self.profile == old_profile:
            vars(self)["profile"] = self._resolve_model_profile()

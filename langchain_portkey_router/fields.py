"""What a `ChatPortkey` is set to: its fields, how they are written down, and what follows when one changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, Self

from langchain_core.language_models.chat_models import BaseChatModel
from pydantic import (
    AliasChoices,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    field_serializer,
    field_validator,
    model_validator,
)

from langchain_portkey_router.profiles import profile_of_all
from portkey_router._version import __version__
from portkey_router.bootstrap import build_router
from portkey_router.describe import strategy_from_dict, strategy_to_dict
from portkey_router.flow.journey import Deadlines
from portkey_router.planner import is_saved
from portkey_router.providers import ModelRule
from portkey_router.router import PortkeyRouter
from portkey_router.targets import as_strategy, leaves

if TYPE_CHECKING:
    from types import EllipsisType

    from langchain_core.language_models.model_profile import ModelProfile

__all__ = ["BODY_FIELDS", "PortkeyFields"]

# Fields that are fields of the request's body, under the same name.
BODY_FIELDS = (
    "temperature",
    "max_tokens",
    "max_completion_tokens",
    "top_p",
    "n",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "reasoning_effort",
    "service_tier",
    "user",
)
# Fields that decide what the router is; a change of one means another router.
_ROUTER_FIELDS = (
    "base_url",
    "deadlines",
    "default_headers",
    "max_retries",
    "model_rules",
    "portkey_api_key",
    "portkey_config",
    "prices",
    "provider",
    "run_on",
    "strategy",
    "request_timeout",
    "virtual_key",
    "virtual_keys",
)
# Fields that decide which models may answer.
_MODEL_FIELDS = frozenset({"model_name", "strategy", "portkey_config"})
_SECRET_FIELDS = ("default_headers", "portkey_api_key", "virtual_key", "virtual_keys")


_NEVER_IN_A_BODY = ("virtual_key", "api_key", "virtualkey", "apikey", "header", "password", "secret")


def _check_body_field(name: str, ours: set[Any]) -> None:
    """Refuse an argument that is a field of ours misspelt: in a request's body it would do nothing, or show a key."""
    own = [known for known in ours if isinstance(known, str) and known not in BODY_FIELDS]
    close = get_close_matches(name, own, n=1, cutoff=0.8)
    if close or any(word in name.lower() for word in _NEVER_IN_A_BODY):
        hint = f"; did you mean {close[0]!r}?" if close else ", and not sent in a request's body."
        raise ValueError(f"{name!r} is no argument of ChatPortkey{hint}")


class PortkeyFields(BaseChatModel):
    """The fields of `ChatPortkey`, and the router they make."""

    model_name: str | None = Field(default=None, alias="model")
    """The model: `gpt-4o`, `@slug/model`, `provider/model`."""
    portkey_api_key: SecretStr | str | None = Field(
        default=None, alias="api_key", validation_alias=AliasChoices("api_key", "portkey_api_key", "openai_api_key")
    )
    """Portkey's key, by default `PORTKEY_API_KEY`; the Authorization bearer where `default_headers` hold Portkey's."""
    base_url: str | None = Field(default=None, validation_alias=AliasChoices("base_url", "openai_api_base"))
    """The gateway, by default `PORTKEY_GATEWAY_URL`, else Portkey's own."""
    default_headers: Mapping[str, str] | None = Field(default=None, exclude=True, repr=False)
    """Headers of every request, as `portkey_ai.createHeaders` makes them."""
    virtual_key: SecretStr | str | None = Field(default=None, exclude=True, repr=False)
    """The virtual key to use for `model`; by default the model's name finds it."""
    virtual_keys: Mapping[str, SecretStr | str] | None = Field(default=None, exclude=True, repr=False)
    """Virtual keys by provider name, beside those of the environment: `{"openai": "..."}`."""
    provider: str | None = None
    """The provider of `model`, where its name does not tell."""
    strategy: Any = None
    """`Fallback`, `LoadBalance`, `Conditional`, `Single`, or a `Target`."""
    portkey_config: str | dict[str, Any] | None = Field(
        default=None,
        alias="config",
        exclude=True,
        repr=False,
        validation_alias=AliasChoices("config", "portkey_config"),
    )
    """A saved gateway config (`pc-...`), or a whole one; per call `portkey_config=`."""
    run_on: Literal["client", "gateway"] = "client"
    """Who runs the strategy."""

    temperature: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    top_p: float | None = None
    n: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[int, int] | None = None
    reasoning_effort: str | None = None
    service_tier: str | None = None
    user: str | None = None
    stop: list[str] | str | None = Field(default=None, validation_alias=AliasChoices("stop", "stop_sequences"))
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Further fields of the request's body."""
    extra_body: dict[str, Any] | None = None
    """The same, over `model_kwargs`."""
    streaming: bool = False
    """Whether `invoke` streams underneath, so that callback handlers see tokens."""
    stream_usage: bool = True
    """Whether streams ask for their token counts."""

    request_timeout: float | None = Field(
        default=None, alias="timeout", validation_alias=AliasChoices("timeout", "request_timeout")
    )
    """Seconds for a whole call with all its attempts; 600 by default."""
    max_retries: int = 2
    """Further tries for each target."""

    deadlines: Deadlines | None = Field(default=None, exclude=True, repr=False)
    """How long an attempt may take; see `portkey_router.Deadlines`."""
    model_rules: Sequence[ModelRule] = Field(default=(), exclude=True, repr=False)
    """Which provider serves which model names, before the table of `portkey_router.MODEL_RULES`."""
    prices: Any = Field(default=None, exclude=True, repr=False)
    """Your prices by model (`{"my-model": Price(...)}`), or a `PriceBook`; False: no prices."""

    portkey_metadata: dict[str, Any] | None = None
    """Portkey's metadata (`{"_user": "u1"}`): strings of at most 128 characters. Not LangChain's `metadata`."""
    trace_id: str | None = None
    cache_namespace: str | None = None
    cache_force_refresh: bool | None = None

    _router: tuple[tuple[Any, ...], PortkeyRouter] | None = PrivateAttr(default=None)

    # Built at the first model, which costs it 12 ms: not at import, which every program pays.
    model_config = ConfigDict(
        populate_by_name=True, arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True, defer_build=True
    )

    @model_validator(mode="before")
    @classmethod
    def _gather_body_fields(cls, values: Any) -> Any:
        """Arguments that are no fields of ours are fields of the body, as in `ChatOpenAI`."""
        if not isinstance(values, dict):
            return values
        names: set[Any] = set()
        for name, field in cls.model_fields.items():
            names |= {name, field.alias}
            choices = field.validation_alias
            names |= set(choices.choices) if isinstance(choices, AliasChoices) else set()
        unknown = {name: value for name, value in values.items() if name not in names}
        if not unknown:
            return values
        for name in unknown:
            _check_body_field(name, names)
        kept = {name: value for name, value in values.items() if name in names}
        return {**kept, "model_kwargs": {**(values.get("model_kwargs") or {}), **unknown}}

    @field_validator("portkey_api_key", "virtual_key", mode="after")
    @classmethod
    def _hide(cls, value: SecretStr | str | None) -> SecretStr | None:
        return SecretStr(value) if isinstance(value, str) else value

    @field_validator("virtual_keys", mode="after")
    @classmethod
    def _hide_all(cls, value: Mapping[str, SecretStr | str] | None) -> Mapping[str, SecretStr] | None:
        if value is None:
            return None
        return {name: SecretStr(key) if isinstance(key, str) else key for name, key in value.items()}

    @field_serializer("strategy")
    def _write_strategy(self, value: Any) -> Any:
        return None if value is None else strategy_to_dict(value)  # without keys, which pydantic would write out

    @field_validator("strategy", mode="before")
    @classmethod
    def _read_strategy(cls, value: Any) -> Any:
        return strategy_from_dict(value) if isinstance(value, dict) else value  # a dict as `lc_attributes` wrote it

    if not TYPE_CHECKING:  # type checkers read the signature off the fields

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            # Not in a validator: pydantic would wrap our error in its own, with the arguments, keys included, in it.
            self._add_version("portkey-router", __version__)
            router = self._the_router()
            if self.model_name or self.strategy or self.portkey_config:
                router.plan_for(self.model_name)  # a model that no key fits is told now, not at the first call

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

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        """Where `load` finds the class."""
        return ["langchain_portkey_router", "chat_models"]

    def _resolve_model_profile(self) -> ModelProfile | None:
        if self.portkey_config is not None:
            return None  # which models it names, the gateway knows
        if self.strategy is not None:
            return profile_of_all(target.model for target in leaves(as_strategy(self.strategy)))
        return profile_of_all([self.model_name])

    # --- the router ----------------------------------------------------------------------------------------------

    def _the_router(self) -> PortkeyRouter:
        """The router of the present fields: made at first use, and anew after one of them was changed."""
        key = tuple(getattr(self, name) for name in _ROUTER_FIELDS)
        if self._router is None or self._router[0] != key:
            self._router = key, self._build_router()
        return self._router[1]

    def _build_router(self) -> PortkeyRouter:
        return build_router(
            model=self.model_name,
            strategy=self.strategy,
            config=self.portkey_config,
            virtual_key=self.virtual_key,
            provider=self.provider,
            api_key=self.portkey_api_key,
            base_url=self.base_url,
            default_headers=self.default_headers,
            virtual_keys=self.virtual_keys,
            run_on=self.run_on,
            model_rules=self.model_rules,
            prices=self.prices,
            timeout=self.request_timeout,
            deadlines=self.deadlines,
            max_retries=self.max_retries,
        )

    # --- changes and copies -------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        before = self._resolve_model_profile() if name in _MODEL_FIELDS else None
        super().__setattr__(name, value)
        self._forget(before if name in _MODEL_FIELDS else ...)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with these fields changed, which shares nothing that was made of the old ones."""
        copied = super().model_copy(update=update, deep=deep)
        copied._forget(self._resolve_model_profile() if update and "profile" not in update else ...)  # noqa: SLF001  (of our own class)
        return copied

    def _forget(self, old_profile: ModelProfile | EllipsisType | None) -> None:
        """Drop what was made of fields now changed: the trace's description, and a profile nobody gave."""
        vars(self).pop("_serialized", None)
        if old_profile is not ... and self.profile == old_profile:
            vars(self)["profile"] = self._resolve_model_profile()

    def __getstate__(self) -> dict[Any, Any]:
        """Pickle keeps no keys; the restored model takes them from the environment."""
        state = super().__getstate__()
        config = self.portkey_config
        kept = {**state["__dict__"], **dict.fromkeys(_SECRET_FIELDS)}
        if config is not None and not is_saved(config):
            kept["portkey_config"] = None
        return {**state, "__dict__": kept, "__pydantic_private__": {"_router": None}}

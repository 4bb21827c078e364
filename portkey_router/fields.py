"""What a model of either framework is set to, as pydantic fields, and the router they make.

The adapters' classes are these fields beside their framework's own: an argument added here is one of both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    field_serializer,
    field_validator,
    model_validator,
)

from portkey_router.bootstrap import build_router
from portkey_router.describe import strategy_from_dict, strategy_to_dict
from portkey_router.flow.journey import Deadlines
from portkey_router.flow.policy import POLICY_OPTIONS, RETRY_AFTER_MAX, OnContentFilter, OnStreamBreak
from portkey_router.planner import is_saved
from portkey_router.providers import ModelRule
from portkey_router.router import PortkeyRouter
from portkey_router.spelling import BODY_FIELDS, check_body_field
from portkey_router.targets import as_strategy, leaves

__all__ = ["ChatFields", "EmbeddingFields", "RouterFields", "without_keys"]

_SECRET_FIELDS = ("api_key", "default_headers", "ledger", "portkey_api_key", "virtual_key", "virtual_keys")


class RouterFields(BaseModel):
    """The fields that make a router, under the names that all adapters share."""

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
    max_retries: int = 2
    """Further tries for each target."""

    deadlines: Deadlines | None = Field(default=None, exclude=True, repr=False)
    """How long an attempt may take; see `portkey_router.Deadlines`."""
    model_rules: Sequence[ModelRule] = Field(default=(), exclude=True, repr=False)
    """Which provider serves which model names, before the table of `portkey_router.MODEL_RULES`."""
    prices: Any = Field(default=None, exclude=True, repr=False)
    """Your prices by model (`{"my-model": Price(...)}`), or a `PriceBook`; False: no prices."""

    retry_after_max: float = RETRY_AFTER_MAX
    """Seconds: a Retry-After up to this is waited out; after a longer one the next target is asked."""
    on_content_filter: OnContentFilter = "raise"
    """What follows a refusal on content grounds: it is raised, or (`fallback`) the next target asked."""
    on_stream_break: OnStreamBreak = "raise"
    """What follows a stream that breaks after part of it was shown: it is raised, or (`restart`) a marker says that all
    so far is void, and a whole new answer begins."""
    wire_stream: bool = False
    """Whether calls for whole answers stream underneath, to notice a late first token, silence, and an answer cut
    short. A gateway's output guardrails do not run on streams."""
    health: Any = Field(default=None, exclude=True, repr=False)
    """What is known of targets: by default all routers of the process share it; with `"redis://..."` processes share
    which of them are down."""
    count_tokens: Any = Field(default=None, exclude=True, repr=False)
    """Counts the tokens of a text for `CostAware`, in the place of an estimate; see `portkey_router.tokenizer`."""
    sinks: Sequence[Any] = Field(default=(), exclude=True, repr=False)
    """Who hears of every call's events: `[LogSink(), PrometheusSink()]` (see `portkey_router.sinks`)."""

    ledger: Any = Field(default=None, exclude=True, repr=False)
    """Who keeps `budgets` and `limits`: `"redis://..."` for all processes together, or a `BudgetLedger`, which brings
    its own; by default each process counts for itself."""
    budgets: Sequence[Any] = Field(default=(), exclude=True, repr=False)
    """What calls may spend: `[Budget("each user", usd=2, per="day", by="user")]`. Not written down with the model."""
    limits: Sequence[Any] = Field(default=(), exclude=True, repr=False)
    """How often, and of how many tokens: `[RateLimit("openai", requests=500, per="minute")]`. Nor are these."""

    portkey_metadata: dict[str, Any] | None = None
    """Portkey's metadata (`{"_user": "u1"}`): strings of at most 128 characters. Not the framework's `metadata`."""
    portkey_tags: dict[str, Any] | None = None
    """Tags of every call, for events, reports and budgets (`{"team": "search"}`); not sent. Not the framework's."""
    trace_id: str | None = None
    cache_namespace: str | None = None
    cache_force_refresh: bool | None = None

    _router: tuple[tuple[Any, ...], PortkeyRouter] | None = PrivateAttr(default=None)

    model_config = ConfigDict(
        populate_by_name=True, arbitrary_types_allowed=True, hide_input_in_errors=True, defer_build=True
    )

    # The field that takes further fields of the body.
    _body_field: ClassVar[str] = "extra_body"

    @model_validator(mode="before")
    @classmethod
    def _gather_body_fields(cls, values: Any) -> Any:
        """Arguments that are no fields of ours are fields of the body, as in `ChatOpenAI`."""
        if not isinstance(values, dict):
            return values
        names: set[str] = set()
        for name, field in cls.model_fields.items():
            names |= {name, field.alias or name}
            choices = field.validation_alias
            names |= set(map(str, choices.choices)) if isinstance(choices, AliasChoices) else set()
        unknown = {name: value for name, value in values.items() if name not in names}
        if not unknown:
            return values
        for name in unknown:
            check_body_field(cls.__name__, name, frozenset(names))
        kept = {name: value for name, value in values.items() if name in names}
        return {**kept, cls._body_field: {**(values.get(cls._body_field) or {}), **unknown}}

    @field_validator("timeout", "request_timeout", mode="before", check_fields=False)
    @classmethod
    def _one_number(cls, value: Any) -> Any:
        if not isinstance(value, int | float | None):
            raise ValueError(  # noqa: TRY004  (pydantic's own)
                "timeout is the seconds for the whole call, one number; deadlines=Deadlines(...) sets the others."
            )
        return value

    @field_validator("virtual_key", mode="after")
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
        return strategy_from_dict(value) if isinstance(value, dict) else value  # as `strategy_to_dict` wrote it

    def _router_arguments(self) -> dict[str, Any]:
        """The arguments of `build_router`: those of these fields, to which an adapter adds its own."""
        return {
            "strategy": self.strategy,
            "config": self.portkey_config,
            "virtual_key": self.virtual_key,
            "provider": self.provider,
            "default_headers": self.default_headers,
            "virtual_keys": self.virtual_keys,
            "run_on": self.run_on,
            "model_rules": self.model_rules,
            "prices": self.prices,
            "deadlines": self.deadlines,
            "max_retries": self.max_retries,
            "health": self.health,
            "count_tokens": self.count_tokens,
            "sinks": tuple(self.sinks),
            "ledger": self.ledger,
            "budgets": tuple(self.budgets),
            "limits": tuple(self.limits),
            **{name: getattr(self, name) for name in POLICY_OPTIONS},
        }

    def _the_router(self) -> PortkeyRouter:
        """The router of the present fields: made at first use, and anew after one of them was changed."""
        arguments = self._router_arguments()
        key = tuple(arguments.values())
        if self._router is None or self._router[0] != key:
            self._router = key, build_router(**{**arguments, **self._kept_ledger(arguments)})
        return self._router[1]

    def _kept_ledger(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The ledger of the router before, where it is to keep the same: what is spent stays spent."""
        if self._router is None:
            return {}
        before = dict(zip(arguments, self._router[0], strict=True))
        same = all(before[name] == arguments[name] for name in ("ledger", "budgets", "limits"))
        return {"ledger": self._router[1].ledger, "budgets": (), "limits": ()} if same else {}

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """A copy tells the same sinks, and spends of the same budgets: what they hold cannot be copied."""
        kept = {id(each): each for each in (*self.sinks, *self.budgets, *self.limits, self.ledger)}
        return super().__deepcopy__({**(memo or {}), **kept})

    def _models(self, model: str | None) -> tuple[str | None, ...]:
        """The models that may answer where a call names none: of the strategy, else `model`; None for an unknown one.

        Those of a config, only the gateway knows.
        """
        if self.portkey_config is not None:
            return (None,)
        return (model,) if self.strategy is None else tuple(leaf.model for leaf in leaves(as_strategy(self.strategy)))

    def _add_portkeys(self, options: dict[str, Any]) -> None:
        """Name what is Portkey's in the options of a call as the router does, and add the model's own."""
        if "portkey_config" in options:
            options["config"] = options.pop("portkey_config")
        options["metadata"] = {**(self.portkey_metadata or {}), **(options.pop("portkey_metadata", None) or {})}
        options["tags"] = {**(self.portkey_tags or {}), **(options.pop("portkey_tags", None) or {})}
        for name in ("trace_id", "cache_namespace", "cache_force_refresh"):
            options.setdefault(name, getattr(self, name))


class ChatFields(RouterFields):
    """The fields of a chat model, beside those of its router."""

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
    extra_body: dict[str, Any] | None = None
    """Further fields of the request's body, over all others."""
    stream_usage: bool = True
    """Whether streams ask for their token counts."""

    def _body_fields(self) -> dict[str, Any]:
        return {name: value for name in BODY_FIELDS if (value := getattr(self, name)) is not None}

    def _stop(self) -> list[str] | None:
        return [self.stop] if isinstance(self.stop, str) else self.stop

    def _call_options(self, model: str | None, given: Mapping[str, Any], *, stream: bool) -> dict[str, Any]:
        """The arguments of the router's verbs: the model's own, with what the call has `given` over them."""
        options = {**self._body_fields(), **(getattr(self, self._body_field) or {}), **given}
        stops = options.pop("stop", None) or self._stop()
        if stops:
            options["stop"] = stops
        options.setdefault("model", model)
        options["extra_body"] = {**(self.extra_body or {}), **(given.get("extra_body") or {})}
        self._add_portkeys(options)
        wanted = options.pop("stream_usage", None)
        if stream and not (self.stream_usage if wanted is None else wanted):
            options.setdefault("stream_options", {"include_usage": False})
        return options


class EmbeddingFields(RouterFields):
    """The fields of an embedding model, beside those of its router."""

    dimensions: int | None = Field(default=None, ge=1)
    """The length of the vectors, for models that let one choose."""
    encoding_format: Literal["base64", "float"] | None = None
    """How vectors travel; by default base64, where the provider has it. They arrive as floats either way."""
    max_concurrency: int = Field(default=8, ge=1)
    """How many requests of an async call are under way at once."""
    extra_body: dict[str, Any] | None = None
    """Further fields of the request's body."""
    query_body: dict[str, Any] | None = None
    """Further fields for queries alone (Cohere's `{"input_type": "search_query"}`)."""
    document_body: dict[str, Any] | None = None
    """Further fields for documents alone (Cohere's `{"input_type": "search_document"}`)."""

    def _embedding_options(self, model: str | None, *more: Mapping[str, Any] | None) -> dict[str, Any]:
        """The arguments of `embed`: the model's own, with `more` over them, the last over all."""
        own = {"model": model, "dimensions": self.dimensions, "encoding_format": self.encoding_format}
        options = {**own, **(getattr(self, self._body_field) or {})}
        for each in more:
            options |= each or {}
        options["extra_body"] = {**(self.extra_body or {}), **(options.get("extra_body") or {})}
        of_the_call = options.get("metadata") or {}
        self._add_portkeys(options)
        options["metadata"] |= of_the_call
        return options

    def _check_route(self, model: str | None) -> None:
        """Raise what the route is wrong with: a model that no key fits, targets of mixed vector spaces."""
        self._the_router().plan_for(model, operation="embeddings", dimensions=self.dimensions)


def without_keys(state: Mapping[str, Any]) -> dict[str, Any]:
    """A model's fields, as pickle may keep them: no key, and no config that may hold one."""
    kept = {name: None if name in _SECRET_FIELDS else value for name, value in state.items()}
    # Threads, files and connections belong to their process, and budgets to who set them.
    kept |= {name: () for name in ("sinks", "budgets", "limits") if name in kept}
    if kept.get("cache"):
        kept["cache"] = None  # likewise, and a URL may hold a password
    config = kept.get("portkey_config")
    if config is not None and not is_saved(config):
        kept["portkey_config"] = None
    return kept

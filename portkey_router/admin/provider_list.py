"""A list of providers as a strategy: what `create-config --providers '[...]'` takes.

```
[{"virtual_key": "vk_openai_...", "models": ["gpt-4", "gpt-3.5-turbo"], "weight": 2},
 {"provider": "@anthropic-prod", "models": ["claude-3-opus"]}]
```
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError

from portkey_router.errors import ConfigurationError
from portkey_router.messages import Usage
from portkey_router.targets import Conditional, Fallback, LoadBalance, Single, Target, When

if TYPE_CHECKING:
    from portkey_router.pricing import PriceBook
    from portkey_router.targets import Strategy

__all__ = ["STRATEGIES", "providers_from_json", "strategy_of", "strategy_over"]

STRATEGIES = ("single", "fallback", "loadbalance", "cost_aware", "conditional")
EXAMPLE = '[{"virtual_key": "...", "models": ["gpt-4o", "gpt-4o-mini"]}]'
# What a model is judged by for cost_aware: three times as much is read as written, as in most conversations.
TYPICAL = Usage(input_tokens=3_000_000, output_tokens=1_000_000, total_tokens=4_000_000)


class Entry(BaseModel):
    """One provider: a key or slug, its models in order, and by the strategy a weight or a condition."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    virtual_key: SecretStr | None = None
    provider: str | None = None
    models: Sequence[str] = Field(min_length=1)
    weight: float = Field(default=1, ge=0, allow_inf_nan=False)
    when: Mapping[str, Any] | None = None
    override_params: Mapping[str, Any] = Field(default_factory=dict)

    @property
    def targets(self) -> tuple[Target, ...]:
        """One for each model."""
        return tuple(
            Target(
                model,
                virtual_key=self.virtual_key,
                provider=self.provider,
                weight=self.weight,
                override_params=self.override_params,
            )
            for model in self.models
        )

    @property
    def branch(self) -> Target | Fallback:
        """The provider as one target of a strategy: its models fall back on one another."""
        targets = self.targets
        return targets[0] if len(targets) == 1 else Fallback(*targets, weight=self.weight)


def providers_from_json(text: str) -> list[Entry]:
    """The list. Raises `ConfigurationError`, which says what is wrong where, and none of the values."""
    try:
        entries = TypeAdapter(list[Entry]).validate_json(text)
    except ValidationError as error:
        first: Any = error.errors(include_input=False, include_url=False, include_context=False)[0]
        entries = []
    else:
        first = {"type": "", "loc": (), "msg": "the list is empty"}
    if entries and not any(entry.virtual_key is None and entry.provider is None for entry in entries):
        return entries
    if entries:
        first = {
            "type": "",
            "loc": (),
            "msg": "an entry has neither virtual_key nor provider (a slug such as @openai-prod)",
        }
    where = "".join(f" in entry {part}" if isinstance(part, int) else f", {part}" for part in _known(first["loc"]))
    what = "not valid JSON" if first["type"] == "json_invalid" else str(first["msg"])
    raise ConfigurationError(f"The list of providers is not usable{where}: {what}. Expected something like {EXAMPLE}.")


def _known(location: tuple[Any, ...]) -> list[Any]:
    """Positions and the names of our fields; another name may be a key pasted there."""
    return [part for part in location if isinstance(part, int) or part in Entry.model_fields]


def strategy_of(name: str, providers: Sequence[Entry], *, prices: PriceBook) -> Strategy:
    """The strategy of that name over the providers. Raises `ConfigurationError`.

    - `single`: the first provider's first model; `fallback`: every model, in the order of the list.
    - `loadbalance`: one provider, drawn by `weight`; its models fall back on one another.
    - `cost_aware`: a fallback, the cheapest first by today's prices (Portkey itself knows no such mode, so a saved
      config keeps that order until it is saved anew).
    - `conditional`: the first provider whose `when` matches; the one without is the default.
    """
    if name == "conditional":
        return _conditional(providers)
    if name == "loadbalance":
        return strategy_over(name, [entry.branch for entry in providers])
    targets = [target for entry in providers for target in entry.targets]
    if name == "cost_aware":
        return Fallback(*sorted(targets, key=lambda target: _price(target, prices)))
    return strategy_over(name, targets)


def strategy_over(name: str, targets: Sequence[Target | Fallback]) -> Strategy:
    """`single`, `fallback` or `loadbalance` over targets. Raises `ConfigurationError` for another."""
    if name == "single":
        return Single(targets[0]) if isinstance(targets[0], Target) else targets[0]
    if name == "fallback":
        return Fallback(*targets)
    if name == "loadbalance":
        return LoadBalance(*targets)
    raise ConfigurationError(f"{name!r} is no strategy: expected single, fallback, loadbalance or cost_aware.")


def _price(target: Target, prices: PriceBook) -> Any:
    model = str(target.model)
    cost = prices.cost(TYPICAL, model=model, provider=None if target.slug else target.provider)
    if cost is None:
        raise ConfigurationError(f"cost_aware: no price of {model!r} is known; use another model, or a fallback.")
    return cost.amount


def _conditional(providers: Sequence[Entry]) -> Conditional:
    defaults = [entry for entry in providers if entry.when is None]
    if len(defaults) != 1 or len(providers) < 2:  # noqa: PLR2004
        example = json.dumps({"metadata.plan": {"$eq": "paid"}})
        raise ConfigurationError(
            f'conditional: every provider but one has a condition ("when": {example}); the one without is the default.'
        )
    conditions = [When(entry.when, then=entry.branch) for entry in providers if entry.when is not None]
    return Conditional(*conditions, default=defaults[0].branch)

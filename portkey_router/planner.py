"""From a strategy to the attempts it means, each with the reason it stands where it stands. Pure: no clock, no I/O."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal

from portkey_router.compile import compile_config
from portkey_router.errors import ConfigurationError
from portkey_router.targets import (
    FALLBACK_STATUS_CODES,
    CostAware,
    Fallback,
    LoadBalance,
    Strategy,
    Target,
    leaves,
    replace_targets,
)
from portkey_router.wire.headers import config_headers, target_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from portkey_router.settings import Settings

__all__ = ["Attempt", "Plan", "RunOn", "health_key", "is_saved", "plan_config", "plan_headers", "plan_strategy"]

RunOn = Literal["client", "gateway"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One target to be asked.

    `tries` is how often at most, `reason` why it stands at this place, `fall_over_on` the statuses after which the
    next attempt follows. `headers` name the target on the wire and may hold keys. `stated_provider` is the provider
    that the target itself names, whose prices it has; `provider` may come from its model's name. `key` is what its
    health is kept under: one for each gateway, key and model; nobody can read those from it. `lenient` is the target's.
    """

    target: str
    model: str | None
    reason: str
    tries: int
    headers: Mapping[str, str] = field(repr=False)
    provider: str | None = None
    override_params: Mapping[str, Any] = field(default_factory=dict, repr=False)
    fall_over_on: frozenset[int] = frozenset(FALLBACK_STATUS_CODES)
    strategy: Strategy | None = field(default=None, repr=False)
    stated_provider: str | None = None
    key: str = ""
    lenient: bool = False

    def because(self, reason: str) -> Attempt:
        """The same, for another reason. `dataclasses.replace` would take three times as long, for each target."""
        return Attempt(
            self.target,
            self.model,
            reason,
            self.tries,
            self.headers,
            self.provider,
            self.override_params,
            self.fall_over_on,
            self.strategy,
            self.stated_provider,
            self.key,
            self.lenient,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What a call would do: its attempts, in order. `str(plan)` is a table.

    `source` is what it was made of: the strategy, or the config; None where the default headers chose. `choice` is the
    cost-aware strategy whose order each call makes anew: `targets` are those of the attempts then, and
    `excluded` those it rules out, each with the reason.
    """

    attempts: tuple[Attempt, ...]
    strategy: str
    run_on: RunOn = "client"
    choice: CostAware | None = field(default=None, repr=False)
    targets: tuple[Target, ...] = field(default=(), repr=False)
    excluded: tuple[tuple[str, str], ...] = ()
    source: Strategy | str | Mapping[str, Any] | None = field(default=None, repr=False)

    def __str__(self) -> str:
        rows = [("#", "target", "model", "provider", "tries", "why")]
        for number, attempt in enumerate(self.attempts, 1):
            cells = (attempt.target, attempt.model or "(the config's)", attempt.provider or "-", str(attempt.tries))
            rows.append((str(number), *cells, attempt.reason))
        rows += [("-", label, "", "", "", f"not asked: {why}") for label, why in self.excluded]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([f"{self.strategy}, run on the {self.run_on}", *lines])


def plan_strategy(
    strategy: Strategy,
    settings: Settings,
    *,
    run_on: RunOn,
    max_retries: int,
    draw: Callable[[Sequence[float]], int],
) -> Plan:
    """The attempts of a strategy.

    Run by the gateway, a fallback has further attempts for the targets left after a stream cut short.

    `draw` picks a position from weights at random; load balancing calls it once for each place. Raises
    `ConfigurationError` for a strategy that only the gateway can run.
    """
    if isinstance(strategy, CostAware):
        return _cost_aware_plan(strategy, settings, run_on, max_retries)
    if run_on == "gateway":
        return _gateway_plan(strategy, settings, max_retries)
    name = type(strategy).__name__.lower()
    targets = _plain_targets(strategy)
    if isinstance(strategy, LoadBalance):
        ordered = _draw_all(targets, draw)
        fall_over_on = frozenset(strategy.on_status_codes)
    else:
        reasons = ["first choice", *(f"if {target.label} fails" for target in targets)]
        ordered = list(zip(targets, reasons, strict=False))
        fall_over_on = frozenset(strategy.on_status_codes if isinstance(strategy, Fallback) else ())
    attempts = tuple(
        _attempt(target, settings, reason=reason, tries=1 + max_retries, fall_over_on=fall_over_on)
        for target, reason in ordered
    )
    return Plan(attempts, strategy=name, source=strategy)


def _cost_aware_plan(strategy: CostAware, settings: Settings, run_on: RunOn, max_retries: int) -> Plan:
    """Every target, in the order given: `Ranker` puts them in that of a call."""
    codes = frozenset(strategy.on_status_codes)
    attempts = tuple(
        _attempt(target, settings, reason="by expected cost", tries=1 + max_retries, fall_over_on=codes)
        for target in strategy.targets
    )
    return Plan(attempts, strategy="cost_aware", run_on=run_on, choice=strategy, source=strategy)


def _plain_targets(strategy: Strategy) -> list[Target]:
    nested = [target for target in strategy.targets if not isinstance(target, Target)]
    sticky = isinstance(strategy, LoadBalance) and strategy.sticky is not None
    if nested or sticky or type(strategy).__name__ == "Conditional":
        what = "a sticky LoadBalance" if sticky else "a Conditional" if not nested else "a strategy inside a strategy"
        msg = f"Only the gateway can run {what}: pass run_on='gateway', or save it in Portkey and pass config='pc-...'."
        raise ConfigurationError(msg)
    return [target for target in strategy.targets if isinstance(target, Target)]


def _draw_all(targets: list[Target], draw: Callable[[Sequence[float]], int]) -> list[tuple[Target, str]]:
    """Every target with a weight, in an order drawn by weight; the first is the call's, the rest stand in for it."""
    left = [target for target in targets if target.weight > 0]
    total = sum(target.weight for target in left)
    ordered: list[tuple[Target, str]] = []
    while left:
        target = left.pop(draw([candidate.weight for candidate in left]))
        share = f"weight {target.weight:g} of {total:g}"
        reason = f"if {ordered[-1][0].label} fails; {share}" if ordered else f"drawn; {share}"
        ordered.append((target, reason))
    return ordered


def _attempt(target: Target, settings: Settings, *, reason: str, tries: int, fall_over_on: frozenset[int]) -> Attempt:
    resolved = settings.resolve(target)
    if resolved.model is None:
        msg = "No model: pass model= (for example model='gpt-4o'), a strategy=, or a config='pc-...'."
        raise ConfigurationError(msg)
    headers = target_headers(resolved)
    return Attempt(
        target=resolved.label,
        model=resolved.model,
        provider=resolved.provider or resolved.slug,
        reason=reason,
        tries=tries,
        headers=headers,
        override_params=resolved.override_params,
        fall_over_on=fall_over_on,
        stated_provider=target.provider,
        key=health_key(settings, headers, resolved.model),
        lenient=resolved.lenient,
    )


def health_key(settings: Settings, headers: Mapping[str, str], model: str | None) -> str:
    """What a target's health is kept under: equal for equal targets of equal settings, in every process.

    A hash, keyed by the account's own key: of what it is made, nobody can tell who does not know it all.
    """
    account = settings.api_key or settings.bearer
    secret = account.get_secret_value().encode() if account else b""
    what = json.dumps([settings.base_url, sorted(headers.items()), model]).encode()
    return blake2b(what, key=blake2b(secret).digest(), digest_size=16).hexdigest()


def _gateway_plan(strategy: Strategy, settings: Settings, max_retries: int) -> Plan:
    """The whole config, once. What follows is for streams cut short, which the gateway takes for answers.

    A fallback goes on with the targets left; anything else is sent once more, since the gateway chooses anew.
    """
    name = type(strategy).__name__.lower()
    rests: list[Strategy] = [strategy]
    if isinstance(strategy, Fallback):
        rests = [replace_targets(strategy, strategy.targets[first:]) for first in range(len(strategy.targets))]
    attempts = tuple(
        Attempt(
            target=" > ".join(leaf.label for leaf in leaves(rest)),
            model=None,
            reason=f"if the stream of {leaves(rests[position - 1])[0].label} is cut short"
            if position
            else f"the gateway runs the {name}",
            tries=1 if len(rests) > 1 else 2,
            headers=config_headers(compile_config(rest, resolve=settings.resolve, max_retries=max_retries)),
            strategy=rest,
            lenient=all(leaf.lenient for leaf in leaves(rest)),
        )
        for position, rest in enumerate(rests)
    )
    return Plan(attempts, strategy=name, run_on="gateway", source=strategy)


def is_saved(config: str | Mapping[str, Any]) -> bool:
    """Whether it is a saved config's id, and no config itself, which may hold keys."""
    return isinstance(config, str) and not config.lstrip().startswith("{")


def plan_config(config: str | Mapping[str, Any], model: str | None) -> Plan:
    """One attempt under a saved config (`pc-...`), or one given whole: its targets and retries are the gateway's."""
    saved = is_saved(config)
    attempt = Attempt(
        target=str(config) if saved else "inline config",
        model=model,
        reason="a saved config, run by the gateway" if saved else "an inline config, run by the gateway",
        tries=2,  # the second only after a stream cut short
        headers=config_headers(config),
    )
    return Plan((attempt,), strategy="config", run_on="gateway", source=config)


def plan_headers(settings: Settings, model: str | None, *, max_retries: int) -> Plan:
    """One attempt under what the default headers choose: a config, which is the gateway's, or a key or provider."""
    config = settings.route.get("x-portkey-config")
    if config is not None:
        plan = plan_config(config, model)
        attempt = plan.attempts[0]
        return replace(plan, attempts=(replace(attempt, headers={**settings.route, **attempt.headers}),))
    provider = settings.route.get("x-portkey-provider")
    attempt = Attempt(
        target=model or provider or "default headers",
        model=model,
        provider=provider,
        reason="as the default headers choose",
        tries=1 + max_retries,
        headers=settings.route,
        key=health_key(settings, settings.route, model),
    )
    return Plan((attempt,), strategy="single")

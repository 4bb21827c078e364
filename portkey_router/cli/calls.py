"""Commands that plan and make calls."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portkey_router.bootstrap import build_router
from portkey_router.cli.options import Json  # noqa: TC001  (typer reads annotations)
from portkey_router.cli.output import note, progress, show, show_rows
from portkey_router.errors import ConfigurationError
from portkey_router.settings import load_settings
from portkey_router.targets import CostAware, Fallback, LoadBalance, Single, Target

if TYPE_CHECKING:
    from portkey_router.messages import Completion
    from portkey_router.router import PortkeyRouter
    from portkey_router.targets import Strategy

__all__ = ["register"]

Models = Annotated[
    list[str] | None,
    typer.Option("--model", "-m", metavar="MODEL[=WEIGHT]", help="The model; given again, the next of the strategy."),
]
StrategyName = Annotated[
    str, typer.Option("--strategy", metavar="fallback|loadbalance|cost_aware", help="What several models are for.")
]
SavedConfig = Annotated[str | None, typer.Option("--config", metavar="pc-...", help="A saved config in their place.")]
RunOn = Annotated[str, typer.Option("--run-on", metavar="client|gateway", help="Who runs the strategy.")]
Retries = Annotated[int, typer.Option("--max-retries", min=0, help="Further tries for each target.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("plan", rich_help_panel="Calls")(plan)
    app.command("chat", rich_help_panel="Calls")(chat)


def _router(
    models: list[str] | None,
    strategy: str,
    config: str | None,
    *,
    run_on: str,
    max_retries: int,
    timeout: float | None = None,
) -> PortkeyRouter:
    if run_on not in {"client", "gateway"}:
        raise typer.BadParameter(f"--run-on is client or gateway, not {run_on!r}")
    chosen: dict[str, Any] = {"config": config} if config else {}
    if models and len(models) == 1 and "=" not in models[0]:
        chosen["model"] = models[0]
    elif models:
        if config:
            raise typer.BadParameter("a saved config has its own targets: --config, or several --model")
        chosen["strategy"] = _strategy(strategy, models)
    elif not config and not ((settings := load_settings()).config or settings.fallbacks):
        raise ConfigurationError(
            "Which model? --model gpt-4o (again for the next one), or --config pc-...; or set PORTKEY_CONFIG_ID or "
            "PORTKEY_FALLBACKS."
        )
    return build_router(from_env=True, run_on=run_on, max_retries=max_retries, timeout=timeout, **chosen)  # type: ignore[arg-type]  # checked above


def _strategy(name: str, models: list[str]) -> Strategy:
    targets = []
    for text in models:
        model, _, weight = text.partition("=")
        try:
            targets.append(Target(model, weight=float(weight or 1)))
        except ValueError as error:
            if isinstance(error, ConfigurationError):
                raise
            raise typer.BadParameter(f"--model {model}=WEIGHT: a weight is a number, not {weight!r}") from None
    if name == "fallback":
        return Fallback(*targets) if len(targets) > 1 else Single(targets[0])
    if name == "loadbalance":
        return LoadBalance(*targets)
    if name == "cost_aware":
        return CostAware(*targets)
    raise typer.BadParameter(f"--strategy is fallback, loadbalance or cost_aware, not {name!r}")


def plan(
    *,
    model: Models = None,
    strategy: StrategyName = "fallback",
    config: SavedConfig = None,
    run_on: RunOn = "client",
    max_retries: Retries = 2,
    as_json: Json = False,
) -> None:
    """Show what a call would do, and why, without making it: the targets, in order. Nothing is sent."""
    planned = _router(model, strategy, config, run_on=run_on, max_retries=max_retries).plan()
    rows = [
        [number, attempt.target, attempt.model or "(the config's)", attempt.provider, attempt.tries, attempt.reason]
        for number, attempt in enumerate(planned.attempts, 1)
    ]
    columns = ["#", "target", "model", "provider", "tries", "why"]
    names = ["number", "target", "model", "provider", "tries", "reason"]
    attempts = [dict(zip(names, row, strict=True)) for row in rows]
    value = {"strategy": planned.strategy, "run_on": planned.run_on, "attempts": attempts}
    if not as_json:
        show(None, f"{planned.strategy}, run on the {planned.run_on}", as_json=False)
    show_rows(columns, rows, value, as_json=as_json, none="")


def chat(
    *,
    question: Annotated[str, typer.Argument(help="What to ask; - reads it from standard input.")],
    model: Models = None,
    strategy: StrategyName = "fallback",
    config: SavedConfig = None,
    run_on: RunOn = "client",
    system: Annotated[str | None, typer.Option("--system", help="What the model is told first.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=1, help="The longest answer, in tokens.")
    ] = None,
    temperature: Annotated[float | None, typer.Option("--temperature", help="From 0, the most likely words.")] = None,
    max_retries: Retries = 2,
    timeout: Annotated[float, typer.Option("--timeout", min=0.001, help="Seconds for the whole call.")] = 120.0,
    as_json: Json = False,
) -> None:
    """Ask a question. The answer is printed as it comes; what it cost, and who gave it, on standard error."""
    text = sys.stdin.read() if question == "-" else question
    if not text.strip():
        raise typer.BadParameter("the question is empty")
    router = _router(model, strategy, config, run_on=run_on, max_retries=max_retries, timeout=timeout)
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": text})
    started = time.monotonic()
    options = {"max_tokens": max_tokens, "temperature": temperature}
    if as_json:
        with progress("Asking"):
            answer = router.complete(messages, **options)
        show(_told(answer, time.monotonic() - started), "", as_json=True)
        return
    stream = router.stream(messages, **options)
    with stream:
        for chunk in stream:
            sys.stdout.write(chunk.content)
            sys.stdout.flush()
    sys.stdout.write("\n")
    if stream.completion is not None:
        note(_summary(_told(stream.completion, time.monotonic() - started)))


def _told(answer: Completion, seconds: float) -> dict[str, Any]:
    usage, route = answer.usage, answer.route
    return {
        "text": answer.text,
        "finish_reason": answer.finish_reason,
        "model": answer.model,
        "target": route.target,
        "provider": route.provider,
        "usage": {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens} if usage else None,
        "cost": answer.cost.as_dict() if answer.cost else None,
        "seconds": round(seconds, 3),
        "trace_id": route.trace_id,
        "attempts": [
            {"target": attempt.target, "outcome": attempt.outcome, "status": attempt.status}
            for attempt in route.attempts
        ],
    }


def _summary(told: dict[str, Any]) -> str:
    usage, cost = told["usage"], told["cost"]
    parts = [str(told["model"])]
    if usage:
        parts.append(f"{usage['input_tokens']} + {usage['output_tokens']} tokens")
    parts.append(f"${cost['amount']} ({cost['source']})" if cost else "cost unknown")
    parts.append(f"{told['seconds']:.1f} s")
    if len(told["attempts"]) > 1:
        parts.append(f"{len(told['attempts'])} attempts")
    return f"({', '.join(parts)})"

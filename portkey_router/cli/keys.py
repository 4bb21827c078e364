"""Commands for providers' keys."""

from __future__ import annotations

from typing import Annotated

import typer

from portkey_router.admin import ProviderKey  # noqa: TC001  (typer reads annotations)
from portkey_router.cli.options import (
    Json,
    KeyEnv,
    KeyStdin,
    Timeout,
    Workspace,
    admin_client,
    budget,
    confirm,
    rate_limit,
    take_key,
)
from portkey_router.cli.output import progress, show, show_rows
from portkey_router.cli.provider_names import check_provider, providers_named
from portkey_router.providers import variable_of

__all__ = ["register"]

Id = Annotated[str, typer.Option("--id", metavar="SLUG", help="The key's slug, as list-keys shows it.")]
Budget = Annotated[
    int | None, typer.Option("--budget", help="Budget: whole US dollars, or tokens (see --budget-type).")
]
BudgetType = Annotated[str, typer.Option("--budget-type", metavar="cost|tokens", help="What the budget counts.")]
Alert = Annotated[int | None, typer.Option("--alert", help="Send alerts from this much on.")]
Reset = Annotated[
    str | None, typer.Option("--reset", metavar="monthly|weekly|DAYS", help="When the budget begins anew.")
]
Rate = Annotated[str | None, typer.Option("--rate-limit", metavar="60rpm", help="So many a minute, hour or day.")]
RateType = Annotated[str, typer.Option("--rate-type", metavar="requests|tokens", help="What the rate limit counts.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    panel = "Providers' keys"
    app.command("create-key", rich_help_panel=panel)(create_key)
    app.command("list-keys", rich_help_panel=panel)(list_keys)
    app.command("rotate-key", rich_help_panel=panel)(rotate_key)
    app.command("set-limits", rich_help_panel=panel)(set_limits)
    app.command("delete-key", rich_help_panel=panel)(delete_key)


def create_key(
    *,
    name: Annotated[str, typer.Option("--name", help="What to call it.")],
    provider: Annotated[
        str, typer.Option("--provider", help="Whose key it is: openai, anthropic ...", autocompletion=providers_named)
    ],
    key: Annotated[str | None, typer.Option("--key", help="The provider's key; better one of the other ways.")] = None,
    key_stdin: KeyStdin = False,
    key_env: KeyEnv = None,
    kind: Annotated[
        str, typer.Option("--kind", metavar="auto|virtual-key|provider", help="By default what the workspace has.")
    ] = "auto",
    note: Annotated[str | None, typer.Option("--note", help="A note to it.")] = None,
    budget_: Budget = None,
    budget_type: BudgetType = "cost",
    alert: Alert = None,
    reset: Reset = None,
    rate: Rate = None,
    rate_type: RateType = "requests",
    workspace: Workspace = None,
    timeout: Timeout = 30.0,
    as_json: Json = False,
) -> None:
    """Store a provider's key in Portkey, under a slug that requests name.

    Where the workspace has a Model Catalog it becomes an integration with a provider, else a virtual key. Without
    --key, --key-stdin or --key-env the key is asked for, unseen.
    """
    if kind not in {"auto", "virtual-key", "provider"}:
        raise typer.BadParameter(f"--kind is auto, virtual-key or provider, not {kind!r}")
    usage, rates = budget(budget_, budget_type, alert, reset), rate_limit(rate, rate_type)
    if not name.strip():
        raise typer.BadParameter("--name is empty")
    known = check_provider(provider)
    client = admin_client(workspace, timeout)
    secret = take_key(key, "--key", stdin=key_stdin, variable=key_env, what=f"The key of {provider}")
    with progress(f"Creating {name}"):
        made = client.keys.create(
            name=name,
            provider=known,
            key=secret,
            kind=kind,  # type: ignore[arg-type]  # checked above
            note=note,
            usage_limits=usage,
            rate_limits=rates,
        )
    told = {"slug": made.slug, "kind": made.kind, "name": name, "provider": made.provider}
    told |= {"integration": made.integration} if made.integration else {}
    variable = f'{variable_of(provider)}="{made.slug}"'
    text = f"Created the {made.kind.replace('-', ' ')} {made.slug}. Use it:\n  export {variable}"
    if made.kind == "provider":
        text += f"\nor name it with the model: @{made.slug}/<model>. Its key is in the integration {made.integration}."
    show({**told, "environment": variable}, text, as_json=as_json)


def list_keys(*, workspace: Workspace = None, timeout: Timeout = 30.0, as_json: Json = False) -> None:
    """List virtual keys and the providers of the Model Catalog. Keys themselves are never told."""
    with progress("Listing keys"):
        found = list(admin_client(workspace, timeout).keys.list())
    rows = [[key.slug, key.kind, key.name, key.provider or key.integration, key.status, _limits(key)] for key in found]
    columns = ["id", "kind", "name", "provider or integration", "status", "limits"]
    value = [key.model_dump(mode="json", exclude_none=True) for key in found]
    show_rows(columns, rows, value, as_json=as_json, none="There are no keys yet; create-key makes one.")


def _limits(key: ProviderKey) -> str | None:
    budgets = [
        (f"${limit.credit_limit}" if limit.type != "tokens" else f"{limit.credit_limit} tokens")
        + (f" {limit.periodic_reset}" if limit.periodic_reset else "")
        for limit in key.usage_limits
        if limit.credit_limit is not None
    ]
    return ", ".join([*budgets, *(f"{rate.value} {rate.type} {rate.unit}" for rate in key.rate_limits)]) or None


def rotate_key(
    *,
    slug: Id,
    new_key: Annotated[
        str | None, typer.Option("--new-key", help="The provider's new key; better one of the other ways.")
    ] = None,
    key_stdin: KeyStdin = False,
    key_env: KeyEnv = None,
    workspace: Workspace = None,
    timeout: Timeout = 30.0,
    as_json: Json = False,
) -> None:
    """Put a new key of the provider's in the old one's place; the slug, and all that names it, stays."""
    client = admin_client(workspace, timeout)
    secret = take_key(new_key, "--new-key", stdin=key_stdin, variable=key_env, what=f"The new key of {slug}")
    with progress(f"Rotating {slug}"):
        rotated = client.keys.rotate(slug, key=secret)
    told = rotated.model_dump(include={"slug", "kind", "integration"}, exclude_none=True)
    show(told, f"The new key of {rotated.slug} is in place.", as_json=as_json)


def set_limits(
    *,
    slug: Id,
    budget_: Budget = None,
    budget_type: BudgetType = "cost",
    alert: Alert = None,
    reset: Reset = None,
    rate: Rate = None,
    rate_type: RateType = "requests",
    reset_usage: Annotated[
        bool, typer.Option("--reset-usage", help="Count the budget from 0 again (providers only).")
    ] = False,
    workspace: Workspace = None,
    timeout: Timeout = 30.0,
    as_json: Json = False,
) -> None:
    """Set the budget and the rate limit of a key."""
    usage, rates = budget(budget_, budget_type, alert, reset), rate_limit(rate, rate_type)
    if usage is None and rates is None and not reset_usage:
        raise typer.BadParameter("nothing to set: --budget, --rate-limit or --reset-usage")
    with progress(f"Setting limits of {slug}"):
        key = admin_client(workspace, timeout).keys.set_limits(
            slug, usage_limits=usage, rate_limits=rates, reset_usage=reset_usage
        )
    show({"slug": key.slug, "kind": key.kind}, f"The limits of {key.slug} are set.", as_json=as_json)


def delete_key(
    *,
    slug: Id,
    with_integration: Annotated[
        bool, typer.Option("--with-integration", help="Delete the provider's integration, too, which holds the key.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    workspace: Workspace = None,
    timeout: Timeout = 30.0,
    as_json: Json = False,
) -> None:
    """Delete a key: requests that name it fail from now on."""
    client = admin_client(workspace, timeout)
    if not yes:
        confirm(f"Delete {slug}?")
    with progress(f"Deleting {slug}"):
        deleted = client.keys.delete(slug, with_integration=with_integration)
    left = f" The integration {deleted.integration} still holds the key." if deleted.integration else ""
    told = deleted.model_dump(include={"slug", "kind", "integration"}, exclude_none=True)
    show(told, f"Deleted {deleted.slug}.{left}", as_json=as_json)

"""Commands for saved gateway configs."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from portkey_router.admin.provider_list import STRATEGIES, providers_from_json, strategy_of
from portkey_router.cli.options import Json, Timeout, Workspace, admin_client, confirm
from portkey_router.cli.output import progress, show, show_rows
from portkey_router.compile import compile_config
from portkey_router.errors import ConfigurationError
from portkey_router.pricing import PriceBook
from portkey_router.secrets import is_secret_name

__all__ = ["register"]

Slug = Annotated[str, typer.Option("--id", metavar="pc-...", help="The config's slug, as list-configs shows it.")]
Strategy = Annotated[
    str | None,
    typer.Option(
        "--strategy",
        metavar="NAME",
        help="How the providers are used: fallback, loadbalance, cost_aware, conditional or single.",
        autocompletion=lambda incomplete: [name for name in STRATEGIES if name.startswith(incomplete)],
    ),
]
Providers = Annotated[
    str | None,
    typer.Option("--providers", metavar="JSON|FILE", help='[{"virtual_key": "...", "models": ["..."], "weight": 1}]'),
]
Retries = Annotated[int, typer.Option("--max-retries", min=0, max=5, help="Further tries for each target.")]
ConfigFile = Annotated[
    str | None, typer.Option("--config", metavar="JSON|FILE", help="A config of Portkey's as it is, in their place.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    panel = "Gateway configs"
    app.command("create-config", rich_help_panel=panel)(create_config)
    app.command("list-configs", rich_help_panel=panel)(list_configs)
    app.command("show-config", rich_help_panel=panel)(show_config)
    app.command("update-config", rich_help_panel=panel)(update_config)
    app.command("delete-config", rich_help_panel=panel)(delete_config)


def create_config(
    *,
    name: Annotated[str, typer.Option("--name", help="What to call it.")],
    strategy: Strategy = None,
    providers: Providers = None,
    config: ConfigFile = None,
    max_retries: Retries = 2,
    default: Annotated[bool, typer.Option("--default", help="Make it the workspace's default.")] = False,
    workspace: Workspace = None,
    timeout: Timeout = 30.0,
    as_json: Json = False,
) -> None:
    """Save a gateway config, for PORTKEY_CONFIG_ID and config="pc-...".

    fallback: every model in the order given. loadbalance: by weight. cost_aware: the cheapest first, by today's prices.
    conditional: the first provider whose "when" matches, else the one without.
    """
    if not name.strip():
        raise typer.BadParameter("--name is empty")
    content = _content(strategy, providers, config, max_retries)
    if content is None:
        raise typer.BadParameter("what it says is missing: --strategy with --providers, or --config")
    with progress(f"Saving {name}"):
        saved = admin_client(workspace, timeout).configs.create(name=name, config=content, is_default=default)
    told = saved.model_dump(include={"id", "slug", "version_id"}, exclude_none=True)
    use = f'Use it:\n  export PORTKEY_CONFIG_ID="{saved.slug}"' if saved.slug else "list-configs shows its slug."
    show(told, f"Saved {saved.slug or saved.id}. {use}", as_json=as_json)


def _content(strategy: str | None, providers: str | None, config: str | None, max_retries: int) -> Any:
    if config is not None:
        if strategy is not None or providers is not None:
            raise typer.BadParameter("--config stands alone, without --strategy and --providers")
        return _config(_text(config, "--config"))
    if strategy is None and providers is None:
        return None
    if strategy is None or providers is None:
        raise typer.BadParameter("--strategy and --providers go together")
    if strategy not in STRATEGIES:
        raise typer.BadParameter(f"--strategy is one of {', '.join(STRATEGIES)}, not {strategy!r}")
    entries = providers_from_json(_text(providers, "--providers"))
    return compile_config(strategy_of(strategy, entries, prices=PriceBook()), max_retries=max_retries)


def _text(value: str, option: str) -> str:
    """JSON as given, or a file's content."""
    if value.lstrip()[:1] in {"[", "{"}:
        return value
    try:
        return Path(value).read_text(encoding="utf-8")
    except (OSError, ValueError):
        raise ConfigurationError(f"{option} is neither JSON nor a file that can be read.") from None


def _config(text: str) -> Any:
    try:
        config = json.loads(text)
    except ValueError:
        raise ConfigurationError("--config is not valid JSON.") from None
    if not isinstance(config, dict):
        raise ConfigurationError('--config is an object: {"strategy": ..., "targets": [...]}.')
    return config


def list_configs(*, workspace: Workspace = None, timeout: Timeout = 30.0, as_json: Json = False) -> None:
    """List saved gateway configs."""
    with progress("Listing configs"):
        found = list(admin_client(workspace, timeout).configs.list())
    rows = [[config.slug, config.name, config.status, "yes" if config.is_default else ""] for config in found]
    value = [config.model_dump(mode="json", exclude_none=True) for config in found]
    none = "There are no configs yet; create-config makes one."
    show_rows(["id", "name", "status", "default"], rows, value, as_json=as_json, none=none)


def show_config(
    *,
    slug: Slug,
    versions: Annotated[bool, typer.Option("--versions", help="Every version of it, the newest last.")] = False,
    workspace: Workspace = None,
    timeout: Timeout = 30.0,
    as_json: Json = False,
) -> None:
    """Show what a config says; keys in it are struck out."""
    client = admin_client(workspace, timeout)
    if not versions:
        with progress(f"Reading {slug}"):
            found = client.configs.get(slug)
        told = {"slug": slug, "name": found.name, "config": _struck(found.config)}
        show(told, json.dumps(told["config"], indent=2, default=str), as_json=as_json)
        return
    with progress(f"Reading the versions of {slug}"):
        history = list(client.configs.versions(slug))
    rows = [
        [version.version_id, version.created_at, json.dumps(_struck(version.config), default=str)]
        for version in history
    ]
    value = [
        {**version.model_dump(mode="json", exclude_none=True), "config": _struck(version.config)} for version in history
    ]
    show_rows(["version", "created", "config"], rows, value, as_json=as_json, none="It has no versions.")


def _struck(value: Any) -> Any:
    """The same without keys. The slugs of virtual keys are no secrets, and what a config is about."""
    if isinstance(value, dict):
        return {
            name: "***" if is_secret_name(name) and name != "virtual_key" and isinstance(part, str) else _struck(part)
            for name, part in value.items()
        }
    if isinstance(value, Decimal):  # what it says is JSON, which can be given to update-config again
        return int(value) if value == value.to_integral_value() else float(value)
    return [_struck(part) for part in value] if isinstance(value, list | tuple) else value


def update_config(
    *,
    slug: Slug,
    name: Annotated[str | None, typer.Option("--name", help="Another name.")] = None,
    strategy: Strategy = None,
    providers: Providers = None,
    config: ConfigFile = None,
    max_retries: Retries = 2,
    workspace: Workspace = None,
    timeout: Timeout = 30.0,
    as_json: Json = False,
) -> None:
    """Change a config; what it said before stays as a version."""
    content = _content(strategy, providers, config, max_retries)
    if content is None and name is None:
        raise typer.BadParameter("nothing to change: --name, --strategy with --providers, or --config")
    with progress(f"Changing {slug}"):
        saved = admin_client(workspace, timeout).configs.update(slug, name=name, config=content)
    told = {"slug": slug, "version_id": saved.version_id}
    show(told, f"Changed {slug}; this is version {saved.version_id}.", as_json=as_json)


def delete_config(
    *,
    slug: Slug,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    workspace: Workspace = None,
    timeout: Timeout = 30.0,
    as_json: Json = False,
) -> None:
    """Delete a config: requests that name it fail from now on."""
    client = admin_client(workspace, timeout)
    if not yes:
        confirm(f"Delete {slug}?")
    with progress(f"Deleting {slug}"):
        client.configs.delete(slug)
    show({"slug": slug}, f"Deleted {slug}.", as_json=as_json)

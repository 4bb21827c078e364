"""Options that several commands have, and the ways to hand over a key."""

from __future__ import annotations

import difflib
import os
import sys
from typing import Annotated

import typer
from pydantic import SecretStr

from portkey_router.admin import AdminClient, RateLimits, UsageLimits
from portkey_router.cli.output import note, warn
from portkey_router.errors import ConfigurationError
from portkey_router.providers import PROVIDERS, portkey_provider

__all__ = [
    "Json",
    "KeyEnv",
    "KeyStdin",
    "Timeout",
    "Workspace",
    "admin_client",
    "budget",
    "confirm",
    "providers_named",
    "rate_limit",
    "take_key",
    "warn_of_unknown",
]

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Workspace = Annotated[
    str | None, typer.Option("--workspace", metavar="ID", help="The workspace; an organisation's admin key needs one.")
]
Timeout = Annotated[float, typer.Option("--timeout", min=0.001, help="Seconds for each request.")]
KeyStdin = Annotated[bool, typer.Option("--key-stdin", help="Read the provider's key from standard input.")]
KeyEnv = Annotated[
    str | None, typer.Option("--key-env", metavar="VARIABLE", help="Take the provider's key from this variable.")
]


def admin_client(workspace: str | None = None, timeout: float = 30.0) -> AdminClient:
    """The client that the environment names."""
    return AdminClient(workspace_id=workspace, timeout=timeout)


def providers_named(incomplete: str) -> list[str]:
    """Names of providers that begin so, for the shell's completion."""
    return [provider.portkey for provider in PROVIDERS if provider.portkey.startswith(incomplete)]


def warn_of_unknown(provider: str) -> None:
    """Of a name that looks like a slip. Others pass: Portkey knows many providers that have no variable here."""
    known = {name for each in PROVIDERS for name in (each.name, each.portkey)}
    near = difflib.get_close_matches(provider.lower(), known, n=1, cutoff=0.8)
    if near and portkey_provider(provider) not in known:
        warn(f"there is no provider {provider!r} in our table: did you mean {near[0]}?")


def take_key(argument: str | None, option: str, *, stdin: bool, variable: str | None, what: str) -> SecretStr:
    """The key, by whichever way it is handed over; at a terminal it is asked for where none is."""
    ways = [argument is not None, stdin, variable is not None]
    if sum(ways) > 1:
        raise typer.BadParameter(f"give the key one way: {option}, --key-stdin or --key-env")
    if argument is not None:
        warn(
            f"a key after {option} stays in the shell's history, and others on this machine can read it in the list "
            "of processes; --key-stdin, --key-env or the prompt keep it out of both"
        )
        key = argument
    elif variable is not None:
        key = os.environ.get(variable, "")
        if not key.strip():
            raise ConfigurationError(f"--key-env {variable}: this variable is not set, or empty.")
    elif stdin:
        key = sys.stdin.readline()
    elif sys.stdin.isatty():
        key = str(typer.prompt(what, hide_input=True, err=True))
    else:
        raise typer.BadParameter(f"the key is missing: --key-stdin, --key-env VARIABLE, or {option}")
    if not key.strip():
        raise ConfigurationError("The key is empty.")
    return SecretStr(key.strip())


def confirm(question: str) -> None:
    """Ask; anything but Yes, and a pipe that has nothing to say, ends the command with nothing done."""
    try:
        typer.confirm(question, abort=True, err=True)
    except typer.Abort:
        note("\nNothing was removed. (With --yes it is not asked.)")
        raise


def budget(amount: int | None, unit: str, alert: int | None, reset: str | None) -> UsageLimits | None:
    """A budget from its options; None where none of them is given. `reset` is monthly, weekly, or a number of days."""
    if amount is None and alert is None and reset is None:
        return None
    if amount is None:
        raise typer.BadParameter("--alert and --reset belong to a --budget")
    days = int(reset) if reset is not None and reset.isdecimal() else None
    if reset is not None and days is None and reset not in {"monthly", "weekly"}:
        raise typer.BadParameter(f"--reset is monthly, weekly or a number of days, not {reset!r}")
    if unit not in {"cost", "tokens"}:
        raise typer.BadParameter(f"--budget-type is cost or tokens, not {unit!r}")
    told = {"credit_limit": amount, "type": unit, "alert_threshold": alert, "periodic_reset_days": days}
    return UsageLimits.model_validate({**told, "periodic_reset": reset if days is None else None})


def rate_limit(text: str | None, unit: str) -> RateLimits | None:
    """`60rpm` as a rate limit: a number, and rpm, rph or rpd."""
    if text is None:
        return None
    value, per = text[:-3], text[-3:]
    if not value.isdecimal() or per not in {"rpm", "rph", "rpd"}:
        raise typer.BadParameter(f"--rate-limit is a number with rpm, rph or rpd, such as 60rpm; not {text!r}")
    if unit not in {"requests", "tokens"}:
        raise typer.BadParameter(f"--rate-type is requests or tokens, not {unit!r}")
    return RateLimits(type=unit, unit=per, value=int(value))

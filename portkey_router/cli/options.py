"""Options that several commands have, and the ways to hand over a key."""

from __future__ import annotations

import os
import re
import sys
from typing import Annotated

import typer
from pydantic import SecretStr

from portkey_router.admin import AdminClient, RateLimits, UsageLimits
from portkey_router.cli.output import note, warn
from portkey_router.errors import ConfigurationError

__all__ = [
    "Json",
    "KeyEnv",
    "KeyStdin",
    "Timeout",
    "Workspace",
    "admin_client",
    "budget",
    "confirm",
    "from_variable",
    "rate_limit",
    "take_key",
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


def from_variable(option: str, name: str) -> str:
    """The value of the variable that an option names. Raises `ConfigurationError` where it is not set, or empty.

    What looks like no variable's name is not quoted: it may be the secret itself, put there in its place.
    """
    found = os.environ.get(name, "").strip()
    if found:
        return found
    if re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
        raise ConfigurationError(f"{option} {name}: this variable is not set, or empty.")
    raise ConfigurationError(f"{option} takes the name of a variable that is set, not what it holds.")


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
        key = from_variable("--key-env", variable)
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
    if not value.isdecimal() or not int(value) or per not in {"rpm", "rph", "rpd"}:
        raise typer.BadParameter(f"--rate-limit is a number above 0 with rpm, rph or rpd, such as 60rpm; not {text!r}")
    if unit not in {"requests", "tokens"}:
        raise typer.BadParameter(f"--rate-type is requests or tokens, not {unit!r}")
    return RateLimits(type=unit, unit=per, value=int(value))

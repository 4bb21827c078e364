"""The commands, and how they end.

Exit codes: 0 done; 1 refused, or another error; 2 a wrong command line; 3 a setting is missing or wrong; 4 a key is
refused; 5 nothing of that name or id; 6 not reachable, too slow, or to be tried again later; 7 a creation whose reply
was lost; 130 interrupted.
"""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portkey_router._version import __version__
from portkey_router.cli import cache, calls, configs, keys, local, status, usage
from portkey_router.cli.output import one_line
from portkey_router.errors import (
    AdminError,
    AllTargetsFailedError,
    AuthenticationError,
    ConfigurationError,
    CreateUnconfirmedError,
    PortkeyError,
    StoreError,
    TransportError,
    UpstreamRateLimitError,
    UpstreamUnavailableError,
)
from portkey_router.secrets import redact

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["app", "run"]

# The base of what click raises; newer versions of typer carry a click of their own.
_WRONG_COMMAND_LINE: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

FAILED, USAGE, SETTING, REFUSED, NOT_FOUND, UNREACHABLE, UNCONFIRMED, INTERRUPTED = 1, 2, 3, 4, 5, 6, 7, 130
# What a store answered; None where it did not.
_STORE_CODES = {None: UNREACHABLE, "LOADING": UNREACHABLE, "NOAUTH": REFUSED, "WRONGPASS": REFUSED, "NOPERM": REFUSED}
EPILOG = (
    "Exit codes: 0 done, 1 refused or another error, 2 wrong command line, 3 setting missing or wrong, 4 key refused, "
    "5 not found, 6 not reachable or to be tried again later, 7 creation whose reply was lost, 130 interrupted."
)

app = typer.Typer(
    name="portkey-router",
    help="Keys, configs, limits and calls of the Portkey AI gateway.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for module in (keys, configs, calls, status, usage, cache, local):
    module.register(app)


def _version(value: bool) -> None:  # noqa: FBT001  (typer's callback)
    if value:
        sys.stdout.write(f"portkey-router {__version__}\n")
        raise typer.Exit


@app.callback()
def _main(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,  # noqa: FBT002  (an option)
) -> None:
    """Keys, configs, limits and calls of the Portkey AI gateway."""


def run(arguments: Sequence[str]) -> int:
    """Run one command; its exit code. Whatever goes wrong is one line on stderr (with --json, one line of JSON)."""
    as_json = "--json" in arguments
    try:
        result = app(args=list(arguments), prog_name="portkey-router", standalone_mode=False)
    except typer.Abort:
        return INTERRUPTED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has had enough
        sys.stderr.close()
        return 0
    except PortkeyError as error:
        return _told(error, one_line(str(error)), _code(error), as_json=as_json)
    except _WRONG_COMMAND_LINE as error:
        if not _said(error):  # a group of commands, named alone: its help has been printed
            return USAGE
        return _told(error, _usage(error), USAGE, as_json=as_json)
    return result if isinstance(result, int) else 0


def _told(error: Exception, message: str, code: int, *, as_json: bool) -> int:
    notes = [one_line(text) for text in getattr(error, "__notes__", ())]
    message = f"{message.rstrip('.')}." if notes else message
    if as_json:
        told: dict[str, Any] = {
            "error": type(error).__name__,
            "message": " ".join([message, *notes]),
            "exit_code": code,
        }
        told |= {
            name: value
            for name in ("status", "code", "retry_after")
            if (value := getattr(error, name, None)) is not None
        }
        sys.stderr.write(json.dumps(told, ensure_ascii=False) + "\n")
    else:
        sys.stderr.write(f"error: {' '.join([message, *notes])}\n")
    return code


def _said(error: Any) -> str:
    return one_line(error.format_message())


def _usage(error: Any) -> str:
    context = getattr(error, "ctx", None)
    where = getattr(context, "command_path", "portkey-router")
    # An argument too many, or a key in the place of something else: neither is said again.
    text = re.sub(r"(extra arguments?(?:\(s\))?) \(.*\)$", r"\1", redact(_said(error)).rstrip("."))
    return f"{text}{'' if text.endswith('?') else '.'} See: {where} --help"


def _code(error: PortkeyError) -> int:
    status = getattr(error, "status", None)
    if isinstance(error, StoreError):
        return _STORE_CODES.get(error.code, FAILED)
    if isinstance(error, CreateUnconfirmedError):
        return UNCONFIRMED
    if isinstance(error, ConfigurationError):
        return SETTING
    if isinstance(error, AuthenticationError) or (isinstance(error, AdminError) and status in {401, 403}):
        return REFUSED
    if status == 404:  # noqa: PLR2004
        return NOT_FOUND
    passing = isinstance(error, AdminError) and (status == 429 or (status or 0) >= 500)  # noqa: PLR2004
    unreachable = TransportError | UpstreamRateLimitError | UpstreamUnavailableError | AllTargetsFailedError
    return UNREACHABLE if passing or isinstance(error, unreachable) else FAILED

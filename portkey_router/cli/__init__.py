"""`portkey-router`, also `python -m portkey_router`: needs `pip install "portkey-router[cli]"`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code (see `portkey_router.cli.app`). Without the extra: what to install."""
    try:
        from portkey_router.cli.app import run  # noqa: PLC0415  (typer and rich are an extra)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"rich", "typer"}:
            raise
        sys.stderr.write('error: the command line needs its extra: pip install "portkey-router[cli]"\n')
        return 1
    return run(sys.argv[1:] if arguments is None else arguments)

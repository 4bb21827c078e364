"""What the commands print: results on stdout (a table, or JSON), everything else on stderr."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any

import rich.box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["note", "one_line", "progress", "show", "show_rows", "warn"]

# Into a pipe or a file a table is as wide as it must be: nothing is cut.
PIPED_WIDTH = 400


def _console() -> Console:
    width = None if sys.stdout.isatty() else PIPED_WIDTH
    return Console(width=width, highlight=False, markup=False, emoji=False)


def show(value: Any, text: str, *, as_json: bool) -> None:
    """A result: as JSON, or in words."""
    if as_json:
        sys.stdout.write(json.dumps(value, indent=2, default=str, ensure_ascii=False) + "\n")
    else:
        _console().print(text, soft_wrap=True)


def show_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]], value: Any, *, as_json: bool, none: str) -> None:
    """A result of rows: as JSON, or as a table; `none` is said where there are no rows."""
    if as_json or not rows:
        show(value, none, as_json=as_json)
        return
    table = Table(box=rich.box.SIMPLE, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text("-" if cell is None else str(cell)) for cell in row))
    _console().print(table)


def one_line(text: str) -> str:
    """A message on one line."""
    return " ".join(text.split())


def note(text: str) -> None:
    """Something beside the result."""
    sys.stderr.write(f"{text}\n")


def warn(text: str) -> None:
    """Something that should be done otherwise."""
    note(f"warning: {one_line(text)}")


@contextlib.contextmanager
def progress(what: str) -> Iterator[None]:
    """Say what goes on while it does, at a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(f"{what} ..."):
        yield

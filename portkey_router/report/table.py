"""Totals by some dimension, as a mapping that shows itself as a table: in a terminal, in a notebook, as a frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from html import escape
from typing import TYPE_CHECKING, Any

from portkey_router.errors import ConfigurationError
from portkey_router.report.totals import UsageTotals

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.table import Table

__all__ = ["UsageTable", "frame_of"]

_SHOWN = ("calls", "input_tokens", "output_tokens", "cost_usd")
# Shown where they are not all 0.
_SHOWN_IF_ANY = ("hits", "saved_usd", "failed", "estimated", "unpriced")
_TITLES = {"input_tokens": "input", "output_tokens": "output", "cost_usd": "cost USD", "saved_usd": "saved USD"}


class UsageTable(Mapping[Any, UsageTotals]):
    """`UsageTotals` by the values of one dimension, the dearest first; by several, the keys are tuples.

    The value of calls that lack the dimension is None. `print(table)` draws it, rich draws it in its own way, a
    notebook as HTML, and `to_frame()` gives a pandas frame. A call with several tags counts under each of them, so
    rows by tag add up to more than `total`, which counts each call once.
    """

    def __init__(self, names: Sequence[str], rows: Mapping[Any, UsageTotals], total: UsageTotals) -> None:
        self.names = tuple(names)
        ordered = sorted(rows.items(), key=lambda row: (-row[1].cost_usd, -row[1].total_tokens, str(row[0])))
        self._rows = dict(ordered)
        self.total = total

    def __getitem__(self, value: Any) -> UsageTotals:
        row: UsageTotals = self._rows[value]
        return row

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"UsageTable(by={', '.join(self.names)}: {len(self)} rows, ${self.total.cost_usd:f})"

    def __str__(self) -> str:
        lines = self._lines()
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        return "\n".join(self._aligned(line, widths) for line in lines)

    def _aligned(self, line: Sequence[str], widths: Sequence[int]) -> str:
        named = len(self.names)
        cells = [
            cell.ljust(width) if column < named else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    def __rich__(self) -> Table:
        from rich.table import Table  # noqa: PLC0415  (only rich itself asks)

        heading, *rows, total = self._lines()
        table = Table(*heading[: len(self.names)], show_footer=True)
        for title in heading[len(self.names) :]:
            table.add_column(title, justify="right")
        for column, footer in zip(table.columns, total, strict=True):
            column.footer = footer
        for row in rows:
            table.add_row(*row)
        return table

    def _repr_html_(self) -> str:
        heading, *rows = self._lines()
        head = "".join(f"<th>{escape(cell)}</th>" for cell in heading)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def to_frame(self) -> Any:
        """A pandas frame, one row for each value; `cost_usd` holds `Decimal`s (`.astype(float)` to plot them).

        Raises `ConfigurationError` where pandas is not installed.
        """
        names = [field.name for field in fields(UsageTotals)]
        return frame_of(
            {**dict(zip(self.names, self._key(value), strict=True)), **{name: getattr(row, name) for name in names}}
            for value, row in self.items()
        )

    def _key(self, value: Any) -> tuple[Any, ...]:
        return tuple(value) if len(self.names) > 1 else (value,)

    def _lines(self) -> list[list[str]]:
        """Heading, rows and total, as text."""
        shown = [*_SHOWN[:-1], *(name for name in _SHOWN_IF_ANY if getattr(self.total, name)), _SHOWN[-1]]
        lines = [[*self.names, *(_TITLES.get(name, name) for name in shown)]]
        for value, row in self.items():
            key = ("-" if part is None else str(part) for part in self._key(value))
            lines.append([*key, *(_cell(row, name) for name in shown)])
        lines.append(["total", *[""] * (len(self.names) - 1), *(_cell(self.total, name) for name in shown)])
        return lines


def _cell(row: UsageTotals, name: str) -> str:
    value = getattr(row, name)
    return f"{value:f}" if name in {"cost_usd", "saved_usd"} else f"{value:,}"


def frame_of(rows: Iterator[dict[str, Any]]) -> Any:
    """A pandas frame of these rows. Raises `ConfigurationError` where pandas is not installed."""
    try:
        import pandas  # type: ignore[import-untyped,import-not-found,unused-ignore]  # noqa: ICN001, PLC0415  (nobody else needs it)
    except ImportError as error:
        raise ConfigurationError("to_frame() needs pandas: pip install pandas") from error
    return pandas.DataFrame(list(rows))

"""Plots: of what `usage` shows, bars of text for a terminal and a picture by matplotlib; checks for any --plot."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portkey_router.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from portkey_router.cli.usage_lines import UsageLine

__all__ = ["FORMATS", "MOST_BARS", "bars", "check_plot", "figure_class", "save_figure", "save_plot"]

FORMATS = (".png", ".svg", ".pdf")
WIDTH = 40
# More than these are not told apart: of days the last ones, else the dearest.
MOST_BARS = 31
MOST_LABELS = 40
_NO_MATPLOTLIB = '--plot needs matplotlib: pip install "portkey-router[plots]"'


def bars(lines: Sequence[UsageLine]) -> list[str]:
    """Cost, time and failures as bars, each under its heading; what is not known, or 0 everywhere, is not drawn."""
    full, half = ("█", "░") if _can_print("█░") else ("#", ".")
    wide = max((len(line.label) for line in lines), default=0)

    def drawn(heading: str, of: Callable[[UsageLine], tuple[float, float, str]]) -> list[str]:
        told = [of(line) for line in lines]
        most = max((max(size, further) for size, further, _ in told), default=0.0)
        if not most:
            return []
        rows = []
        for line, (size, further, text) in zip(lines, told, strict=True):
            solid, whole = round(WIDTH * size / most), round(WIDTH * max(size, further) / most)
            rows.append(f"  {line.label:<{wide}}  {full * solid}{half * (whole - solid)} {text}".rstrip())
        return ["", heading, *rows]

    slow = any(line.slow is not None for line in lines)
    return [
        *drawn("cost USD", lambda line: (float(line.cost or 0), 0.0, f"{line.cost:f}" if line.cost else "")),
        *drawn(f"seconds, {'median, and 95th percentile' if slow else 'mean'}", _times),
        *drawn("failed", lambda line: (line.failures or 0.0, 0.0, _failures(line))),
    ]


def _times(line: UsageLine) -> tuple[float, float, str]:
    texts = [f"{seconds:.2f}" for seconds in (line.typical, line.slow) if seconds is not None]
    return line.typical or 0.0, line.slow or 0.0, ", ".join(texts)


def _failures(line: UsageLine) -> str:
    return " ".join([f"{line.failures:.1%}", line.errors]).rstrip() if line.failures else ""


def _can_print(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def check_plot(path: str) -> None:
    """Refuse, before anything is read, what cannot be drawn: no matplotlib, no such folder, a format that is none."""
    if Path(path).suffix.lower() not in FORMATS:
        raise ConfigurationError(f"--plot writes {', '.join(FORMATS)}: name a file that ends so, not {path!r}.")
    if not Path(path).absolute().parent.is_dir():
        raise ConfigurationError(f"--plot: there is no folder {Path(path).absolute().parent}; make it.")
    figure_class()


def figure_class() -> Any:
    """Matplotlib's `Figure`; without pyplot, which would look for a screen. Raises `ConfigurationError` without it."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  (an extra, and slow to import)
    except ImportError as error:
        raise ConfigurationError(_NO_MATPLOTLIB) from error
    return Figure


def save_plot(path: str, lines: Sequence[UsageLine], title: str) -> None:
    """Write a picture with a panel each for cost, time and failures. Raises `ConfigurationError` as `check_plot`."""
    figure = figure_class()(figsize=(min(max(6.4, 0.4 * len(lines) + 3), 24), 8), layout="constrained")
    cost, seconds, failed = figure.subplots(3, 1, sharex=True)
    places = range(len(lines))
    cost.bar(places, [float(line.cost or 0) for line in lines], color="tab:blue")
    cost.set(title=title, ylabel="cost, USD")
    slow = any(line.slow is not None for line in lines)
    if slow:
        seconds.bar(places, [line.slow or 0 for line in lines], color="tab:orange", alpha=0.4, label="95th percentile")
    typical = "median" if slow else "mean"
    seconds.bar(places, [line.typical or 0 for line in lines], color="tab:orange", label=typical)
    seconds.set_ylabel("seconds")
    seconds.legend()
    failed.bar(places, [100 * (line.failures or 0) for line in lines], color="tab:red")
    failed.set_ylabel("failed, %")
    every = 1 + len(lines) // MOST_LABELS
    labels = [line.label.replace("$", r"\$") for line in lines]  # what stands between two $ would be read as TeX
    failed.set_xticks(list(places)[::every], labels[::every], rotation=30, ha="right")
    save_figure(figure, path)


def save_figure(figure: Any, path: str) -> None:
    """Write it. Raises `ConfigurationError` where the file cannot be written."""
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise ConfigurationError(f"--plot {path} cannot be written: {error.strerror or error}") from error

"""Processes that spend together: started, ready, let go at once, and put away."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["SECONDS", "go", "started"]

ROOT = Path(__file__).parent.parent.parent
SECONDS = 100.0


@contextlib.contextmanager
def started(module: str, arguments: Sequence[str]) -> Iterator[list[subprocess.Popen[str]]]:
    """A process of the module for each argument, all ready; those that are left are killed at the end."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", module, argument],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for argument in arguments
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate(timeout=SECONDS)


def go(processes: list[subprocess.Popen[str]]) -> None:
    """Let them all begin."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()

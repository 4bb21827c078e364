"""Lines of the files that a sink wrote, rotated and compressed ones too, and of standard input: one in memory."""

from __future__ import annotations

import contextlib
import glob
import gzip
import os
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from portkey_router.errors import ConfigurationError
from portkey_router.report.reading import PassedOver

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import BufferedReader

__all__ = ["files_named", "lines_of"]

STANDARD_INPUT = "-"
# A call's line has some kilobytes; a longer one is none, and is not kept in memory.
LONGEST_LINE = 1 << 20
_GZIP = b"\x1f\x8b"


def files_named(names: Iterable[str]) -> list[str]:
    """The files of these names, each once, patterns (`calls.jsonl*`) as what they match; `-` is standard input.

    Raises `ConfigurationError` where there is no such file.
    """
    found: dict[str, str] = {}
    for name in names:
        matched = [name] if name == STANDARD_INPUT or Path(name).exists() else sorted(glob.glob(name))  # noqa: PTH207  (a name may be absolute)
        if not matched:
            raise ConfigurationError(f"There is no file {name}.")
        for each in matched:
            found.setdefault(each if each == STANDARD_INPUT else os.path.realpath(each), each)
    return list(found.values())


def lines_of(names: Iterable[str], passed_over: PassedOver | None = None) -> Iterator[bytes]:
    """Every line of these files, one after the other, with its line feed; gzip is seen by its first bytes.

    A line of more than 1 MiB comes as its first 1 MiB and a line feed, which is no event. A compressed file that ends
    in its middle is counted (`cut`) and read as far as it goes. Raises `ConfigurationError` for what cannot be read.
    """
    counts = PassedOver() if passed_over is None else passed_over
    for name in names:
        try:
            with _opened(name) as file:
                yield from _lines(file)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            counts.cut += 1
        except OSError as error:
            raise ConfigurationError(f"{name} cannot be read: {error.strerror or error}") from error


@contextlib.contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    with contextlib.ExitStack() as stack:
        raw = sys.stdin.buffer if name == STANDARD_INPUT else stack.enter_context(Path(name).open("rb"))
        buffered = cast("BufferedReader", raw)
        compressed = buffered.peek(2)[:2] == _GZIP
        yield cast("BinaryIO", stack.enter_context(gzip.GzipFile(fileobj=buffered)) if compressed else buffered)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass
            line += b"\n"
        yield line

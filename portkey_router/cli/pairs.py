"""Labelled pairs of questions from a file: CSV, TSV, or one JSON value a line."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portkey_router.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["read_pairs"]

Pair = tuple[str, str, bool]

FORM = "question, question, same or different"
_SAME = frozenset({"1", "duplicate", "same", "true", "yes"})
_DIFFERENT = frozenset({"0", "different", "false", "no"})
_DELIMITERS = {".csv": ",", ".tsv": "\t"}


def read_pairs(name: str) -> list[Pair]:
    """The pairs of a file, whose name's end says its form (`-`: JSON lines, from standard input).

    `.csv` and `.tsv` have three columns, and a header or none; `.jsonl` has lists of three, or objects of three fields,
    whatever their names. Raises `ConfigurationError` with the line that is neither.
    """
    ending = Path(name).suffix.lower()
    text = _text(name)
    if not text.strip():
        raise ConfigurationError(f"{name} is empty: it should have lines of {FORM}.")
    pairs = list(_of_table(name, text, _DELIMITERS[ending]) if ending in _DELIMITERS else _of_json(name, text))
    if not pairs:
        raise ConfigurationError(f"{name} has a header and nothing below it: it should have lines of {FORM}.")
    return pairs


def _text(name: str) -> str:
    ending = Path(name).suffix.lower()
    if name == "-":
        return sys.stdin.read()
    if ending not in {*_DELIMITERS, ".jsonl", ".ndjson"}:
        raise ConfigurationError(f"{name}: the file's name should end in .csv, .tsv or .jsonl.")
    try:
        return Path(name).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{name} is not UTF-8 text.") from None
    except OSError as error:
        raise ConfigurationError(f"{name} cannot be read: {error.strerror}.") from None


def _of_table(name: str, text: str, delimiter: str) -> Iterator[Pair]:
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if not row:
                continue
            if reader.line_num > 1 or not _is_header(row):
                yield _pair(row, f"{name}, line {reader.line_num}")
    except csv.Error as error:
        raise ConfigurationError(f"{name}, line {reader.line_num}: {error}.") from None


def _is_header(row: list[str]) -> bool:
    """Names of columns: single words, and `same`, or a third that is no label."""
    words = [cell.split() for cell in row]
    names = all(len(parts) == 1 for parts in words) and words[-1] == ["same"]
    return len(row) == 3 and (names or _label(row[2]) is None)  # noqa: PLR2004  (columns)


def _of_json(name: str, text: str) -> Iterator[Pair]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            raise ConfigurationError(f"{where}: not JSON.") from None
        yield _pair(list(told.values()) if isinstance(told, dict) else told, where)


def _pair(row: Any, where: str) -> Pair:
    if not isinstance(row, list) or len(row) != 3:  # noqa: PLR2004  (of a pair)
        raise ConfigurationError(f"{where}: it should have three values: {FORM}.")
    first, second, label = row
    if not all(isinstance(text, str) and text.strip() for text in (first, second)):
        raise ConfigurationError(f"{where}: a question is missing.")
    same = _label(label)
    if same is None:
        raise ConfigurationError(f"{where}: the third value says same or different (or true, false, 1, 0, yes, no).")
    return first, second, same


def _label(value: Any) -> bool | None:
    word = str(value).strip().lower()
    return word in _SAME if word in _SAME | _DIFFERENT else None

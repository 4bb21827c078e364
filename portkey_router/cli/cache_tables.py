"""What the cache's commands show: entries and sums as rows, ages and sizes in words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from portkey_router.cli.output import one_line
from portkey_router.secrets import redact, redact_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from portkey_router.cache.results import StoredEntry
    from portkey_router.cache.survey import CacheSurvey

__all__ = ["entry_rows", "entry_told", "groups_told", "since", "size", "survey_rows", "survey_tables"]

CUT = 60
"""Characters of a question, and of an answer, in a table."""
MOST = 20
"""Groups of a kind in a table."""
_SPANS = ((172_800, 86_400, "d"), (7_200, 3_600, "h"), (120, 60, "min"), (0, 1, "s"))
_GROUPS = ("namespaces", "tenants", "tags", "models", "kinds", "encoders")
_NOBODY = {"models": "(none: not a model's)", "encoders": "(none: equal questions only)"}


def since(seconds: float | None) -> str | None:
    """A span of time, roughly: `3 d`, `5 h`, `7 min`, `9 s`."""
    if seconds is None:
        return None
    unit, name = next((unit, name) for least, unit, name in _SPANS if seconds >= least)
    return f"{seconds / unit:.0f} {name}"


def size(number: float | None) -> str | None:
    """Bytes: `812 B`, `5.1 kB`, `3.0 MB`."""
    if number is None:
        return None
    for unit in ("B", "kB", "MB"):
        if number < 1000:  # noqa: PLR2004  (of the next unit it is less than one)
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"


# ---- entries ---------------------------------------------------------------------------------------------------------


def entry_rows(entries: Sequence[StoredEntry]) -> tuple[list[str], list[list[Any]]]:
    """The columns in which any of them has something, and a row for each."""
    told = [
        {
            "question": _cut(redact(entry.text)),
            "answer": _cut(redact(_said(entry.answer))),
            "found by": _found_by(entry),
            "model": entry.model,
            "age": since(entry.age),
            "expires in": since(entry.expires_in) or "never",
            "tags": redact(", ".join(entry.tags)),
            "tenant": entry.tenant,
            "namespace": entry.namespace,
            "key": redact(entry.name or ""),
            "size": size(entry.size),
            "id": entry.id,
        }
        for entry in entries
    ]
    columns = [name for name in told[0] if any(row[name] for row in told)] if told else []
    return columns, [[row[name] or None for name in columns] for row in told]


def entry_told(entry: StoredEntry) -> dict[str, Any]:
    """The whole of it, for JSON; what is shaped like a key is struck out."""
    names = ("id", "text", "answer", "kind", "age", "expires_in", "model", "tags", "tenant", "namespace", "name")
    told = {name: getattr(entry, name) for name in (*names, "encoder", "bar", "size")}
    return dict(redact_json({**told, "tags": list(entry.tags)}))


def _found_by(entry: StoredEntry) -> str:
    if not entry.text:
        return "key"
    if entry.encoder is None:
        return "equal questions"
    return "meaning" if entry.bar is None else f"meaning, from {entry.bar:.3f}"


def _said(answer: Any) -> str:
    """The words in an answer, whatever form it is stored in: its first text, else its JSON."""
    if isinstance(answer, str):
        return answer
    return _words(answer) or json.dumps(answer, ensure_ascii=False)


def _words(value: Any) -> str:
    if isinstance(value, dict):
        named = [value[name] for name in ("content", "text") if isinstance(value.get(name), str) and value[name]]
        return next(iter(named), "") or next((found for part in value.values() if (found := _words(part))), "")
    return next((found for part in value if (found := _words(part))), "") if isinstance(value, list) else ""


def _cut(text: str) -> str:
    line = one_line(text[: 4 * CUT])
    return line if len(line) <= CUT and len(text) <= 4 * CUT else f"{line[: CUT - 3]}..."


# ---- sums ------------------------------------------------------------------------------------------------------------


def groups_told(survey: CacheSurvey) -> dict[str, list[dict[str, Any]]]:
    """The groups as lists: JSON has no key that is None."""
    return {
        group: [{"name": name, "entries": number} for name, number in getattr(survey, group).items()]
        for group in _GROUPS
    }


def survey_rows(survey: CacheSurvey) -> list[list[Any]]:
    """What there is, in a few lines."""
    rows = [["entries", f"{survey.entries:,}"]]
    if survey.names:
        rows.append(["keys that lead to one of them", f"{survey.names:,}"])
    if survey.unreadable:
        rows.append(["not readable", f"{survey.unreadable:,}"])
    if survey.read < survey.rows:
        rows.append(["not read", f"{survey.rows - survey.read:,} more: --limit"])
    if survey.entries:
        rows.append(["age", f"{since(survey.newest)} to {since(survey.oldest)}"])
        rows.append(["that never expire", f"{survey.endless:,}"])
        rows.append(["an answer as stored", str(size(survey.stored_bytes / survey.entries))])
    rows.append(["memory of an entry, index aside", size(survey.row_bytes) or "Redis does not tell"])
    return rows


def survey_tables(survey: CacheSurvey) -> list[tuple[list[str], list[list[Any]]]]:
    """A table for each kind of group that says something, and one of the indexes."""
    tables = [
        _groups(name, getattr(survey, name))
        for name in _GROUPS
        if any(each for each in getattr(survey, name)) or (name == "encoders" and survey.encoders)
    ]
    if survey.indexes:
        rows = [
            [index.encoder, index.kind, index.dims, _state(index.indexed), index.failures, size(index.bytes)]
            for index in survey.indexes
        ]
        tables.append((["index of encoder", "kind", "dimensions", "state", "failures", "memory"], rows))
    return tables


def _groups(name: str, counted: Mapping[Any, int]) -> tuple[list[str], list[list[Any]]]:
    nobody = _NOBODY.get(name, "(none)")
    rows: list[list[Any]] = [
        [redact(each) if each else nobody, f"{number:,}"] for each, number in list(counted.items())[:MOST]
    ]
    if len(counted) > MOST:
        rows.append([f"({len(counted) - MOST:,} more)", None])
    return [name.removesuffix("s"), "entries"], rows


def _state(indexed: float | None) -> str:
    if indexed is None:
        return "there"
    return "ready" if indexed >= 1 else f"{indexed:.0%} indexed"

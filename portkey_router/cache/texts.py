"""Questions and answers that are plain text or JSON, and answers under names of the user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portkey_router.cache.entry import CorruptEntryError
from portkey_router.cache.store import mark

if TYPE_CHECKING:
    from portkey_router.cache.entry import Entry

__all__ = ["POINTER", "TEXT", "named_row", "text_of_entry"]

TEXT = "text"
POINTER = "pointer"


def named_row(name: str, tenant: str, namespace: str) -> str:
    """The row of an answer that was given a name (`geography:france:capital`)."""
    return mark("name", tenant, namespace, name)


def text_of_entry(entry: Entry) -> Any:
    """What was put under a question or a name. Raises `CorruptEntryError` for an answer of a model."""
    if entry.kind != TEXT:
        raise CorruptEntryError(f"an answer of the form {entry.kind!r}")
    return entry.answer

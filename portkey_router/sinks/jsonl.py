"""Events as lines of JSON, in a file."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from portkey_router.errors import ConfigurationError
from portkey_router.sinks.background import Background, Queued
from portkey_router.sinks.record import record_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portkey_router.events import Event

__all__ = ["JsonLinesSink"]


class JsonLinesSink(Queued):
    """Appends each event to a file, one JSON object a line (see `record_of`), with the `time` it was told.

    Several processes may write to one file: lines are appended whole. The file is opened for each batch, so it may be
    rotated away at any time. Raises `ConfigurationError` where its folder is not there.
    """

    def __init__(self, path: str | os.PathLike[str], *, queue_size: int = 10_000) -> None:
        self._path = Path(path).absolute()
        if not self._path.parent.is_dir():
            raise ConfigurationError(f"There is no folder {self._path.parent} to write {self._path.name} to; make it.")
        self._queue: Background[tuple[Event, float]] = Background("JsonLinesSink", self._write, size=queue_size)

    def handle(self, event: Event) -> None:
        """Write it, soon."""
        self._queue.put((event, time.time()))

    def _write(self, events: Sequence[tuple[Event, float]]) -> None:
        lines = [json.dumps(record_of(event, at), ensure_ascii=False) + "\n" for event, at in events]
        left = memoryview("".join(lines).encode("utf-8", "backslashreplace"))
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            while left:  # one write, unless the disk is full or a signal came
                left = left[os.write(file, left) :]
        finally:
            os.close(file)

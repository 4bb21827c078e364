"""Events in the standard library's log, as records with fields."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any

from portkey_router.events import AttemptFinished, BudgetAlert, BudgetExceeded, CallFinished, TargetCooledDown
from portkey_router.sinks.background import Background
from portkey_router.sinks.record import record_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portkey_router.events import Event

__all__ = ["LogSink"]


class LogSink:
    """Logs each event to the logger `portkey_router.calls`: a line to read, and the event as `record.portkey`, a dict.

    Calls that ended well are INFO; calls that failed, refused ones, budget alerts and cooled-down targets are WARNING;
    the rest is DEBUG. `level=` is the least that is logged. Formatters for JSON find the fields in `record.portkey`;
    any other prints the line, which holds them as JSON.

    The logger's handlers run in a thread of ours, so that a slow one slows no call; records have the caller's thread
    and time. `background=False` runs them in the caller's thread, for handlers and filters that look at its context.
    """

    def __init__(
        self,
        logger: logging.Logger | str = "portkey_router.calls",
        *,
        level: int = logging.DEBUG,
        background: bool = True,
        queue_size: int = 10_000,
    ) -> None:
        self._logger = logging.getLogger(logger) if isinstance(logger, str) else logger
        self._level = level
        self._queue = Background("LogSink", self._write, size=queue_size) if background else None

    @property
    def dropped(self) -> int:
        """How many records were lost."""
        return 0 if self._queue is None else self._queue.dropped

    def handle(self, event: Event) -> None:
        """Log it."""
        level = _level_of(event)
        if level < self._level or not self._logger.isEnabledFor(level):
            return
        fields = record_of(event, time.time())
        record = self._logger.makeRecord(
            self._logger.name, level, "(portkey_router)", 0, _line(fields), (), None, extra={"portkey": fields}
        )
        if self._queue is None:
            self._logger.handle(record)
        else:
            self._queue.put(record)

    def _write(self, records: Sequence[logging.LogRecord]) -> None:
        for record in records:
            self._logger.handle(record)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all that was logged has been handled; False if that took longer."""
        return self._queue is None or self._queue.flush(timeout)

    def close(self, timeout: float = 2.0) -> bool:
        """Handle what is waiting, and end."""
        return self._queue is None or self._queue.close(timeout)


def _level_of(event: Event) -> int:
    if isinstance(event, CallFinished):
        return logging.WARNING if event.failed else logging.INFO
    if isinstance(event, BudgetAlert | BudgetExceeded | TargetCooledDown):
        return logging.WARNING
    if isinstance(event, AttemptFinished) and event.outcome != "ok":
        return logging.INFO
    return logging.DEBUG


def _line(fields: dict[str, Any]) -> str:
    rest = {name: value for name, value in fields.items() if name not in {"event", "time"}}
    return f"{fields['event']} {json.dumps(rest, ensure_ascii=False)}"

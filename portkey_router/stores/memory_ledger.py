"""A ledger's store in this process: for one process, and for tests."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from portkey_router.ledger.books import Books
from portkey_router.locks import ForkLock

if TYPE_CHECKING:
    from collections.abc import Callable

    from portkey_router.ledger.commands import Command, Reply

__all__ = ["MemoryLedgerStore"]


class MemoryLedgerStore:
    """Safe for threads and loops alike: a command takes microseconds and waits for nobody but another command.

    `clock` gives the seconds since 1970. What is kept here ends with the process, and a forked one counts for itself.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._books = Books()
        self._lock = ForkLock()

    def run(self, command: Command) -> Reply:
        """Do it at once."""
        with self._lock:
            return self._books.do(command, int(self._clock() * 1_000_000))

    async def arun(self, command: Command) -> Reply:
        """Do it at once."""
        return self.run(command)

"""Health that processes share: a circuit that one opens is open for all, and closed for all by the first success."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from typing import TYPE_CHECKING, Any

from portkey_router.errors import StoreError
from portkey_router.health import Health
from portkey_router.locks import ForkLock

if TYPE_CHECKING:
    from collections.abc import Callable

    from portkey_router.health import Admission, CircuitRules
    from portkey_router.stores.commands import Commands
    from portkey_router.stores.redis_client import RedisClient

__all__ = ["SharedHealth"]

_logger = logging.getLogger("portkey_router.health")

EVERY = 0.5
"""Seconds between two looks at what others say."""
IDLE = 60.0
"""Seconds after which a target that is not asked any more is no longer looked at, and the thread ends with the last."""
LONGEST_PAUSE = 30.0
"""Seconds between two tries while Redis fails: until then a process goes by what it knows itself."""
_NEWS_KEPT = 1024


class SharedHealth(Health):
    """What this process knows of its targets, and what others do, by a Redis.

    Each open circuit is a key of Redis that expires with it. A thread of this process, begun at the first call, writes
    the circuits that open and close here, and reads those of the targets in use twice a second. Calls never wait for
    Redis, and where it fails they go by what this process knows. Each process sends a probe of its own.

    The names of keys hold the digest of a target that the planner makes, and nothing that could be read.
    """

    def __init__(
        self,
        client: RedisClient,
        *,
        name: str = "portkey-router",
        rules: CircuitRules | None = None,
        clock: Callable[[], float] = time.monotonic,
        every: float = EVERY,
    ) -> None:
        super().__init__(ForkLock(), rules)
        self._client = client
        self._prefix = f"{name}:health:"
        self._clock = clock
        self._every = every
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._stopped = threading.Event()
        self._news: queue.Queue[tuple[str, float]] = queue.Queue(_NEWS_KEPT)
        self._used: dict[str, float] = {}
        self._heard: set[str] = set()

    def close(self) -> None:
        """End the thread, after what is still to be written. Not needed: it ends with the process, and when idle."""
        self._stopped.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self._begin()

    # ---- what this process does with a target ------------------------------------------------------------------------

    def admit(self, key: str, now: float) -> Admission:
        """As `Health.admit`; from now on the target is looked at."""
        self._use(key, now)
        return super().admit(key, now)

    def succeeded(self, key: str, now: float, seconds: float, first_token: float | None = None) -> bool:
        """As `Health.succeeded`; others are told where that closed the circuit."""
        closed = super().succeeded(key, now, seconds, first_token)
        self._use(key, now)
        if closed:
            self._tell(key, 0.0)
        return closed

    def failed(self, key: str, now: float, chance: float, **how: Any) -> float:
        """As `Health.failed`; others are told where that opened the circuit."""
        seconds = super().failed(key, now, chance, **how)
        self._use(key, now)
        if seconds > 0:
            self._tell(key, seconds)
        return seconds

    def _use(self, key: str, now: float) -> None:
        if self._pid != os.getpid():
            self._begin()  # in a forked child, to which the thread did not come along
        self._used[key] = now
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._exchange, name="portkey-router-health", daemon=True)
                    self._thread.start()

    def _tell(self, key: str, seconds: float) -> None:
        try:
            self._news.put_nowait((key, seconds))
        except queue.Full:
            return  # Redis has been away for long; the circuits it would tell of have closed since

    # ---- the thread --------------------------------------------------------------------------------------------------

    def _exchange(self) -> None:
        pause, failing = self._every, False
        while True:
            stopped = self._stopped.is_set()
            try:
                self._client.run(self._round())
            except StoreError as error:
                pause = min(LONGEST_PAUSE, pause * 2)
                if not failing:
                    _logger.warning("The health of targets is not shared for now: %s", error)
                failing = True
            else:
                pause, failing = self._every, False
            if stopped or self._idle():
                return
            self._stopped.wait(pause)

    def _idle(self) -> bool:
        """Whether nothing is in use any more; the thread is then over, and the next call begins another."""
        now = self._clock()
        for key, at in list(self._used.items()):
            if now - at > IDLE:
                self._used.pop(key, None)
        if self._used:
            return False
        self._thread = None
        return True

    def _round(self) -> Commands[None]:
        """Write the news, then hear what others say of the targets in use."""
        told: dict[str, float] = {}
        while True:
            try:
                key, seconds = self._news.get_nowait()
            except queue.Empty:
                break
            told[key] = seconds
        if told:
            yield [
                ("SET", self._prefix + key, "open", "PX", max(1, int(seconds * 1000)))
                if seconds > 0
                else ("DEL", self._prefix + key)
                for key, seconds in told.items()
            ]
        keys = list(self._used)
        if not keys:
            return
        left = yield [("PTTL", self._prefix + key) for key in keys]
        now = self._clock()
        for key, milliseconds in zip(keys, left, strict=True):
            if isinstance(milliseconds, int) and milliseconds > 0:
                self.hear(key, now, milliseconds / 1000)
                self._heard.add(key)
            elif milliseconds == _GONE and key in self._heard:
                self._heard.discard(key)
                if super().look(key, now).open_for > self._every:  # not run out, but closed by somebody
                    self.hear(key, now, 0.0)


_GONE = -2
"""What Redis says of the time left of a key that is not there."""

"""Events in a Redis stream, for whoever reads it: dashboards, billing, another process."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from portkey_router.errors import ConfigurationError
from portkey_router.sinks.background import PATIENCE, Background, Queued
from portkey_router.sinks.record import record_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portkey_router.events import Event
    from portkey_router.stores.commands import Command, Commands

__all__ = ["RedisStreamSink"]


class RedisStreamSink(Queued):
    """Adds each event to a Redis stream: `RedisStreamSink("redis://localhost:6379")`.

    `url` and `client` are as for `portkey_router.stores.redis_client.RedisClient`; a `client` is a synchronous one. An
    entry has the fields `event` (the class's name), `time` (RFC 3339, UTC), `call_id` where there is one, and `data`:
    the whole event as JSON (see `record_of`). About the last `max_length` entries are kept. What cannot be added at
    the third try is dropped, so an entry may, rarely, be there twice.

    Raises `ConfigurationError` where redis-py is not installed, the URL is none, or the client is an asynchronous one.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        client: Any = None,
        stream: str = "portkey:events",
        max_length: int = 100_000,
        queue_size: int = 10_000,
    ) -> None:
        from portkey_router.stores.redis_client import RedisClient  # noqa: PLC0415  (it brings the whole of redis-py)

        if max_length < 1:
            raise ConfigurationError(f"max_length is how many entries the stream keeps, from 1 up; it is {max_length}.")
        if client is not None and ".asyncio" in type(client).__module__:
            raise ConfigurationError("RedisStreamSink writes in a thread: give it a URL, or a synchronous client.")
        self._redis = RedisClient(url, client=client)
        self._stream = stream
        self._max_length = max_length
        self._queue: Background[tuple[Event, float]] = Background("RedisStreamSink", self._write, size=queue_size)

    def handle(self, event: Event) -> None:
        """Send it, soon."""
        self._queue.put((event, time.time()))

    def _write(self, events: Sequence[tuple[Event, float]]) -> None:
        self._redis.run(self._added([_fields(record_of(event, at)) for event, at in events]))

    def _added(self, entries: Sequence[Sequence[str]]) -> Commands[None]:
        """All of them in one round trip. Raises the first error: one stream is one key, so all fail alike."""
        add = ("XADD", self._stream, "MAXLEN", "~", self._max_length, "*")
        commands: list[Command] = [(*add, *fields) for fields in entries]
        replies = yield commands
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply

    def close(self, timeout: float = PATIENCE) -> bool:
        """Send what is waiting, and end; False where some had to be left."""
        done = super().close(timeout)
        self._redis.close()
        return done


def _fields(record: dict[str, Any]) -> list[str]:
    named: dict[str, str] = {name: str(record[name]) for name in ("event", "time", "call_id") if name in record}
    named["data"] = json.dumps(record, ensure_ascii=False)
    return [part for pair in named.items() for part in pair]

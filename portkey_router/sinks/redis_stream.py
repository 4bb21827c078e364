"""Events in a Redis stream, for whoever reads it: dashboards, billing, another process."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from portkey_router.errors import ConfigurationError
from portkey_router.sinks.background import PATIENCE, Background, Queued
from portkey_router.sinks.record import record_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from portkey_router.events import Event
    from portkey_router.stores.commands import Command, Commands

__all__ = ["STREAM", "RedisStreamSink", "entries_of"]

STREAM = "portkey:events"
"""The stream's name, where no other is given."""
_PAGE = 500
# An entry is added after its event was told; clocks of different machines may differ by so much.
_SLACK = 3600.0


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
        stream: str = STREAM,
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


def entries_of(
    url: str | None = None,
    *,
    client: Any = None,
    stream: str = STREAM,
    since: float | None = None,
    timeout: float = 10.0,
) -> Iterator[bytes]:
    """The events in a stream as lines of JSON, for `portkey_router.report.calls_in`, up to the last that is there now.

    `since`, seconds since the epoch, leaves out what was added more than an hour before. They are read 500 at a time,
    within `timeout` seconds each; an entry without `data` comes as an empty object. Raises `StoreError` where Redis
    fails, and `ConfigurationError` where there is no such stream, and as `RedisStreamSink` does.
    """
    from portkey_router.stores.redis_client import RedisClient  # noqa: PLC0415  (it brings the whole of redis-py)

    redis = RedisClient(url, client=client)
    try:
        last = redis.run(_one(("XREVRANGE", stream, "+", "-", "COUNT", 1)), timeout=timeout)
        if not last:
            raise ConfigurationError(f"There is no stream {stream!r} in {redis!r}, or it is empty.")
        start = "-" if since is None else str(max(0, int((since - _SLACK) * 1000)))
        while page := redis.run(_one(("XRANGE", stream, start, _text(last[0][0]), "COUNT", _PAGE)), timeout=timeout):
            for _, fields in page:
                yield _data(fields) + b"\n"
            start = f"({_text(page[-1][0])}"
    finally:
        redis.close()


def _one(command: Command) -> Commands[Any]:
    return (yield command)


def _text(name: bytes | str) -> str:
    """A client of one's own may decode."""
    return name.decode() if isinstance(name, bytes) else name


def _data(fields: Any) -> bytes:
    """The event of an entry's fields: a list of names and values, or what redis-py makes of it; `{}` without one."""
    named = fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True)) if fields else {}
    value = named.get(b"data", named.get("data", b"{}"))
    return value if isinstance(value, bytes) else str(value).encode()

"""What a store asks of Redis, without I/O: generators that yield commands and are sent the replies.

```
def renamed(old: str, new: str) -> Commands[bytes | None]:
    value = yield ("GET", old)                                  # one command: its reply, or its error is thrown in
    done, gone = yield [("SET", new, value), ("UNLINK", old)]   # one round trip; an error stands in its reply's place
    left = yield Keys("name:")                                  # every key that begins so, on every node
    (size,) = yield Meanwhile([("STRLEN", new)], work)          # one round trip; `work()` is done while Redis answers
    return value
```

`RedisClient.run` and `RedisClient.arun` perform them. Replies are as Redis gives them: bytes, integers, None, lists,
and, where the connection speaks RESP3, dicts. Nothing is decoded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from portkey_router.errors import StoreError

__all__ = ["Argument", "Command", "Commands", "Keys", "Meanwhile", "Script", "packed"]

T = TypeVar("T")

Argument: TypeAlias = str | bytes | int | float
Command: TypeAlias = tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Keys:
    """Every key that begins so, as a list of bytes. It walks over all keys: for an administrator, not for a request."""

    prefix: str

    @property
    def pattern(self) -> str:
        """For SCAN, where some characters would mean others."""
        return "".join(f"\\{each}" if each in "*?[]\\" else each for each in self.prefix) + "*"

    def of_one_node(self) -> Generator[Command, Any, list[bytes]]:
        """The walk over one server's."""
        cursor: Any = 0
        found: dict[bytes, None] = {}  # a walk may meet a key twice
        while True:
            cursor, page = yield ("SCAN", cursor, "MATCH", self.pattern, "COUNT", 1000)
            found.update(dict.fromkeys(page))
            if isinstance(cursor, dict):  # redis-py's, on a cluster: by the node's name
                (cursor,) = cursor.values()
            if cursor in {b"0", 0}:
                return list(found)


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """One round trip, and something to do between sending and reading. Where that cannot be, it is left undone."""

    commands: list[Command]
    work: Callable[[], object] | None


Commands: TypeAlias = Generator[Command | list[Command] | Keys | Meanwhile, Any, T]


def packed(commands: Sequence[Command]) -> bytes:
    """Commands as Redis reads them (RESP arrays of bulk strings): redis-py's own way takes three times as long."""
    parts: list[bytes] = []
    for command in commands:
        parts.append(b"*%d\r\n" % len(command))
        for argument in command:
            data = argument if isinstance(argument, bytes) else str(argument).encode()
            parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script. It is sent once to a server that does not know it; after that its hash is."""

    source: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", digest)

    def call(self, keys: Sequence[str | bytes], args: Sequence[Argument] = ()) -> Command:
        """The command that runs it by its hash; a server that does not know it answers `NOSCRIPT`.

        On a cluster a script's keys are all on one node, and a script stands alone, never in a list of commands.
        """
        return ("EVALSHA", self.sha, len(keys), *keys, *args)

    def run(self, keys: Sequence[str | bytes], args: Sequence[Argument] = ()) -> Commands[Any]:
        """Run it, whether the server knows it or not; gives its reply. For `reply = yield from script.run(...)`."""
        try:
            return (yield self.call(keys, args))
        except StoreError as error:
            if error.code != "NOSCRIPT":
                raise
        return (yield ("EVAL", self.source, len(keys), *keys, *args))

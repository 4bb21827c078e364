"""A cache's rows in Redis or Valkey: commands and replies, without I/O.

A row is a HASH `{name}:e:{id}`: `a` its body, `b` its bar, `c` when it was made, TAGs for scope, tenant, namespace,
tags and prompt, and the vector in a field named after its encoder. So one index per encoder
(`{name}:i:{version}:{fingerprint}`) sees the rows of that encoder alone, and the exact layers all of them. Nothing is
used here that Valkey-search does not speak.
"""

from __future__ import annotations

import logging
import struct
from array import array
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from portkey_router.cache.store import Found, Marks
from portkey_router.errors import ConfigurationError, StoreError
from portkey_router.stores.commands import Keys, Script
from portkey_router.stores.redis_index import state_of_index

if TYPE_CHECKING:
    from portkey_router.cache.store import IndexState, Nearest, Row, Selection, Space
    from portkey_router.deadline import Deadline
    from portkey_router.stores.commands import Command, Commands
    from portkey_router.stores.redis_client import RedisClient

__all__ = ["RedisCacheStore"]

T = TypeVar("T")

_logger = logging.getLogger("portkey_router.cache")

VERSION = 1  # of the layout: a change opens new keys and indexes, and the old ones expire
CHUNK = 500  # rows in one round trip of an administrator's verb

# How servers say that an index is not there, that it is, and that they have no search.
_NO_INDEX = ("no such index", "unknown index name", "not found", "index_not_found")
_HAS_INDEX = ("already exists",)
_NO_SEARCH = ("unknown command",)

# KEYS[1] the row; ARGV[1] its life in ms (0: for ever), then fields and values. HSET comes first: a script that has
# written anything before is not refused by a server that is out of memory.
_PUT = Script("""
if redis.call('EXISTS', KEYS[1]) == 1 and redis.call('TYPE', KEYS[1]).ok ~= 'hash' then redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
local new = {}
for i = 2, #ARGV, 2 do new[ARGV[i]] = true end
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    if not new[field] then redis.call('HDEL', KEYS[1], field) end
end
if tonumber(ARGV[1]) > 0 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) else redis.call('PERSIST', KEYS[1]) end
return 1
""")
# KEYS[1] the row; ARGV[1] its bar. A row that has expired is not made anew.
_SET_BAR = Script(
    "if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end redis.call('HSET', KEYS[1], 'b', ARGV[1]) return 1"
)


class RedisCacheStore:
    """Rows in Redis. `algorithm` is how its index finds vectors, `dtype` how it keeps them (FLOAT16: half the room).

    FLAT is exact, and right where a scope holds up to some ten thousand entries; HNSW is for more.
    """

    def __init__(
        self,
        client: RedisClient,
        *,
        algorithm: Literal["FLAT", "HNSW"] = "FLAT",
        dtype: Literal["FLOAT32", "FLOAT16"] = "FLOAT32",
    ) -> None:
        if algorithm not in {"FLAT", "HNSW"} or dtype not in {"FLOAT32", "FLOAT16"}:
            raise ConfigurationError("A cache's index is FLAT or HNSW, its vectors FLOAT32 or FLOAT16.")
        self._client = client
        self._algorithm = algorithm
        self._dtype = dtype
        self._indexes: set[str] = set()  # those that are known to be there
        self._can_search = True

    @property
    def searches(self) -> bool:
        """Until it has said that it cannot."""
        return self._can_search

    def fetch(self, name: str, row: str) -> Commands[Found | None]:
        """The row of this id."""
        body = yield ("HGET", _key(name, row), "a")
        return None if body is None else Found(row, body)

    def search(self, name: str, nearest: Nearest) -> Commands[list[Found] | None]:
        """The nearest rows of a scope, the nearest first; None where this Redis has no search.

        An index that is not there is made, in the same round trip the first time, or else for the next search.
        """
        if not self._can_search:
            return None
        index = self._index(name, nearest.space)
        ask = self._question(index, nearest)
        if index in self._indexes:
            reply = yield [ask]
        else:
            made, *reply = yield [self._creation(index, name, nearest.space), ask]
            if not self._made(made, index):
                return None
        return (yield from self._candidates(reply[0], index, name, nearest.space))

    def find(self, name: str, row: str, nearest: Nearest) -> Commands[tuple[Found | None, list[Found] | None]]:
        """`fetch` and `search` in one round trip, where the index is there."""
        index = self._index(name, nearest.space)
        if not self._can_search or index not in self._indexes:
            found = yield from self.fetch(name, row)
            return found, (yield from self.search(name, nearest))
        body, rows = yield [("HGET", _key(name, row), "a"), self._question(index, nearest)]
        if isinstance(body, StoreError):
            raise body
        found = None if body is None else Found(row, body)
        return found, (yield from self._candidates(rows, index, name, nearest.space))

    def _candidates(self, reply: Any, index: str, name: str, space: Space) -> Commands[list[Found]]:
        """The rows of a search. An index that has been dropped is made anew, and this search has failed."""
        if isinstance(reply, StoreError):
            self._indexes.discard(index)
            if _says(reply, _NO_INDEX):
                yield from self._create(index, name, space)
            raise reply
        return _nearest(reply)

    def put(self, name: str, row: Row) -> Commands[None]:
        """Keep a row, in the place of one with its id."""
        marks = row.marks
        fields: list[str | bytes | float] = [
            *("a", row.body, "c", f"{row.created:.3f}"),
            *("s", marks.scope, "t", marks.tenant, "n", marks.namespace, "p", marks.prompt),
        ]
        if marks.tags:
            fields += ["g", ",".join(marks.tags)]
        if row.bar is not None:
            fields += ["b", f"{row.bar:.4f}"]
        if row.vector is not None and row.space is not None:
            fields += [self._field(row.space), self._packed(row.vector)]
            if self._can_search and (index := self._index(name, row.space)) not in self._indexes:
                # Before the row: what is there when an index is made, is indexed in its own time.
                yield from self._create(index, name, row.space)
        life = 0 if row.ttl is None else max(int(row.ttl * 1000), 1)
        yield from _PUT.run([_key(name, row.id)], [life, *fields])

    def set_bar(self, name: str, row: str, bar: float) -> Commands[bool]:
        """Set the bar of a row; whether it is still there."""
        return bool((yield from _SET_BAR.run([_key(name, row)], [f"{bar:.4f}"])))

    def ids(self, name: str, selection: Selection) -> Commands[list[str]]:
        """The ids of rows. It walks over the keys, so it misses none, with search or without."""
        keys = yield from self._selected(name, selection)
        return [_row_of(key) for key in keys]

    def read(self, name: str, rows: list[str]) -> Commands[list[Found]]:
        """Rows to look at."""
        found: list[Found] = []
        for chunk in _chunks(rows):
            keys = [_key(name, row) for row in chunk]
            replies = yield [
                (*command[:1], key, *command[1:])
                for key in keys
                for command in (("HMGET", "a", "b"), ("HKEYS",), ("PTTL",))
            ]
            told = zip(chunk, replies[::3], replies[1::3], replies[2::3], strict=True)
            found += [each for row, *reply in told if (each := _looked_at(row, *reply)) is not None]
        return found

    def weigh(self, name: str, rows: list[str]) -> Commands[list[int]]:
        """What rows take of the server's memory, in bytes; some servers do not say."""
        if not rows:
            return []
        replies = yield [("MEMORY", "USAGE", _key(name, row)) for row in rows]
        return [reply for reply in replies if isinstance(reply, int)]

    def indexes(self, name: str) -> Commands[list[IndexState] | None]:
        """The indexes of this cache; None where this Redis has no search."""
        names = yield from self._names_of_indexes(name)
        if not names:
            return names if names is None else []
        replies = yield [("FT.INFO", index) for index in names]
        told = zip(names, replies, strict=True)
        return [state_of_index(name, index, reply) for index, reply in told if not isinstance(reply, StoreError)]

    def remove(self, name: str, rows: list[str]) -> Commands[int]:
        """Remove rows by their ids; how many there were."""
        return (yield from _unlink([_key(name, row).encode() for row in rows]))

    def clear(self, name: str, selection: Selection) -> Commands[int]:
        """Remove rows; how many. It walks over the keys, so it misses none, with search or without.

        Where all of them go, the indexes do as well, those of encoders of the past with them: a server may have few.
        """
        gone = yield from _unlink((yield from self._selected(name, selection)))
        if selection.everything and self._can_search:
            yield from self._drop_indexes(name)
        return gone

    def run(self, operation: Commands[T], deadline: Deadline) -> T:
        """Perform an operation in this thread."""
        return self._client.run(operation, timeout=deadline)

    async def arun(self, operation: Commands[T], deadline: Deadline) -> T:
        """Perform an operation in the running loop."""
        return await self._client.arun(operation, timeout=deadline)

    # --- indexes ------------------------------------------------------------------------------------------------

    def _index(self, name: str, space: Space) -> str:
        kind = f"{self._algorithm}-{self._dtype}".lower()
        return f"{name}:i:{VERSION}:{space.fingerprint}:{kind}"

    def _field(self, space: Space) -> str:
        return f"v_{space.fingerprint}_{self._dtype.removeprefix('FLOAT')}"

    def _packed(self, vector: bytes) -> bytes:
        if self._dtype == "FLOAT32":
            return vector
        numbers = array("f", vector)
        return struct.pack(f"<{len(numbers)}e", *numbers)

    def _creation(self, index: str, name: str, space: Space) -> Command:
        tags = [part for field in ("s", "t", "n", "p", "g") for part in (field, "TAG")]
        vector = ["TYPE", self._dtype, "DIM", str(space.dims), "DISTANCE_METRIC", "COSINE"]
        return (
            *("FT.CREATE", index, "ON", "HASH", "PREFIX", "1", _key(name, ""), "SCHEMA", *tags, "c", "NUMERIC"),
            *(self._field(space), "VECTOR", self._algorithm, str(len(vector)), *vector),
        )

    def _question(self, index: str, nearest: Nearest) -> Command:
        count = str(nearest.count)
        query = f"(@s:{{{nearest.scope}}})=>[KNN {count} @{self._field(nearest.space)} $q AS d]"
        return (
            *(
                "FT.SEARCH",
                index,
                query,
                "PARAMS",
                "2",
                "q",
                self._packed(nearest.vector),
                "RETURN",
                "3",
                "a",
                "b",
                "d",
            ),
            *("LIMIT", "0", count, "DIALECT", "2"),
        )

    def _made(self, reply: Any, index: str) -> bool:
        """Whether the index is there now. A Redis without search is told of once, and not asked again."""
        if isinstance(reply, StoreError) and not _says(reply, _HAS_INDEX):
            if not _says(reply, _NO_SEARCH):
                raise reply
            self._can_search = False
            _logger.warning(
                "This Redis cannot search (it has neither RediSearch nor Valkey-search): the cache answers equal "
                "questions only. Redis 8 has search built in."
            )
            return False
        self._indexes.add(index)
        return True

    def _create(self, index: str, name: str, space: Space) -> Commands[None]:
        (reply,) = yield [self._creation(index, name, space)]
        self._made(reply, index)

    def _drop_indexes(self, name: str) -> Commands[None]:
        ours = yield from self._names_of_indexes(name)
        if ours:
            yield [("FT.DROPINDEX", index) for index in ours]
            self._indexes.difference_update(ours)

    def _names_of_indexes(self, name: str) -> Commands[list[str] | None]:
        (indexes,) = yield [("FT._LIST",)]
        if isinstance(indexes, StoreError):
            return None  # no search, and so no index
        return sorted(index for index in map(_text, indexes) if index.startswith(f"{name}:i:"))

    def _selected(self, name: str, selection: Selection) -> Commands[list[bytes]]:
        keys: list[bytes] = yield Keys(_key(name, ""))
        if selection.everything:
            return keys
        chosen: list[bytes] = []
        for chunk in _chunks(keys):
            replies = yield [("HMGET", key, "s", "t", "n", "p", "g", "c") for key in chunk]
            for key, reply in zip(chunk, replies, strict=True):
                if isinstance(reply, StoreError):  # a key of another type, and not ours
                    continue
                scope, tenant, namespace, prompt, tags, created = map(_text, reply)
                marks = Marks(scope, tenant, namespace, prompt, tuple(tags.split(",")))
                if selection.fits(marks, _number(created) or 0.0):
                    chosen.append(key)
        return chosen


def _key(name: str, row: str) -> str:
    return f"{name}:e:{row}"


def _row_of(key: bytes) -> str:
    return key.decode("utf-8", "replace").rpartition(":")[2]


def _chunks(keys: list[T]) -> list[list[T]]:
    return [keys[start : start + CHUNK] for start in range(0, len(keys), CHUNK)]


def _unlink(keys: list[bytes]) -> Commands[int]:
    """One key in a command: on a cluster each may be on another node."""
    gone = 0
    for chunk in _chunks(keys):
        for reply in (yield [("UNLINK", key) for key in chunk]):
            if isinstance(reply, StoreError):
                raise reply
            gone += reply
    return gone


def _says(error: StoreError, words: tuple[str, ...]) -> bool:
    text = str(error).lower()
    return any(word in text for word in words)


# ---- replies ---------------------------------------------------------------------------------------------------------


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _number(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None


def _looked_at(row: str, values: Any, fields: Any, life: Any) -> Found | None:
    """A row from its body and bar, the names of its fields, and what is left of its life in ms (-1: for ever)."""
    if any(isinstance(reply, StoreError) for reply in (values, fields, life)) or values[0] is None:
        return None  # a key of another type, and not ours; or one that is gone
    vectors = [_text(field) for field in fields if field.startswith(b"v_")]
    left = life / 1000 if life >= 0 else None
    encoder = vectors[0].split("_")[1] if vectors else None
    return Found(row, values[0], _number(values[1]), left=left, encoder=encoder)


def _nearest(reply: Any) -> list[Found]:
    """The rows of FT.SEARCH's reply, in RESP2 (a flat list) or RESP3 (a map)."""
    found = []
    for key, fields in _rows(reply):
        distance = _number(fields.get(b"d"))
        body = fields.get(b"a")
        if distance is None or not isinstance(body, bytes):
            continue  # it expired just now
        found.append(Found(_row_of(key), body, _number(fields.get(b"b")), 1.0 - distance))
    return sorted(found, key=lambda each: each.similarity or 0.0, reverse=True)


def _rows(reply: Any) -> list[tuple[bytes, dict[bytes, Any]]]:
    if isinstance(reply, dict):
        return [(each[b"id"], each.get(b"extra_attributes") or {}) for each in reply.get(b"results") or ()]
    pairs = zip(reply[1::2], reply[2::2], strict=False)
    return [(key, dict(zip(fields[::2], fields[1::2], strict=True))) for key, fields in pairs if fields]

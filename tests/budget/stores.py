"""Stores for tests, without what only pytest needs: programs that tests start import it too."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import redis

from portkey_router.stores.redis_client import RedisClient
from portkey_router.stores.redis_ledger import RedisLedgerStore

if TYPE_CHECKING:
    from typing import Any

__all__ = ["PATIENT", "kept", "redis_store"]

PATIENT = 30.0
"""Seconds for one script on a busy machine; no test waits for them."""


def redis_store(url: str, namespace: str | None = None) -> RedisLedgerStore:
    """A store of the test's own in that Redis."""
    client = RedisClient(url, timeout=PATIENT, connect_timeout=PATIENT)
    return RedisLedgerStore(client, namespace=namespace or uuid4().hex)


def kept(url: str, namespace: str) -> dict[str, dict[str, str]]:
    """The hashes of a ledger as they stand in Redis, by key."""
    plain = url.replace("+cluster", "")
    client: Any = (redis.RedisCluster if "+cluster" in url else redis.Redis).from_url(plain, decode_responses=True)
    try:
        keys = [key for key in client.scan_iter(match=f"*{{{namespace}}}*") if not key.endswith(":due")]
        return {key: client.hgetall(key) for key in keys}
    finally:  # the `close` of a cluster's client leaves the connections of its nodes open
        (client.disconnect_connection_pools if "+cluster" in url else client.close)()

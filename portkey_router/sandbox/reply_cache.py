"""The simple cache of hosted Portkey: the same request to the same target is answered from memory."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portkey_router.sandbox.replies import Reply

__all__ = ["CacheStatus", "Lookup", "ReplyCache"]

CacheStatus = Literal["DISABLED", "HIT", "MISS", "REFRESH"]
# Seconds that an answer is kept when the config does not say (`cache.max_age`).
MAX_AGE: Final = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Lookup:
    """What the cache says: `status` for the header, `reply` on a hit, `key` to store under (None: not to be stored)."""

    status: CacheStatus
    reply: Reply | None = None
    key: str | None = None


@dataclass(slots=True)
class ReplyCache:
    """Replies by request; the caller hands in the time in seconds. Streams are neither stored nor answered from it."""

    _kept: dict[str, tuple[float, Reply]] = field(default_factory=dict)

    def look_up(
        self,
        target: Mapping[str, Any],
        destination: str,
        body: Mapping[str, Any],
        headers: Mapping[str, str],
        now: float,
    ) -> Lookup:
        """Look up a request; `headers` may say `x-portkey-cache-namespace` and `x-portkey-cache-force-refresh`."""
        mode = (target.get("cache") or {}).get("mode")
        if mode not in {"simple", "semantic"}:
            return Lookup("DISABLED")
        if body.get("stream"):
            return Lookup("MISS")
        namespace = headers.get("x-portkey-cache-namespace", "")
        text = json.dumps([namespace, destination, body], sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()
        if headers.get("x-portkey-cache-force-refresh", "").lower() == "true":
            return Lookup("REFRESH", key=key)
        kept = self._kept.get(key)
        if kept is not None and now - kept[0] < float((target["cache"]).get("max_age") or MAX_AGE):
            return Lookup("HIT", reply=kept[1])
        return Lookup("MISS", key=key)

    def store(self, found: Lookup, reply: Reply, now: float) -> None:
        """Keep a good answer."""
        if found.key is not None and reply.status == 200 and reply.frames is None:  # noqa: PLR2004 - OK
            self._kept[found.key] = (now, reply)

"""Embedding replies, scripted: what a provider says to a batch of texts."""

from __future__ import annotations

import base64
import json
import struct
from typing import TYPE_CHECKING, Any

from portkey_router.wire.http import HttpReply
from tests.core.fakes import JSON, SyncPort

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from portkey_router.router import PortkeyRouter


def packed(vector: Sequence[float]) -> str:
    """A vector as OpenAI's base64: little-endian 32-bit floats."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def reply(
    *vectors: Any, tokens: int = 1, model: str = "text-embedding-3-small", headers: Mapping[str, str] | None = None
) -> HttpReply:
    """A reply with these vectors, in base64 unless they are written out otherwise."""
    data = [
        {"object": "embedding", "index": index, "embedding": packed(vector) if isinstance(vector, tuple) else vector}
        for index, vector in enumerate(vectors)
    ]
    body = {"model": model, "data": data, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    return HttpReply(200, {**JSON, **(headers or {})}, json.dumps(body).encode())


def bodies(router: PortkeyRouter) -> list[dict[str, Any]]:
    """The bodies of the calls that the sync verb made."""
    port = router._sync_port
    assert isinstance(port, SyncPort)
    return [json.loads(call.body) for call in port.calls]

"""Embeddings on the wire: the texts that may go out, and a reply's vectors, from base64 or from JSON numbers alike."""

from __future__ import annotations

import binascii
import json
import math
import struct
from array import array
from typing import TYPE_CHECKING, Any

from portkey_router.errors import ConfigurationError, UpstreamUnavailableError
from portkey_router.wire.replies import NO_ANSWER, check_status, error_in_event
from portkey_router.wire.usage import count_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from portkey_router.messages import Request
    from portkey_router.wire.http import HttpReply

__all__ = ["check_dimensions", "check_texts", "decode_embeddings"]


def check_texts(texts: Any) -> list[str]:
    """The texts as a list. Refuses what is no list of texts, and empty texts, which providers refuse."""
    if isinstance(texts, str) or not isinstance(texts, list | tuple):
        msg = f"embed takes a list of texts, such as ['Hello'], not a {type(texts).__name__}."
        raise ConfigurationError(msg)
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            msg = f"texts[{position}] is a {type(text).__name__}; embed takes texts: pass str(...) of it."
            raise ConfigurationError(msg)
        if not text:
            msg = f"texts[{position}] is empty, and an empty text has no embedding: leave it out."
            raise ConfigurationError(msg)
    return list(texts)


def check_dimensions(dimensions: Any) -> None:
    """Refuse what is no length of a vector."""
    if dimensions is not None and (isinstance(dimensions, bool) or not isinstance(dimensions, int) or dimensions < 1):
        msg = f"dimensions is the length of each vector, a whole number from 1 up, not {dimensions!r}."
        raise ConfigurationError(msg)


def decode_embeddings(
    reply: HttpReply, request: Request, dimensions: int | None = None, *, secrets: Iterable[str] = ()
) -> dict[str, Any]:
    """The body of a reply with embeddings, checked to be one; its `data` is the vectors, one for each text, in order.

    `dimensions` is the length each must have; None: any, but all the same. What is not as asked is an error of this
    attempt, which another target may make good.
    """
    check_status(reply.status, reply.headers, reply.body, secrets=secrets)
    try:
        body = json.loads(reply.body)
    except (ValueError, RecursionError):
        body = None
    if isinstance(body, dict) and body.get("error"):
        raise error_in_event(body, reply.headers, secrets=secrets)
    if not isinstance(body, dict) or not isinstance(body.get("data"), list):
        msg = (
            f"the gateway answered {reply.status} with something that is no list of embeddings "
            f"({len(reply.body)} bytes of {reply.headers.get('content-type', 'no stated type')}); "
            "check that base_url= or PORTKEY_GATEWAY_URL ends in /v1, and that the model makes embeddings."
        )
        raise UpstreamUnavailableError(msg, status=NO_ANSWER, retryable=True)
    given = request.body["input"]
    wanted = 1 if isinstance(given, str) else len(given)
    return {**body, "data": _vectors(body["data"], wanted, dimensions)}


def _vectors(data: list[Any], wanted: int, dimensions: int | None) -> list[list[float]]:
    if len(data) != wanted:
        few = (
            " Some providers take one text a request through the gateway: pass batch_size=1." if len(data) == 1 else ""
        )
        raise _not_as_asked(f"{len(data)} embeddings came back for {wanted} texts.{few}")
    placed = {_index(item, position): item for position, item in enumerate(data)}
    if set(placed) != set(range(wanted)):
        raise _not_as_asked("the embeddings that came back do not say which text each belongs to")
    vectors = [_vector(placed[position]) for position in range(wanted)]
    lengths = {len(vector) for vector in vectors}
    if 0 in lengths:
        raise _not_as_asked("what came back holds an embedding that is no list of finite numbers")
    if len(lengths) > 1 or (dimensions is not None and dimensions not in lengths):
        found = " and ".join(map(str, sorted(lengths)))
        asked = f", not the {dimensions} asked for" if dimensions is not None else ""
        raise _not_as_asked(f"the embeddings that came back have {found} dimensions{asked}")
    return vectors


def _index(item: Any, position: int) -> int | None:
    return count_of(item.get("index", position)) if isinstance(item, dict) else None


def _vector(item: Mapping[str, Any]) -> list[float]:
    """One vector; empty where it is none."""
    given = item.get("embedding")
    try:
        numbers = _unpacked(given) if isinstance(given, str) else array("d", given or ()).tolist()
    except (TypeError, ValueError, OverflowError, struct.error):  # binascii's error is a ValueError
        return []
    return numbers if math.isfinite(sum(numbers)) else []


def _unpacked(text: str) -> list[float]:
    """OpenAI packs a vector as little-endian 32-bit floats."""
    packed = binascii.a2b_base64(text, strict_mode=True)
    return list(struct.unpack(f"<{len(packed) // 4}f", packed))


def _not_as_asked(what: str) -> UpstreamUnavailableError:
    """Asking the same target again would bring the same; another may do better."""
    return UpstreamUnavailableError(what, status=NO_ANSWER, retryable=False)

"""One HTTP exchange as plain values: what the flow asks for and what the transport brings back."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portkey_router.errors import Phase

__all__ = ["Expiry", "HttpCall", "HttpReply"]


class Expiry(NamedTuple):
    """The moment a deadline passes: `at` on the clock of `time.monotonic()`, its name and its length in seconds."""

    at: float
    phase: Phase
    seconds: float

    def remaining(self, now: float | None = None) -> float:
        """Seconds left; negative once it has passed."""
        return self.at - (time.monotonic() if now is None else now)


@dataclass(frozen=True, slots=True)
class HttpCall:
    """A request to make. `headers` may hold keys, so they stay out of the repr.

    `connect` bounds getting a connection (DNS, TCP and TLS), in seconds. `expiry` bounds everything up to the
    whole reply (`send`) or up to the reply's headers (`open`). `variable` is the setting that errors name where the
    other side cannot be reached.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)
    expiry: Expiry
    body: bytes = field(default=b"", repr=False)
    method: str = "POST"
    connect: float = 5.0
    variable: str = "PORTKEY_GATEWAY_URL"


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A whole reply. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

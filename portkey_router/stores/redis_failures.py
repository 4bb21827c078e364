"""What redis-py's errors are for the stores: a `StoreError`, with the server's own word for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portkey_router.errors import ConfigurationError, StoreError
from portkey_router.secrets import redact

if TYPE_CHECKING:
    from portkey_router.deadline import Deadline

__all__ = ["Failures", "reply_or_raise"]

# What redis-py before version 8 does not say otherwise.
_CODES = {
    "AuthenticationError": "NOAUTH",
    "BusyLoadingError": "LOADING",
    "NoPermissionError": "NOPERM",
    "NoScriptError": "NOSCRIPT",
    "OutOfMemoryError": "OOM",
    "ReadOnlyError": "READONLY",
}


class Failures:
    """The errors of the redis-py that is installed, which this file does not import."""

    def __init__(self, exceptions: Any) -> None:
        self._exceptions = exceptions
        # What stands in the place of a reply. The others end the connection.
        self.response: type[Exception] = exceptions.ResponseError

    def refused(self, error: Any) -> StoreError:
        """An error that the server answered with, its first word as the code (redis-py takes it out of some)."""
        text = str(error)
        first = text.partition(" ")[0]
        told = getattr(error, "status_code", None) or _CODES.get(type(error).__name__)
        code = str(told or (first if first.isupper() else "ERR"))
        text = text if text.startswith(code) else f"{code} {text}"
        return StoreError(redact(f"Redis refused a command: {text}"), code=code)

    def settled(self, replies: list[Any]) -> list[Any]:
        """A pipeline's replies, with our errors in the place of redis-py's."""
        return [self.refused(reply) if isinstance(reply, Exception) else reply for reply in replies]

    def failed(self, error: Exception, place: str, deadline: Deadline) -> Exception:
        """What ended a round trip; what is not of the network or of Redis stays as it is."""
        known = self._exceptions
        if isinstance(error, known.ResponseError | known.BusyLoadingError):
            return self.refused(error)
        if isinstance(error, known.AuthenticationError):
            return StoreError(redact(f"Redis at {place} refused the login: {error}"), code="NOAUTH")
        if isinstance(error, TimeoutError | known.TimeoutError):
            return StoreError(f"Redis at {place} did not answer within {deadline.seconds * 1000:g} ms.")
        if isinstance(error, known.RedisError | known.RedisClusterException | OSError):
            return StoreError(redact(f"Redis at {place} cannot be reached: {error}"))
        if isinstance(error, RuntimeError):  # asyncio's word for it, at a lock or a closed loop
            return ConfigurationError(f"The Redis client given for {place} belongs to another event loop: {error}")
        return error


def reply_or_raise(reply: Any) -> Any:
    """The reply of a single command."""
    if isinstance(reply, StoreError):
        raise reply
    return reply

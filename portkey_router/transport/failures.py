"""What aiohttp and the system raise, told as our errors: `host:port` and what to do, never a key, login or query."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from portkey_router.errors import ConfigurationError, ConnectFailedError, DeadlineExceededError

if TYPE_CHECKING:
    import asyncio

    from portkey_router.errors import PortkeyError
    from portkey_router.wire.http import Expiry, HttpCall

__all__ = ["Failures", "late", "where"]


def where(url: str) -> str:
    """`host:port`: all of a URL that an error may show (the rest can hold a key)."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "an invalid address"
    return f"{parts.hostname or '?'}:{port}"


def late(url: str, expiry: Expiry) -> DeadlineExceededError:
    """The error that says that this deadline passed."""
    return DeadlineExceededError(
        f"{where(url)} did not answer within {expiry.seconds:g} s (deadline: {expiry.phase}); "
        "raise that timeout, or ask for less",
        phase=expiry.phase,
        seconds=expiry.seconds,
    )


def _reach(call: HttpCall) -> str:
    """What to do about a connection that failed."""
    if call.variable == "PORTKEY_GATEWAY_URL":
        return f"is the gateway running and reachable? check base_url= or {call.variable}"
    return f"is it running and reachable? check {call.variable}"


class Failures:
    """Knows aiohttp's exceptions. It is handed the library, which only `transport` imports."""

    def __init__(self, aiohttp: Any) -> None:
        self._aiohttp = aiohttp
        self.foreign: tuple[type[Exception], ...] = (aiohttp.ClientError, OSError, ValueError)

    def of(self, error: Exception, call: HttpCall, deadline: asyncio.Timeout | None) -> PortkeyError:
        """Ours for theirs; `deadline` is the one that was running."""
        if deadline is not None and deadline.expired():
            return late(call.url, call.expiry)
        return self._translated(error, call)

    def cause(self, error: Exception) -> BaseException | None:
        """The cause to show: not those of aiohttp's exceptions that hold the request's headers or its whole URL.

        Our errors are raised after the `except` clause has ended, or the exception would still be their context.
        """
        aiohttp = self._aiohttp
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            under: BaseException | None = error.__cause__
            return under
        tells = isinstance(error, aiohttp.ClientResponseError | aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError)
        return None if tells or type(error) is ValueError else error

    def broken(self, error: BaseException, call: HttpCall) -> ConnectFailedError:
        """The error for a connection that broke, or was never made."""
        return ConnectFailedError(
            f"{where(call.url)}: {self._why(error)}; {_reach(call)}",
            sent=not isinstance(error, self._aiohttp.ClientConnectorError),
        )

    def _translated(self, error: Exception, call: HttpCall) -> PortkeyError:
        """A foreign exception as ours."""
        aiohttp = self._aiohttp
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return DeadlineExceededError(
                f"no connection to {where(call.url)} within {call.connect:g} s; {_reach(call)}",
                phase="connect",
                seconds=call.connect,
            )
        # Before ValueError, which a refused certificate also is.
        if isinstance(error, aiohttp.ClientConnectionError | OSError):
            return self.broken(error, call)
        if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
            return ConfigurationError(
                f"not a usable URL for {where(call.url)}; {call.variable} must look like http://localhost:8787/v1"
            )
        if isinstance(error, ValueError):
            return ConfigurationError(
                f"the request to {where(call.url)} cannot be written as HTTP; "
                f"is there a line break in a key or header, or a login in {call.variable}?"
            )
        return self.broken(error, call)

    def _why(self, error: BaseException) -> str:
        aiohttp = self._aiohttp
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            return "its name could not be resolved"
        if isinstance(error, aiohttp.ClientSSLError):
            return "TLS failed (is it https at all, and its certificate valid and trusted here?)"
        if isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
            return "the proxy (HTTP_PROXY, HTTPS_PROXY) could not be used"
        if isinstance(error, aiohttp.ClientConnectorError):
            number = error.os_error.errno  # asyncio's own words for it are "Connect call failed"
            return os.strerror(number).lower() if number else "no connection"
        if isinstance(error, aiohttp.ClientPayloadError):
            return "the reply broke off before its end"
        if isinstance(error, aiohttp.ClientResponseError):
            return "what answers there does not speak HTTP"
        return "the connection closed before the reply was complete"

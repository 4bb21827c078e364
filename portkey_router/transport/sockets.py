"""What the event loop has no public way for: sockets closed without their loop, and lookups that hold up nobody."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import os
import socket
import threading
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["close_socket", "in_thread", "let_go_of_copies", "look_up", "proxy_for"]

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """The result of `work`, done in a daemon thread of its own.

    The loop's executor would do, but refuses work once the main thread has ended, when other threads may still be
    calling, and its threads hold up the interpreter's end for as long as a lookup hangs.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def settle(outcome: Callable[[], None]) -> None:
        if not answer.done():
            outcome()

    def run() -> None:
        outcome: Callable[[], None]
        try:
            outcome = functools.partial(answer.set_result, work())
        except Exception as error:  # noqa: BLE001  (raised where the answer is awaited)
            outcome = functools.partial(answer.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, outcome)

    threading.Thread(target=run, name="portkey-router-lookup", daemon=True).start()
    return await answer


def look_up(host: str, port: int, family: int) -> list[dict[str, Any]]:
    """A name's addresses, as aiohttp's resolvers give them. Blocks."""
    numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    return [
        {
            "hostname": host,
            # A link-local IPv6 address needs its scope, which only getnameinfo spells out.
            "host": socket.getnameinfo(address, numeric)[0],
            "port": port,
            "family": kind,
            "proto": proto,
            "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        }
        for kind, _, proto, _, address in socket.getaddrinfo(
            host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
    ]


def proxy_for(scheme: str, host: str) -> str | None:
    """The proxy that the environment names for a host, if any."""
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415  (only aiohttp needs it, which imports it too)

    return None if _on_this_machine(host) or proxy_bypass(host) else getproxies().get(scheme)


def _on_this_machine(host: str) -> bool:
    """Whether it is a loopback name or address; those need no proxy, as a local gateway's users expect."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def let_go_of_copies(transports: Iterable[Any]) -> None:
    """In a forked child: the server must see it when the parent closes a connection, so no copy may stay open.

    uvloop's sockets have no object to close. Their numbers become /dev/null's, for the loop goes on believing in them.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for transport in transports:
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            os.dup2(null, sock.fileno(), inheritable=False)
    os.close(null)


def close_socket(transport: Any) -> None:
    """Close the socket under a transport whose loop runs no more, or is another process's.

    The loop must not hear of it: a closed one would raise, and a forked child's would take the parent's sockets out of
    the selector both share. There is no public way to do that.
    """
    tls = getattr(transport, "_ssl_protocol", None)
    if tls is not None:
        transport._closed = True  # noqa: SLF001  (silences its warning; see above)
        transport = tls._transport  # noqa: SLF001  (see above)
    sock = getattr(transport, "_sock", None)
    if sock is not None:
        sock.close()
        transport._sock = None  # noqa: SLF001  (see above)

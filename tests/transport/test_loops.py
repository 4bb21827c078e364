from __future__ import annotations

import asyncio
import gc
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from portkey_router.errors import ConnectFailedError, DeadlineExceededError
from portkey_router.transport import Transport, shared
from tests.certificate import self_signed
from tests.net_server import PIECES, NetServer, net_server, until
from tests.transport.calls import call, loops, new_loop, sockets, within

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@loops
def test_two_loops_in_a_row(server: NetServer, transport: Transport, factory: str) -> None:
    """Each run has its own connections, and leaves none."""
    before = sockets()
    for _ in range(2):
        with asyncio.Runner(loop_factory=lambda: new_loop(factory)) as runner:
            assert runner.run(transport.send(call(server.url + "/json"))).status == 200
    assert server.wait(lambda seen: seen.open == 0)
    assert server.accepted == 2
    assert until(lambda: sockets() <= before)  # the server's own close a turn after it has said so


@loops
def test_loops_closed_without_a_word_are_swept(server: NetServer, transport: Transport, factory: str) -> None:
    """Twenty times `run_until_complete` and `close`: at most the last loop's sockets are left, and then none."""
    before = sockets()
    for _ in range(20):
        loop = new_loop(factory)
        assert loop.run_until_complete(transport.send(call(server.url + "/json"))).status == 200
        loop.close()
        del loop
        gc.collect()
    assert server.wait(lambda seen: seen.open <= 1)
    asyncio.run(transport.send(call(server.url + "/json")))
    gc.collect()
    assert server.wait(lambda seen: seen.open == 0)
    assert until(lambda: sockets() <= before)  # fewer, where an earlier test's last ones close meanwhile


@loops
def test_a_stream_left_open_in_a_closed_loop_is_swept(server: NetServer, transport: Transport, factory: str) -> None:
    """Half-read streams too, whether dropped before the sweep or held longer."""
    before = sockets()
    held = []
    for hold in (True, False):
        loop = new_loop(factory)
        stream = loop.run_until_complete(transport.open(call(server.url + "/slow-stream")))
        loop.close()
        if hold:
            held.append(stream)
        del stream
        gc.collect()
    asyncio.run(transport.send(call(server.url + "/json")))
    held.pop().abort()
    gc.collect()
    assert server.wait(lambda seen: seen.open == 0)
    assert until(lambda: sockets() <= before)  # fewer, where an earlier test's last ones close meanwhile


@loops
def test_the_loops_end_waits_for_streams_in_flight(server: NetServer, transport: Transport, factory: str) -> None:
    """A generator of the user's that reads on while the loop ends, reads to its end."""
    read: list[bytes] = []

    async def reading() -> Any:
        stream = await transport.open(call(server.url + "/stream"))
        try:
            yield
        finally:
            read.append(await stream.read_all(within()))

    async def main() -> Any:
        generator = reading()
        await anext(generator)
        return generator

    with asyncio.Runner(loop_factory=lambda: new_loop(factory)) as runner:
        kept = runner.run(main())
    assert read == [b"".join(PIECES)]
    del kept


async def test_aclose_closes_this_loops_session(server: NetServer, transport: Transport) -> None:
    """Who wants to close can, twice, and can go on after."""
    await transport.send(call(server.url + "/json"))
    await transport.aclose()
    await transport.aclose()
    assert await asyncio.to_thread(server.wait, lambda seen: seen.open == 0)
    assert (await transport.send(call(server.url + "/json"))).status == 200


def test_a_session_stays_in_its_loop(server: NetServer, transport: Transport) -> None:
    """Loops that run at once in two threads share nothing."""
    import threading

    def run() -> None:
        asyncio.run(transport.send(call(server.url + "/json")))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.accepted == 4


def test_shared_is_one_per_process() -> None:
    """Routers share their connections."""
    assert shared() is shared()


@pytest.fixture
def tls_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NetServer]:
    """A server with a certificate that aiohttp trusts for this test."""
    import aiohttp.connector

    key, certificate = self_signed(tmp_path)
    trust = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", trust)
    offered = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    offered.load_cert_chain(certificate, key)
    with net_server(offered) as running:
        yield running


@loops
def test_nothing_is_left_of_tls(tls_server: NetServer, transport: Transport, factory: str) -> None:
    """A TLS call given up at its deadline, or swept with its loop, leaves no socket and no warning."""
    before = sockets()
    loop = new_loop(factory)
    with pytest.raises(DeadlineExceededError):
        loop.run_until_complete(transport.send(call(tls_server.url + "/slow-headers", 0.3)))
    assert loop.run_until_complete(transport.send(call(tls_server.url + "/json"))).status == 200
    loop.close()
    del loop
    with asyncio.Runner(loop_factory=lambda: new_loop(factory)) as runner, pytest.raises(DeadlineExceededError):
        runner.run(transport.send(call(tls_server.url + "/slow-headers", 0.3)))
    gc.collect()
    assert tls_server.wait(lambda seen: seen.open == 0)
    assert until(lambda: sockets() <= before)  # fewer, where an earlier test's last ones close meanwhile


async def test_a_certificate_that_nobody_trusts_is_ours(tls_server: NetServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused certificate is `ConnectFailedError`, not a misspelt request (its exception is a ValueError too)."""
    import aiohttp.connector

    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", ssl.create_default_context())
    with pytest.raises(ConnectFailedError, match="certificate"):
        await Transport().send(call(tls_server.url + "/json"))

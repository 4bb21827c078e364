from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest

from portkey_router.errors import ConnectFailedError, DeadlineExceededError
from tests.net_server import BODY, PIECES, NetServer, until
from tests.transport.calls import call, drain, sockets, within

if TYPE_CHECKING:
    from portkey_router.transport import Transport


async def test_send_brings_the_whole_reply(server: NetServer, transport: Transport) -> None:
    """A reply has its status, its headers by lower-case name, and its body."""
    reply = await transport.send(call(server.url + "/json"))
    assert (reply.status, reply.body, reply.headers["x-some-header"]) == (200, BODY, "Yes")
    assert (server.requests[0].method, server.requests[0].body) == ("POST", b"{}")
    assert server.requests[0].headers["authorization"] == "Bearer sk-secret"


async def test_calls_of_one_loop_share_a_connection(server: NetServer, transport: Transport) -> None:
    """A connection whose reply was read goes back to the pool, from `send` and from `open`."""
    await transport.send(call(server.url + "/json"))
    stream = await transport.open(call(server.url + "/stream"))
    assert await stream.read_all(within()) == b"".join(PIECES)
    stream.abort()
    await transport.send(call(server.url + "/json"))
    assert [seen.connection for seen in server.requests] == [1, 1, 1]


async def test_a_redirect_is_not_followed(server: NetServer, transport: Transport) -> None:
    """Keys are not carried to where a server points."""
    assert (await transport.send(call(server.url + "/redirect"))).status == 302
    assert len(server.requests) == 1


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_nothing_is_sent_again_by_itself(server: NetServer, transport: Transport, method: str) -> None:
    """A reused connection that breaks is an error, and whoever called decides: aiohttp's own second try is off."""
    await transport.send(call(server.url + "/json"))
    with pytest.raises(ConnectFailedError):
        await transport.send(call(server.url + "/reset", method=method))
    assert [(seen.connection, seen.path) for seen in server.requests] == [(1, "/json"), (1, "/reset")]


async def test_cookies_are_not_kept(server: NetServer, transport: Transport) -> None:
    """What one call is given, the next does not send."""
    assert (await transport.send(call(server.url + "/json"))).status == 200
    await transport.send(call(server.url + "/json"))
    assert "cookie" not in server.requests[1].headers


async def test_a_large_body_is_sent_without_a_warning(server: NetServer, transport: Transport) -> None:
    """A body of megabytes (pictures) arrives whole; aiohttp's advice about it is no user's concern."""
    reply = await transport.send(call(server.url + "/echo", body=b"x" * 3_000_000))
    assert b'"size": 3000000' in reply.body


async def test_an_error_status_is_a_reply(server: NetServer, transport: Transport) -> None:
    """Whatever HTTP status is for the flow to judge."""
    assert (await transport.send(call(server.url + "/redirect", method="GET", body=b""))).status == 302


@pytest.mark.parametrize("path", ["/slow-headers", "/slow-body"])
async def test_send_is_bounded_by_its_expiry(server: NetServer, transport: Transport, path: str) -> None:
    """A reply that is not whole in time is a deadline with the expiry's phase and length, and its socket is closed."""
    with pytest.raises(DeadlineExceededError) as caught:
        await transport.send(call(server.url + path, expiry=within(0.2, "total")))
    assert (caught.value.phase, caught.value.seconds) == ("total", 0.2)
    assert await asyncio.to_thread(server.wait, lambda seen: seen.ended == 1)


async def test_open_is_bounded_by_its_expiry(server: NetServer, transport: Transport) -> None:
    """Headers that do not come in time are a deadline, and the socket is closed."""
    with pytest.raises(DeadlineExceededError) as caught:
        await transport.open(call(server.url + "/slow-headers", expiry=within(0.2, "first_token")))
    assert caught.value.phase == "first_token"
    assert await asyncio.to_thread(server.wait, lambda seen: seen.ended == 1)


async def test_read_is_bounded_by_its_expiry(server: NetServer, transport: Transport) -> None:
    """A stream that falls silent is a deadline, and its socket is closed."""
    stream = await transport.open(call(server.url + "/slow-stream"))
    came = await stream.read(within())
    if came == PIECES[0]:  # a busy machine reads both at once
        came += await stream.read(within())
    assert came == b"".join(PIECES[:2])
    with pytest.raises(DeadlineExceededError) as caught:
        await stream.read(within(0.1, "silence"))
    assert (caught.value.phase, caught.value.seconds) == ("silence", 0.1)
    assert await asyncio.to_thread(server.wait, lambda seen: seen.ended == 1)


async def test_read_all_is_bounded_by_its_expiry(server: NetServer, transport: Transport) -> None:
    """A body that never ends, though it never pauses, is a deadline."""
    stream = await transport.open(call(server.url + "/flood"))
    with pytest.raises(DeadlineExceededError):
        await stream.read_all(within(0.3))
    assert await asyncio.to_thread(server.wait, lambda seen: seen.ended == 1)


async def test_an_expired_call_is_not_sent(server: NetServer, transport: Transport) -> None:
    """What cannot be waited for is not asked for: it might be billed."""
    await transport.send(call(server.url + "/json"))
    for verb in (transport.send, transport.open):
        with pytest.raises(DeadlineExceededError):
            await verb(call(server.url + "/echo", seconds=-1.0))
    await transport.send(call(server.url + "/json"))
    assert [(seen.path, seen.connection) for seen in server.requests] == [("/json", 1), ("/json", 1)]


async def test_the_connect_deadline_covers_the_handshake(server: NetServer, transport: Transport) -> None:
    """A server that takes the connection and never answers the TLS greeting fails in the phase `connect`."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/v1?token=abc"
        with pytest.raises(DeadlineExceededError) as caught:
            await transport.send(call(url, connect=0.2))
    assert (caught.value.phase, caught.value.seconds) == ("connect", 0.2)


async def test_the_connect_deadline_does_not_hurry_the_answer(server: NetServer, transport: Transport) -> None:
    """Once connected, only the expiry counts."""
    with pytest.raises(DeadlineExceededError) as caught:
        await transport.send(call(server.url + "/slow-headers", connect=0.1, expiry=within(0.6)))
    assert caught.value.phase == "attempt"


async def test_a_cancelled_call_stays_cancelled(server: NetServer, transport: Transport) -> None:
    """The caller's own cancellation is not taken for a deadline, and closes the socket."""
    task = asyncio.create_task(transport.send(call(server.url + "/slow-headers")))
    assert await asyncio.to_thread(server.wait, lambda seen: bool(seen.requests))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(server.wait, lambda seen: seen.ended == 1)


async def test_a_cancelled_read_closes_the_socket(server: NetServer, transport: Transport) -> None:
    """Who is cancelled while reading leaves no stream behind, and no upstream at work."""
    stream = await transport.open(call(server.url + "/slow-stream"))
    task = asyncio.create_task(stream.read_all(within()))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(server.wait, lambda seen: seen.ended == 1)


async def test_what_is_unsent_stays_unsent(transport: Transport) -> None:
    """A request given up while it is written does not go on being sent: who has all of it may bill it."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        before = sockets()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        with pytest.raises(DeadlineExceededError):
            await transport.send(call(url, 0.5, body=b"x" * 50_000_000))
        assert await asyncio.to_thread(until, lambda: sockets() <= before)


async def test_the_callers_own_timeout_is_not_ours(server: NetServer, transport: Transport) -> None:
    """`asyncio.timeout` around a call raises TimeoutError to its owner."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await transport.send(call(server.url + "/slow-headers"))


async def test_pieces_come_as_they_arrive(server: NetServer, transport: Transport) -> None:
    """A stream is read while it is written, then ends with `b""`, again and again."""
    stream = await transport.open(call(server.url + "/stepwise"))
    assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream")
    pieces: list[bytes] = []
    for piece in PIECES:
        server.step()
        pieces.append(await stream.read(within()))
        assert pieces[-1] == piece
    await drain(stream, pieces)
    assert pieces == list(PIECES)
    assert await stream.read(within()) == b""


@pytest.mark.parametrize("path", ["/reset-stream", "/short-stream"])
async def test_a_broken_stream_is_an_error_after_its_pieces(server: NetServer, transport: Transport, path: str) -> None:
    """What arrived is read first; a reset, or an end before the end, is never a clean one."""
    stream = await transport.open(call(server.url + path))
    pieces: list[bytes] = []
    with pytest.raises(ConnectFailedError):
        await drain(stream, pieces)
    assert b"".join(pieces) == b"".join(PIECES[:2])


async def test_what_arrived_with_the_break_is_not_lost(server: NetServer, transport: Transport) -> None:
    """A reader that comes late, after the connection broke, is still given what had come before."""
    stream = await transport.open(call(server.url + "/short-stream"))
    assert await asyncio.to_thread(server.wait, lambda seen: seen.ended == 1)
    await asyncio.sleep(0.05)
    pieces: list[bytes] = []
    with pytest.raises(ConnectFailedError):
        await drain(stream, pieces)
    assert b"".join(pieces) == b"".join(PIECES[:2])


async def test_abort_closes_the_socket_of_an_unread_reply(server: NetServer, transport: Transport) -> None:
    """The upstream stops; `abort` may be repeated; nothing more can be read."""
    stream = await transport.open(call(server.url + "/slow-stream"))
    stream.abort()
    stream.abort()
    assert await asyncio.to_thread(server.wait, lambda seen: seen.ended == 1)
    with pytest.raises(ConnectFailedError):
        await drain(stream, [])


async def test_a_dropped_stream_closes_its_socket(server: NetServer, transport: Transport) -> None:
    """A stream that nobody holds any more is given up as if aborted."""
    stream = await transport.open(call(server.url + "/slow-stream"))
    del stream
    gc.collect()
    assert await asyncio.to_thread(server.wait, lambda seen: seen.ended == 1)

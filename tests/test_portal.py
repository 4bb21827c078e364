from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from portkey_router.errors import ConnectFailedError, DeadlineExceededError
from portkey_router.portal import SyncHttpStream, SyncTransport
from tests.net_server import BODY, PIECES, NetServer, net_server, until
from tests.transport.calls import CAREFUL, PRELUDE, ROOT, call, run_script, silent, sockets, within

if TYPE_CHECKING:
    from collections.abc import Iterator

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@pytest.fixture
def server() -> Iterator[NetServer]:
    """A server of the test's own."""
    with net_server() as running:
        yield running


@pytest.fixture
def transport() -> SyncTransport:
    """The process's portal and its sessions, as users share them."""
    return SyncTransport()


def drain(stream: SyncHttpStream, pieces: list[bytes]) -> None:
    """Read to the end, keeping what came before an error."""
    while piece := stream.read(within()):
        pieces.append(piece)


# ---- an answer -------------------------------------------------------------------------------------------------------


def test_send_brings_the_whole_reply(server: NetServer, transport: SyncTransport) -> None:
    """A reply has its status, its headers by lower-case name, and its body."""
    reply = transport.send(call(server.url + "/json"))
    assert (reply.status, reply.body, reply.headers["x-some-header"]) == (200, BODY, "Yes")


def test_a_stream_is_read_while_it_is_written(server: NetServer, transport: SyncTransport) -> None:
    """Its pieces come in order and end with `b""`, again and again; the connection is used again."""
    stream = transport.open(call(server.url + "/stepwise"))
    assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream")
    pieces: list[bytes] = []
    for piece in PIECES:
        server.step()
        pieces.append(stream.read(within()))
        assert pieces[-1] == piece
    drain(stream, pieces)
    assert pieces == list(PIECES)
    assert stream.read(within()) == b""
    stream.abort()
    transport.send(call(server.url + "/json"))
    assert [seen.connection for seen in server.requests] == [1, 1]


def test_read_takes_all_that_is_here(server: NetServer, transport: SyncTransport) -> None:
    """Pieces that have arrived come at once, not one wait each."""
    stream = transport.open(call(server.url + "/stream"))
    task = stream._pump.task
    assert until(task.done)
    assert stream.read(within()) == b"".join(PIECES)


def test_read_all_brings_the_rest(server: NetServer, transport: SyncTransport) -> None:
    """What was read before is not part of it."""
    stream = transport.open(call(server.url + "/stream"))
    first = stream.read(within())
    assert first + stream.read_all(within()) == b"".join(PIECES)


# ---- deadlines and errors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/slow-headers", "/slow-body"])
def test_send_is_bounded_by_its_expiry(server: NetServer, transport: SyncTransport, path: str) -> None:
    """A reply that is not whole in time is a deadline, and its socket is closed."""
    with pytest.raises(DeadlineExceededError) as caught:
        transport.send(call(server.url + path, expiry=within(0.2, "total")))
    assert (caught.value.phase, caught.value.seconds) == ("total", 0.2)
    assert server.wait(lambda seen: seen.ended == 1)


def test_read_is_bounded_by_its_expiry(server: NetServer, transport: SyncTransport) -> None:
    """A stream that falls silent is a deadline, and its socket is closed."""
    stream = transport.open(call(server.url + "/slow-stream"))
    assert stream.read(within()).startswith(PIECES[0])
    with pytest.raises(DeadlineExceededError) as caught:
        stream.read_all(within(0.2, "silence"))
    assert (caught.value.phase, caught.value.seconds) == ("silence", 0.2)
    assert server.wait(lambda seen: seen.ended == 1)


def test_read_all_is_bounded_by_its_expiry(server: NetServer, transport: SyncTransport) -> None:
    """A body that never ends, though it never pauses, is a deadline."""
    stream = transport.open(call(server.url + "/flood"))
    with pytest.raises(DeadlineExceededError):
        stream.read_all(within(0.3))
    assert server.wait(lambda seen: seen.ended == 1)


@pytest.mark.parametrize("path", ["/reset", "/short", "/garbage"])
def test_a_broken_connection_is_ours(server: NetServer, transport: SyncTransport, path: str) -> None:
    """The transport's errors cross as they are."""
    with pytest.raises(ConnectFailedError, match=rf"127\.0\.0\.1:{server.port}"):
        transport.send(call(server.url + path))


@pytest.mark.parametrize("path", ["/reset-stream", "/short-stream"])
def test_a_broken_stream_is_an_error_after_its_pieces(server: NetServer, transport: SyncTransport, path: str) -> None:
    """What arrived is read first; a broken end is never a clean one, however often it is asked for."""
    stream = transport.open(call(server.url + path))
    pieces: list[bytes] = []
    for _ in range(2):
        with pytest.raises(ConnectFailedError):
            drain(stream, pieces)
    assert b"".join(pieces) == b"".join(PIECES[:2])


# ---- letting go ------------------------------------------------------------------------------------------------------


def test_abort_closes_the_socket(server: NetServer, transport: SyncTransport) -> None:
    """The upstream stops; `abort` may be repeated; nothing more can be read."""
    stream = transport.open(call(server.url + "/slow-stream"))
    stream.abort()
    stream.abort()
    assert server.wait(lambda seen: seen.ended == 1)
    with pytest.raises(ConnectFailedError):
        drain(stream, [])


def test_a_dropped_stream_closes_its_socket(server: NetServer, transport: SyncTransport) -> None:
    """A stream that nobody holds any more is given up as if aborted."""
    stream = transport.open(call(server.url + "/slow-stream"))
    del stream
    gc.collect()
    assert server.wait(lambda seen: seen.ended == 1)


def test_a_slow_reader_slows_the_server(server: NetServer, transport: SyncTransport) -> None:
    """An unread stream stops being received at some point, and goes on once it is read."""
    stream = transport.open(call(server.url + "/flood"))
    pump = stream._pump
    assert until(lambda: pump.room is not None)
    held = pump.put
    assert held < 1 << 20
    got = 0
    while got < 4 * held:
        got += len(stream.read(within()))
    stream.abort()
    assert server.wait(lambda seen: seen.ended == 1)


# ---- where it is called ----------------------------------------------------------------------------------------------


async def test_it_works_inside_a_running_loop(server: NetServer, transport: SyncTransport) -> None:
    """A sync call blocks the loop it is made in, as its caller asked, and is answered."""
    assert transport.send(call(server.url + "/json")).body == BODY
    assert transport.open(call(server.url + "/stream")).read_all(within()) == b"".join(PIECES)


def test_it_works_from_many_threads(server: NetServer, transport: SyncTransport) -> None:
    """Thirty-two threads share one portal, and each gets its own answers."""

    def work(number: int) -> bool:
        whole = transport.send(call(server.url + "/echo", headers={"X-Number": str(number)})).body
        streamed = transport.open(call(server.url + "/stream")).read_all(within())
        return f'"{number}"'.encode() in whole and streamed == b"".join(PIECES)

    with ThreadPoolExecutor(32) as threads:
        assert all(threads.map(work, range(32)))
    names = [thread.name for thread in threading.enumerate()]
    assert sum(name.startswith("portkey-router-portal") for name in names) == 1


def test_runs_and_sync_calls_in_turn(server: NetServer, transport: SyncTransport) -> None:
    """A sync call's session outlives the loops around it."""
    for _ in range(2):
        asyncio.run(transport._transport.send(call(server.url + "/json")))
        transport.send(call(server.url + "/json"))
    connections = [seen.connection for seen in server.requests]
    assert connections[1] == connections[3]
    assert len(set(connections)) == 3


# ---- processes -------------------------------------------------------------------------------------------------------


@needs_fork
def test_a_forked_child_has_a_portal_of_its_own(server: NetServer) -> None:
    """After `os.fork` both can call, silently; the child's connections are its own."""
    body = """
sync = SyncTransport()
sync.send(call())
child = os.fork()
assert sync.send(call()).status == 200
assert sync.open(call("/stream")).read_all(call().expiry)
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    assert silent(run_script(PRELUDE + body, server.url))
    assert len({seen.connection for seen in server.requests}) == 2
    assert server.wait(lambda seen: seen.open == 0)


@needs_fork
def test_a_fork_while_the_portal_is_busy(server: NetServer) -> None:
    """A child forked with calls and streams in flight can call; the parent's streams are not the child's."""
    body = """
from portkey_router.errors import PortkeyError
sync = SyncTransport()
stream = sync.open(call("/slow-stream"))
first = stream.read(call().expiry)
thread = threading.Thread(target=lambda: sync.send(call("/slow-headers", 1.0)), daemon=True)
threading.excepthook = lambda args: None
thread.start()
time.sleep(0.2)
child = os.fork()
if child == 0:
    assert sync.send(call()).status == 200
    try:
        stream.read(call(seconds=2.0).expiry)
    except PortkeyError:
        pass
    del stream
    gc.collect()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
assert sync.send(call()).status == 200
stream.abort()
thread.join()
"""
    assert silent(run_script(PRELUDE + body, server.url))
    assert server.wait(lambda seen: seen.open == 0)


@pytest.mark.parametrize("method", ["spawn", pytest.param("fork", marks=needs_fork)])
def test_multiprocessing(server: NetServer, method: str, tmp_path: os.PathLike[str]) -> None:
    """Workers of a pool call as their parent does, however they are started."""
    program = f"{tmp_path}/program.py"
    body = """
import multiprocessing
sync = SyncTransport()
def work(number):
    return sync.send(call()).status
if __name__ == "__main__":
    assert work(0) == 200
    with multiprocessing.get_context(sys.argv[2]).Pool(2) as pool:
        assert pool.map(work, range(4)) == [200] * 4
        pool.close()
        pool.join()
    assert work(0) == 200
"""
    with open(program, "w", encoding="utf-8") as file:  # noqa: PTH123  (a path made of text)
        file.write(PRELUDE + body)
    done = subprocess.run(
        [*CAREFUL, program, server.url, method],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert silent(done)


@pytest.mark.skipif(os.name == "nt", reason="signals are another matter there")
@pytest.mark.parametrize("verb", ["send(call('/slow-headers'))", "open(call('/slow-stream')).read_all(call().expiry)"])
def test_ctrl_c_ends_a_call(server: NetServer, verb: str) -> None:
    """KeyboardInterrupt surfaces while the upstream is silent, and its socket is closed before the program ends."""
    body = f"""
try:
    SyncTransport().{verb}
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.stdin.read()
"""
    pipe = subprocess.PIPE
    command = [*CAREFUL, "-c", PRELUDE + body, server.url]
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    ) as it:
        assert it.stdout is not None
        assert server.wait(lambda seen: bool(seen.requests))
        threading.Event().wait(0.3)  # until it waits for the answer; if earlier, the test only shows less
        it.send_signal(signal.SIGINT)
        assert it.stdout.readline() == "interrupted\n"
        assert server.wait(lambda seen: seen.ended == 1)
        assert it.communicate("", timeout=30)[1] == ""
        assert it.returncode == 0


@pytest.mark.parametrize("verb", ["send(call('/slow-headers'))", "open(call('/slow-stream')).read_all(call().expiry)"])
def test_exit_with_a_call_in_flight(server: NetServer, verb: str) -> None:
    """A program that ends while a daemon thread waits for an answer ends at once, well and silently."""
    body = f"""
sync = SyncTransport()
threading.Thread(target=lambda: sync.{verb}, daemon=True).start()
sync.send(call())
time.sleep(0.5)
"""
    assert silent(run_script(PRELUDE + body, server.url))
    assert server.wait(lambda seen: seen.open == 0)


def test_exit_handlers_can_join_a_thread_that_calls(server: NetServer) -> None:
    """A daemon thread that waits at the interpreter's end is let go, not left waiting for ever."""
    body = """
import atexit
sync = None
thread = threading.Thread(target=lambda: sync.send(call("/slow-headers")), daemon=True)
atexit.register(lambda: thread.join(10) or print(thread.is_alive()))
sync = SyncTransport()
sync.send(call())
thread.start()
time.sleep(0.5)
"""
    done = run_script(PRELUDE + body, server.url)
    assert silent(done)
    assert done.stdout == "False\n"


def test_a_thread_can_call_after_the_main_one_has_ended(server: NetServer) -> None:
    """Names are still looked up then, when executors take no more work."""
    body = """
def work():
    threading.main_thread().join()
    time.sleep(0.2)
    print(SyncTransport().send(call()).status)
threading.Thread(target=work).start()
"""
    done = run_script(PRELUDE + body, f"http://localhost:{server.port}")
    assert silent(done)
    assert done.stdout == "200\n"


def test_a_used_portal_leaves_nothing_at_exit(server: NetServer) -> None:
    """Idle connections and an unread stream are closed by the interpreter's end, without a word."""
    body = "sync = SyncTransport(); sync.send(call()); kept = sync.open(call('/slow-stream'))"
    assert silent(run_script(PRELUDE + body, server.url))
    assert server.wait(lambda seen: seen.open == 0)


def test_streams_given_up_leave_no_socket(server: NetServer, transport: SyncTransport) -> None:
    """Twenty aborted streams are twenty closed sockets."""
    transport.send(call(server.url + "/json"))
    before = sockets() - 2 * server.open  # both ends are in this process
    for _ in range(20):
        transport.open(call(server.url + "/slow-stream")).abort()
    assert server.wait(lambda seen: seen.open <= 1)
    assert until(lambda: sockets() - 2 * server.open <= before)  # fewer: an earlier test's may close

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.transport.calls import PRELUDE, ROOT, run_script, silent

if TYPE_CHECKING:
    from tests.net_server import NetServer


@pytest.mark.parametrize("uvloop", [False, True])
@pytest.mark.parametrize(
    "body",
    [
        "asyncio.run(work)",
        "kept = asyncio.run(work)",
        "loop = new(); loop.run_until_complete(work); loop.close()",
        "loop = new(); kept = loop.run_until_complete(work); loop.close()",
        "loop = new(); loop.run_until_complete(work); loop.close(); del loop; gc.collect()",
    ],
)
@pytest.mark.parametrize("work", ["shared().send(call())", "shared().open(call('/slow-stream'))"])
def test_nothing_unclosed_is_reported(server: NetServer, body: str, work: str, *, uvloop: bool) -> None:
    """No "Unclosed client session", connector, connection or transport in development mode, however the loop ended."""
    policy = "import uvloop; asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())\n" if uvloop else ""
    assert silent(run_script(f"{PRELUDE}{policy}new = asyncio.new_event_loop; work = {work}\n{body}", server.url))
    assert server.wait(lambda seen: seen.open == 0)


def test_a_call_after_the_generators_were_shut_down(server: NetServer) -> None:
    """A loop that goes on after `shutdown_asyncgens` is left to the sweep, not warned about."""
    body = """
loop = asyncio.new_event_loop()
loop.run_until_complete(loop.shutdown_asyncgens())
loop.run_until_complete(shared().send(call()))
loop.close()
"""
    assert silent(run_script(PRELUDE + body, server.url))


def test_a_loop_in_a_daemon_thread_is_closed_at_exit(server: NetServer) -> None:
    """A loop that nobody stops is asked to close its session before the interpreter ends."""
    body = """
loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()
asyncio.run_coroutine_threadsafe(shared().send(call()), loop).result()
"""
    assert silent(run_script(PRELUDE + body, server.url))
    assert server.wait(lambda seen: seen.open == 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_forked_child_opens_its_own_connections(server: NetServer, loop: str) -> None:
    """The child neither uses nor breaks its parent's; and what the parent closes is closed."""
    body = f"""
import {loop}
loop = {loop}.new_event_loop()
loop.run_until_complete(shared().send(call()))
child = os.fork()
if child == 0:
    other = {loop}.new_event_loop()
    other.run_until_complete(shared().send(call()))
    other.close()
    gc.collect()
    os._exit(0)  # the parent's loop, left open here, would be reported, and is not ours
_, status = os.waitpid(child, 0)
assert status == 0, status
loop.run_until_complete(shared().send(call()))
loop.close()
"""
    assert silent(run_script(PRELUDE + body, server.url))
    assert [seen.connection for seen in server.requests] == [1, 2, 1]
    assert server.wait(lambda seen: seen.open == 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_child_does_not_keep_its_parents_connections_open(server: NetServer, loop: str) -> None:
    """A call that the parent gives up ends for the server, though a child that was forked meanwhile lives on."""
    body = f"""
import {loop}
loop = {loop}.new_event_loop()
stream = loop.run_until_complete(shared().open(call("/slow-stream")))
child = os.fork()
if child == 0:
    sys.stdin.read()
    os._exit(0)
stream.abort()
loop.run_until_complete(asyncio.sleep(0.05))
print("aborted", flush=True)
sys.stdin.read()
loop.close()
os.waitpid(child, 0)
"""
    command = [sys.executable, "-X", "dev", "-c", PRELUDE + body, server.url]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    ) as it:
        assert it.stdout is not None
        assert it.stdout.readline() == "aborted\n"
        assert server.wait(lambda seen: seen.ended == 1)
        it.communicate("", timeout=30)


def test_importing_costs_nothing() -> None:
    """The first call imports aiohttp; the module does not."""
    body = "import sys, portkey_router.transport, portkey_router.portal; assert 'aiohttp' not in sys.modules"
    assert silent(run_script(body))

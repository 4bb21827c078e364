"""Whoever leaves early closes the targets' sockets within a moment, by every way to leave; judged from their log.

Of targets asked directly: the open-source gateway goes on reading from its provider when its own client has gone.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.base.llms.types import ChatMessage

from langchain_portkey_router import ChatPortkey
from llama_index_portkey import PortkeyLLM
from portkey_router import Chunk, CompletionStream, PortkeyRouter, sandbox
from portkey_router.events import CallFinished, capture_events
from tests.failover.faces import MESSAGES, QUESTION
from tests.net_server import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.failover.worlds import World

STALLED = sandbox.Fault.stall(after=3)


def options(world: World) -> dict[str, Any]:
    """The arguments of routers and models alike."""
    return {"base_url": world.url, "api_key": "pk", "strategy": world.target("a")}


def break_router(world: World) -> None:
    """The end of a `with`."""
    with PortkeyRouter.from_env(**options(world)).stream(MESSAGES) as stream:
        assert isinstance(stream, CompletionStream)
        next(stream)
    assert stream.completion is None


def close_router(world: World) -> None:
    """`close` on what a stream is made of."""
    items = PortkeyRouter.from_env(**options(world)).run_stream(MESSAGES)
    assert isinstance(next(items), Chunk)
    items.close()


def drop_router(world: World) -> None:
    """No word at all: the last reference goes."""
    items = PortkeyRouter.from_env(**options(world)).run_stream(MESSAGES)
    next(items)
    del items


def break_langchain(world: World) -> None:
    """A `break` in LangChain's loop."""
    for _ in ChatPortkey(**options(world)).stream(QUESTION):
        break


def break_llama_index(world: World) -> None:
    """A `break` in LlamaIndex's loop."""
    for _ in PortkeyLLM(**options(world)).stream_chat([ChatMessage(QUESTION)]):
        break


def cancel_router(world: World) -> None:
    """A cancelled task, in the midst of a stream."""

    async def read() -> None:
        async for _ in PortkeyRouter.from_env(**options(world)).astream(MESSAGES):
            pass

    asyncio.run(cancelled(read, world))


def cancel_unstreamed(world: World) -> None:
    """A cancelled task that waits for a whole answer."""

    async def read() -> None:
        await PortkeyRouter.from_env(**options(world)).acomplete(MESSAGES)

    asyncio.run(cancelled(read, world))


def cancel_wire_stream(world: World) -> None:
    """The same, streamed underneath."""

    async def read() -> None:
        await ChatPortkey(**options(world), wire_stream=True).ainvoke(QUESTION)

    asyncio.run(cancelled(read, world))


def time_out(world: World) -> None:
    """A caller's own timeout around LangChain's call."""

    async def read() -> None:
        async with asyncio.timeout(None) as limit:

            async def once_asked() -> None:
                assert await asyncio.to_thread(until, lambda: bool(world.log("a")))
                limit.reschedule(asyncio.get_running_loop().time() + 0.1)

            asked = asyncio.create_task(once_asked())
            await asyncio.gather(ChatPortkey(**options(world)).ainvoke(QUESTION), asked)

    with pytest.raises(TimeoutError):
        asyncio.run(read())


def leave_async(world: World) -> None:
    """`aclose` of LangChain's async stream."""

    async def read() -> None:
        chunks: Any = ChatPortkey(**options(world)).astream(QUESTION)
        await anext(chunks)
        await chunks.aclose()

    asyncio.run(read())


async def cancelled(read: Callable[[], Any], world: World) -> None:
    """Start it, cancel it once the target was asked."""
    task = asyncio.create_task(read())
    assert await asyncio.to_thread(until, lambda: bool(world.log("a")))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


WAYS = (
    break_router,
    close_router,
    drop_router,
    break_langchain,
    break_llama_index,
    cancel_router,
    cancel_unstreamed,
    cancel_wire_stream,
    time_out,
    leave_async,
)


@pytest.mark.parametrize("leave", WAYS)
def test_leaving_closes_the_socket(leave: Callable[[World], None], direct: World) -> None:
    """The target sees its client go, once; nobody else is asked, and no answer comes of it."""
    direct.always("a", STALLED)
    with capture_events() as events:
        leave(direct)
    assert until(lambda: all(received.closed_early for received in direct.log("a")))
    assert direct.asked() == ["a"]
    assert [event.outcome for event in events if isinstance(event, CallFinished)] == ["left"]


CTRL_C = """
    import signal, sys, threading
    from portkey_router import PortkeyRouter, Target
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs without it
    router = PortkeyRouter.from_env(base_url=sys.argv[1], api_key="pk", strategy=Target("m", virtual_key="a"))
    try:
        if sys.argv[2] == "complete":
            router.complete([{"role": "user", "content": "Hello"}])
        else:
            list(router.stream([{"role": "user", "content": "Hello"}]))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        sys.stdin.read()  # the process lives on: it is not its end that closes the socket
"""


@pytest.mark.parametrize("verb", ["complete", "stream"])
def test_ctrl_c_closes_the_socket(verb: str, direct: World) -> None:
    """In a thread that waits for an answer: the interrupt arrives, and the socket is closed while the process lives."""
    direct.always("a", STALLED)
    program = [sys.executable, "-c", textwrap.dedent(CTRL_C), direct.url, verb]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert until(lambda: len(direct.log("a")) == 1)
            process.send_signal(signal.SIGINT)
            assert process.stdout is not None
            assert process.stdout.readline() == "interrupted\n"
            assert until(lambda: direct.log("a")[0].closed_early)
            assert process.poll() is None
        finally:
            process.kill()

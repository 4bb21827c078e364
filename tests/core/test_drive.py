from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from portkey_router.drive import adrive, drive
from portkey_router.errors import ConnectFailedError, PortkeyError, StreamInterruptedError, UpstreamUnavailableError
from portkey_router.messages import Chunk, Completion, Embeddings
from tests.core.fakes import (
    JSON,
    AsyncPort,
    Reply,
    Stream,
    SyncPort,
    answer,
    delta,
    failed,
    ok,
    plan,
    start,
    target,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from portkey_router.planner import Plan

HEL = delta(content="Hel")
TWO = plan(target("one"), target("two"))

Outcome = tuple[list[Chunk | Completion | Embeddings], PortkeyError | None]


def by_thread(attempts: Plan, replies: list[Reply], *, stream: bool) -> Outcome:
    """What the sync driver shows, and the error it ends in."""
    shown: list[Chunk | Completion | Embeddings] = []
    try:
        shown.extend(drive(start(attempts, stream=stream), SyncPort(*replies)))
    except PortkeyError as error:
        return shown, error
    return shown, None


def by_loop(attempts: Plan, replies: list[Reply], *, stream: bool) -> Outcome:
    """The same for the async driver."""

    async def run() -> Outcome:
        shown: list[Chunk | Completion | Embeddings] = []
        try:
            async for item in adrive(start(attempts, stream=stream), AsyncPort(*replies)):
                shown.append(item)  # noqa: PERF401  (what was shown before an error is kept)
        except PortkeyError as error:
            return shown, error
        return shown, None

    return asyncio.run(run())


BOTH = pytest.mark.parametrize("run", [by_thread, by_loop])


@BOTH
@pytest.mark.parametrize(
    ("replies", "texts"),
    [
        (lambda: [ok("Hi")], ["Hi"]),
        (lambda: [failed(503), ok("Hi")], ["Hi"]),
        (lambda: [ConnectFailedError("refused"), ok("Hi")], ["Hi"]),
        (lambda: [Stream()], ["", "Hel", "lo", "", "", "Hello"]),
        (lambda: [Stream([delta(role="assistant")]), Stream()], ["", "Hel", "lo", "", "", "Hello"]),
        (lambda: [Stream([answer("Hi")], headers=JSON)], ["Hi", "", "Hi"]),
        (lambda: [Stream([failed(503).body], status=503), Stream()], ["", "Hel", "lo", "", "", "Hello"]),
    ],
)
def test_both_drivers_show_the_same(
    run: Callable[..., Outcome], replies: Callable[[], list[Reply]], texts: list[str]
) -> None:
    """One journey, two drivers: the same chunks in the same order, the whole answer last."""
    script = replies()
    shown, error = run(TWO, script, stream=isinstance(script[-1], Stream))
    assert error is None
    assert [item.content if isinstance(item, Chunk) else str(item) for item in shown] == texts
    assert all(reply.aborted == 1 for reply in script if isinstance(reply, Stream))


@BOTH
def test_both_drivers_raise_the_same(run: Callable[..., Outcome]) -> None:
    """What a port raises reaches the journey, and the journey's verdict the caller."""
    shown, error = run(plan(), [failed(503)], stream=False)
    assert (shown, type(error)) == ([], UpstreamUnavailableError)
    broken = Stream([HEL, ConnectFailedError("lost")])
    shown, error = run(TWO, [broken], stream=True)
    assert [type(item) for item in shown] == [Chunk]
    assert isinstance(error, StreamInterruptedError)
    assert broken.aborted == 1


def test_the_sync_driver_waits_in_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait before another try is slept in the caller's thread."""
    slept: list[float] = []
    monkeypatch.setattr("portkey_router.drive.time.sleep", slept.append)
    shown, _ = by_thread(plan(target(tries=2)), [failed(503), ok("Hi")], stream=False)
    assert slept == [0.25]
    assert len(shown) == 1


def test_the_async_driver_waits_in_its_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same wait is awaited, and blocks nobody."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("portkey_router.drive.asyncio.sleep", sleep)
    shown, _ = by_loop(plan(target(tries=2)), [failed(503), ok("Hi")], stream=False)
    assert slept == [0.25]
    assert len(shown) == 1


def test_closing_early_lets_go_of_the_stream() -> None:
    """A `break` and a `close()` end the journey quietly; its stream is let go of, once."""
    stream = Stream()
    items = drive(start(plan(), stream=True), SyncPort(stream))
    next(items)
    items.close()
    assert stream.aborted == 1
    with pytest.raises(StopIteration):
        next(items)


async def test_closing_early_lets_go_of_the_stream_in_a_loop() -> None:
    """The same for `aclose()`."""
    stream = Stream()
    items = adrive(start(plan(), stream=True), AsyncPort(stream))
    await anext(items)
    await items.aclose()
    assert stream.aborted == 1
    with pytest.raises(StopAsyncIteration):
        await anext(items)


def test_a_whole_answer_shown_as_chunks_can_be_left_too() -> None:
    """Leaving between the chunks of a reply that was no stream lets go of it as well."""
    stream = Stream([answer("Hi")], headers=JSON)
    items = drive(start(plan(), stream=True), SyncPort(stream))
    next(items)
    items.close()
    assert stream.aborted == 1


def test_an_abandoned_stream_is_let_go_of() -> None:
    """A loop that is left without `close()` lets go of the stream when its generator is collected."""
    import gc

    stream = Stream()
    for _ in drive(start(plan(), stream=True), SyncPort(stream)):
        break
    gc.collect()
    assert stream.aborted == 1


async def test_a_cancelled_task_lets_go_of_the_stream() -> None:
    """A task cancelled while it reads ends in CancelledError, after its stream was let go of."""
    stream = Stream([HEL])
    reading = asyncio.Event()

    class Hanging(AsyncPort):
        async def open(self, call: Any) -> Any:
            opened = await super().open(call)
            first = opened.read

            async def read(expiry: Any) -> bytes:
                if piece := await first(expiry):
                    return piece
                reading.set()
                await asyncio.sleep(60)
                return b""

            opened.read = read  # type: ignore[method-assign]
            return opened

    async def consume() -> None:
        async for _ in adrive(start(TWO, stream=True), Hanging(stream)):
            pass

    task = asyncio.create_task(consume())
    await reading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stream.aborted == 1


def test_ctrl_c_reaches_the_caller() -> None:
    """KeyboardInterrupt while reading lets go of the stream, and is raised as it is."""
    stream = Stream([HEL, KeyboardInterrupt()])
    items = drive(start(TWO, stream=True), SyncPort(stream))
    next(items)
    with pytest.raises(KeyboardInterrupt):
        next(items)
    assert stream.aborted == 1

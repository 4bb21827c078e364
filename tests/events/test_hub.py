from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from typing import TYPE_CHECKING

from portkey_router.events import EventHub, capture_events, listening
from tests.events.calls import call

if TYPE_CHECKING:
    import pytest

    from portkey_router import Event


class Kept:
    """A sink that keeps what it takes, or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.events: list[Event] = []
        self.error = error

    def handle(self, event: Event) -> None:
        """Keep it, or raise."""
        if self.error is not None:
            raise self.error
        self.events.append(event)


def test_everybody_hears() -> None:
    """Every sink, the call's own listener and those of the block are told each event, once."""
    sink, own, around = Kept(), list[object](), list[object]()
    with listening(around.append), capture_events() as captured:
        hub = EventHub([sink, sink]).for_call(own.append)
        hub.emit(event := call())
    assert (sink.events, own, around, captured) == ([event, event], [event], [event], [event])


def test_nobody_hears() -> None:
    """Where nobody would hear an event none needs to be made, and a call needs no hub of its own."""
    assert not EventHub().listening
    hub = EventHub()
    assert hub.for_call() is hub
    assert hub.for_call(print).listening
    assert EventHub([Kept()]).for_call().listening
    with capture_events():
        assert hub.listening
    with listening(print):
        assert hub.for_call().listening


def test_a_failing_sink_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    """What fails to take an event keeps nobody else from it, and is logged once for all calls."""
    broken, kept, heard = Kept(ValueError("disk")), Kept(), list[object]()

    def failing(event: Event) -> None:
        raise RuntimeError

    hub = EventHub([broken, kept])
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            hub.for_call(failing).emit(call())
        with listening(heard.append):
            hub.for_call().emit(call())
    assert (len(kept.events), len(heard)) == (4, 1)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert messages[0].startswith("Kept failed to take an event")
    assert "disk" in caplog.text


def test_a_listener_is_settled_when_the_call_is_made() -> None:
    """A call made in the block is heard wherever it ends; one made outside is not, wherever that is."""
    heard: list[object] = []
    outside = EventHub().for_call()
    with listening(heard.append):
        inside = EventHub().for_call()
        outside.emit(call("outside"))
    inside.emit(event := call("inside"))
    assert heard == [event]


async def test_the_blocks_of_tasks_are_their_own() -> None:
    """Each task hears its own calls, also those of tasks and threads that it starts; a bare thread's go unheard."""

    async def work(name: str) -> list[str | None]:
        heard: list[Event] = []
        with listening(heard.append):
            hub = EventHub()
            await asyncio.sleep(0)
            hub.for_call().emit(call(name))
            await asyncio.to_thread(lambda: hub.for_call().emit(call(f"{name} thread")))
            async with asyncio.TaskGroup() as group:
                group.create_task(tell(hub, f"{name} task"))
            bare = threading.Thread(target=lambda: hub.for_call().emit(call(f"{name} bare")))
            bare.start()
            bare.join()
        return [event.model for event in heard if hasattr(event, "model")]

    async def tell(hub: EventHub, name: str) -> None:
        hub.for_call().emit(call(name))

    heard = await asyncio.gather(work("a"), work("b"))
    assert list(heard) == [["a", "a thread", "a task"], ["b", "b thread", "b task"]]


def test_a_block_left_from_another_context() -> None:
    """A generator that is closed elsewhere leaves its block without an error, and without a listener behind."""
    heard: list[object] = []

    def generate() -> object:
        with listening(heard.append):
            yield

    generator = generate()
    contextvars.copy_context().run(next, generator)  # type: ignore[arg-type]
    generator.close()  # type: ignore[attr-defined]
    EventHub().for_call().emit(call())
    assert heard == []


def test_a_sink_for_each_call(caplog: pytest.LogCaptureFixture) -> None:
    """A sink is asked for that of a call where it is made; one that fails to give it takes the events itself."""
    where: contextvars.ContextVar[str] = contextvars.ContextVar("where", default="nowhere")

    class Placed(Kept):
        def for_call(self) -> Kept:
            self.of_call = Kept()
            self.place = where.get()
            return self.of_call

    class Broken(Kept):
        def for_call(self) -> Kept:
            raise ValueError

    placed, broken = Placed(), Broken()
    token = where.set("at the call")
    hub = EventHub([placed, broken]).for_call()
    where.reset(token)
    hub.emit(event := call())
    assert (placed.place, placed.of_call.events, placed.events) == ("at the call", [event], [])
    assert broken.events == [event]
    assert "Broken failed to take an event" in caplog.text

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from portkey_router import ConfigurationError
from portkey_router.sinks.background import Background

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LONG = 30.0


class Writer:
    """Keeps what is written; waits while it is held, and raises while it has errors left."""

    def __init__(self, *errors: Exception) -> None:
        self.written: list[int] = []
        self.errors = list(errors)
        self.open = threading.Event()
        self.open.set()
        self.asked = threading.Event()

    def __call__(self, batch: Sequence[int]) -> None:
        """Write them, once it may."""
        self.asked.set()
        assert self.open.wait(LONG)
        if self.errors:
            raise self.errors.pop(0)
        self.written += batch


@pytest.fixture
def made() -> Iterator[list[Background[Any]]]:
    """Queues to close once the test is over."""
    queues: list[Background[Any]] = []
    yield queues
    for queue in queues:
        queue.close(LONG)


def test_everything_is_written_in_order(made: list[Background[int]]) -> None:
    """What is put is written, in order and some at a time, and `flush` waits for it."""
    writer = Writer()
    made.append(queue := Background("test", writer))
    assert queue.flush(0)
    for number in range(1000):
        queue.put(number)
    assert queue.flush(LONG)
    assert writer.written == list(range(1000))
    assert queue.dropped == 0


def test_a_stuck_writer_holds_up_nobody(made: list[Background[int]], caplog: pytest.LogCaptureFixture) -> None:
    """Beyond its size the queue drops, counts, and says so once; what it held is written in the end."""
    writer = Writer()
    writer.open.clear()
    made.append(queue := Background("Stuck", writer, size=10))
    queue.put(-1)
    assert writer.asked.wait(LONG)  # it has taken that one, and is stuck with it
    for number in range(25):
        queue.put(number)
    assert queue.dropped == 15
    assert not queue.flush(0)
    with caplog.at_level(logging.WARNING):
        writer.open.set()
        assert queue.flush(LONG)
    assert writer.written == [-1, *range(10)]
    assert [record.getMessage() for record in caplog.records] == [
        "Stuck dropped 15 events: they came faster than it writes."
    ]


def test_a_writer_that_fails_is_tried_again(made: list[Background[int]]) -> None:
    """Two failures, and the same batch is written."""
    writer = Writer(OSError("busy"), OSError("busy"))
    made.append(queue := Background("test", writer))
    queue.put(1)
    assert queue.flush(LONG)
    assert (writer.written, queue.dropped) == ([1], 0)


def test_a_writer_that_keeps_failing(made: list[Background[int]], caplog: pytest.LogCaptureFixture) -> None:
    """After three failures a batch is dropped, counted and reported with its error; the next one is written."""
    writer = Writer(*(OSError("disk full") for _ in range(3)))
    made.append(queue := Background("Full", writer))
    queue.put(1)
    assert queue.flush(LONG)
    queue.put(2)
    assert queue.flush(LONG)
    assert (writer.written, queue.dropped) == ([2], 1)
    assert "Full dropped 1 events: it could not write them." in caplog.text
    assert "disk full" in caplog.text


def test_close(made: list[Background[int]], caplog: pytest.LogCaptureFixture) -> None:
    """Closing writes what waits, within its time; what it must leave is counted and reported. Twice is no error."""
    writer = Writer()
    queue: Background[int] = Background("test", writer)
    queue.put(1)
    assert queue.close(LONG)
    assert queue.close(LONG)
    queue.put(2)
    assert (writer.written, queue.dropped) == ([1], 1)
    stuck = Writer()
    stuck.open.clear()
    left: Background[int] = Background("Left", stuck)
    left.put(1)
    assert stuck.asked.wait(LONG)
    left.put(2)
    assert not left.close(0)
    assert left.dropped >= 1
    assert "Left ended with" in caplog.text
    stuck.open.set()


def test_a_put_inside_a_put(made: list[Background[int]]) -> None:
    """A finalizer that runs amid a put, and puts itself, waits for no lock of its own."""
    writer = Writer()
    made.append(queue := Background("test", writer))

    class Parting:
        def __del__(self) -> None:
            queue.put(-1)

    done = threading.Event()

    def put() -> None:
        for number in range(2000):
            cycle = [Parting()]
            cycle.append(cycle)  # type: ignore[arg-type]
            del cycle
            queue.put(number)
        done.set()

    threshold = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        threading.Thread(target=put, daemon=True).start()
        assert done.wait(LONG)
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert queue.flush(LONG)
    assert writer.written.count(-1) == 2000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_after_a_fork(made: list[Background[int]], tmp_path: Path) -> None:
    """The child starts with an empty queue and a thread of its own; what waited is the parent's, and written once."""
    file, writer = tmp_path / "written", Writer()

    def write(batch: Sequence[int]) -> None:
        assert writer.open.wait(LONG)
        with file.open("a") as out:
            out.writelines(f"{os.getpid() == parent} {number}\n" for number in batch)

    parent = os.getpid()
    made.append(queue := Background("test", write))
    writer.open.clear()
    queue.put(1)
    child = os.fork()
    if child == 0:
        writer.open.set()
        queue.put(2)
        os._exit(0 if queue.flush(LONG) and queue.dropped == 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    writer.open.set()
    assert queue.flush(LONG)
    assert file.read_text() == "False 2\nTrue 1\n"


EXIT = """
import sys, time
from portkey_router.sinks import JsonLinesSink
from portkey_router.sinks.background import Background
from tests.events.calls import call

sink = JsonLinesSink(sys.argv[1])
for _ in range(500):
    sink.handle(call())
if sys.argv[2] == "stuck":
    stuck = Background("Stuck", lambda batch: time.sleep(600))
    stuck.put(1)
"""


@pytest.mark.parametrize("other", ["none", "stuck"])
def test_the_interpreters_end(tmp_path: Path, other: str) -> None:
    """What waits is written before the interpreter ends, which a sink that is stuck delays, and does not stop."""
    file = tmp_path / "events.jsonl"
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", EXIT, str(file), other]
    root = str(__import__("pathlib").Path(__file__).parents[2])
    before = time.monotonic()
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=root)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert ended.stderr == ("" if other == "none" else ended.stderr)
    assert "Traceback" not in ended.stderr
    assert len(file.read_text().splitlines()) == 500
    assert time.monotonic() - before < 60


def test_a_queue_holds_something() -> None:
    """A queue of no size is a mistake, told at once."""
    with pytest.raises(ConfigurationError, match="queue_size"):
        Background("test", print, size=0)

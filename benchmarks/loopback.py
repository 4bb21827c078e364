"""What the benchmarks share: a server in another process that gives every request the same answer, and the measuring.

CPU time, not wall time: other programs on the machine disturb it less. Rounds of all clients are interleaved and the
median is taken, so the ratios hold where the absolute figures do not.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

__all__ = ["ANSWER", "EVENTS", "MESSAGES", "MODEL", "TEXT", "imports", "measure", "measure_async", "server"]

MODEL = "gpt-4o"
MESSAGES = [{"role": "user", "content": "What does an AI gateway do? Answer in one sentence, please."}]
TOKENS = 200
TEXT = "It routes. " * (TOKENS // 2)
USAGE = {"prompt_tokens": 20, "completion_tokens": TOKENS, "total_tokens": 20 + TOKENS}
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": MODEL,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}],
    "usage": USAGE,
}


def _event(choices: list[dict[str, Any]], **more: Any) -> str:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    return "data: " + json.dumps({**head, "choices": choices, **more}, separators=(",", ":")) + "\n\n"


def _delta(delta: dict[str, str], finish_reason: str | None = None) -> str:
    return _event([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}])


# The same answer, a token an event.
EVENTS = [
    _delta({"role": "assistant", "content": ""}),
    *(_delta({"content": token}) for token in ["It", " routes. "] * (TOKENS // 2)),
    _delta({}, "stop"),
    _event([], usage=USAGE),
    "data: [DONE]\n\n",
]

# A stream's events are HTTP chunks of their own. Under /v1 they are all written at once; under /slow/v1 a millisecond
# apart, so that a client wakes up for each of them, as it does while a model thinks.
SERVER = """
import asyncio, json, sys
body, *events = (part.encode() for part in json.loads(sys.stdin.buffer.readline()))
head = b"HTTP/1.1 200 OK\\r\\ncontent-type: %s\\r\\n%s\\r\\n"
reply = head % (b"application/json", b"content-length: %d\\r\\n" % len(body)) + body
opening = head % (b"text/event-stream", b"transfer-encoding: chunked\\r\\n")
pieces = [opening, *(b"%x\\r\\n%s\\r\\n" % (len(event), event) for event in events), b"0\\r\\n\\r\\n"]
burst = b"".join(pieces)

class Answer(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.seen = transport, b""
    def data_received(self, data):
        self.seen += data
        head, found, rest = self.seen.partition(b"\\r\\n\\r\\n")
        if found:
            lines = head.lower().split(b"\\r\\n")
            length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
            if len(rest) >= length:
                self.seen = rest[length:]
                if not json.loads(rest[:length]).get("stream"):
                    self.transport.write(reply)
                elif head.startswith(b"POST /slow/"):
                    self.write_slowly(iter(pieces))
                else:
                    self.transport.write(burst)
    def write_slowly(self, left):
        for piece in left:
            self.transport.write(piece)
            asyncio.get_running_loop().call_later(0.001, self.write_slowly, left)
            return

async def main():
    server = await asyncio.get_running_loop().create_server(Answer, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until our parent is gone
    server.close()

asyncio.run(main())
"""

IMPORT_PROGRAM = """
import resource, sys

def resident():  # not ru_maxrss, which a child inherits from a larger parent
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20

before, megabytes = resource.getrusage(resource.RUSAGE_SELF), resident()
__import__(sys.argv[1])
after = resource.getrusage(resource.RUSAGE_SELF)
print(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, resident() - megabytes)
"""


@contextmanager
def server() -> Iterator[str]:
    """A server that gives every request the same answer, whole or streamed; its URL, to which `/v1` is added."""
    process = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps([json.dumps(ANSWER), *EVENTS]).encode() + b"\n")
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def measure(clients: dict[str, Callable[[], str]], calls: int, rounds: int) -> dict[str, float]:
    """CPU milliseconds a call, one after another. A client whose answer is wrong is not timed: it raises."""
    taken: dict[str, list[float]] = {name: [] for name in clients}
    for number in range(rounds + 1):
        for name, call in clients.items():
            gc.collect()  # one client's rubbish is not another's bill
            before = time.process_time()
            for _ in range(calls):
                answer = call()
            if number:  # the first round warms up
                taken[name].append((time.process_time() - before) * 1000 / calls)
            assert answer == TEXT, f"{name} answered {answer!r}"
    return {name: statistics.median(figures) for name, figures in taken.items()}


async def measure_async(
    clients: dict[str, Callable[[], Awaitable[str]]], width: int, waves: int, rounds: int
) -> dict[str, float]:
    """The same in the running loop, `width` calls at a time."""
    taken: dict[str, list[float]] = {name: [] for name in clients}
    for number in range(rounds + 1):
        for name, call in clients.items():
            gc.collect()
            before = time.process_time()
            for _ in range(waves):
                answers = await asyncio.gather(*(call() for _ in range(width)))
            if number:
                taken[name].append((time.process_time() - before) * 1000 / (width * waves))
            assert set(answers) == {TEXT}, f"{name} answered {answers!r}"
    return {name: statistics.median(figures) for name, figures in taken.items()}


def _import(name: str) -> tuple[float, float]:
    program = [sys.executable, "-W", "ignore", "-c", IMPORT_PROGRAM, name]
    # As installed: pip compiles what it installs, so what lies here as source is compiled too, if only once.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(program, capture_output=True, text=True, check=True, env=environment)
    cpu, megabytes = done.stdout.split()
    return float(cpu), float(megabytes)


def imports(names: Sequence[str], rounds: int, at_once: int = 1) -> dict[str, tuple[float, float]]:
    """CPU seconds and megabytes that importing a module costs a fresh interpreter, of which `at_once` run.

    From bytecode, as every installed package is imported: a round that may have to compile is not counted, unless only
    one is asked for.
    """
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    with ThreadPoolExecutor(at_once) as pool:
        if rounds > 1:
            list(pool.map(_import, names))
        for _ in range(rounds):
            for name, figures in zip(names, pool.map(_import, names), strict=True):
                taken[name].append(figures)
    return {
        name: (statistics.median(cpu for cpu, _ in runs), statistics.median(mb for _, mb in runs))
        for name, runs in taken.items()
    }

"""Calls, deadlines and programs that the transport's tests share."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from portkey_router.wire.http import Expiry, HttpCall
from tests.net_server import GENEROUS

if TYPE_CHECKING:
    from portkey_router.transport import HttpStream


ROOT = Path(__file__).parent.parent.parent


# A deadline must not be what ends a call that a test waits to see ended.
UNHURRIED = 15 * GENEROUS


def within(seconds: float = UNHURRIED, phase: Any = "attempt") -> Expiry:
    """A deadline so many seconds from now."""
    return Expiry(time.monotonic() + seconds, phase, seconds)


def call(url: str, seconds: float = UNHURRIED, **more: Any) -> HttpCall:
    """A POST with a key."""
    more = {"headers": {"Authorization": "Bearer sk-secret"}, "body": b"{}", "expiry": within(seconds)} | more
    return HttpCall(url, **more)


async def drain(stream: HttpStream, pieces: list[bytes]) -> None:
    """Read to the end, keeping what came before an error."""
    while piece := await stream.read(within()):
        pieces.append(piece)


def sockets() -> int:
    """How many sockets this process has open."""
    count = 0
    for number in Path("/proc/self/fd").iterdir():
        try:
            count += str(number.readlink()).startswith("socket:")
        except FileNotFoundError:  # the listing's own
            continue
    return count


# Python 3.12 and later warn of any fork with threads about; that forks work all the same is what these tests claim.
CAREFUL = [
    sys.executable, "-X", "dev", "-W", "error::ResourceWarning", "-W", "ignore:This process:DeprecationWarning"
]  # fmt: skip


def run_script(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program as a careful user does: development mode, and a leaked resource is an error."""
    return subprocess.run(
        [*CAREFUL, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )


# Development mode also reports callbacks that took a tenth of a second: that judges the machine, not the code.
PRELUDE = """
import asyncio, gc, logging, os, sys, threading, time
logging.getLogger("asyncio").addFilter(lambda record: not record.getMessage().startswith("Executing "))
from portkey_router.wire.http import Expiry, HttpCall
from portkey_router.transport import Transport, shared
from portkey_router.portal import SyncTransport
url = sys.argv[1]
def call(path="/json", seconds=300.0):
    return HttpCall(url + path, headers={}, expiry=Expiry(time.monotonic() + seconds, "attempt", seconds), body=b"{}")
"""


def silent(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether a program ended well without a word on stderr."""
    assert done.stderr == ""
    assert done.returncode == 0
    return True


loops = pytest.mark.parametrize("factory", ["asyncio", "uvloop"])


def new_loop(factory: str) -> asyncio.AbstractEventLoop:
    """A loop of that make, open."""
    if factory == "asyncio":
        return asyncio.new_event_loop()
    uvloop = pytest.importorskip("uvloop")
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop

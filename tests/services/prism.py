"""Prism over the cut of Portkey's OpenAPI description: a mock of the admin API that refuses what that does not allow.

One for the whole test session, started at its first use, whichever xdist worker that is in. It ends when the last
process that uses it does, however that one ends: they hold the other end of its standard input.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portkey_router.sandbox.fixtures import NO_CI
from portkey_router.sandbox.gateway.install import (
    NODE_FILES,
    GatewayUnavailableError,
    find_node,
    npm_install,
    one_process_at_a_time,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["prism_url"]

VERSION = "5.16.0"
FILES = Path(__file__).parent / "prism"
DESCRIPTION = Path(__file__).parent.parent / "data" / "portkey-admin-openapi.yaml"
START_SECONDS = 90.0
MEGABYTES = 256
# A shell that starts it and goes, so that it is nobody's child and outlives whoever was the first to need it.
ORPHANED = 'exec 3<&0; "$@" <&3 3<&- & echo started'


@contextlib.contextmanager
def prism(folder: Path) -> Iterator[str]:
    """Its base URL (`http://127.0.0.1:PORT/v1`), the same for all processes that name the same folder.

    Raises:
        GatewayUnavailableError: Node or npm is missing, or it does not start; the message says why.
    """
    folder.mkdir(exist_ok=True)
    pipe = folder / "stdin"
    with one_process_at_a_time(folder / "lock"):
        writer = _running(pipe)
        if writer is None:
            writer = _start(folder, pipe)
    try:
        yield (folder / "url").read_text("utf-8")
    finally:
        os.close(writer)


def _running(pipe: Path) -> int | None:
    """The end to hold of one that runs."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:  # there is none, or nobody reads it any more
        return None


def _start(folder: Path, pipe: Path) -> int:
    node, home = find_node(), npm_install(FILES, f"prism-{VERSION}", f"Prism {VERSION}")
    port, log = folder / "port", folder / "prism.log"
    for left in (pipe, port):
        left.unlink(missing_ok=True)
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(pipe, os.O_WRONLY)
    program = home / "node_modules" / "@stoplight" / "prism-cli" / "dist" / "index.js"
    node_command = [node, f"--max-old-space-size={MEGABYTES}", "--require", str(NODE_FILES / "loopback.cjs")]
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    with log.open("wb") as output:
        subprocess.run(
            ["sh", "-c", ORPHANED, "prism", *node_command, str(program), "mock", "--errors", str(DESCRIPTION)],
            stdin=reader,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**environment, "PORTKEY_ROUTER_SANDBOX_PORT_FILE": str(port), "NO_COLOR": "1"},
            check=True,
        )
    os.close(reader)
    try:
        (folder / "url").write_text(_wait_until_ready(port, log), "utf-8")
    except BaseException:
        os.close(writer)
        raise
    return writer


def _wait_until_ready(port: Path, log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if port.exists():
            url = f"http://127.0.0.1:{port.read_text('ascii')}/v1"
            if _answers(f"{url}/configs"):
                return url
        time.sleep(0.05)
    raise GatewayUnavailableError(
        f"Prism did not answer within {START_SECONDS:.0f} s: {log.read_text('utf-8')[-2000:]}"
    )


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, headers={"x-portkey-api-key": "any"})  # noqa: S310  (on this machine)
    try:
        with opener.open(request, timeout=10) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(scope="session")
def prism_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Prism's base URL. Where it cannot be had, its tests are skipped with the reason; where `CI` is set, they fail."""
    workers = "PYTEST_XDIST_WORKER" in os.environ
    base = tmp_path_factory.getbasetemp()
    with contextlib.ExitStack() as stack:
        try:
            url = stack.enter_context(prism((base.parent if workers else base) / "prism"))
        except GatewayUnavailableError as error:
            if os.environ.get("CI", "").strip().lower() not in NO_CI:
                raise
            pytest.skip(f"PRISM IS MISSING, so nothing is tested against Portkey's OpenAPI description: {error}")
        yield url

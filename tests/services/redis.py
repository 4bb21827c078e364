"""Real Redis servers on loopback, for as long as a `with` block lasts; they end with this process, however it ends.

```
with redis_server() as redis:                              # with search, as most tests want it
with redis_server("--maxmemory", "2mb", search=False):     # a plain one, with options
with redis_cluster() as cluster:                           # three masters
```

Tests take the fixtures of `tests/services/fixtures.py`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

from tests.services.redis_install import RedisBinaries, RedisUnavailableError, install_redis

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["RedisCluster", "RedisServer", "redis_cluster", "redis_server"]

START_SECONDS = 60.0
SLOTS = 16384
# Starts the server as its child, says its number, and ends it when our end of the pipe closes.
WATCHER = """
import subprocess, sys, threading
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
print(child.pid, flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), child.kill()), daemon=True).start()
sys.exit(child.wait() and 1)
"""


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A running server of our own. `url` has no credentials and no database; `log` is its log file."""

    port: int
    pid: int
    log: Path
    password: str | None = None
    bus: int = 0  # the port for other nodes, of a cluster's

    @property
    def url(self) -> str:
        """`redis://127.0.0.1:PORT`, with the password where it was started with one."""
        login = f":{self.password}@" if self.password else ""
        return f"redis://{login}127.0.0.1:{self.port}"

    def client(self, **options: Any) -> redis.Redis:
        """A new client, for a test's own look at what is stored; the test closes it."""
        return redis.Redis(port=self.port, password=self.password, **options)

    def pause(self) -> None:
        """Stop answering, and keep every connection open."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End at once, as a crash would."""
        os.kill(self.pid, signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class RedisCluster:
    """Three masters, without replicas; the modules' coordinator is not part of it."""

    nodes: tuple[RedisServer, ...]

    @property
    def url(self) -> str:
        """The first node's; the others are found through it."""
        return self.nodes[0].url


@contextlib.contextmanager
def redis_server(
    *options: str, search: bool = True, port: int | None = None, ready: bool = True, node: bool = False
) -> Iterator[RedisServer]:
    """A server on 127.0.0.1, on a free port unless `port` says which. `options` go to it as they are.

    Nothing is saved on disk. `ready=False` does not wait until it answers (a server that is loading, say). A `node` is
    one of a cluster.

    Raises:
        RedisUnavailableError: it cannot be installed or started; the message says what to do.
    """
    binaries = install_redis()
    folder = tempfile.TemporaryDirectory(prefix="tests-redis-", ignore_cleanup_errors=True)
    with folder as name, contextlib.ExitStack() as stack:
        yield _start(stack, binaries, Path(name), options, search=search, port=port, ready=ready, node=node)


def _start(
    stack: contextlib.ExitStack,
    binaries: RedisBinaries,
    folder: Path,
    options: tuple[str, ...],
    *,
    search: bool,
    port: int | None,
    ready: bool,
    node: bool,
) -> RedisServer:
    """Somebody may take a free port before the server does: then it is tried again, with another, or a moment later."""
    modules = ("--loadmodule", str(binaries.search)) if search else ()
    password = options[options.index("--requirepass") + 1] if "--requirepass" in options else None
    for _ in range(5):
        chosen, bus = port or _free_port(), _free_port() if node else 0
        log = folder / f"redis-{chosen}.log"
        log.unlink(missing_ok=True)  # of the try before
        own = ("--port", str(chosen), "--bind", "127.0.0.1", "--dir", str(folder), "--logfile", str(log))
        book = ("--cluster-config-file", f"nodes-{bus}.conf")
        nodes = ("--cluster-enabled", "yes", "--cluster-port", str(bus), *book) if node else ()
        quiet = ("--save", "", "--appendonly", "no", "--daemonize", "no")
        process = stack.enter_context(
            _watched([str(binaries.server), *own, *quiet, *nodes, *modules, *options], binaries)
        )
        assert process.stdout is not None
        server = RedisServer(chosen, int(process.stdout.readline()), log, password, bus)
        if not ready or _answers(server, process):
            return server
        if "Address already in use" not in _tail(log):
            break
        if port is not None:
            time.sleep(1)
    raise RedisUnavailableError(f"Redis did not start: {_tail(log)}")


@contextlib.contextmanager
def _watched(command: list[str], binaries: RedisBinaries) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", WATCHER, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=binaries.environment(),
        text=True,
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.wait(START_SECONDS)
        process.stdout.close()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _answers(server: RedisServer, process: subprocess.Popen[str]) -> bool:
    """Whether it comes to answer; False as soon as it has ended."""
    deadline = time.monotonic() + START_SECONDS
    with server.client(socket_timeout=5) as client:
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
                # Another's server may hold the port that ours could not get.
                return int(client.info("server")["process_id"]) == server.pid
            time.sleep(0.02)
    return False


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace").strip()[-2000:] if log.exists() else "it wrote nothing."


@contextlib.contextmanager
def redis_cluster(*options: str, search: bool = False) -> Iterator[RedisCluster]:
    """Three masters on 127.0.0.1 that share all slots, ready to answer.

    Raises:
        RedisUnavailableError: as `redis_server`, or they did not come to agree.
    """
    with contextlib.ExitStack() as stack:
        nodes = tuple(stack.enter_context(redis_server(*options, search=search, node=True)) for _ in range(3))
        clients = [stack.enter_context(node.client(decode_responses=True)) for node in nodes]
        for number, client in enumerate(clients):
            share = (SLOTS * number // 3, SLOTS * (number + 1) // 3 - 1)
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", *share)
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in nodes[1:]:
            clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus)
        deadline = time.monotonic() + START_SECONDS
        while not all(_agrees(client) for client in clients):
            if time.monotonic() > deadline:
                raise RedisUnavailableError(f"The cluster's nodes did not agree: {_tail(nodes[0].log)}")
            time.sleep(0.05)
        yield RedisCluster(nodes)


def _agrees(client: redis.Redis) -> bool:
    state = str(client.execute_command("CLUSTER", "INFO"))  # type: ignore[no-untyped-call]  # redis-py's
    return "cluster_state:ok" in state and "cluster_known_nodes:3" in state

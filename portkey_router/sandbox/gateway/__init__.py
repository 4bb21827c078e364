"""The real open-source Portkey gateway, on loopback, for as long as a `with` block lasts.

```
with sandbox.gateway() as gw:
    gw.url  # "http://127.0.0.1:PORT/v1"
```

`python -m portkey_router.sandbox.gateway --install` installs it beforehand.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from portkey_router.sandbox.gateway.install import (
    GATEWAY_VERSION,
    NODE_FILES,
    GatewayUnavailableError,
    find_node,
    install_gateway,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["GATEWAY_VERSION", "Gateway", "GatewayUnavailableError", "answers", "gateway", "install_gateway"]

START_SECONDS = 60.0
STOP_SECONDS = 5.0
# What Node needs of our environment. Nothing else goes in: no keys, no REDIS_CONNECTION_STRING, no NODE_OPTIONS.
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "USERPROFILE", "LD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway.

    `url` is its base URL ("http://127.0.0.1:PORT/v1"). `log` is the file its output goes to; None when the gateway
    is not ours (`PORTKEY_ROUTER_GATEWAY_URL`).
    """

    url: str
    log: Path | None = None


@contextlib.contextmanager
def gateway(*, port: int = 0) -> Iterator[Gateway]:
    """The open-source gateway on 127.0.0.1; it ends with the block, and with this process.

    `port`: by default one that is free.

    The first call installs it (once per machine, about ten seconds; see `install_gateway`). With the environment
    variable `PORTKEY_ROUTER_GATEWAY_URL` set, that gateway is used and none is started.

    Raises:
        GatewayUnavailableError: it cannot be installed or started; the message says what to do.
    """
    if given := os.environ.get("PORTKEY_ROUTER_GATEWAY_URL", "").strip():
        yield Gateway(_with_version(given))
        return
    node = find_node()
    home = install_gateway()
    with (
        tempfile.TemporaryDirectory(prefix="portkey-gateway-") as folder,
        _child(node, home, Path(folder), port) as running,
    ):
        yield running


def _with_version(url: str) -> str:
    """`http://host:8787` and `http://host:8787/v1/` both mean `http://host:8787/v1`."""
    return url.rstrip("/").removesuffix("/v1") + "/v1"


@contextlib.contextmanager
def _child(node: str, home: Path, folder: Path, port: int) -> Iterator[Gateway]:
    log, port_file = folder / "gateway.log", folder / "port"
    program = home / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    environment |= {"NODE_ENV": "production", "PORTKEY_ROUTER_SANDBOX_PORT_FILE": str(port_file)}
    environment["PORTKEY_ROUTER_SANDBOX_PORT"] = str(port)
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - a Node found by `find_node`, a program installed by `install_gateway`
            [node, "--require", str(NODE_FILES / "loopback.cjs"), str(program), "--headless"],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
        )
    try:
        yield Gateway(_wait_until_ready(process, port_file, log), log)
    finally:
        _end(process)


def _wait_until_ready(process: subprocess.Popen[bytes], port_file: Path, log: Path) -> str:
    """The gateway's base URL, as soon as it answers."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise GatewayUnavailableError(f"The gateway ended with code {process.returncode}: {_tail(log)}")
        if port_file.exists():
            root = f"http://127.0.0.1:{port_file.read_text(encoding='ascii')}"
            if answers(root):
                return f"{root}/v1"
        time.sleep(0.02)
    raise GatewayUnavailableError(f"The gateway did not answer within {START_SECONDS:.0f} s: {_tail(log)}")


def answers(root: str) -> bool:
    """Whether a gateway answers there (`http://127.0.0.1:PORT`)."""
    # Not through a proxy of the environment: the address is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(root, timeout=5) as reply:
            return bool(reply.status == 200)  # noqa: PLR2004 - OK
    except (urllib.error.URLError, OSError):
        return False


def _tail(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace").strip()
    return text[-2000:] or "it wrote nothing."


def _end(process: subprocess.Popen[bytes]) -> None:
    """Closing its input ends it; what does not heed that is ended by force."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

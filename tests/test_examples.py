from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvicorn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portkey_router.sandbox import PortkeyDouble

ROOT = Path(__file__).parent.parent


def run(script: str, **environment: str) -> str:
    """The output of an example, which must succeed."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error::ResourceWarning", str(ROOT / "examples" / script)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return done.stdout


def test_the_demo_shows_every_fallback(portkey_gateway: object) -> None:
    """`make demo`'s program: the plan, a stream, a table in which the second target answers each fault; then both.

    Between them a chain, an agent and a query engine ask twice, and are each answered by the cache the second time.
    """
    out, both = run("demo.py").split("The same question through both frameworks:")
    both, cost = both.split("What all of it cost, texts that are embedded included:")
    check_costs(cost)
    asked = [line.partition("  ") for line in both.strip().splitlines()[2:]]
    assert [name for name, _, _ in asked] == ["LangChain, ChatPortkey", "LlamaIndex, PortkeyLLM"]
    assert len({rest for _, _, rest in asked}) == 1, "the same answer, target, tokens and cost"
    table = out[out.index("what happened") :]
    assert table.count("gpt-4o-mini  ok") == 4
    for fault in ("UpstreamUnavailableError", "AuthenticationError", "UpstreamRateLimitError"):
        assert fault in table
    assert "first choice" in out
    again = out[out.index("What was asked before") :].strip().splitlines()[4:]
    assert [row.partition("  ")[0] for row in again[::2]] == ["chain, streamed", "agent", "query engine"]
    assert not any("the cache" in row for row in again[::2])
    for row, layer in zip(again[1::2], ("semantic", "normalised", "exact"), strict=True):
        assert f"the cache ({layer})" in row


def check_costs(printed: str) -> None:
    """The last table: every model and target that answered, chat and embeddings, and a total that is their sum."""
    heading, *rows, total = [line.split() for line in printed.strip().splitlines()]
    assert heading[:2] == ["model", "target"]
    asked = {row[0]: Decimal(row[-1]) for row in rows if row[0] == row[1]}
    assert asked.keys() >= {"gpt-4o", "gpt-4o-mini", "text-embedding-3-small"}
    assert all(asked.values())
    calls, cost = heading.index("calls"), -1
    assert all(int(row[calls]) > 0 for row in rows)
    assert int(total[calls - 1]) == sum(int(row[calls]) for row in rows)
    assert Decimal(total[cost]) == sum(Decimal(row[cost]) for row in rows)


def test_the_quickstart_runs_without_keys() -> None:
    """It starts the double by itself and says so."""
    out = run("quickstart_langchain.py")
    assert "multiply {'a': 6, 'b': 7} = 42" in out
    assert "attempt:  gpt-4o-mini ok 200" in out


def test_the_quickstart_takes_its_targets_from_the_environment(portkey_sandbox: PortkeyDouble) -> None:
    """With keys set it uses them: the requests arrive there."""
    portkey_sandbox.add_virtual_key("vk-mine", provider="openai")
    run(
        "quickstart_langchain.py",
        PORTKEY_API_KEY=portkey_sandbox.api_key,
        PORTKEY_GATEWAY_URL=portkey_sandbox.url,
        PORTKEY_VIRTUAL_KEY_OPENAI="vk-mine",
        PORTKEY_MODEL="gpt-4.1",
    )
    assert {request.body["model"] for request in portkey_sandbox.requests} == {"gpt-4.1"}


@contextmanager
def serving() -> Iterator[str]:
    """The FastAPI example under uvicorn, in a thread; its URL."""
    listener = socket.create_server(("127.0.0.1", 0))  # handed over open: a free port may be taken meanwhile
    # The folder is on the path by `configured`; on a command line it is `uvicorn --app-dir examples fastapi_app:app`.
    server = uvicorn.Server(uvicorn.Config("fastapi_app:app", log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        limit = time.monotonic() + 30
        while not server.started and time.monotonic() < limit:
            time.sleep(0.02)
        assert server.started
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
        assert not thread.is_alive()


@pytest.fixture
def configured(portkey_sandbox: PortkeyDouble, monkeypatch: pytest.MonkeyPatch) -> PortkeyDouble:
    """The environment as a user's would be, pointing to the double."""
    portkey_sandbox.add_virtual_key("vk-mine", provider="openai")
    monkeypatch.setenv("PORTKEY_API_KEY", portkey_sandbox.api_key)
    monkeypatch.setenv("PORTKEY_GATEWAY_URL", portkey_sandbox.url)
    monkeypatch.setenv("PORTKEY_VIRTUAL_KEY_OPENAI", "vk-mine")
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    return portkey_sandbox


def test_the_fastapi_app_streams(configured: PortkeyDouble) -> None:
    """The endpoint gives the model's words, in order, and the shutdown leaves nothing open."""
    with serving() as url:
        question = urllib.parse.quote("What is a gateway?")
        with urllib.request.urlopen(f"{url}/chat?question={question}", timeout=30) as reply:  # noqa: S310  (our own URL)
            text = reply.read().decode()
    assert "gateway" in text.lower()
    assert configured.requests[-1].body["stream"] is True


def test_the_fastapi_app_tells_errors_as_http(configured: PortkeyDouble) -> None:
    """A failure before the first word is a 502 with the error's name, and no key in it."""
    from portkey_router import sandbox

    configured.always("vk-mine", sandbox.Fault.status(401))
    with serving() as url, pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{url}/chat?question=hi", timeout=30)  # noqa: S310  (our own URL)
    with caught.value as error:
        body = error.read().decode()
        assert error.code == 502
    assert "AuthenticationError" in body
    assert "vk-mine" not in body


def test_a_reader_who_leaves_closes_the_call(configured: PortkeyDouble) -> None:
    """When the reader goes away mid-stream, the call to the model is closed upstream."""
    from portkey_router import sandbox

    configured.always("vk-mine", sandbox.Fault.slow(between=0.2))
    with serving() as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as reader:
            reader.sendall(b"GET /chat?question=a+long+question+please HTTP/1.1\r\nhost: x\r\n\r\n")
            assert reader.recv(1)
        limit = time.monotonic() + 20
        while not (configured.requests and configured.requests[-1].closed_early) and time.monotonic() < limit:
            time.sleep(0.05)
    assert configured.requests[-1].closed_early

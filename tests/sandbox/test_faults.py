"""Each fault, seen from the other end of a real connection; and what the log says of it."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from portkey_router import sandbox
from portkey_router.sandbox import Fault, ok
from tests.sandbox.raw_http import HELLO, Raw, chat, send

if TYPE_CHECKING:
    from collections.abc import Callable

    from portkey_router.sandbox import Providers

WHOLE = "gpt-4o answers to: Hello there"


def ask(providers: Providers, fault: Fault, **body: Any) -> Raw:
    """One request to the provider "a", which has that fault."""
    providers.script("a", fault)
    return chat(providers.host("a"), body)


def stream(providers: Providers, fault: Fault) -> Raw:
    """One streamed request to the provider "a", which has that fault."""
    return ask(providers, fault, stream=True)


def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until something is so; fail if it never is."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def test_a_status(portkey_providers: Providers) -> None:
    """The status, OpenAI's error for it, and Retry-After."""
    reply = ask(portkey_providers, Fault.status(429, retry_after=2))
    assert (reply.status, reply.headers["retry-after"]) == (429, "2")
    assert reply.json["error"].keys() == {"message", "type", "param", "code"}
    assert reply.json["error"]["code"] == "rate_limit_exceeded"


def test_a_body_and_headers_of_ones_own(portkey_providers: Providers) -> None:
    """`status` sends the body and the headers that it is given; text goes as text."""
    own = ask(portkey_providers, Fault.status(418, {"teapot": True}, {"x-why": "tea"}))
    assert (own.status, own.json, own.headers["x-why"]) == (418, {"teapot": True}, "tea")
    text = ask(portkey_providers, Fault.status(500, "boom"))
    assert (text.body, text.headers["content-type"]) == (b"boom", "text/plain")


def test_bodies_that_are_no_answer(portkey_providers: Providers) -> None:
    """A page, an empty body, half a JSON, an error in 200."""
    page = ask(portkey_providers, Fault.html(502))
    assert (page.status, page.headers["content-type"]) == (502, "text/html")
    assert ask(portkey_providers, Fault.empty()).body == b""
    half = ask(portkey_providers, Fault.invalid_json())
    assert half.broken is None
    with pytest.raises(json.JSONDecodeError):
        _ = half.json
    error = ask(portkey_providers, Fault.error_in_200())
    assert (error.status, list(error.json)) == (200, ["error"])


def test_a_script_is_used_up_and_then_all_is_well(portkey_providers: Providers) -> None:
    """One fault a request, in order, `ok` for a gap; then ordinary answers; other providers have none."""
    portkey_providers.script("a", Fault.status(500), ok(), Fault.status(429))
    assert [chat(portkey_providers.host("a")).status for _ in range(4)] == [500, 200, 429, 200]
    assert chat(portkey_providers.host("b")).status == 200


def test_a_standing_fault_stays_until_cleared(portkey_providers: Providers) -> None:
    """`always` answers whenever the script is empty; `clear` ends both."""
    portkey_providers.always("a", Fault.status(503))
    portkey_providers.script("a", Fault.status(429))
    assert [chat(portkey_providers.host("a")).status for _ in range(3)] == [429, 503, 503]
    portkey_providers.script("a", Fault.status(429))
    portkey_providers.clear("a")
    assert chat(portkey_providers.host("a")).status == 200


def test_a_stream_that_is_whole(portkey_providers: Providers) -> None:
    """Without a fault: the whole text, one finish reason, [DONE], a clean end."""
    reply = stream(portkey_providers, ok())
    assert (reply.text, reply.reasons, reply.data[-1], reply.broken) == (WHOLE, ["stop"], "[DONE]", None)


def test_a_stream_cut_and_a_stream_reset(portkey_providers: Providers) -> None:
    """Both end after the events allowed, without a reason: cut as if complete, reset with a broken connection."""
    cut = stream(portkey_providers, Fault.cut(2))
    assert (len(cut.events), cut.reasons, "[DONE]" in cut.data, cut.broken) == (2, [], False, None)
    reset = stream(portkey_providers, Fault.reset(2))
    assert (len(reset.events), reset.reasons) == (2, [])
    assert isinstance(reset.broken, ConnectionResetError)


def test_a_reset_before_any_answer(portkey_providers: Providers) -> None:
    """`reset()`: no status line at all."""
    with pytest.raises(ConnectionError):
        ask(portkey_providers, Fault.reset())


@pytest.mark.parametrize("fault", [Fault.cut(), Fault.reset(1)], ids=["cut", "reset"])
def test_an_unstreamed_answer_breaks_off(portkey_providers: Providers, fault: Fault) -> None:
    """Fewer bytes come than were announced."""
    reply = ask(portkey_providers, fault)
    assert reply.broken is not None
    assert 0 < len(reply.body) < int(reply.headers["content-length"])


def test_events_that_should_not_be(portkey_providers: Providers) -> None:
    """A malformed event is passed over by the stream, an error event ends it."""
    malformed = stream(portkey_providers, Fault.malformed_event(2))
    with pytest.raises(json.JSONDecodeError):
        json.loads(malformed.data[2])
    assert malformed.data[-1] == "[DONE]"
    error = stream(portkey_providers, Fault.error_event(2))
    assert list(error.events[2]) == ["error"]
    assert len(error.data) == 3


def test_ends_that_are_not_whole(portkey_providers: Providers) -> None:
    """[DONE] without a finish reason, and the reverse."""
    unreasoned = stream(portkey_providers, Fault.no_finish_reason())
    assert (unreasoned.text, unreasoned.reasons, unreasoned.data[-1]) == (WHOLE, [], "[DONE]")
    undone = stream(portkey_providers, Fault.no_done())
    assert (undone.text, undone.reasons, "[DONE]" in undone.data) == (WHOLE, ["stop"], False)


def test_pings(portkey_providers: Providers) -> None:
    """Comments stand between the events, which are whole."""
    reply = stream(portkey_providers, Fault.pings())
    assert reply.body.startswith(b": ping\n\n")
    assert reply.data[-2:] != []
    assert [data for data in reply.data if data != '{"type": "ping"}'][-1] == "[DONE]"


def test_slowness(portkey_providers: Providers) -> None:
    """The answer comes no sooner than the delays add up to, and is whole."""
    begun = time.monotonic()
    reply = stream(portkey_providers, Fault.slow(first_token=0.1, between=0.02))
    assert time.monotonic() - begun >= 0.1 + 0.02 * (len(reply.data) - 1)
    assert reply.text == WHOLE
    begun = time.monotonic()
    assert ask(portkey_providers, Fault.slow(first_token=0.1)).text == WHOLE
    assert time.monotonic() - begun >= 0.1


def test_latency() -> None:
    """Every answer of `providers(latency=...)` takes so long to begin, an error too."""
    with sandbox.providers(latency=0.1) as running:
        for fault in (ok(), Fault.status(500)):
            running.script("a", fault)
            begun = time.monotonic()
            chat(running.host("a"), {"stream": True})
            assert time.monotonic() - begun >= 0.1


@pytest.mark.parametrize(
    ("fault", "streamed", "status"),
    [(Fault.hang(), True, None), (Fault.slow(first_token=30.0), False, None), (Fault.slow(between=30.0), True, 200)],
    ids=["hang", "slow", "slow stream"],
)
def test_the_log_says_when_the_client_left(
    portkey_providers: Providers, fault: Fault, streamed: bool, status: int | None
) -> None:
    """A client that goes away before the end is noted, with the status that had been sent."""
    portkey_providers.script("a", fault)
    url = urlsplit(portkey_providers.host("a"))
    body = json.dumps({**HELLO, "stream": streamed}).encode()
    head = f"POST {url.path}/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection((url.hostname, url.port)) as connection:
        connection.sendall(head + body)
        until(lambda: bool(portkey_providers.log("a")))
        if status is not None:
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    until(lambda: portkey_providers.log("a")[0].closed_early)
    assert portkey_providers.log("a")[0].status == status


def test_the_log_holds_what_arrived(portkey_providers: Providers) -> None:
    """Path, headers in lower case, the parsed body, the status; by provider, and all of them in order."""
    begun = time.monotonic()
    chat(portkey_providers.host("a"), {"seed": 5}, {"X-Trace": "t"})
    chat(portkey_providers.url)
    (entry,) = portkey_providers.log("a")
    assert (entry.provider, entry.path, entry.status, entry.closed_early) == ("a", "/a/v1/chat/completions", 200, False)
    assert (entry.headers["x-trace"], entry.body["seed"]) == ("t", 5)
    assert begun <= entry.time <= time.monotonic()
    assert [request.provider for request in portkey_providers.requests] == ["a", "default"]


def test_the_other_endpoints(portkey_providers: Providers) -> None:
    """Embeddings and models are answered; an unknown path is 404, a body that is no JSON 400, in OpenAI's shape."""
    base = portkey_providers.host("a")
    vectors = send("POST", f"{base}/embeddings", {"model": "e", "input": ["x", "y"], "dimensions": 8}).json["data"]
    assert [len(row["embedding"]) for row in vectors] == [8, 8]
    assert send("GET", f"{base}/models").json["object"] == "list"
    assert send("POST", f"{base}/nothing", {}).status == 404
    bad = send("POST", f"{base}/chat/completions", b"{")
    assert (bad.status, list(bad.json)) == (400, ["error"])


def test_prompts_are_remembered_by_provider(portkey_providers: Providers) -> None:
    """The second time, a long system prompt is cached, at that provider only."""
    messages = [{"role": "system", "content": "Be brief. " * 200}, *HELLO["messages"]]

    def cached(name: str) -> int:
        usage = chat(portkey_providers.host(name), {"messages": messages}).json["usage"]
        return int(usage["prompt_tokens_details"]["cached_tokens"])

    assert (cached("a"), cached("a") > 0, cached("b")) == (0, True, 0)


@pytest.mark.parametrize("server", [sandbox.providers, sandbox.portkey], ids=["providers", "double"])
def test_nothing_outlives_the_block(server: Any) -> None:
    """No thread and no listener is left, even with a request that hangs."""
    before = set(threading.enumerate())
    with server() as running:
        name = "vk-openai" if server is sandbox.portkey else "default"
        running.script(name, Fault.hang())
        url = urlsplit(running.url)
        body = json.dumps(HELLO).encode()
        key = f"x-portkey-api-key: {getattr(running, 'api_key', '')}\r\nx-portkey-virtual-key: vk-openai\r\n"
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n{key}Content-Length: {len(body)}\r\n\r\n"
        connection = socket.create_connection((url.hostname, url.port))
        connection.sendall(head.encode() + body)
        until(lambda: bool(running.log(name)))
    with connection:
        assert connection.recv(1) == b""
    assert set(threading.enumerate()) <= before  # an earlier test's may end meanwhile
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((url.hostname, url.port))

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import pytest

from portkey_router.errors import ConfigurationError, ConnectFailedError, DeadlineExceededError
from portkey_router.sandbox import providers
from tests.net_server import NetServer, net_server
from tests.transport.calls import call

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from portkey_router.transport import Transport


@pytest.mark.parametrize("path", ["/reset", "/short", "/garbage"])
async def test_a_broken_connection_is_ours(server: NetServer, transport: Transport, path: str) -> None:
    """A reset, a short body and what is not HTTP are `ConnectFailedError`, which names host and port."""
    with pytest.raises(ConnectFailedError, match=rf"127\.0\.0\.1:{server.port}"):
        await transport.send(call(server.url + path))


async def test_nothing_is_sent_twice(server: NetServer, transport: Transport) -> None:
    """A POST whose connection broke may have been billed: it is not sent again here."""
    await transport.send(call(server.url + "/json"))
    with pytest.raises(ConnectFailedError):
        await transport.send(call(server.url + "/reset"))
    assert [seen.path for seen in server.requests] == ["/json", "/reset"]


async def test_a_refused_connection_says_what_to_do(transport: Transport) -> None:
    """Nobody listening is `ConnectFailedError`, with the address and the variable to check."""
    with net_server() as ended:
        pass
    with pytest.raises(
        ConnectFailedError, match=rf"127\.0\.0\.1:{ended.port}: connection refused; .*base_url.*PORTKEY_GATEWAY_URL"
    ):
        await transport.send(call(ended.url + "/json"))


async def test_https_to_a_plain_port_says_so(transport: Transport) -> None:
    """The commonest TLS failure on loopback is no certificate's: there is no TLS."""
    with (
        providers() as plain,
        pytest.raises(ConnectFailedError, match=r"TLS failed \(is it https at all"),
    ):
        await transport.send(call(plain.url.replace("http:", "https:")))


async def test_an_unknown_name_is_ours(transport: Transport) -> None:
    """A name that cannot be resolved is `ConnectFailedError`."""
    with pytest.raises(ConnectFailedError, match=r"gateway\.invalid"):
        await transport.send(call("http://gateway.invalid:8787/v1"))


async def test_a_name_is_resolved(server: NetServer, transport: Transport) -> None:
    """`localhost` goes through the resolver."""
    assert (await transport.send(call(f"http://localhost:{server.port}/json"))).status == 200


@pytest.mark.parametrize("url", ["not a url", "ftp://host/x", "http:///nowhere", "http://host:port/", ""])
async def test_an_unusable_url_is_a_configuration_error(transport: Transport, url: str) -> None:
    """What cannot be an address is set wrongly."""
    with pytest.raises(ConfigurationError):
        await transport.send(call(url))


def _everything(error: BaseException | None) -> Iterator[str]:
    """What a careful reporter shows of an error: itself, its causes, and its context even where suppressed."""
    while error is not None:
        yield from (str(error), repr(error), repr(error.args), *traceback.format_exception(error))
        if error.__cause__ is not None and error.__cause__ is not error.__context__:
            yield from _everything(error.__cause__)
        error = error.__context__


@pytest.mark.parametrize(
    ("path", "login"), [("/garbage", ""), ("/reset", ""), ("/json", "joe:hunter2@"), ("/short", "")]
)
async def test_an_error_holds_no_secret(server: NetServer, transport: Transport, path: str, login: str) -> None:
    """Neither message, cause nor context shows a header, a login or a query."""
    url = f"http://{login}127.0.0.1:{server.port}{path}?token=hunter3"
    with pytest.raises((ConnectFailedError, ConfigurationError)) as caught:
        await transport.send(call(url))
    told = "".join(_everything(caught.value))
    assert not [secret for secret in ("sk-secret", "hunter2", "hunter3") if secret in told]


async def test_a_connect_deadline_holds_no_secret(transport: Transport) -> None:
    """The whole URL is in aiohttp's own message of it."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/v1?token=hunter3"
        with pytest.raises(DeadlineExceededError) as caught:
            await transport.send(call(url, connect=0.1))
    assert "hunter3" not in "".join(_everything(caught.value))


async def test_a_line_break_in_a_header_is_a_configuration_error(server: NetServer, transport: Transport) -> None:
    """A key pasted with its line break is named as such, and not shown."""
    broken = call(server.url + "/json", headers={"Authorization": "Bearer sk-secret\r\nX: y"})
    with pytest.raises(ConfigurationError) as caught:
        await transport.send(broken)
    assert "sk-secret" not in "".join(_everything(caught.value))


async def test_the_environments_proxy_is_used(
    server: NetServer, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP_PROXY is honoured for other hosts."""
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    await transport.send(call("http://gateway.invalid/json"))
    assert server.requests[0].headers["host"] == "gateway.invalid"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_this_machine_needs_no_proxy(
    server: NetServer, transport: Transport, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """A gateway on loopback is reached directly, whatever the company's proxy."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert (await transport.send(call(f"http://{host}:{server.port}/json"))).status == 200


async def test_a_netrc_adds_no_login(
    server: NetServer, transport: Transport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """~/.netrc speaks for other programs."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login joe password hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))
    await transport.send(call(server.url + "/json", headers={}))
    assert "authorization" not in server.requests[0].headers

"""What we send, held against what Portkey's own SDK sends for the same arguments, both read off the wire."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from portkey_router import PortkeyRouter

if TYPE_CHECKING:
    from portkey_router.sandbox import PortkeyDouble

MESSAGES = [{"role": "user", "content": "Hello"}]

# Headers that name the sender, or the connection.
OWN = {
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "host",
    "user-agent",
    "x-portkey-package-version",
    "x-portkey-runtime",
    "x-portkey-runtime-version",
    "x-stainless-arch",
    "x-stainless-async",
    "x-stainless-lang",
    "x-stainless-os",
    "x-stainless-raw-response",
    "x-stainless-package-version",
    "x-stainless-read-timeout",
    "x-stainless-retry-count",
    "x-stainless-runtime",
    "x-stainless-runtime-version",
}

CASES: dict[str, dict[str, Any]] = {
    "virtual key": {"virtual_key": "vk-a"},
    "slug": {"provider": "@openai-prod"},
    "raw provider": {"provider": "openai", "Authorization": "sk-provider-key"},
    "config id": {"config": "pc-a"},
    "config": {"config": {"virtual_key": "vk-a", "retry": {"attempts": 1}}},
    "metadata and ids": {"virtual_key": "vk-a", "metadata": {"_user": "u1", "team": "ü"}, "trace_id": "t1"},
    "cache": {"virtual_key": "vk-a", "cache_namespace": "ns", "cache_force_refresh": True},
}


def relevant(headers: Any) -> dict[str, str]:
    """The headers that mean something to the gateway."""
    return {name: value for name, value in headers.items() if name not in OWN}


@pytest.fixture
def server(portkey_sandbox: PortkeyDouble) -> PortkeyDouble:
    """The double, with a virtual key, a slug and a saved config."""
    portkey_sandbox.add_virtual_key("vk-a", provider="openai")
    portkey_sandbox.add_provider("openai-prod", provider="openai")
    portkey_sandbox.add_config("pc-a", {"virtual_key": "vk-a"})
    return portkey_sandbox


@pytest.mark.parametrize("case", CASES)
def test_from_portkey_sends_what_the_sdk_sends(server: PortkeyDouble, case: str) -> None:
    """URL path, headers and body are the SDK's, but for the names of the sender and a trace id where it sends none."""
    import portkey_ai

    client = portkey_ai.Portkey(base_url=server.url, api_key=server.api_key, **CASES[case])
    # Both of its HTTP clients: a socket that is left to the garbage collector is another test's error.
    with closing(client), closing(client.openai_client):
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES, temperature=0.5)
        theirs = server.requests[-1]
        answer = PortkeyRouter.from_portkey(client).complete(MESSAGES, model="gpt-4o", temperature=0.5)
    ours = server.requests[-1]
    assert answer.text
    assert ours is not theirs
    assert ours.path == theirs.path
    assert ours.body == theirs.body
    sent, expected = relevant(ours.headers), relevant(theirs.headers)
    if "x-portkey-trace-id" not in expected:
        assert sent.pop("x-portkey-trace-id")
    if expected.get("authorization") == "Bearer OPENAI_API_KEY":  # the SDK's filler where it has no provider key
        del expected["authorization"]
    assert sent == expected


def test_from_portkey_takes_an_async_client(server: PortkeyDouble) -> None:
    """`AsyncPortkey` serves as well, and for all verbs."""
    import portkey_ai

    client = portkey_ai.AsyncPortkey(base_url=server.url, api_key=server.api_key, virtual_key="vk-a")
    router = PortkeyRouter.from_portkey(client)
    assert router.complete(MESSAGES, model="gpt-4o").text
    assert asyncio.run(router.acomplete(MESSAGES, model="gpt-4o")).text
    assert "".join(chunk.content for chunk in router.stream(MESSAGES, model="gpt-4o"))

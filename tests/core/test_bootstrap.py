from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest

from portkey_router.bootstrap import build_router
from portkey_router.errors import ConfigurationError, NotEnabledError
from portkey_router.router import PortkeyRouter
from portkey_router.settings import HOSTED_GATEWAY_URL
from tests.core.fakes import HELLO, AsyncPort, SyncPort, ok

OWN = "http://127.0.0.1:8787/v1"


@pytest.fixture(scope="module")
def sdk() -> Any:
    """Portkey's SDK; imported once, it takes seconds."""
    import portkey_ai

    return portkey_ai


def sent(asked: PortkeyRouter, **options: Any) -> tuple[str, dict[str, str], dict[str, Any]]:
    """URL, headers and body of a call, without a network."""
    port = SyncPort(ok())
    asked._sync_port, asked._async_port = port, AsyncPort()
    asked.complete(HELLO, **options)
    return port.calls[0].url, dict(port.calls[0].headers), json.loads(port.calls[0].body)


def test_from_env(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment alone makes a router."""
    monkeypatch.setenv("PORTKEY_API_KEY", "pk")
    monkeypatch.setenv("PORTKEY_VIRTUAL_KEY_OPENAI", "vk-1")
    url, headers, body = sent(PortkeyRouter.from_env(), model="gpt-4")
    assert url == HOSTED_GATEWAY_URL + "/chat/completions"
    assert (headers["x-portkey-api-key"], headers["x-portkey-virtual-key"], body["model"]) == ("pk", "vk-1", "gpt-4")


def test_from_env_says_no_where_another_provider_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    """PREFERRED_LLM_PROVIDER of another name switches `from_env` off; `build_router` asks for us by name."""
    monkeypatch.setenv("PREFERRED_LLM_PROVIDER", "openai")
    with pytest.raises(NotEnabledError, match="PREFERRED_LLM_PROVIDER"):
        PortkeyRouter.from_env(api_key="pk")
    assert build_router(api_key="pk", model="gpt-4o").model == "gpt-4o"
    monkeypatch.setenv("PREFERRED_LLM_PROVIDER", "portkey")
    assert PortkeyRouter.from_env(api_key="pk").settings.enabled


def test_arguments_reach_the_router() -> None:
    """Every argument has its effect on the calls, or on the plan."""
    asked = build_router(
        model="m",
        virtual_key="vk-mine",
        api_key="pk",
        base_url=OWN,
        metadata={"_user": "u"},
        trace_id="t",
        cache_namespace="n",
        cache_force_refresh=True,
        timeout=9,
        max_retries=4,
    )
    assert (asked.deadlines.total, asked.plan().attempts[0].tries) == (9, 5)
    url, headers, _ = sent(asked)
    assert url == OWN + "/chat/completions"
    assert headers["x-portkey-virtual-key"] == "vk-mine"
    assert headers["x-portkey-metadata"] == '{"_user": "u"}'
    assert (headers["x-portkey-trace-id"], headers["x-portkey-cache-namespace"]) == ("t", "n")
    assert headers["x-portkey-cache-force-refresh"] == "true"


@pytest.mark.parametrize("route", [{"strategy": "gpt-4o"}, {"config": "pc-1"}])
@pytest.mark.parametrize("key", [{"virtual_key": "v"}, {"provider": "openai"}])
def test_a_key_beside_a_strategy_is_refused(route: dict[str, Any], key: dict[str, Any]) -> None:
    """A key for the model says nothing about a strategy's targets: better refused than ignored."""
    with pytest.raises(ConfigurationError, match="Target"):
        build_router(api_key="pk", **route, **key)


@pytest.mark.parametrize("kind", ["Portkey", "AsyncPortkey"])
@pytest.mark.parametrize(
    ("arguments", "model", "expected"),
    [
        ({"virtual_key": "vk-1"}, "gpt-4o", {"x-portkey-virtual-key": "vk-1"}),
        ({"provider": "@openai-prod"}, "gpt-4o", {"x-portkey-provider": "@openai-prod"}),
        ({"config": "pc-1"}, None, {"x-portkey-config": "pc-1"}),
        ({"provider": "openai", "Authorization": "sk-1"}, "gpt-4o", {"authorization": "Bearer sk-1"}),
        ({"virtual_key": "v", "trace_id": "t", "metadata": {"a": "b"}}, "m", {"x-portkey-metadata": '{"a": "b"}'}),
    ],
)
def test_from_portkey(
    kind: str, arguments: dict[str, Any], model: str | None, expected: dict[str, str], sdk: Any
) -> None:
    """A client of Portkey's SDK hands over its URL, keys, config and headers; what it says of itself stays behind."""
    client = getattr(sdk, kind)(api_key="pk", base_url=OWN, **arguments)
    asked = PortkeyRouter.from_portkey(client)
    url, headers, body = sent(asked, **({"model": model} if model else {}))
    assert url == OWN + "/chat/completions"
    assert headers["x-portkey-api-key"] == "pk"
    assert expected.items() <= headers.items()
    assert body.get("model") == model
    assert headers["x-portkey-package-version"].startswith("portkey-router-")
    assert "x-portkey-runtime" not in headers
    if "trace_id" in arguments:
        assert headers["x-portkey-trace-id"] == "t"


def test_options_win_over_the_client(sdk: Any) -> None:
    """What is passed beside the client is meant."""
    client = sdk.Portkey(api_key="pk", base_url=OWN, virtual_key="vk-1")
    asked = PortkeyRouter.from_portkey(
        client, base_url="http://127.0.0.1:1/v1", default_headers={"X-Mine": "1"}, model="m"
    )
    url, headers, body = sent(asked)
    assert (url, headers["x-mine"], body["model"]) == ("http://127.0.0.1:1/v1/chat/completions", "1", "m")


def test_what_the_sdk_says_of_itself_stays_behind() -> None:
    """Its version and runtime would be told as ours."""

    class Client:
        base_url = OWN
        custom_headers: ClassVar = {
            "X-Portkey-Api-Key": "pk",
            "X-Portkey-Runtime": "CPython",
            "x-portkey-config": "pc-1",
        }

    _, headers, _ = sent(PortkeyRouter.from_portkey(Client()))
    assert (headers["x-portkey-api-key"], headers["x-portkey-config"]) == ("pk", "pc-1")
    assert "x-portkey-runtime" not in headers


def test_from_portkey_takes_nothing_else() -> None:
    """Anything but a client of the SDK is refused by name."""
    with pytest.raises(ConfigurationError, match="not object"):
        PortkeyRouter.from_portkey(object())

"""What hosted Portkey has beyond the open-source gateway; the sources are pages of Portkey's documentation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from portkey_router import sandbox
from portkey_router.sandbox import Fault
from tests.sandbox.raw_http import HELLO, Raw, chat, send

if TYPE_CHECKING:
    from portkey_router.sandbox import PortkeyDouble


@pytest.fixture
def server(portkey_sandbox: PortkeyDouble) -> PortkeyDouble:
    """An account with a virtual key for each of two providers."""
    portkey_sandbox.add_virtual_key("vk-a", provider="openai")
    portkey_sandbox.add_virtual_key("vk-b", provider="anthropic")
    return portkey_sandbox


def ask(server: PortkeyDouble, body: dict[str, Any] | None = None, **headers: Any) -> Raw:
    """A chat with the account's key; keyword arguments are x-portkey-headers, mappings go as JSON."""
    told = {"x-portkey-api-key": server.api_key}
    for name, value in headers.items():
        told["x-portkey-" + name.replace("_", "-")] = value if isinstance(value, str) else json.dumps(value)
    return chat(server.url, body, told)


def fallback(*keys: str) -> dict[str, Any]:
    """A fallback over virtual keys."""
    return {"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": key} for key in keys]}


# ---- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, {"x-portkey-api-key": "wrong"}, {"authorization": "Bearer wrong"}], ids=str)
def test_a_wrong_key(server: PortkeyDouble, headers: dict[str, str]) -> None:
    """401 in the gateway's shape, with the message that the service gives; no provider is asked."""
    reply = chat(server.url, {}, {"x-portkey-virtual-key": "vk-a", **headers})
    assert reply.status == 401
    assert reply.json == {"status": "failure", "message": "Portkey Error: Invalid API Key. Error Code: 03"}
    assert server.log("vk-a") == ()
    assert server.requests[0].status == 401


def test_the_bearer_is_portkeys_key_too(server: PortkeyDouble) -> None:
    """An OpenAI client puts Portkey's key where OpenAI's goes (page: LangChain, Python)."""
    headers = {"authorization": f"Bearer {server.api_key}"}
    assert chat(server.url, {"model": "@vk-a/gpt-4o"}, headers).status == 200


def test_a_virtual_key_names_its_provider(server: PortkeyDouble) -> None:
    """The reply says whose key it was (page: Virtual Keys); a trace id is made up where none was sent."""
    reply = ask(server, virtual_key="vk-b")
    assert (reply.status, reply.headers["x-portkey-provider"]) == (200, "anthropic")
    assert reply.headers["x-portkey-trace-id"]
    assert ask(server, virtual_key="vk-openai").headers["x-portkey-provider"] == "openai"


def test_the_model_catalog(server: PortkeyDouble) -> None:
    """`@slug/model` and `@slug` as the provider lead to the same place; the provider sees the bare model's name.

    (Page: Upgrade to Model Catalog; a virtual key's slug keeps working there.)
    """
    server.add_provider("openai-prod", provider="openai")
    assert ask(server, {"model": "@openai-prod/gpt-4o"}).status == 200
    assert ask(server, provider="@openai-prod").status == 200
    assert ask(server, {"model": "@vk-a/ft:gpt-4o/x"}).status == 200
    assert [entry.body["model"] for entry in server.log("openai-prod")] == ["gpt-4o", "gpt-4o"]
    assert server.log("vk-a")[0].body["model"] == "ft:gpt-4o/x"


def test_an_unknown_slug(server: PortkeyDouble) -> None:
    """400, naming the slug; in a fallback the next target answers."""
    reply = ask(server, virtual_key="vk-none")
    assert (reply.status, "vk-none" in reply.json["message"]) == (400, True)
    assert ask(server, config=fallback("vk-none", "vk-a")).status == 200


def test_a_provider_with_the_callers_own_key(server: PortkeyDouble) -> None:
    """A plain provider's name with a key of one's own needs nothing stored."""
    reply = ask(server, provider="mistral-ai")
    assert (reply.status, reply.headers["x-portkey-provider"]) == (200, "mistral-ai")
    assert ask(server).status == 400


# ---- configs ---------------------------------------------------------------------------------------------------------


def test_a_saved_config(server: PortkeyDouble) -> None:
    """Its slug in the header stands for it (page: Configs); an unknown one is refused."""
    server.add_config("pc-mine", fallback("vk-a", "vk-b"))
    server.always("vk-a", Fault.status(500))
    reply = ask(server, config="pc-mine")
    assert reply.headers["x-portkey-last-used-option-index"] == "config.targets[1]"
    assert reply.headers["x-portkey-provider"] == "anthropic"
    assert ask(server, config="pc-other").status == 400


def test_only_good_configs_are_saved(server: PortkeyDouble) -> None:
    """A wrong slug or a wrong config is refused where it is written."""
    with pytest.raises(ValueError, match="pc-"):
        server.add_config("mine", {"virtual_key": "vk-a"})
    with pytest.raises(ValueError, match="mode"):
        server.add_config("pc-mine", {"strategy": {"mode": "cheapest"}, "targets": []})


def test_a_config_about_the_headers_provider(server: PortkeyDouble) -> None:
    """A config without targets applies to the virtual key of the header."""
    server.script("vk-a", Fault.status(429))
    reply = ask(server, virtual_key="vk-a", config={"retry": {"attempts": 2}})
    assert (reply.status, reply.headers["x-portkey-retry-attempt-count"]) == (200, "1")


# ---- budgets, guardrails, cache --------------------------------------------------------------------------------------


def test_an_exhausted_budget(server: PortkeyDouble) -> None:
    """412 (page: Errors of the inference API); a fallback goes on, and a restored budget is good again."""
    server.exhaust("vk-a")
    assert ask(server, virtual_key="vk-a").status == 412
    assert ask(server, config=fallback("vk-a", "vk-b")).status == 200
    server.restore("vk-a")
    assert ask(server, virtual_key="vk-a").status == 200
    assert len(server.log("vk-a")) == 1


def test_a_denial(server: PortkeyDouble) -> None:
    """446 with `hook_results` (page: Guardrails), for what the user says, and for that key only."""
    server.deny("there", slug="vk-a", check="default.contains")
    reply = ask(server, virtual_key="vk-a")
    assert (reply.status, reply.json["error"]["type"]) == (446, "hooks_failed")
    (hook,) = reply.json["hook_results"]["before_request_hooks"]
    assert (hook["verdict"], hook["checks"][0]["id"]) == (False, "default.contains")
    assert ask(server, virtual_key="vk-b").status == 200
    assert ask(server, {"messages": [{"role": "user", "content": "Bye"}]}, virtual_key="vk-a").status == 200
    assert len(server.log("vk-a")) == 1


CACHED = {"virtual_key": "vk-a", "cache": {"mode": "simple"}}


def test_the_cache(server: PortkeyDouble) -> None:
    """Miss, then hit; another namespace or body misses; a refresh asks again (page: Cache, Simple & Semantic)."""

    def status(body: dict[str, Any] | None = None, **headers: str) -> str:
        return ask(server, body, config=CACHED, **headers).headers["x-portkey-cache-status"]

    assert [status(), status(), status({"seed": 1}), status(cache_namespace="n")] == ["MISS", "HIT", "MISS", "MISS"]
    assert [status(cache_force_refresh="true"), status()] == ["REFRESH", "HIT"]
    assert len(server.log("vk-a")) == 4
    assert ask(server, config=CACHED).body == ask(server, config=CACHED).body
    assert ask(server, virtual_key="vk-a").headers["x-portkey-cache-status"] == "DISABLED"


def test_errors_and_streams_are_not_cached(server: PortkeyDouble) -> None:
    """After an error or a stream the provider is asked again."""
    server.script("vk-a", Fault.status(500))
    assert [ask(server, config=CACHED).status for _ in range(2)] == [500, 200]
    for _ in range(2):
        assert ask(server, {"stream": True}, config=CACHED).headers["x-portkey-cache-status"] == "MISS"


# ---- the rest --------------------------------------------------------------------------------------------------------


def test_the_log_holds_portkeys_headers(server: PortkeyDouble) -> None:
    """Metadata, trace id and the body as the caller sent it; beside it, the attempts as the providers saw them."""
    config = {**fallback("vk-a", "vk-b"), "override_params": {"model": "other"}}
    server.always("vk-a", Fault.status(500))
    ask(server, config=config, metadata={"_user": "u"}, trace_id="t")
    (arrived,) = server.requests
    assert json.loads(arrived.headers["x-portkey-metadata"]) == {"_user": "u"}
    assert (arrived.headers["x-portkey-trace-id"], arrived.body["model"]) == ("t", HELLO["model"])
    assert [(e.status, e.body["model"]) for key in ("vk-a", "vk-b") for e in server.log(key)] == [
        (500, "other"),
        (200, "other"),
    ]


def test_the_other_endpoints(server: PortkeyDouble) -> None:
    """Embeddings go through the same vault; models are listed; an unknown path is 404."""
    key = {"x-portkey-api-key": server.api_key}
    reply = send("POST", f"{server.url}/embeddings", {"model": "@vk-a/e", "input": "x", "dimensions": 8}, key)
    assert len(reply.json["data"][0]["embedding"]) == 8
    assert send("GET", f"{server.url}/models", headers=key).json["object"] == "list"
    assert send("POST", f"{server.url}/nothing", {}, key).status == 404


def test_a_key_of_ones_own() -> None:
    """`portkey(api_key=...)` is the one key that is accepted."""
    with sandbox.portkey(api_key="pk-mine") as server:
        assert ask(server, virtual_key="vk-openai").status == 200
        assert chat(server.url, {}, {"x-portkey-api-key": "pk-sandbox-key"}).status == 401

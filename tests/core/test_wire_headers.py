from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import SecretStr

from portkey_router.errors import ConfigurationError
from portkey_router.messages import CallOptions
from portkey_router.settings import Settings
from portkey_router.targets import Target
from portkey_router.wire.headers import base_headers, call_headers, config_headers, secrets_in, target_headers
from tests.core.leaks import assert_no_trace

PLANTED = "sk-planted-"


@pytest.fixture(scope="module")
def create_headers() -> Any:
    """The SDK's own; imported once, it takes seconds."""
    from portkey_ai import createHeaders

    return createHeaders


@pytest.mark.parametrize(
    ("ours", "arguments"),
    [
        (base_headers(Settings(api_key=SecretStr("pk"))), {"api_key": "pk"}),
        (target_headers(Target("m", virtual_key="vk-1")), {"virtual_key": "vk-1"}),
        (target_headers(Target("m", provider="openai")), {"provider": "openai"}),
        (target_headers(Target("m", provider="@openai-prod")), {"provider": "@openai-prod"}),
        (
            target_headers(Target("m", provider="openai", api_key="sk-1")),
            {"provider": "openai", "Authorization": "sk-1"},
        ),
        (
            target_headers(Target("m", provider="openai", custom_host="http://h/v1")),
            {"provider": "openai", "custom_host": "http://h/v1"},
        ),
        (
            target_headers(Target("m", virtual_key="v", request_timeout=1.5)),
            {"virtual_key": "v", "request_timeout": 1500},
        ),
        (
            target_headers(Target("m", virtual_key="v", forward_headers=["x-a", "x-b"])),
            {"virtual_key": "v", "forward_headers": ["x-a", "x-b"]},
        ),
        (
            target_headers(Target("m", provider="bedrock", options={"aws_region": "eu", "aws_access_key_id": "AK"})),
            {"provider": "bedrock", "aws_region": "eu", "aws_access_key_id": "AK"},
        ),
        (config_headers("pc-1"), {"config": "pc-1"}),
        (config_headers({"retry": {"attempts": 1}}), {"config": {"retry": {"attempts": 1}}}),
        (call_headers(CallOptions(metadata={"_user": "u", "größe": "x"})), {"metadata": {"_user": "u", "größe": "x"}}),
        (call_headers(CallOptions(trace_id="t", cache_namespace="n")), {"trace_id": "t", "cache_namespace": "n"}),
        (
            call_headers(CallOptions(span_id="s", span_name="n", parent_span_id="p")),
            {"span_id": "s", "span_name": "n", "parent_span_id": "p"},
        ),
        (call_headers(CallOptions(cache_force_refresh=True)), {"cache_force_refresh": True}),
        (call_headers(CallOptions(cache_force_refresh=False)), {"cache_force_refresh": False}),
    ],
)
def test_we_spell_headers_as_the_sdk_does(ours: dict[str, str], arguments: dict[str, Any], create_headers: Any) -> None:
    """For the same arguments, each header that Portkey's SDK makes is ours, to the letter."""
    theirs = {name.lower(): value for name, value in create_headers(**arguments).items()}
    if "api_key" in arguments:  # the base headers have more: content type, user agent, version
        assert theirs.items() <= ours.items()
    else:
        assert ours == theirs


def test_a_model_with_a_slug_needs_no_header() -> None:
    """The gateway reads the slug from the model; beside a bare model it goes into the provider's header."""
    assert target_headers(Target("@openai-prod/gpt-4o")) == {}
    assert target_headers(Target("gpt-4o", provider="@openai-prod")) == {"x-portkey-provider": "@openai-prod"}


def test_providers_and_caches_of_a_target() -> None:
    """A provider goes by Portkey's id; a cache goes as a config, which has no header of its own."""
    assert target_headers(Target("m", provider="aws", api_key="k"))["x-portkey-provider"] == "bedrock"
    headers = target_headers(Target("m", virtual_key="v", cache={"mode": "simple"}))
    assert json.loads(headers["x-portkey-config"]) == {"cache": {"mode": "simple"}}


def test_a_virtual_key_goes_alone() -> None:
    """With a virtual key the provider only says whose prices apply: it is not sent."""
    assert target_headers(Target("m", virtual_key="v", provider="openai")) == {"x-portkey-virtual-key": "v"}


def test_base_headers() -> None:
    """Every request says who we are and asks for what OpenAI's shape lacks; the user's own headers win."""
    headers = base_headers(Settings(bearer=SecretStr("sk-1"), headers={"user-agent": "mine"}))
    assert headers["authorization"] == "Bearer sk-1"
    assert headers["user-agent"] == "mine"
    assert headers["x-portkey-strict-open-ai-compliance"] == "false"
    assert headers["content-type"] == "application/json"
    assert "x-portkey-api-key" not in headers


def test_call_headers_are_few_by_default_and_the_callers_win() -> None:
    """Nothing asked for, nothing sent; extra headers replace ours in any case of their names."""
    assert call_headers(CallOptions()) == {}
    assert call_headers(CallOptions(trace_id="t", extra_headers={"X-Portkey-Trace-Id": "mine"})) == {
        "x-portkey-trace-id": "mine"
    }


@pytest.mark.parametrize(
    "make",
    [
        lambda bad: base_headers(Settings(api_key=SecretStr(bad))),
        lambda bad: base_headers(Settings(headers={"x-mine": bad})),
        lambda bad: target_headers(Target("m", virtual_key=bad)),
        lambda bad: target_headers(Target("m", provider="openai", api_key=bad)),
        lambda bad: call_headers(CallOptions(trace_id=bad)),
        lambda bad: call_headers(CallOptions(extra_headers={"x-a": bad})),
        config_headers,
    ],
)
@pytest.mark.parametrize("character", ["\n", "\r", "\r\nx-injected: 1", "\0"])
def test_line_breaks_are_refused(make: Any, character: str) -> None:
    """A key read from a file with its newline is refused by name, without being quoted."""
    with pytest.raises(ConfigurationError, match="line break") as caught:
        make(PLANTED + character + "0123")
    assert_no_trace(PLANTED, caught.value)


def test_line_breaks_in_a_name_are_refused() -> None:
    """A header's name cannot smuggle in another header."""
    with pytest.raises(ConfigurationError, match=r"'x-a\?\?x-b: 1'"):
        call_headers(CallOptions(extra_headers={"x-a\r\nx-b: 1": "2"}))


def test_metadata_are_short_strings() -> None:
    """Portkey takes strings of at most 128 characters: numbers are written out, longer ones refused by name."""
    headers = call_headers(CallOptions(metadata={"n": 5, "b": True, "s": "x" * 128}))  # type: ignore[dict-item]
    assert json.loads(headers["x-portkey-metadata"]) == {"n": "5", "b": "true", "s": "x" * 128}
    with pytest.raises(ConfigurationError, match=r"metadata\['s'\] has 129"):
        call_headers(CallOptions(metadata={"s": "x" * 129}))


def test_metadata_that_cannot_be_written_is_refused_by_name() -> None:
    """What is neither text nor JSON is a ConfigurationError, not json's own error half-way through a call."""
    with pytest.raises(ConfigurationError, match=r"metadata\['user'\]"):
        call_headers(CallOptions(metadata={"user": object()}))  # type: ignore[dict-item]


def test_secrets_in_headers() -> None:
    """Every key on its way out is known, so that it can be struck from what comes back."""
    config = {
        "targets": [{"api_key": "sk-in-config", "override_params": {"model": "m"}}],
        "virtual_key": "vk-in-config",
    }
    headers = {
        "authorization": "Bearer sk-bearer",
        "x-portkey-api-key": "pk",
        "x-portkey-virtual-key": "vk-1",
        "x-portkey-aws-secret-access-key": "aws",
        "x-portkey-config": json.dumps(config),
        "x-portkey-provider": "openai",
        "x-portkey-trace-id": "t",
    }
    assert set(secrets_in(headers)) == {"sk-bearer", "pk", "vk-1", "aws", "sk-in-config", "vk-in-config"}


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ("pc-1", set()),
        ("", set()),
        ('  {"api_key": "sk-1"}', {"sk-1"}),
        ('{"api_key": "sk-1"', set()),
        ("{not json", set()),
        ('{"api_key": 5}', set()),
    ],
)
def test_secrets_in_a_users_own_config(config: str, found: set[str]) -> None:
    """A config given as text is read however it is written; one that is broken is the gateway's to refuse."""
    assert set(secrets_in({"x-portkey-config": config})) == found


@pytest.mark.parametrize("value", ["Bearer sk-1", "bearer sk-1", "Bearer  sk-1 ", "sk-1"])
def test_the_bearers_key_is_found(value: str) -> None:
    """The key is what follows the scheme, however the scheme is written."""
    assert secrets_in({"authorization": value}) == ("sk-1",)

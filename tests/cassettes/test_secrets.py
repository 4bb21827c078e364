"""No key reaches a cassette."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import vcr  # type: ignore[import-untyped]

from portkey_router import AuthenticationError, PortkeyRouter, Target, sandbox
from portkey_router.sandbox.hosted import API_KEY
from tests.cassettes import test_admin_replay, test_replay
from tests.cassettes.conftest import RECORDED
from tests.cassettes.redaction import ReadableYaml, forbidden_in

if TYPE_CHECKING:
    from pathlib import Path

    from portkey_router.sandbox import Providers

# Keys that do not look like keys: they are struck for where they stand, not for their shape.
PLANTED = {
    "Portkey key": "planted-portkey-1f0a",
    "virtual key": "planted-virtual-2b7c",
    "provider key": "planted-provider-3d5e",
    "bearer": "planted-bearer-4f9b",
    "key in a config": "planted-inline-5c2d",
    "virtual key in a config": "planted-inline-virtual-6a8e",
    "metadata of a config": "planted-metadata-7e1f",
    "metadata of a call": "planted-call-metadata-8d3c",
    "AWS secret": "planted-aws-9b6a",
    "header of a provider": "planted-x-api-key-0c4f",
}
# Keys by their shape alone, wherever someone pasted them.
PASTED = ("sk-planted-11aa", "pk-planted-22bb", "vk-planted-33cc", "Bearer planted-44dd")


@dataclass(frozen=True)
class Call:
    """One call, and which of the planted keys it sends."""

    router: PortkeyRouter
    options: dict[str, Any]
    sends: tuple[str, ...]


def calls(url: str) -> list[Call]:
    """Every way in which a key goes out."""
    p = PLANTED
    settings: dict[str, Any] = {"base_url": url, "api_key": p["Portkey key"], "max_retries": 0}
    by_key = Target("m", provider="openai", api_key=p["provider key"], custom_host=url)
    by_virtual_key = Target("m", virtual_key=p["virtual key"], options={"aws_secret_access_key": p["AWS secret"]})
    config = {
        "provider": "openai",
        "api_key": p["key in a config"],
        "targets": [{"virtual_key": p["virtual key in a config"]}],
        "metadata": {"note": PASTED[0], "customer_token": p["metadata of a config"]},
    }
    headers = {"authorization": f"Bearer {p['bearer']}", "x-api-key": p["header of a provider"]}
    return [
        Call(
            PortkeyRouter.from_env(**settings, strategy=by_key),
            {"metadata": {"token": p["metadata of a call"]}},
            ("Portkey key", "provider key", "metadata of a call"),
        ),
        Call(
            PortkeyRouter.from_env(**settings, strategy=by_virtual_key),
            {"extra_headers": headers},
            ("Portkey key", "virtual key", "AWS secret", "bearer", "header of a provider"),
        ),
        Call(
            PortkeyRouter.from_env(**settings, config=config),
            {"model": "m"},
            ("Portkey key", "key in a config", "virtual key in a config", "metadata of a config"),
        ),
    ]


def record(file: Path, providers: Providers, **options: Any) -> str:
    """The text of a cassette of those calls, each answered with all keys it sent, in the body and in headers."""
    recorder = vcr.VCR(record_mode="all")
    recorder.register_serializer("yaml", ReadableYaml)
    with recorder.use_cassette(str(file), **options):
        for call in calls(providers.url):
            echo = " ".join([*PASTED, *(PLANTED[name] for name in call.sends)])
            body = {"error": {"message": f"Incorrect API key provided: {echo}", "code": "invalid_api_key"}}
            headers = dict.fromkeys(("retry-after", "x-echo", "x-portkey-provider", "x-portkey-trace-id"), echo)
            providers.script("default", sandbox.Fault.status(401, body=body, headers=headers))
            question = f"Are {echo} keys?"
            with pytest.raises(AuthenticationError):
                call.router.complete([{"role": "user", "content": question}], **call.options)
            received = json.dumps(dict(providers.requests[-1].headers))
            assert [name for name in call.sends if PLANTED[name] not in received] == []
    return file.read_text(encoding="utf-8")


def test_planted_keys_never_reach_a_cassette(
    tmp_path: Path, portkey_providers: Providers, vcr_config: dict[str, Any]
) -> None:
    """Each key is sent in a header, stands in the question and comes back in the answer: none is in the file."""
    text = record(tmp_path / "redacted.yaml", portkey_providers, **vcr_config)
    assert [name for name, secret in PLANTED.items() if secret in text] == []
    assert [secret for secret in PASTED if secret in text] == []
    assert "planted" not in text
    assert forbidden_in(text) == []
    assert (text.count("- request:"), text.count("Incorrect API key provided: REDACTED")) == (3, 3)


def test_without_the_configuration_every_key_would_be_there(tmp_path: Path, portkey_providers: Providers) -> None:
    """The counterproof: what vcrpy records by itself holds each of those keys, and the search says so."""
    text = record(tmp_path / "plain.yaml", portkey_providers)
    assert [secret for secret in (*PLANTED.values(), *PASTED) if secret not in text] == []
    found = forbidden_in(text)
    assert {"authorization", "Bearer", "x-portkey-api-key", "x-portkey-config", "x-portkey-virtual-key"} <= set(found)
    assert any(each.startswith("127.0.0.1:") for each in found)


def test_a_request_is_found_again_whatever_its_keys_and_ports(
    tmp_path: Path, portkey_providers: Providers, vcr_config: dict[str, Any]
) -> None:
    """Recorded with one key at one port, played to another key at another port."""
    file, asked = tmp_path / "one.yaml", [{"role": "user", "content": "Same?"}]

    def answer(url: str, key: str, mode: str) -> str:
        router = PortkeyRouter.from_env(base_url=url, strategy=Target("m", provider="openai", api_key=key))
        with vcr.VCR(record_mode=mode).use_cassette(str(file), **vcr_config):
            return router.complete(asked).text

    recorded = answer(portkey_providers.url, "first-key", "all")
    assert answer("http://127.0.0.1:9/v1", "second-key", "none") == recorded == "m answers to: Same?"


@pytest.mark.parametrize("file", sorted(RECORDED.glob("*")), ids=lambda file: file.name)
def test_no_committed_cassette_holds_a_secret(file: Path) -> None:
    """No key, no header that could hold one, no address of a machine, and a size that people can read."""
    text = file.read_text(encoding="utf-8")
    assert forbidden_in(text) == []
    assert API_KEY not in text
    assert len(text) < 20_000


@pytest.mark.parametrize(
    "text",
    [
        "key: sk-abc",
        '"pk-sandbox-key"',
        "provided: vk-openai",
        "Bearer abc",
        "x-portkey-api-key: [abc]",
        "X-Portkey-Config: '{}'",
        "Authorization: [abc]",
        "uri: http://127.0.0.1:8787/v1",
        "http://localhost:8787",
    ],
)
def test_the_search_finds_what_it_looks_for(text: str) -> None:
    """Each kind of thing that must not be in a cassette is found."""
    assert forbidden_in(text)


def test_each_recorded_test_has_its_cassette() -> None:
    """None is missing, and none is left over from a test that is gone."""
    marked = {
        name.removeprefix("test_")
        for module in (test_replay, test_admin_replay)
        for name, value in vars(module).items()
        if "vcr" in {mark.name for mark in getattr(value, "pytestmark", ())}
    }
    assert {file.name.split(".")[0] for file in RECORDED.iterdir()} == marked

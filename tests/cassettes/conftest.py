"""Tests against what the real gateway once answered: no Node, no server, no socket.

`make cassettes` records anew, from `sandbox.gateway()` with `sandbox.providers()` behind it. What is played must fit
the request by method, path and body. Ports vary and are not recorded; neither are headers that may hold a key, so what
goes into those is tested elsewhere. vcrpy's own stand-in for aiohttp's response serves our transport as it is.
"""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from portkey_router import Target
from tests.cassettes.redaction import GATEWAY, ReadableYaml, Redaction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vcr import VCR  # type: ignore[import-untyped]
    from vcr.cassette import Cassette  # type: ignore[import-untyped]

    from portkey_router.sandbox import Fault, Gateway, Providers

RECORDED = Path(__file__).parent / "recorded"


class Backdrop:
    """What stands behind the model under test: a gateway with providers while recording, nothing while replaying."""

    def __init__(self, gateway: Gateway | None = None, providers: Providers | None = None) -> None:
        self._providers = providers
        self.url = gateway.url if gateway else f"{GATEWAY}/v1"

    def target(self, name: str) -> Target:
        """A target that is a provider of the sandbox."""
        host = self._providers.host(name) if self._providers else f"http://providers.invalid/{name}/v1"
        return Target(f"model-{name}", provider="openai", api_key="sk-recorded", custom_host=host, name=name)

    def always(self, name: str, fault: Fault) -> None:
        """How a provider answers while recording; the cassette knows it when replaying."""
        if self._providers:
            self._providers.always(name, fault)


def pytest_recording_configure(vcr: VCR) -> None:
    """Cassettes are written as people read them."""
    vcr.register_serializer("yaml", ReadableYaml)


@pytest.fixture
def backdrop(request: pytest.FixtureRequest, record_mode: str) -> Backdrop:
    """Started only to record; a gateway that is missing then is a failure, not a skip."""
    if record_mode == "none":
        return Backdrop()
    request.getfixturevalue("monkeypatch").setenv("CI", "true")
    return Backdrop(request.getfixturevalue("portkey_gateway"), request.getfixturevalue("portkey_providers"))


@pytest.fixture
def vcr_config(backdrop: Backdrop) -> dict[str, Any]:
    """How every cassette is recorded and played; the gateway starts before it, and is not recorded starting."""
    redaction = Redaction()
    return {
        "match_on": ["method", "path", "body"],
        "before_record_request": redaction.request,
        "before_record_response": redaction.response,
        "decode_compressed_response": True,
    }


@pytest.fixture(scope="session")
def vcr_cassette_dir() -> str:
    """All cassettes in one folder."""
    return str(RECORDED)


@pytest.fixture
def default_cassette_name(request: pytest.FixtureRequest) -> str:
    """One cassette for a test's sync and async verbs, which send the same; another for its streams."""
    name = request.function.__name__.removeprefix("test_")
    verb = request.node.callspec.params.get("verb", "") if hasattr(request.node, "callspec") else ""
    return f"{name}.stream" if "stream" in verb else name


@pytest.fixture
def offline(record_mode: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """No connection, no look-up of a name, no new process; a try raises, and fails the test at its end as well."""
    tries: list[str] = []

    def refusing(what: str) -> Any:
        def refuse(*args: Any, **_: Any) -> NoReturn:
            tries.append(what)
            raise RuntimeError(f"a replayed test reached for {what}")

        return refuse

    if record_mode == "none":
        # Windows has no pairs of sockets: a new event loop connects to itself.
        for name in ("sendto",) if os.name == "nt" else ("connect", "connect_ex", "sendto"):
            monkeypatch.setattr(socket.socket, name, refusing(f"socket.{name}"))
        monkeypatch.setattr(socket, "getaddrinfo", refusing("socket.getaddrinfo"))
        monkeypatch.setattr(subprocess, "Popen", refusing("subprocess.Popen"))
    yield tries
    assert tries == []


@pytest.fixture
def whole_cassette_offline(offline: list[str], request: pytest.FixtureRequest, record_mode: str) -> Iterator[None]:
    """Nothing outside is reached, and all that was recorded is asked for: no request more, none fewer."""
    cassette: Cassette | None = request.getfixturevalue("vcr")
    yield
    if cassette is not None and record_mode == "none":
        assert cassette.play_count == len(cassette) > 0

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from portkey_router.sandbox import PortkeyDouble


@pytest.fixture
def portkey(portkey_sandbox: PortkeyDouble, monkeypatch: pytest.MonkeyPatch) -> PortkeyDouble:
    """A double of hosted Portkey that the environment points to, with two virtual keys and a slug."""
    portkey_sandbox.add_virtual_key("vk-openai", provider="openai")
    portkey_sandbox.add_virtual_key("vk-anthropic", provider="anthropic")
    portkey_sandbox.add_provider("openai-prod", provider="openai")
    monkeypatch.setenv("PORTKEY_API_KEY", portkey_sandbox.api_key)
    monkeypatch.setenv("PORTKEY_GATEWAY_URL", portkey_sandbox.url)
    monkeypatch.setenv("PORTKEY_VIRTUAL_KEY_OPENAI", "vk-openai")
    monkeypatch.setenv("PORTKEY_VIRTUAL_KEY_ANTHROPIC", "vk-anthropic")
    return portkey_sandbox

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from portkey_router.bootstrap import process_cache, process_health

if TYPE_CHECKING:
    from pathlib import Path

    from portkey_router.sandbox import PortkeyDouble

pytest_plugins = ["portkey_router.sandbox.fixtures", "tests.services.fixtures", "tests.services.prism"]

# A shell lets what it starts in the background ignore Ctrl-C, and programs that tests start would ignore it, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Where downloads are kept; a setting of the tests' own services, read by programs that tests start.
KEPT = frozenset({"PORTKEY_ROUTER_CACHE"})


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the settings of the machine it runs on: neither its variables nor a `.env` in its folder."""
    for name in os.environ:
        if (name.startswith(("PORTKEY_", "MASTER_PORTKEY_")) or name == "PREFERRED_LLM_PROVIDER") and name not in KEPT:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


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


@pytest.fixture(autouse=True)
def _no_memory_of_other_tests() -> None:
    """What a test's targets went through is no other test's business."""
    process_health.cache_clear()
    process_cache.cache_clear()

"""What an import brings with it: nothing that only a call needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

LATER = {"aiohttp", "genai_prices", "openai", "portkey_ai", "pydantic_settings", "tiktoken"}


@pytest.mark.parametrize("package", ["portkey_router", "langchain_portkey_router"])
def test_an_import_brings_nothing_that_only_a_call_needs(package: str) -> None:
    """aiohttp, genai-prices and pydantic-settings are imported when they are first used; other SDKs never are."""
    program = f"import sys, {package}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not LATER & set(done.stdout.split())

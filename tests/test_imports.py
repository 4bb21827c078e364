"""What an import brings with it: nothing that only a call needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

LATER = {"aiohttp", "genai_prices", "openai", "portkey_ai", "pydantic_settings", "tiktoken"}


@pytest.mark.parametrize("package", ["portkey_router", "langchain_portkey_router", "llama_index_portkey"])
def test_an_import_brings_nothing_that_only_a_call_needs(package: str) -> None:
    """aiohttp, genai-prices and pydantic-settings are imported when they are first used; other SDKs never are."""
    program = f"import sys, {package}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    brought = LATER & set(done.stdout.split())
    # LlamaIndex itself imports these two.
    assert not brought - ({"aiohttp", "tiktoken"} if package == "llama_index_portkey" else set())


def test_langchain_is_imported_before_anything_of_ours() -> None:
    """Deep inside our own imports, LangChain's take a fifth longer: CPython maps a piece of stack at every call."""
    program = "import sys, langchain_portkey_router; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    order = done.stdout.split()
    assert order.index("langchain_core.language_models.chat_models") < order.index("portkey_router")


# Imports a package where another one is not installed.
WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, *_):
        if name.split(".")[0] == sys.argv[2]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
__import__(sys.argv[1])
"""


def imported(package: str, without: str) -> str:
    """What is said where a package is imported and another is not installed; nothing where all is well."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, package, without], capture_output=True, text=True, check=False, timeout=100
    )
    assert bool(done.returncode) is bool(done.stderr)
    return done.stderr


def test_each_framework_is_needed_by_its_own_adapter_alone() -> None:
    """With LangChain alone, or LlamaIndex alone, the core and that adapter import; the other says the pip line."""
    for framework, adapter in (("llama_index", "langchain_portkey_router"), ("langchain_core", "llama_index_portkey")):
        assert imported(adapter, without=framework) == ""
        assert imported("portkey_router", without=framework) == ""
    assert 'pip install "portkey-router[langchain]"' in imported("langchain_portkey_router", without="langchain_core")
    assert 'pip install "portkey-router[llama-index]"' in imported("llama_index_portkey", without="llama_index")

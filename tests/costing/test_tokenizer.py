from __future__ import annotations

import builtins
import os
import socket
from typing import Any

import pytest

from portkey_router import tokenizer
from portkey_router.errors import ConfigurationError
from portkey_router.tokenizer import tiktoken_counter


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("model", ["gpt-4o", "@openai-prod/gpt-4o-mini", "openai/gpt-4", "a-stranger"])
def test_counting_needs_no_download_beside_llamaindex(model: str) -> None:
    """The encodings that LlamaIndex ships are used, and the environment is left as it was."""
    before = os.environ.get("TIKTOKEN_CACHE_DIR")
    assert tiktoken_counter(model)("hello world") == 2
    assert tiktoken_counter(model)("\ud800") >= 1
    assert os.environ.get("TIKTOKEN_CACHE_DIR") == before


def test_an_encoding_that_cannot_be_had_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Without LlamaIndex and without a network: which folder to name."""
    import tiktoken.registry

    tokenizer._encoding.cache_clear()
    monkeypatch.setattr(tiktoken.registry, "ENCODINGS", {})
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    with pytest.raises(ConfigurationError, match="TIKTOKEN_CACHE_DIR"):
        tiktoken_counter("gpt-4o")


def test_a_missing_extra_says_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tiktoken is not installed."""
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "tiktoken":
            raise ModuleNotFoundError(name="tiktoken")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigurationError, match=r"portkey-router\[tiktoken\]"):
        tiktoken_counter()

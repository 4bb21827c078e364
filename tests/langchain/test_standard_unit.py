"""LangChain's own unit suite for chat models, whole."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_portkey_router import ChatPortkey


class TestChatPortkeyStandard(ChatModelUnitTests):
    """`ChatPortkey` as LangChain expects a chat model to be."""

    @pytest.fixture(autouse=True)
    def _partner(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """LangChain's list of classes that `load` may make holds its own and its partners': here, ours as well.

        A user names it: `load(dumped, allowed_objects=[ChatPortkey], valid_namespaces=["langchain_portkey_router"])`.
        """
        load, path = import_module("langchain_core.load.load"), tuple(ChatPortkey.lc_id())
        monkeypatch.setitem(load.ALL_SERIALIZABLE_MAPPINGS, path, path)
        monkeypatch.setattr(load, "_default_class_paths_cache", {})

    @property
    def chat_model_class(self) -> type[ChatPortkey]:
        """The class under test."""
        return ChatPortkey

    @property
    def chat_model_params(self) -> dict[str, Any]:
        """A model that needs nothing from the environment."""
        return {"model": "@openai-prod/gpt-4o", "api_key": "test"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        """Environment, arguments, and what the model must then hold."""
        return (
            {"PORTKEY_API_KEY": "from-env"},
            {"model": "@openai-prod/gpt-4o"},
            {"model_name": "@openai-prod/gpt-4o"},
        )

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from genai_prices import data_snapshot

from langchain_portkey_router import ChatPortkey
from langchain_portkey_router.profiles import profile_of
from portkey_router import Fallback


def model(**options: Any) -> ChatPortkey:
    """A model that asks nothing of the environment."""
    return ChatPortkey(**{"api_key": "k", "virtual_keys": {"openai": "a", "anthropic": "b"}, **options})


@pytest.mark.parametrize(
    ("name", "window"),
    [
        ("gpt-4o", 128_000),
        ("@openai-prod/gpt-4o-mini", 128_000),
        ("openai/gpt-4o-2024-08-06", 128_000),
        ("GPT-4o", 128_000),
        ("claude-sonnet-4-5-20250929", 200_000),
        ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", 200_000),
        ("claude-3-5-sonnet@20241022", 200_000),
        ("claude-3-7-sonnet-latest", 200_000),
        ("gemini-2.5-pro", 1_000_000),
    ],
)
def test_a_known_model_by_any_of_its_names(name: str, window: int) -> None:
    """Slugs, providers, dates, regions and versions around a name do not hide it."""
    profile = profile_of(name)
    assert profile is not None
    assert profile["max_input_tokens"] == window


@pytest.mark.parametrize("name", ["gpt-4ox", "gpt-4o-audio-preview", "claude-opus-4-6", "gpt-5-pro", "my-alias", ""])
def test_a_stranger_has_no_profile(name: str) -> None:
    """Nothing is guessed from a name that only begins like a known one."""
    assert profile_of(name) is None


@pytest.mark.parametrize(
    ("provider", "names"),
    [
        (
            "openai",
            "gpt-4o gpt-4o-mini gpt-4.1 gpt-4.1-nano gpt-4-turbo gpt-4 gpt-3.5-turbo gpt-5 o1 o3",
        ),
        ("anthropic", "claude-3-opus-latest claude-3-5-haiku-latest claude-3-7-sonnet-latest claude-opus-4-1"),
        ("anthropic", "claude-sonnet-4-0 claude-sonnet-4-5 claude-haiku-4-5 claude-opus-4-5"),
        ("google", "gemini-2.0-flash gemini-2.5-flash gemini-2.5-flash-lite"),
    ],
)
def test_the_table_agrees_with_the_price_tables(provider: str, names: str) -> None:
    """No window is larger than the one genai-prices knows, which has the answer in it too."""
    for name in names.split():
        profile = profile_of(name)
        known = data_snapshot.get_snapshot().find_provider_model(name, None, provider, None)[1].context_window
        assert profile is not None, name
        assert known is not None, name
        assert profile["max_input_tokens"] <= known, name


def test_a_strategys_profile_is_what_all_its_models_can() -> None:
    """The smallest window, and only what each of them takes; nothing, where one is not known."""
    both = model(strategy=Fallback("gpt-4.1", "claude-sonnet-4-5")).profile
    assert both is not None
    assert (both["max_input_tokens"], both["structured_output"], both["image_inputs"]) == (200_000, False, True)
    assert model(strategy=Fallback("@a/gpt-4o", "@b/my-alias")).profile is None
    assert model(config="pc-a").profile is None


def test_a_profile_follows_its_model() -> None:
    """A changed model has its own profile; one that a user gave stays."""
    llm = model(model="gpt-4o")
    assert llm.profile == profile_of("gpt-4o")
    assert llm.model_copy(update={"model_name": "claude-sonnet-4-5"}).profile == profile_of("claude-sonnet-4-5")
    llm.model_name = "gpt-4.1"
    assert llm.profile == profile_of("gpt-4.1")
    given = model(model="gpt-4o", profile={"max_input_tokens": 5})
    given.model_name = "gpt-4.1"
    assert given.profile == {"max_input_tokens": 5}
    assert given.model_copy(update={"model_name": "o3"}).profile == {"max_input_tokens": 5}


def test_no_table_of_prices_is_loaded_for_it() -> None:
    """Making a model stays cheap: genai-prices is not imported."""
    program = (
        "import sys; from langchain_portkey_router import ChatPortkey;"
        "ChatPortkey(model='@a/gpt-4o', api_key='k'); sys.exit('genai_prices' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)

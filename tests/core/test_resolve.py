from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import SecretStr

from portkey_router.errors import UnknownModelError
from portkey_router.providers import PROVIDERS, ModelRule
from portkey_router.settings import HOSTED_GATEWAY_URL, Settings, load_settings
from portkey_router.targets import Target

OWN = "http://localhost:8787/v1"


def settings_with(*providers: str, url: str = HOSTED_GATEWAY_URL, **fields: Any) -> Settings:
    """Settings with a key `vk-<provider>` for each."""
    return Settings(base_url=url, virtual_keys={name: SecretStr(f"vk-{name}") for name in providers}, **fields)


def key_of(target: Target) -> str | None:
    """The virtual key of a target, in clear."""
    assert target.virtual_key is None or isinstance(target.virtual_key, SecretStr)
    return target.virtual_key.get_secret_value() if target.virtual_key else None


MODELS = {
    "openai": "gpt-4o",
    "anthropic": "claude-3-opus",
    "mistral": "mistral-large",
    "huggingface": "hf/org/repo",
    "cohere": "command-r",
    "openrouter": "meta-llama/llama-3",
    "perplexity": "sonar",
    "deepseek": "deepseek-chat",
    "codestral": "codestral-latest",
    "cody": "cody/any",
    "continue": "continue/any",
    "grok": "grok-4",
    "google": "gemini-2.5-pro",
    "azure": "gpt-35-turbo",
    "aws": "anthropic.claude-v2",
}


@pytest.mark.parametrize("provider", [provider.name for provider in PROVIDERS])
def test_each_variable_pays_for_its_models(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All fifteen PORTKEY_VIRTUAL_KEY_* are found by a model's name alone, among all the others."""
    for known in PROVIDERS:
        monkeypatch.setenv(f"PORTKEY_VIRTUAL_KEY_{known.name.upper()}", f"vk-{known.name}")
    resolved = load_settings().resolve(Target(MODELS[provider]))
    assert key_of(resolved) == f"vk-{provider}"
    assert resolved.label == MODELS[provider]


def test_the_next_best_key_pays() -> None:
    """Without its own key a codestral model takes Mistral's, a provider's model OpenRouter's under its whole name."""
    assert key_of(settings_with("mistral").resolve(Target("codestral-latest"))) == "vk-mistral"
    rerouted = settings_with("openrouter").resolve(Target("anthropic/claude-3"))
    assert (key_of(rerouted), rerouted.model, rerouted.provider) == (
        "vk-openrouter",
        "anthropic/claude-3",
        "openrouter",
    )
    direct = settings_with("openrouter", "anthropic").resolve(Target("anthropic/claude-3"))
    assert (key_of(direct), direct.model) == ("vk-anthropic", "claude-3")
    assert key_of(settings_with("huggingface").resolve(Target("org/repo"))) == "vk-huggingface"


@pytest.mark.parametrize(
    "target",
    [
        Target("gpt-4o", virtual_key="mine"),
        Target("gpt-4o", virtual_key="mine", provider="anthropic"),
        Target("@openai-prod/gpt-4o"),
        Target("gpt-4o", provider="@openai-prod"),
        Target("gpt-4o", provider="openai", api_key="sk-own"),
        Target("m", provider="openai", custom_host="http://127.0.0.1:1/v1"),
        Target(),
    ],
)
def test_what_is_explicit_stays(target: Target) -> None:
    """A virtual key, a slug or a provider's own key is not touched, whatever the environment holds."""
    assert settings_with("openai", "anthropic").resolve(target) == target


def test_a_slug_needs_no_key() -> None:
    """A Model Catalog slug is resolved by Portkey: no key of ours is asked for."""
    assert Settings().resolve(Target("@openai-prod/gpt-4o")) == Target("@openai-prod/gpt-4o")


def test_a_raw_key_finds_its_provider() -> None:
    """A provider's own key goes to the provider that the model's name means; one that means none is refused."""
    resolved = Settings().resolve(Target("claude-3", api_key="sk-own"))
    assert (resolved.provider, resolved.model, key_of(resolved)) == ("anthropic", "claude-3", None)
    assert Settings().resolve(Target("xai/grok-4", api_key="x")).provider == "x-ai"
    with pytest.raises(UnknownModelError, match="provider="):
        Settings().resolve(Target("my-model", api_key="sk-own"))


def test_a_named_provider_takes_its_key() -> None:
    """`provider=` chooses the key whatever the model is called, under any of its spellings."""
    settings = settings_with("aws", "azure", "grok", "together_ai")
    for provider, key in [
        ("bedrock", "vk-aws"),
        ("azure-openai", "vk-azure"),
        ("AZURE", "vk-azure"),
        ("x_ai", "vk-grok"),
        ("together-ai", "vk-together_ai"),
    ]:
        resolved = settings.resolve(Target("my-model", provider=provider))
        assert (key_of(resolved), resolved.model) == (key, "my-model")


def test_a_gateway_of_ones_own_may_need_no_key() -> None:
    """A provider without a key is refused by the hosted gateway only."""
    target = Target("my-model", provider="ollama")
    assert settings_with(url=OWN).resolve(target) == target
    with pytest.raises(UnknownModelError, match="PORTKEY_VIRTUAL_KEY_OLLAMA"):
        settings_with().resolve(target)


def test_default_headers_that_route_need_no_key() -> None:
    """A key or provider of the default headers serves a model that no other key fits, and no model that one does."""
    by_key = Settings(route={"x-portkey-virtual-key": "vk-h"}, virtual_keys={"openai": SecretStr("vk-openai")})
    assert by_key.resolve(Target("my-model")) == Target("my-model", virtual_key="vk-h")
    assert by_key.resolve(Target("gpt-4o")).virtual_key == SecretStr("vk-openai")
    by_provider = Settings(route={"x-portkey-provider": "openai"}).resolve(Target("my-model"))
    assert (by_provider.model, by_provider.provider) == ("my-model", "openai")


@pytest.mark.parametrize(
    ("model", "variables"),
    [
        ("gpt-4o", ["PORTKEY_VIRTUAL_KEY_OPENAI"]),
        ("codestral-latest", ["PORTKEY_VIRTUAL_KEY_CODESTRAL", "PORTKEY_VIRTUAL_KEY_MISTRAL"]),
        ("xai/grok-4", ["PORTKEY_VIRTUAL_KEY_GROK", "PORTKEY_VIRTUAL_KEY_OPENROUTER"]),
        ("my-model", []),
    ],
)
def test_an_unpaid_model_names_what_to_set(model: str, variables: list[str]) -> None:
    """The error names the model and every variable that would pay for it, or the other ways to name it."""
    with pytest.raises(UnknownModelError) as caught:
        settings_with("cohere").resolve(Target(model))
    assert repr(model) in str(caught.value)
    assert re.findall(r"PORTKEY_VIRTUAL_KEY_\w+", str(caught.value)) == variables
    assert "virtual_key=" in str(caught.value)
    if not variables:
        assert "ModelRule" in str(caught.value)


def test_users_keys_and_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """`virtual_keys=` wins over the environment, in any spelling, and a ModelRule leads a new name to its provider."""
    monkeypatch.setenv("PORTKEY_VIRTUAL_KEY_AWS", "from-environment")
    monkeypatch.setenv("PORTKEY_VIRTUAL_KEY_ACME", "vk-acme")
    settings = load_settings(virtual_keys={"Bedrock": "given"}, model_rules=[ModelRule("roadrunner-*", "acme")])
    assert key_of(settings.resolve(Target("anthropic.claude-v2"))) == "given"
    assert key_of(settings.resolve(Target("roadrunner-1"))) == "vk-acme"
    prefixed = settings.resolve(Target("acme/roadrunner"))
    assert (key_of(prefixed), prefixed.model) == ("vk-acme", "roadrunner")


def test_the_documented_variable_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable under another spelling of the provider counts, unless the guide's own is set as well."""
    monkeypatch.setenv("PORTKEY_VIRTUAL_KEY_GEMINI", "vk-gemini")
    assert key_of(load_settings().resolve(Target("gemini-2"))) == "vk-gemini"
    monkeypatch.setenv("PORTKEY_VIRTUAL_KEY_GOOGLE", "vk-google")
    assert key_of(load_settings().resolve(Target("gemini-2"))) == "vk-google"

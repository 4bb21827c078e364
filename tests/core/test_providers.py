from __future__ import annotations

import pytest

from portkey_router.providers import (
    MODEL_RULES,
    PROVIDERS,
    ModelRule,
    portkey_provider,
    providers_of,
    variable_of,
)

VARIABLES = {
    "openai",
    "anthropic",
    "mistral",
    "huggingface",
    "cohere",
    "openrouter",
    "perplexity",
    "deepseek",
    "codestral",
    "cody",
    "continue",
    "grok",
    "google",
    "azure",
    "aws",
}


def served(model: str, *rules: ModelRule, extra: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """Who could serve a model, under which name."""
    return [(match.provider, match.model) for match in providers_of(model, rules, extra)]


def test_every_documented_variable_has_a_provider() -> None:
    """The fifteen PORTKEY_VIRTUAL_KEY_* variables each belong to one provider."""
    assert len(PROVIDERS) == 15
    assert {provider.name for provider in PROVIDERS} == VARIABLES
    assert {variable_of(name) for name in VARIABLES} == {f"PORTKEY_VIRTUAL_KEY_{name.upper()}" for name in VARIABLES}


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-4", "openai"),
        ("gpt-4o", "openai"),
        ("GPT-4o-mini", "openai"),
        ("chatgpt-4o-latest", "openai"),
        ("o1", "openai"),
        ("o3", "openai"),
        ("o4-mini", "openai"),
        ("ft:gpt-4o-mini:acme::abc", "openai"),
        ("text-embedding-3-small", "openai"),
        ("claude-3-opus", "anthropic"),
        ("claude-sonnet-4-5", "anthropic"),
        ("codestral-latest", "codestral"),
        ("mistral-large-latest", "mistral"),
        ("open-mixtral-8x22b", "mistral"),
        ("gemini-2.5-pro", "google"),
        ("text-embedding-004", "google"),
        ("text-multilingual-embedding-002", "google"),
        ("embedding-001", "google"),
        ("gemini-embedding-001", "google"),
        ("mistral-embed", "mistral"),
        ("codestral-embed", "codestral"),
        ("embed-v4.0", "cohere"),
        ("amazon.titan-embed-text-v2:0", "aws"),
        ("grok-4", "grok"),
        ("sonar-pro", "perplexity"),
        ("deepseek-chat", "deepseek"),
        ("command-r-plus", "cohere"),
        ("gpt-35-turbo", "azure"),
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", "aws"),
        ("eu.amazon.nova-pro-v1:0", "aws"),
        ("us.meta.llama3-3-70b-instruct-v1:0", "aws"),
        ("mistral.mistral-large-2407-v1:0", "aws"),
        ("arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-v1", "aws"),
        ("arn:aws-us-gov:bedrock:us-gov-west-1:1:provisioned-model/abc", "aws"),
    ],
)
def test_a_model_name_finds_its_provider(model: str, provider: str) -> None:
    """The table sends each known name to the provider that serves it, name unchanged."""
    assert served(model)[0] == (provider, model)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("openai/gpt-4o", ("openai", "gpt-4o")),
        ("azure/my-deployment", ("azure", "my-deployment")),
        ("azure_openai/my-deployment", ("azure", "my-deployment")),
        ("bedrock/anthropic.claude-v2", ("aws", "anthropic.claude-v2")),
        ("gemini/gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        ("xai/grok-4", ("grok", "grok-4")),
        ("mistralai/mistral-small", ("mistral", "mistral-small")),
        ("codestral/codestral-latest", ("codestral", "codestral-latest")),
        ("openrouter/meta-llama/llama-3-70b", ("openrouter", "meta-llama/llama-3-70b")),
        ("hf/org/repo", ("huggingface", "org/repo")),
        ("meta-llama/llama-3-70b", ("openrouter", "meta-llama/llama-3-70b")),
    ],
)
def test_a_prefix_names_the_provider(model: str, expected: tuple[str, str]) -> None:
    """`provider/model` is the provider's, without the prefix; other names with a slash are OpenRouter ids, whole."""
    assert served(model)[0] == expected


def test_second_choices() -> None:
    """A codestral model may be paid by the Mistral key, a provider's model by OpenRouter, a repository by HF."""
    assert served("codestral-latest") == [("codestral", "codestral-latest"), ("mistral", "codestral-latest")]
    assert served("openai/gpt-4o") == [("openai", "gpt-4o"), ("openrouter", "openai/gpt-4o")]
    assert served("openrouter/auto") == [("openrouter", "auto")]
    assert served("org/repo") == [("openrouter", "org/repo"), ("huggingface", "org/repo")]


@pytest.mark.parametrize("model", ["llama-3", "my-model", "o10", "o", "xgpt-4", "openai.gpt", ""])
def test_unknown_names_have_no_provider(model: str) -> None:
    """A name the table does not know is not guessed at."""
    assert served(model) == ([("aws", model)] if model == "openai.gpt" else [])


def test_a_users_rule_comes_first() -> None:
    """A user's rule wins over the table, over a prefix too, and its second choices follow."""
    rule = ModelRule("gpt-*", "azure", ("openai",))
    assert served("gpt-4o", rule) == [("azure", "gpt-4o"), ("openai", "gpt-4o")]
    assert served("acme/x", ModelRule("acme/*", "cohere")) == [("cohere", "acme/x")]
    assert served("ACME-1", ModelRule("acme-*", "cohere")) == [("cohere", "ACME-1")]


@pytest.mark.parametrize("model", ["together-ai/llama", "together_ai/llama", "Together-AI/llama"])
def test_a_further_provider_is_known_by_its_key(model: str) -> None:
    """PORTKEY_VIRTUAL_KEY_TOGETHER_AI makes `together-ai/...` a known prefix: a variable cannot hold a hyphen."""
    assert served(model, extra=("together_ai",))[0] == ("together_ai", "llama")
    assert served(model)[0] == ("openrouter", model)


@pytest.mark.parametrize(
    ("name", "portkey"),
    [
        ("aws", "bedrock"),
        ("azure", "azure-openai"),
        ("grok", "x-ai"),
        ("X_AI", "x-ai"),
        ("mistral", "mistral-ai"),
        ("codestral", "mistral-ai"),
        ("perplexity", "perplexity-ai"),
        ("openai", "openai"),
        ("together-ai", "together-ai"),
        ("@openai-prod", "@openai-prod"),
    ],
)
def test_providers_go_by_portkeys_names_on_the_wire(name: str, portkey: str) -> None:
    """Our names become the gateway's ids; unknown ones and slugs are left alone."""
    assert portkey_provider(name) == portkey


@pytest.mark.parametrize(
    ("provider", "variable"),
    [
        ("x-ai", "PORTKEY_VIRTUAL_KEY_GROK"),
        ("bedrock", "PORTKEY_VIRTUAL_KEY_AWS"),
        ("mistral-ai", "PORTKEY_VIRTUAL_KEY_MISTRAL"),
        ("together-ai", "PORTKEY_VIRTUAL_KEY_TOGETHER_AI"),
    ],
)
def test_the_variable_named_is_the_documented_one(provider: str, variable: str) -> None:
    """Whatever a provider is called, the advice names the variable of the guide."""
    assert variable_of(provider) == variable


def test_every_rule_names_a_known_provider() -> None:
    """No rule of the table points to a provider without a variable."""
    assert {name for rule in MODEL_RULES for name in (rule.provider, *rule.otherwise)} <= VARIABLES

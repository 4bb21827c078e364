"""Which provider serves a model name, and which environment variable holds its virtual key.

The table is data: a model's name is matched against each provider's patterns (shell style, case ignored), in the
order of the table, so the more special rule stands first. Users put their own `ModelRule`s before it
(`PortkeyRouter(model_rules=[ModelRule("acme-*", "openai")])`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "MODEL_RULES",
    "PROVIDERS",
    "ModelRule",
    "Provider",
    "portkey_provider",
    "provider_name",
    "providers_of",
    "variable_of",
]

VARIABLE_PREFIX = "PORTKEY_VIRTUAL_KEY_"


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider by the name this project uses (`aws`), and by Portkey's own (`bedrock`), which goes on the wire.

    `aliases` are other spellings that `provider/model` may use for it.
    """

    name: str
    portkey: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelRule:
    """Models whose name matches `pattern` belong to `provider`, or where it has no key to one of `otherwise`."""

    pattern: str
    provider: str
    otherwise: tuple[str, ...] = ()


# The providers that have a PORTKEY_VIRTUAL_KEY_* variable, with the provider ids of the Portkey gateway 1.15.2.
PROVIDERS: tuple[Provider, ...] = (
    Provider("openai", "openai"),
    Provider("anthropic", "anthropic"),
    Provider("mistral", "mistral-ai", ("mistral-ai", "mistralai")),
    Provider("huggingface", "huggingface", ("hf",)),
    Provider("cohere", "cohere"),
    Provider("openrouter", "openrouter"),
    Provider("perplexity", "perplexity-ai", ("perplexity-ai",)),
    Provider("deepseek", "deepseek", ("deepseek-ai",)),
    Provider("codestral", "mistral-ai"),
    Provider("cody", "cody"),
    Provider("continue", "continue"),
    Provider("grok", "x-ai", ("x-ai", "xai")),
    Provider("google", "google", ("gemini", "google-ai")),
    Provider("azure", "azure-openai", ("azure-openai",)),
    Provider("aws", "bedrock", ("bedrock", "amazon-bedrock")),
)

_BEDROCK_VENDORS = (
    "ai21",
    "amazon",
    "anthropic",
    "cohere",
    "deepseek",
    "meta",
    "mistral",
    "openai",
    "qwen",
    "stability",
)
_BEDROCK_REGIONS = ("", "us.", "eu.", "apac.", "us-gov.", "global.", "jp.", "au.")

MODEL_RULES: tuple[ModelRule, ...] = (
    # Bedrock: `anthropic.claude-...-v1:0`, regional `eu.amazon.nova-...`, and ARNs. No other provider has dots there.
    ModelRule("arn:aws*:bedrock:*", "aws"),
    *(ModelRule(f"{region}{vendor}.*", "aws") for vendor in _BEDROCK_VENDORS for region in _BEDROCK_REGIONS),
    # Azure OpenAI writes gpt-3.5 without the dot; its other deployments are named by their owner: `azure/<name>`.
    ModelRule("gpt-35-*", "azure"),
    ModelRule("codestral*", "codestral", ("mistral",)),
    ModelRule("gpt-*", "openai"),
    ModelRule("chatgpt-*", "openai"),
    ModelRule("codex-*", "openai"),
    ModelRule("o[1-9]", "openai"),
    ModelRule("o[1-9]-*", "openai"),
    ModelRule("ft:*", "openai"),
    ModelRule("text-embedding-3-*", "openai"),
    ModelRule("text-embedding-ada-*", "openai"),
    ModelRule("text-embedding-00?", "google"),
    ModelRule("text-multilingual-embedding-*", "google"),
    ModelRule("embedding-001", "google"),
    ModelRule("davinci-*", "openai"),
    ModelRule("babbage-*", "openai"),
    ModelRule("claude*", "anthropic"),
    ModelRule("gemini*", "google"),
    ModelRule("gemma*", "google"),
    ModelRule("learnlm*", "google"),
    ModelRule("grok*", "grok"),
    ModelRule("sonar*", "perplexity"),
    ModelRule("deepseek*", "deepseek"),
    ModelRule("command*", "cohere"),
    ModelRule("c4ai-*", "cohere"),
    ModelRule("embed-*", "cohere"),
    ModelRule("mistral*", "mistral"),
    ModelRule("ministral*", "mistral"),
    ModelRule("magistral*", "mistral"),
    ModelRule("devstral*", "mistral"),
    ModelRule("mixtral*", "mistral"),
    ModelRule("open-mistral*", "mistral"),
    ModelRule("open-mixtral*", "mistral"),
    ModelRule("pixtral*", "mistral"),
    ModelRule("voxtral*", "mistral"),
)

_BY_SPELLING = {spelling: p for p in PROVIDERS for spelling in (p.name, *p.aliases)}


@dataclass(frozen=True, slots=True)
class Match:
    """A provider that could serve a model, and the model's name as that provider knows it."""

    provider: str
    model: str


@lru_cache(maxsize=1024)
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern.lower()))


def _rule_for(model: str, rules: Iterable[ModelRule]) -> ModelRule | None:
    lowered = model.lower()
    return next((rule for rule in rules if _pattern(rule.pattern).match(lowered)), None)


@lru_cache(maxsize=1024)
def _rule_in_table(model: str) -> ModelRule | None:
    return _rule_for(model, MODEL_RULES)


def providers_of(model: str, rules: Sequence[ModelRule] = (), extra: Iterable[str] = ()) -> tuple[Match, ...]:
    """The providers that could serve `model`, the best first; empty where the table knows none.

    `rules` are the user's, tried before the table; `extra` are names of further providers (those with a
    `PORTKEY_VIRTUAL_KEY_<NAME>` that the table lacks). `provider/model` is the named provider's, without the prefix;
    any other name with a slash is an OpenRouter id, kept whole, or else a Hugging Face repository.
    """
    rule = _rule_for(model, rules)
    if rule is None and "/" in model and not model.startswith("arn:"):
        prefix, rest = model.split("/", 1)
        name: str | None = provider_name(prefix)
        if name not in _BY_SPELLING and name not in set(extra):
            name = None
        rerouted = (Match("openrouter", model),) if name != "openrouter" else ()
        if name is not None:
            return Match(name, rest), *rerouted
        return *rerouted, Match("huggingface", model)
    rule = rule or _rule_in_table(model)
    if rule is None:
        return ()
    return tuple(Match(name, model) for name in (rule.provider, *rule.otherwise))


def provider_name(spelling: str) -> str:
    """This project's name of a provider, however it is spelled (`X-AI` -> `grok`).

    One that the table lacks is spelled as its variable allows: `together-ai` -> `together_ai`.
    """
    known = _BY_SPELLING.get(spelling.lower().replace("_", "-"))
    return known.name if known else spelling.lower().replace("-", "_")


def portkey_provider(name: str) -> str:
    """The provider id that Portkey's gateway uses for `name` (`aws` -> `bedrock`); unknown names and slugs as given."""
    known = _BY_SPELLING.get(name.lower().replace("_", "-"))
    return known.portkey if known else name


def variable_of(provider: str) -> str:
    """The environment variable with the provider's virtual key: `openai` -> `PORTKEY_VIRTUAL_KEY_OPENAI`."""
    return VARIABLE_PREFIX + provider_name(provider).upper()

"""What the environment says, and which key a model takes.

Arguments win over the environment, the environment over a `.env` file in the working directory. Nothing here touches
the network. A malformed value is named by its variable and never echoed: it may be a key pasted into the wrong line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, cast, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError

from portkey_router.errors import ConfigurationError, MissingCredentialError, NotEnabledError, UnknownModelError
from portkey_router.providers import (
    VARIABLE_PREFIX,
    ModelRule,
    portkey_provider,
    provider_name,
    providers_of,
    variable_of,
)
from portkey_router.secrets import redact
from portkey_router.targets import CostAware, Fallback, LoadBalance, Single, Strategy, Target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["HOSTED_GATEWAY_URL", "Settings", "load_settings", "read_environment", "usable_url"]

HOSTED_GATEWAY_URL = "https://api.portkey.ai/v1"
_ROUTING_HEADERS = ("x-portkey-config", "x-portkey-provider", "x-portkey-virtual-key")
_CONFIG_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_FALLBACKS_EXAMPLE = '[{"provider": "openai", "model": "gpt-4o", "virtual_key": "..."}]'

StrategyName = Literal["single", "fallback", "loadbalance", "cost_aware"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the gateway is, and what pays: read once, then handed around.

    `bearer` is what the Authorization header carries, `headers` what every request carries beside our own. `route` are
    those of the default headers that choose a config, a virtual key or a provider: they serve the calls that choose
    nothing else.
    `more_urls` are further gateways of the same account, in order, for when this one fails itself.
    `virtual_keys` maps provider names (`openai`) to keys. `config` and `strategy` are the environment's choice and
    give way to explicit arguments, and so does the cache: `cache_url` is None where the environment turns none on.
    """

    api_key: SecretStr | None = None
    base_url: str = HOSTED_GATEWAY_URL
    bearer: SecretStr | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    route: Mapping[str, str] = field(default_factory=dict, repr=False)
    virtual_keys: Mapping[str, SecretStr] = field(default_factory=dict, repr=False)
    config: str | None = None
    strategy: StrategyName | None = None
    fallbacks: tuple[Target, ...] = ()
    preferred_provider: str | None = None
    model_rules: tuple[ModelRule, ...] = ()
    more_urls: tuple[str, ...] = ()
    cache_url: str | None = field(default=None, repr=False)
    cache_embeddings: str | None = None

    @property
    def hosted(self) -> bool:
        """Whether the gateway is Portkey's own, which needs a Portkey API key."""
        host = urlsplit(self.base_url).hostname or ""
        return host == "portkey.ai" or host.endswith(".portkey.ai")

    @property
    def enabled(self) -> bool:
        """Whether the environment leaves Portkey on: `PREFERRED_LLM_PROVIDER` is `portkey`, or not set."""
        return self.preferred_provider in {None, "portkey"}

    @property
    def routed_by_headers(self) -> bool:
        """Whether the default headers already say which key or config is used."""
        return bool(self.route)

    def check_enabled(self) -> None:
        """Raise `NotEnabledError` where the environment prefers another provider."""
        if not self.enabled:
            msg = "PREFERRED_LLM_PROVIDER names another provider; set it to 'portkey', or unset it, to use Portkey."
            raise NotEnabledError(msg)

    def check_access(self) -> None:
        """Raise `MissingCredentialError` where the hosted gateway would be called without a Portkey API key."""
        if self.hosted and self.api_key is None and "x-portkey-api-key" not in self.headers:
            msg = (
                "The hosted Portkey gateway needs an API key: set PORTKEY_API_KEY or pass api_key=. "
                "For a gateway of your own set PORTKEY_GATEWAY_URL, for example http://localhost:8787/v1."
            )
            raise MissingCredentialError(msg)

    def default_strategy(self, model: str | None) -> Strategy | None:
        """The strategy that `PORTKEY_STRATEGY` and `PORTKEY_FALLBACKS` ask for, `model` first where one is given.

        None where they ask for nothing. `single` takes the model given, else the first of the fallbacks.
        """
        first: tuple[Target, ...] = (Target(model),) if model else ()
        rest = tuple(t for t in self.fallbacks if model is None or t.model != model)
        if model is not None:
            # The list may hold this model's key: that entry is the model's target, not a bare name.
            first = tuple(t for t in self.fallbacks if t.model == model)[:1] or first
        targets = (*first, *rest)
        if self.strategy is None or not self.fallbacks:
            return None if model or not targets else Single(targets[0])
        if self.strategy == "single":
            return Single(targets[0])
        if self.strategy == "cost_aware":
            return CostAware(*targets)
        return Fallback(*targets) if self.strategy == "fallback" else LoadBalance(*targets)

    def resolve(self, target: Target) -> Target:
        """The target with the key that pays for it, and with the model's name as its provider knows it.

        What is explicit stays. Raises `UnknownModelError` where no key fits, naming the variable to set.
        """
        if target.slug or target.virtual_key is not None or (target.model is None and target.provider is None):
            return target
        matches = providers_of(target.model, self.model_rules, self.virtual_keys) if target.model else ()
        if target.api_key is not None or target.custom_host is not None:
            if target.provider is None and not matches:
                raise UnknownModelError(_unknown(target.model, why="give its Target a provider= as well"))
            return target if target.provider else _as_match(target, matches[0].provider, matches[0].model)
        if target.provider is not None:
            return self._resolve_provider(target, provider_name(target.provider))
        for match in matches:
            key = self.virtual_keys.get(match.provider)
            if key is not None:
                return replace(_as_match(target, match.provider, match.model), virtual_key=key)
        if "x-portkey-virtual-key" in self.route:
            return replace(target, virtual_key=self.route["x-portkey-virtual-key"])
        if "x-portkey-provider" in self.route:
            return replace(target, provider=self.route["x-portkey-provider"], name=target.name or target.model)
        raise UnknownModelError(_no_key(target.model, [match.provider for match in matches]))

    def _resolve_provider(self, target: Target, provider: str) -> Target:
        names = [name for name in self.virtual_keys if portkey_provider(name) == portkey_provider(provider)]
        key = self.virtual_keys.get(provider) or (self.virtual_keys[names[0]] if names else None)
        if key is not None:
            return replace(target, virtual_key=key)
        if not self.hosted:
            return target  # a gateway of one's own may hold the provider's key itself, or need none
        raise UnknownModelError(_no_key(target.model, [provider]))


def _as_match(target: Target, provider: str, model: str) -> Target:
    return replace(target, model=model, provider=portkey_provider(provider), name=target.name or target.model)


def _unknown(model: str | None, why: str) -> str:
    return f"No rule says which provider serves {model!r}: {why}."


def _no_key(model: str | None, providers: Sequence[str]) -> str:
    if not providers:
        return _unknown(
            model,
            "name it as 'provider/model' (for example 'openai/gpt-4o'), use a Model Catalog slug "
            "('@openai-prod/gpt-4o'), pass virtual_key=, or add a ModelRule",
        )
    variables = " or ".join(variable_of(provider) for provider in providers)
    return (
        f"No key fits the model {model!r}: set {variables}, pass virtual_key=, or use a Model Catalog slug "
        f"('@my-{providers[0]}/{model}'). An open-source gateway takes the provider's own key: "
        f"Target({model!r}, provider={portkey_provider(providers[0])!r}, api_key=...)."
    )


class _FallbackEntry(BaseModel):
    """One entry of `PORTKEY_FALLBACKS`."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    provider: str | None = None
    model: str
    api_key: SecretStr | None = None
    virtual_key: SecretStr | None = None
    weight: float = Field(default=1, ge=0, allow_inf_nan=False)


def read_environment(env_file: str | None = ".env") -> dict[str, str]:
    """Every variable of the environment and of `env_file`, the environment winning; names in lower case."""
    from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource  # noqa: PLC0415  (import cost)

    try:
        dotenv = DotEnvSettingsSource(BaseSettings, env_file=env_file).env_vars if env_file else {}
    except UnicodeDecodeError:
        # Its message quotes the bytes around, which may be a key's: none of it is kept.
        dotenv = None
    if dotenv is None:
        msg = f"{env_file} is not UTF-8 text: save it as UTF-8, or pass env_file=None."
        raise ConfigurationError(msg)
    merged = {**dotenv, **EnvSettingsSource(BaseSettings, case_sensitive=False).env_vars}
    return {name.lower(): value.strip() for name, value in merged.items() if value and value.strip()}


def load_settings(
    *,
    api_key: str | SecretStr | None = None,
    base_url: str | Sequence[str] | None = None,
    default_headers: Mapping[str, str] | None = None,
    virtual_keys: Mapping[str, str | SecretStr] | None = None,
    model_rules: Sequence[ModelRule] = (),
    env_file: str | None = ".env",
) -> Settings:
    """Settings from arguments, environment and `.env`, in that order.

    `base_url` is the gateway's, or a list: the next is used where one cannot be reached, or fails itself.
    `default_headers` are Portkey's as `portkey_ai.createHeaders` makes them. Where they hold `x-portkey-api-key`,
    `api_key` is the Authorization bearer, as Portkey documents it for OpenAI-compatible clients; likewise where they
    name a provider for a gateway that is not Portkey's own. Raises `ConfigurationError` naming the variable.
    """
    env = read_environment(env_file)
    headers = {name.lower(): str(value) for name, value in (default_headers or {}).items()}
    url, *more_urls = _urls(base_url, env)
    key = _secret(api_key)
    route = {name: headers.pop(name) for name in _ROUTING_HEADERS if name in headers}
    draft = Settings(base_url=url, headers=headers, route=route)
    bearer = None
    if "x-portkey-api-key" in headers:
        key, bearer = SecretStr(headers.pop("x-portkey-api-key")), key
    elif not draft.hosted and "x-portkey-provider" in route and "authorization" not in headers:
        key, bearer = None, key
    keys = {name: SecretStr(value) for name, value in _virtual_keys(env).items()}
    keys |= {provider_name(name): secret for name, value in (virtual_keys or {}).items() if (secret := _secret(value))}
    return replace(
        draft,
        api_key=key or (SecretStr(env["portkey_api_key"]) if "portkey_api_key" in env else None),
        bearer=bearer,
        virtual_keys=keys,
        config=_config_id(env.get("portkey_config_id")),
        strategy=_strategy(env.get("portkey_strategy")),
        fallbacks=_fallbacks(env.get("portkey_fallbacks")),
        preferred_provider=env["preferred_llm_provider"].lower() if "preferred_llm_provider" in env else None,
        model_rules=tuple(model_rules),
        more_urls=tuple(more_urls),
        cache_url=env.get("portkey_cache_url", "memory://") if _switch("PORTKEY_CACHE_ENABLED", env) else None,
        cache_embeddings=env.get("portkey_cache_embeddings"),
    )


_ON, _OFF = frozenset({"1", "on", "true", "yes"}), frozenset({"0", "false", "no", "off"})


def _switch(variable: str, env: Mapping[str, str]) -> bool:
    """Whether a variable says yes; not set, it says no."""
    value = env.get(variable.lower(), "false").lower()
    if value not in _ON | _OFF:
        raise ConfigurationError(f"{variable} is a switch: expected true or false (also 1, 0, yes, no, on, off).")
    return value in _ON


def _config_id(value: str | None) -> str | None:
    if value is not None and (redact(value) != value or not _CONFIG_ID.fullmatch(value)):
        msg = "PORTKEY_CONFIG_ID is not the id of a saved config: expected something like pc-my-config-1a2b3c."
        raise ConfigurationError(msg)
    return value


def _secret(value: str | SecretStr | None) -> SecretStr | None:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    return SecretStr(text.strip()) if text and text.strip() else None


def _virtual_keys(env: Mapping[str, str]) -> dict[str, str]:
    prefix = VARIABLE_PREFIX.lower()
    found = {name.removeprefix(prefix): value for name, value in env.items() if name.startswith(prefix)}
    # The documented spelling wins over another of the same provider (GOOGLE over GEMINI).
    spelled = sorted(found, key=lambda name: provider_name(name) == name)
    return {provider_name(name): found[name] for name in spelled if name}


def _urls(given: str | Sequence[str] | None, env: Mapping[str, str]) -> list[str]:
    """The gateways, each once; in the environment a list is separated by commas."""
    named: dict[str, str | Sequence[str] | None] = {
        "base_url": given,
        "PORTKEY_GATEWAY_URL": env.get("portkey_gateway_url"),
        "PORTKEY_BASE_URL": env.get("portkey_base_url"),
    }
    source, urls = next(((name, value) for name, value in named.items() if value), ("", HOSTED_GATEWAY_URL))
    listed = urls.split(",") if isinstance(urls, str) else urls
    return list(dict.fromkeys(usable_url(source, url) for url in listed))


def usable_url(source: str, url: str) -> str:
    """The URL with the `/v1` that it may lack. Raises `ConfigurationError` naming its `source`."""
    path = _path(url.strip())
    if path is None:
        msg = f"{source} is not a URL: expected something like {HOSTED_GATEWAY_URL} or http://localhost:8787/v1."
        raise ConfigurationError(msg)
    for endpoint in ("/chat/completions", "/completions", "/embeddings"):
        if path.rstrip("/").endswith(endpoint):
            msg = f"{source} is the gateway's base URL, such as http://localhost:8787/v1: leave out {endpoint}."
            raise ConfigurationError(msg)
    return url.strip().rstrip("/") + ("" if path.strip("/") else "/v1")


def _path(url: str) -> str | None:
    """The path of an HTTP URL; None where it is none. `urlsplit`'s own errors quote the value."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bracket never closed, a port that is no number
        return None
    return parts.path if usable else None


def _strategy(value: str | None) -> StrategyName | None:
    if value is None:
        return None
    for name in get_args(StrategyName):
        if value.lower().replace("-", "_") == name:
            return cast("StrategyName", name)
    msg = f"PORTKEY_STRATEGY is not a strategy: expected one of {', '.join(get_args(StrategyName))}."
    raise ConfigurationError(msg)


def _fallbacks(value: str | None) -> tuple[Target, ...]:
    if value is None:
        return ()
    entries, wrong = _entries(value)
    if any(entry.api_key is not None and entry.provider is None for entry in entries):
        wrong = ": an api_key needs its provider"
    if wrong:
        msg = f"PORTKEY_FALLBACKS{wrong}; expected a JSON list such as {_FALLBACKS_EXAMPLE}."
        raise ConfigurationError(msg)  # here, where pydantic's error, which quotes the value, is not its context
    return tuple(Target(**entry.model_dump(exclude_none=True)) for entry in entries)


def _entries(value: str) -> tuple[list[_FallbackEntry], str]:
    """The entries, or what is wrong with them, without a word of the value."""
    try:
        return TypeAdapter(list[_FallbackEntry]).validate_json(value), ""
    except ValidationError as error:
        first: Any = error.errors(include_input=False, include_url=False, include_context=False)[0]
    # A key pasted as a field's name would be in `loc`: positions are kept, names are not.
    where = "".join(f" in entry {part}" for part in first["loc"] if isinstance(part, int))
    return [], f"{where}: {'not valid JSON' if first['type'] == 'json_invalid' else first['msg'].lower()}"

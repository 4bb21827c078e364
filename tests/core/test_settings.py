from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from portkey_router.errors import ConfigurationError, MissingCredentialError, NotEnabledError
from portkey_router.settings import HOSTED_GATEWAY_URL, Settings, load_settings, read_environment
from portkey_router.targets import CostAware, Fallback, LoadBalance, Single, Target
from tests.core.leaks import assert_no_trace

if TYPE_CHECKING:
    from pydantic import SecretStr

KEY = "sk-planted-0123456789abcdef"


def environment(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    """Set variables."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def revealed(secret: SecretStr | None) -> str | None:
    """A secret's value."""
    return None if secret is None else secret.get_secret_value()


def test_argument_over_environment_over_env_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument wins over a variable, and that over the same name in `.env`."""
    Path(".env").write_text("PORTKEY_API_KEY=from-file\nPORTKEY_GATEWAY_URL=http://file:1/v1\n")
    assert revealed(load_settings().api_key) == "from-file"
    environment(monkeypatch, PORTKEY_API_KEY="from-environment")
    assert revealed(load_settings().api_key) == "from-environment"
    assert load_settings().base_url == "http://file:1/v1"
    given = load_settings(api_key="given", base_url="http://given:1/v1")
    assert (revealed(given.api_key), given.base_url) == ("given", "http://given:1/v1")
    assert load_settings(env_file=None).base_url == HOSTED_GATEWAY_URL


def test_every_variable_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each documented variable ends up in the settings; blanks around a value are dropped, blank ones not set."""
    environment(
        monkeypatch,
        PORTKEY_API_KEY="  pk  ",
        PORTKEY_CONFIG_ID="pc-1",
        PORTKEY_STRATEGY="LoadBalance",
        PORTKEY_FALLBACKS='[{"provider": "openai", "model": "gpt-4-turbo", "api_key": "k1", "weight": 2}]',
        PREFERRED_LLM_PROVIDER="Portkey",
        PORTKEY_VIRTUAL_KEY_OPENAI="vk-1",
        PORTKEY_VIRTUAL_KEY_COHERE="  ",
    )
    settings = load_settings()
    assert revealed(settings.api_key) == "pk"
    assert (settings.config, settings.strategy, settings.preferred_provider) == ("pc-1", "loadbalance", "portkey")
    assert settings.fallbacks == (Target("gpt-4-turbo", provider="openai", api_key="k1", weight=2),)
    assert set(settings.virtual_keys) == {"openai"}


def test_names_are_read_in_either_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable in lower case, as some shells and files have it, counts as well."""
    environment(monkeypatch, portkey_api_key="lower")
    assert read_environment()["portkey_api_key"] == "lower"
    assert revealed(load_settings().api_key) == "lower"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:8787", "http://localhost:8787/v1"),
        ("http://localhost:8787/", "http://localhost:8787/v1"),
        ("http://localhost:8787/v1/", "http://localhost:8787/v1"),
        ("https://host/gateway/v1", "https://host/gateway/v1"),
    ],
)
def test_a_url_gets_its_version_path(url: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare host is completed by /v1; a path that is given stays."""
    environment(monkeypatch, PORTKEY_BASE_URL=url)
    assert load_settings().base_url == expected


def test_the_two_names_of_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """PORTKEY_BASE_URL works as well; PORTKEY_GATEWAY_URL wins where both are set."""
    environment(monkeypatch, PORTKEY_BASE_URL="http://base:1/v1")
    assert load_settings().base_url == "http://base:1/v1"
    environment(monkeypatch, PORTKEY_GATEWAY_URL="http://gateway:1/v1")
    assert load_settings().base_url == "http://gateway:1/v1"


@pytest.mark.parametrize(
    ("url", "hosted"),
    [
        (HOSTED_GATEWAY_URL, True),
        ("https://eu.api.portkey.ai/v1", True),
        ("https://API.PORTKEY.AI/v1", True),
        ("https://notportkey.ai/v1", False),
        ("https://portkey.ai.evil.test/v1", False),
        ("http://localhost:8787/v1", False),
    ],
)
def test_only_portkeys_own_gateway_requires_a_key(url: str, hosted: bool) -> None:
    """Without a key the hosted gateway is refused, naming argument and variable; any other is not."""
    settings = load_settings(base_url=url)
    assert settings.hosted is hosted
    if not hosted:
        settings.check_access()
        return
    with pytest.raises(MissingCredentialError, match=r"PORTKEY_API_KEY.*api_key=.*PORTKEY_GATEWAY_URL"):
        settings.check_access()
    load_settings(base_url=url, api_key="k").check_access()
    load_settings(base_url=url, default_headers={"x-portkey-api-key": "k"}).check_access()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PORTKEY_GATEWAY_URL", KEY, "http://localhost:8787/v1"),
        ("PORTKEY_BASE_URL", f"localhost:8787/{KEY}", "http://localhost:8787/v1"),
        ("PORTKEY_GATEWAY_URL", f"http://[{KEY}", "http://localhost:8787/v1"),
        ("PORTKEY_GATEWAY_URL", f"http://[{KEY}]/v1", "http://localhost:8787/v1"),
        ("PORTKEY_GATEWAY_URL", f"http://host:{KEY}/v1", "http://localhost:8787/v1"),
        ("PORTKEY_GATEWAY_URL", f"ftp://{KEY}@host/", "http://localhost:8787/v1"),
        ("PORTKEY_STRATEGY", KEY, "single, fallback, loadbalance, cost_aware"),
        ("PORTKEY_FALLBACKS", KEY, "expected a JSON list"),
        ("PORTKEY_FALLBACKS", f'{{"model": "{KEY}"}}', "expected a JSON list"),
        ("PORTKEY_FALLBACKS", f'["{KEY}"]', "in entry 0"),
        ("PORTKEY_FALLBACKS", f'[{{"model": "m", "{KEY}": 1}}]', "in entry 0"),
        ("PORTKEY_FALLBACKS", f'[{{"model": "m"}}, {{"model": ["{KEY}"]}}]', "in entry 1"),
        ("PORTKEY_FALLBACKS", f'[{{"model": "{KEY}", "weight": -1}}]', "in entry 0"),
        ("PORTKEY_FALLBACKS", f'[{{"model": "{KEY}", "weight": NaN}}]', "expected a JSON list"),
        ("PORTKEY_FALLBACKS", f'[{{"model": "{KEY}", "weight": Infinity}}]', "expected a JSON list"),
        ("PORTKEY_FALLBACKS", f'[{{"model": "m", "weight": "{KEY}"}}]', "in entry 0"),
        ("PORTKEY_FALLBACKS", f'[{{"provider": "openai", "api_key": "{KEY}"}}]', "in entry 0"),
        ("PORTKEY_FALLBACKS", f'[{{"model": "m", "api_key": "{KEY}"}}]', "api_key needs its provider"),
        ("PORTKEY_FALLBACKS", f'[{{"model": "m", "api_key": "{KEY}"', "not valid JSON"),
    ],
)
def test_a_malformed_variable_is_named_and_never_echoed(
    name: str, value: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the variable and shows the form expected; the value, maybe a key, is nowhere in the error."""
    environment(monkeypatch, **{name: value})
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert name in str(caught.value)
    assert expected in str(caught.value)
    assert_no_trace(KEY, caught.value)


def test_a_wrong_base_url_argument_is_named() -> None:
    """Given as an argument, the argument is named."""
    with pytest.raises(ConfigurationError, match="base_url is not a URL") as caught:
        load_settings(base_url=KEY)
    assert_no_trace(KEY, caught.value)


@pytest.mark.parametrize("spelling", ["cost_aware", "cost-aware", "COST_AWARE"])
def test_cost_aware_is_a_strategy_of_the_environment(spelling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guide's third strategy, over the model asked for and PORTKEY_FALLBACKS, however it is spelled."""
    fallbacks = '[{"model": "gpt-4o-mini"}, {"model": "claude-haiku-4-5"}]'
    environment(monkeypatch, PORTKEY_STRATEGY=spelling, PORTKEY_FALLBACKS=fallbacks)
    assert load_settings().default_strategy("gpt-4o") == CostAware("gpt-4o", "gpt-4o-mini", "claude-haiku-4-5")


@pytest.mark.parametrize(("value", "enabled"), [(None, True), ("portkey", True), ("PORTKEY", True), ("openai", False)])
def test_the_preferred_provider_switches_us_off(
    value: str | None, enabled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PREFERRED_LLM_PROVIDER leaves Portkey on only where it says portkey, or nothing."""
    if value:
        environment(monkeypatch, PREFERRED_LLM_PROVIDER=value)
    settings = load_settings()
    assert settings.enabled is enabled
    if enabled:
        settings.check_enabled()
        return
    with pytest.raises(NotEnabledError, match="PREFERRED_LLM_PROVIDER"):
        settings.check_enabled()


def test_the_header_takes_the_gateways_key_and_leaves_the_bearer() -> None:
    """With createHeaders' x-portkey-api-key, `api_key` is the provider's, as Portkey documents for OpenAI clients."""
    settings = load_settings(api_key="sk-provider", default_headers={"X-Portkey-Api-Key": "pk", "X-Other": "1"})
    assert (revealed(settings.api_key), revealed(settings.bearer)) == ("pk", "sk-provider")
    assert settings.headers == {"x-other": "1"}


def test_a_provider_header_for_ones_own_gateway_does_the_same() -> None:
    """With `x-portkey-provider` a gateway without a vault takes `api_key` as the provider's; hosted it is Portkey's."""
    headers = {"x-portkey-provider": "openai"}
    own = load_settings(api_key="sk-provider", base_url="http://localhost:8787", default_headers=headers)
    assert (revealed(own.api_key), revealed(own.bearer)) == (None, "sk-provider")
    hosted = load_settings(api_key="pk", default_headers=headers)
    assert (revealed(hosted.api_key), revealed(hosted.bearer)) == ("pk", None)
    authorized = load_settings(
        api_key="pk", base_url="http://localhost:8787", default_headers={**headers, "Authorization": "Bearer x"}
    )
    assert (revealed(authorized.api_key), revealed(authorized.bearer)) == ("pk", None)


def test_no_key_is_in_the_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings can be logged."""
    environment(
        monkeypatch,
        PORTKEY_API_KEY=KEY,
        PORTKEY_VIRTUAL_KEY_OPENAI=KEY,
        PORTKEY_FALLBACKS=json.dumps([{"provider": "openai", "model": "m", "api_key": KEY}]),
    )
    settings = load_settings(default_headers={"x-portkey-virtual-key": KEY})
    assert KEY not in repr(settings)
    assert KEY.encode() not in pickle.dumps(settings.fallbacks)


ENTRIES = json.dumps([{"model": "gpt-4o", "virtual_key": "vk-1"}, {"model": "claude-3"}])
FIRST, SECOND = Target("gpt-4o", virtual_key="vk-1"), Target("claude-3")


@pytest.mark.parametrize(
    ("strategy", "fallbacks", "model", "expected"),
    [
        (None, None, None, None),
        (None, None, "gpt-4o", None),
        (None, ENTRIES, None, Single(FIRST)),
        (None, ENTRIES, "gpt-4o", None),
        ("single", ENTRIES, None, Single(FIRST)),
        ("single", ENTRIES, "claude-3", Single(SECOND)),
        ("fallback", ENTRIES, None, Fallback(FIRST, SECOND)),
        ("fallback", ENTRIES, "claude-3", Fallback(SECOND, FIRST)),
        ("fallback", ENTRIES, "gpt-4o", Fallback(FIRST, SECOND)),
        ("fallback", ENTRIES, "gemini-2", Fallback("gemini-2", FIRST, SECOND)),
        ("loadbalance", ENTRIES, None, LoadBalance(FIRST, SECOND)),
        ("fallback", None, "gpt-4o", None),
        ("fallback", "[]", None, None),
    ],
)
def test_the_environments_strategy(
    strategy: str | None, fallbacks: str | None, model: str | None, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PORTKEY_STRATEGY and PORTKEY_FALLBACKS make a strategy, the call's model first, with its own entry's key."""
    values = {"PORTKEY_STRATEGY": strategy, "PORTKEY_FALLBACKS": fallbacks}
    environment(monkeypatch, **{name: value for name, value in values.items() if value})
    assert load_settings().default_strategy(model) == expected


def test_settings_stand_without_an_environment() -> None:
    """By default: the hosted gateway, enabled, nothing else."""
    assert load_settings() == Settings()

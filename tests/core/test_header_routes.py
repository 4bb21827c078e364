"""Keys and configs that come by default headers, the form in which `ChatOpenAI` users pass them today."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from portkey_router import ConfigurationError, Fallback, LoadBalance, PortkeyRouter, Target

if TYPE_CHECKING:
    from portkey_router import Attempt

KEYED = {"x-portkey-api-key": "pk-test", "x-portkey-virtual-key": "vk-mine"}
CONFIGURED = {"x-portkey-api-key": "pk-test", "x-portkey-config": "pc-mine"}


def wrong(**values: Any) -> dict[str, Any]:
    """Values of a wrong type, past the type checker."""
    return values


def sent(headers: dict[str, str], attempt: Attempt) -> dict[str, str]:
    """The routing headers of an attempt, as they leave: the router's own are added, and must add no route."""
    router = PortkeyRouter.from_env(default_headers=headers, env_file=None)
    merged = {**router._base_headers, **attempt.headers}
    routing = {"x-portkey-config", "x-portkey-virtual-key", "x-portkey-provider"}
    return {name: value for name, value in merged.items() if name in routing}


def attempts(headers: dict[str, str], model: str | None = None, **options: Any) -> tuple[Attempt, ...]:
    """The attempts of a router with these default headers."""
    return PortkeyRouter.from_env(default_headers=headers, env_file=None, **options).plan_for(model).attempts


@pytest.mark.parametrize(
    ("headers", "expected"),
    [(KEYED, {"x-portkey-virtual-key": "vk-mine"}), (CONFIGURED, {"x-portkey-config": "pc-mine"})],
)
@pytest.mark.parametrize("variable", ["PORTKEY_CONFIG_ID", "PORTKEY_STRATEGY", "PORTKEY_VIRTUAL_KEY_OPENAI"])
def test_headers_are_arguments_and_win_over_the_environment(
    monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], expected: dict[str, str], variable: str
) -> None:
    """What default headers choose is sent, whatever the environment would choose."""
    values = {"PORTKEY_STRATEGY": "fallback"}
    monkeypatch.setenv(variable, values.get(variable, "env-choice"))
    monkeypatch.setenv("PORTKEY_FALLBACKS", '[{"model": "other", "virtual_key": "vk-other"}]')
    (attempt,) = attempts(headers, "gpt-4o")
    assert sent(headers, attempt) == expected


@pytest.mark.parametrize("headers", [KEYED, CONFIGURED])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"strategy": Target("m", virtual_key="vk-a")}, {"x-portkey-virtual-key": "vk-a"}),
        ({"strategy": Fallback("@slug/m")}, {}),
        ({"strategy": Target("m", provider="openai", api_key="sk-1")}, {"x-portkey-provider": "openai"}),
        ({"virtual_key": "vk-a", "model": "m"}, {"x-portkey-virtual-key": "vk-a"}),
        ({"config": "pc-other"}, {"x-portkey-config": "pc-other"}),
    ],
)
def test_an_explicit_route_is_the_only_one_sent(
    headers: dict[str, str], options: dict[str, Any], expected: dict[str, str]
) -> None:
    """The headers' own key or config does not go out beside it: the gateway would answer by the wrong one."""
    (attempt,) = attempts(headers, **options)
    assert sent(headers, attempt) == expected


def test_in_a_strategy_each_model_takes_its_own_key_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The headers' key serves the models that have none of their own."""
    monkeypatch.setenv("PORTKEY_VIRTUAL_KEY_ANTHROPIC", "vk-anthropic")
    first, second = attempts(KEYED, strategy=Fallback("claude-sonnet-4-5", "gpt-4o"))
    assert first.headers["x-portkey-virtual-key"] == "vk-anthropic"
    assert second.headers["x-portkey-virtual-key"] == "vk-mine"


def test_from_portkey_takes_another_key() -> None:
    """`api_key=` replaces the client's, as every option does."""
    from portkey_ai import Portkey

    client = Portkey(api_key="pk-client", virtual_key="vk-1", base_url="http://127.0.0.1:9/v1")
    router = PortkeyRouter.from_portkey(client, api_key="pk-other", env_file=None)
    assert router._base_headers["x-portkey-api-key"] == "pk-other"
    assert "authorization" not in router._base_headers


def test_a_slug_wins_over_the_environments_config(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slug in the model's name is a route of its own."""
    monkeypatch.setenv("PORTKEY_CONFIG_ID", "pc-env")
    monkeypatch.setenv("PORTKEY_API_KEY", "pk-test")
    plan = PortkeyRouter.from_env(model="@slug/gpt-4o", env_file=None).plan_for()
    assert (plan.strategy, plan.attempts[0].headers) == ("single", {})
    assert PortkeyRouter.from_env(model="gpt-4o", env_file=None).plan_for().strategy == "config"


@pytest.mark.parametrize("value", ["pcak-abcdef0123456789", "sk-abcdef0123456789", "pc my config", "{}"])
def test_a_key_pasted_as_the_configs_id_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """The variable is named, the value is not shown."""
    monkeypatch.setenv("PORTKEY_CONFIG_ID", value)
    with pytest.raises(ConfigurationError, match="PORTKEY_CONFIG_ID") as caught:
        PortkeyRouter.from_env(api_key="pk-test", env_file=None)
    assert value not in str(caught.value)


@pytest.mark.parametrize("value", ["pc-my-config-1a2b3c", "gw_config_123"])
def test_configs_ids_of_both_spellings_are_taken(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Portkey's `pc-...` and the guide's `gw_config_...`."""
    monkeypatch.setenv("PORTKEY_CONFIG_ID", value)
    router = PortkeyRouter.from_env(api_key="pk-test", env_file=None)
    assert router.plan_for("m").attempts[0].headers == {"x-portkey-config": value}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Target("@slug/m", virtual_key="vk"), "slug"),
        (lambda: Target("m", virtual_key="vk", api_key="sk"), "not both"),
        (lambda: Target("m", **wrong(weight="2")), "weight"),
        (lambda: Target("m", **wrong(request_timeout="3")), "request_timeout"),
        (lambda: Target("m", **wrong(cache="simple")), "cache"),
        (lambda: Fallback("m", **wrong(on_status_codes=429)), "on_status_codes"),
        (lambda: LoadBalance("m", **wrong(on_status_codes=["429"])), "on_status_codes"),
        (lambda: PortkeyRouter.from_env(strategy="fallback", api_key="pk-test"), "names no targets"),
    ],
)
def test_a_wrong_type_or_a_second_key_is_told_by_name(make: Any, said: str) -> None:
    """Our own error, with the name of what is wrong."""
    with pytest.raises(ConfigurationError, match=said):
        make()

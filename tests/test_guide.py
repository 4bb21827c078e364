"""What Portkey's integration guide promises, in cases of our own. Its blocks as they stand: `test_guide_blocks.py`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from portkey_router.errors import ConfigurationError, MissingCredentialError, NotEnabledError
from portkey_router.guide import PortkeyClient, PortkeyError, RedisClient
from tests.cli.conftest import ROOT

if TYPE_CHECKING:
    from portkey_router.sandbox import PortkeyDouble

HELLO = [{"role": "user", "content": "Hello, GPT-4!"}]
FALLBACKS = [
    {"provider": "openai", "model": "gpt-4-turbo", "api_key": "your-openai-api-key"},
    {"provider": "anthropic", "model": "claude-3-opus", "api_key": "your-anthropic-api-key"},
]
ENV_FILE = """
# Required for Portkey
PORTKEY_API_KEY="{key}"
PREFERRED_LLM_PROVIDER="portkey"

# Admin API key for virtual key management
MASTER_PORTKEY_ADMIN_KEY="your-portkey-admin-key"

# Virtual keys for different providers
PORTKEY_VIRTUAL_KEY_OPENAI="vk_openai_..."
PORTKEY_VIRTUAL_KEY_ANTHROPIC="vk_anthropic_..."
PORTKEY_VIRTUAL_KEY_MISTRAL="vk_mistral_..."
PORTKEY_VIRTUAL_KEY_HUGGINGFACE="vk_huggingface_..."
PORTKEY_VIRTUAL_KEY_COHERE="vk_cohere_..."
PORTKEY_VIRTUAL_KEY_OPENROUTER="vk_openrouter_..."
PORTKEY_VIRTUAL_KEY_PERPLEXITY="vk_perplexity_..."
PORTKEY_VIRTUAL_KEY_DEEPSEEK="vk_deepseek_..."
PORTKEY_VIRTUAL_KEY_CODESTRAL="vk_codestral_..."
PORTKEY_VIRTUAL_KEY_CODY="vk_cody_..."
PORTKEY_VIRTUAL_KEY_CONTINUE="vk_continue_..."
PORTKEY_VIRTUAL_KEY_GROK="vk_grok_..."
PORTKEY_VIRTUAL_KEY_GOOGLE="vk_google_..."
PORTKEY_VIRTUAL_KEY_AZURE="vk_azure_..."
PORTKEY_VIRTUAL_KEY_AWS="vk_aws_..."

# Gateway configuration
PORTKEY_CONFIG_ID="{config}"

PORTKEY_FALLBACKS='[
    {{"provider": "openai", "model": "gpt-4-turbo", "api_key": "key1"}},
    {{"provider": "anthropic", "model": "claude-3-opus", "api_key": "key2"}}
]'

# Routing strategy
PORTKEY_STRATEGY="fallback"  # or "loadbalance" or "cost_aware"

# Cache configuration
PORTKEY_CACHE_ENABLED=true
"""


@pytest.fixture
def server(portkey_sandbox: PortkeyDouble, monkeypatch: pytest.MonkeyPatch) -> PortkeyDouble:
    """A double of Portkey in Portkey's place."""
    monkeypatch.setenv("PORTKEY_GATEWAY_URL", portkey_sandbox.url)
    return portkey_sandbox


def asked(server: PortkeyDouble, header: str) -> list[str | None]:
    """A header of each request, in order."""
    return [request.headers.get(header) for request in server.requests]


def write_env(server: PortkeyDouble, config: str = "") -> None:
    """The guide's `.env`, with a key that is accepted."""
    Path(".env").write_text(ENV_FILE.format(key=server.api_key, config=config), encoding="utf-8")
    for provider in ("openai", "anthropic"):
        server.add_virtual_key(f"vk_{provider}_...", provider=provider)


# ---- "Using Virtual Keys", "Using Gateway Configurations" ------------------------------------------------------------


async def test_the_model_finds_its_key(server: PortkeyDouble) -> None:
    """`generate_response(model="gpt-4", ...)` uses PORTKEY_VIRTUAL_KEY_OPENAI, a Claude model Anthropic's."""
    write_env(server)
    portkey_client = PortkeyClient()
    response = await portkey_client.generate_response(model="gpt-4", messages=HELLO)
    assert response.text == "gpt-4 answers to: Hello, GPT-4!"
    await portkey_client.generate_response(model="claude-3-sonnet", messages=HELLO)
    assert asked(server, "x-portkey-virtual-key") == ["vk_openai_...", "vk_anthropic_..."]


async def test_a_saved_config_is_applied_to_every_request(server: PortkeyDouble) -> None:
    """PORTKEY_CONFIG_ID goes with each, and the gateway runs it."""
    server.add_config("pc-guide", {"virtual_key": "vk-openai"})
    write_env(server, "pc-guide")
    response = await PortkeyClient().generate_response(model="gpt-4", messages=HELLO)
    assert response.text
    assert asked(server, "x-portkey-config") == ["pc-guide"]


async def test_the_environments_own_fallbacks_are_used(server: PortkeyDouble) -> None:
    """PORTKEY_STRATEGY and PORTKEY_FALLBACKS of the guide's `.env`: the second answers for the first."""
    from portkey_router import sandbox

    write_env(server)
    server.always("openai", sandbox.Fault.status(401))
    response = await PortkeyClient().generate_response(messages=HELLO)
    assert [attempt.outcome for attempt in response.route.attempts] == ["AuthenticationError", "ok"]
    assert asked(server, "authorization") == ["Bearer key1", "Bearer key2"]


# ---- "Basic Setup", "Configuration", "Routing Strategies" ------------------------------------------------------------


def enabled(server: PortkeyDouble, **options: Any) -> RedisClient:
    """The guide's client, with Portkey enabled."""
    return RedisClient(
        host="your-redis-host",
        port=6379,
        use_portkey=True,
        portkey_api_key=server.api_key,
        portkey_cache_ttl=3600,
        **options,
    )


@pytest.mark.parametrize(
    ("strategy", "kind"), [("fallback", "Fallback"), ("loadbalance", "LoadBalance"), ("cost_aware", "CostAware")]
)
async def test_each_strategy_of_the_guide_routes_calls(server: PortkeyDouble, strategy: str, kind: str) -> None:
    """`setup_portkey_config(strategy=..., fallbacks=fallbacks)` becomes the core's strategy, and it answers."""
    redis_client = enabled(server)
    await redis_client.setup_portkey_config(strategy=strategy, fallbacks=FALLBACKS)
    router = redis_client.portkey.router
    assert type(router.strategy).__name__ == kind
    response = await redis_client.portkey.generate_response(messages=HELLO)
    assert response.model in {"gpt-4-turbo", "claude-3-opus"}


async def test_with_the_cache_on_portkey_keeps_answers(server: PortkeyDouble) -> None:
    """`cache_enabled=True` asks Portkey for its cache, for `portkey_cache_ttl` seconds: the second answer is a hit."""
    redis_client = enabled(server)
    await redis_client.setup_portkey_config(strategy="fallback", fallbacks=FALLBACKS, cache_enabled=True)
    answers = [await redis_client.portkey.generate_response(messages=HELLO, temperature=0) for _ in range(2)]
    assert [answer.route.cache_status for answer in answers] == ["MISS", "HIT"]
    assert '"max_age": 3600' in str(server.requests[0].headers["x-portkey-config"])


async def test_portkey_is_on_by_argument_or_by_the_environment(
    server: PortkeyDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """use_portkey=True, or PREFERRED_LLM_PROVIDER="portkey"; another provider there switches it off."""
    assert await enabled(server).is_portkey_enabled()
    assert not await RedisClient(host="h", port=6379).is_portkey_enabled()
    monkeypatch.setenv("PREFERRED_LLM_PROVIDER", "portkey")
    assert await RedisClient(host="h", port=6379).is_portkey_enabled()
    monkeypatch.setenv("PREFERRED_LLM_PROVIDER", "openai")
    assert not await enabled(server).is_portkey_enabled()


# ---- "Error Handling", "Troubleshooting" -----------------------------------------------------------------------------


async def _handled(redis_client: RedisClient) -> str:
    """The guide's own handler."""
    try:
        await redis_client.setup_portkey_config(strategy="fallback")
    except RuntimeError:
        return "Portkey is not enabled"
    except PortkeyError as e:
        return f"Portkey API error: {e}"
    return "set up"


async def test_errors_are_those_that_the_guide_handles(server: PortkeyDouble) -> None:
    """Not enabled is a RuntimeError, nothing to route over a PortkeyError; with PORTKEY_FALLBACKS it is set up."""
    assert await _handled(RedisClient(use_portkey=False)) == "Portkey is not enabled"
    assert "pass fallbacks=, or set PORTKEY_FALLBACKS" in await _handled(enabled(server))
    write_env(server)
    assert await _handled(enabled(server)) == "set up"


async def test_the_messages_are_those_that_the_guide_explains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Word for word, with what to do."""
    for make in (PortkeyClient, lambda: RedisClient(use_portkey=True)):
        with pytest.raises(MissingCredentialError, match=r"Portkey API key is required.*constructor.*PORTKEY_API_KEY"):
            make()
    with pytest.raises(NotEnabledError, match="Portkey is not enabled or not initialized: pass use_portkey=True"):
        _ = RedisClient().portkey
    monkeypatch.setenv("PREFERRED_LLM_PROVIDER", "openai")
    with pytest.raises(RuntimeError, match="Portkey is not enabled or not initialized"):
        PortkeyClient("pk-any")


@pytest.mark.parametrize(
    "fallbacks", [[], [{"provider": "openai"}], ["gpt-4"], [{"model": "gpt-4", "apikey": "sk-planted-0123456789"}]]
)
async def test_fallbacks_that_are_none_say_so(server: PortkeyDouble, fallbacks: Any) -> None:
    """An empty list, an entry without a model, or with a field that is none; no value is quoted."""
    with pytest.raises(ConfigurationError, match="fallbacks") as caught:
        await enabled(server).setup_portkey_config(fallbacks=fallbacks)
    assert "planted" not in str(caught.value)


async def test_an_unknown_strategy_and_a_ttl_out_of_range_say_so(server: PortkeyDouble) -> None:
    """Before the network, by name."""
    with pytest.raises(ConfigurationError, match=r"'fastest' is no strategy.*loadbalance or cost_aware"):
        await enabled(server).setup_portkey_config(strategy="fastest", fallbacks=FALLBACKS)
    with pytest.raises(ConfigurationError, match="portkey_cache_ttl"):
        RedisClient(use_portkey=True, portkey_api_key="k", portkey_cache_ttl=5)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ({"host": "redis://:hunter2@h"}, "a URL .* goes to cache="),
        ({"host": ""}, "a name or address"),
        ({"host": None}, "a name or address"),
        ({"port": 99999}, "from 1 to 65535"),
        ({"port": "6379"}, "from 1 to 65535"),
        ({"portkey_cache_ttl": "3600"}, "in seconds"),
    ],
)
def test_where_redis_is_is_looked_at_before_it_is_used(where: dict[str, Any], words: str) -> None:
    """A URL as the host, a port that is none, seconds as text: said at once, and no password again."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        RedisClient(use_portkey=True, portkey_api_key="pk", **where)
    assert "hunter2" not in str(caught.value)


async def test_keys_are_not_printed(server: PortkeyDouble) -> None:
    """Neither client shows the keys it was given."""
    redis_client = enabled(server)
    await redis_client.setup_portkey_config(fallbacks=FALLBACKS)
    text = repr(redis_client) + repr(redis_client.portkey)
    assert server.api_key not in text
    assert "your-openai-api-key" not in text


def test_the_guides_tour_runs_as_it_says() -> None:
    """`python -m unittest tests/test_portkey_integration.py`."""
    import subprocess
    import sys

    command = [sys.executable, "-W", "error", "-m", "unittest", "tests/test_portkey_integration.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "OK" in done.stderr

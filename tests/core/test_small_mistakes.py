from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from portkey_router import ConfigurationError, Fallback, PortkeyRouter, Target
from portkey_router.settings import read_environment
from portkey_router.wire.sse import SseDecoder

if TYPE_CHECKING:
    from pathlib import Path

MESSAGES = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def router() -> PortkeyRouter:
    """A router that needs nothing of the environment."""
    return PortkeyRouter.from_env(api_key="pk-test", model="@a/b", env_file=None)


@pytest.mark.parametrize("name", ["model", "messages", "stream"])
def test_extra_body_does_not_override_the_call(router: PortkeyRouter, name: str) -> None:
    """A field that is an argument of the call is refused in `extra_body`, by name."""
    with pytest.raises(ConfigurationError, match=name):
        router.request(MESSAGES, extra_body={name: "x"})


@pytest.mark.parametrize("route", [{"strategy": Fallback("@a/b")}, {"config": "pc-1"}])
def test_a_virtual_key_goes_with_a_model_only(router: PortkeyRouter, route: dict[str, Any]) -> None:
    """Beside a strategy or a config it would be ignored, or win in silence: it is refused."""
    with pytest.raises(ConfigurationError, match="virtual_key"):
        router.plan(MESSAGES, virtual_key="vk", **route)


def test_a_generator_of_messages_is_refused(router: PortkeyRouter) -> None:
    """It could be read once only, and a second attempt would send nothing."""
    with pytest.raises(ConfigurationError, match="messages is a list"):
        router.request(message for message in MESSAGES)  # type: ignore[arg-type]  # the mistake under test


def test_forward_headers_is_a_list() -> None:
    """A bare name would be taken for its letters."""
    with pytest.raises(ConfigurationError, match="forward_headers"):
        Target("m", forward_headers="x-a")


def test_a_dotenv_that_is_no_text_is_named(tmp_path: Path) -> None:
    """The file is named, and nothing of it quoted."""
    file = tmp_path / ".env"
    file.write_bytes(b"PORTKEY_API_KEY=pk-PLANTED-\xff\n")
    with pytest.raises(ConfigurationError, match="UTF-8") as caught:
        read_environment(str(file))
    assert "PLANTED" not in repr(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_byte_order_mark_hides_no_event(cut: int) -> None:
    """A stream may begin with one, wherever its bytes are cut."""
    stream = b"\xef\xbb\xbfdata: 1\n\n"
    decoder = SseDecoder()
    assert [*decoder.feed(stream[:cut]), *decoder.feed(stream[cut:])] == [b"1"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("timout", "did you mean 'timeout'"),
        ("max_retrys", "did you mean 'max_retries'"),
        ("stratgy", "did you mean 'strategy'"),
        ("temprature", "did you mean 'temperature'"),
        ("base_url", "an argument of the router"),
        ("api_key", "not sent in a request's body"),
        ("x_secret", "not sent in a request's body"),
    ],
)
def test_a_calls_misspelt_argument_is_refused(router: PortkeyRouter, name: str, meant: str) -> None:
    """It would go to the provider in the request's body, and a key with it; the value is not shown."""
    mistake: dict[str, Any] = {name: "sk-PLANTED"}
    with pytest.raises(ConfigurationError, match=meant) as caught:
        router.request(MESSAGES, **mistake)
    assert "PLANTED" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        *("tools", "tool_choice", "response_format", "stream_options", "parallel_tool_calls", "modalities", "audio"),
        *("prediction", "store", "verbosity", "web_search_options", "prompt_cache_key", "safety_identifier"),
        *(
            "top_k",
            "min_p",
            "top_a",
            "max_new_tokens",
            "min_tokens",
            "repetition_penalty",
            "prompt_logprobs",
            "best_of",
        ),
        *("thinking", "reasoning", "reasoning_format", "include_reasoning", "safety_settings", "cached_content"),
        *("transforms", "plugins", "route", "mirostat", "guided_json", "chat_template_kwargs", "search_domain_filter"),
        *("input_type", "truncate", "functions", "function_call", "stop_token_ids", "include_stop_str_in_output"),
    ],
)
def test_a_providers_own_field_goes_through(router: PortkeyRouter, name: str) -> None:
    """What OpenAI, Anthropic, Google, vLLM, OpenRouter and others know is no misspelling."""
    field: dict[str, Any] = {name: 1}
    assert router.request(MESSAGES, **field).body == field


def test_extra_body_takes_any_field(router: PortkeyRouter) -> None:
    """What looks like a mistake and is none can be said expressly."""
    assert router.request(MESSAGES, extra_body={"models": ["a"]}).body == {"models": ["a"]}


@pytest.mark.parametrize("limits", [{"timeout": "3"}, {"timeout": (3, 5)}, {"max_retries": "2"}, {"timeout": True}])
def test_a_calls_limits_are_numbers(router: PortkeyRouter, limits: dict[str, Any]) -> None:
    """Said before anything is sent, by the argument's name."""
    with pytest.raises(ConfigurationError, match=next(iter(limits))):
        router.complete(MESSAGES, **limits)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings/", "/v1/completions"])
def test_an_endpoints_url_is_no_gateways(path: str) -> None:
    """The mistake of every second curl command pasted: said at once, instead of 404 at the first call."""
    with pytest.raises(ConfigurationError, match=f"base_url .* leave out {path.strip('/').removeprefix('v1')}"):
        PortkeyRouter.from_env(base_url=f"http://localhost:8787{path}", model="@a/b", env_file=None)


def test_a_gateway_config_is_no_strategy() -> None:
    """Portkey's own config as a dict goes to `config=`, and the error says so."""
    config: Any = {"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": "vk-PLANTED"}]}
    with pytest.raises(ConfigurationError, match="config=") as caught:
        PortkeyRouter.from_env(api_key="pk-test", strategy=config, env_file=None)
    assert "PLANTED" not in str(caught.value)

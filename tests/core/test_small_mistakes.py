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

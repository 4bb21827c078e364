from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portkey_router.secrets import is_secret_name, redact

KEY_ALPHABET = string.ascii_letters + string.digits + "-_./+="
KEYS = st.text(KEY_ALPHABET, min_size=6, max_size=40)
PREFIXES = st.sampled_from(["sk-", "sk_", "pk-", "rk_", "xai-", "gsk_", "hf_", "vk_", "vk-"])
BODIES = st.text(string.ascii_letters + string.digits + "-_*", min_size=8, max_size=40)


@given(KEYS, st.lists(st.text(string.printable), min_size=2, max_size=5))
def test_a_given_secret_never_gets_through(key: str, around: list[str]) -> None:
    """However often and between whatever a known key is quoted, none is left."""
    assert key not in redact(key.join(around), [key])


@given(PREFIXES, BODIES, st.text(" \n\t\"'(:,", min_size=1), st.text(" \n\t\"'),;", min_size=1))
def test_what_is_shaped_like_a_key_never_gets_through(prefix: str, body: str, before: str, after: str) -> None:
    """Keys that we were never told of are struck by their shape."""
    assert body not in redact(f"Incorrect API key{before}{prefix}{body}{after}")


def test_a_key_within_a_key_leaves_no_remains() -> None:
    """Where one secret holds another, striking the shorter first would leave pieces of the longer."""
    secrets = ["abcdef", "QQabcdefZZtail"]
    assert redact("got QQabcdefZZtail", secrets) == "got ***"
    assert redact("got QQabcdefZZtail", secrets[::-1]) == "got ***"


@pytest.mark.parametrize(
    "quoted",
    ["AIzaSyA1234567890abcdefghijk", "Bearer abcdefgh12345678", "sk-proj-ab***********xyz", "pcak-1234567890"],
)
def test_known_shapes_are_struck(quoted: str) -> None:
    """Google's keys, bearer tokens and half-masked keys are struck as well."""
    assert redact(f"key {quoted} refused") == "key *** refused"


@pytest.mark.parametrize("text", ["a risk-averse task-oriented model", "gpt-4o-mini is overloaded", "desk-lamp", ""])
def test_ordinary_words_stay(text: str) -> None:
    """Messages stay readable: words that merely contain `sk-` are no keys."""
    assert redact(text, ["X", ""]) == text


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("x-portkey-api-key", True),
        ("x-portkey-virtual-key", True),
        ("Authorization", True),
        ("aws_secret_access_key", True),
        ("aws_session_token", True),
        ("vertex_service_account_json", True),
        ("x-portkey-azure-auth-mode", False),
        ("x-portkey-provider", False),
        ("aws_region", False),
        ("custom_host", False),
    ],
)
def test_names_say_what_is_secret(name: str, secret: bool) -> None:
    """Headers and options that hold keys are told from those that do not, in either spelling."""
    assert is_secret_name(name) is secret
    assert is_secret_name(name.upper().replace("-", "_")) is secret

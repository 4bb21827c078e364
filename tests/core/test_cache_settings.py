from __future__ import annotations

import logging
from typing import Any

import pytest

from portkey_router import PortkeyRouter, SemanticCache, build_router
from portkey_router.bootstrap import _say_equal_only
from portkey_router.errors import ConfigurationError


def router(**options: Any) -> PortkeyRouter:
    """A router that asks nothing but the environment."""
    return build_router(**{"api_key": "pk", "model": "@a/gpt-4o", **options})


@pytest.mark.parametrize("value", ["true", "1", "Yes", "on", "TRUE"])
def test_the_environment_turns_a_cache_on(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One for the process, in memory by default, whoever builds the router."""
    monkeypatch.setenv("PORTKEY_CACHE_ENABLED", value)
    one = router().cache
    assert isinstance(one, SemanticCache)
    assert one is router(model="@a/o3").cache


@pytest.mark.parametrize("value", ["false", "0", "no", "off", None])
def test_without_it_there_is_none(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not set, or set to no: no cache, also where a URL is set."""
    monkeypatch.setenv("PORTKEY_CACHE_URL", "memory://")
    if value is not None:
        monkeypatch.setenv("PORTKEY_CACHE_ENABLED", value)
    assert router().cache is None


def test_a_bad_switch_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable, and what it takes; not the value."""
    monkeypatch.setenv("PORTKEY_CACHE_ENABLED", "sk-PLANTED-0123")
    with pytest.raises(ConfigurationError, match=r"PORTKEY_CACHE_ENABLED.*true or false") as error:
        router()
    assert "PLANTED" not in str(error.value)


def test_a_bad_url_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its variable; a password in it is not said."""
    monkeypatch.setenv("PORTKEY_CACHE_ENABLED", "true")
    monkeypatch.setenv("PORTKEY_CACHE_URL", "mongodb://:PLANTED@host")
    with pytest.raises(ConfigurationError, match="PORTKEY_CACHE_URL") as error:
        router()
    assert "PLANTED" not in str(error.value)


def test_arguments_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`cache=False` switches it off; a cache of one's own, or a URL, is taken in its place."""
    monkeypatch.setenv("PORTKEY_CACHE_ENABLED", "true")
    own = SemanticCache("memory://")
    assert router(cache=False).cache is None
    assert router(cache=own).cache is own
    there = router(cache="memory://there").cache
    assert there is not None
    assert there is router(cache="memory://there").cache
    assert there is not router().cache


def test_it_says_once_that_it_answers_equal_questions_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without PORTKEY_CACHE_EMBEDDINGS, in the log; with it, the model is named and nothing is embedded yet."""
    _say_equal_only.cache_clear()
    monkeypatch.setenv("PORTKEY_CACHE_ENABLED", "true")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            router()
        assert [record.getMessage().count("PORTKEY_CACHE_EMBEDDINGS") for record in caplog.records] == [1]
        monkeypatch.setenv("PORTKEY_CACHE_EMBEDDINGS", "text-embedding-3-small")
        assert "text-embedding-3-small" in repr(router().cache)
    assert len(caplog.records) == 1


def test_what_is_no_cache_is_said() -> None:
    """A clear error, before anything is sent."""
    wrong: Any
    for wrong in (True, 3, object()):
        with pytest.raises(ConfigurationError, match=r"SemanticCache.*False"):
            router(cache=wrong)


def test_a_url_with_a_password_is_not_shown() -> None:
    """Neither by the router nor by the settings or the cache."""
    made = router(cache="redis://user:PLANTED@127.0.0.1:1")
    for shown in (made, made.settings, made.cache):
        assert "PLANTED" not in repr(shown)

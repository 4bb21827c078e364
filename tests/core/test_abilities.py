from __future__ import annotations

import pytest

from portkey_router.abilities import abilities_of, common_abilities, takes_cache_points, takes_parallel_switch


def test_what_all_of_them_can() -> None:
    """The smallest window and answer, and only what each takes; nothing where one is a stranger, or there is none."""
    both = common_abilities(["gpt-4.1", "@prod/claude-sonnet-4-5"])
    assert both is not None
    assert (both.context_window, both.max_answer, both.json_schema, both.images) == (200_000, 32_768, False, True)
    assert common_abilities(["gpt-4o"]) == abilities_of("openai/gpt-4o-2024-08-06")
    for strangers in (["gpt-4o", "my-alias"], ["gpt-4o", None], []):
        assert common_abilities(strangers) is None


@pytest.mark.parametrize(
    ("models", "taken"),
    [
        (["claude-sonnet-9", "eu.anthropic.claude-opus-4-1-20250805-v1:0", "@prod/claude-x"], True),
        (["claude-sonnet-4-5", "gpt-4o"], False),
        (["claude-sonnet-4-5", None], False),
        ([], False),
    ],
)
def test_cache_points_are_claudes(models: list[str | None], taken: bool) -> None:
    """Every version of it, wherever it is served; one other model among them is enough to leave them out."""
    assert takes_cache_points(models) is taken


@pytest.mark.parametrize(
    ("models", "taken"), [(["gpt-4o", None], True), (["@prod/o3-mini"], False), (["gpt-4o", "o1"], False)]
)
def test_the_parallel_switch(models: list[str | None], taken: bool) -> None:
    """OpenAI's reasoning models refuse `parallel_tool_calls`; strangers are taken to have it."""
    assert takes_parallel_switch(models) is taken

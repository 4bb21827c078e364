"""What is known of models (`portkey_router.abilities`), as LangChain's model profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portkey_router.abilities import common_abilities

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_core.language_models.model_profile import ModelProfile

__all__ = ["profile_of", "profile_of_all"]


def profile_of(model: str) -> ModelProfile | None:
    """The profile of `gpt-4o`, `@slug/gpt-4o`, `openai/gpt-4o`, `eu.anthropic.claude-...`; None for a stranger."""
    return profile_of_all([model])


def profile_of_all(models: Iterable[str | None]) -> ModelProfile | None:
    """What every one of the models can do; None where one of them is not known."""
    known = common_abilities(models)
    if known is None:
        return None
    return {
        "max_input_tokens": known.context_window,
        "max_output_tokens": known.max_answer,
        "text_inputs": True,
        "text_outputs": True,
        "image_inputs": known.images,
        "tool_calling": known.tools,
        "tool_choice": known.tools,
        "reasoning_output": known.thinks,
        "structured_output": known.json_schema,
    }

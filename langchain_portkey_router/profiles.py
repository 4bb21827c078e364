"""What is known of models by their names: context windows, and what they take.

A small table of families, checked by hand; a model it does not list has no profile, and nothing is guessed. Where a
call may reach several models, the profile is what all of them can do.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_core.language_models.model_profile import ModelProfile

__all__ = ["profile_of", "profile_of_all"]


# What may follow a family's name: a date, "latest", Bedrock's version. Anything else is another model.
_EDITION = r"(?:[-@]\d{8}|-\d{4}-\d\d-\d\d|-latest)?(?:-v\d+(?::\d+)?)?"


def _family(
    names: str, window: int, answer: int, *, images: bool = True, thinks: bool = False, json_schema: bool = True
) -> tuple[re.Pattern[str], ModelProfile]:
    """`json_schema`: whether the gateway hands `response_format` on, and the model keeps to it."""
    profile: ModelProfile = {
        "max_input_tokens": window,
        "max_output_tokens": answer,
        "text_inputs": True,
        "text_outputs": True,
        "image_inputs": images,
        "tool_calling": True,
        "tool_choice": True,
        "reasoning_output": thinks,
        "structured_output": json_schema,
    }
    return re.compile(rf"(?:{names}){_EDITION}"), profile


# The gateway's Anthropic provider drops `response_format`, so Claude's structured output comes by a tool.
_FAMILIES = (
    _family(r"gpt-4o-2024-05-13|chatgpt-4o-latest", 128_000, 4_096, json_schema=False),
    _family(r"gpt-4o(?:-mini)?", 128_000, 16_384),
    _family(r"gpt-4\.1(?:-mini|-nano)?", 1_000_000, 32_768),
    _family(r"gpt-4-turbo", 128_000, 4_096, json_schema=False),
    _family(r"gpt-4(?:-0613)?", 8_192, 8_192, images=False, json_schema=False),
    _family(r"gpt-3\.5-turbo(?:-\d{4})?", 16_385, 4_096, images=False, json_schema=False),
    _family(r"gpt-5(?:-mini|-nano|\.1)?", 272_000, 128_000, thinks=True),
    _family(r"o1|o3|o4-mini", 200_000, 100_000, thinks=True),
    _family(r"o3-mini", 200_000, 100_000, images=False, thinks=True),
    _family(r"claude-3-(?:haiku|sonnet|opus)", 200_000, 4_096, json_schema=False),
    _family(r"claude-3-5-(?:haiku|sonnet)", 200_000, 8_192, json_schema=False),
    _family(
        r"claude-3-7-sonnet|claude-sonnet-4(?:-0|-5)?|claude-haiku-4-5|claude-opus-4-5",
        200_000,
        64_000,
        thinks=True,
        json_schema=False,
    ),
    _family(r"claude-opus-4(?:-0|-1)?", 200_000, 32_000, thinks=True, json_schema=False),
    _family(r"gemini-2\.0-flash(?:-001)?", 1_000_000, 8_192),
    _family(r"gemini-2\.5-(?:pro|flash|flash-lite)", 1_000_000, 65_536, thinks=True),
)


def profile_of(model: str) -> ModelProfile | None:
    """What is known of `gpt-4o`, `@slug/gpt-4o`, `openai/gpt-4o`, `eu.anthropic.claude-...`; None for a stranger."""
    name = model.rsplit("/", 1)[-1].lower()
    name = re.sub(r"^(?:[a-z-]+\.)*(?=claude-)", "", name)  # Bedrock's regions and vendors
    return next((profile for pattern, profile in _FAMILIES if pattern.fullmatch(name)), None)


def profile_of_all(models: Iterable[str | None]) -> ModelProfile | None:
    """What every one of the models can do; None where one of them is not known."""
    known = [profile_of(model) if model else None for model in models]
    if not known or None in known:
        return None
    found: list[dict[str, Any]] = [dict(profile) for profile in known if profile is not None]
    return {name: min(profile[name] for profile in found) for name in found[0]}  # type: ignore[return-value]  # its keys

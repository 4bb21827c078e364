"""What is known of models by their names: context windows, and what they take.

A small table of families, checked by hand; of a model it does not list nothing is known, and nothing is guessed. Where
a call may reach several models, what counts is what all of them can do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Abilities", "abilities_of", "common_abilities", "takes_cache_points", "takes_parallel_switch"]


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a model takes and gives, by way of the gateway.

    `context_window` and `max_answer` are in tokens. `json_schema`: whether the gateway hands `response_format` on, and
    the model keeps to it.
    """

    context_window: int
    max_answer: int
    images: bool = True
    tools: bool = True
    thinks: bool = False
    json_schema: bool = True
    streams: bool = True


# What may follow a family's name: a date, "latest", Bedrock's version. Anything else is another model.
_EDITION = r"(?:[-@]\d{8}|-\d{4}-\d\d-\d\d|-latest)?(?:-v\d+(?::\d+)?)?"


def _family(names: str, abilities: Abilities) -> tuple[re.Pattern[str], Abilities]:
    return re.compile(rf"(?:{names}){_EDITION}"), abilities


# The gateway's Anthropic provider drops `response_format`, so Claude's structured output comes by a tool.
_FAMILIES = (
    _family(r"gpt-4o-2024-05-13|chatgpt-4o-latest", Abilities(128_000, 4_096, json_schema=False)),
    _family(r"gpt-4o(?:-mini)?", Abilities(128_000, 16_384)),
    _family(r"gpt-4\.1(?:-mini|-nano)?", Abilities(1_000_000, 32_768)),
    _family(r"gpt-4-turbo", Abilities(128_000, 4_096, json_schema=False)),
    _family(r"gpt-4(?:-0613)?", Abilities(8_192, 8_192, images=False, json_schema=False)),
    _family(r"gpt-3\.5-turbo(?:-\d{4})?", Abilities(16_385, 4_096, images=False, json_schema=False)),
    _family(r"gpt-5(?:-mini|-nano|\.1)?", Abilities(272_000, 128_000, thinks=True)),
    _family(r"o1|o3|o4-mini", Abilities(200_000, 100_000, thinks=True)),
    _family(r"o3-mini", Abilities(200_000, 100_000, images=False, thinks=True)),
    _family(r"claude-3-(?:haiku|sonnet|opus)", Abilities(200_000, 4_096, json_schema=False)),
    _family(r"claude-3-5-(?:haiku|sonnet)", Abilities(200_000, 8_192, json_schema=False)),
    _family(
        r"claude-3-7-sonnet|claude-sonnet-4(?:-0|-5)?|claude-haiku-4-5|claude-opus-4-5",
        Abilities(200_000, 64_000, thinks=True, json_schema=False),
    ),
    _family(r"claude-opus-4(?:-0|-1)?", Abilities(200_000, 32_000, thinks=True, json_schema=False)),
    _family(r"gemini-2\.0-flash(?:-001)?", Abilities(1_000_000, 8_192)),
    _family(r"gemini-2\.5-(?:pro|flash|flash-lite)", Abilities(1_000_000, 65_536, thinks=True)),
)


# OpenAI's reasoning models call one tool at a time, and refuse the field that says so.
_WITHOUT_PARALLEL_SWITCH = re.compile(r"o\d")


def _bare(model: str) -> str:
    """The model's own name, without slug, provider, Bedrock's regions and vendors."""
    return re.sub(r"^(?:[a-z-]+\.)*(?=claude-)", "", model.rsplit("/", 1)[-1].lower())


@lru_cache(maxsize=1024)
def abilities_of(model: str) -> Abilities | None:
    """What is known of `gpt-4o`, `@slug/gpt-4o`, `openai/gpt-4o`, `eu.anthropic.claude-...`; None for a stranger."""
    name = _bare(model)
    return next((abilities for pattern, abilities in _FAMILIES if pattern.fullmatch(name)), None)


def common_abilities(models: Iterable[str | None]) -> Abilities | None:
    """What every one of the models can do; None where there is none, or one of them is not known."""
    found = [abilities_of(model) if model else None for model in models]
    known = [abilities for abilities in found if abilities is not None]
    if not known or len(known) < len(found):
        return None
    return Abilities(
        **{each.name: min(getattr(abilities, each.name) for abilities in known) for each in fields(Abilities)}
    )


def takes_cache_points(models: Iterable[str | None]) -> bool:
    """Whether each of the models is one of Claude's, which alone take `cache_control` in a message's parts.

    Others refuse the field, or a request that holds it.
    """
    names = [_bare(model) if model else "" for model in models]
    return bool(names) and all(name.startswith("claude-") for name in names)


def takes_parallel_switch(models: Iterable[str | None]) -> bool:
    """Whether none of the models is known to refuse `parallel_tool_calls`."""
    return not any(model and _WITHOUT_PARALLEL_SWITCH.match(_bare(model)) for model in models)

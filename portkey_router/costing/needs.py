"""What a call asks of whoever answers it: tokens, and abilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from portkey_router.tokens import tokens_of_messages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from portkey_router.abilities import Abilities
    from portkey_router.messages import Request

__all__ = ["Needs", "needs_of"]

# An estimate may be short by a tenth, and the provider refuses what does not fit.
_CAUTION = 1.1
_BEGINNING = 64  # characters
_IMAGES = frozenset({"image_url", "input_image", "image"})


class Needs(NamedTuple):
    """Of one call. `tokens` is an estimate of its input, `max_tokens` the answer it allows, None for any.

    `kind` is the same for calls that begin alike (the same system prompt, or template) and want the same abilities:
    what is learned of one such call's answer is likely to hold for the next.
    """

    tokens: int
    max_tokens: int | None = None
    tools: bool = False
    images: bool = False
    json_schema: bool = False
    stream: bool = False
    kind: int = 0

    def missing(self, abilities: Abilities | None, ratio: float = 1.0) -> str | None:
        """Why a target of these abilities cannot answer; None where it can, or where nothing is known of it.

        `ratio` is how many tokens the target counts for each one estimated.
        """
        if abilities is None:
            return None
        if self.tools and not abilities.tools:
            return "takes no tools"
        if self.images and not abilities.images:
            return "takes no images"
        if self.json_schema and not abilities.json_schema:
            return "keeps to no JSON schema"
        if self.stream and not abilities.streams:
            return "does not stream"
        wanted = round(self.tokens * ratio * _CAUTION) + (self.max_tokens or 0)
        if wanted > abilities.context_window:
            return f"its window of {abilities.context_window:,} tokens is smaller than {wanted:,}"
        return None


def needs_of(request: Request, count: Callable[[str], int] | None = None) -> Needs:
    """What this request asks for; `count` counts the tokens of a text in the place of the estimate."""
    body = request.body
    shape, tools = body.get("response_format"), bool(body.get("tools"))
    json_schema = isinstance(shape, dict) and shape.get("type") == "json_schema"
    schemas = (*(body.get("tools") or ()), *((shape,) if json_schema else ()))  # a schema is read, as a tool's is
    return Needs(
        tokens=tokens_of_messages(request.messages, schemas, count=count),
        max_tokens=_cap(body),
        tools=tools,
        images=any(_holds_images(message) for message in request.messages),
        json_schema=json_schema,
        stream=request.stream,
        kind=hash((_beginning(request), tools, json_schema)),
    )


def _beginning(request: Request) -> str:
    content = request.messages[0].get("content") if request.messages else None
    return content[:_BEGINNING] if isinstance(content, str) else ""


def _cap(body: Mapping[str, Any]) -> int | None:
    cap = body.get("max_completion_tokens") or body.get("max_tokens")
    return cap if isinstance(cap, int) and not isinstance(cap, bool) and cap > 0 else None


def _holds_images(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    return isinstance(content, list) and any(isinstance(part, dict) and part.get("type") in _IMAGES for part in content)

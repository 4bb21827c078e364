"""Chunks of a stream, put together again: one answer, whole or as far as it came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portkey_router.messages import Choice, Completion, ToolCall, says_something

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portkey_router.messages import Chunk, Route, ToolCallDelta, Usage

__all__ = ["Assembler"]


class _Call:
    """A tool call as it grows."""

    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []

    def add(self, delta: ToolCallDelta) -> None:
        self.id = delta.id or self.id
        self.name = delta.name or self.name
        self.arguments.append(delta.arguments)

    def finished(self) -> ToolCall:
        function = {"name": self.name, "arguments": "".join(self.arguments)}
        return {"id": self.id, "type": "function", "function": {**function}}  # type: ignore[typeddict-item]


class _Growing:
    """One choice as it grows."""

    __slots__ = ("blocks", "calls", "content", "extra", "finish_reason", "logprobs", "reasoning", "refusal", "role")

    def __init__(self) -> None:
        self.role = "assistant"
        self.content: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.calls: dict[int, _Call] = {}
        self.blocks: dict[int, dict[str, Any]] = {}
        self.extra: dict[str, Any] = {}
        self.logprobs: list[Any] = []
        self.finish_reason: str | None = None

    def message(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": self.role, "content": "".join(self.content)}
        if not message["content"] and self.calls:
            message["content"] = None
        if self.reasoning:
            message["reasoning_content"] = "".join(self.reasoning)
        if self.refusal:
            message["refusal"] = "".join(self.refusal)
        if self.calls:
            message["tool_calls"] = [self.calls[index].finished() for index in sorted(self.calls)]
        if self.blocks:
            message["content_blocks"] = [self.blocks[index] for index in sorted(self.blocks)]
        return {**self.extra, **message}

    def add_extra(self, extra: Mapping[str, Any]) -> None:
        """Fields that the core does not know: the last of each, but Claude's blocks, which come in pieces."""
        self.extra.update(extra)
        pieces = extra.get("content_blocks")
        for position, piece in enumerate(pieces if isinstance(pieces, list) else ()):
            if not isinstance(piece, dict):
                continue
            at, delta = piece.get("index"), piece.get("delta")
            said = {name: value for name, value in piece.items() if name not in {"index", "delta"}}
            said |= delta if isinstance(delta, dict) else {}
            block = self.blocks.setdefault(at if isinstance(at, int) else position, {})
            for name, value in said.items():
                grows = isinstance(value, str) and isinstance(block.get(name), str) and name != "type"
                block[name] = block[name] + value if grows else value


class Assembler:
    """Takes every chunk of a stream and gives the answer they make.

    `told` counts the chunks that brought part of the answer, `usage` and `model` are the last that the stream stated.
    """

    __slots__ = ("_choices", "_id", "model", "told", "usage")

    def __init__(self) -> None:
        self._choices: dict[int, _Growing] = {}
        self._id: str | None = None
        self.model: str | None = None
        self.usage: Usage | None = None
        self.told = 0

    def add(self, chunk: Chunk) -> None:
        """Take one more chunk."""
        self._id = self._id or chunk.id
        self.model = chunk.model or self.model
        if chunk.usage is not None:
            self.usage = chunk.usage
        choice = self._choices.get(chunk.index)
        if choice is None:
            choice = self._choices[chunk.index] = _Growing()
        if chunk.content:
            choice.content.append(chunk.content)
            self.told += 1
        if chunk.reasoning:
            choice.reasoning.append(chunk.reasoning)
            self.told += 1
        if chunk.refusal:
            choice.refusal.append(chunk.refusal)
            self.told += 1
        for delta in chunk.tool_calls:
            choice.calls.setdefault(delta.index, _Call()).add(delta)
            self.told += 1
        if chunk.role:
            choice.role = chunk.role
        if chunk.extra:
            choice.add_extra(chunk.extra)
            self.told += says_something(chunk.extra)
        if chunk.logprobs:
            choice.logprobs.extend(chunk.logprobs.get("content") or ())
        if chunk.finish_reason:
            choice.finish_reason = chunk.finish_reason

    @property
    def finish_reasons(self) -> tuple[str | None, ...]:
        """Why each choice ended."""
        return tuple(choice.finish_reason for choice in self._choices.values())

    def completion(self, route: Route, *, model: str | None) -> Completion:
        """The answer so far; whether it is whole is the decoder's to say. `model` stands in for one never stated."""
        choices = tuple(
            Choice(
                message=growing.message(),
                finish_reason=growing.finish_reason,
                index=index,
                logprobs={"content": growing.logprobs} if growing.logprobs else None,
            )
            for index, growing in sorted(self._choices.items())
        )
        return Completion(
            choices=choices or (Choice(message={"role": "assistant", "content": ""}),),
            model=self.model or model or "",
            route=route,
            usage=self.usage,
            id=self._id,
        )

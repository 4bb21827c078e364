"""A streamed chat completion: bytes in, chunks out, and whether the answer is whole."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from portkey_router.errors import StreamInterruptedError
from portkey_router.messages import Chunk, ToolCallDelta
from portkey_router.wire.replies import arguments_of, error_in_event, text_of
from portkey_router.wire.sse import SseDecoder
from portkey_router.wire.usage import count_of, usage_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from portkey_router.messages import Usage

__all__ = ["StreamDecoder"]

_KNOWN_DELTA = frozenset(
    {"content", "role", "tool_calls", "reasoning_content", "reasoning", "refusal", "function_call"}
)


class StreamDecoder:
    """Turns the bytes of one stream into `Chunk`s.

    `done` is set by `[DONE]`, `finished` once every choice seen has its finish reason. Raises
    `StreamInterruptedError` for an event that is not JSON (data was lost), and the fitting `UpstreamError` for an
    error inside the stream.
    """

    __slots__ = ("_calls", "_headers", "_open", "_secrets", "_sse", "done", "finished", "usage_seen")

    def __init__(self, headers: Mapping[str, str], secrets: tuple[str, ...] = ()) -> None:
        self._sse = SseDecoder()
        self._headers = headers
        self._secrets = secrets
        self._open: dict[int, bool] = {}
        self._calls: dict[int, list[tuple[int | None, str | None]]] = {}
        self.done = False
        self.finished = False
        self.usage_seen = False

    def feed(self, piece: bytes) -> Iterator[Chunk]:
        """The chunks that these bytes finish; `b""` is the end of the stream."""
        for data in self._sse.feed(piece) if piece else self._sse.flush():
            if data == b"[DONE]":
                self.done = True
            elif not self.done and data.strip():
                yield from self._event(data)

    def _event(self, data: bytes) -> list[Chunk]:
        try:
            event = json.loads(data.decode("utf-8", "surrogatepass"))  # as it decodes bytes, but told, not guessed
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            msg = f"The stream held an event that is not JSON ({len(data)} bytes): part of the answer is lost."
            raise StreamInterruptedError(msg)
        if event.get("error"):  # beside choices too, whose finish_reason is then "error"
            raise error_in_event(event, self._headers, secrets=self._secrets)
        usage = usage_of(event, self._headers.get("x-portkey-provider"))
        if usage is not None:
            self.usage_seen = True
        choices = event.get("choices")
        if not choices:
            if usage is None:
                return []
            return [Chunk(usage=usage, model=_string(event.get("model")), id=_string(event.get("id")))]
        chunks: list[Chunk] = []
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                chunks.append(self._chunk(event, choice, None if chunks else usage))
        return chunks

    def _chunk(self, event: dict[str, Any], choice: dict[str, Any], usage: Usage | None) -> Chunk:
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            delta = {}
        index = count_of(choice.get("index")) or 0
        reason = _string(choice.get("finish_reason"))
        if reason or index not in self._open:
            self._open[index] = not reason
            self.finished = not any(self._open.values())
        calls = delta.get("tool_calls")
        known = delta.keys() <= _KNOWN_DELTA
        return Chunk(
            content=text_of(delta.get("content")),
            reasoning=text_of(delta.get("reasoning_content") or delta.get("reasoning")),
            tool_calls=tuple(self._tool_call(index, call) for call in calls if isinstance(call, dict))
            if isinstance(calls, list)
            else (),
            finish_reason=reason,
            usage=usage,
            index=index,
            role=_string(delta.get("role")),
            refusal=_string(delta.get("refusal")),
            logprobs=choice["logprobs"] if isinstance(choice.get("logprobs"), dict) else None,
            model=_string(event.get("model")),
            id=_string(event.get("id")),
            extra=None if known else {name: value for name, value in delta.items() if name not in _KNOWN_DELTA},
        )

    def _tool_call(self, choice: int, call: dict[str, Any]) -> ToolCallDelta:
        """A piece of a tool call, under an index of its own.

        Gateways that translate from other providers give parallel calls one index, or none: a new id is a new call.
        """
        said, name = count_of(call.get("index")), _string(call.get("id"))
        calls = self._calls.setdefault(choice, [])
        position = next((i for i in reversed(range(len(calls))) if calls[i][0] == said), -1)
        if position < 0 or (name is not None and calls[position][1] not in {None, name}):
            position = len(calls)
            calls.append((said, name))
        elif name is not None:
            calls[position] = (said, name)
        function = call.get("function")
        if not isinstance(function, dict):
            function = {}
        return ToolCallDelta(
            index=position,
            id=name,
            name=_string(function.get("name")),
            arguments=arguments_of(function),
        )


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None

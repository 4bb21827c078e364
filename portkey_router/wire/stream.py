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
    from collections.abc import Iterable, Iterator, Mapping

    from portkey_router.messages import Usage

__all__ = ["StreamDecoder"]

_KNOWN_DELTA = frozenset(
    {"content", "role", "tool_calls", "reasoning_content", "reasoning", "refusal", "function_call"}
)


_ERROR = "error"
_NO_PART = "an event that is no part of a chat completion"


class StreamDecoder:
    """Turns the bytes of one stream into `Chunk`s.

    `done` is set by `[DONE]`, `finished` once every choice seen has its finish reason, of as many `choices` as were
    asked for. `lenient`: `[DONE]` alone ends an answer, too. Raises `StreamInterruptedError` for an event that cannot
    be read (data was lost), and the fitting `UpstreamError` for an error inside the stream. Once the answer is finished
    an event that cannot be read takes nothing from it.
    """

    __slots__ = (
        "_calls",
        "_choices",
        "_headers",
        "_lenient",
        "_open",
        "_secrets",
        "_sse",
        "done",
        "finished",
        "usage_seen",
    )

    def __init__(
        self,
        headers: Mapping[str, str],
        secrets: Iterable[str] = (),
        *,
        choices: Any = None,
        lenient: bool = False,
    ) -> None:
        self._sse = SseDecoder()
        self._headers = headers
        self._secrets = secrets
        self._choices = choices if isinstance(choices, int) and choices > 1 else 1
        self._lenient = lenient
        self._open: dict[int, bool] = {}
        self._calls: dict[int, list[tuple[int | None, str | None]]] = {}
        self.done = False
        self.finished = False
        self.usage_seen = False

    def feed(self, piece: bytes) -> Iterator[Chunk]:
        """The chunks that these bytes finish; `b""` is the end of the stream."""
        for data in self._sse.feed(piece) if piece else self._sse.flush():
            if data == b"[DONE]":
                self._end()
            elif not self.done and data.strip():
                yield from self._event(data)

    def check_whole(self) -> None:
        """Raise `StreamInterruptedError` unless the answer is whole; for the end of the stream."""
        if not self.finished:
            msg = (
                "The stream ended without a finish_reason: the answer is cut short (the gateway presents it as whole). "
                "Ask again, or add a fallback target."
            )
            raise StreamInterruptedError(msg)

    def _end(self) -> None:
        """`[DONE]`: nothing more is to come. Some providers give one choice, however many were asked for."""
        self.done = True
        ended = bool(self._open) and not any(self._open.values())
        self.finished = self.finished or ended or (self._lenient and bool(self._open))

    def _event(self, data: bytes) -> list[Chunk]:
        try:
            event = json.loads(data.decode("utf-8", "surrogatepass"))  # as it decodes bytes, but told, not guessed
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            return self._lost(f"an event that is not JSON ({len(data)} bytes)")
        if event.get("error"):  # beside choices too, whose finish_reason is then "error"
            raise error_in_event(event, self._headers, secrets=self._secrets)
        usage = usage_of(event, self._headers.get("x-portkey-provider"))
        if usage is not None:
            self.usage_seen = True
        choices = event.get("choices")
        if not choices:
            if _is_error(event):
                raise error_in_event({"error": event}, self._headers, secrets=self._secrets)
            if usage is None:
                return []
            return [Chunk(usage=usage, model=_string(event.get("model")), id=_string(event.get("id")))]
        if not isinstance(choices, list):
            return self._lost(_NO_PART)
        chunks: list[Chunk] = []
        for choice in choices:
            delta = _delta_of(choice)
            if delta is None:
                return self._lost(_NO_PART)
            chunks.append(self._chunk(event, choice, delta, None if chunks else usage))
        return chunks

    def _lost(self, what: str) -> list[Chunk]:
        """What cannot be read is part of the answer that is lost, unless the answer had ended."""
        if self.finished:
            return []
        raise StreamInterruptedError(f"The stream held {what}: part of the answer is lost.")

    def _chunk(
        self, event: dict[str, Any], choice: dict[str, Any], delta: dict[str, Any], usage: Usage | None
    ) -> Chunk:
        index = count_of(choice.get("index")) or 0
        reason = _string(choice.get("finish_reason"))
        if reason == _ERROR or "error" in choice:
            self._refuse(event, choice)
        if reason or index not in self._open:
            self._open[index] = not reason
            self.finished = len(self._open) >= self._choices and not any(self._open.values())
        calls = delta.get("tool_calls")
        known = delta.keys() <= _KNOWN_DELTA
        return Chunk(
            content=text_of(delta.get("content")),
            reasoning=text_of(delta.get("reasoning_content") or delta.get("reasoning")),
            tool_calls=tuple(self._tool_call(index, call) for call in calls) if calls else (),
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

    def _refuse(self, event: dict[str, Any], choice: dict[str, Any]) -> None:
        """Raise the error that a choice holds."""
        if choice.get("error"):
            raise error_in_event({**event, "error": choice["error"]}, self._headers, secrets=self._secrets)
        if choice.get("finish_reason") == _ERROR:
            raise StreamInterruptedError("The answer ended with the finish_reason 'error': it is not whole.")

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


def _is_error(event: Mapping[str, Any]) -> bool:
    """An error that is the event itself, as vLLM, Anthropic and the gateway may write it."""
    return "error" in {event.get("object"), event.get("type")} or event.get("status") == "failure"


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _delta_of(choice: Any) -> dict[str, Any] | None:
    """The delta of a choice; None for what has not the shape of one, so that nothing of an answer is passed over."""
    if not isinstance(choice, dict):
        return None
    delta = choice.get("delta") or {}
    if not isinstance(delta, dict):
        return None
    content, calls = delta.get("content"), delta.get("tool_calls")
    if content is not None and not isinstance(content, str | list):
        return None
    return delta if not calls or (isinstance(calls, list) and all(isinstance(call, dict) for call in calls)) else None

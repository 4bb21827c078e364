"""The ways to ask: the router's verbs, and each framework's, sync and async, whole and streamed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatMessage

from langchain_portkey_router import ChatPortkey
from llama_index_portkey import PortkeyLLM
from portkey_router import Completion, PortkeyRouter
from portkey_router.describe import route_to_dict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

__all__ = ["FACES", "STREAMED", "WHOLE", "Face", "Seen"]

QUESTION = "What does a gateway do when its first provider is down?"
MESSAGES = [{"role": "user", "content": QUESTION}]


@dataclass
class Seen:
    """What a caller got: what was `shown` piece by piece, the whole `text`, and who gave it after what.

    `resets` are the places in `shown` at which everything before was void.
    """

    shown: list[str] = field(default_factory=list)
    text: str | None = None
    route: Mapping[str, Any] = field(default_factory=dict)
    tokens: tuple[int, int] | None = None
    resets: list[int] = field(default_factory=list)

    @property
    def target(self) -> str:
        """Who answered."""
        return str(self.route["target"])

    @property
    def attempts(self) -> list[tuple[str, str]]:
        """Target and outcome of each attempt."""
        return [(each["target"], each["outcome"]) for each in self.route["attempts"]]

    def check_whole(self) -> None:
        """What was shown, since the last reset, is the whole answer."""
        assert self.text
        if self.shown:
            assert "".join(self.shown[self.resets[-1] if self.resets else 0 :]) == self.text


Piece = tuple[str, bool, "Seen | None"]  # text, whether it is a reset, and at the end what is known then


@dataclass(frozen=True)
class Face:
    """One way to ask. `ask` gives what was seen; what it raised has `.seen`, as far as it came."""

    name: str
    streams: bool
    pieces: Callable[..., Iterator[Piece]]

    def ask(self, **options: Any) -> Seen:
        """One question; options are those of routers and models alike."""
        seen = Seen()
        try:
            for text, reset, end in self.pieces(**options):
                if reset:
                    seen.resets.append(len(seen.shown))
                elif end is not None:
                    seen.text, seen.route, seen.tokens = end.text, end.route, end.tokens
                if text:
                    seen.shown.append(text)
        except Exception as error:
            error.seen = seen  # type: ignore[attr-defined]  # for the test to look at
            raise
        return seen


def _of(completion: Completion) -> Seen:
    usage = completion.usage
    tokens = (usage.input_tokens, usage.output_tokens) if usage else None
    return Seen(text=completion.text, route=route_to_dict(completion), tokens=tokens)


def _collect(pieces: AsyncIterator[Any]) -> list[Any]:
    """All pieces of an async stream; where it breaks they come first, and then its error."""

    async def all_of() -> list[Any]:
        found: list[Any] = []
        try:
            async for piece in pieces:
                found.append(piece)  # noqa: PERF401  (what came before an error is kept)
        except Exception as error:  # noqa: BLE001  (raised below, after what came before it)
            found.append(error)
        return found

    return asyncio.run(all_of())


def _raised(pieces: list[Any]) -> Iterator[Any]:
    for piece in pieces:
        if isinstance(piece, Exception):
            raise piece
        yield piece


# ---- the router ------------------------------------------------------------------------------------------------------


def _complete(**options: Any) -> Iterator[Piece]:
    yield "", False, _of(PortkeyRouter.from_env(**options).complete(MESSAGES))


def _acomplete(**options: Any) -> Iterator[Piece]:
    yield "", False, _of(asyncio.run(PortkeyRouter.from_env(**options).acomplete(MESSAGES)))


def _items(items: Any) -> Iterator[Piece]:
    for item in items:
        if isinstance(item, Completion):
            yield "", False, _of(item)
        else:
            yield item.content, item.reset, None


def _stream(**options: Any) -> Iterator[Piece]:
    yield from _items(PortkeyRouter.from_env(**options).run_stream(MESSAGES))


def _astream(**options: Any) -> Iterator[Piece]:
    router = PortkeyRouter.from_env(**options)

    async def pieces() -> AsyncIterator[Any]:
        async for item in router.arun_stream(MESSAGES):
            yield item

    yield from _items(_raised(_collect(pieces())))


# ---- LangChain -------------------------------------------------------------------------------------------------------


def _message(message: Any) -> Seen:
    usage = message.usage_metadata
    tokens = (usage["input_tokens"], usage["output_tokens"]) if usage else None
    return Seen(text=message.text, route=message.response_metadata["portkey"], tokens=tokens)


def _invoke(**options: Any) -> Iterator[Piece]:
    yield "", False, _message(ChatPortkey(**options).invoke(QUESTION))


def _ainvoke(**options: Any) -> Iterator[Piece]:
    yield "", False, _message(asyncio.run(ChatPortkey(**options).ainvoke(QUESTION)))


def _chunks(chunks: Any) -> Iterator[Piece]:
    whole = None
    for chunk in chunks:
        whole = chunk if whole is None else whole + chunk
        yield chunk.text, bool(chunk.additional_kwargs.get("portkey_reset")), None
    if whole is not None and "portkey" in whole.response_metadata:
        yield "", False, _message(whole)


def _lc_stream(**options: Any) -> Iterator[Piece]:
    yield from _chunks(ChatPortkey(**options).stream(QUESTION))


def _lc_astream(**options: Any) -> Iterator[Piece]:
    yield from _chunks(_raised(_collect(ChatPortkey(**options).astream(QUESTION))))


# ---- LlamaIndex ------------------------------------------------------------------------------------------------------


def _response(response: Any) -> Seen:
    facts = response.additional_kwargs
    tokens = (facts["prompt_tokens"], facts["completion_tokens"]) if "prompt_tokens" in facts else None
    return Seen(text=response.message.content, route=facts["portkey"], tokens=tokens)


def _chat(**options: Any) -> Iterator[Piece]:
    yield "", False, _response(PortkeyLLM(**options).chat([ChatMessage(QUESTION)]))


def _achat(**options: Any) -> Iterator[Piece]:
    yield "", False, _response(asyncio.run(PortkeyLLM(**options).achat([ChatMessage(QUESTION)])))


def _responses(responses: Any) -> Iterator[Piece]:
    for response in responses:
        facts = response.additional_kwargs
        yield (
            response.delta or "",
            bool(facts.get("portkey_reset")),
            _response(response) if "portkey" in facts else None,
        )


def _stream_chat(**options: Any) -> Iterator[Piece]:
    yield from _responses(PortkeyLLM(**options).stream_chat([ChatMessage(QUESTION)]))


def _astream_chat(**options: Any) -> Iterator[Piece]:
    llm = PortkeyLLM(**options)

    async def pieces() -> AsyncIterator[Any]:
        async for piece in await llm.astream_chat([ChatMessage(QUESTION)]):
            yield piece

    yield from _responses(_raised(_collect(pieces())))


WHOLE = (
    Face("complete", streams=False, pieces=_complete),
    Face("acomplete", streams=False, pieces=_acomplete),
    Face("invoke", streams=False, pieces=_invoke),
    Face("ainvoke", streams=False, pieces=_ainvoke),
    Face("chat", streams=False, pieces=_chat),
    Face("achat", streams=False, pieces=_achat),
)
STREAMED = (
    Face("stream", streams=True, pieces=_stream),
    Face("astream", streams=True, pieces=_astream),
    Face("ChatPortkey.stream", streams=True, pieces=_lc_stream),
    Face("ChatPortkey.astream", streams=True, pieces=_lc_astream),
    Face("stream_chat", streams=True, pieces=_stream_chat),
    Face("astream_chat", streams=True, pieces=_astream_chat),
)
FACES = (*WHOLE, *STREAMED)

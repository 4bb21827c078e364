"""What Portkey Router adds to a call, beside both frameworks' OpenAI models, the portkey-ai SDK, and plain httpx.

    .venv/bin/python benchmarks/overhead.py            # about six minutes
    .venv/bin/python benchmarks/overhead.py --quick    # twenty seconds, rough

A framework's floor is a model of its own that answers at once, without any I/O: what is below it, nobody's client can
save.
"Own code" is ours alone, over a port that answers at once: plan, encode, decode, price. How it is measured is in
loopback.py.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import sys
from typing import TYPE_CHECKING, Any, Protocol

import httpx
import portkey_ai
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI
from llama_index.core.base.llms.types import ChatResponse, CompletionResponse
from llama_index.core.llms import ChatMessage, LLMMetadata
from llama_index.core.llms.callbacks import llm_chat_callback
from llama_index.core.llms.custom import CustomLLM
from llama_index.llms.openai import OpenAI
from loopback import ANSWER, EVENTS, MESSAGES, MODEL, TOKENS, imports, measure, measure_async, server
from pydantic import SecretStr

from langchain_portkey_router import ChatPortkey
from llama_index_portkey import PortkeyLLM
from portkey_router import Fallback, PortkeyRouter, PriceBook, load_settings
from portkey_router.wire.http import HttpReply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from llama_index.core.base.llms.types import ChatResponseAsyncGen, ChatResponseGen
    from llama_index.core.llms import LLM

    from portkey_router.wire.http import Expiry, HttpCall

CORE_OF_LANGCHAIN = "langchain_core.language_models.chat_models"
CORE_OF_LLAMA_INDEX = "llama_index.core.llms"
IMPORTS = (
    CORE_OF_LANGCHAIN,
    "langchain_portkey_router",
    "langchain_openai",
    CORE_OF_LLAMA_INDEX,
    "llama_index_portkey",
    "llama_index.llms.openai",
    "portkey_router",
    "portkey_ai",
    "httpx",
)


class Client(Protocol):
    """One client, by its three verbs; each gives the answer's text."""

    def complete(self) -> str:
        """One call, blocking."""

    async def acomplete(self) -> str:
        """One call, in the running loop."""

    async def astream(self) -> str:
        """One streamed call, in the running loop."""


class Httpx:
    """No client at all: the request by httpx, the answer by `json`."""

    def __init__(self, url: str) -> None:
        self.url = url + "/chat/completions"
        self.body: dict[str, Any] = {"model": MODEL, "messages": MESSAGES}
        self.http, self.ahttp = httpx.Client(), httpx.AsyncClient(timeout=60)

    def complete(self) -> str:
        """By `post`."""
        return str(self.http.post(self.url, json=self.body).json()["choices"][0]["message"]["content"])

    async def acomplete(self) -> str:
        """By `post`."""
        reply = await self.ahttp.post(self.url, json=self.body)
        return str(reply.json()["choices"][0]["message"]["content"])

    async def astream(self) -> str:
        """Line by line."""
        text: list[str] = []
        async with self.ahttp.stream("POST", self.url, json={**self.body, "stream": True}) as reply:
            async for line in reply.aiter_lines():
                if line.startswith("data: {"):
                    text.extend(choice["delta"].get("content", "") for choice in json.loads(line[6:])["choices"])
        return "".join(text)


class PortkeySdk:
    """Portkey's own SDK."""

    def __init__(self, url: str) -> None:
        self.sdk = portkey_ai.Portkey(base_url=url, api_key="no-key", virtual_key="none")
        self.asdk = portkey_ai.AsyncPortkey(base_url=url, api_key="no-key", virtual_key="none")

    def complete(self) -> str:
        """By `create`."""
        answer: Any = self.sdk.chat.completions.create(model=MODEL, messages=MESSAGES)
        return str(answer.choices[0].message.content)

    async def acomplete(self) -> str:
        """By `create`."""
        answer: Any = await self.asdk.chat.completions.create(model=MODEL, messages=MESSAGES)
        return str(answer.choices[0].message.content)

    async def astream(self) -> str:
        """By `create(stream=True)`."""
        chunks: Any = await self.asdk.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
        return "".join([choice.delta.content or "" async for chunk in chunks for choice in chunk.choices])


class Router:
    """The core, without a framework."""

    def __init__(self, router: PortkeyRouter) -> None:
        self.router = router

    def complete(self) -> str:
        """By `complete`."""
        return self.router.complete(MESSAGES).text

    async def acomplete(self) -> str:
        """By `acomplete`."""
        return (await self.router.acomplete(MESSAGES)).text

    def stream(self) -> str:
        """By `stream`."""
        return "".join(chunk.content for chunk in self.router.stream(MESSAGES))

    async def astream(self) -> str:
        """By `astream`."""
        return "".join([chunk.content async for chunk in self.router.astream(MESSAGES)])


class LangChain:
    """A LangChain chat model, whosever it is."""

    def __init__(self, model: BaseChatModel) -> None:
        self.model = model
        self.prompt = [(message["role"], message["content"]) for message in MESSAGES]

    def complete(self) -> str:
        """By `invoke`."""
        return self.model.invoke(self.prompt).text

    async def acomplete(self) -> str:
        """By `ainvoke`."""
        return (await self.model.ainvoke(self.prompt)).text

    def stream(self) -> str:
        """By `stream`."""
        return "".join(chunk.text for chunk in self.model.stream(self.prompt))

    async def astream(self) -> str:
        """By `astream`."""
        return "".join([chunk.text async for chunk in self.model.astream(self.prompt)])


class Floor(BaseChatModel):
    """Answers at once."""

    @property
    def _llm_type(self) -> str:
        return "floor"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:  # noqa: ARG002  (the hook's)
        message: Any = ANSWER["choices"][0]["message"]  # type: ignore[index]
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content=message["content"]))])

    async def _agenerate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        return self._generate(messages)

    def _stream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:  # noqa: ARG002  (the hook's)
        for token in ["It", " routes. "] * (TOKENS // 2):
            yield ChatGenerationChunk(message=AIMessageChunk(content=token))

    async def _astream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._stream(messages):
            yield chunk


class LlamaIndex:
    """A LlamaIndex LLM, whosever it is."""

    def __init__(self, llm: LLM) -> None:
        self.llm = llm
        self.prompt = [ChatMessage(message["content"]) for message in MESSAGES]

    def complete(self) -> str:
        """By `chat`."""
        return self.llm.chat(self.prompt).message.content or ""

    async def acomplete(self) -> str:
        """By `achat`."""
        return (await self.llm.achat(self.prompt)).message.content or ""

    def stream(self) -> str:
        """By `stream_chat`."""
        return "".join(piece.delta or "" for piece in self.llm.stream_chat(self.prompt))

    async def astream(self) -> str:
        """By `astream_chat`."""
        return "".join([piece.delta or "" async for piece in await self.llm.astream_chat(self.prompt)])


class LlamaFloor(CustomLLM):
    """Answers at once."""

    @property
    def metadata(self) -> LLMMetadata:
        """A chat model's."""
        return LLMMetadata(is_chat_model=True)

    def complete(self, *_: Any, **__: Any) -> CompletionResponse:
        """Not asked here."""
        raise NotImplementedError

    stream_complete = complete  # type: ignore[assignment]  # likewise

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **_: Any) -> ChatResponse:  # noqa: ARG002  (the verb's)
        """The answer."""
        message: Any = ANSWER["choices"][0]["message"]  # type: ignore[index]
        return ChatResponse(message=ChatMessage(role="assistant", content=message["content"]))

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **_: Any) -> ChatResponse:  # noqa: ARG002  (the verb's)
        """The answer."""
        message: Any = ANSWER["choices"][0]["message"]  # type: ignore[index]
        return ChatResponse(message=ChatMessage(role="assistant", content=message["content"]))

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **_: Any) -> ChatResponseGen:  # noqa: ARG002  (the verb's)
        """The answer, a token a piece."""
        return pieces()

    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **_: Any) -> ChatResponseAsyncGen:  # noqa: ARG002  (the verb's)
        """The answer, a token a piece."""

        async def each() -> ChatResponseAsyncGen:
            for piece in pieces():
                yield piece

        return each()


def pieces() -> ChatResponseGen:
    """LlamaIndex's pieces of a stream: each holds the whole text so far."""
    text = ""
    for token in ["It", " routes. "] * (TOKENS // 2):
        text += token
        yield ChatResponse(message=ChatMessage(role="assistant", content=text), delta=token)


def clients(url: str) -> dict[str, Client]:
    """Everybody, by the name in the tables."""
    return {
        "httpx": Httpx(url),
        "portkey-ai SDK": PortkeySdk(url),
        "PortkeyRouter": Router(PortkeyRouter.from_env(base_url=url, model=MODEL, virtual_key="none", env_file=None)),
        "LangChain's floor": LangChain(Floor()),
        "ChatPortkey": LangChain(ChatPortkey(base_url=url, model=MODEL, virtual_key="none")),
        "ChatOpenAI": LangChain(ChatOpenAI(base_url=url, model=MODEL, api_key=SecretStr("no-key"))),
        "LlamaIndex's floor": LlamaIndex(LlamaFloor()),
        "PortkeyLLM": LlamaIndex(PortkeyLLM(base_url=url, model=MODEL, virtual_key="none")),
        "LlamaIndex OpenAI": LlamaIndex(OpenAI(api_base=url, model=MODEL, api_key="no-key", timeout=60)),
    }


class Port:
    """Answers at once, whatever is asked; a stream comes in one piece, or an event a piece."""

    def __init__(self, pieces: list[str]) -> None:
        self.pieces = [piece.encode() for piece in pieces]
        self.body = json.dumps(ANSWER).encode()

    def send(self, call: HttpCall) -> HttpReply:  # noqa: ARG002  (the port's)
        """The whole answer."""
        return HttpReply(200, {"content-type": "application/json"}, self.body)

    def open(self, call: HttpCall) -> OpenStream:  # noqa: ARG002  (the port's)
        """The streamed one."""
        return OpenStream(self.pieces)


class OpenStream:
    """A stream whose every piece is there already."""

    status = 200

    def __init__(self, pieces: list[bytes]) -> None:
        self.headers = {"content-type": "text/event-stream"}
        self.left = iter(pieces)

    def read(self, expiry: Expiry) -> bytes:  # noqa: ARG002  (the port's)
        """The next piece."""
        return next(self.left, b"")

    def read_all(self, expiry: Expiry) -> bytes:  # noqa: ARG002  (the port's)
        """The rest."""
        return b"".join(self.left)

    def abort(self) -> None:
        """Nothing is held."""


def own_code(calls: int, rounds: int) -> dict[str, float]:
    """CPU milliseconds of our own code, by what it does."""
    settings = load_settings(base_url="http://none/v1", virtual_keys={"openai": "a", "anthropic": "b"}, env_file=None)
    one, three = MODEL, Fallback(MODEL, "claude-sonnet-4-5", "gpt-4o-mini")
    at_once, by_event = Port(["".join(EVENTS)]), Port(EVENTS)

    def router(port: Port, strategy: Any) -> PortkeyRouter:
        ports: Any = port, port  # only the sync half is used
        return PortkeyRouter(settings, ports=ports, strategy=strategy, prices=PriceBook())

    def chat(port: Port) -> LangChain:
        model = ChatPortkey(base_url="http://none/v1", model=MODEL, virtual_key="none")
        model._the_router()._sync_port = port  # noqa: SLF001  (there is no other way in)
        return LangChain(model)

    def taken(port: Port) -> dict[str, Any]:
        return {"one": router(port, one), "three": router(port, three), "chat": chat(port)}

    once, each = taken(at_once), taken(by_event)
    return measure(
        {
            "a call": Router(once["one"]).complete,
            "a call, three targets to fall back on": Router(once["three"]).complete,
            f"{TOKENS} tokens, arrived together": Router(once["one"]).stream,
            f"{TOKENS} tokens, one by one": Router(each["one"]).stream,
            "ChatPortkey: a call": once["chat"].complete,
            f"ChatPortkey: {TOKENS} tokens, one by one": each["chat"].stream,
            "LangChain's floor: a call": LangChain(Floor()).complete,
            f"LangChain's floor: {TOKENS} tokens": LangChain(Floor()).stream,
        },
        calls,
        rounds,
    )


async def in_loop(fast: dict[str, Client], slow: dict[str, Client], rounds: int, effort: int) -> list[dict[str, float]]:
    """CPU milliseconds a call: 64 in flight, streamed, and streamed a token at a time."""
    return [
        await measure_async({name: client.acomplete for name, client in fast.items()}, 64, effort, rounds),
        await measure_async({name: client.astream for name, client in fast.items()}, 1, effort * 4, rounds),
        await measure_async({name: client.astream for name, client in slow.items()}, min(4, effort), effort, rounds),
    ]


def table(title: str, figures: dict[str, float]) -> None:
    """Print what each client took, beside httpx and beside either framework's OpenAI model."""
    print(f"\n| {title} | CPU ms | x httpx | x ChatOpenAI | x LlamaIndex OpenAI |\n|---|---|---|---|---|")
    for name, milliseconds in figures.items():
        httpx, langchain, llama = (
            milliseconds / figures[peer] for peer in ("httpx", "ChatOpenAI", "LlamaIndex OpenAI")
        )
        print(f"| {name} | {milliseconds:.3f} | {httpx:.2f} | {langchain:.3f} | {llama:.3f} |")


def aims(figures: list[tuple[str, float, float]]) -> None:
    """Print what is aimed for, and whether it is met."""
    print("\n| aim | at most | measured | |\n|---|---|---|---|")
    for what, most, measured in figures:
        print(f"| {what} | {most:g} | {measured:.3f} | {'met' if measured <= most else 'not met'} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few calls, rough figures")
    quick = parser.parse_args().quick
    rounds = 1 if quick else 7
    with server() as url:
        fast, slow = clients(url + "/v1"), clients(url + "/slow/v1")
        if quick:
            gc.freeze()  # what is loaded by now is nobody's rubbish: collecting it 88 times would take half the run
        one = measure({name: client.complete for name, client in fast.items()}, 10 if quick else 100, rounds)
        many, streamed, slowly = asyncio.run(in_loop(fast, slow, rounds, 1 if quick else 5))
    own = own_code(20 if quick else 200, rounds)
    imported = imports(IMPORTS, 1 if quick else 7, at_once=2 if quick else 1)

    table("one call", one)
    table("64 in flight, a call", many)
    table(f"{TOKENS} tokens streamed, arrived together", streamed)
    table(f"{TOKENS} tokens streamed, one by one", slowly)
    print("\n| own code, without HTTP | CPU ms |\n|---|---|")
    for name, milliseconds in own.items():
        print(f"| {name} | {milliseconds:.3f} |")
    print("\n| import | CPU s | MB | x langchain_core's chat models | x llama_index.core.llms |\n|---|---|---|---|---|")
    for name, (cpu, megabytes) in imported.items():
        langchain, llama = (cpu / imported[core][0] for core in (CORE_OF_LANGCHAIN, CORE_OF_LLAMA_INDEX))
        print(f"| {name} | {cpu:.2f} | {megabytes:.0f} | {langchain:.2f} | {llama:.2f} |")
    aims(
        [
            ("ChatPortkey beside ChatOpenAI: one call", 0.4, one["ChatPortkey"] / one["ChatOpenAI"]),
            ("ChatPortkey beside ChatOpenAI: 64 in flight", 0.1, many["ChatPortkey"] / many["ChatOpenAI"]),
            ("ChatPortkey beside ChatOpenAI: streaming", 0.75, streamed["ChatPortkey"] / streamed["ChatOpenAI"]),
            ("PortkeyLLM beside LlamaIndex OpenAI: one call", 0.4, one["PortkeyLLM"] / one["LlamaIndex OpenAI"]),
            ("PortkeyLLM beside LlamaIndex OpenAI: 64 in flight", 0.1, many["PortkeyLLM"] / many["LlamaIndex OpenAI"]),
            (
                "PortkeyLLM beside LlamaIndex OpenAI: streaming",
                0.75,
                streamed["PortkeyLLM"] / streamed["LlamaIndex OpenAI"],
            ),
            ("own code: milliseconds a call", 0.15, own["a call"]),
            (
                "import beside langchain_core's chat models",
                1.3,
                imported["langchain_portkey_router"][0] / imported[CORE_OF_LANGCHAIN][0],
            ),
        ]
    )
    print(f"\nPython {sys.version.split()[0]} on {platform.system()}, {os.cpu_count()} processors.")


if __name__ == "__main__":
    main()

"""A router with a cache over scripted replies, asked in each of its four ways."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from portkey_router.cache.cache import SemanticCache
from portkey_router.messages import Chunk, Completion
from portkey_router.router import PortkeyRouter
from portkey_router.settings import Settings
from tests.core.fakes import HELLO, AsyncPort, Stream, SyncPort, delta, usage_event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.core.fakes import Reply

WAYS = ("complete", "acomplete", "stream", "astream")
PLANTED = "PLANTED-key-0123456789"
KEYS = {name: SecretStr(f"{PLANTED}-{name}") for name in ("openai", "anthropic")}
SETTINGS = Settings(api_key=SecretStr(PLANTED), virtual_keys=KEYS)


def cached(*replies: Reply, cache: SemanticCache | None = None, **options: Any) -> PortkeyRouter:
    """A router with a cache of its own; its four verbs follow one script."""
    port, aport = SyncPort(*replies), AsyncPort()
    aport._port, aport.calls = port, port.calls
    settings = options.pop("settings", SETTINGS)
    given = {"model": "gpt-4o", "max_retries": 0, "cache": cache or SemanticCache("memory://"), **options}
    if given.get("strategy") is not None or given.get("config") is not None:
        given["model"] = options.get("model")
    return PortkeyRouter(settings, ports=(port, aport), **given)


def cache_of(router: PortkeyRouter) -> SemanticCache:
    """Its cache."""
    assert router.cache is not None
    return router.cache


def calls(router: PortkeyRouter) -> int:
    """How many requests were made."""
    port: Any = router._sync_port
    return len(port.calls)


def told(router: PortkeyRouter, way: str, messages: Any = HELLO, **options: Any) -> list[Chunk | Completion]:
    """What a verb gives: the whole answer last, before it the chunks of a stream."""
    if way == "complete":
        return [router.complete(messages, **options)]
    if way == "acomplete":
        return [asyncio.run(router.acomplete(messages, **options))]
    if way == "stream":
        return list(router.run_stream(messages, **options))

    async def astream() -> list[Chunk | Completion]:
        return [item async for item in router.arun_stream(messages, **options)]

    return asyncio.run(astream())


def ask(router: PortkeyRouter, way: str, messages: Any = HELLO, **options: Any) -> Completion:
    """The whole answer."""
    whole = told(router, way, messages, **options)[-1]
    assert isinstance(whole, Completion)
    return whole


def leave_early(router: PortkeyRouter, way: str, messages: Any = HELLO) -> None:
    """Read the first chunk of a stream, and go."""
    if way == "stream":
        with router.stream(messages) as chunks:
            next(chunks)
        return

    async def main() -> None:
        async with router.astream(messages) as chunks:
            await anext(chunks)

    asyncio.run(main())


def streamed(way: str) -> bool:
    """Whether it streams."""
    return way.endswith("stream")


def says(text: str, way: str, **more: Any) -> Reply:
    """A reply with this answer, in the form that a way of asking takes."""
    from tests.core.fakes import ok

    if not streamed(way):
        return ok(text, **more)
    head, tail = text[:2], text[2:]
    return Stream((delta(role="assistant"), delta(content=head), delta(content=tail), delta("stop"), usage_event()))


def question(text: str) -> Sequence[dict[str, Any]]:
    """One user message."""
    return [{"role": "user", "content": text}]

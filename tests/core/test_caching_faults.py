from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from portkey_router.cache.cache import SemanticCache
from portkey_router.errors import DeadlineExceededError
from portkey_router.wire.http import HttpReply
from tests.cache.words import Words
from tests.core.cached import WAYS, ask, cache_of, cached, calls, question, says
from tests.core.fakes import HELLO, JSON, Stream, ok
from tests.net_server import until

if TYPE_CHECKING:
    from portkey_router.cache.results import NewAnswer


class Faulty(SemanticCache):
    """A cache whose verbs raise what they are told to."""

    on_lookup: BaseException | None = None
    on_store: BaseException | None = None

    def lookup(self, *arguments: Any, **options: Any) -> Any:
        """Raise, or look up."""
        if self.on_lookup is not None:
            raise self.on_lookup
        return super().lookup(*arguments, **options)

    async def alookup(self, *arguments: Any, **options: Any) -> Any:
        """As `lookup`."""
        return self.lookup(*arguments, **options)

    def store(self, *arguments: Any, **options: Any) -> Any:
        """Raise, or keep."""
        if self.on_store is not None:
            raise self.on_store
        return super().store(*arguments, **options)

    async def astore(self, *arguments: Any, **options: Any) -> Any:
        """As `store`."""
        return self.store(*arguments, **options)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("part", ["on_lookup", "on_store"])
def test_a_cache_that_fails_is_a_miss(part: str, way: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever it raises: the answer comes, what failed is counted, and said once in the log."""
    cache = Faulty("memory://")
    setattr(cache, part, RuntimeError("sk-PLANTED0123456789 boom"))
    router = cached(says("Hello", way), says("Hello", way), cache=cache)
    assert [ask(router, way).text for _ in range(2)] == ["Hello", "Hello"]
    what = part.removeprefix("on_")
    assert cache.stats().failures == {what: 2}
    said = [record.getMessage() for record in caplog.records if what in record.getMessage()]
    assert len(said) == 1
    assert "PLANTED" not in said[0]
    assert len(cache.flights) == 0


@pytest.mark.parametrize("way", WAYS)
def test_what_is_the_users_own_may_fail(way: str) -> None:
    """`key_text`, `cache_if`, an embedding that raise: the answer comes all the same."""

    def broken(*_: Any) -> Any:
        raise LookupError("a user's bug")

    words = Words()
    words.error = RuntimeError("no embedding")
    for cache in (
        SemanticCache("memory://", key_text=broken),
        SemanticCache("memory://", cache_if=broken),
        SemanticCache("memory://", words),
    ):
        router = cached(says("Hello", way), cache=cache)
        assert ask(router, way).text == "Hello"
        assert sum(cache.stats().failures.values()) >= 1
        assert len(cache.flights) == 0


def test_a_foreign_entry_is_a_miss() -> None:
    """An entry of another form in this call's place is asked past, and replaced."""
    from portkey_router.cache.results import NewAnswer
    from portkey_router.flow.scope import scope_of

    router = cached(ok("Hello"))
    cache, request = cache_of(router), router.request(HELLO)
    key = cache.key(HELLO, model=request.model, params=scope_of(request, router.plan(), router.settings))
    foreign: NewAnswer = NewAnswer("langchain", [{"content": "x"}], [])
    cache._run(cache._lookups.keep(key, _entry(foreign), ttl=None))
    assert router.complete(HELLO).text == "Hello"
    assert router.complete(HELLO).cache is not None
    assert calls(router) == 1


def _entry(answer: NewAnswer) -> Any:
    from portkey_router.cache.entry import Entry

    return Entry(kind=answer.kind, answer=answer.answer, text="Hello", created=0.0)


def test_a_slow_lookup_is_on_the_calls_own_time() -> None:
    """An embedding that never comes back ends with the call's total deadline, as an honest error, and nothing waits."""

    async def never(_: str) -> list[float]:
        await asyncio.Event().wait()
        return []

    cache = SemanticCache("memory://", never)
    late = DeadlineExceededError("late", phase="total", seconds=0.05)
    router = cached(late, cache=cache)
    with pytest.raises(DeadlineExceededError):
        asyncio.run(router.acomplete(question("what is a gateway"), timeout=2))  # half of it for the lookup
    assert cache.stats().failures == {"lookup": 1}
    port: Any = router._sync_port
    assert port.calls[0].expiry.phase == "total"
    assert len(cache.flights) == 0


@pytest.mark.parametrize("step", ["lookup", "store"])
def test_a_task_cancelled_in_the_cache_leaves_nothing_behind(step: str) -> None:
    """Nothing is kept half, no flight stays open, and the cancellation is the caller's."""
    reached = asyncio.Event()

    class Hanging(SemanticCache):
        async def alookup(self, *arguments: Any, **options: Any) -> Any:
            if step == "lookup":
                reached.set()
                await asyncio.Event().wait()
            return await super().alookup(*arguments, **options)

        async def astore(self, *arguments: Any, **options: Any) -> Any:
            reached.set()
            await asyncio.Event().wait()

    async def main() -> None:
        router = cached(ok("Hello"), cache=Hanging("memory://"))
        task = asyncio.create_task(router.acomplete(HELLO))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(cache_of(router).flights) == 0
        assert calls(router) == (0 if step == "lookup" else 1)

    asyncio.run(main())


@pytest.mark.parametrize("way", WAYS)
def test_an_embedding_that_asks_the_same_router_does_not_go_round(way: str) -> None:
    """What a cache calls for its own sake has no cache: an embedding by an LLM ends, and so does the call."""
    routers: list[Any] = []

    def by_llm(text: str) -> list[float]:
        return [1.0, float(len(routers[0].complete(question(f"rewrite: {text}")).text))]

    async def by_async_llm(text: str) -> list[float]:
        return [1.0, float(len((await routers[0].acomplete(question(f"rewrite: {text}"))).text))]

    cache = SemanticCache("memory://", by_async_llm if way.startswith("a") else by_llm)
    routers.append(cached(ok("rewritten"), says("Hello", way), cache=cache))
    assert ask(routers[0], way, question("what is a gateway")).text == "Hello"
    assert (cache.stats().embedded, cache.count()) == (1, 1)


@pytest.mark.parametrize("way", ["complete", "stream"])
def test_a_judge_that_asks_the_same_router_does_not_go_round(way: str) -> None:
    """Its own question has no cache: it is neither looked up, nor kept, nor judged."""
    routers: list[Any] = []
    done = threading.Event()

    def by_llm(asked: str, stored: str, _: Any) -> bool:
        said = routers[0].complete(question(f"is {asked} the same as {stored}"))
        done.set()
        return bool(said.text == "yes")

    cache = SemanticCache("memory://", Words(), distance_threshold=0.0, judge=by_llm, judge_margin=0.9)
    routers.append(cached(cache=cache))
    port, order = routers[0]._sync_port, threading.Lock()
    send, open_ = port.send, port.open

    def answered(call: Any, make: Any) -> Any:
        """To the judge yes, whoever comes first."""
        with order:
            port._replies = iter([ok("yes") if b"the same as" in call.body else says("Hello", way)])
            return make(call)

    port.send, port.open = (lambda call: answered(call, send)), (lambda call: answered(call, open_))
    for text in ("how do I reset the password of my account", "how can I reset the password of my account"):
        assert ask(routers[0], way, question(text)).text == "Hello"
    assert done.wait(30)
    assert until(lambda: cache.stats().judged == 1)
    assert cache.count() == 2
    assert cache.stats().lookups == 2


def test_embeddings_are_not_asked_of_the_cache() -> None:
    """It keeps answers of chats."""
    body = {"object": "list", "model": "m", "data": [{"index": 0, "embedding": [1.0]}]}
    router = cached(*[HttpReply(200, JSON, json.dumps(body).encode())] * 2)
    for _ in range(2):
        router.embed(["a"], model="text-embedding-3-small")
    assert (calls(router), cache_of(router).stats().lookups) == (2, 0)


@pytest.mark.parametrize("way", WAYS)
def test_streams_of_every_kind_know_each_other(way: str) -> None:
    """`wire_stream` makes no difference to the key."""
    router = cached(Stream())
    assert ask(router, "complete", wire_stream=True).text == "Hello"
    assert ask(router, way).text == "Hello"
    assert calls(router) == 1

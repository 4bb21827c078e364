from __future__ import annotations

import asyncio
import json
import threading
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from portkey_router.cache.cache import SemanticCache
from portkey_router.errors import ConfigurationError, DeadlineExceededError, StreamInterruptedError
from portkey_router.events import AttemptFinished, CacheLookup, CallFinished, EventHub, RouteDecided, capture_events
from portkey_router.flow.assembler import Assembler
from portkey_router.flow.policy import Policy
from portkey_router.messages import CacheUse, CallOptions, Chunk, Completion, Usage
from portkey_router.pricing import PriceBook
from portkey_router.targets import Fallback
from portkey_router.wire.http import HttpReply
from tests.cache.words import Words
from tests.core.cached import WAYS, ask, cache_of, cached, calls, leave_early, question, says, told
from tests.core.fakes import DONE, HELLO, JSON, RESET, Clock, Stream, delta, down, failed, memory, ok, usage_event
from tests.net_server import until

if TYPE_CHECKING:
    from portkey_router.cache.results import NewAnswer

ZERO = Usage(0, 0, 0)


# ---- a hit -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("second", WAYS)
@pytest.mark.parametrize("first", WAYS)
def test_what_one_way_brought_every_way_gives(first: str, second: str) -> None:
    """Sync or async, whole or as a stream: the answer is kept once, and given to all; one request is made."""
    router = cached(says("Hello", first))
    one, two = ask(router, first), ask(router, second)
    assert (one.text, one.cache, calls(router)) == ("Hello", None, 1)
    assert (two.text, two.finish_reason, two.model) == ("Hello", "stop", "gpt-4o")
    assert two.cache is not None
    assert two.cache["layer"] == "exact"


@pytest.mark.parametrize("way", WAYS)
def test_a_hit_used_nothing_cost_nothing_and_says_so(way: str) -> None:
    """Usage 0 and cost 0, by the cache; what the call had cost; a fresh id; no attempt; the trace is this call's."""
    router = cached(says("Hello", way), prices=PriceBook())
    paid = ask(router, way)
    hits = [ask(router, way, trace_id=f"t-{number}") for number in range(2)]
    assert paid.cost is not None
    for number, hit in enumerate(hits):
        assert (hit.usage, hit.route.attempts, hit.route.trace_id) == (ZERO, (), f"t-{number}")
        assert hit.cost is not None
        assert (hit.cost.amount, hit.cost.source) == (Decimal(0), "cache")
        assert hit.cache is not None
        saved = {name: hit.cache[name] for name in hit.cache if name.startswith("saved")}
        assert saved == {"saved_input_tokens": 5, "saved_output_tokens": 2, "saved_cost": f"{paid.cost.amount:f}"}
        assert (hit.cache["similarity"], hit.cache["age_seconds"] >= 0) == (1.0, True)
        assert (hit.raw["id"], hit.raw["usage"]["total_tokens"]) == (hit.id, 0)
    assert len({paid.id, hits[0].id, hits[1].id}) == 3


def test_the_events_of_a_miss_and_of_a_hit() -> None:
    """A miss is looked up, asked and told; a hit has no attempt, and its call says cache and cost 0."""
    router = cached(ok("Hello"), prices=PriceBook())
    with capture_events() as events:
        router.complete(HELLO, tags={"team": "a"})
        router.complete(HELLO, tags={"team": "a"})
    kinds = [type(event) for event in events]
    assert kinds[:4] == [RouteDecided, CacheLookup, AttemptFinished, CallFinished]
    assert kinds[4:] == [RouteDecided, CacheLookup, CallFinished]
    lookup, end = events[5], events[6]
    assert isinstance(lookup, CacheLookup)
    assert isinstance(end, CallFinished)
    assert (lookup.layer, lookup.tags, lookup.call_id) == ("exact", {"team": "a"}, end.call_id)
    assert (end.cache, end.hit, end.attempts, end.usage, end.outcome) == ("exact", True, 0, ZERO, "ok")
    assert end.cost is not None
    assert end.cost.amount == 0
    (paid,) = [event for event in events[:4] if isinstance(event, CallFinished)]
    assert (paid.cache, paid.attempts) == (None, 1)


def test_each_event_is_told_once_to_each_who_listens() -> None:
    """The router's sinks, the cache's own, and the call's listener: a sink that both have hears it once."""

    class Sink:
        def __init__(self) -> None:
            self.heard: list[Any] = []

        def handle(self, event: Any) -> None:
            self.heard.append(event)

    both, of_cache, of_call = Sink(), Sink(), list[Any]()
    router = cached(ok(), cache=SemanticCache("memory://", sinks=[both, of_cache]), hub=EventHub([both]))
    router.complete(HELLO, on_event=of_call.append)
    for heard in (both.heard, of_cache.heard, of_call):
        assert len([event for event in heard if isinstance(event, CacheLookup)]) == 1


@pytest.mark.parametrize("way", WAYS)
def test_a_hit_asks_no_target_and_learns_of_none(way: str) -> None:
    """With every circuit open it answers, and no target's health has changed by it."""
    health, clock = memory(), Clock(0.0)
    router = cached(says("Hello", way), strategy=Fallback("gpt-4o", "claude-sonnet-4-5"), health=health)
    ask(router, way)
    for attempt in router.plan().attempts:
        down(health, attempt.key, clock)
    before = {attempt.key: health.look(attempt.key, clock.now) for attempt in router.plan().attempts}
    assert ask(router, way).text == "Hello"
    assert {key: health.look(key, clock.now) for key in before} == before
    assert calls(router) == 1


def test_a_hit_takes_no_gateways_probe() -> None:
    """Of several gateways one is down, and due for its one probe: a hit leaves that to the next call that is made."""
    from dataclasses import replace

    from portkey_router.health import Admission
    from tests.core.cached import SETTINGS

    health = memory()
    settings = replace(SETTINGS, base_url="http://a.test/v1", more_urls=("http://b.test/v1",))
    router = cached(ok("Hello"), settings=settings, health=health)
    router.complete(HELLO)
    key = "gateway http://a.test/v1/chat/completions"
    health.failed(key, -1000.0, 0.5, probe=True, in_a_row=1)
    router.complete(HELLO)
    assert health.admit(key, time.monotonic()) is Admission.PROBE


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_a_stream_replays_thoughts_text_end_and_usage(way: str) -> None:
    """The pieces make the same answer again; reasoning first, the end after the text, the usage last and 0."""
    message = {
        "role": "assistant",
        "content": "Forty-two",
        "reasoning_content": "let me think",
        "annotations": [{"type": "url_citation", "url_citation": {"url": "https://a.test"}}],
    }
    choices = [
        {"index": 0, "message": message, "finish_reason": "stop", "logprobs": {"content": [{"token": "F"}]}},
        {"index": 1, "message": {"role": "assistant", "content": "42"}, "finish_reason": "stop"},
    ]
    body = {"id": "c", "model": "gpt-4o-served", "choices": choices, "citations": ["https://a.test"], "created": 1}
    router = cached(HttpReply(200, JSON, json.dumps(body).encode()))
    live = router.complete(HELLO, n=2)
    items = told(router, way, n=2)
    *chunks, whole = items
    assert isinstance(whole, Completion)
    assert [choice.message for choice in whole.choices] == [choice.message for choice in live.choices]
    assert (whole.choices[0].logprobs, whole.model, whole.raw["citations"]) == (
        {"content": [{"token": "F"}]},
        "gpt-4o-served",
        ["https://a.test"],
    )
    assembler = Assembler()
    for chunk in chunks:
        assert isinstance(chunk, Chunk)
        assembler.add(chunk)
    again = assembler.completion(whole.route, model=None)
    assert [choice.message for choice in again.choices] == [choice.message for choice in live.choices]
    assert [choice.finish_reason for choice in again.choices] == ["stop", "stop"]
    assert again.choices[0].logprobs == live.choices[0].logprobs
    first = [chunk for chunk in chunks if isinstance(chunk, Chunk) and chunk.index == 0]
    assert [bool(chunk.reasoning) for chunk in first] == [True, False, False, False]
    assert [bool(chunk.content) for chunk in first] == [False, True, False, False]
    assert [chunk.finish_reason for chunk in first] == [None, None, "stop", None]
    assert (first[-1].usage, {chunk.id for chunk in first}) == (ZERO, {whole.id})


def test_claudes_thoughts_of_a_stream_are_kept_whole() -> None:
    """They come in pieces of blocks; a hit has all of them, streamed or not."""
    pieces = (
        delta(content_blocks=[{"index": 0, "type": "thinking", "delta": {"thinking": ""}}]),
        delta(content_blocks=[{"index": 0, "delta": {"thinking": "let me "}}]),
        delta(content_blocks=[{"index": 0, "delta": {"thinking": "think"}}]),
        delta(content_blocks=[{"index": 0, "delta": {"signature": "s"}}]),
        delta(content="Hello", content_blocks=[{"index": 1, "delta": {"text": "Hello"}}]),
        delta("stop"),
        usage_event(),
        DONE,
    )
    router = cached(Stream(pieces))
    live = ask(router, "stream")
    assert live.message["content_blocks"] == [
        {"type": "thinking", "thinking": "let me think", "signature": "s"},
        {"text": "Hello"},
    ]
    assert ask(router, "complete").message == live.message
    assert calls(router) == 1


def test_nobodys_answer_is_changed_by_another_caller() -> None:
    """What a caller does with the answer it was given is nobody else's business."""
    router = cached(ok("Hello"))
    for _ in range(3):
        given: Any = router.complete(HELLO)
        assert given.text == "Hello"
        given.choices[0].message["content"] = "spoilt"
        given.raw["choices"].clear()
    assert calls(router) == 1


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_who_leaves_a_replay_early_has_paid_nothing(way: str) -> None:
    """The call is told as left, by the cache, at cost 0."""
    router = cached(ok("Hello"))
    router.complete(HELLO)
    with capture_events() as events:
        leave_early(router, way)
    end = events[-1]
    assert isinstance(end, CallFinished)
    assert (end.outcome, end.cache, end.cost and end.cost.amount, end.usage) == ("left", "exact", Decimal(0), ZERO)


def test_questions_alike_are_answered_in_every_way() -> None:
    """By meaning, with the similarity told; the question is embedded in the caller's own kind."""
    words = Words()
    cache = SemanticCache("memory://", words, distance_threshold=0.2)
    router = cached(ok("Click here."), cache=cache)
    router.complete(question("how do I reset the password of my account"))
    for way in WAYS:
        hit = ask(router, way, question("how can I reset the password of my account"))
        assert hit.cache is not None
        assert hit.cache["layer"] == "semantic"
        assert 0.8 <= hit.cache["similarity"] < 1
    assert calls(router) == 1


# ---- what is kept ----------------------------------------------------------------------------------------------------

CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def reply(message: dict[str, Any], finish_reason: str | None = "stop", **more: Any) -> HttpReply:
    """A reply with one message."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}
    return HttpReply(200, JSON, json.dumps({"id": "c", "model": "gpt-4o", "choices": [choice], **more}).encode())


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (lambda: reply({"content": None, "tool_calls": [CALL]}, "tool_calls"), "tool calls"),
        (lambda: reply({"content": "I", "refusal": "no"}), "refusal"),
        (lambda: reply({"content": "I'm sorry, I can't help with that."}), "refusal"),
        (lambda: reply({"content": "Once upon a"}, "length"), "finish reason: length"),
        (lambda: reply({"content": "Once"}, "content_filter"), "finish reason: content_filter"),
        (lambda: reply({"content": ""}), "empty"),
        (lambda: reply({"content": "x"}, hook_results={"after_request_hooks": [{"verdict": False}]}), "error"),
    ],
)
def test_what_is_no_whole_answer_is_not_kept(given: Any, reason: str) -> None:
    """Tool calls, refusals, truncated and empty answers, failed guardrails: asked anew, and an event says why."""
    router = cached(given(), given())
    with capture_events() as events:
        assert router.complete(HELLO).cache is None
        assert router.complete(HELLO).cache is None
    assert calls(router) == 2
    reasons = [event.reason for event in events if isinstance(event, CacheLookup)]
    assert reasons.count(f"not stored: {reason}") == 2


def test_an_error_is_not_kept() -> None:
    """The next call is made."""
    router = cached(failed(503), ok("Hello"))
    with pytest.raises(Exception, match="503"):
        router.complete(HELLO)
    assert router.complete(HELLO).text == "Hello"


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_a_stream_that_broke_or_was_left_is_not_kept(way: str) -> None:
    """Half an answer is nobody's."""
    broken = Stream((delta(role="assistant"), delta(content="Half"), RESET))
    router = cached(broken, Stream(), Stream())
    with pytest.raises(StreamInterruptedError):
        ask(router, way)
    leave_early(router, way)
    assert cache_of(router).count() == 0
    assert ask(router, way).cache is None
    assert len(cache_of(router).flights) == 0


def test_a_stream_that_began_anew_is_kept() -> None:
    """Restarted after a break, the answer is whole: what had been void is not in it."""
    broken = Stream((delta(role="assistant"), delta(content="Half"), RESET))
    router = cached(broken, Stream(), max_retries=1, policy=Policy(on_stream_break="restart"))
    assert ask(router, "stream").text == "Hello"
    assert ask(router, "complete").text == "Hello"


def test_a_call_that_must_call_a_tool_has_no_cache() -> None:
    """Its answer could never be kept: nothing is looked up or embedded. With a free choice, an answer in words is."""
    words = Words()
    router = cached(ok("a"), ok("b"), cache=SemanticCache("memory://", words))
    tools = [{"type": "function", "function": {"name": "f"}}]
    for choice in ("required", {"type": "function", "function": {"name": "f"}}):
        router.complete(HELLO, tools=tools, tool_choice=choice)
    assert (words.asked, cache_of(router).stats().refused) == ([], {"a tool must be called": 2})
    again = cached(ok("a"))
    assert [again.complete(HELLO, tools=tools, tool_choice=how).text for how in ("auto", "auto")] == ["a", "a"]


# ---- what a call says ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_call_may_leave_the_cache_alone(way: str) -> None:
    """`no_cache`: nothing is looked up, nothing kept."""
    router = cached(says("one", way), says("two", way), says("three", way))
    assert ask(router, way, no_cache=True).text == "one"
    assert cache_of(router).count() == 0
    assert ask(router, way).text == "two"
    assert ask(router, way, no_cache=True).text == "three"
    assert ask(router, way).text == "two"


@pytest.mark.parametrize("way", WAYS)
def test_a_call_may_ask_anew(way: str) -> None:
    """`refresh`: nothing is looked up, and the new answer is kept in the place of the old one."""
    router = cached(says("one", way), says("two", way))
    assert ask(router, way).text == "one"
    fresh = ask(router, way, refresh=True)
    assert (fresh.text, fresh.cache) == ("two", None)
    assert ask(router, way).text == "two"
    assert cache_of(router).count() == 1


def test_a_call_says_for_how_long_and_under_what() -> None:
    """`cache_ttl` in seconds, `cache_tags`, `namespace` and `tenant`: each as the cache's own verbs know them."""
    now = [1000.0]
    cache = SemanticCache("memory://", now=lambda: now[0], chance=lambda: 0.0)
    router = cached(ok("one"), ok("two"), ok("three"), ok("four"), cache=cache)
    router.complete(HELLO, cache_ttl=60, cache_tags=["a"], namespace="n", tenant="t")
    assert [(each.tags, each.namespace, each.tenant) for each in cache.inspect()] == [(("a",), "n", "t")]
    assert router.complete(HELLO, namespace="n", tenant="t").text == "one"
    assert router.complete(HELLO, namespace="n").text == "two"
    assert router.complete(HELLO).text == "three"
    assert cache.clear(tag="a") == 1
    assert router.complete(HELLO, namespace="n", tenant="t").text == "four"


def test_the_routers_own_use_gives_way_to_the_calls() -> None:
    """`CallOptions(cache_use=...)` is for every call; what a call says goes over it, field by field."""
    use = CacheUse(namespace="ours", tags=("all",))
    router = cached(ok("one"), ok("two"), options=CallOptions(cache_use=use))
    router.complete(HELLO)
    router.complete(HELLO, namespace="other")
    shown = {(each.namespace, each.tags) for each in cache_of(router).inspect()}
    assert shown == {("ours", ("all",)), ("other", ("all",))}


@pytest.mark.parametrize(
    "wrong",
    [
        {"cache_ttl": 0},
        {"cache_ttl": -1},
        {"cache_ttl": float("inf")},
        {"cache_ttl": "60"},
        {"cache_tags": "a"},
        {"cache_tags": [1]},
        {"no_cache": "yes"},
        {"refresh": 3},
        {"namespace": 3},
        {"tenant": b"a"},
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_is_sent(wrong: dict[str, Any]) -> None:
    """A clear error that names the argument."""
    router = cached(ok())
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        router.complete(HELLO, **wrong)
    assert calls(router) == 0


def test_none_of_it_is_a_field_of_the_body() -> None:
    """The provider is sent none of these."""
    router = cached(ok())
    router.complete(HELLO, refresh=True, no_cache=False, cache_ttl=5, cache_tags=["a"], namespace="n", tenant="t")
    port: Any = router._sync_port
    assert json.loads(port.calls[0].body).keys() == {"model", "messages"}


def test_without_a_cache_the_words_mean_nothing() -> None:
    """A router that has none takes the same calls."""
    from portkey_router.router import PortkeyRouter
    from tests.core.cached import SETTINGS
    from tests.core.fakes import AsyncPort, SyncPort

    router = PortkeyRouter(SETTINGS, ports=(SyncPort(ok("Hello")), AsyncPort()), model="gpt-4o")
    answer = router.complete(HELLO, refresh=True, namespace="n", cache_ttl=5)
    assert (answer.text, answer.cache) == ("Hello", None)


# ---- for adapters ----------------------------------------------------------------------------------------------------


def test_what_somebody_above_has_missed_is_not_looked_up_again() -> None:
    """The miss's key and vector are used for the store; with `stores_itself`, nothing is kept here."""
    words = Words()
    cache = SemanticCache("memory://", words)
    router = cached(ok("one"), ok("two"))
    key = cache.key(question("what is a gateway"))
    missed: Any = cache.lookup(key, lambda entry: entry.answer)
    with capture_events() as events:
        router.complete(question("what is a gateway"), cache_use=CacheUse(cache, missed=missed, stores_itself=True))
        assert cache.count() == 0
        router.complete(question("what is a gateway"), cache_use=CacheUse(cache, missed=missed))
    assert not [event for event in events if isinstance(event, CacheLookup)]
    assert (cache.count(), len(words.asked)) == (1, 1)
    assert cache_of(router).count() == 0


# ---- never in the way ------------------------------------------------------------------------------------------------


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

from __future__ import annotations

import json
import time
from decimal import Decimal
from typing import Any

import pytest

from portkey_router.cache.cache import SemanticCache
from portkey_router.errors import StreamInterruptedError
from portkey_router.events import AttemptFinished, CacheLookup, CallFinished, EventHub, RouteDecided, capture_events
from portkey_router.flow.assembler import Assembler
from portkey_router.flow.policy import Policy
from portkey_router.messages import Chunk, Completion, Usage
from portkey_router.pricing import PriceBook
from portkey_router.targets import Fallback
from portkey_router.wire.http import HttpReply
from tests.cache.words import Words
from tests.core.cached import WAYS, ask, cache_of, cached, calls, leave_early, question, says, told
from tests.core.fakes import DONE, HELLO, JSON, RESET, Clock, Stream, delta, down, failed, memory, ok, usage_event

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

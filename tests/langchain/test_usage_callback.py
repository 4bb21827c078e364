from __future__ import annotations

import asyncio
import threading
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda, RunnableParallel

from langchain_portkey_router import UsageCallbackHandler
from portkey_router import Price, PriceBook, Usage
from tests.langchain.scripted import PIECES, Scripted, counted, said
from tests.langchain.verbs import VERBS, ask

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable


# gpt-4o: 2.50 USD for a million tokens in, 10 out, 1.25 cached.
ONE = Decimal("0.0035")  # 1,000 in, 100 out


def scripted(*answers: Any, **more: Any) -> Scripted:
    """A model with these answers."""
    return Scripted(answers=list(answers or [said()]), **more)


# ---- any chat model --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("how", ["block", "config", "constructor", "all"])
def test_any_model_by_any_verb(verb: str, how: str) -> None:
    """One call is counted once, streamed or not, however often the handler is handed over."""
    usage = UsageCallbackHandler()
    model: Runnable[Any, Any] = scripted(callbacks=[usage] if how in {"constructor", "all"} else None)
    if how in {"config", "all"}:
        model = model.with_config(callbacks=[usage])
    if how in {"block", "all"}:
        with usage:
            ask(model, verb, "Hello")
    else:
        ask(model, verb, "Hello")
    [call] = usage.report.calls
    assert (usage.cost_usd, call.usage, call.model, call.provider, call.outcome) == (
        ONE,
        Usage(1000, 100, 1100),
        "gpt-4o",
        "openai",
        "ok",
    )
    assert call.requested_model == "asked-for"
    assert (call.first_token is not None) == ("stream" in verb)


def test_dimensions() -> None:
    """By run, tag, user, session, and any other metadata; what LangChain writes there itself is none."""
    chain = RunnableLambda(lambda text: text) | scripted()
    with UsageCallbackHandler() as usage:
        for user, session in (("u1", "s1"), ("u1", "s2"), ("u2", "s2")):
            chain.invoke(
                "Hello",
                config={"metadata": {"user": user, "thread_id": session, "team": "a"}, "tags": ["x", f"of {user}"]},
            )
    assert {user: row.calls for user, row in usage.by("user").items()} == {"u1": 2, "u2": 1}
    assert {session: row.cost_usd for session, row in usage.by("session").items()} == {"s1": ONE, "s2": 2 * ONE}
    assert {tag: row.calls for tag, row in usage.by("tag").items()} == {"x": 3, "of u1": 2, "of u2": 1}
    assert usage.by("team")["a"].cost_usd == 3 * ONE
    assert len(usage.by("run")) == 3
    assert set(usage.report.calls[0].tags) == {"user", "thread_id", "team", "tags", "run_id", "run"}


def test_no_key_becomes_a_tag() -> None:
    """Metadata under the name of a secret gets into no event."""
    config: Any = {"metadata": {"openai_api_key": "sk-123", "thread_id": "t", "password": "p"}}
    with UsageCallbackHandler() as usage:
        scripted().invoke("Hello", config=config)
    tags = usage.report.calls[0].tags
    assert tags["thread_id"] == "t"
    assert not {"openai_api_key", "password"} & set(tags)


def test_the_run_is_the_outermost() -> None:
    """Calls at any depth, in parallel branches too, belong to the run that the user started."""
    inner = RunnableLambda(lambda text: text) | scripted()
    chain = RunnableParallel(a=inner, b=RunnableLambda(inner.invoke))
    run = uuid4()
    with UsageCallbackHandler() as usage:
        chain.invoke("Hello", config={"run_id": run})
        asyncio.run(chain.ainvoke("Hello"))
    rows = usage.by("run")
    assert [row.calls for row in rows.values()] == [2, 2]
    assert str(run) in rows
    assert not usage._runs
    assert not usage._parents


def test_batches_and_threads() -> None:
    """A batch is a call for each input; many threads may share one handler."""
    usage = UsageCallbackHandler()
    with usage:
        scripted().batch(["a", "b", "c"])
        asyncio.run(scripted().abatch(["a", "b"]))
    model = scripted()
    threads = [
        threading.Thread(target=lambda: [model.invoke("x", config={"callbacks": [usage]}) for _ in range(25)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert usage.totals.calls == 5 + 200
    assert usage.cost_usd == 205 * ONE


@pytest.mark.parametrize(
    ("choices", "tokens"),
    [
        ([said("a"), said("b"), said("c")], (1000, 100)),  # langchain-openai: the call's usage on each of them
        ([said("a"), said("b", usage={})], (1000, 100)),  # ours: on the first alone
        ([said("a"), said("b", usage=counted(1000, 50))], (2000, 150)),  # each its own
    ],
)
def test_several_choices(choices: list[Any], tokens: tuple[int, int]) -> None:
    """The `n` choices of a call are one call, whoever of them states its usage."""
    with UsageCallbackHandler() as usage:
        scripted(choices).invoke("Hello")
    assert (usage.totals.calls, usage.totals.input_tokens, usage.totals.output_tokens) == (1, *tokens)


def test_usage_in_llm_output() -> None:
    """A model whose messages say nothing, and whose output does, in OpenAI's shape."""
    told = {"token_usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}}
    with UsageCallbackHandler() as usage:
        scripted(said(usage={}), llm_output=told).invoke("Hello")
    assert usage.cost_usd == ONE


@pytest.mark.parametrize(
    ("answer", "provider", "expected"),
    [
        # cached tokens are in LangChain's input_tokens: 400 fresh, 600 cached
        (said(usage=counted(input_token_details={"cache_read": 600})), "openai", "0.00275"),
        # Anthropic's cache by how long it is kept, 5 minutes: 300 fresh at 3, 500 written at 3.75, 200 read at 0.3
        (
            said(
                model="claude-sonnet-4-5",
                model_provider="anthropic",
                usage=counted(
                    input_token_details={"cache_read": 200, "cache_creation": 0, "ephemeral_5m_input_tokens": 500}
                ),
            ),
            "anthropic",
            "0.004335",
        ),
        # reasoning is within the output: 1,000 at 1.25, 100 at 10
        (said(model="gpt-5", usage=counted(output_token_details={"reasoning": 64})), "openai", "0.00225"),
        # the flex tier costs half, and langchain-openai names details after it
        (
            said(
                model="gpt-5",
                service_tier="flex",
                usage=counted(input_token_details={"flex_cache_read": 0, "flex": 1000}),
            ),
            "openai",
            "0.001125",
        ),
        # above 200,000 tokens Gemini costs twice as much: 2.50 and 15
        (
            said(model="gemini-2.5-pro", model_provider="google_genai", usage=counted(300_000, 100)),
            "google_genai",
            "0.7515",
        ),
        # no model_provider: the run's ls_provider
        (said(model="claude-sonnet-4-5", model_provider=None), "anthropic", "0.0045"),
        # a cost that the provider reports (OpenRouter), which the integration passes on
        (said(model="x/unknown", token_usage={"prompt_tokens": 1, "cost": 0.0004}), "openrouter", "0.0004"),
        (said(model="x/unknown", cost=0.25), "openrouter", "0.25"),
    ],
    ids=["cached", "anthropic", "reasoning", "flex", "long", "ls_provider", "reported", "cost"],
)
def test_prices(answer: Any, provider: str, expected: str) -> None:
    """Tokens are priced for what they are, to the last digit."""
    with UsageCallbackHandler() as usage:
        scripted(answer, provider=provider).invoke("Hello")
    assert usage.cost_usd == Decimal(expected)


def test_unknown_prices_and_ones_own() -> None:
    """A model that nobody has a price for is counted as such, and never as 0; one's own price comes first."""
    with UsageCallbackHandler() as usage:
        scripted(said(model="gpt-99")).invoke("Hello")
    assert (usage.totals.unpriced, str(usage.cost_usd)) == (1, "0")
    assert usage.report.calls[0].cost is None
    for prices in ({"gpt-99": Price(1, 1)}, PriceBook({"gpt-99": Price(1, 1)})):
        with UsageCallbackHandler(prices=prices) as usage:
            scripted(said(model="gpt-99")).invoke("Hello")
        assert (usage.totals.unpriced, usage.cost_usd) == (0, Decimal("0.0011"))


def test_retries_and_fallbacks_of_langchain() -> None:
    """Each try is a call of its own: those that failed used nothing, and say so."""
    flaky = scripted(ValueError("busy"), ValueError("busy"), said())
    with UsageCallbackHandler() as usage:
        flaky.with_retry(wait_exponential_jitter=False).invoke("Hello")
        scripted(OSError("down")).with_fallbacks([scripted()]).invoke("Hello")
    assert [call.outcome for call in usage.report.calls] == ["ValueError", "ValueError", "ok", "OSError", "ok"]
    assert (usage.totals.failed, usage.cost_usd) == (3, 2 * ONE)


def test_a_model_that_calls_another() -> None:
    """What a wrapping model repeats of the one it calls is counted once, as the inner one's."""
    inner = scripted(said(model="gpt-4o-mini"))
    for as_child in (True, False):
        answer = said("of the inner one", model="gpt-4o-mini", id="chatcmpl-1")
        with UsageCallbackHandler() as usage:
            scripted(answer, inner=scripted(answer), as_child=as_child).invoke("Hello")
        assert (usage.totals.calls, usage.report.calls[0].model) == (1, "gpt-4o-mini")
    with UsageCallbackHandler() as usage:
        scripted(said(id="chatcmpl-2"), inner=inner, as_child=False).invoke("Hello")
    assert usage.totals.calls == 2, "two answers, two calls"
    silent = scripted(said(model="gpt-4o-mini", usage={}))
    with UsageCallbackHandler() as usage:
        scripted(inner=silent).invoke("Hello")
    assert usage.cost_usd == ONE, "the inner one told nothing, so the outer one's word stands"


def test_equal_answers_side_by_side() -> None:
    """Calls that run at once are each counted, though their provider gives all answers the same id."""
    model = scripted(said(id="chatcmpl-1"))

    async def at_once() -> None:
        await asyncio.gather(*(model.ainvoke("x") for _ in range(5)))

    with UsageCallbackHandler() as usage:
        scripted(said(id="chatcmpl-1"), together=threading.Barrier(3)).batch(["a", "b", "c"])
        model.generate([[HumanMessage("a")], [HumanMessage("b")]])
        asyncio.run(at_once())
    assert usage.totals.calls == 10


def leave_early(model: Any, color: str, question: str) -> UsageCallbackHandler:
    """Read the first piece of a stream, and go."""

    async def leave() -> None:
        stream = model.astream(question)
        await anext(stream)
        await stream.aclose()

    with UsageCallbackHandler() as usage:
        if color == "async":
            asyncio.run(leave())
        else:
            stream = model.stream(question)
            next(stream)
            stream.close()
    return usage


@pytest.mark.parametrize("color", ["sync", "async"])
def test_a_stream_left_early(color: str) -> None:
    """What was used until then counts, as an estimate by the text's length."""
    usage = leave_early(scripted(), color, "x" * 400)
    [call] = usage.report.calls
    assert (call.outcome, call.estimated) == ("left", True)
    assert call.usage == Usage(100 + 3 + 3, -(-len(PIECES[0]) // 4), 108)
    assert (usage.totals.estimated, usage.totals.failed, usage.totals.unpriced) == (1, 0, 1)


def test_hits_of_langchains_cache() -> None:
    """What LangChain's cache answers is a call and a hit, and no spend, whosever model it is."""
    model = scripted(said(), cache=InMemoryCache())
    with UsageCallbackHandler() as usage:
        for _ in range(3):
            model.invoke("Hello")
    assert (usage.totals.calls, usage.totals.hits, usage.totals.input_tokens, usage.cost_usd) == (3, 2, 1000, ONE)


def test_nested_blocks() -> None:
    """Each block hears its own calls and those of the blocks within it, also where a chain was begun outside."""
    with UsageCallbackHandler() as outer:
        scripted().invoke("Hello")
        with UsageCallbackHandler() as inner:
            scripted().invoke("Hello")
        scripted().invoke("Hello")
    scripted().invoke("Hello")
    assert (outer.totals.calls, inner.totals.calls) == (3, 1)
    with outer, outer:
        scripted().invoke("Hello")
    scripted().invoke("Hello")
    assert outer.totals.calls == 4


async def test_concurrent_blocks() -> None:
    """Blocks of tasks that run at once hear nothing of one another."""

    async def work(calls: int) -> int:
        with UsageCallbackHandler() as usage:
            for _ in range(calls):
                await scripted().ainvoke("Hello")
        return usage.totals.calls

    assert await asyncio.gather(*(work(calls) for calls in (1, 2, 3))) == [1, 2, 3]


def test_shown() -> None:
    """It prints as the table of its report, in a notebook too."""
    with UsageCallbackHandler() as usage:
        scripted().invoke("Hello")
    assert "gpt-4o" in str(usage)
    assert "0.0035" in usage._repr_html_()
    assert repr(usage) == "UsageCallbackHandler(UsageReport(1 calls, 1100 tokens, $0.0035))"

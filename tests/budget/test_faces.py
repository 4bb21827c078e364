"""Budgets by every way to ask: router, LangChain and LlamaIndex, sync and async, whole and streamed."""

from __future__ import annotations

import asyncio
import copy
import pickle
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.load import dumpd
from llama_index.core.base.llms.types import ChatMessage
from llama_index_instrumentation.dispatcher import instrument_tags

from langchain_portkey_router import ChatPortkey, PortkeyEmbeddings
from llama_index_portkey import PortkeyEmbedding, PortkeyLLM
from portkey_router import (
    Budget,
    BudgetExceededError,
    ConfigurationError,
    CostAware,
    PortkeyRouter,
    Price,
    RateLimit,
    Single,
    usage_report,
)
from portkey_router.ledger.keeper import BudgetLedger
from portkey_router.sandbox import Fault, providers
from portkey_router.stores.memory_ledger import MemoryLedgerStore
from tests.failover.faces import FACES, MESSAGES, QUESTION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from portkey_router.ledger.commands import Command, Reply
    from portkey_router.sandbox import Providers
    from tests.failover.faces import Face

PRICES = {"gpt-4o": Price(1, 1)}
SECRET = "s3cret-of-the-ledger"


@pytest.fixture(scope="module")
def provider() -> Iterator[Providers]:
    """Providers that are asked directly."""
    with providers() as running:
        yield running


class Noting(MemoryLedgerStore):
    """A store that notes what it is asked to do."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []

    def run(self, command: Command) -> Reply:
        """Note it, and do it."""
        self.done.append(type(command).__name__)
        return super().run(command)


def spending(provider: Providers, budget: Budget, **more: Any) -> dict[str, Any]:
    """The arguments of routers and models alike: one model, one budget, a ledger of the test's own."""
    ledger = BudgetLedger(Noting(), [budget])
    return {"base_url": provider.url, "api_key": "pk", "prices": PRICES, "ledger": ledger, **_model(), **more}


def _model() -> dict[str, Any]:
    return {"strategy": Single("gpt-4o"), "virtual_keys": {"openai": "vk"}, "max_retries": 1}


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.name)
def test_every_way_to_ask_pays_alike(face: Face, provider: Providers) -> None:
    """An answer is settled to its cost, a failure given back and its retry set aside anew; a refusal sends nothing."""
    options = spending(provider, Budget("all", usd=1, per="total"))
    ledger = options["ledger"]
    seen = face.ask(**options)
    (state,) = ledger.report({}).budgets
    assert state.spent_usd == Decimal(seen.route["cost"]["amount"]) > 0
    assert state.held_usd == 0
    provider.script("default", Fault.status(503))
    face.ask(**options)
    assert ledger._store.done == [*("Reserve", "Settle", "Peek"), *("Reserve", "Settle", "Reserve", "Settle")]
    assert ledger.report({}).budgets[0].spent_usd == 2 * state.spent_usd
    asked = len(provider.requests)
    with pytest.raises(BudgetExceededError, match="small"):
        face.ask(**spending(provider, Budget("small", usd="0.0000001", per="total")))
    assert len(provider.requests) == asked
    assert {request.body["max_tokens"] for request in provider.requests[-3:]} == {4096}


# ---- whoever leaves early --------------------------------------------------------------------------------------------


def close_router(options: dict[str, Any]) -> None:
    """`close` on a stream."""
    with PortkeyRouter.from_env(**options).stream(MESSAGES) as stream:
        next(stream)


def drop_router(options: dict[str, Any]) -> None:
    """No word at all: the last reference goes."""
    items = PortkeyRouter.from_env(**options).run_stream(MESSAGES)
    next(items)
    del items


def break_langchain(options: dict[str, Any]) -> None:
    """A `break` in LangChain's loop."""
    for _ in ChatPortkey(**options).stream(QUESTION):
        break


def break_llama_index(options: dict[str, Any]) -> None:
    """A `break` in LlamaIndex's loop."""
    for _ in PortkeyLLM(**options).stream_chat([ChatMessage(QUESTION)]):
        break


def break_async_langchain(options: dict[str, Any]) -> None:
    """An async loop that ends before its stream."""

    async def read() -> None:
        async for _ in ChatPortkey(**options).astream(QUESTION):
            break

    asyncio.run(read())


def break_async_llama_index(options: dict[str, Any]) -> None:
    """The same in LlamaIndex."""

    async def read() -> None:
        async for _ in await PortkeyLLM(**options).astream_chat([ChatMessage(QUESTION)]):
            break

    asyncio.run(read())


def time_out(options: dict[str, Any]) -> None:
    """A caller whose patience ends before the answer begins."""

    async def read() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):  # it must have been sent by then
                await PortkeyRouter.from_env(**options).acomplete(MESSAGES)

    asyncio.run(read())


LEAVING = (
    close_router,
    drop_router,
    break_langchain,
    break_llama_index,
    break_async_langchain,
    break_async_llama_index,
    time_out,
)


@pytest.mark.parametrize("leave", LEAVING, ids=lambda leave: leave.__name__)
def test_whoever_leaves_early_holds_nothing(leave: Callable[[dict[str, Any]], None], provider: Providers) -> None:
    """By every way to leave, the attempt is settled at its bound, at once."""
    options = spending(provider, Budget("all", usd=1, per="total"))
    provider.script("default", Fault.hang() if leave is time_out else Fault.stall(after=3))
    leave(options)
    (state,) = options["ledger"].report({}).budgets
    assert state.held_usd == 0
    assert Decimal("0.004") < state.spent_usd < Decimal("0.005")


# ---- as users write it -----------------------------------------------------------------------------------------------


def test_budgets_by_run_metadata_in_langchain(provider: Providers, plain_redis: Any) -> None:
    """The issue's own lines: team and user of a run choose the counters, in a Redis, under whatever chain calls."""
    llm = ChatPortkey(
        strategy=CostAware("gpt-4o-mini", "claude-haiku-4-5", "gemini-2.5-flash", max_latency=8),
        ledger=plain_redis.url,
        budgets=[
            Budget("search", usd=50, per="month", when={"team": "search"}, alerts=(0.5, 0.8, 1.0)),
            Budget("each user", usd=2, per="day", by="user"),
        ],
        limits=[RateLimit("openai", requests=500, tokens=200_000, per="minute")],
        base_url=provider.url,
        virtual_keys={"openai": "vk", "anthropic": "vk", "google": "vk"},
    )
    chain = llm | (lambda message: message.text)
    with usage_report() as report:
        assert chain.invoke(QUESTION, config={"metadata": {"user": "u1", "team": "search"}})
    ledger: Any = llm._the_router().ledger
    team, user = ledger.report({"team": "search", "user": "u1"}).budgets
    assert user.key == "u1"
    assert team.spent_usd >= user.spent_usd >= report.cost_usd > 0
    assert ledger.report({"user": "nobody"}).budgets[0].spent_usd == 0
    ledger._store._client.close()


def test_budgets_by_instrument_tags_in_llama_index(provider: Providers) -> None:
    """The same in LlamaIndex, by its `instrument_tags`; embeddings have their budgets, too."""
    each = BudgetLedger(MemoryLedgerStore(), [Budget("each user", usd=2, per="day", by="user")])
    shared: dict[str, Any] = {"ledger": each, "base_url": provider.url, "virtual_keys": {"openai": "vk"}}
    with instrument_tags({"user": "u2"}):
        PortkeyLLM(strategy=CostAware("gpt-4o-mini", "gpt-4o"), **shared).complete(QUESTION)
    spent = each.report({"user": "u2"}).budgets[0].spent_usd
    assert spent > 0
    with instrument_tags({"user": "u2"}):
        PortkeyEmbedding(model="text-embedding-3-small", **shared).get_text_embedding("a text")
    assert each.report({"user": "u2"}).budgets[0].spent_usd > spent
    PortkeyEmbeddings(model="text-embedding-3-small", portkey_tags={"user": "u3"}, **shared).embed_query("a text")
    assert each.report({"user": "u3"}).budgets[0].spent_usd > 0
    assert each.report({"user": "u4"}).budgets[0].spent_usd == 0


@pytest.mark.parametrize("kind", [ChatPortkey, PortkeyLLM])
def test_nothing_written_down_holds_a_budget_or_the_ledgers_secret(kind: Any) -> None:
    """Not in repr, dict, pickle, LangChain's and LlamaIndex's own forms; a pickled model has no budgets any more."""
    budget = Budget("all", usd=1, on_alert=print)
    own: dict[str, Any] = {"model": "gpt-4o", "api_key": "pk", "virtual_keys": {"openai": "vk"}}
    model = kind(**own, ledger=f"redis://:{SECRET}@localhost:1", budgets=[budget])
    router = model._the_router()
    forms = [repr(model), str(model), str(model.model_dump()), repr(router), repr(router.ledger)]
    forms += [str(dumpd(model))] if kind is ChatPortkey else [str(model.to_dict()), str(model.to_payload())]
    written = pickle.dumps(model)
    forms.append(repr(written))
    assert not [form for form in forms if SECRET in form]
    restored = pickle.loads(written)  # noqa: S301  (what was just written)
    assert (restored.ledger, restored.budgets, restored.limits) == (None, (), ())


class Alerted:
    """Somebody who is told, and must not be copied."""

    def hear(self, alert: Any) -> None:
        """Hear of it."""


@pytest.mark.parametrize("kind", [ChatPortkey, PortkeyLLM])
def test_copies_and_changes_spend_of_the_same_budget(kind: Any, provider: Providers) -> None:
    """A deep copy, and a model one of whose fields was changed, go on counting where the model was."""
    model = kind(
        **{name: value for name, value in spending(provider, Budget("all", usd=1)).items() if name != "ledger"},
        ledger="memory://",
        budgets=[Budget("all", usd=1, on_alert=Alerted().hear)],
    )
    copied = copy.deepcopy(model)
    changed = model.model_copy(update={"max_retries": 0})
    assert copied.budgets[0].on_alert.__self__ is model.budgets[0].on_alert.__self__
    spent = []
    for each in (model, copied, changed):
        each.invoke(QUESTION) if kind is ChatPortkey else each.complete(QUESTION)
        spent.append(each._the_router().ledger.report({}).budgets[0].spent_usd)
    model.max_retries = 0
    spent.append(model._the_router().ledger.report({}).budgets[0].spent_usd)
    first = spent[0]
    assert spent == [first, 2 * first, 3 * first, 3 * first]
    assert first > 0


def test_budgets_without_a_ledger_are_the_processs(provider: Providers) -> None:
    """Two routers that name the same budget share its counter in this process."""
    options: dict[str, Any] = {**spending(provider, Budget("x", usd=1)), "budgets": [Budget("of this test", usd=1)]}
    del options["ledger"]
    one, other = PortkeyRouter.from_env(**options), PortkeyRouter.from_env(**options)
    one.complete(MESSAGES)
    assert one.ledger is not None
    assert other.ledger is not None
    assert one.ledger is not other.ledger
    assert other.ledger.report({}).budgets[0].spent_usd == one.ledger.report({}).budgets[0].spent_usd > 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"ledger": "redis://localhost:6379"}, "give budgets="),
        (
            {"ledger": BudgetLedger(MemoryLedgerStore(), [Budget("a", usd=1)]), "budgets": [Budget("b", usd=1)]},
            "its own",
        ),
        ({"ledger": "http://localhost", "budgets": [Budget("b", usd=1)]}, "redis://"),
    ],
)
def test_a_ledger_that_cannot_be_meant_is_refused(options: dict[str, Any], says: str) -> None:
    """With what to write instead, before anything is built."""
    with pytest.raises(ConfigurationError, match=says):
        PortkeyRouter.from_env(model="gpt-4o", api_key="pk", virtual_keys={"openai": "vk"}, **options)


def test_a_bound_of_the_callers_own_is_an_amount() -> None:
    """Anything else is refused when the call is made, whether there is a budget or not."""
    with pytest.raises(ConfigurationError, match="max_cost="):
        PortkeyRouter.from_env(api_key="pk").request(MESSAGES, max_cost="much")

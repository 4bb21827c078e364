from __future__ import annotations

import asyncio
import json
import pickle
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from portkey_router.errors import (
    AllTargetsFailedError,
    AuthenticationError,
    ConfigurationError,
    DeadlineExceededError,
    InvalidRequestError,
    PortkeyError,
    UnknownModelError,
)
from portkey_router.events import CallFinished, capture_events
from portkey_router.flow.journey import Deadlines
from portkey_router.messages import CallOptions, Embeddings, Usage
from portkey_router.pricing import Price, PriceBook
from portkey_router.router import PortkeyRouter
from portkey_router.settings import Settings
from portkey_router.targets import Fallback, LoadBalance, Target
from tests.core.embedding_fakes import bodies, packed, reply
from tests.core.fakes import AsyncPort, Reply, SyncPort, failed

if TYPE_CHECKING:
    from portkey_router.wire.http import HttpCall, HttpReply

MODEL = "text-embedding-3-small"
KEYS = {name: SecretStr(f"vk-{name}") for name in ("openai", "azure", "google", "aws")}
SETTINGS = Settings(api_key=SecretStr("pk"), virtual_keys=KEYS)
ONE, TWO, THREE = (1.0, 0.0), (0.0, 1.0), (0.5, 0.5)


def router(*replies: Reply, settings: Settings = SETTINGS, **options: Any) -> PortkeyRouter:
    """A router over scripted replies; both ports follow the same script from its start."""
    options = {"model": MODEL, "max_retries": 0, **options}
    return PortkeyRouter(settings, ports=(SyncPort(*replies), AsyncPort(*replies)), **options)


def embed(of: PortkeyRouter, verb: str, texts: list[str], **options: Any) -> Embeddings:
    """The vectors by either verb."""
    return of.embed(texts, **options) if verb == "embed" else asyncio.run(of.aembed(texts, **options))


def outcomes(told: PortkeyError | Embeddings) -> list[tuple[str, str]]:
    """Target and outcome of every attempt."""
    return [(attempt.target, attempt.outcome) for attempt in told.attempts]


both = pytest.mark.parametrize("verb", ["embed", "aembed"])


@both
def test_one_batch(verb: str) -> None:
    """Texts in, vectors out in their order, with usage, cost and route."""
    asked = router(reply(ONE, TWO, tokens=1000), prices=PriceBook())
    told = embed(asked, verb, ["a", "b"])
    assert told.vectors == (list(ONE), list(TWO))
    assert (told.model, told.dimensions, told.usage) == (MODEL, 2, Usage(1000, 0, 1000))
    assert told.cost is not None
    assert (str(told.cost.amount), told.cost.provider) == ("0.00002", "openai")
    assert [route.target for route in told.routes] == [MODEL]
    assert outcomes(told) == [(MODEL, "ok")]


def test_what_is_sent() -> None:
    """The embeddings endpoint, the target's key, base64 unless it is asked otherwise, and further fields as given."""
    asked = router(reply(ONE), reply(list(ONE)))
    asked.embed(["a"], dimensions=2, user="u", input_type="query")
    asked.embed(("a",), encoding_format="float")
    port = asked._sync_port
    assert isinstance(port, SyncPort)
    assert port.calls[0].url == "https://api.portkey.ai/v1/embeddings"
    assert port.calls[0].headers["x-portkey-virtual-key"] == "vk-openai"
    assert bodies(asked) == [
        {
            "model": MODEL,
            "input": ["a"],
            "encoding_format": "base64",
            "dimensions": 2,
            "user": "u",
            "input_type": "query",
        },
        {"model": MODEL, "input": ["a"], "encoding_format": "float"},
    ]


def test_providers_without_base64_or_lists_are_asked_as_they_can_be() -> None:
    """Through the gateway Google takes one text a request, and no encoding: each text goes alone, as a text."""
    asked = router(reply([1.0, 0.0]), reply([0.0, 1.0]), model="text-embedding-004")
    assert asked.embed(["a", "b"]).vectors == ([1.0, 0.0], [0.0, 1.0])
    assert bodies(asked) == [{"model": "text-embedding-004", "input": text} for text in "ab"]


@both
def test_no_texts_no_call(verb: str) -> None:
    """An empty list is an empty answer."""
    told = embed(router(), verb, [])
    assert (told.vectors, told.model, told.routes, told.cost) == ((), MODEL, (), None)


@both
@pytest.mark.parametrize(
    ("texts", "options", "says"),
    [
        ("abc", {}, "list of texts"),
        (["a", ""], {}, r"texts\[1\] is empty"),
        ([1], {}, r"texts\[0\]"),
        (["a"], {"dimensions": 0}, "dimensions"),
        (["a"], {"encoding_format": "int8"}, "encoding_format"),
        (["a"], {"batch_size": 0}, "batch_size"),
        (["a"], {"batch_tokens": 0}, "batch_tokens"),
        (["a"], {"timeout": 0}, "timeout"),
        (["a"], {"max_retries": -1}, "max_retries"),
        (["a"], {"extra_body": {"input": "x"}}, "extra_body holds input"),
    ],
)
def test_bad_arguments_never_reach_the_network(verb: str, texts: Any, options: dict[str, Any], says: str) -> None:
    """Each is named, before any call."""
    asked = router()
    with pytest.raises(ConfigurationError, match=says):
        embed(asked, verb, texts, **options)


async def test_max_concurrency_is_a_number_from_one_up() -> None:
    """Nothing would ever be asked with 0."""
    with pytest.raises(ConfigurationError, match="max_concurrency"):
        await router().aembed(["a"], max_concurrency=0)


@both
def test_batches_make_one_answer(verb: str) -> None:
    """Batches of at most so many texts, each a call of its own, in the texts' order; usage, routes and costs add up."""
    asked = router(reply(ONE, TWO, tokens=2), reply(THREE, tokens=3), prices=PriceBook({MODEL: Price(1_000_000, 0)}))
    told = embed(asked, verb, ["a", "b", "c"], batch_size=2, **({} if verb == "embed" else {"max_concurrency": 1}))
    assert told.vectors == (list(ONE), list(TWO), list(THREE))
    assert told.usage == Usage(5, 0, 5)
    assert told.cost is not None
    assert told.cost.amount == 5
    assert len(told.routes) == 2
    assert len({route.trace_id for route in told.routes}) == 1


def test_batches_by_tokens() -> None:
    """A batch holds no more than so many estimated tokens: two bytes count as one."""
    asked = router(reply(ONE, TWO), reply(THREE))
    asked.embed(["aaaa", "bbbb", "cccc"], batch_tokens=4)
    assert [body["input"] for body in bodies(asked)] == [["aaaa", "bbbb"], ["cccc"]]


@both
def test_an_error_keeps_what_was_paid_for(verb: str) -> None:
    """A batch that fails ends the call with its own error, which has all attempts, and what was finished before it."""
    asked = router(reply(ONE, TWO, tokens=7), failed(400), prices=PriceBook({MODEL: Price(1, 0)}))
    with pytest.raises(InvalidRequestError) as caught:
        embed(asked, verb, list("abcdef"), batch_size=2, **({} if verb == "embed" else {"max_concurrency": 1}))
    error = caught.value
    assert outcomes(error) == [(MODEL, "ok"), (MODEL, "InvalidRequestError")]
    kept = error.embedded
    assert kept is not None
    assert kept.vectors == {0: list(ONE), 1: list(TWO)}
    assert kept.usage == Usage(7, 0, 7)
    assert kept.cost is not None
    restored = pickle.loads(pickle.dumps(error))  # noqa: S301  (our own)
    assert restored.embedded == kept
    port: Any = asked._sync_port if verb == "embed" else asked._async_port
    assert len(port.calls) == 2


def test_an_error_of_the_first_batch_has_nothing_to_keep() -> None:
    """Nothing finished, nothing kept."""
    with pytest.raises(InvalidRequestError) as caught:
        router(failed(400)).embed(["a"])
    assert caught.value.embedded is None
    assert len(caught.value.attempts) == 1


class Gated:
    """An async port whose calls wait to be let go, each with its answer; `most` is how many waited at once."""

    def __init__(self) -> None:
        self.waiting: dict[str, asyncio.Future[HttpReply]] = {}
        self.most = 0
        self.began: list[str] = []

    async def send(self, call: HttpCall) -> HttpReply:
        """Wait for the reply to the call's first text."""
        (text, *_) = json.loads(call.body)["input"]
        self.began.append(text)
        self.waiting[text] = asyncio.get_running_loop().create_future()
        self.most = max(self.most, len(self.waiting))
        try:
            return await self.waiting[text]
        finally:
            del self.waiting[text]

    async def open(self, call: HttpCall) -> Any:
        """Nothing is streamed."""
        raise NotImplementedError

    async def until(self, *texts: str) -> None:
        """Wait until just these wait."""
        async with asyncio.timeout(20):
            while set(self.waiting) != set(texts):  # noqa: ASYNC110  (what is waited for has no event of its own)
                await asyncio.sleep(0)


def gated() -> tuple[Gated, PortkeyRouter]:
    """A gated port and a router over it."""
    port = Gated()
    return port, PortkeyRouter(SETTINGS, ports=(SyncPort(), port), model=MODEL, max_retries=0)


async def test_batches_go_out_at_once_within_the_bound() -> None:
    """Two at once, the third as soon as one is answered; answers in any order make the texts' order."""
    port, asked = gated()
    call = asyncio.create_task(asked.aembed(list("abc"), batch_size=1, max_concurrency=2))
    await port.until("a", "b")
    port.waiting["b"].set_result(reply(TWO))
    await port.until("a", "c")
    port.waiting["c"].set_result(reply(THREE))
    await port.until("a")
    port.waiting["a"].set_result(reply(ONE))
    assert (await call).vectors == (list(ONE), list(TWO), list(THREE))
    assert port.most == 2


async def test_after_an_error_nothing_begins_and_what_is_under_way_counts() -> None:
    """The error waits for those on their way: their vectors are paid for, and are kept; the others never begin."""
    port, asked = gated()
    call = asyncio.create_task(asked.aembed(list("abcd"), batch_size=1, max_concurrency=2))
    await port.until("a", "b")
    port.waiting["a"].set_result(failed(400))
    await port.until("b")
    assert not call.done()
    port.waiting["b"].set_result(reply(TWO))
    with pytest.raises(InvalidRequestError) as caught:
        await call
    assert caught.value.embedded is not None
    assert caught.value.embedded.vectors == {1: list(TWO)}
    assert port.began == ["a", "b"]


async def test_cancelling_the_call_cancels_its_batches() -> None:
    """A caller who leaves leaves nothing running."""
    port, asked = gated()
    call = asyncio.create_task(asked.aembed(list("abcd"), batch_size=1, max_concurrency=3))
    await port.until("a", "b", "c")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert port.waiting == {}
    assert len(asyncio.all_tasks()) == 1


@both
def test_retries_and_fallback_are_the_chats(verb: str) -> None:
    """A passing fault is tried again, a refused key handed over: each batch has a journey of its own."""
    strategy = Fallback(MODEL, f"azure/{MODEL}")
    first, second = (failed(503, retry_after_ms="1"), reply(ONE)), (failed(401), reply(TWO, headers={}))
    asked = router(*first, *second, strategy=strategy, model=None, max_retries=1)
    told = embed(asked, verb, ["a", "b"], batch_size=1, **({} if verb == "embed" else {"max_concurrency": 1}))
    assert told.vectors == (list(ONE), list(TWO))
    assert outcomes(told) == [
        (MODEL, "UpstreamUnavailableError"),
        (MODEL, "ok"),
        (MODEL, "AuthenticationError"),
        (f"azure/{MODEL}", "ok"),
    ]


def test_an_answer_that_is_not_as_asked_is_a_failed_attempt() -> None:
    """Wrong count, wrong length: not asked again, since it would come again; the next target answers."""
    asked = router(reply(ONE), reply(THREE, TWO), strategy=Fallback(MODEL, f"azure/{MODEL}"), max_retries=2)
    told = asked.embed(["a", "b"])
    assert outcomes(told) == [(MODEL, "UpstreamUnavailableError"), (f"azure/{MODEL}", "ok")]
    asked = router(reply(ONE), reply((1.0, 2.0, 3.0)), strategy=Fallback(MODEL, f"azure/{MODEL}"))
    assert asked.embed(["a"], dimensions=3).dimensions == 3


def test_all_targets_fail() -> None:
    """The error lists every target's."""
    with pytest.raises(AllTargetsFailedError) as caught:
        router(failed(401), failed(404), strategy=Fallback(MODEL, f"azure/{MODEL}")).embed(["a"])
    assert [type(error) for error in caught.value.errors] == [AuthenticationError, InvalidRequestError]
    assert len(caught.value.attempts) == 2


@pytest.mark.parametrize("run_on", ["client", "gateway"])
def test_mixed_spaces_are_refused(run_on: Any) -> None:
    """Of the router or of the call, run here or on the gateway: refused before the network."""
    mixed = Fallback(MODEL, "text-embedding-3-large")
    with pytest.raises(ConfigurationError, match="mixed vector spaces"):
        router(model=None, strategy=mixed, run_on=run_on).embed(["a"])
    with pytest.raises(ConfigurationError, match="mixed vector spaces"):
        router().embed(["a"], strategy=mixed, run_on=run_on)
    one = Fallback(MODEL, Target(f"azure/{MODEL}", override_params={"dimensions": 2}))
    with pytest.raises(ConfigurationError, match="2 dimensions"):
        router().embed(["a"], strategy=one, run_on=run_on)
    assert router(reply(ONE)).embed(["a"], strategy=one, dimensions=2, run_on=run_on).dimensions == 2


def test_a_targets_own_dimensions_are_those_expected() -> None:
    """`override_params` of a target wins over the call, on the wire and in the check."""
    target = Target(MODEL, override_params={"dimensions": 2})
    asked = router(reply(ONE))
    assert asked.embed(["a"], strategy=target, dimensions=3).dimensions == 2
    assert bodies(asked)[0]["dimensions"] == 2
    assert router(reply(ONE)).embed(["a"], strategy=target, dimensions=3, run_on="gateway").dimensions == 2


def test_the_environments_strategy_is_for_chat() -> None:
    """PORTKEY_STRATEGY, PORTKEY_FALLBACKS and PORTKEY_CONFIG_ID do not lead an embedding into another space."""
    chat = Settings(
        api_key=SecretStr("pk"),
        virtual_keys=KEYS,
        strategy="fallback",
        fallbacks=(Target("gpt-4o"),),
        config="pc-chat",
    )
    asked = router(reply(ONE), settings=chat)
    assert outcomes(asked.embed(["a"])) == [(MODEL, "ok")]
    port = asked._sync_port
    assert isinstance(port, SyncPort)
    assert "x-portkey-config" not in port.calls[0].headers
    with pytest.raises(UnknownModelError, match="PORTKEY_VIRTUAL_KEY_COHERE"):
        router(settings=chat, model="embed-v4.0").embed(["a"])


def test_a_saved_config() -> None:
    """It goes to the gateway as it is; batches that come back with two lengths are refused, with what they cost."""
    asked = router(reply(ONE), config="pc-embed", model=None)
    assert asked.embed(["a"], model="m").dimensions == 2
    asked = router(reply(ONE), reply((1.0,)), config="pc-embed")
    with pytest.raises(ConfigurationError, match="different dimensions") as caught:
        asked.embed(["a", "b"], batch_size=1)
    assert caught.value.embedded is not None
    assert caught.value.embedded.usage == Usage(2, 0, 2)


def test_a_load_balancer_draws_for_each_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch is a call, and goes where it is drawn."""
    draws = iter([0, 0, 1, 0, 0, 0])  # the first two for the limits, then two for each batch
    monkeypatch.setattr("portkey_router.router._draw", lambda weights: next(draws))
    asked = router(reply(ONE), reply(TWO), strategy=LoadBalance(MODEL, f"azure/{MODEL}"), model=None)
    told = asked.embed(["a", "b"], batch_size=1)
    assert [route.target for route in told.routes] == [f"azure/{MODEL}", MODEL]


def test_one_deadline_for_all_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """`timeout` ends the call, not each batch: the second has what the first left of it."""
    asked = router(reply(ONE), reply(TWO), deadlines=Deadlines(total=50))
    asked.embed(["a", "b"], batch_size=1, timeout=9)
    port = asked._sync_port
    assert isinstance(port, SyncPort)
    first, second = (call.expiry for call in port.calls)
    assert first == second
    assert (first.phase, first.seconds) == ("total", 9)
    late = DeadlineExceededError("late", phase="total", seconds=9)
    with pytest.raises(DeadlineExceededError) as caught:
        router(reply(ONE), late).embed(["a", "b"], batch_size=1)
    assert caught.value.embedded is not None


def test_costs_by_the_target_that_answered() -> None:
    """An embedding has input only: a price without output is enough; an unknown model has no cost; a hit costs none."""
    prices = PriceBook({"acme-embed": Price(1_000_000, 0)}, genai=False)
    target = Target("acme-embed", provider="acme", api_key="k")
    (cost,) = router(reply(ONE, tokens=3, model=""), prices=prices).embed(["a"], strategy=target).costs
    assert cost is not None
    assert (cost.amount, cost.model, cost.source) == (Decimal(3), "acme-embed", "user")
    unknown = Target("unheard-of", provider="acme", api_key="k")
    assert router(reply(ONE, model="unheard-of"), prices=prices).embed(["a"], strategy=unknown).cost is None
    hit = router(reply(ONE, headers={"x-portkey-cache-status": "HIT"}), prices=prices).embed(["a"]).cost
    assert hit is not None
    assert (hit.amount, hit.source) == (Decimal(0), "cache")


def test_usage_that_is_not_stated() -> None:
    """The gateway's -1 for tokens (Cohere, Google) is no count: it cannot be right, and costs nothing known."""
    told = router(reply(ONE, tokens=-1), prices=PriceBook()).embed(["a"])
    assert told.usage is not None
    assert told.usage.impossible == "no tokens are counted"
    assert told.cost is None


def test_options_of_the_router_and_of_the_call() -> None:
    """Metadata, trace id and extra headers travel as in chat, the call's over the router's."""
    asked = router(reply(ONE), options=CallOptions(metadata={"a": "1"}, trace_id="t-router"))
    told = asked.embed(["x"], metadata={"b": "2"}, trace_id="t-call", extra_headers={"X-My": "1"})
    port = asked._sync_port
    assert isinstance(port, SyncPort)
    headers = port.calls[0].headers
    assert json.loads(headers["x-portkey-metadata"]) == {"a": "1", "b": "2"}
    assert (headers["x-my"], told.routes[0].trace_id) == ("1", "t-call")


def test_vectors_stay_out_of_the_repr() -> None:
    """A repr is for people: thousands of numbers are not."""
    told = router(reply((0.123456,))).embed(["a"])
    assert "0.1234" not in repr(told)
    assert packed((0.123456,)) not in repr(told)


def test_a_gateways_refusal_of_a_chat_model() -> None:
    """What a provider says to a model that makes no embeddings reaches the caller as its own error."""
    with pytest.raises(InvalidRequestError, match="boom"):
        router(failed(400), strategy=Fallback(MODEL, f"azure/{MODEL}")).embed(["a"])


def test_events_tell_of_each_batch() -> None:
    """Each batch is a call of its own in events, under an id of its own and the trace id of all."""
    with capture_events() as events:
        told = router(reply(ONE, tokens=2), reply(TWO, tokens=3)).embed(["a", "b"], batch_size=1)
    finished = [event for event in events if isinstance(event, CallFinished)]
    assert [(event.operation, event.outcome, event.usage) for event in finished] == [
        ("embeddings", "ok", Usage(2, 0, 2)),
        ("embeddings", "ok", Usage(3, 0, 3)),
    ]
    assert len({event.call_id for event in finished}) == 2
    assert {event.trace_id for event in finished} == {told.routes[0].trace_id}

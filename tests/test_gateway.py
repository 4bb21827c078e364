"""The router through the real open-source gateway, with the sandbox's providers behind it."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

from langchain_portkey_router import ChatPortkey
from portkey_router import (
    AllTargetsFailedError,
    AuthenticationError,
    Chunk,
    Completion,
    Conditional,
    Fallback,
    InvalidRequestError,
    LoadBalance,
    PortkeyRouter,
    StreamInterruptedError,
    Target,
    UpstreamUnavailableError,
    When,
    sandbox,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.language_models import LanguageModelInput

    from portkey_router.sandbox import Gateway, Providers

MESSAGES = [{"role": "user", "content": "What does a gateway do?"}]
VERBS = ("complete", "acomplete", "stream", "astream")


@pytest.fixture
def target(portkey_providers: Providers) -> Callable[..., Target]:
    """Makes a target that is a provider of the sandbox."""

    def make(name: str, **options: Any) -> Target:
        host = portkey_providers.host(name)
        return Target(f"model-{name}", provider="openai", api_key="sk-test", custom_host=host, name=name, **options)

    return make


@pytest.fixture
def dead() -> Target:
    """A target whose host refuses connections."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    return Target("model-dead", provider="openai", api_key="sk-test", custom_host=host, name="dead")


def ask(router: PortkeyRouter, verb: str, **options: Any) -> Completion:
    """The answer by any of the four verbs; of a stream, its chunks are checked to add up to it."""
    if verb == "complete":
        return router.complete(MESSAGES, **options)
    if verb == "acomplete":
        return asyncio.run(router.acomplete(MESSAGES, **options))
    if verb == "stream":
        stream = router.stream(MESSAGES, **options)
        return whole(list(stream), stream.completion)
    return asyncio.run(astreamed(router, **options))


async def astreamed(router: PortkeyRouter, **options: Any) -> Completion:
    """The answer by `astream`."""
    stream = router.astream(MESSAGES, **options)
    return whole([chunk async for chunk in stream], stream.completion)


def whole(chunks: list[Chunk], completion: Completion | None) -> Completion:
    """The stream's whole answer, checked against its chunks."""
    assert completion is not None
    assert "".join(chunk.content for chunk in chunks) == completion.text
    return completion


def outcomes(completion: Completion) -> list[tuple[str, str]]:
    """Target and outcome of every attempt."""
    return [(attempt.target, attempt.outcome) for attempt in completion.route.attempts]


@pytest.mark.parametrize("verb", VERBS)
def test_all_verbs_give_the_same_answer(portkey_gateway: Gateway, target: Callable[..., Target], verb: str) -> None:
    """The same text, usage, model and route by all four verbs."""
    router = PortkeyRouter.from_env(base_url=portkey_gateway.url, strategy=target("a"))
    reference = router.complete(MESSAGES)
    answer = ask(router, verb)
    assert answer.text == reference.text
    assert answer.usage == reference.usage
    assert (answer.model, answer.finish_reason) == ("model-a", "stop")
    assert (answer.route.target, answer.route.provider, answer.route.index) == ("a", "openai", "config")


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_the_client_falls_back_on_http_errors(
    portkey_gateway: Gateway,
    portkey_providers: Providers,
    target: Callable[..., Target],
    verb: str,
    status: int,
) -> None:
    """A failing first target is answered for by the second, whatever the verb; the providers' log agrees."""
    portkey_providers.always("a", sandbox.Fault.status(status))
    strategy = Fallback(target("a"), target("b"))
    answer = ask(PortkeyRouter.from_env(base_url=portkey_gateway.url, strategy=strategy, max_retries=0), verb)
    assert [attempt.status for attempt in answer.route.attempts] == [status, 200]
    assert answer.model == "model-b"
    assert [request.provider for request in portkey_providers.requests] == ["a", "b"]


@pytest.mark.parametrize("verb", VERBS)
def test_the_client_falls_back_on_refused_connections(
    portkey_gateway: Gateway, target: Callable[..., Target], dead: Target, verb: str
) -> None:
    """A host that refuses connections (the gateway says 500) is answered for by the next target."""
    router = PortkeyRouter.from_env(base_url=portkey_gateway.url, strategy=Fallback(dead, target("b")), max_retries=0)
    assert outcomes(ask(router, verb)) == [("dead", "UpstreamUnavailableError"), ("b", "ok")]


def test_a_passing_fault_is_tried_again(
    portkey_gateway: Gateway, portkey_providers: Providers, target: Callable[..., Target]
) -> None:
    """Two 503s, then an answer: the same target, three attempts."""
    portkey_providers.script("a", sandbox.Fault.status(503), sandbox.Fault.status(503))
    answer = PortkeyRouter.from_env(base_url=portkey_gateway.url, strategy=target("a")).complete(MESSAGES)
    assert outcomes(answer) == [("a", "UpstreamUnavailableError")] * 2 + [("a", "ok")]


def test_a_wrong_request_goes_straight_to_the_caller(
    portkey_gateway: Gateway, portkey_providers: Providers, target: Callable[..., Target]
) -> None:
    """A 400 is neither tried again nor passed to the next target."""
    portkey_providers.always("a", sandbox.Fault.status(400))
    router = PortkeyRouter.from_env(base_url=portkey_gateway.url, strategy=Fallback(target("a"), target("b")))
    with pytest.raises(InvalidRequestError) as caught:
        router.complete(MESSAGES)
    assert caught.value.status == 400
    assert len(portkey_providers.requests) == 1


@pytest.mark.parametrize("verb", ["stream", "astream"])
def test_a_stream_the_gateway_ends_early_is_not_an_answer(
    portkey_gateway: Gateway, portkey_providers: Providers, target: Callable[..., Target], verb: str
) -> None:
    """The gateway ends a cut stream as a clean 200: an error with the part that came, or the next target."""
    portkey_providers.always("a", sandbox.Fault.reset(after=3))
    router = PortkeyRouter.from_env(base_url=portkey_gateway.url, strategy=target("a"), max_retries=0)
    with pytest.raises(StreamInterruptedError) as caught:
        ask(router, verb)
    assert caught.value.partial is not None
    assert caught.value.partial.text
    portkey_providers.always("a", sandbox.Fault.cut(after=1))
    both = PortkeyRouter.from_env(
        base_url=portkey_gateway.url, strategy=Fallback(target("a"), target("b")), max_retries=0
    )
    assert outcomes(ask(both, verb)) == [("a", "StreamInterruptedError"), ("b", "ok")]


@pytest.mark.parametrize("verb", VERBS)
def test_the_gateway_runs_what_it_is_given(
    portkey_gateway: Gateway, portkey_providers: Providers, target: Callable[..., Target], verb: str
) -> None:
    """`run_on="gateway"`: one request from us, the fallback by the gateway, and the target known from its index."""
    portkey_providers.always("a", sandbox.Fault.status(503))
    router = PortkeyRouter.from_env(
        base_url=portkey_gateway.url,
        strategy=Fallback(target("a"), target("b")),
        run_on="gateway",
        max_retries=0,
    )
    answer = ask(router, verb)
    assert len(answer.route.attempts) == 1
    assert (answer.route.target, answer.route.index, answer.route.run_on) == ("b", "config.targets[1]", "gateway")
    assert answer.model == "model-b"


def test_retries_are_the_gateways_where_it_runs_the_strategy(
    portkey_gateway: Gateway, portkey_providers: Providers, target: Callable[..., Target]
) -> None:
    """One owner of retries: with `run_on="gateway"` the gateway asks again, and we do not."""
    portkey_providers.script("a", sandbox.Fault.status(503))
    router = PortkeyRouter.from_env(base_url=portkey_gateway.url, strategy=target("a"), run_on="gateway", max_retries=1)
    answer = router.complete(MESSAGES)
    assert (len(answer.route.attempts), answer.route.retries) == (1, 1)
    assert len(portkey_providers.requests) == 2


def test_a_stream_cut_under_the_gateways_fallback_goes_on_with_the_targets_left(
    portkey_gateway: Gateway, portkey_providers: Providers, target: Callable[..., Target]
) -> None:
    """The gateway takes a cut stream for an answer; the client goes on, past the target that failed."""
    portkey_providers.always("a", sandbox.Fault.status(503))
    portkey_providers.always("b", sandbox.Fault.cut(after=1))
    strategy = Fallback(target("a"), target("b"), target("c"))
    router = PortkeyRouter.from_env(base_url=portkey_gateway.url, strategy=strategy, run_on="gateway", max_retries=0)
    answer = ask(router, "stream")
    assert answer.model == "model-c"
    assert [request.provider for request in portkey_providers.requests] == ["a", "b", "c"]


def test_conditional_and_nested_strategies_run_on_the_gateway(
    portkey_gateway: Gateway, portkey_providers: Providers, target: Callable[..., Target]
) -> None:
    """What only the gateway can run compiles to what it understands; the index leads back to the leaf."""
    portkey_providers.always("a", sandbox.Fault.status(500))
    best = Fallback(target("a"), target("b"), name="best")
    strategy = Conditional(When({"metadata.plan": {"$eq": "paid"}}, best), default=target("c"))
    router = PortkeyRouter.from_env(base_url=portkey_gateway.url, strategy=strategy, run_on="gateway", max_retries=0)
    assert router.complete(MESSAGES, metadata={"plan": "free"}).route.target == "c"
    assert router.complete(MESSAGES, metadata={"plan": "paid"}).route.target == "b"
    nested = LoadBalance(Fallback(target("a"), target("b")), Target("x", provider="openai", api_key="k", weight=0))
    assert router.complete(MESSAGES, strategy=nested).route.index == "config.targets[0].targets[1]"


def test_override_params_and_request_timeout(
    portkey_gateway: Gateway, portkey_providers: Providers, target: Callable[..., Target]
) -> None:
    """A target's own body fields win, and its `request_timeout` (seconds) makes the gateway give up on it."""
    router = PortkeyRouter.from_env(base_url=portkey_gateway.url, max_retries=0)
    router.complete(MESSAGES, strategy=target("a", override_params={"max_tokens": 7}), max_tokens=100)
    assert portkey_providers.requests[-1].body["max_tokens"] == 7
    portkey_providers.always("a", sandbox.Fault.slow(first_token=5))
    with pytest.raises(UpstreamUnavailableError) as caught:
        router.complete(MESSAGES, strategy=target("a", request_timeout=0.2))
    assert caught.value.status == 408


def test_every_target_failing_is_told_with_every_attempt(
    portkey_gateway: Gateway, portkey_providers: Providers, target: Callable[..., Target], dead: Target
) -> None:
    """`AllTargetsFailedError` lists the attempts in order; a lone target raises its own error."""
    portkey_providers.always("a", sandbox.Fault.status(401))
    router = PortkeyRouter.from_env(base_url=portkey_gateway.url, max_retries=1)
    with pytest.raises(AllTargetsFailedError) as caught:
        router.complete(MESSAGES, strategy=Fallback(dead, target("a")))
    assert [(a.target, a.status) for a in caught.value.attempts] == [("dead", 500), ("dead", 500), ("a", 401)]
    with pytest.raises(AuthenticationError, match="PORTKEY_API_KEY"):
        router.complete(MESSAGES, strategy=target("a"))


def test_leaving_a_stream_early_closes_the_call(
    portkey_gateway: Gateway, portkey_providers: Providers, target: Callable[..., Target]
) -> None:
    """A `break` and a `close` let go of the connection; the next call works."""
    router = PortkeyRouter.from_env(base_url=portkey_gateway.url, strategy=target("a"))
    with router.stream(MESSAGES) as stream:
        for _ in stream:
            break
    assert stream.completion is None
    assert router.complete(MESSAGES).text


def test_chains_in_threads_and_loops_share_one_model(portkey_gateway: Gateway, target: Callable[..., Target]) -> None:
    """One model: `batch` in threads, `abatch` in two loops, one after the other."""
    llm = ChatPortkey(base_url=portkey_gateway.url, strategy=target("a"))
    questions: list[LanguageModelInput] = [f"question {number}" for number in range(12)]
    expected = [answer.text for answer in llm.batch(questions)]
    assert [answer.text for answer in asyncio.run(llm.abatch(questions))] == expected
    assert [answer.text for answer in asyncio.run(llm.abatch(questions))] == expected
    assert len(set(expected)) == 12

"""The cheapest first, through a gateway: what it chooses, what it rules out, and what it learns."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from portkey_router import (
    ConfigurationError,
    CostAware,
    Fallback,
    LoadBalance,
    PortkeyRouter,
    Price,
    Target,
    Usage,
    sandbox,
)
from portkey_router.bootstrap import process_experience
from portkey_router.costing import Experience, needs_of
from portkey_router.events import RouteDecided, capture_events
from portkey_router.health import Health

if TYPE_CHECKING:
    from portkey_router.events import Event
    from portkey_router.sandbox import PortkeyDouble

HELLO = [{"role": "user", "content": "Hello"}]
PRICES = {"cheap": Price(1, 2), "middle": Price(2, 4), "dear": Price(20, 40)}


@pytest.fixture
def server(portkey_sandbox: PortkeyDouble) -> PortkeyDouble:
    """A gateway with a key for each model."""
    for name in ("cheap", "middle", "dear", "free"):
        portkey_sandbox.add_virtual_key(f"vk-{name}", provider="openai")
    return portkey_sandbox


@pytest.fixture(autouse=True)
def _nothing_learned() -> None:
    """What a process has learned of equal calls would hold for the next test's."""
    process_experience.cache_clear()


def target(name: str, **more: Any) -> Target:
    """A model by the key of its name."""
    return Target(name, virtual_key=f"vk-{name}", **more)


def router(server: PortkeyDouble, *targets: Target, **rules: Any) -> PortkeyRouter:
    """A router over these targets, by cost."""
    options = {name: rules.pop(name) for name in ("run_on", "max_retries", "sinks") if name in rules}
    return PortkeyRouter.from_env(
        base_url=server.url, api_key=server.api_key, strategy=CostAware(*targets, **rules), prices=PRICES, **options
    )


@pytest.mark.parametrize("order", [("cheap", "dear"), ("dear", "cheap")])
def test_the_cheapest_answers(server: PortkeyDouble, order: tuple[str, str]) -> None:
    """In whichever order they were named."""
    answer = router(server, *map(target, order)).complete(HELLO)
    assert answer.route.target == "cheap"
    assert answer.cost is not None
    assert answer.cost.source == "user"


async def test_every_verb_goes_by_cost(server: PortkeyDouble) -> None:
    """Awaited and streamed, too."""
    asked = router(server, target("dear"), target("cheap"))
    assert (await asked.acomplete(HELLO)).route.target == "cheap"
    with asked.stream(HELLO) as stream:
        list(stream)
    assert stream.completion is not None
    assert stream.completion.route.target == "cheap"
    async with asked.astream(HELLO) as astream:
        _ = [chunk async for chunk in astream]
    assert astream.completion is not None
    assert astream.completion.route.target == "cheap"


def test_the_next_dearer_stands_in(server: PortkeyDouble) -> None:
    """Where the cheapest fails."""
    server.always("vk-cheap", sandbox.Fault.status(401))
    answer = router(server, target("dear"), target("middle"), target("cheap")).complete(HELLO)
    assert [record.target for record in answer.route.attempts] == ["cheap", "middle"]


def test_a_plan_tells_prices_and_exclusions(server: PortkeyDouble) -> None:
    """In the order of the call, with what each would cost; and who is not asked, and why."""
    asked = router(server, target("dear"), target("cheap"), target("gpt-4"), max_price=0.02)
    plan = asked.plan([{"role": "user", "content": "x" * 40_000}])
    assert [attempt.target for attempt in plan.attempts] == ["cheap"]
    assert dict(plan.excluded)["dear"].endswith("more than max_price")
    assert "8,192 tokens" in dict(plan.excluded)["gpt-4"]
    table = str(plan)
    assert "cost_aware, run on the client" in table
    assert "expected, 95 % answer" not in table
    assert "not asked: its window of 8,192 tokens" in table
    assert not server.requests


def test_an_unknown_price_goes_last_is_left_out_or_is_refused(server: PortkeyDouble) -> None:
    """By choice; never for nothing."""
    names = [target("free"), target("dear")]
    last = router(server, *names).plan(HELLO)
    assert [attempt.target for attempt in last.attempts] == ["dear", "free"]
    left_out = router(server, *names, unknown_price="exclude").plan(HELLO)
    assert left_out.excluded == (("free", "no price is known"),)
    with pytest.raises(ConfigurationError, match="no price is known for 'free'"):
        router(server, *names, unknown_price="error").complete(HELLO)


def test_where_nobody_is_left_each_reason_is_told(server: PortkeyDouble) -> None:
    """Before any network."""
    with pytest.raises(
        ConfigurationError, match=r"no target can take this call\. cheap: .*max_price; dear: .*max_price"
    ):
        router(server, target("cheap"), target("dear"), max_price=0).complete(HELLO)
    assert not server.requests


def test_long_answers_change_the_order(server: PortkeyDouble) -> None:
    """Dear by the token of its answers, cheap by those of the question: once its answers are known to be short."""
    talkative, terse = target("middle"), target("cheap")
    asked = PortkeyRouter.from_env(
        base_url=server.url,
        api_key=server.api_key,
        strategy=CostAware(terse, talkative),
        prices={"cheap": Price(1, 1), "middle": Price("0.1", 20)},
    )
    question = [{"role": "user", "content": "word " * 2_000}]
    assert [each.target for each in asked.plan(question).attempts] == ["cheap", "middle"]
    asked.complete(question, model="middle", virtual_key="vk-middle")
    assert [each.target for each in asked.plan(question).attempts] == ["cheap", "middle"], (
        "a plain call teaches nothing"
    )
    asked.complete(question, strategy=CostAware(talkative), max_tokens=5)
    assert [each.target for each in asked.plan(question).attempts] == ["middle", "cheap"]


def test_what_a_call_teaches_holds_for_its_kind(server: PortkeyDouble) -> None:
    """What begins alike is of a kind; the answers to another kind say less of it than its own."""
    asked = router(server, target("cheap"), target("middle"))
    system = {"role": "system", "content": "Say yes or no."}
    answer = asked.complete([system, *HELLO], max_tokens=2)
    assert answer.usage is not None
    [kind] = {needs_of(asked.request([system, {"role": "user", "content": text}])).kind for text in ("A?", "B?")}
    key = asked.plan(HELLO).attempts[0].key
    assert asked.experience.of(key, kind).answer == answer.usage.output_tokens
    asked.experience.answered(key, 10, Usage(10, 900, 910), 1.0)
    assert asked.experience.of(key, kind).answer == answer.usage.output_tokens


def test_failures_are_learned(server: PortkeyDouble) -> None:
    """With a price of waiting, a target that fails slowly is asked later."""
    asked = router(server, target("cheap"), target("middle"), latency_price=1.0, max_retries=0)
    key = asked.plan(HELLO).attempts[0].key
    assert asked.plan(HELLO).attempts[0].target == "cheap"
    for _ in range(4):
        asked.experience.failed(key, 30.0)
        asked.health.failed(key, 0.0, 0.5)
    assert asked.plan(HELLO).attempts[0].target == "middle"


def test_a_learned_failure_comes_from_the_wire(server: PortkeyDouble) -> None:
    """What an attempt took is written down under its target's key."""
    server.script("vk-cheap", sandbox.Fault.status(401))
    asked = router(server, target("cheap"), target("middle"))
    key = next(each.key for each in asked.plan(HELLO).attempts if each.target == "cheap")
    before = asked.experience.of(key).failures
    asked.complete(HELLO)
    assert asked.experience.of(key).failures == before + 1
    assert asked.experience.of(key).failing > 0


def test_the_gateway_is_sent_the_order_of_the_moment(server: PortkeyDouble) -> None:
    """As a fallback, whose targets are sorted for this call."""
    answer = router(server, target("dear"), target("cheap"), run_on="gateway").complete(HELLO)
    assert answer.route.run_on == "gateway"
    assert answer.route.target == "cheap"
    assert [len(server.log(f"vk-{name}")) for name in ("cheap", "dear")] == [1, 0]


def test_the_environment_asks_for_it(server: PortkeyDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """PORTKEY_STRATEGY=cost_aware, over the model asked for and PORTKEY_FALLBACKS."""
    monkeypatch.setenv("PORTKEY_STRATEGY", "cost_aware")
    monkeypatch.setenv("PORTKEY_FALLBACKS", '[{"model": "gpt-4o-mini", "virtual_key": "vk-cheap"}]')
    monkeypatch.setenv("PORTKEY_VIRTUAL_KEY_OPENAI", "vk-dear")
    asked = PortkeyRouter.from_env(base_url=server.url, api_key=server.api_key)
    assert asked.complete(HELLO, model="gpt-4o").route.target == "gpt-4o-mini"


def test_an_event_tells_the_order_and_why(server: PortkeyDouble) -> None:
    """RouteDecided has the reasons of this call."""
    asked = router(server, target("dear"), target("cheap"))
    with capture_events() as events:
        asked.complete(HELLO)
    [decided] = [event for event in events if isinstance(event, RouteDecided)]
    assert decided.strategy == "cost_aware"
    assert decided.targets == ("cheap", "dear")
    assert all("expected" in reason for reason in decided.reasons)


def test_a_calls_own_listener_is_told_why(server: PortkeyDouble) -> None:
    """Where there is no sink, and nobody else hears."""
    heard: list[Event] = []
    router(server, target("dear"), target("cheap")).complete(HELLO, on_event=heard.append)
    [decided] = [event for event in heard if isinstance(event, RouteDecided)]
    assert all("$" in reason for reason in decided.reasons)


@pytest.mark.parametrize("run_on", ["client", "gateway"])
def test_an_event_tells_who_is_left_out_and_why(server: PortkeyDouble, run_on: str) -> None:
    """As the plan does; whoever runs it."""
    asked = router(server, target("dear"), target("cheap"), target("gpt-4"), run_on=run_on)
    with capture_events() as events:
        asked.complete([{"role": "user", "content": "x" * 40_000}])
    [decided] = [event for event in events if isinstance(event, RouteDecided)]
    assert [label for label, _ in decided.excluded] == ["gpt-4"]
    assert "8,192 tokens" in decided.excluded[0][1]


def test_who_is_down_is_asked_last(server: PortkeyDouble) -> None:
    """With the reason; it stays in the plan, for where all others fail."""
    asked = router(server, target("cheap"), target("middle"), max_retries=0)
    cheap = asked.plan(HELLO).attempts[0]
    assert cheap.target == "cheap"
    asked.health.failed(cheap.key, time.monotonic(), 0.5, cooldown=600)
    plan = asked.plan(HELLO)
    assert [each.target for each in plan.attempts] == ["middle", "cheap"]
    assert plan.attempts[1].reason.startswith("last, since it is down")
    server.always("vk-middle", sandbox.Fault.status(401))
    assert asked.complete(HELLO).route.target == "cheap"


def test_a_counter_of_ones_own_is_used(server: PortkeyDouble) -> None:
    """For the tokens of the question."""
    counted: list[str] = []

    def count(text: str) -> int:
        counted.append(text)
        return 1_000_000

    asked = PortkeyRouter.from_env(
        base_url=server.url, api_key=server.api_key, strategy=CostAware(target("gpt-4o")), count_tokens=count
    )
    with pytest.raises(ConfigurationError, match="1,100,0"):
        asked.plan(HELLO)
    assert counted == ["Hello"]


def test_nested_it_is_a_fallback_to_the_gateway(server: PortkeyDouble) -> None:
    """Inside another strategy only the gateway runs it, in the order given."""
    nested = LoadBalance(Fallback(target("dear")), CostAware(target("cheap")))
    with pytest.raises(ConfigurationError, match="Only the gateway"):
        router(server, target("cheap")).complete(HELLO, strategy=nested)
    answer = router(server, target("cheap")).complete(HELLO, strategy=nested, run_on="gateway")
    assert answer.route.target in {"cheap", "dear"}


def test_knowledge_is_shared_by_the_routers_of_a_process(server: PortkeyDouble) -> None:
    """As health is; a router made by hand may have its own."""
    one, other = router(server, target("cheap")), router(server, target("cheap"))
    assert one.experience is other.experience
    assert isinstance(one.experience, Experience)
    assert isinstance(one.health, Health)

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from pydantic import SecretStr

from portkey_router.errors import (
    ConfigurationError,
    MissingCredentialError,
    StreamInterruptedError,
    UnknownModelError,
    UpstreamUnavailableError,
)
from portkey_router.flow.journey import Deadlines
from portkey_router.messages import CallOptions, Chunk, Usage
from portkey_router.router import PortkeyRouter
from portkey_router.settings import Settings
from portkey_router.targets import Fallback, LoadBalance, Target
from tests.core.fakes import HELLO, AsyncPort, Reply, Stream, SyncPort, delta, failed, ok

PLANTED = "vk-planted-0123456789"
KEYS = {name: SecretStr(f"vk-{name}") for name in ("openai", "anthropic")}
SETTINGS = Settings(api_key=SecretStr("pk"), virtual_keys=KEYS)


def router(*replies: Reply, settings: Settings = SETTINGS, **options: Any) -> PortkeyRouter:
    """A router over scripted replies; both ports follow the same script from its start."""
    return PortkeyRouter(settings, ports=(SyncPort(*replies), AsyncPort(*replies)), **options)


def sent(of: PortkeyRouter, call: int = 0) -> tuple[dict[str, str], dict[str, Any]]:
    """Headers and body of a call made by the sync verbs."""
    port = of._sync_port
    assert isinstance(port, SyncPort)
    return dict(port.calls[call].headers), json.loads(port.calls[call].body)


def test_complete() -> None:
    """One blocking call: messages in, the whole answer out, over the settings' URL and keys."""
    asked = router(ok("Hi"), model="gpt-4o")
    whole = asked.complete(HELLO, temperature=0, user=None)
    assert (whole.text, str(whole), whole.usage) == ("Hi", "Hi", Usage(5, 2, 7))
    headers, body = sent(asked)
    assert body == {"model": "gpt-4o", "messages": HELLO, "temperature": 0}
    assert (headers["x-portkey-api-key"], headers["x-portkey-virtual-key"]) == ("pk", "vk-openai")
    assert headers["x-portkey-trace-id"] == whole.route.trace_id
    assert whole.route.trace_id


async def test_acomplete() -> None:
    """The same in a loop."""
    assert (await router(ok("Hi"), model="gpt-4o").acomplete(HELLO)).text == "Hi"


def test_stream() -> None:
    """Chunks as they come; the whole answer is there once they have all come."""
    with router(Stream(), model="gpt-4o").stream(HELLO) as chunks:
        assert "".join(chunk.content for chunk in chunks) == "Hello"
        assert chunks.completion is not None
        assert chunks.completion.text == "Hello"
        assert list(chunks) == []


async def test_astream() -> None:
    """The same in a loop, without an `await` before it."""
    async with router(Stream(), model="gpt-4o").astream(HELLO) as chunks:
        assert "".join([chunk.content async for chunk in chunks]) == "Hello"
    assert chunks.completion is not None
    assert chunks.completion.text == "Hello"


async def test_leaving_a_stream_early() -> None:
    """The end of a `with` closes the connection, and there is no whole answer."""
    stream, astream = Stream(), Stream()
    with router(stream, model="gpt-4o").stream(HELLO) as chunks:
        assert isinstance(next(chunks), Chunk)
    async with router(astream, model="gpt-4o").astream(HELLO) as achunks:
        await anext(achunks)
    assert (stream.aborted, astream.aborted) == (1, 1)
    assert (chunks.completion, achunks.completion) == (None, None)


def test_a_broken_stream_has_no_completion() -> None:
    """What was interrupted never looks whole."""
    chunks = router(Stream([delta(content="Hel")]), model="gpt-4o").stream(HELLO)
    assert next(chunks).content == "Hel"
    with pytest.raises(StreamInterruptedError):
        next(chunks)
    assert chunks.completion is None


def test_request_merges_the_call_over_the_router() -> None:
    """Metadata and headers are joined, the rest replaced; unset arguments leave the router's."""
    own = CallOptions(metadata={"a": "1", "b": "1"}, trace_id="t", extra_headers={"x-a": "1"}, cache_namespace="n")
    request = router(model="gpt-4o", options=own).request(
        HELLO,
        metadata={"b": "2"},
        extra_headers={"x-b": "2"},
        timeout=5,
        max_retries=0,
        span_id="s",
        cache_force_refresh=False,
        extra_body={"model_kwargs": 1},
        run_on="gateway",
        top_p=None,
        seed=7,
    )
    assert request.options == CallOptions(
        metadata={"a": "1", "b": "2"},
        trace_id="t",
        span_id="s",
        cache_namespace="n",
        cache_force_refresh=False,
        extra_headers={"x-a": "1", "x-b": "2"},
        timeout=5,
        max_retries=0,
    )
    assert (request.model, dict(request.body)) == ("gpt-4o", {"model_kwargs": 1, "seed": 7})
    assert own.metadata == {"a": "1", "b": "1"}


def test_a_calls_options_reach_the_wire() -> None:
    """Trace id and metadata go as headers, the timeout and the retries into the journey."""
    asked = router(failed(503), model="gpt-4o")
    with pytest.raises(UpstreamUnavailableError) as caught:
        asked.complete(HELLO, trace_id="mine", metadata={"_user": "u"}, max_retries=0, timeout=7)
    headers, _ = sent(asked)
    assert (headers["x-portkey-trace-id"], headers["x-portkey-metadata"]) == ("mine", '{"_user": "u"}')
    assert len(caught.value.attempts) == 1
    assert isinstance(asked._sync_port, SyncPort)
    assert asked._sync_port.calls[0].expiry.seconds == 7


def targets(of: PortkeyRouter, **options: Any) -> list[str | None]:
    """The models a call would ask, in order."""
    return [attempt.model for attempt in of.plan(HELLO, **options).attempts]


def test_who_decides_on_the_route() -> None:
    """The call wins over the router, and that over the environment; a call's own model over the router's strategy."""
    routed = router(strategy=Fallback("gpt-4o", "claude-3"))
    assert targets(routed) == ["gpt-4o", "claude-3"]
    assert targets(routed, model="gpt-4.1") == ["gpt-4.1"]
    assert targets(routed, strategy=Fallback("claude-3", "gpt-4o")) == ["claude-3", "gpt-4o"]
    assert routed.plan(HELLO, config="pc-2").attempts[0].target == "pc-2"
    single = router(model="gpt-4o", strategy=Fallback("gpt-4o", "claude-3"))
    assert targets(single, model="gpt-4o") == ["gpt-4o", "claude-3"]
    saved = router(config="pc-1")
    assert targets(saved, model="gpt-4.1") == ["gpt-4.1"]
    assert saved.plan(HELLO, model="gpt-4.1").attempts[0].target == "pc-1"


def test_the_environments_route_comes_last() -> None:
    """PORTKEY_CONFIG_ID, then PORTKEY_STRATEGY with PORTKEY_FALLBACKS, where nobody else says anything."""
    fallbacks = (Target("gpt-4o"), Target("claude-3"))
    listed = Settings(api_key=SecretStr("pk"), virtual_keys=KEYS, strategy="fallback", fallbacks=fallbacks)
    assert targets(router(settings=listed)) == ["gpt-4o", "claude-3"]
    assert targets(router(settings=listed, model="claude-3")) == ["claude-3", "gpt-4o"]
    assert targets(router(settings=listed, strategy="gpt-4.1")) == ["gpt-4.1"]
    saved = Settings(api_key=SecretStr("pk"), virtual_keys=KEYS, config="pc-env", fallbacks=fallbacks)
    assert router(settings=saved).plan().attempts[0].target == "pc-env"
    assert targets(router(settings=saved, strategy="gpt-4.1")) == ["gpt-4.1"]
    assert targets(router(settings=saved, model="m", target=Target(virtual_key="v"))) == ["m"]


def test_a_virtual_key_for_one_call() -> None:
    """A call's virtual key pays for this one call, for its own model or the router's."""
    asked = router(ok(), ok(), strategy=Fallback("gpt-4o", "claude-3"), model="gpt-4o")
    asked.complete(HELLO, model="my-model", virtual_key="vk-mine")
    asked.complete(HELLO, virtual_key="vk-mine")
    for call, model in enumerate(["my-model", "gpt-4o"]):
        headers, body = sent(asked, call)
        assert (headers["x-portkey-virtual-key"], body["model"]) == ("vk-mine", model)
        assert "virtual_key" not in body


def test_run_on_the_gateway_for_one_call() -> None:
    """The whole strategy goes as one config, without a model beside it."""
    asked = router(ok(), strategy=Fallback("gpt-4o", "claude-3"))
    whole = asked.complete(HELLO, run_on="gateway", max_retries=1)
    headers, body = sent(asked)
    config = json.loads(headers["x-portkey-config"])
    assert [target["virtual_key"] for target in config["targets"]] == ["vk-openai", "vk-anthropic"]
    assert [target["retry"]["attempts"] for target in config["targets"]] == [1, 1]
    assert "model" not in body
    assert whole.route.run_on == "gateway"


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": float("inf")},
        {"timeout": float("nan")},
        {"max_retries": -1},
        {"run_on": "moon"},
        {"strategy": "gpt-4o", "config": "pc-1"},
        {"run_on": "gateway", "max_retries": 6},
        {"messages": []},
        {"messages": "Hello"},
        {"metadata": {"a": "x" * 129}},
        {"extra_headers": {"x-a": "1\r\nx-b: 2"}},
        {"temperature": float("nan")},
    ],
)
def test_what_a_call_cannot_ask(options: dict[str, Any]) -> None:
    """A wrong option is refused before anything is sent, by all verbs alike."""
    asked = router(model="gpt-4o")
    messages = options.pop("messages", HELLO)
    with pytest.raises(ConfigurationError):
        asked.complete(messages, **options)
    with pytest.raises(ConfigurationError):
        list(asked.stream(messages, **options))


@pytest.mark.parametrize(
    "options", [{"timeout": 0}, {"max_retries": -1}, {"run_on": "moon"}, {"config": "pc-1", "strategy": "m"}]
)
def test_a_dry_run_refuses_what_the_call_would(options: dict[str, Any]) -> None:
    """`plan` says no where the call would."""
    with pytest.raises(ConfigurationError):
        router(model="gpt-4o").plan(HELLO, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"strategy": "gpt-4o", "config": "pc-1"},
        {"run_on": "moon"},
        {"max_retries": -1},
    ],
)
def test_what_a_router_cannot_be(options: dict[str, Any]) -> None:
    """Half-built routers do not exist."""
    with pytest.raises(ConfigurationError):
        router(**options)


@pytest.mark.parametrize("name", ["connect", "first_token", "silence", "attempt", "total"])
@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan"), "3"])
def test_every_deadline_is_above_0_and_finite(name: str, seconds: Any) -> None:
    """None of them may be infinite, or end before it began; the message says which."""
    with pytest.raises(ConfigurationError, match="timeout" if name == "total" else name):
        Deadlines(**{name: seconds})


def test_the_hosted_gateway_needs_a_key() -> None:
    """Told when the router is made, not at its first call."""
    with pytest.raises(MissingCredentialError, match="PORTKEY_API_KEY"):
        router(settings=Settings())


def test_no_model_is_told_at_the_call() -> None:
    """A router without a model waits for a call that names one."""
    asked = router(ok())
    with pytest.raises(ConfigurationError, match="No model"):
        asked.complete(HELLO)
    with pytest.raises(UnknownModelError, match="PORTKEY_VIRTUAL_KEY_COHERE"):
        asked.complete(HELLO, model="command-r")
    assert asked.complete(HELLO, model="gpt-4o").text == "Hi"


def test_a_plan_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run opens no socket and sends nothing; it counts the call's own retries."""

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    table = str(router(strategy=Fallback("gpt-4o", "claude-3")).plan(HELLO, max_retries=4))
    assert table.splitlines()[0] == "fallback, run on the client"
    assert [line.split()[4] for line in table.splitlines()[2:]] == ["5", "5"]
    assert "vk-" not in table
    with pytest.raises(ConfigurationError):
        router(model="gpt-4o").plan([{"content": "no role"}])


def test_load_balancing_reaches_every_target() -> None:
    """The router draws at random: over many plans each target comes first."""
    asked = router(strategy=LoadBalance("gpt-4o", "claude-3"))
    assert {asked.plan().attempts[0].model for _ in range(60)} == {"gpt-4o", "claude-3"}


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({"model": "gpt-4o"}, "'gpt-4o'"),
        ({"config": "pc-1"}, "'pc-1'"),
        ({"strategy": Target("gpt-4o", virtual_key=PLANTED)}, "gpt-4o"),
        ({"config": {"virtual_key": PLANTED}}, "inline config"),
        ({"config": json.dumps({"virtual_key": PLANTED})}, "inline config"),
    ],
)
def test_a_routers_repr_shows_no_key(options: dict[str, Any], shown: str) -> None:
    """A router can be logged, one with an inline config too."""
    assert shown in repr(router(**options))
    assert PLANTED not in repr(router(**options))


def test_a_plan_is_remembered_until_a_call_chooses_its_route() -> None:
    """Calls alike share one plan; a call's own model, key or strategy has its own, and leaves the next one's alone."""
    asked = router(*[ok()] * 5, model="gpt-4o")
    for options in ({}, {"model": "claude-3"}, {"virtual_key": "vk-own"}, {"strategy": "@slug/gpt-4o"}, {}):
        asked.complete(HELLO, **options)
    key = "x-portkey-virtual-key"
    assert [sent(asked, call)[0].get(key) for call in range(5)] == [
        "vk-openai",
        "vk-anthropic",
        "vk-own",
        None,
        "vk-openai",
    ]
    assert list(asked._plans) == [("gpt-4o", None), ("claude-3", None)]


def test_a_drawn_plan_is_drawn_each_time() -> None:
    """Load balancing is by call: of a hundred, both targets get some."""
    asked = router(*[ok()] * 100, strategy=LoadBalance("gpt-4o", "claude-3"))
    served = {asked.complete(HELLO).route.target for _ in range(100)}
    assert served == {"gpt-4o", "claude-3"}


def test_plans_of_many_models_do_not_pile_up() -> None:
    """A caller who makes up model names does not fill the memory with their plans."""
    asked = router(*[ok()] * 200)
    for number in range(200):
        asked.complete(HELLO, model=f"gpt-{number}")
    assert len(asked._plans) <= 64

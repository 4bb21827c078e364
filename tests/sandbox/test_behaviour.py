"""One suite for the double and for the real gateway: the same requests, the same answers."""

from __future__ import annotations

import json
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from portkey_router.sandbox import Fault, PortkeyDouble, Providers, ok
from tests.sandbox.raw_http import Raw, chat

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from portkey_router.sandbox import Gateway

INDEX, RETRIES = "x-portkey-last-used-option-index", "x-portkey-retry-attempt-count"
TOOL = {
    "type": "function",
    "function": {
        "name": "magic_function",
        "parameters": {"type": "object", "properties": {"input": {"type": "integer"}}, "required": ["input"]},
    },
}


@dataclass(frozen=True)
class Behind:
    """A gateway, real or double, with the providers "a", "b" and "dead" (which refuses connections) behind it."""

    url: str
    key: str
    playing: Providers | PortkeyDouble
    targets: Mapping[str, Mapping[str, Any]]

    def target(self, name: str, /, **more: Any) -> dict[str, Any]:
        """The target of a config that leads to the provider."""
        return {**self.targets[name], **more}

    def ask(self, config: Any, body: Mapping[str, Any] | None = None, **headers: str) -> Raw:
        """POST a chat by the config (an object, or text as it is); keyword arguments are x-portkey-headers."""
        extra = {"x-portkey-" + name.replace("_", "-"): value for name, value in headers.items()}
        config = {"x-portkey-config": config if isinstance(config, str) else json.dumps(config)}
        return chat(self.url, body, {"x-portkey-api-key": self.key, **config, **extra})

    def fallback(self, *names: str, **strategy: Any) -> dict[str, Any]:
        """A fallback over the providers, in order."""
        return {"strategy": {"mode": "fallback", **strategy}, "targets": [self.target(name) for name in names]}

    def asked(self, name: str) -> int:
        """How many requests reached the provider."""
        return len(self.playing.log(name))


@pytest.fixture
def refused() -> Iterator[int]:
    """A port that is taken and not listened on: connections to it are refused, for as long as the test runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture(params=["double", "gateway"])
def behind(request: pytest.FixtureRequest) -> Behind:
    """The double, then the real gateway."""
    if request.param == "double":
        server: PortkeyDouble = request.getfixturevalue("portkey_sandbox")
        for name in ("a", "b", "dead"):
            server.add_virtual_key(name, provider="openai", reachable=name != "dead")
        return Behind(server.url, server.api_key, server, {name: {"virtual_key": name} for name in ("a", "b", "dead")})
    gateway: Gateway = request.getfixturevalue("portkey_gateway")
    providers: Providers = request.getfixturevalue("portkey_providers")
    hosts = {"a": providers.host("a"), "b": providers.host("b")}
    hosts["dead"] = f"http://127.0.0.1:{request.getfixturevalue('refused')}/v1"
    targets = {name: {"provider": "openai", "api_key": "k", "custom_host": host} for name, host in hosts.items()}
    return Behind(gateway.url, "unused", providers, targets)


# ---- strategies ------------------------------------------------------------------------------------------------------


def test_one_target_answers(behind: Behind) -> None:
    """A config of one target: 200, that target's answer, its path `config`, no retries, the trace id echoed."""
    reply = behind.ask(behind.target("a"), trace_id="t-1")
    assert (reply.status, reply.text) == (200, "gpt-4o answers to: Hello there")
    told = {name: value for name, value in reply.headers.items() if name.startswith("x-portkey-")}
    assert told == {
        INDEX: "config",
        RETRIES: "0",
        "x-portkey-trace-id": "t-1",
        "x-portkey-provider": "openai",
        "x-portkey-cache-status": "DISABLED",
    }


def test_single_takes_the_first_target(behind: Behind) -> None:
    """The strategy `single` asks its first target and no other."""
    targets = [behind.target("a"), behind.target("b")]
    reply = behind.ask({"strategy": {"mode": "single"}, "targets": targets})
    assert (reply.status, reply.headers[INDEX], behind.asked("b")) == (200, "config.targets[0]", 0)


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
def test_fallback_after_any_error(behind: Behind, status: int) -> None:
    """Fallback goes on after every status that is not 2xx, 400 and 401 included."""
    behind.playing.always("a", Fault.status(status))
    reply = behind.ask(behind.fallback("a", "b"))
    assert (reply.status, reply.headers[INDEX], reply.headers[RETRIES]) == (200, "config.targets[1]", "0")
    assert (behind.asked("a"), behind.asked("b")) == (1, 1)


def test_fallback_from_a_refused_connection(behind: Behind) -> None:
    """A provider that cannot be reached is fallen back from."""
    reply = behind.ask(behind.fallback("dead", "b"))
    assert (reply.status, reply.headers[INDEX]) == (200, "config.targets[1]")


@pytest.mark.parametrize("broken", [Fault.reset(), Fault.html()], ids=["reset", "html"])
def test_fallback_from_what_is_no_answer(behind: Behind, broken: Fault) -> None:
    """A connection reset before any answer, or a proxy's error page, is fallen back from."""
    behind.playing.always("a", broken)
    assert behind.ask(behind.fallback("a", "b")).headers[INDEX] == "config.targets[1]"


@pytest.mark.parametrize("broken", [Fault.invalid_json(), Fault.empty(500)], ids=["half a body", "no body"])
def test_no_fallback_after_a_stumble_of_the_gateway(behind: Behind, broken: Fault) -> None:
    """A body that the gateway cannot read is its own failure: 500, marked so, and nobody else is asked."""
    behind.playing.always("a", broken)
    reply = behind.ask(behind.fallback("a", "b"))
    assert reply.status == 500
    assert reply.json == {"status": "failure", "message": "Something went wrong"}
    assert reply.headers["x-portkey-gateway-exception"] == "true"
    assert INDEX not in reply.headers
    assert behind.asked("b") == 0


def test_fallback_only_on_the_codes_named(behind: Behind) -> None:
    """With `on_status_codes`, another error is passed on."""
    behind.playing.always("a", Fault.status(500))
    reply = behind.ask(behind.fallback("a", "b", on_status_codes=[429]))
    assert (reply.status, reply.headers[INDEX], behind.asked("b")) == (500, "config.targets[0]", 0)


def test_the_last_error_of_a_fallback_is_passed_on(behind: Behind) -> None:
    """When every target fails, the last one's status and path are told."""
    behind.playing.always("a", Fault.status(429))
    behind.playing.always("b", Fault.status(503))
    reply = behind.ask(behind.fallback("a", "b"))
    assert (reply.status, reply.headers[INDEX]) == (503, "config.targets[1]")


def test_loadbalance_draws_by_weight(behind: Behind) -> None:
    """Of 60 requests at 3:1, both targets get some, and the heavier one more."""
    targets = [behind.target("a", weight=0.75), behind.target("b", weight=0.25)]
    paths = [behind.ask({"strategy": {"mode": "loadbalance"}, "targets": targets}).headers[INDEX] for _ in range(60)]
    counts = [paths.count("config.targets[0]"), paths.count("config.targets[1]")]
    assert sum(counts) == 60
    assert counts[0] > counts[1] > 0


def test_loadbalance_does_not_fail_over(behind: Behind) -> None:
    """The drawn target's error is passed on; a weight of 0 is never drawn."""
    behind.playing.always("a", Fault.status(500))
    targets = [behind.target("a", weight=1), behind.target("b", weight=0)]
    reply = behind.ask({"strategy": {"mode": "loadbalance"}, "targets": targets})
    assert (reply.status, reply.headers[INDEX], behind.asked("b")) == (500, "config.targets[0]", 0)


CONDITIONS = [
    {"query": {"metadata.plan": {"$in": ["paid", "trial"]}}, "then": "good"},
    {"query": {"params.model": {"$regex": "mini$"}}, "then": "good"},
    {"query": {"$and": [{"params.max_tokens": {"$gt": 10}}, {"metadata.plan": {"$ne": "free"}}]}, "then": "good"},
]


@pytest.mark.parametrize(
    ("metadata", "body", "target"),
    [
        ({"plan": "paid"}, {}, 1),
        ({"plan": "free"}, {}, 0),
        ({}, {}, 0),
        ({}, {"model": "gpt-4o-mini"}, 1),
        ({}, {"max_tokens": 11}, 1),
        ({"plan": "free"}, {"max_tokens": 11}, 0),
    ],
)
def test_conditional_follows_the_first_match(
    behind: Behind, metadata: dict[str, str], body: dict[str, Any], target: int
) -> None:
    """Metadata and parameters choose the target by name; nothing that matches: the default."""
    targets = [behind.target("a", name="cheap"), behind.target("b", name="good")]
    config = {"strategy": {"mode": "conditional", "conditions": CONDITIONS, "default": "cheap"}, "targets": targets}
    reply = behind.ask(config, body, metadata=json.dumps(metadata))
    assert (reply.status, reply.headers[INDEX]) == (200, f"config.targets[{target}]")


def test_conditional_that_leads_nowhere(behind: Behind) -> None:
    """No match and no default: 400 in the gateway's own shape, and nobody is asked."""
    strategy = {"mode": "conditional", "conditions": [{"query": {"metadata.plan": "paid"}, "then": "good"}]}
    reply = behind.ask({"strategy": strategy, "targets": [behind.target("a", name="good")]}, metadata="{}")
    assert reply.status == 400
    assert reply.json == {"status": "failure", "message": "Query router did not resolve to any valid target"}
    assert behind.asked("a") == 0


def test_strategies_nest(behind: Behind) -> None:
    """A fallback inside a loadbalance: the path names both levels."""
    behind.playing.always("a", Fault.status(500))
    inner = behind.fallback("a", "b")
    reply = behind.ask({"strategy": {"mode": "loadbalance"}, "targets": [inner]})
    assert (reply.status, reply.headers[INDEX]) == (200, "config.targets[0].targets[1]")


# ---- settings of a target --------------------------------------------------------------------------------------------


def test_retry_until_it_succeeds(behind: Behind) -> None:
    """One 429, then an answer: 200, one retry counted, two requests sent."""
    behind.playing.script("a", Fault.status(429), ok())
    reply = behind.ask(behind.target("a", retry={"attempts": 3}))
    assert (reply.status, reply.headers[RETRIES], behind.asked("a")) == (200, "1", 2)


def test_retries_that_run_out(behind: Behind) -> None:
    """An error for ever: it is passed on, and the count says -1."""
    behind.playing.always("a", Fault.status(503))
    reply = behind.ask(behind.target("a", retry={"attempts": 1}))
    assert (reply.status, reply.headers[RETRIES], behind.asked("a")) == (503, "-1", 2)


def test_what_is_not_retried(behind: Behind) -> None:
    """A 400 is not among the codes retried by default."""
    behind.playing.always("a", Fault.status(400))
    reply = behind.ask(behind.target("a", retry={"attempts": 3}))
    assert (reply.status, reply.headers[RETRIES], behind.asked("a")) == (400, "0", 1)


def test_retry_on_the_codes_named(behind: Behind) -> None:
    """`retry.on_status_codes` replaces the default codes."""
    behind.playing.script("a", Fault.status(409), Fault.status(500))
    reply = behind.ask(behind.target("a", retry={"attempts": 2, "on_status_codes": [409]}))
    assert (reply.status, behind.asked("a")) == (500, 2)


def test_retries_come_before_the_fallback(behind: Behind) -> None:
    """Targets inherit `retry`; the count told is that of the target that answered."""
    behind.playing.always("a", Fault.status(500))
    reply = behind.ask({**behind.fallback("a", "b"), "retry": {"attempts": 1}})
    assert (reply.headers[INDEX], reply.headers[RETRIES]) == ("config.targets[1]", "0")
    assert (behind.asked("a"), behind.asked("b")) == (2, 1)


def test_override_params(behind: Behind) -> None:
    """Overrides replace what the request says; the inner one wins."""
    config = behind.fallback("a")
    config["override_params"] = {"model": "outer", "max_tokens": 2}
    config["targets"][0]["override_params"] = {"model": "inner"}
    reply = behind.ask(config)
    assert reply.json["model"] == "inner"
    sent = behind.playing.log("a")[0].body
    assert (sent["model"], sent["max_tokens"]) == ("inner", 2)


def test_request_timeout(behind: Behind) -> None:
    """A provider that does not answer in time: 408 in OpenAI's shape, with the milliseconds."""
    behind.playing.always("a", Fault.hang())
    reply = behind.ask(behind.target("a", request_timeout=150))
    assert (reply.status, reply.headers[INDEX], reply.headers[RETRIES]) == (408, "config", "0")
    message = "Request exceeded the timeout sent in the request: 150ms"
    assert reply.json == {"error": {"message": message, "type": "timeout_error", "param": None, "code": None}}


def test_a_timeout_is_fallen_back_from(behind: Behind) -> None:
    """408 goes to the next target like any error, and targets inherit the limit."""
    behind.playing.always("a", Fault.hang())
    reply = behind.ask({**behind.fallback("a", "b"), "request_timeout": 1500})
    assert (reply.status, reply.headers[INDEX]) == (200, "config.targets[1]")


def test_the_timeout_ends_with_the_headers(behind: Behind) -> None:
    """A stream whose first event comes after the limit is not cut: its headers were there in time."""
    behind.playing.always("a", Fault.slow(first_token=2.5))
    reply = behind.ask(behind.target("a", request_timeout=1500), {"stream": True})
    assert (reply.status, reply.data[-1]) == (200, "[DONE]")


# ---- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_a_providers_error_names_the_provider(behind: Behind, stream: bool) -> None:
    """Status and headers are passed on; the message gets the provider's name in front."""
    behind.playing.always("a", Fault.status(429, retry_after=7))
    reply = behind.ask(behind.target("a"), {"stream": stream})
    assert (reply.status, reply.headers["retry-after"]) == (429, "7")
    message = "openai error: Rate limit reached for requests. Please try again later."
    error = {"message": message, "type": "requests", "param": None, "code": "rate_limit_exceeded"}
    assert reply.json == {"error": error, "provider": "openai"}


def test_a_refused_connection(behind: Behind) -> None:
    """500, and the cause under `html-message`."""
    reply = behind.ask(behind.target("dead"))
    assert (reply.status, reply.headers[INDEX]) == (500, "config")
    assert list(reply.json) == ["html-message"]
    assert re.match(r"Message: fetch failed Cause: .*ECONNREFUSED", reply.json["html-message"])


def test_an_error_page(behind: Behind) -> None:
    """A proxy's page keeps its status and comes as JSON under `html-message`."""
    behind.playing.always("a", Fault.html(502))
    reply = behind.ask(behind.target("a"))
    assert reply.status == 502
    assert reply.json["html-message"].startswith("<html>")


def test_an_error_in_200(behind: Behind) -> None:
    """An error object with status 200 is passed on as it is: a client must look at the body."""
    behind.playing.always("a", Fault.error_in_200())
    reply = behind.ask(behind.target("a"))
    assert reply.status == 200
    assert list(reply.json) == ["error"]


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"strategy": {"mode": "cheapest"}, "targets": []}, "strategy,mode"),
        ({"strategy": {"mode": "fallback", "on_status_codes": ["429"]}, "targets": []}, "on_status_codes"),
        ({"provider": "openai", "api_key": "k", "retry": {"attempts": "3"}}, "retry,attempts"),
        ({"strategy": {"mode": "fallback"}, "targets": [{"provider": 5, "api_key": "k"}]}, "targets,0,provider"),
    ],
    ids=["mode", "codes", "attempts", "provider"],
)
def test_an_invalid_config(behind: Behind, config: Any, path: str) -> None:
    """400 in the gateway's own shape; `errors` names the path."""
    reply = behind.ask(config)
    assert reply.status == 400
    assert (reply.json["status"], reply.json["message"]) == ("failure", "Invalid config passed")
    assert any(path in error for error in reply.json["errors"])
    assert INDEX not in reply.headers


def test_a_config_that_is_no_json(behind: Behind) -> None:
    """400 in the gateway's own shape."""
    reply = behind.ask('{"strategy": ')
    assert reply.status == 400
    assert reply.json["message"].startswith("Invalid config passed. You need to pass a valid json")


# ---- streams, tools, structured answers ------------------------------------------------------------------------------


def test_a_stream(behind: Behind) -> None:
    """Several pieces, a finish reason, [DONE]; Portkey's headers come with it; no usage unless asked for."""
    reply = behind.ask(behind.target("a"), {"stream": True})
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert (reply.status, reply.headers[INDEX], reply.data[-1]) == (200, "config", "[DONE]")
    assert (reply.text, reply.reasons) == ("gpt-4o answers to: Hello there", ["stop"])
    assert len(reply.events) > 4
    assert not any(event.get("usage") for event in reply.events)


def test_usage_of_a_stream(behind: Behind) -> None:
    """With `include_usage` the last event has the usage, and no choices; it is that of the unstreamed answer."""
    reply = behind.ask(behind.target("a"), {"stream": True, "stream_options": {"include_usage": True}})
    last = reply.events[-1]
    assert last["choices"] == []
    assert last["usage"] == behind.ask(behind.target("a")).json["usage"]


def test_fallback_of_a_stream(behind: Behind) -> None:
    """An error status before a stream is fallen back from."""
    behind.playing.always("a", Fault.status(503))
    reply = behind.ask(behind.fallback("a", "b"), {"stream": True})
    assert (reply.headers[INDEX], reply.reasons, reply.data[-1]) == ("config.targets[1]", ["stop"], "[DONE]")


@pytest.mark.parametrize("fault", [Fault.cut(2), Fault.reset(2)], ids=["cut", "reset"])
def test_a_stream_cut_upstream_ends_cleanly(behind: Behind, fault: Fault) -> None:
    """The trap: 200 and a clean end, but neither [DONE] nor a finish reason, and no fallback."""
    behind.playing.always("a", fault)
    reply = behind.ask(behind.fallback("a", "b"), {"stream": True})
    assert (reply.status, reply.broken, reply.headers[INDEX]) == (200, None, "config.targets[0]")
    assert (reply.reasons, "[DONE]" in reply.data, len(reply.events)) == ([], False, 2)
    assert behind.asked("b") == 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_call(behind: Behind, stream: bool) -> None:
    """The arguments come from the prompt; in a stream they come in pieces, the name in the first."""
    messages = [{"role": "user", "content": "What is the value of magic_function(3)?"}]
    reply = behind.ask(behind.target("a"), {"messages": messages, "tools": [TOOL], "stream": stream})
    if stream:
        deltas = [c["delta"]["tool_calls"][0] for e in reply.events for c in e["choices"] if "tool_calls" in c["delta"]]
        function = {"name": deltas[0]["function"]["name"]}
        function["arguments"] = "".join(delta["function"]["arguments"] for delta in deltas)
        assert len(deltas) > 2
        reason = reply.reasons[0]
    else:
        (call,) = reply.json["choices"][0]["message"]["tool_calls"]
        function, reason = call["function"], reply.json["choices"][0]["finish_reason"]
    assert (function["name"], json.loads(function["arguments"])) == ("magic_function", {"input": 3})
    assert reason == "tool_calls"


def test_a_structured_answer(behind: Behind) -> None:
    """`response_format` with a schema is answered in that schema, with values of the prompt."""
    properties = {"city": {"type": "string"}, "days": {"type": "integer"}}
    schema = {"type": "object", "properties": properties, "required": ["city", "days"], "additionalProperties": False}
    shape = {"type": "json_schema", "json_schema": {"name": "trip", "schema": schema, "strict": True}}
    messages = [{"role": "user", "content": 'Plan 4 days in "Århus"'}]
    reply = behind.ask(behind.target("a"), {"messages": messages, "response_format": shape})
    assert json.loads(reply.text) == {"city": "Århus", "days": 4}

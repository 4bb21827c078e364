"""The journey hand-fed: windows, content filters, gateways."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from portkey_router.errors import (
    AllTargetsFailedError,
    ConnectFailedError,
    ContentFilterError,
    ContextLengthError,
    StreamInterruptedError,
    UpstreamUnavailableError,
)
from portkey_router.flow.policy import Policy
from portkey_router.pricing import PriceBook
from portkey_router.wire.http import HttpReply
from tests.core.fakes import (
    DONE,
    FILTERED,
    JSON,
    REFUSED,
    RESET,
    URL,
    Clock,
    Reply,
    Stream,
    answer,
    asked,
    delta,
    failed,
    late,
    memory,
    ok,
    plan,
    target,
    tell,
    too_long,
)

ROLE, HEL = delta(role="assistant"), delta(content="Hel")
TWO = plan(target("one", tries=3), target("two", tries=3))
GATEWAY = {**JSON, "x-portkey-provider": "openai", "x-portkey-last-used-option-index": "config"}


# ---- windows ---------------------------------------------------------------------------------------------------------


def at(name: str, model: str) -> Any:
    """A target of this model."""
    return target(name, tries=3, model=model)


def test_a_prompt_too_long_goes_where_it_fits() -> None:
    """Past the same model and windows no larger, to one that is; never again to the same."""
    attempts = plan(at("a", "gpt-4"), at("b", "gpt-4"), at("c", "gpt-3.5-turbo"), at("d", "gpt-4o"))
    assert tell(attempts, too_long(), ok()).completion.route.target == "c"  # 16,385 hold 10,000
    assert tell(attempts, too_long(needed=20_000), ok()).completion.route.target == "d"
    assert tell(attempts, too_long(), too_long(16_385, 17_000), ok()).completion.route.target == "d"


def test_an_unknown_window_is_tried() -> None:
    """It may be larger."""
    assert tell(plan(at("a", "gpt-4o"), at("b", "acme-1")), too_long(128_000, 200_000), ok()).completion.text == "Hi"


def test_windows_of_the_price_table() -> None:
    """Of models that our own table does not have, genai-prices knows many."""
    attempts = plan(at("a", "gpt-4"), target("b", model="deepseek-chat", provider="deepseek"))
    window = PriceBook().context_window("deepseek", "deepseek-chat")
    assert window is not None
    told = tell(attempts, too_long(needed=window + 1), prices=PriceBook())
    assert isinstance(told.error, ContextLengthError)


def test_where_it_fits_nowhere_the_sizes_are_told() -> None:
    """What is needed, and what each model takes, those that were spared the request included."""
    told = tell(plan(at("a", "gpt-4o"), at("b", "gpt-4"), at("c", "gpt-4o-mini")), too_long(128_000, 200_000))
    error = told.error
    assert isinstance(error, ContextLengthError)
    assert (error.limit, error.needed, error.status) == (128_000, 200_000, 400)
    for words in (
        "200,000 tokens are needed",
        "gpt-4o takes 128,000",
        "gpt-4 takes 8,192",
        "gpt-4o-mini takes 128,000",
    ):
        assert words in str(error)
    assert len(error.attempts) == 1


def test_a_prompt_too_long_after_another_failure() -> None:
    """Two targets, two reasons: both are told."""
    told = tell(plan(target("one"), at("b", "gpt-4")), failed(503), too_long())
    assert isinstance(told.error, AllTargetsFailedError)
    assert [type(error) for error in told.error.errors] == [UpstreamUnavailableError, ContextLengthError]


# ---- content filters -------------------------------------------------------------------------------------------------

FALLBACK = Policy(on_content_filter="fallback")


def test_a_content_filter_is_not_routed_around() -> None:
    """Unless the caller says so; the provider's reason reaches them."""
    told = tell(TWO, FILTERED)
    assert isinstance(told.error, ContentFilterError)
    assert "filtered: hate" in str(told.error)
    assert tell(TWO, FILTERED, ok(), policy=FALLBACK).completion.route.target == "two"
    assert isinstance(tell(plan(), FILTERED, policy=FALLBACK).error, ContentFilterError)


def test_an_answer_that_the_filter_ended() -> None:
    """It says so itself (`finish_reason`); where the caller wants it another has its turn, unless some is shown."""
    whole = HttpReply(200, JSON, answer("", finish_reason="content_filter"))
    assert tell(TWO, whole).completion.finish_reason == "content_filter"
    assert tell(TWO, whole, ok(), policy=FALLBACK).completion.route.target == "two"
    empty, begun = [ROLE, delta("content_filter"), DONE], [HEL, delta("content_filter"), DONE]
    assert tell(TWO, Stream(empty), Stream(), policy=FALLBACK).completion.route.target == "two"
    assert tell(TWO, Stream(begun), policy=FALLBACK).completion.finish_reason == "content_filter"
    hidden = replace(FALLBACK, wire_stream=True)
    assert tell(TWO, Stream(begun), Stream(), stream=False, policy=hidden).completion.route.target == "two"
    assert tell(plan(), whole, policy=FALLBACK).completion.finish_reason == "content_filter"


def test_moderation_that_comes_as_a_refused_key() -> None:
    """OpenRouter's 403: no other target is a way around it."""
    flagged = failed(403, "gpt-4o requires moderation and your input was flagged for violence")
    assert isinstance(tell(TWO, flagged).error, ContentFilterError)


# ---- gateways --------------------------------------------------------------------------------------------------------

SPARE = "http://spare.test/v1/chat/completions"
OWN = HttpReply(500, JSON, b'{"status": "failure", "message": "Something went wrong"}')
PAGE = HttpReply(502, {"content-type": "text/html"}, b"<html>502 Bad Gateway</html>")


@pytest.mark.parametrize("fault", [REFUSED, RESET, late("connect"), OWN, PAGE, HttpReply(503, {}, b"")], ids=repr)
def test_another_gateway_takes_over(fault: Reply) -> None:
    """The same target, by the next gateway, at once; that is no failure of the target's."""
    clock, health = Clock(), memory()
    told = tell(TWO, fault, ok(), more_urls=(SPARE,), health=health, clock=clock)
    assert [call.url for call in told.calls] == [URL, SPARE]
    assert (asked(told), told.waits) == (["one", "one"], [])
    assert [attempt.gateway for attempt in told.completion.route.attempts] == ["gateway.test", "spare.test"]
    assert health.look("one", clock.now).failures_in_a_row == 0


def test_a_gateway_that_restarts_within_a_stream() -> None:
    """Before anything is shown the next gateway streams; after it, the caller is told."""
    told = tell(TWO, Stream([ROLE, RESET]), Stream(), more_urls=(SPARE,))
    assert [call.url for call in told.calls] == [URL, SPARE]
    assert told.text == "Hello"
    assert isinstance(tell(TWO, Stream([ROLE, HEL, RESET]), more_urls=(SPARE,)).error, StreamInterruptedError)


def test_a_targets_failure_is_no_gateways() -> None:
    """What the gateway passes on, it is not blamed for, and the next one would only ask the same target."""
    fetch_failed = HttpReply(500, GATEWAY, b'{"html-message": "Message: fetch failed"}')
    told = tell(TWO, fetch_failed, fetch_failed, ok(), more_urls=(SPARE,))
    assert {call.url for call in told.calls} == {URL}
    assert asked(told) == ["one", "one", "two"]


def test_a_gateway_that_failed_is_passed_over_for_a_while() -> None:
    """Calls begin at the one that works; after its time the first is tried again."""
    clock, health = Clock(), memory()
    around: dict[str, Any] = {"more_urls": (SPARE,), "health": health, "clock": clock}
    tell(TWO, REFUSED, ok(), **around)
    assert [call.url for call in tell(TWO, ok(), **around).calls] == [SPARE]
    clock.now += 1.2
    assert [call.url for call in tell(TWO, REFUSED, ok(), **around).calls] == [URL, SPARE]
    clock.now += 5
    assert [call.url for call in tell(TWO, ok(), **around).calls] == [URL]
    assert [call.url for call in tell(TWO, ok(), **around).calls] == [URL]


def test_all_gateways_down() -> None:
    """Each is tried, and then the failure is like any other: bounded, and honest."""
    told = tell(plan(target("one")), REFUSED, REFUSED, more_urls=(SPARE,))
    assert isinstance(told.error, ConnectFailedError)
    assert [call.url for call in told.calls] == [URL, SPARE]


@pytest.mark.parametrize("fault", [REFUSED, OWN, PAGE, late("connect")], ids=repr)
def test_a_gateways_faults_open_no_targets_circuit(fault: Reply) -> None:
    """However often: when the gateway is back, its targets are asked as before."""
    clock, health = Clock(), memory()
    for _ in range(10):
        tell(plan(target("one"), target("two")), fault, fault, health=health, clock=clock)
        clock.now += 4
    assert health.available("one", clock.now)
    assert health.look("one", clock.now).failures_in_a_row == 0


def test_a_connection_that_breaks_is_the_gateways_once_it_is_known_to_be_one() -> None:
    """Of a plain server it is the target's, of a gateway, which tells of its targets by replies, its own."""
    clock, health = Clock(), memory()
    lone = plan(target("one"))
    tell(lone, RESET, health=health, clock=clock)
    assert health.look("one", clock.now).failures_in_a_row == 1
    tell(lone, HttpReply(200, GATEWAY, answer()), health=health, clock=clock)
    tell(lone, RESET, health=health, clock=clock)
    assert health.look("one", clock.now).failures_in_a_row == 0

from __future__ import annotations

from typing import Any

import pytest

from portkey_router import Request
from portkey_router.abilities import Abilities, abilities_of
from portkey_router.costing import Needs, needs_of

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
IMAGE = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b.png"}}]}


def request(*messages: dict[str, Any], **body: Any) -> Request:
    """A request, by default of four letters."""
    return Request(messages=messages or ({"role": "user", "content": "abcd"},), body=body)


def test_a_plain_question_needs_tokens_only() -> None:
    """Its estimate, and no ability."""
    assert needs_of(request())._replace(kind=0) == Needs(tokens=1 + 3 + 3)


@pytest.mark.parametrize(
    ("asked", "need"),
    [
        (request(tools=[TOOL]), "tools"),
        (request(IMAGE), "images"),
        (request(response_format={"type": "json_schema", "json_schema": {}}), "json_schema"),
    ],
)
def test_what_a_request_holds_must_be_taken(asked: Request, need: str) -> None:
    """Tools, images, a schema: each is a need."""
    assert getattr(needs_of(asked), need) is True
    assert getattr(needs_of(request(response_format={"type": "json_object"})), need) is False


def test_schemas_are_counted() -> None:
    """Of tools, and of the answer: both are sent, read and billed."""
    schema = {"name": "city", "schema": {"type": "object", "properties": {"name": {"type": "string"}}}}
    plain = needs_of(request()).tokens
    assert needs_of(request(tools=[TOOL])).tokens > plain + 10
    assert needs_of(request(response_format={"type": "json_schema", "json_schema": schema})).tokens > plain + 10
    assert needs_of(request(response_format={"type": "json_object"})).tokens == plain


@pytest.mark.parametrize(
    ("body", "cap"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7, "max_tokens": 5}, 7),
        ({"max_tokens": "many"}, None),
        ({}, None),
    ],
)
def test_the_cap_on_the_answer(body: dict[str, Any], cap: int | None) -> None:
    """By either name; what is no number is the provider's to refuse."""
    assert needs_of(request(**body)).max_tokens == cap


def test_a_counter_of_ones_own_takes_the_estimates_place() -> None:
    """Every text is counted by it."""
    assert needs_of(request(), count=lambda text: len(text) * 100).tokens == 400 + 3 + 3


@pytest.mark.parametrize(
    ("needs", "why"),
    [
        (Needs(10, tools=True), "tools"),
        (Needs(10, images=True), "images"),
        (Needs(10, json_schema=True), "schema"),
        (Needs(950), "1,000 tokens is smaller than 1,045"),
        (Needs(100, max_tokens=900), "smaller than 1,010"),
    ],
)
def test_what_a_target_cannot_do_is_named(needs: Needs, why: str) -> None:
    """The first ability it lacks, or the sizes."""
    weak = Abilities(1_000, 100, images=False, tools=False, json_schema=False)
    assert why in (needs.missing(weak) or "")


def test_a_ratio_counts_for_the_window() -> None:
    """A target that counts twice as many tokens is full at half."""
    roomy = Abilities(1_000, 100)
    assert Needs(500).missing(roomy) is None
    assert Needs(500).missing(roomy, ratio=2.0) is not None


def test_of_a_stranger_nothing_is_assumed() -> None:
    """An unknown model is not ruled out."""
    assert abilities_of("nobody/knows-me") is None
    assert Needs(10**9, tools=True, images=True).missing(None) is None


def test_calls_that_begin_alike_are_of_a_kind() -> None:
    """The same system prompt, or template, and the same abilities asked for; whatever follows."""
    system = {"role": "system", "content": "You translate what you are told. " * 3}

    def kind(*messages: dict[str, Any], **body: Any) -> int:
        return needs_of(request(*messages, **body)).kind

    one, other = ({"role": "user", "content": text} for text in ("Good morning", "Good night"))
    assert kind(system, one) == kind(system, other)
    assert kind(one) != kind(other)
    assert kind(system, one) != kind(system, one, tools=[TOOL])
    assert kind(IMAGE) == kind(IMAGE)
